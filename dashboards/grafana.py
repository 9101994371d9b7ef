# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The row about Grafana itself."""

from __future__ import annotations

from .panels import Placed, series_panel, stat_panel
from .queries import Query


def panels() -> list[Placed]:
    seconds = "sum by (le) (rate(grafana_http_request_duration_seconds_bucket[$__rate_interval]))"
    return [
        stat_panel(
            "Dashboards",
            "Dashboards that Grafana holds. Normal: ours and those of your people. Fewer than yesterday: who removed "
            "them?",
            Query("max(grafana_stat_totals_dashboard)"),
            width=4,
            height=8,
        ),
        stat_panel(
            "People lately",
            "Users who were active within 30 days. Normal: those who should. 0: nobody looks, so alerts have to tell.",
            Query("max(grafana_stat_active_users)"),
            width=4,
            height=8,
        ),
        series_panel(
            "Requests to Grafana",
            "By status. Normal: 200 and 304. 5xx: see its log. Many 401: a wrong password; five lock the account.",
            Query(
                "sum by (status_code) (rate(grafana_http_request_duration_seconds_count[$__rate_interval]))",
                "{{status_code}}",
            ),
            unit="reqps",
            width=8,
            stack=True,
        ),
        series_panel(
            "Time of Grafana's answers",
            "Half and 95 of 100 requests are answered within it. Normal: below a second. More: slow queries behind "
            "it, or its database.",
            *(Query(f"histogram_quantile({share}, {seconds})", name) for share, name in ((0.5, "p50"), (0.95, "p95"))),
            unit="s",
            width=8,
        ),
    ]
