# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The one exception of the engine; it becomes C(fail_json) at one place."""

from __future__ import annotations

import errno
import os


class ComponentError(Exception):
    """What failed, what was seen, and what to do about it."""

    def __init__(self, what: str, seen: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.seen = seen.strip()
        self.remedy = remedy

    def __str__(self) -> str:
        return sentence(self.what, self.seen, self.remedy)


def sentence(what: str, seen: str, remedy: str) -> str:
    """One readable text of the three parts; a multi-line C(seen) stands on lines of its own."""
    text = what
    if seen:
        text += f": {seen}" if "\n" not in seen else ":\n" + "\n".join(f"    {line}" for line in seen.splitlines())
    if remedy:
        text += ("\n" if "\n" in text else ". ") + f"What to do: {remedy}"
    return text


# What the kernel says, and what people do about it.
_REMEDIES = {
    errno.ENOSPC: "free space on that file system (`df -h {path}` and `df -i {path}` show it), then run again",
    errno.EDQUOT: "raise the quota of root on that file system, then run again",
    errno.EROFS: "mount that file system writable (`findmnt -T {path}` names it), then run again",
    errno.EPERM: "root itself may not do this: look for `lsattr -d {path}`, SELinux or AppArmor",
    errno.EACCES: "root itself may not do this: look for `lsattr -d {path}`, SELinux or AppArmor",
    errno.EIO: "the disk fails: `dmesg` has more. Replace it, then run again",
}


def from_system(what: str, error: OSError) -> ComponentError:
    """What the kernel refused, said with the file system that it is about."""
    # By its words and not by its number: where a tree is copied, Python keeps nothing but the words.
    number = next((number for number in _REMEDIES if os.strerror(number) in str(error)), None)
    if number is None:
        return ComponentError(what, str(error))
    path = _existing(str(error.filename2 or error.filename or "/"))
    seen = str(error)
    if number == errno.ENOSPC:
        system = os.statvfs(path)
        sizes = [blocks * system.f_frsize >> 20 for blocks in (system.f_bavail, system.f_blocks)]
        seen += f"; {sizes[0]} MiB of {sizes[1]} MiB and {system.f_favail} inodes are free there"
    return ComponentError(what, seen, _REMEDIES[number].format(path=path))


def _existing(path: str) -> str:
    """The path, or the closest folder above it that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path or "/"
