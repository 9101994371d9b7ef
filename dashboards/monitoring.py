# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring Stack: can what the other dashboards say be trusted."""

from __future__ import annotations

import typing as t

from . import grafana, uids
from .board import Row, board
from .links import column, to_dashboard
from .panels import NONE_IS_GOOD, RED, Placed, series_panel, stat_panel
from .queries import Query, any_of, largest
from .rules import alerts_by_dashboard
from .stack_programs import HOST, JOB, SEEN, dates, programs, rate, reloads, remote_write
from .tables import Column, Key, table_panel
from .variables import labels


def build() -> dict[str, t.Any]:
    return board(
        uids.MONITORING,
        "Whether monitoring itself works: targets, samples, storage, rules, notifications, versions.",
        [
            # Not "instance": links set that to the host of an alert, which need not be one of these.
            labels("prometheus", "Prometheus", "prometheus_build_info", "instance"),
            labels("job", "Job", "up"),
        ],
        top(),
        [
            Row("Targets", targets()),
            Row("Samples and storage", storage()),
            Row("Rules and queries", rules()),
            Row("From Prometheus to Alertmanager", notifications()),
            Row("Programs", programs()),
            Row("Certificates and backups", dates()),
            Row("Remote write", remote_write(), folded=True),
            Row("Grafana", grafana.panels()),
        ],
        marks="",
    )


