# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at Loki: whether it is ready, a line comes back, and every host that reads logs has sent one."""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from .logs import AGENTS, chosen_member, present
from .maintenance_answers import Answers, Refused
from .report import Finding, Look
from .scrape import HostVars

READY, CANARY, LINES = "ready", "canary", "logs"
NAME = "loki"
LABELS = {"job": "canary"}  # without instance and service, so that no look and no alert takes it for one of theirs
# Words of a query that ran out of time, or would read more than it may.
TOO_LONG = ("timed out", "timeout", "deadline exceeded", "context canceled", "http 504", "too many bytes")
PATIENCE = 10  # seconds until the line has to be there

Map = t.Mapping[str, t.Any]


def paths(since: int) -> dict[str, str]:
    expr = f'sum by (instance) (count_over_time({{instance=~".+"}}[{since}s]))'
    return {"ready": "/ready", "seen": f"/loki/api/v1/query?query={quote(expr)}"}


def senders(host: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[str]:
    """The hosts whose lines this Loki can be asked for: those that send to it, by the inventory.

    One with an empty monitoring_logs has an agent that reads nothing.
    """
    members = present(NAME, groups, hostvars)
    found = []
    for agent in AGENTS:
        for one in present(agent, groups, hostvars):
            if not hostvars[one].get("monitoring_logs", True):
                continue
            stated = [str(entry) for entry in hostvars[one].get("monitoring_logs_push") or []]
            if host in stated or (not stated and members and chosen_member(one, members) == host):
                found.append(one)
    return list(dict.fromkeys(found))


def look(host: str, answers: Answers, expected: t.Sequence[str], since: int) -> Look:
    findings = []
    ready = answers.answer("ready")
    if "error" in ready:
        findings.append(
            Finding(
                READY,
                "broken",
                host,
                NAME,
                "Loki is not ready",
                str(ready["error"]),
                "It has just started, or a part of it does not come up.",
                f"look again in a minute; then journalctl -u {NAME} on {host}",
            )
        )
    else:
        findings.append(Finding(READY, "ok", host, NAME, "Loki is ready"))
    if answers.data("seen") is None:
        findings.append(unanswered(host, str(answers.answer("seen").get("error", ""))))
    else:
        findings += silent(host, answers, expected, since)
    return Look(findings)


def unanswered(host: str, said: str) -> Finding:
    """Of the query for lines: it reads each, so that of very many it takes longer than it may."""
    if any(sign in said.lower() for sign in TOO_LONG):
        what = "Whether every host has sent lines is not known: Loki took too long to count them"
        cause = "There are more lines than it counts within doctor_timeout, or within its own limits."
        return Finding(
            LINES, "warning", host, NAME, what, said, cause, "lower doctor_logs_since, or raise doctor_timeout"
        )
    return Finding(
        LINES, "broken", host, NAME, "Loki does not answer queries", said, "", f"journalctl -u {NAME} on {host}"
    )


def silent(host: str, answers: Answers, expected: t.Sequence[str], since: int) -> list[Finding]:
    sent = {one.labels.get("instance", "") for one in answers.series("seen")}
    gone = [one for one in expected if one not in sent]
    if expected and not gone:
        what = f"Every host that reads logs has sent lines to {host}"
        return [Finding(LINES, "ok", host, NAME, what, f"{len(expected)} in the last {since // 60} minutes")]
    return [
        Finding(
            LINES,
            "warning",
            one,
            "promtail, alloy",
            f"{one} has sent no line for {since // 60} minutes",
            f"Loki on {host} has none with instance={one}",
            "Its agent does not run, does not reach Loki or reads nothing (monitoring_logs); or nothing was written.",
            f"journalctl -u promtail -u alloy on {one} has the agent's words; where so few lines are usual, raise "
            "doctor_logs_since",
            ", ".join(f"{agent} of {one}" for agent in AGENTS),
        )
        for one in gone
    ]


def canary(host: str, seconds: float) -> Look:
    return Look([Finding(CANARY, "ok", host, NAME, f"A line came back from Loki after {seconds:.1f} s")])


def no_canary(host: str, refused: Refused) -> Look:
    """Why none came back."""
    if refused.library:
        what = "No line was sent to Loki: its host lacks a library"
        package = f"ansible {host} -b -m ansible.builtin.package -a name=python3-{refused.library}"
        fix = f"{package}, with -i and your inventory; or doctor_canary: false"
        cause = "The doctor installs nothing."
        return Look([Finding(CANARY, "warning", host, NAME, what, refused.what, cause, fix)])
    what = "A line that was sent to Loki did not come back"
    cause = "Loki refuses lines, or cannot write them: its disk, its store, or its limits."
    fix = refused.remedy or f"journalctl -u {NAME} on {host}"
    return Look([Finding(CANARY, "broken", host, NAME, what, refused.what, cause, fix)])
