# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is certainly wrong with values."""

from __future__ import annotations

import zoneinfo

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_types import check_zone, expression_fault


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("(a", "missing )"),
        ("a)", "unbalanced"),
        ("[a", "unterminated character set"),
        ("(?P<a", "missing >"),
        ("a\\", "bad escape"),
        ("(?P<a>.)(?P<a>.)", "redefinition"),
        ("*.log", "nothing to repeat"),
        ("(?i)(a", "missing )"),
        (r"\pL(", "missing )"),
        (r"\\(", "missing )"),
    ],
)
def test_expressions_that_are_none(expression: str, fault: str) -> None:
    assert fault in expression_fault(expression)


@pytest.mark.parametrize(
    "expression",
    [
        r"^\d{4}-\d\d (?P<level>\w+) \[(?P<at>[^]]+)\]",
        r"(?i)error|(?s-m:a.b)|a(?U)b*",
        r"\pL\p{Greek}\P{^Lu}\x{10FFFF}\z",
        r"[[:alpha:]_][[:^digit:]]*",
        r"[(?i)]x[(]",
        r"(?<level>\w+)",
        r"\Q(\E",
        r"\(\[\)",
        "^*",
        "[a--b]",
        "a{,3}",
        "",
    ],
)
def test_expressions_that_re2_may_take(expression: str) -> None:
    assert expression_fault(expression) == ""


def test_zones_are_not_judged_without_their_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    check_zone("here", "Mars/Olympus")
