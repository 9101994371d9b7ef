# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small file operations: what is there afterwards, and what is there when they fail."""

from __future__ import annotations

import errno
import os
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_sha256_of_content_and_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert _files.sha256(b"abc") == _files.file_sha256(str(tmp_path / "a")) == known


@pytest.mark.parametrize("path", ["missing", "folder", "file/below", "dangling"])
def test_what_is_no_file_has_no_content(path: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert _files.file_sha256(str(tmp_path / path)) is None
    assert _files.read_bytes(str(tmp_path / path)) == b""
    assert _files.read_json(str(tmp_path / path)) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": 1}', {"a": 1}), ("", None), ('{"a": ', None), ("[1]", None), ("null", None), ("\0\0\0", None)],
)
def test_read_json(text: str, value: t.Any, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    assert _files.read_json(str(tmp_path / "a.json")) == value


def test_json_there_and_back(tmp_path: Path) -> None:
    value = {"b": [1, "ä", None], "a": {}}
    _files.write_json(str(tmp_path / "a.json"), value)
    assert _files.read_json(str(tmp_path / "a.json")) == value
    assert mode(tmp_path / "a.json") == 0o600


def test_write_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    _files.write_file(str(path), b"one", 0o640, os.geteuid(), os.getegid())
    _files.write_file(str(path), b"two", 0o600, os.geteuid(), os.getegid())
    assert (path.read_bytes(), mode(path)) == (b"two", 0o600)
    assert tree(tmp_path) == ["a"]


def test_reader_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        _files.write_file(str(path), b"new")
        assert reader.read() == b"old"


def test_write_file_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "a").symlink_to("other")
    _files.write_file(str(tmp_path / "a"), b"new")
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "other").read_bytes() == b"other"


def test_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "keep").touch()
    with pytest.raises(OSError, match="directory"):
        _files.write_file(str(tmp_path / "a"), b"new")
    assert tree(tmp_path) == ["a", "a/keep"]


def test_make_folder_sets_the_mode_of_the_last_one_only(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir(0o711)
    _files.make_folder(str(tmp_path / "one/two"), 0o750, os.geteuid(), os.getegid())
    assert (mode(tmp_path / "one"), mode(tmp_path / "one/two")) == (0o711, 0o750)
    _files.make_folder(str(tmp_path / "one/two"), 0o700, os.geteuid(), os.getegid())
    assert mode(tmp_path / "one/two") == 0o700


def test_switch_link(tmp_path: Path) -> None:
    link = tmp_path / "current"
    for target in ("one", "two"):
        _files.switch_link(str(link), target)
        assert os.readlink(link) == target
    assert tree(tmp_path) == ["current"]


def test_switch_link_after_a_kill_in_between(tmp_path: Path) -> None:
    _files.prepare_link(str(tmp_path / "current"), "torn")
    _files.switch_link(str(tmp_path / "current"), "one")
    assert os.readlink(tmp_path / "current") == "one"
    assert tree(tmp_path) == ["current"]


def test_remove(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder/below").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("link", "dangling", "folder", "file", "missing", "missing/below"):
        _files.remove(str(tmp_path / name))
    assert tree(tmp_path) == ["kept", "kept/file"]


def test_relative_files(tmp_path: Path) -> None:
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("a", "b/c/d", "b/e"):
        (tmp_path / name).touch()
    (tmp_path / "b/folder-link").symlink_to("c")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert _files.relative_files(str(tmp_path)) == ["a", "b/c/d", "b/e", "b/folder-link", "dangling"]
    assert _files.relative_files(str(tmp_path / "missing")) == []


def test_copy_access(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"x")
    source.chmod(0o640)
    os.utime(source, (1, 2))
    if os.geteuid() == 0:
        os.chown(source, 1, 1)
    _files.copy_access(str(source), str(tmp_path / "b"))
    one, two = source.stat(), (tmp_path / "b").stat()
    assert (two.st_mode, two.st_uid, two.st_gid, two.st_mtime) == (one.st_mode, one.st_uid, one.st_gid, 2)


def test_copy_access_copies_a_link_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    _files.copy_access(str(tmp_path / "a"), str(tmp_path / "b"))
    assert os.readlink(tmp_path / "b") == "nowhere"


@pytest.mark.parametrize("across", [False, True], ids=["one file system", "two file systems"])
def test_move(across: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a link and a folder; what is moved is never half under its own name."""
    (tmp_path / "from/folder/below").mkdir(parents=True)
    (tmp_path / "from/folder/below/file").write_text("x")
    (tmp_path / "from/folder").chmod(0o750)
    (tmp_path / "from/link").symlink_to("nowhere")
    (tmp_path / "from/file").write_text("y")
    (tmp_path / "to").mkdir()
    real = os.rename

    def rename(source: str, target: str) -> None:
        if across and os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    for name in ("folder", "link", "file"):
        _files.move(str(tmp_path / "from" / name), str(tmp_path / "to" / name))
    assert tree(tmp_path / "from") == []
    assert tree(tmp_path / "to") == ["file", "folder", "folder/below", "folder/below/file", "link"]
    assert os.readlink(tmp_path / "to/link") == "nowhere"
    assert mode(tmp_path / "to/folder") == 0o750


def test_remove_empty(tmp_path: Path) -> None:
    (tmp_path / "empty/below").mkdir(parents=True)
    (tmp_path / "used/below").mkdir(parents=True)
    (tmp_path / "used/below/link").symlink_to("nowhere")
    for name in ("empty", "used", "missing"):
        _files.remove_empty(str(tmp_path / name))
    assert tree(tmp_path) == ["used", "used/below", "used/below/link"]


def test_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left") as caught:
        _files.write_file(str(tmp_path / "a"), b"x")
    assert caught.value.filename == str(tmp_path / "a")
    assert tree(tmp_path) == []
