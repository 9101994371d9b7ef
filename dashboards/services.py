# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Application Services: are requests answered, fast enough and without errors; and what the services do for people."""

from __future__ import annotations

import typing as t

from . import service_business, service_probes, traefik, uids
from .board import Row, board
from .links import column, label, to_dashboard
from .panels import GREEN, NEUTRAL, NONE_IS_GOOD, ORANGE, RED, Placed, series_panel, stat_panel
from .queries import STACK, Query, any_of, largest
from .rules import alerts_by_dashboard
from .service_business import HERE
from .service_probes import PROBED
from .tables import OK_OR_NOT, Column, Key, table_panel
from .variables import labels

# Of records, which are over all hosts of a service: the host that is chosen narrows the jobs.
SEEN = 'job=~"$job", service=~"$service"'
# Requests of people, as the records count them.
ASKED = f'{HERE}, service=~"$service", route!~"/health|/metrics"'
SERVICE = "{{service}}"
# Python's client wants /proc/stat, Go's does not.
NO_PROCESS = "No service here tells of its process; a unit with ProcSubset=pid may hide it"
NO_COUNTS = "no requests counted?"
NO_REQUESTS = "No data. Does any service here count its requests in http_requests_total?"


def build() -> dict[str, t.Any]:
    return board(
        uids.SERVICES,
        "Requests, errors and response times of the services, their objectives, databases, probes and processes.",
        [
            # Probes too: an alert about one leads here, and its target need not be a host.
            labels("instance", "Host", f'up{{job!~"{STACK}"}}'),
            # All means these: what belongs to monitoring itself is on other dashboards.
            labels("job", "Job", f'up{{job!~"{STACK}|probe", instance=~"$instance"}}', everything=None),
            labels("service", "Service", 'service:http_requests:rate5m{job=~"$job"}'),
        ],
        [*top(), services()],
        [
            Row("Requests", requests()),
            Row("Response times", times()),
            Row("What people do", service_business.panels()),
            Row("Objectives", objectives()),
            Row("Queries to databases", queries()),
            Row("Probes and certificates", service_probes.panels()),
            Row("Processes", processes()),
            Row("Traefik", traefik.panels(), folded=True),
        ],
        marks="",
    )


def top() -> list[Placed]:
    ours = any_of(alerts_by_dashboard()[uids.SERVICES])
    here = [to_dashboard(uids.SERVICES, "Only this service", service=label("service"))]
    known = f"max(up{{{HERE}}})"
    return [
        stat_panel(
            "Services down",
            "Targets of these jobs that Prometheus cannot scrape. Normal: 0. Else: ServiceDown names them; is the "
            "unit running?",
            Query(f"count(up{{{HERE}}} == 0) or 0 * {known}"),
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Alerts",
            "Alerts about services and their probes that fire now. Normal: 0. Else: click to see which.",
            Query(f'count(ALERTS{{alertstate="firing", alertname=~"{ours}"}}) or 0 * {known}'),
            steps=NONE_IS_GOOD,
            links=[to_dashboard(uids.ALERTS)],
        ),
        stat_panel(
            "Requests",
            "Requests that are answered in a second, health checks left out. Normal: what is usual at this time of "
            "day. Nothing at all: is the way to the services open?",
            Query(f"sum(service:http_requests:rate5m{{{SEEN}}})"),
            unit="reqps",
            decimals=1,
            none=NO_COUNTS,
        ),
        stat_panel(
            "Most errors",
            "The service of which the largest share of requests fails with 5xx. Normal: green, below the threshold of "
            "HighErrorRate. Else: its logs, and what was changed last.",
            Query(f"topk(1, 100 * service:http_errors:ratio_rate5m{{{SEEN}}})", SERVICE),
            unit="percent",
            decimals=1,
            alert="HighErrorRate",
            names=True,
            links=here,
            none=NO_COUNTS,
        ),
        stat_panel(
            "Slowest",
            "The service with the longest response time that 95 of 100 requests stay below. Normal: green, below the "
            "threshold of HighResponseTime. Else: see its routes and its database.",
            Query(f"topk(1, service:http_request_duration_seconds:p95_5m{{{SEEN}}})", SERVICE),
            unit="s",
            decimals=2,
            alert="HighResponseTime",
            names=True,
            links=here,
            none=NO_COUNTS,
        ),
        stat_panel(
            "Probes that fail",
            "Health checks and certificates that do not pass, asked from outside. Normal: 0. Else: see the row Probes.",
            Query(f'count(probe_success{{{PROBED}}} == 0) or 0 * max(up{{job="probe"}})'),
            steps=NONE_IS_GOOD,
            none="no blackbox_exporter?",
        ),
    ]