def top() -> list[Placed]:
    ours = any_of(alerts_by_dashboard()[uids.MONITORING])
    return [
        stat_panel(
            "Targets down",
            "What Prometheus cannot scrape, probes left out. Normal: 0. Else: see the table below, and ServiceDown.",
            Query(f'count(up{{{JOB}, job!="probe"}} == 0) or 0 * max(up)'),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Jobs missing",
            "Jobs that the inventory asks for and Prometheus does not have. Normal: 0. Else: run site.yml on the "
            "Prometheus host; JobMissing names them.",
            Query("count(monitoring:expected_job unless on (job) up) or 0 * max(up)"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Alerts",
            "Alerts about monitoring itself that fire now. Normal: 0. Else: other alerts may not come.",
            Query(f'count(ALERTS{{alertstate="firing", alertname=~"{ours}", alertname!="Watchdog"}}) or 0 * max(up)'),
            width=3,
            steps=NONE_IS_GOOD,
            links=[to_dashboard(uids.ALERTS)],
        ),
        stat_panel(
            "Reloads refused",
            "Programs that refused their configuration and run with an older one. Normal: 0. Else: see the row "
            "Programs, and the program's log.",
            Query(f"count(({reloads()}) == 0) or 0 * max(up)"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Rules that fail",
            "Evaluations of rules that failed in the time shown. Normal: 0. Else: PrometheusRuleFailures names the "
            "group; its alerts may be blind.",
            Query(f"sum(increase(prometheus_rule_evaluation_failures_total{{{SEEN}}}[$__range]))"),
            width=3,
            decimals=0,
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Series",
            "Time series in memory: what Prometheus needs memory for. Normal: level, it follows the number of targets.",
            Query(f"sum(prometheus_tsdb_head_series{{{SEEN}}})"),
            width=3,
            decimals=1,
        ),
        stat_panel(
            "Samples",
            "Samples that are stored in a second. Normal: series divided by the scrape interval.",
            Query(f"sum({rate('prometheus_tsdb_head_samples_appended_total')})"),
            unit="cps",
            width=3,
            decimals=1,
        ),
        stat_panel(
            "Disk full in",
            "Days until the disk of Prometheus is full, if data grow as in the last day. Normal: green, above the "
            "threshold of PrometheusStorageWillFill, or empty: nothing grows, or the retention removes as much.",
            Query(
                f"min(instance:prometheus_storage_avail:bytes{{{SEEN}}} "
                f"/ (86400 * (deriv(prometheus_tsdb_storage_blocks_bytes{{{SEEN}}}[1d]) > 0)))"
            ),
            unit="d",
            width=3,
            decimals=1,
            alert="PrometheusStorageWillFill",
            below=True,
            none="Nothing grows",
        ),
    ]


def targets() -> list[Placed]:
    thrown_away = (
        ("exceeded_sample_limit", "too many samples"),
        ("exceeded_body_size_limit", "too many bytes"),
        ("sample_duplicate_timestamp", "same series twice"),
        ("sample_out_of_order", "out of order"),
        ("sample_out_of_bounds", "too old or too new"),
    )
    return [
        table_panel(
            "Jobs",
            "One line for each scrape job. Normal: all targets up, and times far below the interval. Click a job to "
            "see only it.",
            [Key("job", "Job", links=[to_dashboard(uids.MONITORING, "Only this job", job=column("job"))])],
            [
                Column("Targets", f"count by (job) (up{{{JOB}}})", width=80),
                Column(
                    "Down",
                    f"sum by (job) (1 - up{{{JOB}}})",
                    steps=NONE_IS_GOOD,
                    width=80,
                ),
                Column("Slowest scrape", f"max by (job) (scrape_duration_seconds{{{JOB}}})", "s", 2),
                Column("Samples", f"sum by (job) (scrape_samples_post_metric_relabeling{{{JOB}}})"),
                Column("Largest", f"max by (job) (scrape_samples_scraped{{{JOB}}})"),
            ],
            sort="Down",
            width=14,
            height=9,
        ),
        table_panel(
            "Targets that are down",
            "What Prometheus cannot scrape. Normal: none. Else: is the program up, its port open, its password the "
            "same?",
            [Key("job", "Job"), Key("instance", "Instance")],
            [Column("State", f"up{{{JOB}}} == 0", texts={"0": ("down", RED)}, width=80)],
            sort="Job",
            ascending=True,
            width=10,
            height=9,
            none="All targets are up",
        ),
        series_panel(
            "Scrape time by job",
            "The slowest target of the six slowest jobs; the scale is logarithmic. Normal: below a second. Near the "
            "interval: the program has too much to tell, or too little processor.",
            Query(largest(6, f"max by (job) (scrape_duration_seconds{{{JOB}}})"), "{{job}}"),
            unit="s",
            log=True,
            width=8,
        ),
        series_panel(
            "New series by job",
            "Series that each scrape saw for the first time, the six largest. Normal: near 0 after a start. Lasting: a "
            "label with ever new values fills the memory.",
            Query(largest(6, f"sum by (job) (scrape_series_added{{{JOB}}})"), "{{job}}"),
            width=8,
        ),
        series_panel(
            "Scrapes and samples thrown away",
            "Because of a limit (prometheus_limits) or as they do not fit. Normal: 0. Else: PrometheusScrapeLimitHit "
            "or PrometheusSamplesRejected fires.",
            *(
                Query(f"sum(increase(prometheus_target_scrapes_{what}_total{{{SEEN}}}[$__rate_interval]))", name)
                for what, name in thrown_away
            ),
            width=8,
            bars=True,
        ),
    ]


def storage() -> list[Placed]:
    return [
        series_panel(
            "Series in memory",
            "Normal: level, with steps when targets come. Rising without end: a label with ever new values; memory "
            "follows.",
            Query(f"prometheus_tsdb_head_series{{{SEEN}}}", HOST),
            width=8,
        ),
        series_panel(
            "Samples stored",
            "In a second. Normal: level. A hole: Prometheus was down, or could not write.",
            Query(rate("prometheus_tsdb_head_samples_appended_total"), HOST + " {{type}}"),
            unit="cps",
            width=8,
        ),
        series_panel(
            "On disk",
            "Blocks, log and mapped chunks. Normal: rising until the retention is reached, then a saw.",
            Query(f"sum(prometheus_tsdb_storage_blocks_bytes{{{SEEN}}})", "blocks"),
            Query(f"sum(prometheus_tsdb_wal_storage_size_bytes{{{SEEN}}})", "log"),
            Query(f"sum(prometheus_tsdb_head_chunks_storage_size_bytes{{{SEEN}}})", "chunks of the head"),
            unit="bytes",
            width=8,
            stack=True,
        ),
        series_panel(
            "Room left for data",
            "What is available on the file system of Prometheus' data. Normal: more than it will grow by in a week. "
            "Else: shorten the retention, or grow the disk.",
            Query(f"instance:prometheus_storage_avail:bytes{{{SEEN}}}", HOST),
            unit="bytes",
            none="node_exporter tells no file system that holds these data",
        ),
        series_panel(
            "Failures of the storage",
            "Compactions, reloads and writes that failed, and damage that was found. Normal: 0. Else: is the disk "
            "full or broken? An alert names which.",
            *(
                Query(f"sum(increase(prometheus_tsdb_{what}_total{{{SEEN}}}[$__rate_interval]))", name)
                for what, name in (
                    ("compactions_failed", "compactions"),
                    ("reloads_failures", "reloads of blocks"),
                    ("wal_writes_failed", "writes to the log"),
                    ("wal_corruptions", "damage in the log"),
                    ("mmap_chunk_corruptions", "damage in chunks"),
                )
            ),
            bars=True,
        ),
    ]


def rules() -> list[Placed]:
    group = 'label_replace({}, "group", "$1", "rule_group", ".+;(.+)")'.format
    duration = f"prometheus_rule_group_last_duration_seconds{{{SEEN}}}"
    return [
        series_panel(
            "Time of rule groups",
            "Share of its interval that each group's evaluation took, the six slowest. Normal: a few per cent. At "
            "100 % evaluations are missed and alerts come late.",
            Query(
                largest(6, f"100 * {group(duration)} / {group(f'prometheus_rule_group_interval_seconds{{{SEEN}}}')}"),
                HOST + " {{group}}",
            ),
            unit="percent",
        ),
        series_panel(
            "Evaluations missed or failed",
            "Normal: 0. Missed: a group takes longer than its interval (PrometheusRulesMissed). Failed: "
            "PrometheusRuleFailures names the group.",
            Query(
                "sum by (instance) "
                f"(increase(prometheus_rule_group_iterations_missed_total{{{SEEN}}}[$__rate_interval]))",
                f"{HOST} missed",
            ),
            Query(
                f"sum by (instance) (increase(prometheus_rule_evaluation_failures_total{{{SEEN}}}[$__rate_interval]))",
                f"{HOST} failed",
            ),
            bars=True,
        ),
        series_panel(
            "Time of queries",
            "Nine of ten queries take no longer, by part of the work; rules are queries too. Normal: below a second. "
            "More: a dashboard or a rule asks too much at once.",
            Query(
                f'max by (slice) (prometheus_engine_query_duration_seconds{{{SEEN}, quantile="0.9"}})', "{{slice}} p90"
            ),
            unit="s",
        ),
        series_panel(
            "Answers to HTTP requests",
            "By status. Normal: 200, and 401 where a password is asked for. 5xx: see the log of Prometheus.",
            Query(f"sum by (code) ({rate('prometheus_http_requests_total')})", "{{code}}"),
            unit="reqps",
            stack=True,
        ),
    ]


def notifications() -> list[Placed]:
    dropped = f"sum(increase(prometheus_notifications_dropped_total{{{SEEN}}}[$__rate_interval]))"
    errors = f"sum(increase(prometheus_notifications_errors_total{{{SEEN}}}[$__rate_interval]))"
    return [
        series_panel(
            "Alerts sent",
            "From Prometheus to each Alertmanager. Normal: some all the time, as Watchdog is always on. None: see "
            "whether Prometheus knows an Alertmanager.",
            Query(
                f"sum by (instance, alertmanager) ({rate('prometheus_notifications_sent_total')})", "{{alertmanager}}"
            ),
            unit="cps",
            width=8,
            none="Prometheus knows no Alertmanager",
        ),
        series_panel(
            "Alerts that did not arrive",
            "Errors while sending, and alerts dropped as no Alertmanager took them. Normal: 0. Else: is Alertmanager "
            "up, and its password the same?",
            # Errors are counted for each Alertmanager, and there may be none.
            Query(f"{errors} or 0 * {dropped}", "errors"),
            Query(dropped, "dropped"),
            width=8,
            bars=True,
        ),
        table_panel(
            "Alertmanagers",
            "Normal: each counts all the others as members, and all have the same configuration. Else: "
            "AlertmanagerClusterMembersMissing or AlertmanagerConfigDiffers fires.",
            [Key("instance", "Host")],
            [
                Column("Members", 'alertmanager_cluster_members or 1 + 0 * up{job="alertmanager"}', width=90),
                Column("Alerts", "sum by (instance) (alertmanager_alerts)", width=80),
                Column("Configuration", "alertmanager_config_hash", "none"),
            ],
            sort="Host",
            ascending=True,
            width=8,
        ),
    ]
