# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at Alertmanager: its cluster, and whether anybody is told of an alert."""

from __future__ import annotations

import re
import typing as t

import yaml

from .maintenance_answers import Answers
from .report import Finding, Look, counted, listed

CLUSTER, RECEIVERS = "cluster", "receivers"
NAME = "alertmanager"
PATHS = {"status": "/api/v2/status"}

Map = t.Mapping[str, t.Any]


def look(host: str, answers: Answers, members: t.Sequence[str]) -> Look:
    """C(members): the hosts that run one, by the inventory."""
    status = answers.data("status")
    if not isinstance(status, dict):
        return Look(answers.problems("access", host, NAME))
    return Look([*cluster(host, status.get("cluster") or {}, members), *receivers(host, status)])


def cluster(host: str, seen: Map, members: t.Sequence[str]) -> list[Finding]:
    if len(members) < 2:
        return [Finding(CLUSTER, "ok", host, NAME, "Alertmanager answers", "it is the only one of the inventory")]
    peers = [str(one["address"]) for one in seen.get("peers") or []]
    others = ", ".join(f"{NAME} of {one}" for one in members if one != host)
    said = f"status {seen.get('status', 'unknown')}, it sees {listed(peers) or 'nobody'}"
    if seen.get("status") != "ready":
        what = "The cluster of Alertmanager has not settled"
        fix = f"look again in a minute; then journalctl -u {NAME} on {host}"
        return [
            Finding(CLUSTER, "warning", host, NAME, what, said, "A member has just started, or is gone.", fix, others)
        ]
    if len(peers) != len(members):
        more = len(peers) > len(members)
        what = f"Alertmanager sees {counted(len(peers), 'member')} of its cluster, and the inventory has {len(members)}"
        cause = "One was taken out of the inventory and still runs." if more else "One does not run, or is not reached."
        fix = (
            "remove it there: alertmanager_state: absent"
            if more
            else "let them reach each other on port 9094, TCP and UDP; site.yml --tags alertmanager"
        )
        severity = "warning" if more else "broken"
        gone = "" if more else others
        return [Finding(CLUSTER, severity, host, NAME, what, f"{said}; of {listed(members)}", cause, fix, gone)]
    return [Finding(CLUSTER, "ok", host, NAME, f"Alertmanager answers, and sees all {len(members)} of its cluster")]


def receivers(host: str, status: Map) -> list[Finding]:
    """Whether a route of the configuration in force leads to somebody."""
    try:
        config = yaml.safe_load(str((status.get("config") or {}).get("original", ""))) or {}
    except yaml.YAMLError:  # what it shows is masked: whoever can load it is Alertmanager alone
        return []
    telling = {
        str(one.get("name")): sorted(
            key.removesuffix("_configs") for key in one if key.endswith("_configs") and one[key]
        )
        for one in config.get("receivers") or []
    }
    used = {name: telling.get(name) or [] for name in routed(config.get("route") or {})}
    if not any(used.values()):
        return [
            Finding(
                RECEIVERS,
                "warning",
                host,
                NAME,
                "Nobody is told of an alert",
                f"every route but that of severity none leads to {listed(sorted(used)) or 'no receiver'}, "
                "which tells nobody",
                "alertmanager_receivers is empty or for the Watchdog alone, or alertmanager_route leads past them.",
                "state one for critical and warning in alertmanager_receivers (docs/alertmanager.md) and run site.yml "
                "--tags alertmanager",
            )
        ]
    names = listed(f"{name} ({', '.join(kinds)})" for name, kinds in sorted(used.items()) if kinds)
    return [Finding(RECEIVERS, "ok", host, NAME, f"Alerts are told to {names}")]


def routed(route: Map, above: str = "") -> set[str]:
    """The receivers that a tree of routes leads to. A branch without one has that of its trunk.

    What is for the Watchdog alone does not count: a dead man's switch tells nobody of an alert.
    """
    receiver = str(route.get("receiver") or above)
    found = {receiver} if receiver else set()
    for branch in route.get("routes") or []:
        if not _is_of_watchdog(branch):
            found |= routed(branch, receiver)
    return found


def _is_of_watchdog(branch: Map) -> bool:
    stated = {re.sub(r"[\s\"']", "", str(one)) for one in branch.get("matchers") or []}
    return "severity=none" in stated or (branch.get("match") or {}).get("severity") == "none"
