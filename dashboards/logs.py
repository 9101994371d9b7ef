# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs: what the services write, how much of it, and what goes wrong, beside the requests that they answer."""

from __future__ import annotations

import typing as t

from . import uids
from .board import Row, board
from .panels import GREEN, NONE_IS_GOOD, ORANGE, Placed, bars_panel, lines_panel, series_panel, stat_panel
from .queries import Query
from .variables import choice, log_labels, logs_datasource, text

#: As the agents name them, and their colours from the worst on. A line without a level has "none" here.
LEVELS = {"critical": "purple", "error": "red", "warn": "orange", "info": "green", "debug": "blue"}
WRONG = "error|critical"
# Loki wants one matcher that does not let everything through: every line has an instance.
ANY = ".+"
WHOSE = 'instance=~"$instance", service=~"$service"'
# The search is a regular expression, upper or lower case. In backticks it means what it says, quotes included.
SEARCH = "|~ `(?i)${search:raw}`"
SEEN = f'{{{WHOSE}, level=~"$level"}} {SEARCH}'
FAILED = f'{{{WHOSE}, level=~"{WRONG}"}} {SEARCH}'
SERVICE = "{{service}}"
# Of very many services, so many are drawn.
MANY = 10
# Thinner bars are hardly seen.
MINUTE = "1m"
QUIET = "No line was found; or there is no Loki in this inventory, or no agent that sends to it"


def build() -> dict[str, t.Any]:
    return board(
        uids.LOGS,
        "Lines that services and hosts write, searched and counted, and their errors beside the requests.",
        [
            logs_datasource(),
            log_labels("instance", "Host", "", ANY),
            log_labels("service", "Service", '{instance=~"$instance"}', ".*"),
            choice("level", "Level", *LEVELS),
            text("search", "Search"),
        ],
        [*top(), *together(), read()],
        [Row("By service", by_service()), Row("Whole lines", [whole()], folded=True)],
    )


def logs(expr: str, legend: str = "") -> Query:
    return Query(expr, legend, logs=True)


def count(streams: str, by: str = "", window: str = "$__interval") -> str:
    return f"sum {f'by ({by}) ' if by else ''}(count_over_time({streams} [{window}]))"


def top() -> list[Placed]:
    def down(jobs: str) -> str:
        return f'count(up{{job=~"{jobs}"}} == 0) or 0 * max(up{{job=~"{jobs}"}})'

    return [
        # These two ask Prometheus: where there is no Loki, they are all that can say so, and the others stay blank.
        stat_panel(
            "Lokis down",
            "Servers of logs that Prometheus cannot scrape. Normal: 0. Else: is loki.service up? The agents wait, and "
            "lose nothing for a while. Without a host in the group loki all other panels about lines are blank.",
            Query('count(up{job="loki"} == 0) or 0 * max(up{job="loki"})'),
            steps=NONE_IS_GOOD,
            none="no Loki in this inventory",
        ),
        stat_panel(
            "Agents down",
            "Agents that read logs and that Prometheus cannot scrape. Normal: 0. Else: no line comes from that host; "
            "see alloy.service or promtail.service there.",
            Query(down("alloy|promtail")),
            steps=NONE_IS_GOOD,
            none="no agent in this inventory",
        ),
        stat_panel(
            "Lines",
            "Lines that were found in the time shown. Normal: what is usual at this time of day.",
            logs(count(SEEN, window="$__range")),
            decimals=1,
            none="no line found",
        ),
        stat_panel(
            "Errors",
            "Lines of the levels error and critical in the time shown. Normal: few. Else: see which service writes "
            "them, below.",
            # 0 only where there are lines at all.
            logs(f"{count(FAILED, window='$__range')} or 0 * {count(SEEN, window='$__range')}"),
            decimals=0,
            steps=((None, GREEN), (1, ORANGE)),
            none="no line found",
        ),
        stat_panel(
            "Most errors",
            "The service with the most errors within five minutes. Normal: none. LogErrorBurst fires above 20, unless "
            "loki_thresholds says otherwise.",
            logs(f"topk(1, {count(FAILED, 'service', '5m')})", SERVICE),
            decimals=0,
            steps=((None, "transparent"), (1, ORANGE)),
            names=True,
            none="none",
        ),
        stat_panel(
            "Services that write",
            "Services with a line in the time shown. Normal: as many as you run. Fewer: LogServiceSilent names those "
            "that have fallen silent.",
            logs(f"count({count(SEEN, 'service', '$__range')})"),
            none="no line found",
        ),
    ]


