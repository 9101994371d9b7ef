# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Prometheus' own snapshots: hard links to its blocks, and the newest samples as one more. Scrapes go on meanwhile."""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from . import _ask, _files
from ._errors import ComponentError
from ._ready import Answer, Endpoint

API = "/api/v1"
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
OFF = "Prometheus' API for snapshots is off"


@dataclass(frozen=True)
class Counts:
    """What the blocks of a TSDB say of themselves. Times are milliseconds since 1970, 0 without any block."""

    blocks: int = 0
    series: int = 0  # summed over the blocks
    samples: int = 0
    oldest: int = 0
    newest: int = 0


def answer(endpoint: Endpoint, path: str, method: str = "GET", patience: float = 30.0) -> t.Any:
    """The C(data) of an answer of the API. Raises with what was asked and what came back."""
    got = _ask.get(endpoint, API + path, patience, method)
    if got.refusal:
        raise got.refusal
    stated = _parsed(got)
    if got.status != 200 or stated.get("status") != "success":
        raise _refused(f"{method} {endpoint.base}{API}{path.partition('?')[0]}", got, stated)
    return stated.get("data")


def flags(endpoint: Endpoint) -> dict[str, str]:
    return dict(answer(endpoint, "/status/flags"))


def check(stated: t.Mapping[str, str]) -> None:
    """Raise where the server makes none. C(stated): its flags."""
    if stated.get("web.enable-admin-api") != "true":
        raise ComponentError(
            OFF,
            "flag web.enable-admin-api",
            "set backup_repository in the inventory, not on the command line alone, and run site.yml, which turns it "
            "on; or set prometheus_admin_api: true",
        )


def retention(stated: t.Mapping[str, str]) -> float:
    """Seconds after which samples are dropped, infinite where nothing is said. C(stated): the server's flags."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", stated.get("storage.tsdb.retention.time", ""))
    return sum(int(number) * SECONDS[unit] for number, unit in parts) or float("inf")


def take(endpoint: Endpoint, stated: t.Mapping[str, str], skip_head: bool = False, patience: float = 600.0) -> str:
    """Make a snapshot, and say where it is."""
    check(stated)
    made = answer(endpoint, f"/admin/tsdb/snapshot?skip_head={str(skip_head).lower()}", "POST", patience)
    return os.path.join(stated["storage.tsdb.path"], "snapshots", made["name"])


def number_of_series(endpoint: Endpoint, moment: int) -> int:
    """How many series had a sample in the five minutes before a moment, in seconds since 1970."""
    query = quote('count({__name__!=""})')
    # Said, and not left to the server, which may have been given another window by a flag.
    result = answer(endpoint, f"/query?query={query}&time={moment}&lookback_delta=5m", patience=120)["result"]
    return int(float(result[0]["value"][1])) if result else 0


def counts(folder: str) -> Counts:
    """Add up the descriptions of all blocks in a folder."""
    found = [
        one
        for path in sorted(glob.glob(f"{glob.escape(folder)}/*/meta.json"))
        if (one := _files.read_json(path)) is not None
    ]
    if not found:
        return Counts()
    return Counts(
        blocks=len(found),
        series=sum(int(one.get("stats", {}).get("numSeries", 0)) for one in found),
        samples=sum(int(one.get("stats", {}).get("numSamples", 0)) for one in found),
        oldest=min(int(one["minTime"]) for one in found),
        newest=max(int(one["maxTime"]) for one in found),
    )


def _parsed(got: Answer) -> dict[str, t.Any]:
    try:
        stated = json.loads(got.text)
    except ValueError:
        return {}
    return stated if isinstance(stated, dict) else {}


def _refused(asked: str, got: Answer, stated: t.Mapping[str, t.Any]) -> ComponentError:
    if not got.status:
        return ComponentError(f"{asked} was not answered", got.text, "see whether Prometheus runs and listens there")
    seen = f"HTTP {got.status}: {stated.get('error') or got.text[:300]}"
    remedy = "see its journal"
    if got.status == 401:
        remedy = "correct the password: monitoring_auth_password"
    elif "admin APIs disabled" in seen:
        return ComponentError(OFF, seen, "set prometheus_admin_api: true and run site.yml")
    return ComponentError(f"{asked} was refused", seen, remedy)
