# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dashboard: rows of panels laid out on the grid, with what every dashboard of ours has."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from .links import to_all_others
from .panels import Placed
from .queries import DATASOURCE, any_of
from .rules import alerts_by_dashboard
from .uids import TITLES
from .variables import datasource

COLUMNS = 24
TAG = "opswatch"
ALWAYS_ON = {"Watchdog"}


@dataclass(frozen=True)
class Row:
    """Panels below one title. Folded rows ask nothing until somebody opens them."""

    title: str
    panels: Sequence[Placed]
    folded: bool = False


class FiringAlerts(dashboard.AnnotationQuery):
    """The SDK's annotation lacks what Prometheus wants to know: what a mark says."""

    def to_json(self) -> dict[str, object]:
        return {
            **super().to_json(),
            "titleFormat": "{{alertname}}",
            "textFormat": "{{instance}} {{service}}",
            "tagKeys": "severity",
            "step": "60s",
        }


def board(
    uid: str,
    about: str,
    variables: Sequence[t.Any],
    top: Sequence[Placed],
    rows: Sequence[Row],
    *,
    marks: str | None = None,
) -> dict[str, t.Any]:
    """The dashboard as JSON. C(marks) narrows the alerts that are marked on it; None marks none."""
    built = build.Dashboard(TITLES[uid]).uid(uid).description(about).tags([TAG]).timezone("browser")
    built.editable().refresh("1m").time("now-6h", "now").tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    built.variables([datasource(), *variables]).links(list(to_all_others(uid)))
    model = built.build()
    model.panels = list(laid_out(top, rows))
    if marks is not None and uid in alerts_by_dashboard():
        model.annotations = dashboard.AnnotationContainer(list_val=[firing_alerts(uid, marks)])
    plain: dict[str, t.Any] = json.loads(json.dumps(model, cls=JSONEncoder))
    return plain


def firing_alerts(uid: str, marks: str) -> FiringAlerts:
    names = any_of(set(alerts_by_dashboard()[uid]) - ALWAYS_ON)
    matchers = ", ".join(filter(None, ['alertstate="firing"', f'alertname=~"{names}"', marks]))
    # Where they begin: an area for as long as each of them lasts would hide the curves.
    begin = f"ALERTS{{{matchers}}} unless ALERTS{{{matchers}}} offset 2m"
    return FiringAlerts(name="Firing alerts", datasource=DATASOURCE, enable=True, icon_color="red", expr=begin)


def laid_out(top: Sequence[Placed], rows: Sequence[Row]) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
    """Panels and rows with their places and IDs, from top to bottom."""
    numbers = iter(range(1, 10_000))
    panels, y = in_lines(top, 0, numbers)
    yield from panels
    for row in rows:
        header = dashboard.RowPanel(
            collapsed=row.folded,
            title=row.title,
            id_val=next(numbers),
            grid_pos=dashboard.GridPos(h=1, w=COLUMNS, x=0, y=y),
        )
        panels, end = in_lines(row.panels, y + 1, numbers)
        yield header
        if row.folded:
            header.panels = panels
            y += 1
        else:
            yield from panels
            y = end


def in_lines(panels: Sequence[Placed], y: int, numbers: Iterator[int]) -> tuple[list[dashboard.Panel], int]:
    """From left to right, in a new line where the width is used up; and where the next row begins."""
    placed, x, tallest = [], 0, 0
    for one in panels:
        if x + one.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        panel: dashboard.Panel = one.panel.build()
        panel.id_val = next(numbers)
        panel.grid_pos = dashboard.GridPos(h=one.height, w=one.width, x=x, y=y)
        placed.append(panel)
        x, tallest = x + one.width, max(tallest, one.height)
    return placed, y + tallest
