# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which archives ./dev test-real takes: those that it is told, and never stand-ins instead."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.testbed.check import real_archives
from tests.testbed.console import Failure


def test_the_folder_is_an_argument_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert real_archives([], str(tmp_path)) == tmp_path
    assert real_archives([f"MONITORING_MIRROR={tmp_path}"], "/of/the/environment") == tmp_path
    monkeypatch.chdir(tmp_path.parent)
    assert real_archives([f"MONITORING_MIRROR={tmp_path.name}"], None) == tmp_path


@pytest.mark.parametrize(
    ("arguments", "known", "message"),
    [
        ([], None, "MONITORING_MIRROR is not set"),
        (["MONITORING_MIRROR="], "/tmp", "MONITORING_MIRROR is not set"),
        (["molecule-default"], "/tmp", "does not know 'molecule-default'"),
        (["MIRROR=/tmp"], "/tmp", "does not know 'MIRROR=/tmp'"),
        (["MONITORING_MIRROR=/tmp/none"], "/tmp", "MONITORING_MIRROR=/tmp/none is not a directory"),
    ],
)
def test_anything_else_is_refused(arguments: t.Sequence[str], known: str | None, message: str) -> None:
    with pytest.raises(Failure, match=message):
        real_archives(arguments, known)
