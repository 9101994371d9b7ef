# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels, each kind written once: a number, lines over time, bars. Tables are in tables.py."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import logs as lines
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, Threshold

from .links import label, to_logs
from .queries import BEYOND, DATASOURCE, FIRST, LIMIT, LOGS, NORMAL, Query, against_limit, jobs_of, limit_line, targets

# Builders of panels have the same methods and no class in common.
AnyPanel = t.Any
Steps = Sequence[tuple[float | None, str]]

GREEN, ORANGE, RED, NEUTRAL = "green", "orange", "red", "text"
#: Anything above nothing is bad.
NONE_IS_GOOD: Steps = ((None, GREEN), (1, RED))
#: A share that should be the whole.
ALL_IS_GOOD: Steps = ((None, RED), (1, GREEN))
# What Grafana calls the columns of a legend, as far as they sort it.
CALCS = {"lastNotNull": "Last *", "sum": "Total"}
PLAIN: Steps = ((None, NEUTRAL),)
# Grafana 9 writes what a panel says without data beside lines of the scale that have no number: something that is not
# seen then. A blank would be the number 0 to it, and be drawn where data are missing.
NOTHING = "\u200b"


@dataclass(frozen=True)
class Placed:
    """A panel, and how much of the grid of 24 columns it takes."""

    panel: AnyPanel
    width: int
    height: int


def stat_panel(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    width: int = 4,
    height: int = 4,
    steps: Steps = PLAIN,
    alert: str = "",
    below: bool = False,
    names: bool = False,
    decimals: int | None = None,
    texts: dict[str, tuple[str, str]] | None = None,
    links: Sequence[DashboardLink] = (),
    none: str = "",
) -> Placed:
    """The latest value in large, coloured by fixed steps or by which side of an alert's threshold it is on."""
    if alert:
        queries = tuple(side for query in queries for side in against_limit(query, alert, below=below))
    coloured = bool(alert) or steps is not PLAIN
    panel = (
        stat.Panel()
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND if coloured else common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if names else common.BigValueTextMode.VALUE)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .reduce_options(latest(queries))
    )
    none = none or absent(queries, short=True)
    links = [*links, *(logs_of(queries) if names else [])]
    describe(panel, title, about, queries, unit=unit, none=none, instant=True, links=links)
    panel.thresholds(threshold_steps(steps))
    blank = no_colour(none, "transparent" if coloured else NEUTRAL)
    # In a row of Loki's it would also stand for the names, which are no numbers.
    panel.mappings([*([value_texts(texts)] if texts else []), *([] if names and of_logs(queries) else [blank])])
    colour_sides(panel)
    if decimals is not None:
        panel.decimals(decimals)
    return Placed(panel, width, height)


