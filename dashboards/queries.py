# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries, and what is drawn of an alert's own threshold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from grafana_foundation_sdk.builders import loki
from grafana_foundation_sdk.builders import prometheus as build
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

#: Every panel and variable asks what the variable of this name says.
DATASOURCE = DataSourceRef("prometheus", "${datasource}")
#: And for lines of logs, this one.
LOGS = DataSourceRef("loki", "${logs}")

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FIRST = LETTERS[0]
# By these names overrides find the queries that they colour.
LIMIT = "limit"
NORMAL = "normal"
BEYOND = "beyond"

# What a metric's name begins with, and the scrape job that it comes from; names of records have it after a colon.
JOBS = {
    "node": "node_exporter",
    "pg": "postgres_exporter",
    "container": "cadvisor",
    "machine": "cadvisor",
    "cadvisor": "cadvisor",
    "probe": "blackbox_exporter",
    "traefik": "traefik",
    "alertmanager": "alertmanager",
    "grafana": "grafana",
}
# Their metrics have names that the agents' have too.
NAMED_ONLY = {"loki", "promtail", "alloy"}

# What monitors, by its jobs.
STACK = "prometheus|alertmanager|grafana|loki|promtail|alloy|cadvisor|.+_exporter"


@dataclass(frozen=True)
class Query:
    """An expression, and how its series are called. It is LogQL, for Loki, where C(logs) says so."""

    expr: str
    legend: str = "__auto"
    ref: str = ""
    logs: bool = False


def limit(alert: str) -> str:
    """The threshold of an alert: what its rule compares with."""
    return f'monitoring:threshold{{alert="{alert}"}}'


def limit_line(alert: str, compared: Query) -> Query:
    """The threshold, where there is something to compare with it: alone it would look like data."""
    return Query(f"{limit(alert)} and on () ({compared.expr})", "threshold of {{alert}}", LIMIT)


def against_limit(query: Query, alert: str, *, below: bool = False) -> list[Query]:
    """The same value as two queries, on this side of an alert's threshold and beyond it: each has its colour.

    Where the alert is off there is no threshold, and every value is on this side.
    """
    beyond = f"({query.expr}) {'<' if below else '>'} on () group_left () {limit(alert)}"
    return [
        replace(query, expr=f"({query.expr}) unless ({beyond})", ref=NORMAL),
        replace(query, expr=beyond, ref=BEYOND),
    ]


def or_zero(expr: str, job: str) -> str:
    """0 where there is nothing to count, and nothing where the job itself is not there: no green zero without data."""
    return f'{expr} or 0 * max(up{{job="{job}"}})'


def largest(count: int, expr: str) -> str:
    """The series that were largest at some time of the range: topk() alone chooses anew at every point."""
    return _chosen(f"topk({count}, max_over_time", expr)


def smallest(count: int, expr: str) -> str:
    return _chosen(f"bottomk({count}, min_over_time", expr)


def _chosen(function: str, expr: str) -> str:
    return f"({expr}) and {function}(({expr})[$__range:$__interval] @ end()))"


def jobs_of(expr: str) -> list[str]:
    """The exporters without which an expression has no data, as its metrics' names tell."""
    words = re.sub(r'"[^"]*"', "", expr)
    found = re.findall(rf"(?<!\w)({'|'.join(JOBS)})(?=[_:])", words)
    named = re.findall(r'job="(\w+)"', expr)
    return sorted({JOBS[prefix] for prefix in found} | {job for job in named if job in {*JOBS.values(), *NAMED_ONLY}})


def targets(queries: Iterable[Query], *, instant: bool, table: bool = False) -> list[build.Dataquery | loki.Dataquery]:
    letters = iter(LETTERS)
    return [target(replace(query, ref=query.ref or next(letters)), instant, table) for query in queries]


def target(query: Query, instant: bool, table: bool) -> build.Dataquery | loki.Dataquery:
    if query.logs:
        asked = loki.Dataquery().datasource(LOGS).expr(one_line(query.expr)).ref_id(query.ref)
        return asked.legend_format(query.legend).query_type("instant" if instant else "range")
    built = build.Dataquery().datasource(DATASOURCE).expr(one_line(query.expr)).legend_format(query.legend)
    built = built.ref_id(query.ref).format(PromQueryFormat.TABLE if table else PromQueryFormat.TIME_SERIES)
    return built.instant() if instant else built.range()


def one_line(expr: str) -> str:
    """As people write it over several lines of code, on one: Grafana's editor shows it whole."""
    return re.sub(r"\s+", " ", expr).strip()


def any_of(names: Iterable[str]) -> str:
    """A regular expression that matches these names and no other."""
    return "|".join(sorted(names))
