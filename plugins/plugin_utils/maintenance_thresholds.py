# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Monthly: thresholds of alerts against what was seen in a month, and alerts that say nothing, or always something.

A proposal is a quantile and a sentence. Somebody who knows the service decides.
"""

from __future__ import annotations

import math
import typing as t

from .maintenance_alerts import WATCHDOG
from .maintenance_answers import Answers, Compared, Series, compared, named, plain, query
from .report import Chart, Finding, Look, Row, counted, listed

THRESHOLDS, FIRED = "thresholds", "alerts"
COMPONENT = "prometheus"
WINDOW = "[30d:1h]"
MONTH = 30 * 24  # hours
LEAST = 24  # hours without which nothing is proposed
ALWAYS = 0.9  # of all hours
FAR = 0.5  # of the threshold
PATHS = {"rules": "/api/v1/rules?type=alert"}


class Seen(t.NamedTuple):
    """What was seen of one series: p95, p99 and the most; or p5, p1 and the least where below is bad."""

    alert: str
    labels: t.Mapping[str, str]
    threshold: float
    below: bool
    usual: float
    rare: float
    extreme: float


def queries() -> list[dict[str, t.Any]]:
    found = [
        query("thresholds", "monitoring:threshold"),
        query("hours", f"count_over_time((count(up)){WINDOW})"),
        query("fired", f'count_over_time((count by (alertname) (ALERTS{{alertstate="firing"}})){WINDOW})'),
    ]
    return found + [query(alert, quantiles(one)) for alert, one in compared().items()]


def quantiles(one: Compared) -> str:
    """Three numbers of each series in one query, told apart by a label."""
    usual, rare, extreme = (0.05, 0.01, "min") if one.below else (0.95, 0.99, "max")
    month = f"({one.expr}){WINDOW}"
    asked = {
        "usual": f"quantile_over_time({usual}, {month})",
        "rare": f"quantile_over_time({rare}, {month})",
        "extreme": f"{extreme}_over_time({month})",
    }
    return " or ".join(f'label_replace({expr}, "seen", "{name}", "", "")' for name, expr in asked.items())


def look(host: str, answers: Answers) -> Look:
    hours = answers.number("hours") or 0
    fired = {one.labels.get("alertname", ""): one.last for one in answers.series("fired")}
    names = {
        rule["name"]: rule.get("labels", {}).get("severity", "")
        for group in (answers.data("rules") or {}).get("groups", [])
        for rule in group["rules"]
    }
    if hours < LEAST:
        what = "Less than a day is known: thresholds and alerts were not looked at"
        return Look([Finding(THRESHOLDS, "note", host, COMPONENT, what)])
    worst = worst_of(seen(answers))
    findings = [*always(host, names, fired, hours), *never(host, names, fired, hours), *proposals(host, worst, hours)]
    return Look(findings, [chart(worst)])


# --- thresholds ---


def seen(answers: Answers) -> list[Seen]:
    limits = answers.thresholds()
    found = []
    for alert, one in compared().items():
        parts: dict[tuple[tuple[str, str], ...], dict[str, Series]] = {}
        for series in answers.series(alert):
            key = tuple(
                sorted((name, value) for name, value in series.labels.items() if name not in ("seen", "__name__"))
            )
            parts.setdefault(key, {})[series.labels.get("seen", "")] = series
        for labels, numbers in parts.items():
            if alert in limits and {"usual", "rare", "extreme"} <= set(numbers):
                last = {name: series.last for name, series in numbers.items()}
                found.append(
                    Seen(alert, dict(labels), limits[alert], one.below, last["usual"], last["rare"], last["extreme"])
                )
    return found


def worst_of(found: t.Iterable[Seen]) -> list[Seen]:
    """For each alert the series that comes closest to its threshold."""
    worst: dict[str, Seen] = {}
    for one in found:
        other = worst.get(one.alert)
        if other is None or (one.rare < other.rare if one.below else one.rare > other.rare):
            worst[one.alert] = one
    return list(worst.values())


def proposals(host: str, worst: t.Sequence[Seen], hours: float) -> list[Finding]:
    over = [one for one in worst if (one.usual < one.threshold if one.below else one.usual > one.threshold)]
    far = [one for one in worst if not one.below and one.threshold > 0 and 0 < one.extreme < FAR * one.threshold]
    findings = [_over(host, one) for one in over]
    if far:
        said = listed(
            (
                f"{one.alert} {plain(nice(2 * one.rare))} (now {plain(one.threshold)}, p99 {plain(one.rare)})"
                for one in far
            ),
            8,
        )
        findings.append(
            Finding(
                THRESHOLDS,
                "note",
                host,
                COMPONENT,
                f"{counted(len(far), 'threshold is', 'thresholds are')} more than twice what was ever seen",
                f"Proposals, twice the p99 of the worst series: {said}",
                "A lower one would tell earlier.",
                "a threshold that is a limit of the machine (a full disk) stays; set others in prometheus_thresholds",
            )
        )
    if worst and not over:
        what = f"No threshold of {len(worst)} is crossed in usual times"
        findings.append(Finding(THRESHOLDS, "ok", host, COMPONENT, what, f"of the last {plain(hours / 24)} days"))
    return findings


def _over(host: str, one: Seen) -> Finding:
    side, usual, quantile, extreme = ("below", "p5", "p1", "least") if one.below else ("above", "p95", "p99", "most")
    proposal = nice(one.rare, down=one.below)
    return Finding(
        THRESHOLDS,
        "warning",
        one.labels.get("instance", host),
        COMPONENT,
        f"{one.alert}: {named(one.labels)} is {side} its threshold of {plain(one.threshold)} for over 5 % of the time",
        f"{usual} {plain(one.usual)}, {quantile} {plain(one.rare)}, {extreme} {plain(one.extreme)}",
        "Either this is usual here, and the threshold is not; or something is wrong all the time.",
        f"if it is usual: prometheus_thresholds: {{{one.alert}: {plain(proposal)}}}, which is its {quantile}, rounded",
    )


def nice(value: float, down: bool = False) -> float:
    """Two digits, to the side on which the alert is silent."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round((math.floor if down else math.ceil)(round(value / unit, 6)) * unit, 10)


