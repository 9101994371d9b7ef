# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The row about Traefik, as its documentation describes its metrics: it is not run here."""

from __future__ import annotations

from .panels import GREEN, RED, Placed, series_panel, stat_panel
from .queries import Query
from .tables import Column, Key, table_panel

# Its services have names of its own, which are not those of logs: hence no links to those.
NONE = "No data. Is there a Traefik among monitoring_services, with its metrics on?"


def panels() -> list[Placed]:
    asked = "rate(traefik_service_requests_total[$__rate_interval])"
    # Its own makeshift one is no news.
    certificates = 'traefik_tls_certs_not_after{cn!="TRAEFIK DEFAULT CERT"}'
    failed = 'rate(traefik_service_requests_total{code=~"5.."}[$__rate_interval])'
    return [
        stat_panel(
            "Configuration",
            "Time since Traefik last took its configuration. Normal: since the last change. Younger than expected: "
            "something changes it again and again.",
            Query("min(time() - traefik_config_last_reload_success)"),
            unit="s",
            decimals=1,
            none="no traefik?",
        ),
        stat_panel(
            "Next certificate",
            "Days until the first of Traefik's certificates expires. Normal: green, above the threshold of "
            "TraefikCertificateExpiresSoon. Else: does its resolver still renew them?",
            Query(f"min(max by (instance, cn, sans) ({certificates}) - time()) / 86400"),
            unit="d",
            decimals=1,
            alert="TraefikCertificateExpiresSoon",
            below=True,
            none="no traefik?",
        ),
        series_panel(
            "Open connections",
            "By entry point. Normal: what is usual. Rising without end: clients or services that do not close.",
            Query("sum by (entrypoint) (traefik_open_connections)", "{{entrypoint}}"),
            width=16,
            height=4,
            calcs=(),
            none="no traefik?",
        ),
        series_panel(
            "Requests by entry point",
            "What arrives at Traefik in a second. Normal: the curve of the day. More than the services count: it "
            "answers by itself, 404 for example.",
            Query("sum by (entrypoint) (rate(traefik_entrypoint_requests_total[$__rate_interval]))", "{{entrypoint}}"),
            unit="reqps",
            width=8,
            none=NONE,
        ),
        series_panel(
            "Requests by service",
            "What Traefik passes on in a second. Normal: the curve of the day. Nothing: no route leads to the service.",
            Query(f"sum by (service) ({asked})", "{{service}}"),
            unit="reqps",
            width=8,
            logs=False,
            none=NONE,
        ),
        series_panel(
            "Errors by service",
            "Share of the requests that end with 5xx. Normal: 0. Above the dashed line TraefikHighErrorRate fires. "
            "502 and 504 are Traefik's own: the service does not answer.",
            Query(f"100 * sum by (service) ({failed}) / (sum by (service) ({asked}) > 0)", "{{service}}"),
            unit="percent",
            alert="TraefikHighErrorRate",
            width=8,
            logs=False,
            none=NONE,
        ),
        series_panel(
            "Response time by service",
            "95 of 100 requests are answered within it, as Traefik sees it. Normal: as the service says itself. Much "
            "more: the way between them, or a queue.",
            Query(
                "histogram_quantile(0.95, sum by (service, le) "
                "(rate(traefik_service_request_duration_seconds_bucket[$__rate_interval])))",
                "{{service}} p95",
            ),
            unit="s",
            logs=False,
            none=NONE,
        ),
        table_panel(
            "Servers",
            "Whether Traefik's own health checks pass. Normal: all up; empty where it has no health checks. Down: it "
            "sends no requests there.",
            [Key("service", "Service"), Key("url", "Server")],
            [Column("State", "traefik_service_server_up", texts={"1": ("up", GREEN), "0": ("down", RED)}, width=90)],
            sort="State",
            ascending=True,
            width=12,
            logs=False,
            none="No data. Traefik tells of servers only where it checks their health.",
        ),
    ]
