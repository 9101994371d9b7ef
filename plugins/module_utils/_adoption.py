# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What others had put where ours belongs: stopped and moved away, but noted first, so that it can be put back."""

from __future__ import annotations

import os
import time
import typing as t

from . import _files, _service
from ._layout import Layout


def noted(layout: Layout) -> dict[str, t.Any] | None:
    """The adoption that is under way, or that a killed run left."""
    return _files.read_json(layout.adoption)


def take(layout: Layout, units: t.Iterable[str], paths: t.Iterable[str], number: int | None) -> None:
    """Stop what runs here so far and move its files away. What a killed run noted before stays noted."""
    note = noted(layout) or {
        "folder": f"{layout.adopted}/{time.strftime('%Y%m%dT%H%M%S')}",
        "units": {},
        "paths": [],
    }
    units = list(units)
    for unit in units:
        seen = _service.status(unit)
        note["units"].setdefault(unit, {"enabled": seen.enabled, "running": seen.running})
    note["paths"] = [*note["paths"], *(path for path in paths if path not in note["paths"])]
    note["number"] = number
    _files.make_folder(os.path.dirname(layout.home))
    _files.make_folder(layout.home)
    _files.write_json(layout.adoption, note)
    for unit in units:
        _service.command("systemctl", "disable", "--now", unit)
    for path in paths:
        keep = _keep(layout, note, path)
        os.makedirs(os.path.dirname(keep), mode=0o700, exist_ok=True)
        _files.move(path, keep)
    _service.command("systemctl", "daemon-reload")


def undo(layout: Layout) -> list[str]:
    """Put everything back as it was; returns what. May be called again after it was killed."""
    note = noted(layout)
    if note is None:
        return []
    for path in note["paths"]:
        keep = _keep(layout, note, path)
        for unfinished in (path + _files.MOVING, keep + _files.MOVING):
            _files.remove(unfinished)
        if os.path.lexists(keep):  # it was moved, so what stands there now is ours, or half of what was put back
            _files.remove(path)
            _files.move(keep, path)
    if note["units"]:
        _service.command("systemctl", "daemon-reload")
    for unit, was in note["units"].items():
        if was["enabled"]:
            _service.command("systemctl", "enable", "--quiet", unit)
        if was["running"]:
            _service.command("systemctl", "start", unit)
    _files.remove_empty(layout.adopted)
    _files.remove(layout.adoption)
    return [*note["paths"], *note["units"]]


def _keep(layout: Layout, note: t.Mapping[str, t.Any], path: str) -> str:
    return f"{note['folder']}{path[len(layout.root) :]}"
