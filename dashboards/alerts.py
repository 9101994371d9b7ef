# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts: what fires now, since when, what it is about, and whether anybody is told."""

from __future__ import annotations

import typing as t

from . import uids
from .board import Row, board
from .links import ITS_LOGS, column, to_dashboard, to_runbook
from .panels import GREEN, NONE_IS_GOOD, ORANGE, RED, Placed, series_panel, stat_panel, timeline_panel
from .queries import Query, any_of
from .rules import alerts_by_dashboard
from .tables import Column, Key, table_panel
from .variables import choice, labels

# It is always on, by design.
NO_WATCHDOG = 'alertname!="Watchdog"'
SEEN = f'alertstate=~"$state", severity=~"$severity", instance=~"$instance", {NO_WATCHDOG}'
FIRING = f'alertstate="firing", severity=~"$severity", instance=~"$instance", {NO_WATCHDOG}'
# Labels that say what on a host an alert is about.
THINGS = (
    "device",
    "mountpoint",
    "name",
    "datname",
    "operation",
    "target",
    "integration",
    "collector",
    "file",
    "rule_group",
    "scrape_job",
)
QUIET = "No alert fires"


def build() -> dict[str, t.Any]:
    return board(
        uids.ALERTS,
        "What fires and what is about to, with the way to its runbook and its dashboard; history, notifications, "
        "thresholds.",
        [
            choice("state", "State", "firing", "pending"),
            choice("severity", "Severity", "critical", "warning", "info"),
            labels("instance", "Host", "ALERTS"),
        ],
        [*top(), current()],
        [
            Row("History", history()),
            Row("Notifications", notifications()),
            Row("Thresholds", thresholds()),
        ],
    )


def top() -> list[Placed]:
    def count(severity: str, state: str = "firing") -> Query:
        matchers = f'alertstate="{state}", severity=~"{severity}", instance=~"$instance", {NO_WATCHDOG}'
        # Prometheus itself answers, so there is always something to multiply.
        return Query(f"count(ALERTS{{{matchers}}}) or 0 * max(up)")

    return [
        stat_panel(
            "Critical",
            "Alerts that want somebody now. Normal: 0. Else: open the runbook in the table below.",
            count("critical"),
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Warnings",
            "Alerts that want somebody in working hours. Normal: 0, or few that are known.",
            count("warning"),
            steps=((None, GREEN), (1, ORANGE)),
        ),
        stat_panel(
            "Pending",
            "Conditions that hold, but not for long enough to fire. Normal: few that come and go.",
            count("critical|warning|info", "pending"),
            steps=((None, GREEN), (1, "yellow")),
        ),
        stat_panel(
            "Silences",
            "Silences in force: alerts that are told to nobody for a time. Normal: 0, or those of a maintenance that "
            "goes on.",
            Query('max(alertmanager_silences{state="active"})'),
            steps=((None, GREEN), (1, "yellow")),
        ),
        stat_panel(
            "Notifications that fail",
            "Share of the notifications of the worst integration that failed in 15 minutes. Normal: green, below the "
            "threshold of AlertmanagerNotificationsFailing. Else: nobody is told.",
            Query(
                "max(100 * sum without (reason) (rate(alertmanager_notifications_failed_total[15m])) "
                '/ (rate(alertmanager_notifications_total[15m]) > 0)) or 0 * max(up{job="alertmanager"})'
            ),
            unit="percent",
            decimals=1,
            alert="AlertmanagerNotificationsFailing",
        ),
        stat_panel(
            "Watchdog",
            "An alert that is always on, to prove that alerting works. Normal: on. Off: no alert reaches anybody; see "
            "Monitoring Stack.",
            Query('count(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)'),
            texts={"0": ("off", RED), "1": ("on", GREEN)},
            steps=((None, RED), (1, GREEN)),
            links=[to_dashboard(uids.MONITORING)],
        ),
    ]


def current() -> Placed:
    since = f'ALERTS_FOR_STATE{{instance=~"$instance", {NO_WATCHDOG}}}'
    age = f"(time() - {since}) * ignoring (alertstate) group_right () ALERTS{{{SEEN}}}"
    things = ", ".join(f'"{name}"' for name in THINGS)
    # Of labels that are not there label_join makes blanks.
    told = replaced(f'label_join({age}, "thing", " ", {things})', "thing", "$1", "thing", " *(.*?) *")
    whose = {"instance": column("host"), "service": column("which")}
    severities = {"critical": ("critical", RED), "warning": ("warning", ORANGE), "info": ("info", "blue")}
    return table_panel(
        "Alerts",
        "What fires or is pending, the latest first. Normal: empty. Click an alert for the dashboard of the thing it "
        "is about, and the column Runbook for what to do.",
        [
            Key("severity", "Severity", 90, texts=severities),
            Key(
                "alertname",
                "Alert",
                links=[to_dashboard(column("dashboard"), "What it is about", **whose)],
            ),
            Key("alertstate", "State", 80, texts={"firing": ("firing", RED), "pending": ("pending", "yellow")}),
            Key("instance", "Host", 140, links=[to_dashboard(uids.LOGS, ITS_LOGS, **whose)]),
            Key("job", "Job", 160),
            Key("service", "Service", 160),
            Key("thing", "What"),
            Key("runbook", "Runbook", links=[to_runbook(column("runbook"))]),
            Key("dashboard", "dashboard", hidden=True),
            Key("host", "host", hidden=True),
            Key("which", "which", hidden=True),
        ],
        [Column("For", with_ways(told), "s", 1, width=110)],
        sort="For",
        ascending=True,
        height=9,
        logs=False,
        none=QUIET,
    )


