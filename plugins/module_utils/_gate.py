# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Whether a server does after a change what it did before: what it scraped, evaluated and answered, and its peers."""

from __future__ import annotations

import json
import time
import typing as t
from urllib.parse import quote

from . import _ask, _silence, _snapshot
from ._errors import ComponentError
from ._ready import Endpoint, wait_until_ready

# Every series that a recording rule of ours or of somebody else's makes: by convention they have a colon.
RECORDED = 'count by (__name__) ({__name__=~".+:.+"})'
# Rules that are evaluated less often cannot be judged in the time that a change is waited for.
LONGEST_INTERVAL = 60  # seconds
# Prometheus passes on what its discoveries found each five seconds, and begins to scrape it each five seconds. One
# more, as it tells whole seconds.
DISCOVERED = 11  # seconds

State = dict[str, list[str]]
WORDS = {
    "targets": "targets that were up are not",
    "rules": "rules that were evaluated fail",
    "answers": "queries that had a result have none",
    "peers": "members of the cluster are missing",
}


def look(name: str, endpoint: Endpoint, since: float | None = None) -> State:
    """What is well now, by kind, as sorted texts. Raises where the server cannot be asked.

    C(since): only results of the last so many seconds count; else what Prometheus takes for the present.
    """
    return _alertmanager(endpoint) if name == "alertmanager" else _prometheus(endpoint, since)


def first_look(name: str, endpoint: Endpoint, patience: float = 30.0) -> State:
    """Before a change. A server that has just started is waited for: what it has not tried yet would count for nothing,
    and a cluster that has just come together needs some seconds until it has settled. C(patience): seconds without any
    progress, of which a server that reads its log makes some."""
    wait_until_ready(endpoint, lambda: None, patience)
    until = time.monotonic() + patience
    while True:
        try:
            if name == "alertmanager" or not _has_just_started(endpoint):
                return look(name, endpoint)
        except ComponentError:
            if time.monotonic() >= until:
                raise
        time.sleep(1)


def _has_just_started(endpoint: Endpoint) -> bool:
    """Whether there are targets and rules that it will try within its first minute, and has not yet."""
    # Not startTime: before it reads its configuration it may replay its log for minutes.
    begun = _silence.parse_time(_snapshot.answer(endpoint, "/status/runtimeinfo")["lastConfigTime"])
    age = time.time() - begun.timestamp()
    if age < 0 or age > DISCOVERED + LONGEST_INTERVAL:
        return False
    targets, rules = _tried(endpoint)
    return age < DISCOVERED or any(one["health"] == "unknown" for one in [*targets, *(rule for _group, rule in rules)])


def _tried(endpoint: Endpoint) -> tuple[list[dict[str, t.Any]], list[tuple[str, dict[str, t.Any]]]]:
    """(targets, (group, rule) of those that are evaluated often enough to be judged)."""
    targets = _snapshot.answer(endpoint, "/targets?state=active")["activeTargets"]
    groups = _snapshot.answer(endpoint, "/rules")["groups"]
    judged = [group for group in groups if group["interval"] <= LONGEST_INTERVAL]
    return targets, [(str(group["name"]), rule) for group in judged for rule in group["rules"]]


def _prometheus(endpoint: Endpoint, since: float | None) -> State:
    targets, rules = _tried(endpoint)
    window = "" if since is None else f"&lookback_delta={max(since, 1):.0f}"
    recorded = _snapshot.answer(endpoint, f"/query?query={quote(RECORDED)}{window}")["result"]
    names = {str(one["metric"].get("__name__")) for one in recorded}
    return {
        "targets": sorted({_target(one) for one in targets if one["health"] == "up"}),
        "rules": sorted({f"{group}: {rule['name']}" for group, rule in rules if rule["health"] == "ok"}),
        "answers": sorted({str(rule["name"]) for _group, rule in rules} & names),
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


def wait(name: str, endpoint: Endpoint, before: State, patience: float) -> tuple[float, State]:
    """Wait until all is as before; returns the seconds that it took, and what is well. Raises with what is missing."""
    begun = time.monotonic()
    while True:
        now: State = {}
        try:
            now = look(name, endpoint, time.monotonic() - begun)
            gone, problem = missing(before, now), None
        except ComponentError as error:
            gone, problem = {}, error
        waited = time.monotonic() - begun
        if not gone and problem is None:
            return waited, now
        if waited >= patience:
            raise problem or ComponentError(
                f"{name} does not do what it did before the change, for {patience:g} s now",
                shown(gone),
                "see the target or the rule; if it needs longer, raise upgrade_patience",
            )
        time.sleep(1)
