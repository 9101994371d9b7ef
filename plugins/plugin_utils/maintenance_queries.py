# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Weekly: queries of Prometheus and statements of PostgreSQL that are slow, and how long series are really kept."""

from __future__ import annotations

import typing as t

from .maintenance_answers import DAY, Answers, named, plain, query, when
from .quantities import seconds
from .report import Chart, Finding, Look, Row

QUERIES, STATEMENTS, RETENTION = "slow queries", "slow statements", "retention"
SLOW = 5.0  # seconds that 99 of 100 queries should stay below
PATHS = {"flags": "/api/v1/status/flags"}


def queries(host: str) -> list[dict[str, t.Any]]:
    own = f'job="prometheus", instance="{host}"'
    engine = f'prometheus_engine_query_duration_seconds{{{own}, slice="inner_eval", quantile="0.99"}}'
    calls = "increase(pg_stat_statements_calls_total[7d])"
    spent = "increase(pg_stat_statements_seconds_total[7d])"
    return [
        query("query_p99", f"max_over_time({engine}[7d])"),
        query("query_log", f"prometheus_engine_query_log_enabled{{{own}}}"),
        query("databases", "count(pg_up)"),
        query("statements_spent", f"topk(6, {spent})"),
        query("statements_mean", f"{spent} / ({calls} > 10)"),
        query("statements_limit", 'monitoring:threshold{alert="SlowStatements"}'),
        query("lowest", f"prometheus_tsdb_lowest_timestamp_seconds{{{own}}}"),
        query("size_retentions", f"increase(prometheus_tsdb_size_retentions_total{{{own}}}[7d])"),
    ]


def look(host: str, answers: Answers) -> Look:
    return slow(host, answers) + statements(answers) + retention(host, answers)


def slow(host: str, answers: Answers) -> Look:
    worst = answers.number("query_p99")
    if worst is None:
        return Look()
    if worst < SLOW:
        what = f"Queries of Prometheus are fast: 99 of 100 within {plain(worst)} s at worst"
        return Look([Finding(QUERIES, "ok", host, "prometheus", what, "of the last week")])
    log = (
        "Its query log is on."
        if answers.number("query_log")
        else "Its query log is off, so it is not known which ones."
    )
    return Look(
        [
            Finding(
                QUERIES,
                "warning",
                host,
                "prometheus",
                f"Queries of Prometheus are slow: one of 100 took more than {plain(worst)} s",
                f"the worst ten minutes of the last week. {log}",
                "Dashboards over long ranges, or expressions over very many series.",
                "set global.query_log_file in prometheus_config for a day, and record what the slowest ones compute",
            )
        ]
    )


def statements(answers: Answers) -> Look:
    means = {_statement(one.labels): one.last for one in answers.series("statements_mean")}
    spent = answers.series("statements_spent")
    if not spent:
        if not answers.number("databases"):
            return Look()
        what = "PostgreSQL tells no statements: slow ones were not looked at"
        return Look(
            [
                Finding(
                    STATEMENTS,
                    "note",
                    "",
                    "postgres_exporter",
                    what,
                    "",
                    "",
                    "see docs/postgresql.md for pg_stat_statements",
                )
            ]
        )
    limit = answers.number("statements_limit")
    bad = sorted(((mean, name) for name, mean in means.items() if limit is not None and mean >= limit), reverse=True)
    findings = [
        Finding(
            STATEMENTS,
            "warning",
            "",
            "postgres_exporter",
            f"A statement takes {plain(mean)} s in the mean: {name}",
            f"of the last week; threshold {plain(limit or 0)} s (SlowStatements)",
            "",
            "SELECT query FROM pg_stat_statements WHERE queryid = ...; then look at its plan with EXPLAIN",
        )
        for mean, name in bad[:3]
    ]
    if not findings:
        findings = [
            Finding(STATEMENTS, "ok", "", "postgres_exporter", "No statement of PostgreSQL is slow in the mean")
        ]
    rows = [
        Row(
            name := _statement(one.labels), f"{plain(one.last)} s, mean {plain(1000 * means.get(name, 0))} ms", one.last
        )
        for one in sorted(spent, key=lambda one: one.last, reverse=True)
    ]
    return Look(findings, [Chart("Statements that take most time", rows, "together, in the last week")])


def _statement(labels: t.Mapping[str, str]) -> str:
    return named(labels, leave_out=("job", "server"))


def retention(host: str, answers: Answers) -> Look:
    stated = seconds((answers.data("flags") or {}).get("storage.tsdb.retention.time"))
    lowest = answers.number("lowest")
    if not stated or not lowest:
        return Look()
    age = answers.now - lowest
    evidence = f"retention {plain(stated / DAY)} days; the oldest sample is of {when(lowest)}"
    # A block is removed as a whole, and spans a tenth of the retention.
    if age > 1.1 * stated + DAY:
        what = f"Series are kept for {plain(age / DAY)} days, longer than they should be"
        cause = "Blocks are not removed: compactions fail, or blocks were put there that overlap."
        fix = f"look for 'compact' in journalctl -u prometheus on {host}"
        return Look([Finding(RETENTION, "warning", host, "prometheus", what, evidence, cause, fix)])
    if (answers.number("size_retentions") or 0) > 0 and age < 0.9 * stated:
        what = f"Series are kept for {plain(age / DAY)} days only: the retention size is reached first"
        fix = "raise prometheus_retention_size, or lower prometheus_retention_time to what is meant"
        return Look([Finding(RETENTION, "warning", host, "prometheus", what, evidence, "", fix)])
    return Look([Finding(RETENTION, "ok", host, "prometheus", "Series are kept as long as they should be", evidence)])
