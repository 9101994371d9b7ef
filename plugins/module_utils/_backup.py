# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What of a component goes into a backup, made consistent first. Each is a Part; the manifest describes all of them.

Data that is large stays where it is, under a name that is the same each time, so that restic finds what it has
already; the rest is copied into one folder, the stage.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import signal
import time
import typing as t
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from . import _ask, _data, _files, _generations, _grafana_database, _snapshot
from ._endpoint import endpoint_of
from ._errors import ComponentError
from ._layout import GENERATIONS_HOME, Layout
from ._ready import Endpoint
from ._swap import WORK, refuse_unproved

FORMAT = 1
TAG = "opswatch.monitoring"
PARTIAL_TAG = "opswatch.monitoring.partial"  # of a backup of less than is wanted of its host
STAGE = f"{GENERATIONS_HOME}/.backup"
MANIFEST = f"{STAGE}/manifest.json"
NOTE = f"{STAGE}-snapshot.json"  # what Prometheus was asked for
PATIENCE = 3600  # seconds after which a snapshot that was asked for is not made any more
SETTLED = 90  # seconds: what was scraped before is in the TSDB by now


class Ended(BaseException):
    """A signal came that ends a process. No Exception, of which the failure of one component would be made."""


def raise_when_ended() -> None:
    """Have such a signal raise, so that what was begun is removed. Of SIGKILL nobody hears: C(tidy) of the next run."""
    heard = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]

    def end(number: int, _frame: object) -> None:
        for one in heard:  # another one does not keep it from that
            signal.signal(one, lambda *_heard: None)
        raise Ended(signal.Signals(number).name)

    for one in heard:
        signal.signal(one, end)


@dataclass(frozen=True)
class Part:
    """One component. C(data): the folder with its data as it is in the backup, empty where it has none there."""

    version: str
    generation: int
    data: str = ""
    bytes: int = 0
    files: int = 0
    counts: t.Mapping[str, int] = field(default_factory=dict)
    notes: t.Sequence[str] = ()  # what is not in it, and why

    def words(self, name: str) -> str:
        """One line for people."""
        said = [f"{count} {what.replace('_', ' ')}" for what, count in self.counts.items() if what in SAID]
        size = f", {megabytes(self.bytes)}" if self.data else ""
        return f"{name} {self.version}: " + (", ".join(said) or "its configuration") + size


