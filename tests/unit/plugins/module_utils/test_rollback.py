# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generations that can be gone back to, and what speaks against one."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _generations, _rollback, _way_back
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.modules import component_rollback


def generation(layout: Layout, number: int, version: str, files: dict[str, str], committed: bool = True) -> None:
    folder = Path(layout.generation(number))
    folder.mkdir(parents=True)
    listed = [{"place": "config", "path": path, "sha256": text, "mode": "0640"} for path, text in files.items()]
    listed.append({"place": "secret", "path": "password", "sha256": str(number), "mode": "0640"})
    stated = {"version": version, "unit": "u" + version, "files": listed, "committed": committed}
    (folder / "manifest.json").write_text(json.dumps({**stated, "created": f"2026-11-0{number}T10:00:00Z", "live": {}}))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("prometheus", str(tmp_path))
    generation(made, 1, "2.53.3", {"prometheus.yml": "a", "rules/old.yml": "x"})
    generation(made, 2, "2.53.3", {"prometheus.yml": "b"})
    generation(made, 3, "3.5.3", {"prometheus.yml": "b"})
    generation(made, 4, "3.5.3", {"prometheus.yml": "c"}, committed=False)
    os.symlink("generations/3", made.current)
    os.makedirs(made.data)
    return made


@pytest.fixture
def interrupted(layout: Layout) -> Layout:
    """A change from 2 to 4 that lost its power before it was proven, with the copy of the data and of a secret."""
    os.unlink(layout.current)
    os.symlink("generations/4", layout.current)
    Path(layout.journal).write_text('{"from": 2, "to": 4, "effect": "restart", "new": true}')
    os.mkdir(f"{layout.data}/.opswatch-before-2")
    for folder, text in {layout.secrets: "new", f"{layout.undo}/secret": "old"}.items():
        os.makedirs(folder)
        Path(folder, "password").write_text(text)
    return layout


def test_list(layout: Layout) -> None:
    found = _rollback.listed(layout)
    assert [one["generation"] for one in found] == [3, 2, 1]
    assert [one["current"] for one in found] == [True, False, False]
    assert [one["differs"] for one in found] == [
        [],
        ["version 2.53.3, then 3.5.3", "the unit"],
        ["prometheus.yml", "rules/old.yml"],
    ]
    assert [_rollback.words(one) for one in found] == [
        "generation 3 of 2026-11-03T10:00:00Z: 3.5.3, in force",
        "generation 2 of 2026-11-02T10:00:00Z: 2.53.3; what came after it changed version 2.53.3, then 3.5.3, the unit",
        "generation 1 of 2026-11-01T10:00:00Z: 2.53.3; what came after it changed prometheus.yml, rules/old.yml",
    ]
    assert [_rollback.words(one, left=True) for one in found[:2]] == [
        "generation 3 of 2026-11-03T10:00:00Z: 3.5.3, was in force",
        _rollback.words(found[1]),
    ]


@pytest.mark.parametrize(
    ("there", "left", "said"),
    [
        (2, 3, "Put this into it first: prometheus_version: 2.53.3"),
        (1, 2, "Both have version 2.53.3; they differ in: prometheus.yml, rules/old.yml."),
        (3, 5, "nothing but secrets"),
    ],
)
def test_what_the_inventory_needs(layout: Layout, there: int, left: int, said: str) -> None:
    generation(layout, 5, "3.5.3", {"prometheus.yml": "b"})
    known = [_generations.read(layout, number) for number in (there, left)]
    assert said in _rollback.lasting("prometheus", *known)


@pytest.mark.parametrize("number", [4, 9])
def test_generations_that_cannot_be_chosen(layout: Layout, number: int) -> None:
    with pytest.raises(ComponentError, match=f"has no generation {number} that has proven itself") as raised:
        _rollback.check(layout, number, [])
    assert "generation 2 of" in raised.value.seen


