# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role backup and its playbook tell people to write, read as Ansible reads it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from ansible.parsing.splitter import parse_kv

ROOT = Path(__file__).resolve().parents[3]
STATED = [
    *(ROOT / "playbooks").glob("*.yml"),
    *(ROOT / "roles").glob("*/tasks/*.yml"),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "README.md",
]


@pytest.mark.parametrize(
    "path", [one for one in STATED if "backup_schedule='" in one.read_text()], ids=lambda one: one.name
)
def test_schedule_on_the_command_line_is_taken_as_a_whole(path: Path) -> None:
    """Of -e name=value each word is one of its own, unless the value has quotes that the shell leaves."""
    text = path.read_text().replace('\\"', '"')
    for stated in re.findall(r"""-e ("backup_schedule='[^']*'"|backup_schedule='[^']*')""", text):
        assert parse_kv(*shlex.split(stated)) == {"backup_schedule": "30 2 * * *"}


def test_refusal_of_a_schedule_shows_one_that_works() -> None:
    assert "-e \\\"backup_schedule='30 2 * * *'\\\"" in (ROOT / "roles/backup/tasks/main.yml").read_text()
