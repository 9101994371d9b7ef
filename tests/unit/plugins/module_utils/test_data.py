# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a component's data: kept, restored (also when interrupted anywhere), forgotten."""

from __future__ import annotations

import os
import shutil
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _data
from ansible_collections.opswatch.monitoring.plugins.module_utils._data import Data, Kept
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError

BLOCK = "01ABC"
BEFORE = {
    f"{BLOCK}/chunks/000001": "block",
    f"{BLOCK}/meta.json": "{}",
    "wal/00000001": "wal",
    "lock": "",
}


def write(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path / "data", BEFORE)
    (tmp_path / "data/empty").mkdir()
    return tmp_path / "data"


@pytest.fixture
def kept(home: Path) -> Kept:
    return Kept(Data(("01*",)), str(home), "4")


def migrate(home: Path) -> None:
    """What a new version does: blocks go, are made, the log is written on."""
    shutil.rmtree(home / BLOCK)
    shutil.rmtree(home / "wal")
    write(home, {"01XYZ/meta.json": "new format", "wal/checkpoint/0": "new format", "lock": "held", "new": "x"})


# --- keeping ---


def test_copy_is_whole(kept: Kept, home: Path) -> None:
    kept.keep()
    assert content(Path(kept.folder)) == BEFORE
    assert (Path(kept.folder) / "empty").is_dir()
    assert {path.name for path in home.iterdir()} == {BLOCK, "wal", "lock", "empty", Path(kept.folder).name}


def test_only_what_never_changes_is_linked(kept: Kept, home: Path) -> None:
    kept.keep()
    same = {name: os.path.samefile(home / name, Path(kept.folder) / name) for name in BEFORE}
    assert same == {f"{BLOCK}/chunks/000001": True, f"{BLOCK}/meta.json": True, "wal/00000001": False, "lock": False}


def test_data_goes_on_without_the_copy(kept: Kept, home: Path) -> None:
    kept.keep()
    migrate(home)
    with (home / "lock").open("a") as handle:
        handle.write("more")
    assert content(Path(kept.folder)) == BEFORE


def test_copy_is_closed_and_owned_alike(kept: Kept, home: Path) -> None:
    (home / "wal").chmod(0o700)
    (home / "wal/00000001").chmod(0o640)
    if os.geteuid() == 0:
        for path in (home / "wal", home / "wal/00000001", home / BLOCK):
            os.chown(path, 1, 1)
    kept.keep()
    copy = Path(kept.folder)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    for name in ("wal", "wal/00000001", BLOCK):
        one, two = (home / name).stat(), (copy / name).stat()
        assert (one.st_mode, one.st_uid, one.st_gid) == (two.st_mode, two.st_uid, two.st_gid), name


def test_kept_again_is_the_later_state(kept: Kept, home: Path) -> None:
    kept.keep()
    migrate(home)
    later = content(home / "wal")
    kept.keep()
    assert content(Path(kept.folder) / "wal") == later
    assert not (Path(kept.folder) / BLOCK).exists()


def test_killed_while_keeping(kept: Kept, home: Path) -> None:
    torn = Path(f"{kept.folder}.new")
    write(torn, {"wal/00000001": "torn"})
    kept.keep()
    assert content(Path(kept.folder)) == BEFORE
    assert not torn.exists()


def test_torn_copy_is_never_restored(kept: Kept, home: Path) -> None:
    write(Path(f"{kept.folder}.new"), {"wal/00000001": "torn"})
    assert _data.restore(str(home), "4") is False
    assert (home / "wal/00000001").read_text() == "wal"


# --- space ---


class Usage(t.NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(("free", "enough"), [(1 << 20, False), (3 << 20, True)])
def test_space(free: int, enough: bool, kept: Kept, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(home / "wal/00000001", 2 << 20)
    os.truncate(home / BLOCK / "chunks/000001", 1 << 40)  # it is linked, so it needs none
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9 << 40, 0, free))
    if enough:
        kept.check_space()
    else:
        with pytest.raises(ComponentError, match="no space for a copy of the data") as caught:
            kept.check_space()
        assert caught.value.seen == "2 MiB needed, 1 MiB free"


