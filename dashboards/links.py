# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links: from one dashboard to the others, from a value to where it is explained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from .rules import RUNBOOKS
from .uids import LOGS, TITLES

ITS_LOGS = "Its logs"


def to_dashboard(uid: str, title: str = "", **variables: str) -> DashboardLink:
    """From a value to a dashboard, with the time range, and with variables set to what the value's labels say."""
    return link(title or TITLES[uid], f"/d/{uid}?{query_string(**variables)}")


def to_logs(labels: Collection[str], value: Callable[[str], str]) -> list[DashboardLink]:
    """From what is told of a service or a host to its lines of that time, if these labels tell which it is.

    A program that does not tell its service goes by its job: so its log calls it too. C(value) makes the text that
    Grafana replaces by the value of a label.
    """
    who = next((label for label in ("service", "job") if label in labels), "")
    chosen = {
        **({"instance": value("instance")} if "instance" in labels else {}),
        **({"service": value(who)} if who else {}),
    }
    return [to_dashboard(LOGS, ITS_LOGS, **chosen)] if chosen else []


def to_runbook(name: str) -> DashboardLink:
    return link("Runbook", f"{RUNBOOKS}/{name}.md").target_blank(True)


def link(title: str, url: str) -> DashboardLink:
    return DashboardLink(title).url(url)


def query_string(**variables: str) -> str:
    parts = [f"var-{name}={value}" for name, value in variables.items()]
    return "&".join(["${__url_time_range}", "${datasource:queryparam}", *parts])


def column(name: str) -> str:
    """The value of a table's column in the row that is clicked."""
    return f"${{__data.fields.{name}}}"


def label(name: str) -> str:
    """The value of a label of the series that is clicked."""
    return f"${{__field.labels.{name}}}"


def to_all_others(uid: str) -> Iterator[DashboardLink]:
    """The bar at the top: our other dashboards, at the time that is looked at."""
    return (
        DashboardLink(title)
        .type(DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(f"Open {title}")
        .url(f"/d/{other}")
        .keep_time(True)
        for other, title in TITLES.items()
        if other != uid
    )
