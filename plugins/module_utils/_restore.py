# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Data of a backup in place of the data that is there: beside it first, held against the manifest, swapped, proved.

Until it is proved the earlier data stays in the same folder. A run that is killed is undone by the next one.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from . import _backup, _files, _service, _snapshot
from ._errors import ComponentError
from ._layout import Layout
from ._observe import account_ids

WORK = ".monitoring-restore"  # in the data folder: one file system, so that a swap is renames
KEEPS = {WORK, "snapshots", "lost+found"}  # entries that are nobody's data
RESERVE = 64 << 20  # bytes that stay free


@dataclass(frozen=True)
class Swap:
    """The two sets of entries of one data folder. C(data): the folder."""

    data: str

    @property
    def work(self) -> str:
        return f"{self.data}/{WORK}"

    @property
    def new(self) -> str:
        return f"{self.work}/new"

    @property
    def old(self) -> str:
        return f"{self.work}/old"

    def replaced(self, names: t.Sequence[str] | None) -> list[str]:
        """Live entries that make way. C(names): only these; None for all of the data."""
        there = [name for name in sorted(os.listdir(self.data)) if name not in KEEPS and not name.startswith(".")]
        return there if names is None else [name for name in there if name in names]

    def begin(self, names: t.Sequence[str] | None) -> None:
        """Say what will be done, then do it. From here on C(undo) brings back what was."""
        stated = {"replaced": self.replaced(names), "placed": sorted(os.listdir(self.new)), "all": names is None}
        os.makedirs(self.old, mode=0o700, exist_ok=True)
        _files.write_json(f"{self.work}/swap.json", stated)
        for name in stated["replaced"]:
            os.rename(f"{self.data}/{name}", f"{self.old}/{name}")
        for name in stated["placed"]:
            os.rename(f"{self.new}/{name}", f"{self.data}/{name}")
        _files.flush_folder(self.data)

    @property
    def begun(self) -> bool:
        return os.path.exists(f"{self.work}/swap.json")

    def undo(self) -> None:
        """Bring back what was, however far the swap came, and however far an earlier attempt at this."""
        stated = _files.read_json(f"{self.work}/swap.json") or {}
        replaced, placed = stated.get("replaced", []), stated.get("placed", [])
        # What a server that was started on the new data has made beside it is of no more use than that.
        made = [name for name in self.replaced(None) if name not in placed] if stated.get("all") else []
        for name in [*placed, *made]:
            waits = os.path.lexists(f"{self.new}/{name}")  # it never came into place
            is_back = name in replaced and not os.path.lexists(f"{self.old}/{name}")
            if not waits and not is_back:
                _files.remove(f"{self.data}/{name}")
        for name in os.listdir(self.old) if os.path.isdir(self.old) else []:
            _files.remove(f"{self.data}/{name}")
            os.rename(f"{self.old}/{name}", f"{self.data}/{name}")
        _files.flush_folder(self.data)
        self.end()

    def end(self) -> None:
        # The word that something was begun goes first: half of what is removed is nothing to bring back.
        _files.remove(f"{self.work}/swap.json")
        _files.remove(self.work)


def recover(layout: Layout) -> list[str]:
    """Undo what a killed run had begun; returns what was done in words."""
    swap = Swap(layout.data)
    if not os.path.isdir(swap.work):
        return []
    if not swap.begun:
        swap.end()
        return [f"removed what a killed restore of {layout.name} had fetched"]
    _service.command("systemctl", "stop", layout.unit_name, check=False)
    swap.undo()
    _service.command("systemctl", "enable", "--now", "--quiet", layout.unit_name)
    return [f"undid a restore of {layout.name} that was killed: its earlier data serves again"]


# What of the backup's data folder replaces what; all of it, where nothing is said.
ENTRIES = {"alertmanager": ("silences", "nflog"), "grafana": ("grafana.db", "grafana.db-wal", "grafana.db-shm")}


