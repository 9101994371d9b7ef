# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at Grafana: its logins, its datasources, and whether the dashboards of the inventory are there."""

from __future__ import annotations

import typing as t

from .maintenance_answers import Refused
from .report import Finding, Look, counted, listed

LOGIN, DATASOURCES, DASHBOARDS = "login", "datasources", "dashboards"
NAME = "grafana"
REFUSES = "was answered with 401"  # the words of a login that is refused; a port may be 401, too
AGAIN = "site.yml --limit {host} --tags grafana"

Map = t.Mapping[str, t.Any]


def login(host: str, user: str, health: Map) -> Look:
    what = f"Grafana lets {user} in"
    said = f"version {health.get('version') or 'unknown'}, database {health.get('database', 'unknown')}"
    return Look([Finding(LOGIN, "ok", host, NAME, what, said)])


def database(host: str, health: Map) -> Look:
    what, cause = "Grafana does not reach its database", "PostgreSQL of grafana_database is down, or its disk is full."
    fix = f"journalctl -u {NAME} on {host}"
    return Look([Finding("database", "broken", host, NAME, what, str(health.get("database")), cause, fix)])


def no_login(host: str, user: str, refused: Refused) -> Look:
    """Of the one login with the inventory's password: no second one, as five lock the account."""
    what = f"Grafana refuses the password of {user}"
    cause = "Somebody changed it in Grafana, or it was locked by wrong logins for five minutes."
    fix = f"{AGAIN.format(host=host)} sets it again; docs/grafana.md"
    return Look([Finding(LOGIN, "broken", host, NAME, what, refused.what, cause, fix)])


def no_token(host: str, refused: Refused) -> Look:
    """Of the one with which the roles read and write dashboards."""
    what = "Grafana's dashboards could not be read with the token that the roles use"
    cause = "The token was removed in Grafana or on the host, or site.yml has not brought one yet."
    return Look(
        [Finding(LOGIN, "broken", host, NAME, what, refused.what, cause, f"{AGAIN.format(host=host)} makes one")]
    )


def datasources(host: str, found: t.Sequence[Map], servers: t.Mapping[str, str] | None = None) -> Look:
    """C(servers): of those of the inventory, as 'loki of mon1', by their UIDs."""
    findings = [
        Finding(
            DATASOURCES,
            "broken",
            host,
            NAME,
            f"The datasource {one['name']} does not answer",
            str(one["message"]),
            "Its server is down, not reached from here, or has another password than Grafana sends.",
            f"{AGAIN.format(host=host)} brings addresses and passwords of the inventory's servers",
            (servers or {}).get(str(one.get("uid")), ""),
        )
        for one in found
        if one["status"] == "error"
    ]
    if not found:
        what, fix = "Grafana has no datasource", AGAIN.format(host=host)
        findings.append(Finding(DATASOURCES, "warning", host, NAME, what, "", "", fix))
    if not findings:
        names = listed(str(one["name"]) for one in found)
        findings.append(Finding(DATASOURCES, "ok", host, NAME, "Every datasource of Grafana answers", names))
    return Look(findings)


def dashboards(host: str, found: t.Sequence[Map], wanted: t.Mapping[str, str]) -> Look:
    """C(wanted): titles of the inventory's dashboards by their UIDs."""
    there = {one["uid"] for one in found}
    gone = [title for uid, title in wanted.items() if uid not in there]
    if gone:
        what = f"{counted(len(gone), 'dashboard is', 'dashboards are')} missing in Grafana"
        cause = "They were removed in Grafana, or site.yml has not run since they came into the inventory."
        return Look([Finding(DASHBOARDS, "warning", host, NAME, what, listed(gone), cause, AGAIN.format(host=host))])
    what = "Every dashboard of the inventory is in Grafana"
    return Look([Finding(DASHBOARDS, "ok", host, NAME, what, str(len(wanted)))] if wanted else [])
