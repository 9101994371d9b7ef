# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Files outside the generations (live, secret): what a running transaction overwrote, until it is committed."""

from __future__ import annotations

import os
import typing as t

from . import _files
from ._layout import Layout
from ._plan import Key

NEW = "new.json"


def save(layout: Layout, keys: t.Iterable[Key]) -> None:
    """Copy what is about to be overwritten. What a killed run saved before stays: that was the proven state."""
    _files.make_folder(layout.undo, 0o700)
    new = new_files(layout)
    for place, path in keys:
        source, target = os.path.join(layout.place(place), path), f"{layout.undo}/{place}/{path}"
        if (place, path) in new or os.path.lexists(target):
            continue
        if not os.path.lexists(source):
            new.append((place, path))
            continue
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        unfinished = os.path.join(os.path.dirname(target), _files.TEMPORARY + os.path.basename(target))
        _files.copy_access(source, unfinished)
        os.rename(unfinished, target)
    _files.write_json(f"{layout.undo}/{NEW}", {"files": new})


def new_files(layout: Layout) -> list[Key]:
    """The files that did not exist before the transaction which is under way, or was killed."""
    stated = _files.read_json(f"{layout.undo}/{NEW}") or {"files": []}
    return [tuple(key) for key in stated["files"]]


def restore(layout: Layout) -> None:
    """Put everything back as it was. May be called twice."""
    undo = layout.undo
    for place in ("live", "secret"):
        for path in _files.relative_files(f"{undo}/{place}"):
            if os.path.basename(path).startswith(_files.TEMPORARY):
                continue  # never finished, so nothing was overwritten either
            # Renamed and not copied: a full disk does not stand in the way.
            os.rename(f"{undo}/{place}/{path}", os.path.join(layout.place(place), path))
    for place, path in new_files(layout):
        _files.remove(os.path.join(layout.place(place), path))


def forget(layout: Layout) -> None:
    """The state is proven: neither the copies, nor the note of an adoption, nor the journal are needed any more."""
    for path in (layout.undo, layout.adoption, layout.journal):
        _files.remove(path)