def with_ways(expr: str) -> str:
    """With labels for links: the dashboard, what to choose there, and the runbook where the alert is one of ours."""
    ours = alerts_by_dashboard()
    expr = replaced(expr, "dashboard", uids.ALERTS)
    for uid, names in ours.items():
        expr = replaced(expr, "dashboard", uid, "alertname", any_of(names))
    expr = replaced(
        expr, "runbook", "$1", "alertname", f"({any_of([one for names in ours.values() for one in names])})"
    )
    # All is what a variable takes where the alert has no such label.
    for source, name in (("instance", "host"), ("service", "which")):
        expr = replaced(replaced(expr, name, "All"), name, "$1", source, "(.+)")
    return expr


def replaced(expr: str, name: str, value: str, source: str = "alertname", pattern: str = ".*") -> str:
    return f'label_replace({expr}, "{name}", "{value}", "{source}", "{pattern}")'


def history() -> list[Placed]:
    states = f"2 * ALERTS{{{FIRING}}} or ALERTS{{{FIRING.replace('firing', 'pending')}}}"
    return [
        timeline_panel(
            "When",
            "When each alert was pending (yellow) and fired (red). Normal: empty. The same alert again and again: "
            "mend the cause, or its threshold.",
            Query(f"max by (alertname) ({states})", "{{alertname}}"),
            texts={"1": ("pending", "yellow"), "2": ("firing", RED)},
            none=QUIET + ", and none did in this time",
        ),
        series_panel(
            "How many fire",
            "Alerts that fire, by severity. Normal: none. Many at once: look for the one cause that they share.",
            Query(f"count by (severity) (ALERTS{{{FIRING}}})", "{{severity}}"),
            stack=True,
            none=QUIET + ", and none did in this time",
        ),
        table_panel(
            "How long they fired",
            "Time in which each alert fired, in the time shown, the longest first. Normal: empty. What fires all the "
            "time is not read any more: mend it, or change its threshold.",
            [Key("alertname", "Alert"), Key("severity", "Severity", 100)],
            [
                Column(
                    "Fired for",
                    f"60 * count_over_time((max by (alertname, severity) (ALERTS{{{FIRING}}}))[$__range:1m])",
                    "s",
                    1,
                    width=120,
                )
            ],
            sort="Fired for",
            width=12,
            none=QUIET + ", and none did in this time",
        ),
    ]


def notifications() -> list[Placed]:
    failed = "sum by (instance, integration) (rate(alertmanager_notifications_failed_total[15m]))"
    sent = "(sum by (instance, integration) (rate(alertmanager_notifications_total[15m])) > 0)"
    return [
        series_panel(
            "Notifications",
            "Sent by each integration. Normal: some when alerts come and go. None while alerts fire: no route leads "
            "anywhere, or a silence holds.",
            Query(
                "sum by (integration) (increase(alertmanager_notifications_total[$__rate_interval])) > 0",
                "{{integration}}",
            ),
            width=8,
            bars=True,
            none="No notification was sent in this time",
        ),
        series_panel(
            "Notifications that fail",
            "Share that failed after all attempts. Normal: 0. Above the dashed line AlertmanagerNotificationsFailing "
            "fires: see Alertmanager's log for what the other side answered.",
            Query(f"100 * {failed} / {sent}", "{{instance}} {{integration}}"),
            unit="percent",
            width=8,
            most=100,
            alert="AlertmanagerNotificationsFailing",
            none="No notification was sent in this time",
        ),
        series_panel(
            "Time to notify",
            "95 of 100 notifications are taken within it. Normal: a few seconds. More: the other side is slow, and "
            "notifications queue.",
            Query(
                "histogram_quantile(0.95, sum by (integration, le) "
                "(rate(alertmanager_notification_latency_seconds_bucket[$__rate_interval]))) >= 0",
                "{{integration}} p95",
            ),
            unit="s",
            width=8,
            none="No notification was sent in this time",
        ),
    ]


def thresholds() -> list[Placed]:
    return [
        table_panel(
            "Thresholds",
            "What alerts compare with, as the inventory says (prometheus_thresholds). Normal: as in the page about "
            "alerts, unless you changed it. One that is missing is off.",
            [Key("alert", "Alert", links=[to_runbook(column("alert"))])],
            [Column("Threshold", "monitoring:threshold", "none", width=130)],
            sort="Alert",
            ascending=True,
            width=12,
            none="No data. Thresholds come with the role prometheus (prometheus_builtin_rules).",
        ),
        series_panel(
            "Alerts in Alertmanager",
            "What Alertmanager holds: active ones are told, suppressed ones are silenced or inhibited. Normal: "
            "Watchdog is one active alert.",
            Query("max by (state) (alertmanager_alerts)", "{{state}}"),
        ),
    ]