@pytest.mark.parametrize(
    ("number", "borders", "allowed"),
    [(2, [], True), (2, ["2.55"], False), (2, [""], False), (2, ["2.40"], True), (3, [""], True)],
)
def test_data_that_the_earlier_version_cannot_read(
    layout: Layout, number: int, borders: list[str], allowed: bool
) -> None:
    if allowed:
        _rollback.check(layout, number, borders)
    else:
        with pytest.raises(ComponentError, match=r"2\.53\.3 cannot read the data that 3\.5\.3 has written"):
            _rollback.check(layout, number, borders)
        os.mkdir(f"{layout.data}/.opswatch-before-2")  # unless its copy is there still
        _rollback.check(layout, number, borders)


def test_what_was_left_serves_again_if_the_earlier_one_does_not(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[t.Any] = []

    def go_back(where: Layout, back: int, *rest: t.Any) -> None:
        tried.append(back)
        if back == 2:
            os.rename(where.generation(3), where.failed)
            raise ComponentError("generation 2 does not stay up either")

    monkeypatch.setattr(_way_back, "go_back", go_back)
    with pytest.raises(ComponentError, match="does not stay up either \\(generation 3 serves again\\)"):
        _rollback.roll_back(layout, 2, "", 1)
    assert tried == [2, 3]
    assert os.path.isdir(layout.generation(3))


def test_the_one_that_has_proven_itself(layout: Layout) -> None:
    assert _generations.proven(layout) == 3


def test_the_one_that_has_proven_itself_before_an_interrupted_change(interrupted: Layout) -> None:
    assert _generations.proven(interrupted) == 2
    Path(interrupted.journal).write_text('{"from": 9}')
    assert _generations.proven(interrupted) is None
    os.unlink(interrupted.journal)
    assert _generations.proven(interrupted) is None


@pytest.mark.parametrize(("proven", "chosen"), [(2, 2), (None, 3)])
def test_the_one_before_an_interrupted_change(interrupted: Layout, proven: int | None, chosen: int) -> None:
    assert component_rollback.earlier(_rollback.listed(interrupted), "prometheus", proven) == chosen


def test_the_one_before(layout: Layout) -> None:
    assert component_rollback.earlier(_rollback.listed(layout), "prometheus", 3) == 2
    os.unlink(layout.current)
    os.symlink("generations/1", layout.current)
    with pytest.raises(ComponentError, match="no generation before the current one"):
        component_rollback.earlier(_rollback.listed(layout), "prometheus", 1)


def test_data_that_an_interrupted_change_may_have_written(interrupted: Layout) -> None:
    _rollback.check(interrupted, 2, ["2.55"])
    with pytest.raises(ComponentError, match=r"that 3\.5\.3 has written\. ") as raised:
        _rollback.check(interrupted, 1, ["2.55"])
    assert raised.value.remedy == "go back to generation 2 first, whose copy of the data is kept"
    os.rmdir(f"{interrupted.data}/.opswatch-before-2")
    with pytest.raises(ComponentError, match="no copy of before is kept"):
        _rollback.check(interrupted, 2, ["2.55"])


def test_way_back_from_an_interrupted_change(interrupted: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what it did outside the generations nothing stays, or the next run would go on with it."""
    monkeypatch.setattr(_way_back, "go_back", lambda *arguments: None)
    assert "went back to generation 2, which answers" in _rollback.roll_back(interrupted, 2, "", 1)
    assert Path(interrupted.secrets, "password").read_text() == "old"
    assert not os.path.exists(interrupted.journal)
    assert not os.path.exists(interrupted.undo)


def test_nothing_to_do(layout: Layout) -> None:
    assert _rollback.roll_back(layout, 3, "", 1) == []


def test_way(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_way_back, "go_back", lambda *arguments: None)
    assert _rollback.roll_back(layout, 2, "", 1) == ["went back to generation 2, which answers"]
    os.mkdir(f"{layout.data}/.opswatch-before-1")
    assert "put back the copy of the data from before" in _rollback.roll_back(layout, 1, "", 1)
