# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Releases: where one comes from, and whether it is here. What installs one is in _install and _fetch."""

from __future__ import annotations

import os
import platform
import re
import typing as t
from dataclasses import dataclass, field

from . import _files
from ._errors import ComponentError

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MARK = ".opswatch.json"
PARTIAL = ".partial-"  # what the name of a release begins with until it is whole
_SUM = re.compile(r"^([0-9a-f]{64})[ \t]+[*]?(\S+)$")


@dataclass(frozen=True)
class Source:
    """Where a release for this host comes from. C(path) is below C(base); an empty checksum means: ask."""

    base: str
    path: str
    checksum: str = ""  # from a lock the control node knows
    mirror_lock: str = ""  # address of the mirror's own lock, if there is a mirror
    checksums_path: str = ""  # the release's own checksum file
    pushed: str = ""  # the archive, already on this host
    programs: tuple[str, ...] = ()
    names: t.Mapping[str, str] = field(default_factory=dict)  # of programs that upstream calls otherwise
    unpublished: bool = False  # upstream publishes no checksum of it

    @property
    def url(self) -> str:
        if self.pushed:
            return self.path
        return f"{self.base.rstrip('/')}/{self.path}"


def shown(url: str) -> str:
    """An address as it may be said: without a password that is in it."""
    return re.sub(r"(://)[^/@\s]+@", r"\1", url)


def architecture(machine: str | None = None) -> str:
    machine = machine or platform.machine()
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        raise ComponentError(
            f"no release is known for the architecture {machine}", "", "supported: " + ", ".join(ARCHITECTURES)
        ) from None


def is_installed(folder: str, programs: t.Iterable[str]) -> bool:
    """True where the mark is there and every program can be run and has the size with which it was unpacked."""
    mark = _files.read_json(os.path.join(folder, MARK))
    if mark is None:
        return False
    paths = {name: os.path.join(folder, name) for name in programs}
    try:
        return all(
            os.stat(path).st_size == mark["sizes"][name] and os.access(path, os.X_OK) for name, path in paths.items()
        )
    except (OSError, KeyError, TypeError):
        return False


def installed_checksum(folder: str) -> str:
    """SHA-256 of what a release was unpacked from; empty where none is installed."""
    return str((_files.read_json(os.path.join(folder, MARK)) or {}).get("sha256", ""))


def listed_sum(text: str, path: str) -> str:
    """The SHA-256 of a release in its own checksum file, which may hold nothing else; empty where it is not there."""
    if re.fullmatch("[0-9a-f]{64}", text.strip()):
        return text.strip()
    matches = (_SUM.match(line.strip()) for line in text.splitlines())
    return next((one[1] for one in matches if one and os.path.basename(one[2]) == os.path.basename(path)), "")
