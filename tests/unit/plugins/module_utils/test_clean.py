# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left over on a scratch host, and that nothing which is needed goes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _clean
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout("shop", str(tmp_path))


def generation(layout: Layout, number: int, version: str, committed: bool = True) -> None:
    folder = Path(layout.generation(number))
    (folder / "config").mkdir(parents=True)
    (folder / "manifest.json").write_text(
        json.dumps({"version": version, "unit": "x", "files": [], "committed": committed})
    )
    release = Path(layout.release(version))
    release.mkdir(parents=True, exist_ok=True)
    (release / "shop").write_bytes(b"x" * 10000)


def current(layout: Layout, number: int) -> None:
    os.symlink(f"generations/{number}", layout.current)


def gone(layout: Layout, keep: int = 3) -> list[str]:
    return [os.path.basename(entry["path"]) for entry in _clean.look(layout, keep)["remove"]]


def test_what_the_engine_keeps_stays(layout: Layout) -> None:
    for number, version in enumerate(["1.0", "1.0", "2.0"], 1):
        generation(layout, number, version)
    current(layout, 3)
    found = _clean.look(layout, 3)
    assert (found["name"], found["version"], found["busy"], found["remove"]) == ("shop", "2.0", "", [])
    assert found["bytes"] > 20000


def test_generations_beyond_and_releases_that_nothing_needs_go(layout: Layout) -> None:
    for number, version in enumerate(["1.0", "1.5", "2.0", "2.5"], 1):
        generation(layout, number, version)
    current(layout, 4)
    Path(layout.release("0.9")).mkdir()
    assert gone(layout) == ["1", "0.9", "1.0"]
    assert gone(layout, 2) == ["1", "2", "0.9", "1.0", "1.5"]
    assert gone(layout, 1) == ["1", "2", "0.9", "1.0", "1.5"], "one to go back to stays"


def test_one_in_the_middle_may_be_in_force(layout: Layout) -> None:
    """After a rollback."""
    for number, version in enumerate(["1.0", "2.0", "3.0"], 1):
        generation(layout, number, version)
    current(layout, 1)
    assert gone(layout, 2) == ["2", "2.0"]


def test_what_a_killed_run_left_goes(layout: Layout) -> None:
    generation(layout, 1, "1.0")
    generation(layout, 2, "2.0", committed=False)
    current(layout, 1)
    Path(layout.staging).mkdir()
    Path(layout.releases, ".partial-3.0").mkdir()
    assert sorted(gone(layout)) == [".partial-3.0", "2", "2.0", "staging"]


@pytest.mark.parametrize("what", ["journal", "adoption"])
def test_a_change_that_is_not_finished_is_left_alone(layout: Layout, what: str) -> None:
    generation(layout, 1, "1.0")
    current(layout, 1)
    Path(layout.release("0.9")).mkdir()
    Path(getattr(layout, what)).write_text("{}")
    found = _clean.look(layout, 3)
    assert (found["busy"], found["remove"]) == ("a change that was begun is not finished", [])


def test_one_that_was_not_proved_is_left_alone(layout: Layout) -> None:
    generation(layout, 1, "1.0")
    generation(layout, 2, "2.0", committed=False)
    current(layout, 2)
    assert _clean.look(layout, 3)["busy"]


def test_version_of_an_unfinished_change_is_the_one_before(layout: Layout) -> None:
    """Or the plan of an upgrade would say that there is nothing to change."""
    generation(layout, 1, "1.0")
    generation(layout, 2, "2.0", committed=False)
    current(layout, 2)
    assert _clean.look(layout, 3)["version"] == "2.0"  # a first installation has none
    Path(layout.journal).write_text('{"from": 1, "to": 2}')
    assert _clean.look(layout, 3)["version"] == "1.0"


def test_nothing_in_force(layout: Layout) -> None:
    Path(layout.generations).mkdir(parents=True)
    assert _clean.look(layout, 3)["version"] == ""
    assert gone(layout) == []


def test_removal(layout: Layout) -> None:
    for number in range(1, 5):
        generation(layout, number, f"{number}.0")
    current(layout, 4)
    _clean.remove(_clean.look(layout, 3)["remove"])
    assert sorted(os.listdir(layout.generations)) == ["2", "3", "4"]
    assert sorted(os.listdir(layout.releases)) == ["2.0", "3.0", "4.0"]
    assert gone(layout) == []


def test_sizes_follow_no_links_and_count_twins_once(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/big").write_bytes(b"x" * 1_000_000)
    (tmp_path / "near").mkdir()
    (tmp_path / "near/a").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "near/a", tmp_path / "near/b")
    os.symlink(tmp_path / "far", tmp_path / "near/c")
    assert 100_000 <= _clean.size(str(tmp_path / "near")) < 150_000
    assert _clean.size(str(tmp_path / "none")) == 0
