# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the engine has left on a host and nobody needs: looked at, measured, removed."""

from __future__ import annotations

import os
import typing as t

from . import _files, _generations
from ._errors import ComponentError
from ._layout import Layout


def look(layout: Layout, keep: int) -> dict[str, t.Any]:
    """What is installed, and what could go. C(busy): why this component is left alone.

    The rule is the engine's own: the generation in force and the newest proven ones stay, C(keep) in all and one to go
    back to always, with the releases that they need.
    """
    found: dict[str, t.Any] = {"name": layout.name, "version": "", "busy": "", "remove": [], "bytes": 0}
    current = _generations.read(layout, _generations.current_number(layout))
    found["bytes"] = size(layout.generations) + size(layout.releases)
    if current is None:
        return found
    found["version"] = (_generations.read(layout, _generations.proven(layout)) or current).version
    if not current.committed or any(map(os.path.lexists, (layout.journal, layout.adoption))):
        return {**found, "busy": "a change that was begun is not finished"}
    committed = {
        n: one for n in _generations.numbers(layout) if (one := _generations.read(layout, n)) and one.committed
    }
    earlier = sorted((n for n in committed if n != current.number), reverse=True)
    stay = {current.number, *earlier[: max(keep - 1, 1)]}
    releases = {committed[n].version for n in stay}
    gone = [(f"generation {n} of {layout.name}", layout.generation(n)) for n in sorted(set(committed) - stay)]
    gone += [
        (f"{layout.name} {version}", layout.release(version))
        for version in _installed(layout)
        if version not in releases
    ]
    gone += [
        (f"what a killed run left of {layout.name}", path)
        for path in _generations.leftovers(layout, tuple(committed), current.number)
    ]
    found["remove"] = [{"what": what, "path": path, "bytes": size(path)} for what, path in gone]
    return found


def remove(entries: t.Iterable[t.Mapping[str, t.Any]]) -> None:
    for entry in entries:
        try:
            _files.remove(entry["path"])
        except OSError as error:
            raise ComponentError(
                f"{entry['path']} cannot be removed", str(error), "look at it; the rest is as it was"
            ) from error


def _installed(layout: Layout) -> list[str]:
    try:
        return sorted(name for name in os.listdir(layout.releases) if not name.startswith("."))
    except FileNotFoundError:
        return []


def size(path: str) -> int:
    """Bytes on the disk. A file with two names is counted once, and links are not followed."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            total += _blocks(os.path.join(folder, name), seen)
    return total + _blocks(path, seen)


def _blocks(path: str, seen: set[tuple[int, int]]) -> int:
    try:
        status = os.lstat(path)
    except OSError:  # gone meanwhile
        return 0
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return 0
    seen.add(key)
    return status.st_blocks * 512