SAID = ("samples", "series", "silences", "dashboards", "files")


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def shown(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


@dataclass(frozen=True)
class Source:
    """A component of this host, and how it is asked."""

    layout: Layout
    password: str

    @property
    def number(self) -> int:
        number = _generations.current_number(self.layout)
        if number is None:
            raise ComponentError(f"{self.layout.name} has no generation in force", "", "run site.yml first")
        return number

    @property
    def stage(self) -> str:
        return f"{STAGE}/{self.layout.name}"

    def endpoint(self) -> Endpoint | None:
        return endpoint_of(self.layout, {"password": self.password})


def collect(source: Source) -> Part:
    """Copy the state of a component into the stage, and prepare its data."""
    layout, number = source.layout, source.number
    refuse_unproved(layout)
    manifest = _generations.manifest(layout, number) or {}
    os.makedirs(source.stage, mode=0o700)
    _copy(layout.generation(number), f"{source.stage}/generation")
    for folder, name in ((layout.live, "live"), (layout.secrets, "secrets")):
        _copy(folder, f"{source.stage}/{name}")
    part = Part(version=str(manifest.get("version", "")), generation=number)
    prepare = _DATA.get(layout.name)
    return prepare(source, part) if prepare else part


def manifest_of(host: str, parts: t.Mapping[str, Part], created: float) -> dict[str, t.Any]:
    """The description of a backup. The checksums are those of the stage; restic has its own of everything."""
    files = {}
    for name in _files.relative_files(STAGE):
        path = f"{STAGE}/{name}"
        if os.path.isfile(path) and not os.path.islink(path):
            files[name] = {"bytes": os.path.getsize(path), "sha256": _files.file_sha256(path)}
    return {
        "format": FORMAT,
        "host": host,
        "created": datetime.datetime.fromtimestamp(created, datetime.timezone.utc).isoformat(timespec="seconds"),
        "components": {name: asdict(part) for name, part in parts.items()},
        "files": files,
    }


def paths(parts: t.Mapping[str, Part]) -> list[str]:
    """What restic is given."""
    return [STAGE, *_live(parts)]


def excluded(parts: t.Mapping[str, Part]) -> list[str]:
    """What restic leaves out of that: in a live folder, what is ours."""
    return [f"{folder}/{name}" for folder in _live(parts) for name in (WORK, f"{_data.OURS}*")]


def tidy() -> None:
    """Remove what this run made beside the live data, or what a killed one left."""
    _files.remove(STAGE)  # first, as secrets are in it
    noted = _files.read_json(NOTE) or {}
    for folder in noted.get("remove", []):
        _files.remove(folder)
    for asked in noted.get("unanswered", []):
        for folder in _made_about(asked["folder"], asked["asked_at"]):
            with suppress(OSError):  # the server is at it still
                _files.remove(folder)
    unanswered = _unanswered()  # the next run looks again
    if unanswered:
        _files.write_json(NOTE, {"unanswered": unanswered})
    else:
        _files.remove(NOTE)


# --- each component ---


def _prometheus(source: Source, part: Part) -> Part:
    endpoint = source.endpoint()
    if endpoint is None:
        raise ComponentError("where Prometheus answers is not known", "", "run site.yml first")
    stated = _snapshot.flags(endpoint)
    if not stated.get("storage.tsdb.path") or stated.get("agent") == "true":
        return replace(part, notes=("an agent keeps no samples",))
    folder = f"{stated['storage.tsdb.path']}/snapshots"
    fixed = f"{folder}/opswatch"
    # Known before it is there, so that it is found and removed if this process is killed meanwhile.
    before = _unanswered()
    asked = {"folder": folder, "asked_at": time.time()}
    _files.write_json(NOTE, {"unanswered": [*before, asked], "remove": [fixed]})
    _files.remove(fixed)
    # Before, as it has nothing of what is scraped while it is made, which takes minutes on a large server.
    moment = int(time.time()) - SETTLED
    made = _snapshot.take(endpoint, stated)
    os.rename(made, fixed)
    _files.write_json(NOTE, {"unanswered": before, "remove": [fixed]})
    size, number = _size(fixed)
    counted = asdict(_snapshot.counts(fixed))
    counted.update(asked_at=moment, series_then=_snapshot.number_of_series(endpoint, moment))
    return replace(part, data=fixed, bytes=size, files=number, counts=counted)


def _alertmanager(source: Source, part: Part) -> Part:
    """Its own files are as old as its last look at them, up to 15 minutes; what it says itself is as of now."""
    endpoint = source.endpoint()
    if endpoint is None:
        raise ComponentError("where Alertmanager answers is not known", "", "run site.yml first")
    got = _ask.get(endpoint, "/api/v2/silences", 30)
    if got.refusal:
        raise got.refusal
    if got.status != 200:
        seen = f"HTTP {got.status}: {got.text[:200]}" if got.status else got.text
        raise ComponentError(f"{endpoint.base}/api/v2/silences was not answered", seen, "see whether Alertmanager runs")
    silences = json.loads(got.text)
    data = f"{source.stage}/data"
    os.makedirs(data, mode=0o700)
    for name in ("silences", "nflog"):
        if os.path.isfile(f"{source.layout.data}/{name}"):
            _files.copy_access(f"{source.layout.data}/{name}", f"{data}/{name}")
    _files.write_file(f"{data}/silences.json", got.text.encode(), 0o600)
    size, number = _size(data)
    in_force = sum(one["status"]["state"] in ("active", "pending") for one in silences)
    return replace(part, data=data, bytes=size, files=number, counts={"silences": in_force})


def _grafana(source: Source, part: Part) -> Part:
    """Its database while it is in use, and each dashboard as a file of its own beside it."""
    database = _grafana_database.of(source.layout)
    if database is None:
        return replace(part, notes=("its database is not one that can be copied here: back it up where it is",))
    foreign = database.foreign()
    if foreign:
        found = ", ".join(foreign)
        return replace(part, notes=(f"its database is not Grafana's alone ({found}): back it up where it is",))
    data = f"{source.stage}/data"
    os.makedirs(f"{data}/dashboards", mode=0o700)
    copied = database.copy(f"{data}/{database.file}")
    for uid, text in copied:
        _files.write_file(f"{data}/dashboards/{os.path.basename(uid)}.json", text.encode(), 0o600)
    size, files = _size(data)
    return replace(part, data=data, bytes=size, files=files, counts={"dashboards": len(copied)})


def _loki(source: Source, part: Part) -> Part:
    endpoint = source.endpoint()
    if endpoint:
        got = _ask.get(endpoint, "/flush", 120, "POST")
        if got.refusal:
            raise got.refusal
        if got.status not in (200, 204):
            seen = f"HTTP {got.status}: {got.text[:200]}" if got.status else got.text
            raise ComponentError(f"POST {endpoint.base}/flush was refused", seen, "see Loki's journal")
    size, number = _size(source.layout.data)
    elsewhere = _chunks_elsewhere(source.layout)
    notes = (f"its chunks in {', '.join(elsewhere)} are not in the backup",) if elsewhere else ()
    return replace(part, data=source.layout.data, bytes=size, files=number, counts={"files": number}, notes=notes)


def _chunks_elsewhere(layout: Layout) -> list[str]:
    """Where Loki has chunks outside of its data folder. By its configuration: one that is new has no chunks yet."""
    text = _files.read_bytes(f"{layout.etc}/config.yml").decode(errors="replace")
    stated = {
        key: set(re.findall(rf"^[ -]*{key}: *[\"']?([^\s\"']+)", text, re.MULTILINE))
        for key in ("object_store", "chunks_directory")
    }
    folders = {one for one in stated["chunks_directory"] if not f"{one}/".startswith(f"{layout.data}/")}
    return sorted(stated["object_store"] - {"filesystem"} | folders)


# As in WITH_DATA of role_facts, by which the control node chooses the hosts.
_DATA: dict[str, t.Callable[[Source, Part], Part]] = {
    "prometheus": _prometheus,
    "alertmanager": _alertmanager,
    "grafana": _grafana,
    "loki": _loki,
}


# --- parts ---


def _live(parts: t.Mapping[str, Part]) -> list[str]:
    return [part.data for part in parts.values() if part.data and not part.data.startswith(STAGE)]


def _unanswered() -> list[dict[str, t.Any]]:
    """The snapshots that were asked for, and that the server may make still."""
    noted = (_files.read_json(NOTE) or {}).get("unanswered", [])
    return [one for one in noted if time.time() - one["asked_at"] <= PATIENCE]


def _made_about(folder: str, moment: float) -> list[str]:
    """Snapshots whose names say that they were begun within ten seconds of a moment: 20261125T155959Z-3e1a..."""
    found = []
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            begun = datetime.datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ")
        except ValueError:
            continue
        if -2 <= begun.replace(tzinfo=datetime.timezone.utc).timestamp() - moment <= 10:
            found.append(f"{folder}/{name}")
    return found


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True, copy_function=_files.copy_access)


def _size(folder: str) -> tuple[int, int]:
    """(bytes, files) below a folder; what goes away meanwhile counts no more, and what is ours not at all."""
    total = number = 0
    for name in _files.relative_files(folder):
        if name.startswith((f"{WORK}/", _data.OURS)):
            continue
        try:
            status = os.lstat(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        total += status.st_size
        number += 1
    return total, number
