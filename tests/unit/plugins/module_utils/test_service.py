# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is taken from a program's last words."""

from __future__ import annotations

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _service

USAGE = [f"      --flag.{number}=info   One of: [debug, info, warn, error]" for number in range(60)]
REFUSAL = 'Error parsing command line arguments: not a valid duration string: "5 days"'


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], []),
        (["one"], ["one"]),
        (list("abcdefg"), list("cdefg")),
        ([REFUSAL, "usage: prometheus [<flags>]", *USAGE], [REFUSAL]),
        (["level=error first", *"abcdef", "level=error last"], [*"cdef", "level=error last"]),
        (["starting", "panic: nil", *USAGE], ["panic: nil"]),
        (USAGE, USAGE[-5:]),
    ],
)
def test_telling(lines: list[str], told: list[str]) -> None:
    assert _service.telling("\n".join(lines)) == "\n".join(told)


def test_value_of_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_service, "command", lambda *words, check=True: "\n".join([REFUSAL, *USAGE]))
    seen = _service.Status("failed", "failed", True, 0, 3, 0, "exit-code", "1234")
    words, remedy = _service.why_it_died("prometheus.service", seen)
    assert REFUSAL in words
    assert "a flag has a value" in remedy