def series_panel(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    width: int = 12,
    height: int = 8,
    alert: str = "",
    stack: bool = False,
    bars: bool = False,
    log: bool = False,
    least: float | None = 0,
    most: float | None = None,
    soft: float | None = None,
    every: str = "",
    beside: bool = False,
    calcs: Sequence[str] = ("lastNotNull", "max"),
    downwards: str = "",
    colours: dict[str, str] | None = None,
    links: Sequence[DashboardLink] = (),
    logs: bool = True,
    none: str = "",
) -> Placed:
    """Lines over time; an alert's threshold is a dashed red one.

    C(downwards) are the series drawn below zero, C(soft) is how far the scale goes at least, C(beside) is where the
    legend of many series goes, C(colours) are those of series by name, C(every) is the
    shortest time between two points. Without C(logs) no curve leads to logs.
    """
    drawn = [*queries, limit_line(alert, queries[0])] if alert else list(queries)
    panel = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(60 if bars else 25 if stack else 8)
        .show_points(common.VisibilityMode.NEVER)
        .draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
        .stacking(build.StackingConfig().mode(common.StackingMode.NORMAL if stack else common.StackingMode.NONE))
        .tooltip(build.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .legend(legend(calcs, beside=beside))
    )
    links = [*links, *(logs_of(queries) if logs else [])]
    describe(panel, title, about, drawn, unit=unit, none=none, instant=False, links=links)
    panel.override_by_field_type("number", [DynamicConfigValue("noValue", NOTHING)])
    if every:
        panel.interval(every)
    if soft is not None:
        panel.axis_soft_max(soft)
    if bars:
        panel.decimals(0).axis_soft_max(1)
    if log:
        panel.scale_distribution(build.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    elif downwards:
        panel.override_by_regexp(downwards, [DynamicConfigValue("custom.transform", "negative-Y")])
    elif least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    for name, colour in (colours or {}).items():
        panel.override_by_regexp(f"^{name}$", [fixed(colour)])
    if alert:
        panel.override_by_query(LIMIT, dashed_line())
    return Placed(panel, width, height)


def bars_panel(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "percent",
    width: int = 12,
    height: int = 8,
    alert: str = "",
    most: float | None = 100,
    links: Sequence[DashboardLink] = (),
    none: str = "",
) -> Placed:
    """A bar for each series' latest value, the colour of which says whether an alert's threshold is passed."""
    if alert:
        queries = tuple(side for query in queries for side in against_limit(query, alert))
    panel = (
        bargauge.Panel()
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .orientation(common.VizOrientation.HORIZONTAL)
        .show_unfilled(True)
        .reduce_options(latest(queries))
        .text(build.VizTextDisplayOptions().title_size(14).value_size(16))
    )
    describe(panel, title, about, queries, unit=unit, none=none, instant=True, links=[*links, *logs_of(queries)])
    panel.min(0).thresholds(threshold_steps(((None, "blue"),)))
    colour_sides(panel)
    if most is not None:
        panel.max(most)
    if of_logs(queries):
        largest_first = {"sort": [{"field": f"Value #{FIRST}", "desc": True}]}
        panel.with_transformation(dashboard.DataTransformerConfig("sortBy", options=largest_first))
    return Placed(panel, width, height)


def timeline_panel(
    title: str,
    about: str,
    *queries: Query,
    texts: dict[str, tuple[str, str]],
    width: int = 24,
    height: int = 8,
    links: Sequence[DashboardLink] = (),
    none: str = "",
) -> Placed:
    """A coloured strip for each series: when it was in which state."""
    panel = (
        statetimeline.Panel()
        .show_value(common.VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .legend(build.VizLegendOptions().show_legend(False).display_mode(common.LegendDisplayMode.LIST))
    )
    describe(panel, title, about, queries, unit="short", none=none, instant=False, links=[*links, *logs_of(queries)])
    panel.mappings([value_texts(texts)])
    # With colours by thresholds, the default, those of the texts would not count.
    panel.color_scheme(FieldColor().mode(dashboard.FieldColorModeId.FIXED).fixed_color(NEUTRAL))
    return Placed(panel, width, height)


def lines_panel(title: str, about: str, query: Query, *, width: int = 24, height: int = 24, none: str = "") -> Placed:
    """Lines of logs, the newest first; a click on one shows all of its fields."""
    panel = (
        lines.Panel()
        .show_time(True)
        .show_labels(False)
        .show_common_labels(False)
        .wrap_log_message(True)
        .prettify_log_message(False)
        .enable_log_details(True)
        .dedup_strategy(common.LogsDedupStrategy.NONE)
        .sort_order(common.LogsSortOrder.DESCENDING)
    )
    describe(panel, title, about, [query], unit="short", none=none, instant=False)
    return Placed(panel, width, height)


def describe(
    panel: AnyPanel,
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    unit: str,
    none: str,
    instant: bool,
    table: bool = False,
    links: Sequence[DashboardLink] = (),
) -> None:
    """What every panel has: title, help, queries, unit, links, and what it says where it has no data."""
    panel.title(title).description(about).unit(unit).data_links(list(links))
    panel.datasource(LOGS if of_logs(queries) else DATASOURCE)
    panel.no_value(none or absent(queries))
    for target in targets(queries, instant=instant, table=table):
        panel.with_target(target)


def absent(queries: Sequence[Query], *, short: bool = False) -> str:
    """What a panel says of itself. It asks, as it cannot know; a number has room for two words."""
    jobs = sorted({job for query in queries for job in (["loki"] if query.logs else jobs_of(query.expr))})
    if not jobs:
        return "No data"
    return f"no {', '.join(jobs)}?" if short else f"No data. Is there a {' and a '.join(jobs)} in this inventory?"


def logs_of(queries: Sequence[Query]) -> list[DashboardLink]:
    """From a series to the lines of what it is about. What series are called tells the labels that they have."""
    labels = [set(re.findall(r"{{(\w+)}}", query.legend)) for query in queries]
    return to_logs(set.intersection(*labels), label)


def latest(queries: Sequence[Query]) -> build.ReduceDataOptions:
    return build.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(of_logs(queries))


def of_logs(queries: Sequence[Query]) -> bool:
    """What Loki answers as of one moment is no series but a table, with a row for each."""
    return all(query.logs for query in queries)


def legend(calcs: Sequence[str], *, beside: bool) -> build.VizLegendOptions:
    built = build.VizLegendOptions().show_legend(True)
    built.placement(common.LegendPlacement.RIGHT if beside else common.LegendPlacement.BOTTOM)
    if not calcs:
        return built.display_mode(common.LegendDisplayMode.LIST)
    return (
        built.display_mode(common.LegendDisplayMode.TABLE).calcs(list(calcs)).sort_by(CALCS[calcs[0]]).sort_desc(True)
    )


def threshold_steps(steps: Steps) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value, colour) for value, colour in steps])
    )


def value_texts(texts: dict[str, tuple[str, str]]) -> dashboard.ValueMap:
    """Texts and colours for exact values."""
    results = {
        value: dashboard.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    return dashboard.ValueMap(options=results)


def no_colour(none: str, colour: str) -> dashboard.SpecialValueMap:
    """No data is neither well nor bad."""
    result = dashboard.ValueMappingResult(text=none, color=colour, index=99)
    return dashboard.SpecialValueMap(
        options=dashboard.DashboardSpecialValueMapOptions(dashboard.SpecialValueMatch.NULL_AND_NAN, result)
    )


def fixed(colour: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def colour_sides(panel: AnyPanel) -> None:
    panel.override_by_query(NORMAL, [fixed(GREEN)])
    panel.override_by_query(BEYOND, [fixed(RED)])


def dashed_line() -> list[DynamicConfigValue]:
    return [
        fixed(RED),
        DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        DynamicConfigValue("custom.lineWidth", 2),
        DynamicConfigValue("custom.fillOpacity", 0),
        DynamicConfigValue("custom.stacking", {"mode": "none"}),
        DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
    ]
