# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Generations on disk: their manifests, and the switch from one to another."""

from __future__ import annotations

import glob
import os
import subprocess
import time
import typing as t

from . import _files
from ._errors import ComponentError
from ._layout import Layout
from ._plan import File, Generation
from ._release import PARTIAL

# Links inside a generation's configuration, so that it names its own secrets and targets by relative paths.
STABLE_LINKS = ("live", "secrets")


def numbers(layout: Layout) -> tuple[int, ...]:
    try:
        return tuple(sorted(int(name) for name in os.listdir(layout.generations) if name.isdigit()))
    except FileNotFoundError:
        return ()


def current_number(layout: Layout) -> int | None:
    try:
        name = os.path.basename(os.readlink(layout.current))
    except OSError:
        return None
    return int(name) if name.isdigit() else None


def manifest(layout: Layout, number: int) -> dict[str, t.Any] | None:
    return _files.read_json(f"{layout.generation(number)}/manifest.json")


def read(layout: Layout, number: int | None) -> Generation | None:
    """A generation as its manifest states it; None where there is no readable one."""
    stated = manifest(layout, number) if number else None
    if number is None or stated is None:
        return None
    return Generation(
        number=number,
        version=stated["version"],
        unit=stated["unit"],
        files={(entry["place"], entry["path"]): entry["sha256"] for entry in stated["files"]},
        committed=stated["committed"],
    )


def proven(layout: Layout) -> int | None:
    """The generation to go back to: the current one if it is proven, else the one that an interrupted run noted."""
    current = read(layout, current_number(layout))
    if current and current.committed:
        return current.number
    noted = read(layout, (_files.read_json(layout.journal) or {}).get("from"))
    return noted.number if noted and noted.committed else None


def state(
    version: str,
    unit: str,
    files: t.Iterable[File],
    live: t.Mapping[str, str],
    ready: t.Mapping[str, t.Any],
    programs: t.Iterable[str],
    committed: bool,
) -> dict[str, t.Any]:
    """The content of a manifest. C(live) keeps a copy of the live files, so that a way back can bring them along."""
    return {
        "version": version,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "unit": unit,
        "files": [
            {"place": file.place, "path": file.path, "sha256": file.sha256, "mode": f"{file.mode:04o}"}
            for file in files
        ],
        "live": dict(live),
        "ready": dict(ready),
        "programs": list(programs),
        "committed": committed,
    }


def switch(layout: Layout, number: int) -> None:
    """Make a generation the one in force: the C(current) link and its unit file, together.

    The two renames are left to one child process of its own session, so that a worker which is killed between them
    cannot leave the unit of one generation with the configuration of another.
    """
    folder = layout.generation(number)
    link = _files.prepare_link(layout.current, f"generations/{number}")
    unit = f"{layout.unit}.new"
    _files.write_file(unit, _files.read_bytes(f"{folder}/{layout.unit_name}"), 0o644)
    words = ["sh", "-c", 'mv -fT "$1" "$2" && mv -fT "$3" "$4"', "switch", link, layout.current, unit, layout.unit]
    done = subprocess.run(words, capture_output=True, text=True, start_new_session=True, check=False)
    if done.returncode:
        raise ComponentError(f"generation {number} could not be activated", done.stderr)
    _files.flush_folder(layout.home)
    _files.flush_folder(os.path.dirname(layout.unit))


def set_links(layout: Layout, programs: tuple[str, ...]) -> None:
    for path, target in layout.links(programs).items():
        if not is_link_to(path, target):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _files.switch_link(path, target)


def is_link_to(path: str, target: str) -> bool:
    return os.path.islink(path) and os.readlink(path) == target


def leftovers(layout: Layout, committed: t.Iterable[int], current: int | None) -> list[str]:
    """What a killed run left half-made: its staging, a generation never in force, a release, temporary files."""
    paths = [layout.staging, f"{layout.current}.new", f"{layout.unit}.new"]
    paths += [layout.generation(n) for n in numbers(layout) if n not in committed and n != current]
    paths += glob.glob(f"{glob.escape(layout.releases)}/{PARTIAL}*")
    for folder in (layout.live, layout.secrets):
        names = _files.relative_files(folder)
        paths += [f"{folder}/{name}" for name in names if os.path.basename(name).startswith(_files.TEMPORARY)]
    return [path for path in paths if os.path.lexists(path)]