def together() -> list[Placed]:
    """How many lines, which of them are errors, and the requests meanwhile: the same time in all three."""
    return [
        series_panel(
            "Lines by level",
            "Lines that were found, by level. Normal: the curve of the day, nearly all of it green. More red or "
            "orange than usual: see which service, beside.",
            logs(f'label_replace({count(SEEN, "level")}, "level", "none", "level", "")', "{{level}}"),
            width=8,
            stack=True,
            bars=True,
            every=MINUTE,
            calcs=("sum",),
            colours={**LEVELS, "none": "text"},
            none=QUIET,
        ),
        series_panel(
            "Errors by service",
            "Lines of the levels error and critical, of those ten services that write most of them at each time. "
            "Normal: none, or few. Click one for its lines.",
            logs(f"topk({MANY}, {count(FAILED, 'service')})", SERVICE),
            width=8,
            stack=True,
            bars=True,
            every=MINUTE,
            calcs=("sum",),
            none="No error was found; or there is no Loki in this inventory",
        ),
        series_panel(
            "Requests meanwhile",
            "Requests in a second that these services answer, and those that fail with 5xx (below zero). Normal: the "
            "curve of the day. Errors above without a request that fails: work in the background.",
            Query('sum by (service) (service:http_requests:rate5m{service=~"$service"})', SERVICE),
            Query('sum by (service) (service:http_errors:rate5m{service=~"$service"}) > 0', f"{SERVICE} failed"),
            unit="reqps",
            width=8,
            downwards=".* failed",
            calcs=("lastNotNull",),
            none="No data. Does any service here count its requests in http_requests_total?",
        ),
    ]


def read() -> Placed:
    return lines_panel(
        "Lines that were found",
        "The newest first: host, service, and the message of the line, or all of it where it is no JSON. Normal: what "
        "is usual. Click a line for all of its fields. Search takes a regular expression in upper or lower case.",
        logs(
            f"{SEEN} | json | drop __error__, __error_details__ "
            "| line_format `{{.instance}} {{.service}}: {{ or .message __line__ }}`"
        ),
        none=QUIET,
    )


def whole() -> Placed:
    return lines_panel(
        "Lines as they were written",
        "The same lines, nothing left out, to copy them. Normal: as above.",
        logs(SEEN),
        none=QUIET,
    )


def by_service() -> list[Placed]:
    ranking = f"topk({MANY}, {{}})".format
    return [
        series_panel(
            "Lines by service",
            "Those ten services that write most at each time. Normal: goes with the requests. One that stops: "
            "LogServiceSilent fires after a quarter of an hour.",
            logs(ranking(count(SEEN, "service")), SERVICE),
            width=8,
            stack=True,
            bars=True,
            every=MINUTE,
            calcs=("sum",),
            none=QUIET,
        ),
        bars_panel(
            "Where errors come from",
            "Errors in the time shown, by service and the function that wrote them, where its lines name it. Normal: "
            "none. Start with the longest bar.",
            logs(
                ranking(count(f"{FAILED} | label_format part=`{{{{.service}}}} {{{{.function}}}}`", "part", "$__range"))
            ),
            unit="short",
            width=10,
            most=None,
            none="No error was found; or there is no Loki in this inventory",
        ),
        bars_panel(
            "What fills the disk",
            "Bytes of the lines that were found in the time shown, before they are compressed, by service. Normal: "
            "goes with the requests. One far ahead: does it log at the level debug?",
            logs(ranking(f"sum by (service) (bytes_over_time({SEEN} [$__range]))"), SERVICE),
            unit="bytes",
            width=6,
            most=None,
            none=QUIET,
        ),
    ]
