# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel refuses, in words that help."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import from_system


def refusal(number: int, path: Path | None) -> OSError:
    return OSError(number, os.strerror(number), *([str(path)] if path else []))


@pytest.mark.parametrize(
    ("number", "seen", "remedy"),
    [
        (errno.ENOSPC, r"No space left on device", "free space on that file system (`df -h {}`"),
        (errno.EROFS, r"Read-only file system", "mount that file system writable (`findmnt -T {}`"),
        (errno.EPERM, r"Operation not permitted", "lsattr -d {}"),
        (errno.EIO, r"Input/output error", "dmesg"),
    ],
)
def test_known_ones_have_a_remedy(number: int, seen: str, remedy: str, tmp_path: Path) -> None:
    """The folder is named that is there, so that the command in the remedy works as it stands."""
    error = from_system("write x failed", refusal(number, tmp_path / "new/er/file"))
    assert error.what == "write x failed"
    assert seen in error.seen
    assert f"{tmp_path}/new/er/file" in error.seen
    assert remedy.format(tmp_path) in error.remedy


def test_full_disk_tells_what_is_left(tmp_path: Path) -> None:
    system = os.statvfs(tmp_path)
    seen = from_system("x", refusal(errno.ENOSPC, tmp_path / "file")).seen
    assert f" of {system.f_blocks * system.f_frsize >> 20} MiB and " in seen


def test_tree_that_was_copied_tells_too(tmp_path: Path) -> None:
    """Of its errors Python keeps nothing but the words."""
    many = shutil.Error([("a", "b", str(refusal(errno.ENOSPC, None)))])
    assert "df -h" in from_system("x", many).remedy


def test_unknown_one_is_told_as_it_is() -> None:
    error = from_system("x", refusal(errno.ELOOP, Path("/a")))
    assert (error.seen, error.remedy) == (str(refusal(errno.ELOOP, Path("/a"))), "")
