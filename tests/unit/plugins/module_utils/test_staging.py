# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a validator's refusal."""

from __future__ import annotations

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._staging import refusal

# As promtool 3.5.3 says it.
GOOD = "Checking p.yml\n  SUCCESS: 3 rule files found\n SUCCESS: p.yml is valid prometheus config file syntax\n\n"
RIGHT = "Checking rules/a.yml\n  SUCCESS: 1 rules found\n\n"
WRONG = 'Checking rules/b.yml\n  FAILED:\nrules/b.yml: 4:22: group "a", rule 1, "B": could not parse expression\n'
FOUND_THEN_FAILED = "Checking p.yml\n  SUCCESS: 1 rule files found\n  FAILED: parsing YAML file p.yml: no\n"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (GOOD + RIGHT + WRONG + RIGHT, WRONG.strip()),
        (FOUND_THEN_FAILED + RIGHT, FOUND_THEN_FAILED.strip()),
        ("level=error something else", "level=error something else"),
        (RIGHT, RIGHT),
        ("exit code 1", "exit code 1"),
    ],
)
def test_refusal(output: str, told: str) -> None:
    assert refusal(output) == told