def chosen(snapshots: t.Sequence[t.Mapping[str, t.Any]], wish: str) -> t.Mapping[str, t.Any]:
    """The snapshot that is meant: C(latest), the beginning of an ID, or the last one before a time (ISO 8601, UTC)."""
    if not snapshots:
        raise ComponentError(
            "the repository has no backup of this host",
            "",
            "correct restore_host, if it had another name; or backup_repository",
        )
    # Those of some components only are meant by their IDs alone, where there are others.
    whole = [one for one in snapshots if _backup.TAG in (one.get("tags") or [])] or snapshots
    if wish == "latest":
        return whole[-1]
    by_id = [one for one in snapshots if str(one["id"]).startswith(wish)]
    if len(by_id) == 1:
        return by_id[0]
    before = [one for one in whole if wish[:4].isdigit() and "-" in wish and str(one["time"]) <= wish]
    if before:
        return before[-1]
    known = "\n".join(f"{one['short_id']}  {str(one['time'])[:19]}" for one in snapshots[-10:])
    raise ComponentError(
        f"no backup of this host is meant by {wish!r}", known, "take latest, an ID, or a time after it"
    )


def checked(manifest: t.Mapping[str, t.Any], names: t.Sequence[str], here: t.Sequence[str]) -> list[str]:
    """The components to restore: those that are wanted, in the backup, with data, and installed here."""
    parts = manifest["components"]
    missing = [name for name in names if name not in parts]
    if missing:
        raise ComponentError(
            f"the backup does not have {', '.join(missing)}",
            f"it has {', '.join(parts)}",
            "correct restore_components, or choose another restore_snapshot",
        )
    with_data = [name for name, part in parts.items() if part["data"] and (not names or name in names)]
    empty = [name for name in names if name not in with_data]
    if empty:
        raise ComponentError(
            f"{', '.join(empty)} has no data in the backup",
            "",
            "its configuration comes from the inventory: run site.yml",
        )
    absent = [name for name in with_data if name not in here]
    if absent and names:
        raise ComponentError(f"{', '.join(absent)} is not installed here", "", "run site.yml first, then restore")
    return [name for name in with_data if name in here]


def newest(layout: Layout) -> float:
    """When something of the data that would make way was written last, in seconds since 1970; 0 if there is none."""
    found = 0.0
    for entry in Swap(layout.data).replaced(ENTRIES.get(layout.name)):
        path = f"{layout.data}/{entry}"
        for name in _files.relative_files(path) if os.path.isdir(path) else [""]:
            try:
                found = max(found, os.lstat(f"{path}/{name}" if name else path).st_mtime)
            except FileNotFoundError:
                continue
    return found


def verify(name: str, folder: str, part: t.Mapping[str, t.Any], files: t.Mapping[str, t.Any]) -> None:
    """Hold what was fetched against the manifest. C(files): those of its stage, relative to C(folder)."""
    size, number = _backup._size(folder)
    if name != "loki" and (size, number) != (part["bytes"], part["files"]):
        raise ComponentError(
            f"the data of {name} in the backup is not whole",
            f"{number} files with {size} bytes, and {part['files']} with {part['bytes']} are in its manifest",
            "choose another restore_snapshot; `restic check --read-data` looks at the repository",
        )
    for path, stated in files.items():
        if _files.file_sha256(f"{folder}/{path}") != stated["sha256"]:
            raise ComponentError(
                f"{path} of {name} is not what was backed up", "its SHA-256 differs", "choose another restore_snapshot"
            )
    if name == "prometheus":
        found = _snapshot.counts(folder)
        if found.samples != part["counts"]["samples"] or found.blocks != part["counts"]["blocks"]:
            raise ComponentError(
                "the samples in the backup are not whole",
                f"{found.samples} in {found.blocks} blocks, and not {part['counts']['samples']} in "
                f"{part['counts']['blocks']}",
                "choose another restore_snapshot",
            )


def check_space(folder: str, needed: int) -> None:
    system = os.statvfs(folder)
    free = system.f_bavail * system.f_frsize
    if free < needed + RESERVE:
        raise ComponentError(
            f"no space on the file system of {folder}",
            f"{(needed + RESERVE) >> 20} MiB needed beside what is there, {free >> 20} MiB free",
            "free some space, or add some; nothing was changed",
        )


def own(layout: Layout, folder: str) -> None:
    """Give everything to the account of this host, which may have another number than on the one of the backup."""
    ids = account_ids(layout.name)
    if ids is None:
        raise ComponentError(f"the account {layout.name} is missing", "", "run site.yml first")
    for base, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            os.chown(f"{base}/{name}", *ids, follow_symlinks=False)
