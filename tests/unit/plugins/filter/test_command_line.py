# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.utils.vars import load_extra_vars
from ansible_collections.opswatch.monitoring.plugins.filter.command_line import FilterModule

on_command_line = FilterModule().filters()["on_command_line"]


def test_extra_variables_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_extra_vars, "extra_vars", {"backup_components": ""}, raising=False)
    assert on_command_line("backup_components")
    assert not on_command_line("backup_keep")
