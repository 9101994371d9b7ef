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


def save(layout: Layout, keys: t.Iterable[Key]) -> None:
    """Copy what is about to be overwritten or removed. An undo of a killed run stays: it has the proven state."""
    if os.path.lexists(layout.undo):
        return
    folder = f"{layout.undo}.new"
    _files.remove(folder)
    _files.make_folder(folder, 0o700)
    absent = []
    for place, path in keys:
        source = os.path.join(layout.place(place), path)
        if os.path.lexists(source):
            target = f"{folder}/{place}/{path}"
            _files.make_folder(os.path.dirname(target), 0o700)
            _files.copy_access(source, target)
        else:
            absent.append([place, path])
    _files.write_json(f"{folder}/absent.json", {"absent": absent})
    os.rename(folder, layout.undo)


def restore(layout: Layout) -> None:
    """Put everything back as it was. May be called twice."""
    undo = layout.undo
    for place in ("live", "secret"):
        for path in _files.relative_files(f"{undo}/{place}"):
            target = os.path.join(layout.place(place), path)
            _files.copy_access(f"{undo}/{place}/{path}", f"{target}.undo")
            os.rename(f"{target}.undo", target)
    for place, path in (_files.read_json(f"{undo}/absent.json") or {}).get("absent", []):
        _files.remove(os.path.join(layout.place(place), path))


def forget(layout: Layout) -> None:
    """The state is proven: neither the journal nor the copies are needed any more."""
    _files.remove(layout.journal)
    _files.remove(layout.undo)