# --- restoring ---


def test_restored(kept: Kept, home: Path) -> None:
    kept.keep()
    migrate(home)
    assert _data.restore(str(home), "4") is True
    assert content(home) == BEFORE
    assert (home / "empty").is_dir()
    assert {path.name for path in home.iterdir()} == {BLOCK, "wal", "lock", "empty"}


def test_nothing_kept_is_nothing_restored(home: Path) -> None:
    assert _data.restore(str(home), "4") is False
    assert content(home) == BEFORE


def test_copy_for_another_generation_is_not_restored(kept: Kept, home: Path) -> None:
    kept.keep()
    migrate(home)
    assert _data.restore(str(home), "3") is False
    assert (home / "new").exists()


class Killed(BaseException):
    """Nothing in between catches it, as nothing catches SIGKILL."""


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch, action: t.Callable[[], object]) -> bool:
    """Run something, and stop it dead before its change number C(number); False if it came to its end."""
    left = [number]

    def counted(real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def change(*arguments: t.Any, **options: t.Any) -> t.Any:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return real(*arguments, **options)

        return change

    with monkeypatch.context() as patch:
        for name in ("rename", "mkdir", "rmdir", "unlink"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            action()
        except Killed:
            return True
    return False


def test_restore_may_be_killed_anywhere(
    home: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Called again it ends with exactly the kept data, and the next copy is kept and restored as ever."""
    kept.keep()
    migrate(home)
    shutil.copytree(home, tmp_path / "start")
    for number in range(100):
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "start", home)
        if not killed_at(number, monkeypatch, lambda: _data.restore(str(home), "4")):
            break
        _data.restore(str(home), "4")
        assert content(home) == BEFORE, f"killed before change {number}"
        assert not [name for name in os.listdir(home) if name.startswith(_data.OURS)], f"killed before change {number}"
        kept.keep()
        migrate(home)
        _data.restore(str(home), "4")
        assert content(home) == BEFORE, f"killed before change {number}, then restored another copy"
    assert number > 10


def test_what_was_started_while_a_restore_was_killed_gives_way(
    home: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody started the service by hand, and it wrote anew what was not there."""
    kept.keep()
    migrate(home)
    shutil.copytree(home, tmp_path / "start")
    for number in range(100):
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "start", home)
        if not killed_at(number, monkeypatch, lambda: _data.restore(str(home), "4")):
            break
        if not (home / "wal").exists():
            write(home, {"wal/00000009": "of no use", "wal/checkpoint/0": "of no use"})
        _data.restore(str(home), "4")
        assert content(home) == BEFORE, f"killed before change {number}"
    assert number > 10


def test_rest_of_an_earlier_restore_is_none_of_the_next(kept: Kept, home: Path) -> None:
    """It was killed at its very end. What is kept later must not be taken for a restore that is under way."""
    write(home, {f"{_data.DISCARDED}/wal/0": "old"})
    kept.keep()
    assert _data.interrupted(str(home)) is None
    assert _data.has_copy(str(home), "4")
    assert not _data.has_copy(str(home), "5")


# --- forgetting ---


def test_forgotten(kept: Kept, home: Path) -> None:
    kept.keep()
    Kept(kept.data, kept.home, "5").keep()
    write(home, {f"{_data.DISCARDED}/wal/0": "old"})
    _data.forget(str(home))
    assert content(home) == BEFORE
    assert {path.name for path in home.iterdir()} == {BLOCK, "wal", "lock", "empty"}


def test_nothing_to_forget(tmp_path: Path) -> None:
    _data.forget(str(tmp_path / "missing"))
    assert not (tmp_path / "missing").exists()


def test_forget_takes_names_literally(tmp_path: Path) -> None:
    """A star in the path of the data matches nothing but itself."""
    other = Kept(Data(), str(tmp_path / "data"), "4")
    write(tmp_path / "data", {"a": "x"})
    write(tmp_path / "d*", {"a": "x"})
    other.keep()
    _data.forget(str(tmp_path / "d*"))
    assert os.path.isdir(other.folder)