def chart(worst: t.Sequence[Seen]) -> Chart:
    rows = []
    for one in sorted(worst, key=lambda one: one.rare / one.threshold if one.threshold else 0, reverse=True):
        if one.below or not one.threshold:
            continue
        severity = "warning" if one.usual > one.threshold else "ok"
        text = f"p95 {plain(one.usual)}, p99 {plain(one.rare)} of {plain(one.threshold)}"
        rows.append(Row(one.alert, text, 100 * one.rare / one.threshold, 100, severity=severity))
    return Chart(
        "Thresholds against a month",
        rows[:14],
        "the 99th percentile of the worst series; the mark is the threshold",
        full=150,
    )


# --- alerts that fired never, or always ---


def never(host: str, names: t.Mapping[str, str], fired: t.Collection[str], hours: float) -> list[Finding]:
    silent = sorted(set(names) - set(fired))
    if not silent:
        return []
    return [
        Finding(
            FIRED,
            "note",
            host,
            COMPONENT,
            f"{len(silent)} of {len(names)} alerts never fired in {plain(min(hours, MONTH) / 24)} days",
            listed(silent, 12),
            "As it should be for most. One that you expected is blind, or its threshold is out of reach.",
            "look at those of rules of your own: does their expression have series?",
        )
    ]


def always(host: str, names: t.Mapping[str, str], fired: t.Mapping[str, float], hours: float) -> list[Finding]:
    found = sorted(
        name
        for name, count in fired.items()
        if count >= ALWAYS * hours and names.get(name) != "none" and name != WATCHDOG
    )
    return [
        Finding(
            FIRED,
            "warning",
            host,
            COMPONENT,
            f"{name} fired in {min(100, 100 * fired[name] / hours):.0f} % of all hours: nobody looks at it any more",
            f"of the last {plain(hours / 24)} days",
            "",
            f"mend its cause, raise its threshold, or leave it out by prometheus_muted_alerts: [{name}]",
        )
        for name in found
    ]
