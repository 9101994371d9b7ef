# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Silences as they were when a backup was made. Its own files, which come back, are up to 15 minutes older."""

from __future__ import annotations

import datetime
import json
import typing as t
from contextlib import suppress

from . import _ask, _files
from ._errors import ComponentError
from ._ready import Endpoint
from ._silence import Silence, parse_time

API = "/api/v2"
STATED = ("matchers", "startsAt", "endsAt", "createdBy", "comment")


def in_force(endpoint: Endpoint | None) -> set[str]:
    """The IDs of those that hold or will; none where nobody says so: it may be down, which is why somebody restores."""
    with suppress(ComponentError, ValueError):
        return {one["id"] for one in _silences(endpoint) if _in_force(one)} if endpoint else set()
    return set()


def give_back(endpoint: Endpoint, path: str, counted: int, before: t.Collection[str] = ()) -> str:
    """Make, change and end silences until they are as in the file; what was done, in words. Raises if that fails.

    C(path): what the server said when the backup was made. C(counted): how many were in force. C(before): which were
    in force before the restore.
    """
    wanted: list[Silence] = json.loads(_files.read_bytes(path) or b"[]") if path else []
    known = {one["id"]: one for one in _silences(endpoint)}
    now = datetime.datetime.now(datetime.timezone.utc)
    done = {"made anew": 0, "changed": 0, "ended": 0}
    owed = counted
    for silence in wanted:
        there = known.get(silence["id"])
        in_force = _in_force(silence) and parse_time(silence["endsAt"]) > now
        # Other members of a cluster have told what was done since the backup; that holds.
        told = there is not None and parse_time(there["updatedAt"]) > parse_time(silence["updatedAt"])
        owed -= _in_force(silence) and (told or not in_force)
        if told or (there is not None and there["updatedAt"] == silence["updatedAt"]):
            continue
        body = {name: silence[name] for name in STATED}
        if in_force and there is None:
            _answer(endpoint, "POST", "/silences", body)
            done["made anew"] += 1
        elif in_force:
            _answer(endpoint, "POST", "/silences", {**body, "id": silence["id"]})
            done["changed"] += 1
        elif there is not None and _in_force(there):
            _answer(endpoint, "DELETE", f"/silence/{silence['id']}")
            done["ended"] += 1
    found = sum(map(_in_force, _silences(endpoint)))
    if found < owed:
        raise ComponentError(
            "Alertmanager does not have the silences of the backup",
            f"{found} are in force, and {owed} of those in the manifest have to be",
            "see its journal",
        )
    done["of later gone"] = len({*before} - {*known} - {one["id"] for one in wanted})
    return f"{found} silences in force, {', '.join(f'{number} {what}' for what, number in done.items())}"


def _in_force(silence: Silence) -> bool:
    return bool(silence["status"]["state"] != "expired")


def _silences(endpoint: Endpoint) -> list[Silence]:
    return list(json.loads(_answer(endpoint, "GET", "/silences").text))


def _answer(endpoint: Endpoint, method: str, path: str, body: t.Mapping[str, t.Any] | None = None) -> _ask.Answer:
    got = _ask.get(endpoint, API + path, 30, method, body)
    if got.refusal:
        raise got.refusal
    if got.status != 200:
        seen = f"HTTP {got.status}: {got.text[:200]}" if got.status else got.text
        raise ComponentError(f"{method} {endpoint.base}{API}{path} was refused", seen, "see Alertmanager's journal")
    return got
