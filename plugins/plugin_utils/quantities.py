# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Durations, sizes and numbers, as the programs that read them write them.

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
COUNT = Kind("whole number", re.compile(r"\d+"), "10000")
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
    "loki": {
        "loki_retention": DURATION,
        "loki_reject_old_samples_max_age": DURATION,
        "loki_max_chunk_age": HOURS,
        "loki_max_streams_per_user": COUNT,
        "loki_max_global_streams_per_user": COUNT,
    },
    "monitoring": {"monitoring_logs_max_age": HOURS},
}


SECONDS = {"y": 31536000, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([KMGTPE]?)i?B?", re.IGNORECASE)


def seconds(value: t.Any) -> float | None:
    """How long a duration is. None if it is none."""
    if not (is_a(DURATION, value) or is_a(HOURS, value)):
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]+)", str(value))
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def size(value: t.Any) -> float | None:
    """How many bytes a number with or without a unit is. To Loki a KB has 1024, too. None if it is none."""
    found = _SIZE.fullmatch(str(value))
    if not found:
        return None
    power = " KMGTPE".index(found[2].upper() or " ")
    return float(found[1]) * float(1024**power)


def is_a(kind: Kind, value: t.Any) -> bool:
    return bool(kind.pattern.fullmatch(str(value)))


def quantity_problems(component: str, values: t.Mapping[str, t.Any]) -> list[Problem]:
    """Each option that is no duration, size or number. An empty one is left to the program."""
    return [
        Problem(f"{name} is no {kind.name}", repr(values[name]), f"write it like {kind.examples}, without a blank")
        for name, kind in OPTIONS.get(component, {}).items()
        if values.get(name) not in (None, "") and not is_a(kind, values[name])
    ]
