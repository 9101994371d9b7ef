# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Daily: error lines of the last day, by service; weekly: how long lines are really kept.

The lines themselves do not get into a report: nobody knows what is in them.
"""

from __future__ import annotations

import typing as t

from .maintenance_answers import DAY, when
from .quantities import seconds
from .report import Chart, Finding, Look, Row, counted, listed

ERRORS, RETENTION = "error logs", "log retention"
HOUR = 3600
SELECTOR = '{service=~".+", level=~"error|critical"}'
# What is many more than the day before.
FACTOR, LEAST = 3, 20
# Loki deletes some time after the retention: the compactor looks every few minutes, and waits two hours.
GRACE = 2 * DAY
LONGEST = 29 * DAY  # Loki refuses a query over more than 30 days


# --- error logs ---


def error_question() -> dict[str, t.Any]:
    """Two days by the hour, in one query: today, and what to compare it with."""
    expr = f"sum by (service) (count_over_time({SELECTOR}[1h]))"
    return {"query": expr, "since": 2 * DAY - HOUR, "step": "1h"}


def error_look(host: str, result: t.Sequence[t.Mapping[str, t.Any]], now: float) -> Look:
    """C(result): a matrix. Hours without a line are not in it."""
    findings, rows = [], []
    services = sorted(
        ((_hours(one["values"], now), one["metric"].get("service", "")) for one in result),
        reverse=True,
        key=lambda one: sum(one[0][24:]),
    )
    for hours, service in services:
        before, today = int(sum(hours[:24])), int(sum(hours[24:]))
        if not today:
            continue
        many = today >= LEAST and today >= FACTOR * before
        rows.append(Row(service, f"{today} lines", points=hours[24:], severity="warning" if many else "ok"))
        if many:
            findings.append(_many(host, service, today, before))
    few = [row for row in rows if row.severity == "ok"]
    if few:
        named = listed(f"{row.label} ({row.text.split()[0]})" for row in few)
        what = f"{counted(len(few), 'service')} wrote errors, no more than usual: {named}"
        findings.append(Finding(ERRORS, "note", host, "loki", what, "", "", f"read them in Grafana: {SELECTOR}"))
    if not rows:
        findings.append(Finding(ERRORS, "ok", host, "loki", "No service wrote an error in the last day"))
    return Look(findings, [Chart("Error lines by service", rows[:12], "in the last day")])


def _hours(values: t.Iterable[t.Sequence[t.Any]], now: float) -> list[float]:
    """48 numbers, the last one of the hour that ends now."""
    hours = [0.0] * 48
    for moment, text in values:
        age = int((now - float(moment)) // HOUR)
        if 0 <= age < 48:
            hours[47 - age] += float(text)
    return hours


def _many(host: str, service: str, today: int, before: int) -> Finding:
    return Finding(
        ERRORS,
        "warning",
        host,
        "loki",
        f"{service} wrote {today} error lines in the last day, {before} in the day before",
        "",
        "",
        f'read them in Grafana: {{service="{service}", level=~"error|critical"}}',
    )


# --- retention ---


def longest_retention(stated: str, config: t.Any) -> str:
    """Of all the periods in C(loki_config): C(retention_stream) keeps some lines for longer. C(0s): for ever.

    What is wrong in it Loki itself tells.
    """
    limits = config.get("limits_config") if isinstance(config, t.Mapping) else None
    limits = limits if isinstance(limits, t.Mapping) else {}
    streams = limits.get("retention_stream")
    native = limits.get("retention_period")
    found = [one.get("period") for one in streams if isinstance(one, t.Mapping)] if isinstance(streams, list) else []
    periods = [stated if native is None else native, *(period for period in found if period is not None)]
    return max(map(str, periods), key=lambda period: seconds(period) or float("inf"))


def retention_questions(retention: float, now: float) -> dict[str, dict[str, t.Any]]:
    """The oldest line within what is kept, and one that should be gone."""
    everything = '{service=~".+"}'
    oldest = {"query": everything, "limit": 1, "direction": "forward"}
    kept = min(retention or LONGEST, LONGEST)
    asked = {"kept": {**oldest, "start": str(int(now - kept)), "end": str(int(now))}}
    if retention:
        end = int(now - retention - GRACE)
        asked["gone"] = {**oldest, "start": str(end - LONGEST), "end": str(end)}
    return asked


def retention_look(
    host: str, retention: float, lines: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]], now: float
) -> Look:
    """C(lines): what came of each question."""
    kept = _age(lines.get("kept", []), now)
    gone = _age(lines.get("gone", []), now)
    stated = f"longest retention {retention / DAY:g} days" if retention else "no retention is set"
    if gone:
        finding = Finding(
            RETENTION,
            "warning",
            host,
            "loki",
            f"Lines are {gone / DAY:.0f} days old, and should be gone after {retention / DAY:g}",
            f"{stated}; a line of {when(now - gone)} is still found",
            "The compactor does not delete: it does not run, or retention_enabled was taken out of its configuration.",
            f"look for the compactor in journalctl -u loki on {host}; see docs/loki.md",
        )
    elif kept is None:
        finding = Finding(
            RETENTION,
            "note",
            host,
            "loki",
            "Loki has no line of any service",
            stated,
            "Nothing is sent to it, or it is new.",
            "see docs/logs.md if lines were expected",
        )
    else:
        finding = Finding(
            RETENTION,
            "ok",
            host,
            "loki",
            "Log lines are kept as long as they should be, and no longer",
            f"{stated}; the oldest line found is {kept / DAY:.1f} days old",
        )
    return Look([finding])


def _age(lines: t.Sequence[t.Mapping[str, t.Any]], now: float) -> float | None:
    return now - int(lines[0]["timestamp"]) / 1e9 if lines else None


def without_loki(routine: str) -> Look:
    check, what = (ERRORS, "error logs were") if routine == "daily" else (RETENTION, "the retention of logs was")
    fix = "put a host into the group loki if services write logs"
    return Look([Finding(check, "note", "", "loki", f"The inventory has no Loki: {what} not looked at", "", "", fix)])
