# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.opswatch.monitoring.plugins.filter.preflight import FilterModule

component_groups = FilterModule().filters()["component_groups"]
data_groups = FilterModule().filters()["data_groups"]


@pytest.mark.parametrize(
    ("groups", "hosts"),
    [
        ({"all": ["a"], "web": ["a"], "node_exporter": ["a"], "prometheus": []}, ["prometheus", "node_exporter"]),
        ({"all": ["a"], "node_exporter": ["a"]}, ["node_exporter"]),
        ({"all": ["a"], "nodeexporter": ["a"]}, ["all"]),
        ({"all": []}, ["all"]),
    ],
)
def test_component_groups(groups: dict[str, list[str]], hosts: list[str]) -> None:
    assert component_groups(groups) == hosts


GROUPS = {"all": ["a"], "web": ["a"], "loki": ["a"], "node_exporter": ["a"], "cadvisor": ["a"], "prometheus": ["a"]}


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ([], ["prometheus", "loki"]),
        ("", ["prometheus", "loki"]),
        ("node_exporter,loki", ["prometheus", "loki", "node_exporter"]),
        (["cadvisor", "grafana", "web"], ["prometheus", "loki", "cadvisor"]),
    ],
)
def test_groups_with_data_and_those_that_are_named(named: str | list[str], found: list[str]) -> None:
    assert data_groups(GROUPS, named) == found


def test_hosts_without_data_are_never_meant() -> None:
    """Where groups are misspelt neither."""
    without = ["prometheus", "alertmanager", "grafana", "loki"]
    assert data_groups({"all": ["a"], "node_exporter": ["a"], "prometeus": ["a"]}) == without
