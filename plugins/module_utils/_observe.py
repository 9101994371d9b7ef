# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Reads the host for the planner. Changes nothing and asks nobody outside."""

from __future__ import annotations

import os
import stat
import typing as t

from . import _data, _files, _generations, _release, _removal, _service, _undo
from ._account import account_ids
from ._layout import Layout
from ._plan import Desired, Generation, Key, Observed, Seen, Service


def observe(layout: Layout, desired: Desired, programs: tuple[str, ...], packages: tuple[str, ...]) -> Observed:
    numbers = _generations.numbers(layout)
    number = _generations.current_number(layout)
    current = _generations.read(layout, number)
    all_read = {n: _generations.read(layout, n) for n in numbers}
    committed = tuple(n for n, generation in all_read.items() if generation and generation.committed)
    journal = _files.read_json(layout.journal)
    if journal and journal.get("new") and journal["to"] in committed:
        journal = None  # killed between the commit and forgetting it
    pending = journal["effect"] if journal else None
    ids = account_ids(layout.name)
    status = _service.status(layout.unit_name)
    ours = current is not None or journal is not None
    fallback = _generations.proven(layout)
    secrets = {n: _secrets(generation) for n, generation in all_read.items() if generation and generation.committed}
    strays = _strays(layout, all_read.get(fallback) if fallback else None, secrets.values())
    return Observed(
        current=current,
        fallback=fallback,
        numbers=numbers,
        committed=committed,
        files=_seen_files(layout, desired, [*(current.files if current else ()), *strays], ids[1] if ids else -1),
        known=strays,
        secrets=secrets,
        foreign=_foreign(layout, {*(current.files if current else ()), *(file.key for file in desired.files)}),
        unit=_files.file_sha256(layout.unit),
        release=_release.is_installed(layout.release(desired.version), programs),
        releases={n: generation.version for n, generation in all_read.items() if generation},
        installed=_installed(layout),
        # One of the same name that a package brought is not ours that runs.
        service=Service(active=ours and status.running, enabled=ours and status.enabled),
        wrong_links=tuple(
            path for path, target in layout.links(programs).items() if not _generations.is_link_to(path, target)
        ),
        account=ids is not None,
        occupied=() if desired.state == "absent" else _occupied(layout, programs, ours),
        packaged=_packaged(layout, packages, ours),
        ours=ours,
        leftovers=bool(_generations.leftovers(layout, committed, number))
        or (not journal and any(map(os.path.lexists, (layout.undo, layout.adoption, layout.journal))))
        or (desired.state == "absent" and _removal.is_left(layout)),
        pending=pending,
        data=_is_there(layout.data),
        kept=journal is not None and fallback is not None and _data.has_copy(layout.data, str(fallback)),
    )


def _secrets(generation: Generation) -> tuple[Key, ...]:
    return tuple(key for key in generation.files if key[0] == "secret")


def _strays(layout: Layout, proven: Generation | None, secrets: t.Iterable[tuple[Key, ...]]) -> tuple[Key, ...]:
    """Files of ours outside the generations: the proven ones, those of earlier generations, and what a run that was
    killed or failed has made."""
    failed = _files.read_json(f"{layout.failed}/manifest.json") or {"files": []}
    keys = {*(proven.files if proven else ()), *_undo.new_files(layout)}
    keys |= {key for generation in secrets for key in generation}
    keys |= {(entry["place"], entry["path"]) for entry in failed["files"]}
    return tuple(sorted(key for key in keys if key[0] != "config"))


def _seen_files(layout: Layout, desired: Desired, known: t.Iterable[Key], gid: int) -> dict[Key, Seen]:
    modes = {file.key: file.mode for file in desired.files}
    found = {}
    for key in [*modes, *known]:
        path = os.path.join(layout.place(key[0]), key[1])
        digest = _files.file_sha256(path)
        if digest is not None:
            status = os.stat(path)
            access = key not in modes or (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (
                modes[key],
                os.geteuid(),
                gid,
            )
            found[key] = Seen(digest, access)
    return found


def _foreign(layout: Layout, known: t.Iterable[Key]) -> tuple[str, ...]:
    """What others put into the configuration folder."""
    own = {path for place, path in known if place == "config"} | set(_generations.STABLE_LINKS)
    return tuple(path for path in _files.relative_files(layout.place("config")) if path not in own)


def _occupied(layout: Layout, programs: tuple[str, ...], ours: bool) -> tuple[str, ...]:
    """Paths that we need and that somebody else has made."""
    taken = [
        path
        for path, target in layout.links(programs).items()
        if os.path.lexists(path) and not _generations.is_link_to(path, target) and not (ours and os.path.islink(path))
    ]
    if not ours and os.path.lexists(layout.unit):
        taken.append(layout.unit)
    return tuple(taken)


def _packaged(layout: Layout, packages: tuple[str, ...], ours: bool) -> tuple[str, ...]:
    """Units of packages that would run beside ours. One of our own name is out of force once ours is in place."""
    found = _service.packaged_units([layout.unit_name, *packages])
    return tuple(
        unit for unit in found if (not ours if unit == layout.unit_name else _runs_or_will(_service.status(unit)))
    )


def _runs_or_will(status: _service.Status) -> bool:
    return status.enabled or status.running


def _installed(layout: Layout) -> tuple[str, ...]:
    try:
        return tuple(sorted(name for name in os.listdir(layout.releases) if not name.startswith(".")))
    except FileNotFoundError:
        return ()


def _is_there(folder: str) -> bool:
    """A folder that can be removed, or has something in it; an empty file system of its own stays where it is."""
    return os.path.isdir(folder) and (not os.path.ismount(folder) or bool(os.listdir(folder)))
