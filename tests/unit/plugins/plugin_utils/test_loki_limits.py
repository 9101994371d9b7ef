# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that an agent would send and its Loki refuse."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki_limits import limit_problems

GROUPS = {"loki": ["mon1"], "alloy": ["app1"], "promtail": ["app2"]}


def told(loki: dict[str, t.Any], app1: dict[str, t.Any], app2: dict[str, t.Any] | None = None) -> list[str]:
    problems = limit_problems(GROUPS, {"mon1": loki, "app1": app1, "app2": app2 or {}})
    return [f"{one.what}: {one.seen}" for one in problems]


def limits(**values: t.Any) -> dict[str, t.Any]:
    return {"loki_config": {"limits_config": values}}


@pytest.mark.parametrize(
    ("loki", "agent", "said"),
    [
        ({}, {}, ""),
        ({}, {"monitoring_logs_line_limit": 256001}, "monitoring_logs_line_limit is above loki_max_line_size of mon1"),
        ({}, {"monitoring_logs_line_limit": 0}, "monitoring_logs_line_limit is above"),
        ({"loki_max_line_size": 300000}, {"monitoring_logs_line_limit": 300000}, ""),
        ({"loki_max_line_size": 0}, {"monitoring_logs_line_limit": 300000}, ""),
        (limits(max_line_size="1MB"), {"monitoring_logs_line_limit": 300000}, ""),
        ({"loki_max_line_size": "256KB"}, {"monitoring_logs_line_limit": 262144}, ""),
        (
            {"loki_max_line_size": "256KB"},
            {"monitoring_logs_line_limit": 262145},
            "is above loki_max_line_size of mon1",
        ),
        (limits(max_line_size_truncate=True), {"monitoring_logs_line_limit": 300000}, ""),
        ({}, {"monitoring_logs_line_limit": 300000, "monitoring_logs_push": ["https://logs.example.com"]}, ""),
        ({}, {"monitoring_logs_line_limit": 300000, "monitoring_logs_push": [{"url": "https://logs"}]}, ""),
        ({}, {"monitoring_logs_line_limit": 300000, "alloy_state": "absent"}, ""),
        (
            {},
            {"monitoring_logs_max_age": "169h"},
            "max_age is above loki_reject_old_samples_max_age of mon1: 169h on app1",
        ),
        ({"loki_reject_old_samples_max_age": "8d"}, {"monitoring_logs_max_age": "192h"}, ""),
        ({"loki_reject_old_samples": False}, {"monitoring_logs_max_age": "999h"}, ""),
        ({"loki_reject_old_samples": "no"}, {"monitoring_logs_max_age": "999h"}, ""),
        (limits(reject_old_samples=False), {"monitoring_logs_max_age": "999h"}, ""),
        (
            limits(reject_old_samples_max_age="1w"),
            {"monitoring_logs_max_age": "169h"},
            "above loki_config (limits_config.r",
        ),
        ({}, {"monitoring_logs_max_age": "a week"}, ""),  # which is told as no duration
        ({"loki_config": "x"}, {"monitoring_logs": ["x", {"labels": 3}]}, ""),
    ],
)
def test_what_loki_would_refuse(loki: dict[str, t.Any], agent: dict[str, t.Any], said: str) -> None:
    found = told(loki, agent)
    assert len(found) == bool(said)
    assert all(said in one for one in found)


def test_several_hosts_are_told_together() -> None:
    (problem,) = told({}, {"monitoring_logs_line_limit": 300000}, {"monitoring_logs_line_limit": 400000})
    assert "300000 on app1; 400000 on app2; there it is 256000. Loki would refuse lines that are longer" in problem
    assert "300000 on app1, app2;" in told({}, *[{"monitoring_logs_line_limit": 300000}] * 2)[0]


def test_more_labels_than_loki_takes() -> None:
    labels = {f"label{number}": "x" for number in range(13)}
    logs = {"monitoring_logs": [{"name": "shop", "labels": labels}, {"name": "b", "labels": {"level": "x"}}]}
    (problem,) = told({}, logs)
    assert problem.startswith(
        "monitoring_logs: shop of app1 has 16 labels with instance, service, level: Loki on mon1 takes 15"
    )
    assert told(limits(max_label_names_per_series=16), logs) == []
