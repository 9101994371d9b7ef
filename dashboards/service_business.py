# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The row about what people do with the services: their business metrics."""

from __future__ import annotations

from .panels import Placed, series_panel, stat_panel
from .queries import Query

# Of what each instance tells.
HERE = 'job=~"$job", instance=~"$instance"'
NO_BUSINESS = "No data. No service here has this metric."


def panels() -> list[Placed]:
    rate = f"sum(increase({{}}{{{{{HERE}}}}}[$__range]))".format
    views = f"rate(profile_view_duration_seconds_bucket{{{HERE}}}[$__rate_interval])"
    created = f"sum(rate({{}}{{{{{HERE}}}}}[$__rate_interval])) * 60".format
    return [
        stat_panel(
            "Active users",
            "Users seen within the last five minutes. Normal: the curve of the day. A sudden fall: can people log in?",
            Query(f"sum(active_users_current{{{HERE}}})"),
            none="not told here",
        ),
        stat_panel(
            "Profiles created",
            "In the time shown. Normal: as many as in other times of this length. None: try to make one.",
            Query(rate("profiles_created_total")),
            decimals=0,
            none="not told here",
        ),
        stat_panel(
            "Matches created",
            "In the time shown. Normal: goes with the active users. None while users are active: see "
            "discovery-service.",
            Query(rate("matches_created_total")),
            decimals=0,
            none="not told here",
        ),
        series_panel(
            "Active users over time",
            "Users seen within five minutes. Normal: the curve of the day.",
            Query(f"sum(active_users_current{{{HERE}}})", "active users"),
            width=12,
            height=4,
            calcs=(),
            none=NO_BUSINESS,
        ),
        series_panel(
            "Created per minute",
            "Profiles and matches. Normal: both go with the users. One of them at 0: see the service that makes it.",
            Query(created("profiles_created_total"), "profiles"),
            Query(created("matches_created_total"), "matches"),
            unit="cpm",
            none=NO_BUSINESS,
        ),
        series_panel(
            "How long profiles are looked at",
            "Half and 95 of 100 views last no longer. Normal: level. Much shorter than before: do pictures load?",
            Query(f"histogram_quantile(0.5, sum by (le) ({views}))", "p50"),
            Query(f"histogram_quantile(0.95, sum by (le) ({views}))", "p95"),
            unit="s",
            none=NO_BUSINESS,
        ),
    ]
