# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Daily: alerts that fire or are about to, and rules that fail."""

from __future__ import annotations

import typing as t
from collections import Counter

from .maintenance_answers import DAY, Answers, named, query
from .report import Chart, Finding, Look, Row, counted, listed

CHECK, RULES = "alerts", "rules"
COMPONENT = "prometheus"
WATCHDOG = "Watchdog"
# How the severity of an alert counts here. One without a severity goes the way of a warning, as in the routes.
SEVERITY = {"critical": "broken", "warning": "warning", "info": "note", "none": "note"}
PATHS = {"rules": "/api/v1/rules"}
QUERIES = [
    query(
        f"firing_{severity}",
        f'count(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)',
        since=DAY,
        step=900,
    )
    for severity in ("critical", "warning")
]


def look(host: str, answers: Answers, muted: t.Collection[str] = ()) -> Look:
    """C(muted): alerts that nobody is told of."""
    rules = [rule for group in groups(answers) for rule in group["rules"]]
    alerting = [rule for rule in rules if rule["type"] == "alerting"]
    told = [rule for rule in alerting if rule["name"] not in muted]
    findings = [*failing(host, rules), *firing(host, alerting), *pending(host, told), *watchdog(host, alerting)]
    if alerting and not any(one.check == CHECK and one.severity in ("broken", "warning") for one in findings):
        findings.append(Finding(CHECK, "ok", host, COMPONENT, "No alert fires that asks for somebody"))
    return Look(findings, [history(answers)])


def groups(answers: Answers) -> list[dict[str, t.Any]]:
    return list((answers.data("rules") or {}).get("groups", []))


def failing(host: str, rules: t.Iterable[t.Mapping[str, t.Any]]) -> list[Finding]:
    """Rules that Prometheus cannot evaluate: an alert that can never fire."""
    bad = [rule for rule in rules if rule.get("health") == "err"]
    if not bad:
        return [Finding(RULES, "ok", host, COMPONENT, "Every rule can be evaluated")]
    return [
        Finding(
            RULES,
            "broken",
            host,
            COMPONENT,
            f"{counted(len(bad), 'rule')} cannot be evaluated: {listed(rule['name'] for rule in bad)}",
            f"{bad[0]['name']}: {bad[0].get('lastError', '')}",
            "The expression does not fit the series any more: two of them match where one is expected, for example.",
            "put the expression into Prometheus' own page Query, correct it, and run site.yml",
        )
    ]


def firing(host: str, rules: t.Iterable[t.Mapping[str, t.Any]]) -> list[Finding]:
    """One finding for each alert and severity, however many things it is about."""
    found: dict[tuple[str, str], list[t.Mapping[str, t.Any]]] = {}
    for rule in rules:
        for alert in rule.get("alerts", []):
            if alert["state"] == "firing" and rule["name"] != WATCHDOG:
                found.setdefault((rule["name"], alert["labels"].get("severity", "")), []).append(alert)
    return [_fires(host, name, SEVERITY.get(severity, "warning"), alerts) for (name, severity), alerts in found.items()]


def _fires(host: str, name: str, severity: str, alerts: t.Sequence[t.Mapping[str, t.Any]]) -> Finding:
    first = alerts[0]
    annotations = first.get("annotations", {})
    instances = list(dict.fromkeys(alert["labels"].get("instance", "") for alert in alerts))
    more = f" ({counted(len(alerts), 'alert')})" if len(alerts) > 1 else ""
    about = [named(alert["labels"], leave_out=("alertname", "severity", "job")) for alert in alerts]
    since = min(alert["activeAt"] for alert in alerts)[:16].replace("T", " ")
    return Finding(
        CHECK,
        severity,
        listed(filter(None, instances)) or host,
        first["labels"].get("job", COMPONENT),
        f"{name}: {annotations.get('summary', 'it fires')}{more}",
        f"since {since}: {listed(about)}",
        annotations.get("description", ""),
        annotations.get("runbook_url", "") or "look at the expression of the alert; it has no runbook",
    )


def pending(host: str, rules: t.Iterable[t.Mapping[str, t.Any]]) -> list[Finding]:
    """Conditions that hold, and not yet for long enough."""
    waiting = Counter(rule["name"] for rule in rules for alert in rule.get("alerts", []) if alert["state"] == "pending")
    if not waiting:
        return []
    names = listed(f"{name} ({count})" if count > 1 else name for name, count in waiting.most_common())
    return [
        Finding(
            CHECK,
            "note",
            host,
            COMPONENT,
            f"{counted(sum(waiting.values()), 'alert is', 'alerts are')} pending: {names}",
            "",
            "The condition holds, but not yet for as long as the alert waits.",
        )
    ]


def watchdog(host: str, rules: t.Sequence[t.Mapping[str, t.Any]]) -> list[Finding]:
    """The alert that always fires. Where it does not, none would."""
    ours = [rule for rule in rules if rule["name"] == WATCHDOG]
    if not ours or any(alert["state"] == "firing" for rule in ours for alert in rule.get("alerts", [])):
        return []
    return [
        Finding(
            CHECK,
            "broken",
            host,
            COMPONENT,
            "Watchdog does not fire: rules are not evaluated, so no alert comes",
            "",
            "Prometheus has just started, or its rules take longer than their interval.",
            f"look at it again in a minute; then journalctl -u prometheus on {host}",
        )
    ]


def history(answers: Answers) -> Chart:
    rows = []
    for severity, colour in (("critical", "broken"), ("warning", "warning")):
        points = next((one.points for one in answers.series(f"firing_{severity}")), [])
        if points:
            now = int(points[-1])
            state = colour if now else "ok"
            rows.append(Row(severity, f"{now} now, {max(points):.0f} at most", points=points, severity=state))
    return Chart("Alerts that fired", rows, "in the last day")