def services() -> Placed:
    return table_panel(
        "Services",
        "One line for each service that counts its requests, the busiest first. Normal: no errors, times as ever. "
        "Click a service to see only it.",
        [
            Key(
                "service",
                "Service",
                links=[to_dashboard(uids.SERVICES, "Only this service", service=column("service"))],
            )
        ],
        [
            Column("Requests", f"service:http_requests:rate5m{{{SEEN}}}", "reqps", 2),
            Column(
                "Failed",
                f"100 * service:http_errors:ratio_rate5m{{{SEEN}}}",
                "percent",
                2,
                steps=((None, NEUTRAL), (0.001, ORANGE)),
            ),
            Column("p95", f"service:http_request_duration_seconds:p95_5m{{{SEEN}}}", "s", 2),
            Column(
                "Health",
                f"min by (service) (probe_success{{{PROBED}}}) and on (service) service:http_requests:rate5m{{{SEEN}}}",
                texts=OK_OR_NOT,
            ),
            # An objective belongs to a job, and not every job has one.
            Column(
                "Objective",
                "100 * (monitoring:objective > 0) * on (job) group_right () "
                f"(service:http_requests:rate5m{{{SEEN}}} * 0 + 1)",
                "percent",
            ),
        ],
        sort="Requests",
        height=9,
        none=NO_REQUESTS,
    )


def requests() -> list[Placed]:
    rate = f"rate(http_requests_total{{{ASKED}}}[$__rate_interval])"
    size = "sum by (service) (rate(http_{}_size_bytes_sum{{{}}}[$__rate_interval]))".format
    return [
        series_panel(
            "HTTP Request Rate",
            "Requests in a second, health checks left out. Normal: the curve of the day. A sudden fall: requests do "
            "not arrive. A sudden rise: who asks?",
            Query(f"service:http_requests:rate5m{{{SEEN}}}", SERVICE),
            unit="reqps",
            beside=True,
            none=NO_REQUESTS,
        ),
        series_panel(
            "Requests by status",
            "All requests by the class of their answer. Normal: 2xx and 3xx, few 4xx. Many 4xx: a client or a link is "
            "wrong. 5xx: a service fails.",
            Query(
                f'sum by (class) (label_replace({rate}, "class", "${{1}}xx", "status", "(.).."))',
                "{{class}}",
            ),
            unit="reqps",
            stack=True,
            none=NO_REQUESTS,
        ),
        series_panel(
            "Error Rate",
            "Share of requests that fail with 5xx. Normal: 0, and below the dashed line, the threshold of "
            "HighErrorRate. Above: its logs, what it calls, and what was changed last.",
            Query(f"100 * service:http_errors:ratio_rate5m{{{SEEN}}}", SERVICE),
            unit="percent",
            alert="HighErrorRate",
            beside=True,
            soft=1,
            none=NO_REQUESTS,
        ),
        series_panel(
            "Errors per second",
            "Failed requests in a second: how many people meet them. Normal: 0. See the share beside it before you "
            "wake somebody.",
            Query(f"service:http_errors:rate5m{{{SEEN}}}", SERVICE),
            unit="reqps",
            beside=True,
            soft=0.1,
            none=NO_REQUESTS,
        ),
        table_panel(
            "Routes that fail",
            "The routes with the most failed requests in the time shown. Normal: none. Start with the first.",
            [
                Key("service", "Service"),
                Key("method", "Method", 90),
                Key("route", "Route"),
                Key("status", "Status", 80),
            ],
            [
                Column(
                    "Failed",
                    "topk(10, sum by (service, method, route, status) "
                    f'(increase(http_requests_total{{{ASKED}, status=~"5.."}}[$__range])) > 0)',
                    decimals=0,
                    width=90,
                )
            ],
            sort="Failed",
            width=12,
            none="No request has failed",
        ),
        series_panel(
            "Received and sent",
            "Bytes of requests (above zero) and answers (below). Normal: goes with the requests. Answers that grow "
            "alone: a list without a limit?",
            Query(size("request", ASKED), f"{SERVICE} received"),
            Query(size("response", ASKED), f"{SERVICE} sent"),
            unit="Bps",
            downwards=".* sent",
            beside=True,
            none=NO_REQUESTS,
        ),
    ]


