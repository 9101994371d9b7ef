# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Daily: what hosts and databases use, against the thresholds of the alerts, and where it leads."""

from __future__ import annotations

import typing as t

from .maintenance_answers import DAY, Answers, Labels, compared, named, plain, query
from .report import Chart, Finding, Look, Row

CHECK = "resources"
AHEAD = 7  # days
MOST = 14  # rows of the chart
RUNBOOKS = "https://github.com/opswatch/monitoring/blob/main/docs/runbooks"  # as the alerts say it


class Resource(t.NamedTuple):
    """C(grows): it adds up, so that a straight line says something. A load that follows the day does not."""

    alert: str
    title: str
    component: str = "node_exporter"
    grows: bool = False


RESOURCES = (
    Resource("HighCPUUsage", "CPU"),
    Resource("HighMemoryUsage", "Memory"),
    Resource("DiskSpaceLow", "Disk", grows=True),
    Resource("InodesLow", "Inodes", grows=True),
    Resource("HighConntrackUsage", "Connection table"),
    Resource("HighDatabaseConnections", "Database connections", "postgres_exporter"),
    Resource("DatabaseWraparound", "Transaction numbers", "postgres_exporter", grows=True),
)


class Use(t.NamedTuple):
    """One thing that is used up, in percent. C(ahead): what it will be after AHEAD days, where that can be said."""

    resource: Resource
    labels: Labels
    points: t.Sequence[float]
    limit: float | None
    ahead: float | None

    @property
    def now(self) -> float:
        return self.points[-1]

    @property
    def name(self) -> str:
        return f"{self.resource.title} of {named(self.labels, leave_out=('job', 'fstype', 'server'))}"

    @property
    def days(self) -> float | None:
        """Until the threshold is reached, if it goes on like this and that is within AHEAD days."""
        if self.limit is None or self.ahead is None or self.now >= self.limit or self.ahead < self.limit:
            return None
        return AHEAD * (self.limit - self.now) / (self.ahead - self.now)


def queries() -> list[dict[str, t.Any]]:
    found = [query("thresholds", "monitoring:threshold")]
    for resource in RESOURCES:
        expr = compared()[resource.alert].expr
        found.append(query(resource.alert, expr, since=DAY, step=900))
        if resource.grows:
            # Half a day has to be known: what a new host copies first is no trend.
            day = f"({expr})[1d:30m]"
            line = f"predict_linear({day}, {AHEAD * DAY}) and count_over_time({day}) > 24"
            found.append(query(f"{resource.alert}_ahead", line))
    return found


def look(host: str, answers: Answers) -> Look:
    uses = found_uses(answers)
    if not uses:
        return Look([_nothing(host)])
    findings = [one for use in uses for one in judged(use)]
    if not any(one.severity == "warning" for one in findings):
        worst = max(uses, key=_share)
        evidence = f"closest to its threshold: {worst.name}, {plain(worst.now)} %"
        findings.append(Finding(CHECK, "ok", "", "", "Resources are below their thresholds", evidence))
    return Look(findings, [chart(uses)])


def found_uses(answers: Answers) -> list[Use]:
    limits = answers.thresholds()
    uses = []
    for resource in RESOURCES:
        ahead = {_key(one.labels): one.last for one in answers.series(f"{resource.alert}_ahead")}
        uses += [
            Use(resource, one.labels, one.points, limits.get(resource.alert), ahead.get(_key(one.labels)))
            for one in answers.series(resource.alert)
        ]
    return uses


def _key(labels: Labels) -> tuple[tuple[str, str], ...]:
    """predict_linear takes the name of a series away."""
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))


def judged(use: Use) -> list[Finding]:
    if use.limit is None:
        return []
    host, component = use.labels.get("instance", ""), use.resource.component
    evidence = (
        f"threshold {plain(use.limit)} % ({use.resource.alert}); in the last day at most {plain(max(use.points))} %"
    )
    runbook = f"{RUNBOOKS}/{use.resource.alert}.md"
    if use.now >= use.limit:
        what = f"{use.name}: {plain(use.now)} %, above its threshold"
        return [Finding(CHECK, "warning", host, component, what, evidence, "", runbook)]
    if use.days is not None:
        what = f"{use.name}: {plain(use.now)} %, and at its threshold in {plain(use.days)} days"
        cause = (
            "It grew in the last day; this goes on in a straight line, and a growth that ends by itself is not known."
        )
        return [Finding(CHECK, "warning", host, component, what, evidence, cause, runbook)]
    if max(use.points) >= use.limit:
        what = f"{use.name}: {plain(use.now)} % now, but above its threshold within the last day"
        return [Finding(CHECK, "note", host, component, what, evidence)]
    return []


def _nothing(host: str) -> Finding:
    return Finding(
        CHECK,
        "warning",
        host,
        "prometheus",
        "There is no data about the resources of any host",
        "",
        "No node_exporter is scraped, or the rules of the collection are off (prometheus_builtin_rules).",
        "put hosts into the group node_exporter and run site.yml",
    )


def _share(use: Use) -> float:
    return use.now / use.limit if use.limit else 0.0


def chart(uses: t.Sequence[Use]) -> Chart:
    rows = []
    for use in sorted(uses, key=_share, reverse=True)[:MOST]:
        bad = bool(judged(use)) and judged(use)[0].severity == "warning"
        rows.append(Row(use.name, f"{plain(use.now)} %", use.now, use.limit, use.points, "warning" if bad else "ok"))
    left = len(uses) - len(rows)
    return Chart(
        "Resources against their thresholds",
        rows,
        "now, and in the last day" + (f"; {left} more are further from theirs" if left else ""),
        full=100,
    )
