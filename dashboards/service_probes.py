# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The row about what blackbox_exporter sees of the services from outside."""

from __future__ import annotations

from .panels import Placed, series_panel
from .queries import Query
from .tables import OK_OR_NOT, Column, Key, table_panel

PROBED = 'instance=~"$instance", service=~"$service"'
NO_PROBES = "No data. Is there a blackbox_exporter in this inventory?"


def panels() -> list[Placed]:
    keys = [
        Key("service", "Service", 150),
        Key("target", "Target"),
        Key("module", "Module", 100),
        Key("prober", "Asked by", 90),
    ]
    return [
        table_panel(
            "Probes",
            "What blackbox_exporter sees from outside, failures first. Normal: all ok. Failed while the service is "
            "up: the way to it is not open, or its health check fails.",
            keys,
            [
                Column("Result", f"probe_success{{{PROBED}}}", texts=OK_OR_NOT, width=80),
                Column("Time", f"probe_duration_seconds{{{PROBED}}}", "s", 2, width=90),
                Column("Status", f"probe_http_status_code{{{PROBED}}}", "none", width=80),
            ],
            sort="Result",
            ascending=True,
            width=14,
            none=NO_PROBES,
        ),
        series_panel(
            "Probe time",
            "How long a probe takes; the scale is logarithmic. Normal: level, and below the dashed line, the "
            "threshold of ProbeSlow. Above: name lookup, network or service; compare with the response times above.",
            Query(f"avg by (service) (avg_over_time(probe_duration_seconds{{{PROBED}}}[5m]))", "{{service}}"),
            unit="s",
            width=10,
            log=True,
            alert="ProbeSlow",
            none=NO_PROBES,
        ),
        table_panel(
            "Certificates",
            "Days until a certificate expires, the nearest first. Normal: more than the threshold of "
            "CertificateExpiresSoon. Else: renew it, and see why nothing renewed it.",
            [Key("service", "Service"), Key("target", "Target"), Key("instance", "Instance")],
            [Column("Expires in", f"86400 * probe:ssl_expiry:days{{{PROBED}}}", "s", 1)],
            sort="Expires in",
            ascending=True,
            height=6,
            none="No probe here has seen a certificate",
        ),
    ]
