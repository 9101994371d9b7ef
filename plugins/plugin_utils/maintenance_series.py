# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Monthly: series and labels that grew most since an earlier report, and metrics that nobody asks for."""

from __future__ import annotations

import typing as t

from .dashboard_queries import Dashboard, used
from .maintenance_answers import Answers
from .report import Chart, Finding, Look, Row, counted, listed

GROWTH, UNUSED = "series", "unused metrics"
COMPONENT = "prometheus"
# Before 2.46 Prometheus knows no limit here, and tells ten.
PATHS = {
    "tsdb": "/api/v1/status/tsdb?limit=2000",
    "names": "/api/v1/label/__name__/values",
    "all_rules": "/api/v1/rules",
}
# What asks for somebody: a quarter more, and at least a thousand.
FACTOR, LEAST = 1.25, 1000
# Prometheus' own, which belong to every target, and what rules make for people to look at.
_ITS_OWN = ("up", "ALERTS", "ALERTS_FOR_STATE")
_PREFIXES = ("scrape_", "monitoring:")


def look(host: str, answers: Answers, earlier: t.Mapping[str, t.Any], dashboards: t.Sequence[Dashboard]) -> Look:
    key = f"series {host}"
    state = sizes(answers)
    if not state:
        return Look()
    return (
        Look(state={key: state})
        + growth(host, state, earlier.get(key) or {})
        + unused(host, answers, state, dashboards)
    )


def sizes(answers: Answers) -> dict[str, t.Any]:
    """How many series there are, by metric, and how many values, by label."""
    data = answers.data("tsdb")
    if not data:
        return {}
    return {
        "total": int(data["headStats"]["numSeries"]),
        "metrics": {one["name"]: int(one["value"]) for one in data["seriesCountByMetricName"]},
        "labels": {one["name"]: int(one["value"]) for one in data["labelValueCountByLabelName"]},
    }


def growth(host: str, state: t.Mapping[str, t.Any], before: t.Mapping[str, t.Any]) -> Look:
    total, metrics = state["total"], state["metrics"]
    top = sorted(metrics, key=lambda name: metrics[name], reverse=True)[:10]
    rows = [Row(name, _change(metrics[name], before.get("metrics", {}).get(name)), metrics[name]) for name in top]
    chart = Chart("Metrics with most series", rows, f"of {total} series in all")
    if not before:
        what = f"{total} series; the next report will say what grew"
        return Look([Finding(GROWTH, "note", host, COMPONENT, what)], [chart])
    grown = _grown(metrics, before.get("metrics", {}))
    labels = _grown(state["labels"], before.get("labels", {}))
    said = [f"most: {listed(grown, 4)}"] if grown else []
    said += [f"labels: {listed(labels, 4)}"] if labels else []
    if total >= FACTOR * before["total"] and total - before["total"] >= LEAST:
        finding = Finding(
            GROWTH,
            "warning",
            host,
            COMPONENT,
            f"Series grew from {before['total']} to {total} since the last report",
            "; ".join(said),
            "New targets, or a label with ever new values, such as a user or an address.",
            "if it is a label, drop it where the metric is made; prometheus_limits stops a target that explodes",
        )
    else:
        what = f"Series: {_change(total, before['total'])} since the last report"
        finding = Finding(GROWTH, "ok", host, COMPONENT, what, "; ".join(said))
    return Look([finding], [chart])


def _grown(now: t.Mapping[str, int], before: t.Mapping[str, int]) -> list[str]:
    """What grew, the largest growth first."""
    more = {name: count - before.get(name, 0) for name, count in now.items() if count > before.get(name, 0)}
    return [f"{name} +{more[name]}" for name in sorted(more, key=lambda name: more[name], reverse=True)]


def _change(now: int, before: int | None) -> str:
    if not before or now == before:
        return str(now)
    return f"{now} ({100 * (now - before) / before:+.0f} %)"


def unused(host: str, answers: Answers, state: t.Mapping[str, t.Any], dashboards: t.Sequence[Dashboard]) -> Look:
    names = [str(name) for name in answers.data("names") or []]
    if not names:
        return Look()
    asked = used_names(answers, dashboards, names)
    idle = sorted(
        (name for name in names if name not in asked and name not in _ITS_OWN and not name.startswith(_PREFIXES)),
        key=lambda name: state["metrics"].get(name, 0),
        reverse=True,
    )
    series = sum(state["metrics"].get(name, 0) for name in idle)
    share = 100 * series / state["total"] if state["total"] else 0
    if not idle:
        return Look([Finding(UNUSED, "ok", host, COMPONENT, "Every metric is in a rule or a dashboard")])
    where = (
        f"no rule and none of {counted(len(dashboards), 'dashboard')}"
        if dashboards
        else "no rule; no dashboard was read"
    )
    rows = [
        Row(name, str(state["metrics"][name]), state["metrics"][name]) for name in idle[:8] if name in state["metrics"]
    ]
    finding = Finding(
        UNUSED,
        "note",
        host,
        COMPONENT,
        f"{len(idle)} of {len(names)} metrics are in {where}: at least {share:.0f} % of all series",
        f"most series: {listed(f'{name} ({count})' for name in idle if (count := state['metrics'].get(name)))}",
        "",
        "leave them if people look them up; or switch off the collector that makes them, by its exporter's flags",
    )
    return Look([finding], [Chart("Metrics that nobody asks for", rows, "by their series")])


def used_names(answers: Answers, dashboards: t.Sequence[Dashboard], names: t.Sequence[str]) -> set[str]:
    rules = [rule["query"] for group in (answers.data("all_rules") or {}).get("groups", []) for rule in group["rules"]]
    panels = [target.expr for board in dashboards for panel in board.panels for target in panel.targets]
    variables = [one.series for board in dashboards for one in board.variables]
    known = set(names)
    return {name for expr in {*rules, *panels, *variables} for name in used(expr, known)}
