# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Silences that Alertmanager's own files did not have yet when they were copied: made anew."""

from __future__ import annotations

import datetime
import json

from . import _ask, _files
from ._errors import ComponentError
from ._ready import Endpoint

PATH = "/api/v2/silences"
STATED = ("matchers", "startsAt", "endsAt", "createdBy", "comment")


def give_back(endpoint: Endpoint, path: str) -> int:
    """Make those that the server does not know; returns how many. C(path): what it said when the backup was made."""
    wanted = json.loads(_files.read_bytes(path) or b"[]") if path else []
    known = {one["id"] for one in json.loads(_answer(endpoint, "GET").text)}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    number = 0
    for silence in wanted:
        over = silence["status"]["state"] == "expired" or silence["endsAt"] <= now
        if silence["id"] not in known and not over:
            _answer(endpoint, "POST", {name: silence[name] for name in STATED})
            number += 1
    return number


def _answer(endpoint: Endpoint, method: str, body: object = None) -> _ask.Answer:
    got = _ask.get(endpoint, PATH, 30, method, body)
    if got.refusal:
        raise got.refusal
    if got.status != 200:
        seen = f"HTTP {got.status}: {got.text[:200]}" if got.status else got.text
        raise ComponentError(f"{method} {endpoint.base}{PATH} was refused", seen, "see Alertmanager's journal")
    return got
