# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Metrics of routines, in files that node_exporter passes on."""

from __future__ import annotations

import os
import typing as t

from . import _files

HELP = {
    "opswatch_backup_last_run_timestamp_seconds": "When the last backup of this host ended, well or not.",
    "opswatch_backup_last_success_timestamp_seconds": "When the last backup of this host ended well.",
    "opswatch_backup_last_run_success": "Whether the last backup of this host ended well.",
    "opswatch_backup_duration_seconds": "How long the last good backup took.",
    "opswatch_backup_bytes": "How much the last good backup has in it.",
    "opswatch_backup_added_bytes": "How much of it was new, and was stored.",
    "opswatch_backup_snapshots": "How many backups of this host the repository has.",
    "opswatch_restore_drill_last_success_timestamp_seconds": "When a backup was last restored for a test, and whole.",
    "opswatch_restore_drill_last_run_success": "Whether the last such test ended well.",
}


def read(path: str) -> dict[str, float]:
    """The metrics in a file of ours; none where there is no such file."""
    found = {}
    for line in _files.read_bytes(path).decode(errors="replace").splitlines():
        name, _blank, value = line.partition(" ")
        if name in HELP:
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found


def write(path: str, metrics: t.Mapping[str, float]) -> None:
    """Go over those in the file. Nothing happens where node_exporter has no such folder."""
    if not os.path.isdir(os.path.dirname(path)):
        return
    lines = []
    for name, value in sorted({**read(path), **metrics}.items()):
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge", f"{name} {value!r}"]
    _files.write_file(path, "\n".join([*lines, ""]).encode(), 0o644)
