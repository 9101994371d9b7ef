# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables: a row for each thing, a query for each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from .links import column as value_of
from .links import to_logs
from .panels import GREEN, RED, Placed, Steps, describe, threshold_steps, value_texts
from .queries import LETTERS, Query

Texts = Mapping[str, tuple[str, str]]
# What the whole panel says without data is not for a single cell.
EMPTY = DynamicConfigValue("noValue", "-")


@dataclass(frozen=True)
class Column:
    """A query's values. C(steps) or C(texts) colour the cell, C(gauge) draws a bar up to C(most)."""

    title: str
    expr: str
    unit: str = "short"
    decimals: int | None = None
    width: int | None = None
    steps: Steps = ()
    texts: Texts | None = None
    gauge: bool = False
    full_is_good: bool = False
    most: float | None = None
    links: Sequence[DashboardLink] = ()


@dataclass(frozen=True)
class Key:
    """A label that tells the rows apart; C(hidden) where only links need it."""

    label: str
    title: str
    width: int | None = None
    texts: Texts | None = None
    links: Sequence[DashboardLink] = ()
    hidden: bool = False


def table_panel(
    title: str,
    about: str,
    keys: Sequence[Key],
    columns: Sequence[Column],
    *,
    sort: str,
    ascending: bool = False,
    width: int = 24,
    height: int = 8,
    logs: bool = True,
    none: str = "",
) -> Placed:
    """Every column's query is reduced to the keys, so that rows of different queries meet.

    With C(logs) a row leads to the lines of the service or the host that it is about.
    """
    if logs:
        keys = with_logs(keys)
    by = ", ".join(key.label for key in keys)
    queries = [Query(f"max by ({by}) ({column.expr})") for column in columns]
    panel = table.Panel()
    describe(panel, title, about, queries, unit="short", none=none, instant=True, table=True)
    panel.thresholds(threshold_steps(((None, "text"),)))
    panel.with_transformation(DataTransformerConfig("merge", options={}))
    panel.with_transformation(DataTransformerConfig("organize", options=organised(keys, columns)))
    for key in keys:
        panel.override_by_name(key.title, key_cell(key))
    for column in columns:
        panel.override_by_name(column.title, cell(column))
    panel.sort_by([build.TableSortByFieldState().display_name(sort).desc(not ascending)])
    panel.footer(build.TableFooterOptions().show(False).reducer([]).count_rows(False))
    return Placed(panel, width, height)


def with_logs(keys: Sequence[Key]) -> list[Key]:
    """The key that says most about whose lines they are has the link: the service before its host."""
    labels = [key.label for key in keys if not key.hidden]
    place = next((label for label in ("service", "job", "instance") if label in labels), "")
    ways = to_logs(labels, value_of)
    return [replace(key, links=[*key.links, *ways]) if key.label == place else key for key in keys]


def organised(keys: Sequence[Key], columns: Sequence[Column]) -> dict[str, object]:
    """Names and order. A query's values are called Value, and by its letter where there are several."""
    values = ["Value"] if len(columns) == 1 else [f"Value #{letter}" for letter in LETTERS[: len(columns)]]
    titles = {key.label: key.title for key in keys} | dict(
        zip(values, (column.title for column in columns), strict=True)
    )
    return {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate(titles)},
        "renameByName": titles,
    }


def cell(column: Column) -> list[DynamicConfigValue]:
    values = [DynamicConfigValue("unit", column.unit), EMPTY, *sized(column.width), *linked(column.links)]
    if column.decimals is not None:
        values.append(DynamicConfigValue("decimals", column.decimals))
    if column.gauge:
        palette = "continuous-RdYlGr" if column.full_is_good else "continuous-GrYlRd"
        # Before Grafana 9.5 a cell's kind is called so; later versions turn it into theirs when they load it.
        values.append(DynamicConfigValue("custom.displayMode", "gradient-gauge"))
        values += [DynamicConfigValue("min", 0), DynamicConfigValue("color", {"mode": palette})]
    if column.most is not None:
        values.append(DynamicConfigValue("max", column.most))
    if column.steps:
        values.append(DynamicConfigValue("thresholds", threshold_steps(column.steps).build()))
        values.append(DynamicConfigValue("custom.displayMode", "color-text"))
    return values + coloured(column.texts)


def key_cell(key: Key) -> list[DynamicConfigValue]:
    if key.hidden:  # in the data still, for the links of other cells
        return [DynamicConfigValue("custom.hidden", True)]
    return [EMPTY, *sized(key.width), *linked(key.links), *coloured(key.texts)]


def coloured(texts: Texts | None) -> list[DynamicConfigValue]:
    if not texts:
        return []
    return [
        DynamicConfigValue("mappings", [value_texts(dict(texts))]),
        DynamicConfigValue("custom.displayMode", "color-text"),
    ]


def sized(width: int | None) -> list[DynamicConfigValue]:
    return [] if width is None else [DynamicConfigValue("custom.width", width)]


def linked(links: Sequence[DashboardLink]) -> list[DynamicConfigValue]:
    return [DynamicConfigValue("links", [link.build() for link in links])] if links else []


#: 1 and 0, as most states are told.
OK_OR_NOT: Texts = {"1": ("ok", GREEN), "0": ("failed", RED)}
