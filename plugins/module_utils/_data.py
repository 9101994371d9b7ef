# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""A copy of a component's data, kept across a step to a version whose format the present one cannot read."""

from __future__ import annotations

import fnmatch
import glob
import os
import shutil
import typing as t
from dataclasses import dataclass

from . import _files
from ._errors import ComponentError

OURS = ".opswatch-"
PREFIX = f"{OURS}before-"
RESTORING = f"{OURS}restoring-"
DISCARDED = f"{OURS}discarded"


@dataclass(frozen=True)
class Data:
    """C(immutable): patterns of top-level entries whose files never change once written, so a hard link is a copy."""

    immutable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """The copy that generation C(number) can read. It stands inside the data folder: the same file system for sure."""

    data: Data
    home: str
    number: str

    @property
    def folder(self) -> str:
        return f"{self.home}/{PREFIX}{self.number}"

    def entries(self) -> list[str]:
        return [name for name in os.listdir(self.home) if not name.startswith(OURS)]

    def is_immutable(self, entry: str) -> bool:
        return any(fnmatch.fnmatch(entry, pattern) for pattern in self.data.immutable)

    def check_space(self) -> None:
        needed = sum(_size(os.path.join(self.home, name)) for name in self.entries() if not self.is_immutable(name))
        free = shutil.disk_usage(self.home).free
        if needed > free:
            raise ComponentError(
                f"no space for a copy of the data that the earlier version can read, in {self.home}",
                f"{needed >> 20} MiB needed, {free >> 20} MiB free",
                "free some space, or add some, and run again",
            )

    def keep(self) -> None:
        """Call it while the service is stopped."""
        partial = f"{self.folder}.new"
        _files.remove(partial)
        _files.remove(f"{self.home}/{DISCARDED}")  # of a restore that was killed at its very end
        os.mkdir(partial, 0o700)
        try:
            for name in self.entries():
                self._copy(os.path.join(self.home, name), os.path.join(partial, name), self.is_immutable(name))
        except BaseException:
            _files.remove(partial)  # above all when the space ran out
            raise
        os.sync()
        _files.remove(self.folder)
        os.rename(partial, self.folder)

    def _copy(self, source: str, target: str, immutable: bool) -> None:
        copy = _link if immutable else _files.copy_access
        if os.path.isdir(source):
            _files.copy_tree(source, target, copy)
        else:
            copy(source, target)


def interrupted(home: str) -> str | None:
    """The generation whose data was being put back when a run was killed."""
    for name in glob.glob(f"{glob.escape(home)}/{RESTORING}*"):
        return os.path.basename(name)[len(RESTORING) :]
    if os.path.isdir(f"{home}/{DISCARDED}"):
        for name in glob.glob(f"{glob.escape(home)}/{PREFIX}*"):
            if not name.endswith(".new"):
                return os.path.basename(name)[len(PREFIX) :]
    return None


def has_copy(home: str, number: str) -> bool:
    """Whether there is something to restore for a generation, perhaps in part."""
    return os.path.isdir(f"{home}/{PREFIX}{number}") or os.path.isdir(f"{home}/{RESTORING}{number}")


def restore(home: str, number: str) -> bool:
    """Put the copy for generation C(number) in place of the present data; False where none was kept.

    Each part is a rename, and a restore that was killed is completed by the next call: nothing of the copy is in
    place before all of the present data is out of the way.
    """
    folder, restoring, discarded = f"{home}/{PREFIX}{number}", f"{home}/{RESTORING}{number}", f"{home}/{DISCARDED}"
    if os.path.isdir(folder):
        for name in os.listdir(home):
            if not name.startswith(OURS):
                _discard(home, name)
        os.rename(folder, restoring)
    if not os.path.isdir(restoring):
        _files.remove(discarded)  # of a restore that was killed at its very end
        return False
    for name in os.listdir(restoring):
        _discard(home, name)  # whatever somebody started in the meantime has written
        os.rename(os.path.join(restoring, name), os.path.join(home, name))
    os.rmdir(restoring)
    _files.remove(discarded)
    return True


def _discard(home: str, name: str) -> None:
    if os.path.lexists(os.path.join(home, name)):
        os.makedirs(f"{home}/{DISCARDED}", mode=0o700, exist_ok=True)
        _files.remove(f"{home}/{DISCARDED}/{name}")
        os.rename(os.path.join(home, name), f"{home}/{DISCARDED}/{name}")


def forget(home: str) -> None:
    """Drop every copy: the step has proven itself."""
    for folder in glob.glob(f"{glob.escape(home)}/{OURS}*"):
        _files.remove(folder)


def _link(source: str, target: str) -> t.Any:
    return os.link(source, target, follow_symlinks=False)


def _size(path: str) -> int:
    if not os.path.isdir(path):
        return os.lstat(path).st_size
    return sum(os.lstat(os.path.join(path, name)).st_size for name in _files.relative_files(path))
