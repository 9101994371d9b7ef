# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says, as recording rules."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.inventory_rules import inventory_rules


def job(name: str, objective: float | None = None, targets: int = 1) -> dict[str, t.Any]:
    return {"name": name, "objective": objective, "targets": [{"targets": ["a:1"]}] * targets}


def series(jobs: t.Any, thresholds: t.Any, stated: t.Any = None) -> dict[str, str]:
    """Each series that the rules make, with its expression."""
    (group,) = inventory_rules(jobs, thresholds, stated or {})["groups"]
    return {f"{rule['record']}{sorted(rule['labels'].items())}": rule["expr"] for rule in group["rules"]}


def test_each_kind_of_series() -> None:
    found = series([job("node_exporter"), job("shop", objective=99.9)], {"HighCPUUsage": 80, "HighResponseTime": 0.5})
    assert found == {
        "monitoring:threshold[('alert', 'HighCPUUsage')]": "vector(80)",
        "monitoring:threshold[('alert', 'HighResponseTime')]": "vector(0.5)",
        "monitoring:expected_job[('job', 'node_exporter')]": "vector(1)",
        "monitoring:expected_job[('job', 'shop')]": "vector(1)",
        "monitoring:objective[('job', 'shop')]": "vector(0.999)",
    }


def test_null_switches_an_alert_off() -> None:
    assert series([], {"HighCPUUsage": 80}, {"HighCPUUsage": None}) == {}


def test_a_users_threshold_replaces_ours_alone() -> None:
    found = series([], {"HighCPUUsage": 80, "InodesLow": 90}, {"HighCPUUsage": 95})
    assert list(found.values()) == ["vector(95)", "vector(90)"]


def test_a_misspelt_alert_is_refused() -> None:
    with pytest.raises(AnsibleError, match=r"no alert .* is called HighCpuUsage\. What to do: write HighCPUUsage"):
        inventory_rules([], {"HighCPUUsage": 80}, {"HighCpuUsage": 95})


def test_a_job_whose_hosts_are_all_absent_is_not_expected() -> None:
    assert series([job("prometheus", targets=0)], {}) == {}


@pytest.mark.parametrize("value", ["80", True, [80]])
def test_a_threshold_is_a_number(value: t.Any) -> None:
    with pytest.raises(AnsibleError, match=r"prometheus_thresholds: HighCPUUsage is .* Use a number, or null"):
        inventory_rules([], {"HighCPUUsage": 80}, {"HighCPUUsage": value})