def times() -> list[Placed]:
    buckets = f"rate(http_request_duration_seconds_bucket{{{ASKED}}}[$__rate_interval])"
    routes = f"sum by (service, route) (rate(http_request_duration_seconds_{{}}{{{{{ASKED}}}}}[$__range]))".format
    return [
        series_panel(
            "HTTP Response Time",
            "95 of 100 requests are answered within it, by service; the scale is logarithmic. Normal: level, and "
            "below the dashed line, the threshold of HighResponseTime. Above: see the routes below and the database.",
            Query(f"service:http_request_duration_seconds:p95_5m{{{SEEN}}}", f"{SERVICE} p95"),
            unit="s",
            log=True,
            alert="HighResponseTime",
            beside=True,
            none=NO_REQUESTS,
        ),
        series_panel(
            "Response times of all",
            "Half, 95 and 99 of 100 requests are answered within it. Normal: close to each other. p99 far above: some "
            "requests wait, for a lock or a cold cache.",
            *(
                Query(f"histogram_quantile({share}, sum by (le) ({buckets}))", name)
                for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            unit="s",
            none=NO_REQUESTS,
        ),
        table_panel(
            "Slowest routes",
            "The routes that took longest on average in the time shown. Normal: none that people wait for. Start "
            "with those that are asked often.",
            [Key("service", "Service"), Key("route", "Route")],
            [
                Column(
                    "Mean time",
                    f"topk(15, {routes('sum')} / ({routes('count')} > 0))",
                    "s",
                    2,
                ),
                Column("Requests", routes("count"), "reqps", 2),
            ],
            sort="Mean time",
            none=NO_REQUESTS,
        ),
    ]


def objectives() -> list[Placed]:
    allowed = '(1 - monitoring:objective{job=~"$job"})'
    none = "No service here states an objective (monitoring_services)"

    def burnt(window: str) -> str:
        return f"service:http_errors:ratio_rate{window}{{{SEEN}}} / on (job) group_left () {allowed}"

    spent = (
        f"sum by (job, service) (sum_over_time(service:http_errors:rate5m{{{SEEN}}}[30d])) "
        f"/ sum by (job, service) (sum_over_time(service:http_requests:rate5m{{{SEEN}}}[30d]))"
    )
    return [
        stat_panel(
            "Error budget left",
            "What is left of the errors that the objective allows in 30 days, or since there are data. Normal: above "
            "0. Used up: changes wait until the service is steady again.",
            Query(f"100 * (1 - ({spent}) / on (job) group_left () {allowed})", SERVICE),
            unit="percent",
            width=6,
            height=8,
            steps=((None, RED), (0, ORANGE), (25, GREEN)),
            decimals=1,
            names=True,
            none=none,
        ),
        series_panel(
            "How fast error budgets burn",
            "1 uses up the budget in exactly 30 days. Normal: below 1. 14 within an hour or 6 within six hours: "
            "ErrorBudgetBurnFast fires. 3 within a day: ErrorBudgetBurnSlow.",
            *(Query(burnt(window), f"{SERVICE} {window}") for window in ("1h", "6h", "1d")),
            width=18,
            soft=1,
            none=none,
        ),
    ]


def queries() -> list[Placed]:
    none = "No data. Does any service here measure its queries in db_query_duration_seconds?"
    return [
        series_panel(
            "Queries by service",
            "Queries to databases in a second. Normal: goes with the requests. Rising alone: a query in a loop?",
            Query(f"sum by (job) (rate(db_queries_total{{{HERE}}}[$__rate_interval]))", "{{job}}"),
            unit="ops",
            width=8,
            none=none,
        ),
        series_panel(
            "Queries by operation",
            "The six operations that are asked most. Normal: what is usual. Something new at the top: since which "
            "release?",
            Query(largest(6, 'job_operation:db_queries:rate5m{job=~"$job"}'), "{{job}} {{operation}}"),
            unit="ops",
            width=8,
            none=none,
        ),
        series_panel(
            "Query time by operation",
            "95 of 100 queries take no longer, the six slowest operations; the scale is logarithmic. Normal: below "
            "the dashed line, the threshold of SlowQueries. Above: see the tables without an index on Database "
            "Metrics.",
            Query(largest(6, 'job_operation:db_query_duration_seconds:p95_5m{job=~"$job"}'), "{{job}} {{operation}}"),
            unit="s",
            width=8,
            log=True,
            alert="SlowQueries",
            links=[to_dashboard(uids.DATABASE)],
            none=none,
        ),
    ]


def processes() -> list[Placed]:
    who = "{{job}} {{instance}}"
    return [
        series_panel(
            "Restarts in an hour",
            "Starts of each process; where it does not tell when it started, how often its counters began anew. "
            "Normal: 0, or 1 after a release. Above the dashed line ServiceRestarting fires: journalctl tells why.",
            Query(
                f"(changes(process_start_time_seconds{{{HERE}}}[1h]) or on (job, instance) "
                f"max by (job, instance) (resets(http_requests_total{{{HERE}}}[1h]))) > 0",
                who,
            ),
            alert="ServiceRestarting",
            none="No process has restarted",
        ),
        series_panel(
            "Processor time",
            "Processors that each process keeps busy: 1 is one whole. Normal: goes with the requests. At 1 and "
            "level: it may be bound to one processor.",
            Query(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])", who),
            none=NO_PROCESS,
        ),
        series_panel(
            "Memory",
            "Memory that each process holds. Normal: level after some hours. Rising for days: it leaks.",
            Query(f"process_resident_memory_bytes{{{HERE}}}", who),
            unit="bytes",
            none=NO_PROCESS,
        ),
        series_panel(
            "Open files",
            "Share of the files and connections that a process may open. Normal: below half. Near 100 %: new "
            "connections fail; does it close them?",
            Query(f"100 * process_open_fds{{{HERE}}} / process_max_fds{{{HERE}}}", who),
            unit="percent",
            none=NO_PROCESS,
        ),
    ]
