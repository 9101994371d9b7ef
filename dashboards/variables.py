# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables: what the boxes at the top offer."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import (
    CustomVariable,
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
)
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from .queries import DATASOURCE, LOGS

ALL = VariableOption(selected=True, text="All", value="$__all")


def datasource() -> DatasourceVariable:
    """Which Prometheus. The role grafana gives the first one the UID prometheus."""
    return (
        DatasourceVariable("datasource")
        .id("datasource")
        .label("Prometheus")
        .type("prometheus")
        .current(VariableOption(selected=True, text="Prometheus", value="prometheus"))
    )


def logs_datasource() -> DatasourceVariable:
    """Which Loki, alike."""
    return (
        DatasourceVariable("logs")
        .id("logs")
        .label("Loki")
        .type("loki")
        .current(VariableOption(selected=True, text="Loki", value="loki"))
    )


def labels(name: str, title: str, series: str, of: str = "", everything: str | None = ".*") -> QueryVariable:
    """The values of a label, several or all of them.

    All is C(everything): .* costs no more than no matcher at all. With None it is the values that the box offers.
    """
    variable = (
        QueryVariable(name)
        .id(name)  # the SDK gives all the same, and Grafana 9 then knows only the last one
        .label(title)
        .datasource(DATASOURCE)
        .query({"query": f"label_values({series}, {of or name})", "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(ALL)
    )
    return variable.all_value(everything) if everything else variable


def log_labels(name: str, title: str, streams: str, everything: str) -> QueryVariable:
    """The values of a label of the logs, in these streams."""
    return (
        QueryVariable(name)
        .id(name)
        .label(title)
        .datasource(LOGS)
        .query({"type": 1, "label": name, "stream": streams, "refId": name})  # 1: values of a label
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(everything)
        .current(ALL)
    )


def text(name: str, title: str) -> TextBoxVariable:
    """What a person writes; nothing at first."""
    return TextBoxVariable(name).id(name).label(title).default_value("").current(VariableOption(text="", value=""))


def choice(name: str, title: str, *values: str) -> CustomVariable:
    """A fixed list, several or all of it."""
    return (
        CustomVariable(name)
        .id(name)
        .label(title)
        .values(",".join(values))
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(ALL)
    )
