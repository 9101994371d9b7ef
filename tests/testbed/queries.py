# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries of a dashboard's JSON, and its variables put in as Grafana does."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# What Grafana works out itself. The rate interval is four times the scrape interval of 30 s, whatever the range.
BUILT_IN = {"__rate_interval": "2m", "__range": "1h", "__range_s": "3600", "__interval": "30s"}
VARIABLE = re.compile(r"\$(?:\{(\w+)(?:[.:][^}]*)?\}|(\w+))")


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    instant: bool
    none: str
    kind: str = "prometheus"  # of its datasource: a query in LogQL is for a loki


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that shows something, those of folded rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def targets(dashboard: Mapping[str, Any], panel: Mapping[str, Any]) -> Iterator[Target]:
    """The queries of one of a dashboard's panels."""
    for target in panel["targets"]:
        yield Target(
            dashboard["uid"],
            f"{dashboard['title']} / {panel['title']} [{panel['id']}]",
            target["refId"],
            target["expr"],
            bool(target.get("instant")) or target.get("queryType") == "instant",
            panel["fieldConfig"]["defaults"].get("noValue", ""),
            target.get("datasource", {}).get("type", "prometheus"),
        )


def names_in(text: str) -> set[str]:
    """The variables that a text names; $1 of label_replace is none."""
    found = {braced or plain for braced, plain in VARIABLE.findall(text)}
    return {name for name in found if not name.isdigit()}


def put_in(text: str, values: Mapping[str, str]) -> str:
    """The text with values for its variables; what is not known stays."""

    def value(match: re.Match[str]) -> str:
        return {**BUILT_IN, **values}.get(match[1] or match[2], match[0])

    return VARIABLE.sub(value, text)


def one_of(values: Iterable[str]) -> str:
    """A regular expression for several values, escaped as Grafana does it for Prometheus."""
    escaped = (re.sub(r"[$^*{}\[\]'+?.()|\\]", r"\\\\\g<0>", value) for value in values)
    return f"({'|'.join(escaped)})"
