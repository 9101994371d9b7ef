# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live and secret files come back as they were when a transaction fails."""

from __future__ import annotations

import json
import os
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _undo
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout

OLD, NEW, FOLDER = ("live", "old.yml"), ("live", "new.yml"), ("secret", "sub/token")
BEFORE = {"live/old.yml": "old", "secrets/sub/token": "t1"}


def write(layout: Layout, **files: str) -> None:
    for place, path, text in ((*name.split("__"), text) for name, text in files.items()):
        target = Path(layout.place(place), path.replace("_", "/") + (".yml" if place == "live" else ""))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def present(layout: Layout) -> dict[str, str]:
    folders = {"live": Path(layout.live), "secrets": Path(layout.secrets)}
    return {
        f"{name}/{path.relative_to(folder)}": path.read_text()
        for name, folder in folders.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def layout(layout: Layout) -> Layout:
    write(layout, live__old="old", secret__sub_token="t1")
    assert present(layout) == BEFORE
    return layout


def change(layout: Layout) -> None:
    """What a transaction does after it has saved: one file is new, one changes, one goes."""
    write(layout, live__new="new", live__old="changed")
    Path(layout.secrets, "sub/token").unlink()


def test_everything_comes_back(layout: Layout) -> None:
    Path(layout.live, "old.yml").chmod(0o640)
    _undo.save(layout, [OLD, NEW, FOLDER])
    change(layout)
    _undo.restore(layout)
    assert present(layout) == BEFORE
    assert stat.S_IMODE(os.stat(f"{layout.live}/old.yml").st_mode) == 0o640


def test_restored_twice_is_the_same(layout: Layout) -> None:
    _undo.save(layout, [OLD, NEW, FOLDER])
    change(layout)
    _undo.restore(layout)
    _undo.restore(layout)
    assert present(layout) == BEFORE


def test_nothing_saved_is_nothing_restored(layout: Layout) -> None:
    _undo.restore(layout)
    assert present(layout) == BEFORE


def test_forgotten(layout: Layout) -> None:
    _undo.save(layout, [OLD, NEW, FOLDER])
    change(layout)
    Path(layout.journal).write_text("{}")
    _undo.forget(layout)
    _undo.restore(layout)
    assert present(layout) == {"live/new.yml": "new", "live/old.yml": "changed"}
    assert sorted(os.listdir(layout.home)) == ["live", "secrets"]


def test_what_a_killed_run_saved_stays(layout: Layout) -> None:
    """Its own state was never proven: the way back leads to the one before."""
    _undo.save(layout, [OLD])
    write(layout, live__old="by the killed run")
    _undo.save(layout, [OLD])
    write(layout, live__old="by the second run")
    _undo.restore(layout)
    assert present(layout) == BEFORE


def test_run_after_a_killed_one_brings_back_its_own_changes_too(layout: Layout) -> None:
    _undo.save(layout, [OLD])
    write(layout, live__old="by the killed run")
    _undo.save(layout, [OLD, NEW, FOLDER])
    change(layout)
    _undo.restore(layout)
    assert present(layout) == BEFORE


def test_file_that_a_killed_run_made_goes_too(layout: Layout) -> None:
    """For the second run it is nothing new, but it was not there when all was proven."""
    _undo.save(layout, [NEW])
    write(layout, live__new="by the killed run")
    _undo.save(layout, [NEW, OLD])
    write(layout, live__new="by the second run", live__old="by the second run")
    assert _undo.new_files(layout) == [NEW]
    _undo.restore(layout)
    assert present(layout) == BEFORE


class Killed(BaseException):
    """Nothing in between catches it."""


@pytest.mark.parametrize("number", range(4))
def test_killed_while_saving(layout: Layout, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that is not whole is none: nothing was overwritten yet, and the next run saves all of it."""
    keys, left = [OLD, NEW, FOLDER], [number]

    def cut(real: t.Callable[[str, str], None], torn: bool) -> t.Callable[[str, str], None]:
        def change(source: str, target: str) -> None:
            if not left[0]:
                if torn:
                    Path(target).write_text("torn")
                raise Killed
            left[0] -= 1
            real(source, target)

        return change

    with monkeypatch.context() as patch:
        patch.setattr(_files, "copy_access", cut(_files.copy_access, torn=True))
        patch.setattr(os, "rename", cut(os.rename, torn=False))
        with pytest.raises(Killed):
            _undo.save(layout, keys)
    assert _undo.new_files(layout) == []
    _undo.restore(layout)
    assert present(layout) == BEFORE
    _undo.save(layout, keys)
    assert _undo.new_files(layout) == [NEW]
    change(layout)
    _undo.restore(layout)
    assert present(layout) == BEFORE


# --- the files that are new ---


def test_new_files_are_those_that_did_not_exist(layout: Layout) -> None:
    assert _undo.new_files(layout) == []
    _undo.save(layout, [OLD, NEW, FOLDER, ("secret", "sub/new")])
    assert _undo.new_files(layout) == [NEW, ("secret", "sub/new")]
    assert json.loads(Path(layout.undo, "new.json").read_text()) == {"files": [list(NEW), ["secret", "sub/new"]]}
    change(layout)
    assert _undo.new_files(layout) == [NEW, ("secret", "sub/new")]
    _undo.forget(layout)
    assert _undo.new_files(layout) == []


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_torn_list_of_new_files_is_none(layout: Layout, text: str) -> None:
    Path(layout.undo).mkdir()
    Path(layout.undo, "new.json").write_text(text)
    assert _undo.new_files(layout) == []


def test_list_of_new_files_is_made_once(layout: Layout) -> None:
    for _time in range(2):
        _undo.save(layout, [NEW])
    assert _undo.new_files(layout) == [NEW]


def test_copies_of_secrets_are_closed_to_others(layout: Layout) -> None:
    Path(layout.secrets, "sub/token").chmod(0o600)
    _undo.save(layout, [FOLDER])
    modes = {name: stat.S_IMODE(os.stat(f"{layout.undo}/{name}").st_mode) for name in ("", "secret/sub", "new.json")}
    assert modes == {"": 0o700, "secret/sub": 0o700, "new.json": 0o600}
    assert stat.S_IMODE(os.stat(f"{layout.undo}/secret/sub/token").st_mode) == 0o600
