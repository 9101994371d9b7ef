# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.opswatch.monitoring.plugins.filter.preflight import FilterModule

component_groups = FilterModule().filters()["component_groups"]


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
