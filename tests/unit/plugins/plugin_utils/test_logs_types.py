# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is certainly wrong with values."""

from __future__ import annotations

import typing as t
import zoneinfo

import pytest
from ansible.errors import AnsibleError
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


ZONES = ["", "Local", "UTC", "EST5EDT", "Japan", "GMT+0", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5"]


@pytest.mark.parametrize("name", [*ZONES, "US/Eastern", "Europe/Kyiv", "America/Coyhaique", "Asia/Not_yet-known"])
@pytest.mark.parametrize("known", [True, False])
def test_zones_that_an_agent_may_know(name: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(zoneinfo, "ZoneInfo", unknown)
    check_zone("here", name)


def unknown(name: str) -> t.NoReturn:
    raise zoneinfo.ZoneInfoNotFoundError(name)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "Europe", "Europe/", "Europe/Ber lin", "europe/berlin", "CEST", "+02:00", "/etc", "../UTC"]
)
def test_zones_that_cannot_be(name: str) -> None:
    with pytest.raises(AnsibleError, match=r"^here: time_zone is no zone: .* Write it like Europe/Berlin"):
        check_zone("here", name)


def test_a_zone_that_the_control_node_knows_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "ZoneInfo", str)
    check_zone("here", "Moon/Tycho")


def test_every_zone_of_the_database_has_an_area_or_a_name_of_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as this machine has them."""
    there = zoneinfo.available_timezones() - {"Factory", "localtime", "posixrules"}
    monkeypatch.setattr(zoneinfo, "ZoneInfo", unknown)
    for name in there:
        check_zone("here", name)
