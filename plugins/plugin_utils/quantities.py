# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Durations and sizes, as the programs that read them write them.

A wrong one in a configuration is refused with the program's own words. In a flag it makes the start
fail, hence this look.
"""

from __future__ import annotations

import re
import typing as t

from .preflight_report import Problem


class Kind(t.NamedTuple):
    name: str
    pattern: re.Pattern[str]
    examples: str


# Prometheus' own, which knows days, weeks and years, from the largest to the smallest.
DURATION = Kind("duration", re.compile(r"(?=\d)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?"), "30s, 90m or 15d")
# Go's, which knows hours at most.
HOURS = Kind("duration", re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+"), "90s, 15m or 168h")
SIZE = Kind("size", re.compile(r"\d+(\.\d+)?[KMGTPE]?i?B"), "512MB or 20GB")

# What nobody else looks at before a program does.
OPTIONS = {
    "prometheus": {
        "prometheus_scrape_interval": DURATION,
        "prometheus_evaluation_interval": DURATION,
        "prometheus_job_scrape_interval": DURATION,
        "prometheus_retention_time": DURATION,
        "prometheus_retention_size": SIZE,
    },
    "alertmanager": {"alertmanager_retention": HOURS},
    "loki": {"loki_retention": DURATION, "loki_max_chunk_age": HOURS},
}


def is_a(kind: Kind, value: t.Any) -> bool:
    return bool(kind.pattern.fullmatch(str(value)))


def quantity_problems(component: str, values: t.Mapping[str, t.Any]) -> list[Problem]:
    """Each option that is no duration or size. An empty one is left to the program."""
    return [
        Problem(f"{name} is no {kind.name}", repr(values[name]), f"write it like {kind.examples}, without a blank")
        for name, kind in OPTIONS.get(component, {}).items()
        if values.get(name) not in (None, "") and not is_a(kind, values[name])
    ]
