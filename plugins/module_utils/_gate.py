# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Whether a server does after a change what it did before: what it scraped, evaluated and answered, and its peers."""

from __future__ import annotations

import json
import time
import typing as t
from urllib.parse import quote

from . import _ask, _snapshot
from ._errors import ComponentError
from ._ready import Endpoint

# Every series that a recording rule of ours or of somebody else's makes: by convention they have a colon.
RECORDED = 'count by (__name__) ({__name__=~".+:.+"})'

State = dict[str, list[str]]
WORDS = {
    "targets": "targets that were up are not",
    "rules": "rules that were evaluated fail",
    "answers": "queries that had a result have none",
    "peers": "members of the cluster are missing",
}


def look(name: str, endpoint: Endpoint) -> State:
    """What is well now, by kind, as sorted texts. Raises where the server cannot be asked."""
    return _alertmanager(endpoint) if name == "alertmanager" else _prometheus(endpoint)


def first_look(name: str, endpoint: Endpoint, patience: float = 30.0) -> State:
    """Before a change. A cluster that has just come together needs some seconds until it has settled."""
    until = time.monotonic() + patience
    while True:
        try:
            return look(name, endpoint)
        except ComponentError:
            if time.monotonic() >= until:
                raise
        time.sleep(1)


def _prometheus(endpoint: Endpoint) -> State:
    targets = _snapshot.answer(endpoint, "/targets?state=active")["activeTargets"]
    groups = _snapshot.answer(endpoint, "/rules")["groups"]
    recorded = _snapshot.answer(endpoint, f"/query?query={quote(RECORDED)}")["result"]
    up = {_target(one) for one in targets if one["health"] == "up"}
    well = {f"{group['name']}: {rule['name']}" for group in groups for rule in group["rules"] if rule["health"] == "ok"}
    return {
        "targets": sorted(up),
        "rules": sorted(well),
        "answers": sorted(str(one["metric"].get("__name__")) for one in recorded),
    }


def _target(one: t.Mapping[str, t.Any]) -> str:
    labels = one["labels"]
    rest = [labels[name] for name in ("target", "database") if name in labels]
    return " ".join([labels.get("job", ""), labels.get("instance", ""), *rest])


def _alertmanager(endpoint: Endpoint) -> State:
    got = _ask.get(endpoint, "/api/v2/status", 10)
    if got.refusal:
        raise got.refusal
    if got.status != 200:
        seen = f"HTTP {got.status}: {got.text[:200]}" if got.status else got.text
        raise ComponentError(f"{endpoint.base}/api/v2/status was not answered", seen, "see whether Alertmanager runs")
    cluster = json.loads(got.text)["cluster"]
    if cluster.get("status") not in ("ready", "disabled"):
        raise ComponentError(
            "the cluster of Alertmanager has not settled", str(cluster.get("status")), "wait, then again"
        )
    return {"peers": sorted(str(one["address"]) for one in cluster.get("peers") or [])}


def missing(before: State, now: State) -> dict[str, list[str]]:
    """What was well and is not. Of peers only the number counts: a member that started anew has another name."""
    found = {}
    for kind, names in before.items():
        if kind == "peers":
            gone = names[: len(names) - len(now[kind])] if len(now[kind]) < len(names) else []
        else:
            gone = sorted(set(names) - set(now[kind]))
        if gone:
            found[kind] = gone
    return found


def shown(gone: t.Mapping[str, t.Sequence[str]]) -> str:
    lines = []
    for kind, names in gone.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        lines.append(f"{len(names)} {WORDS[kind]}: {', '.join(names[:5])}{more}")
    return "\n".join(lines)


def wait(name: str, endpoint: Endpoint, before: State, patience: float) -> float:
    """Wait until all is as before; returns the seconds that it took. Raises with what is missing."""
    begun = time.monotonic()
    while True:
        try:
            gone, problem = missing(before, look(name, endpoint)), None
        except ComponentError as error:
            gone, problem = {}, error
        waited = time.monotonic() - begun
        if not gone and problem is None:
            return waited
        if waited >= patience:
            raise problem or ComponentError(
                f"{name} does not do what it did before the change, for {patience:g} s now",
                shown(gone),
                "see the target or the rule; if it needs longer, raise upgrade_patience",
            )
        time.sleep(1)
