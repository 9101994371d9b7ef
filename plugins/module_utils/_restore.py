# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Data of a backup in place of the data that is there: beside it first, held against the manifest, swapped, proved.

Until it is proved the earlier data stays in the same folder. A run that is killed is undone by the next one that asks
for the same component.
"""

from __future__ import annotations

import os
import time
import typing as t
from dataclasses import dataclass
from datetime import datetime, timezone

from . import _backup, _files, _grafana_database, _service, _snapshot
from ._account import account_ids
from ._errors import ComponentError
from ._layout import Layout
from ._silence import parse_time
from ._swap import Swap

RESERVE = 64 << 20  # bytes that stay free
UNPROVED = 900  # seconds: what a service writes in them on data that has not proved itself may go with that data


@dataclass(frozen=True)
class DatabaseSwap(Swap):
    """Grafana's database in PostgreSQL, which changes in one transaction. C(database): the live one."""

    database: _grafana_database.Postgres

    @property
    def before(self) -> str:
        return f"{self.work}/before.sql"

    def begin(self, names: t.Sequence[str] | None) -> None:
        super().begin(())  # a file of SQLite from earlier times is nobody's business
        self.database.dump(f"{self.before}.new")
        os.rename(f"{self.before}.new", self.before)
        try:
            self.database.load(f"{self.work}/{self.database.file}")
        except _grafana_database.LoadRefused:
            os.unlink(self.before)  # nothing has changed, so nothing is to be brought back
            raise

    def undo(self) -> None:
        if os.path.exists(self.before):
            self.database.load(self.before)
        super().undo()

    def is_in_use(self, layout: Layout) -> bool:
        """Whether the service runs on what was loaded: the nearest sign that something was written since."""
        return os.path.exists(self.before) and _service.status(layout.unit_name).running


def swap_of(layout: Layout) -> Swap:
    database = _grafana_database.of(layout) if layout.name == "grafana" else None
    return (
        DatabaseSwap(layout.data, database) if isinstance(database, _grafana_database.Postgres) else Swap(layout.data)
    )


def check_undo(layout: Layout) -> None:
    """Raise where to undo a swap would lose what a service that runs on the new data has written since."""
    swap = swap_of(layout)
    if not swap.in_place:
        return
    has = "has"
    if isinstance(swap, DatabaseSwap):
        if not swap.is_in_use(layout):
            return
        has = "may have"
    begun, last = os.stat(swap.note).st_mtime, newest(layout)
    if last > begun + UNPROVED:
        raise ComponentError(
            f"a restore of {layout.name} was killed, and its data {has} been written to since",
            f"the swap was at {_backup.shown(begun)}, {written(layout, last)}",
            f"to go back to the data from before it, and lose what was written since: `touch {swap.note}` and run this "
            f"again; to keep what is there, and lose the data from before: `rm -r {swap.work}`",
        )


def recover(layout: Layout, check: bool = False) -> list[str]:
    """Undo what a killed run had begun; returns in words what was done, or C(check): what would be."""
    swap = swap_of(layout)
    if not os.path.isdir(swap.work):
        return []
    if not swap.begun:
        if check:
            return [f"would remove what a killed restore of {layout.name} has fetched"]
        swap.end()
        return [f"removed what a killed restore of {layout.name} had fetched"]
    check_undo(layout)
    if check:
        return [f"would undo a restore of {layout.name} that was killed, so that its earlier data serves again"]
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
    whole = [one for one in snapshots if _is_whole(one)] or snapshots
    if wish == "latest":
        return whole[-1]
    by_id = [one for one in snapshots if str(one["id"]).startswith(wish)]
    if len(by_id) == 1:
        return by_id[0]
    moment = _moment(wish)
    before = [one for one in whole if moment and _made_at(one) <= moment]
    if before:
        return before[-1]
    raise ComponentError(
        f"no backup of this host is meant by {wish!r}",
        "\n".join(listed(snapshots[-10:])),
        "take latest, an ID, or a time after a whole one; restore_snapshot=list shows all",
    )


def listed(snapshots: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """A line of each for people: its ID, when it was made, and what of the host is in it."""
    return [f"{one['short_id']}  {_made_at(one):%Y-%m-%dT%H:%M:%SZ}  {_extent(one)}" for one in snapshots]


def _is_whole(snapshot: t.Mapping[str, t.Any]) -> bool:
    return _backup.TAG in (snapshot.get("tags") or [])


def _extent(snapshot: t.Mapping[str, t.Any]) -> str:
    """One without some of its files, or of an earlier version, does not say which components it has."""
    if _is_whole(snapshot):
        return "whole"
    names = [tag for tag in snapshot.get("tags") or [] if tag != _backup.PARTIAL_TAG]
    return f"partial ({', '.join(names)})" if names else "partial"


def _made_at(snapshot: t.Mapping[str, t.Any]) -> datetime:
    """As it is shown, to the second, so that the time can be given back."""
    return parse_time(snapshot["time"]).replace(microsecond=0)


def _moment(wish: str) -> datetime | None:
    if "-" not in wish:  # an ID, of which some can be read as a time
        return None
    try:
        return parse_time(wish, timezone.utc)
    except ComponentError:
        return None


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
    swap = swap_of(layout)
    if isinstance(swap, DatabaseSwap):
        return time.time() if swap.database.is_filled() else 0  # it does not say when it was written
    for entry in swap.replaced(ENTRIES.get(layout.name)):
        path = f"{layout.data}/{entry}"
        for name in _files.relative_files(path) if os.path.isdir(path) else [""]:
            try:
                found = max(found, os.lstat(f"{path}/{name}" if name else path).st_mtime)
            except FileNotFoundError:
                continue
    return found


def written(layout: Layout, last: float) -> str:
    """What C(newest) has found, for people."""
    if isinstance(swap_of(layout), DatabaseSwap):
        return "PostgreSQL does not tell when it was written, so that counts as now"
    return f"{layout.data} was written at {_backup.shown(last)}"


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


def check_database(layout: Layout, files: t.Collection[str]) -> None:
    """Raise where Grafana has another kind of database than when it was backed up. C(files): those of the manifest."""
    database = _grafana_database.of(layout)
    wanted = database.file if database else _grafana_database.FILE
    if f"grafana/data/{wanted}" not in files:
        raise ComponentError(
            "Grafana has its database in another place than when the backup was made",
            f"the backup has no {wanted}",
            "set grafana_database as it was then, run site.yml, then restore",
        )
    if database and database.foreign():
        raise ComponentError(
            "the database is not Grafana's alone, so it cannot be replaced",
            ", ".join(database.foreign()),
            "give Grafana a database of its own, with its tables in the schema public",
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
