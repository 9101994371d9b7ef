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


def test_backups_are_expected_where_there_is_a_place_for_them() -> None:
    (group,) = inventory_rules([], {}, {}, backups=True)["groups"]
    assert group["rules"] == [{"record": "monitoring:expected_backups", "expr": "vector(1)"}]


def test_how_many_streams_each_loki_takes() -> None:
    (group,) = inventory_rules([], {}, {}, streams={"mon1": 12000})["groups"]
    labels = {"instance": "mon1"}
    assert group["rules"] == [{"record": "monitoring:loki_streams", "labels": labels, "expr": "vector(12000)"}]


def test_a_backup_is_expected_of_each_host_with_a_place_and_a_node_exporter() -> None:
    server = {"group_names": ["node_exporter", "prometheus"]}
    hostvars = {
        "mon1": {"backup_repository": "/srv/backup", **server},
        "mon2": {"backup_repository": "", **server},
        "mon3": server,
        "grafana1": {"backup_repository": "/srv/backup", "group_names": ["grafana"]},
    }
    assert backups_expected_of(hostvars, "mon1", "mon2", "mon3") == ["mon1"]


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        ([], ["mon1", "logs1"]),
        ("", ["mon1", "logs1"]),
        (["prometheus", "grafana"], ["mon1"]),
        ("prometheus,grafana", ["mon1"]),
        (["node_exporter"], ["mon1", "logs1"]),
    ],
)
def test_no_backup_is_expected_of_a_host_without_data_or_the_components(components: t.Any, expected: list[str]) -> None:
    told = {"backup_repository": "/srv/backup", "backup_components": components}
    hostvars = {
        "mon1": {**told, "group_names": ["node_exporter", "prometheus"]},
        "logs1": {**told, "group_names": ["loki", "node_exporter"]},
        "app1": {**told, "group_names": ["node_exporter"]},
    }
    assert backups_expected_of(hostvars, "mon1", "logs1", "app1") == expected


def backups_expected_of(hostvars: dict[str, t.Any], *hosts: str) -> list[str]:
    """Where these have a node_exporter."""
    targets = [{"targets": [f"{host}:9100"], "labels": {"instance": host}} for host in hosts]
    jobs = [{**job("node_exporter"), "targets": targets}, {**job("cadvisor"), "targets": targets}]
    (group,) = inventory_rules(jobs, {}, {}, hostvars=hostvars)["groups"]
    found = [rule for rule in group["rules"] if rule["record"] == "monitoring:expected_backup"]
    assert {rule["expr"] for rule in found} == {"vector(1)"}
    return [rule["labels"]["instance"] for rule in found]
