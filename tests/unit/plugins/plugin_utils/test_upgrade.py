# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an upgrade, as tables."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.upgrade import (
    BORDERS,
    ORDER,
    SERVERS,
    TESTED,
    data_borders,
    inventory_lines,
    upgrade_plan,
    upgrade_steps,
    wanted_versions,
)

HERE = ["prometheus", "alertmanager", "node_exporter", "grafana", "loki", "all"]


def plan(wish: t.Any, installed: dict[str, str], **options: t.Any) -> list[tuple[str, str, str]]:
    steps = upgrade_steps("mon1", wish, HERE, installed, **options)
    return [(one["component"], one["before"], one["after"]) for one in steps]


@pytest.mark.parametrize(
    ("wish", "installed", "steps"),
    [
        ({"prometheus": "3.5.3"}, {"prometheus": "2.53.3"}, [("prometheus", "2.53.3", "3.5.3")]),
        ({"prometheus": "3.5.3"}, {"prometheus": "3.5.3"}, []),
        ({"alloy": "1.12.2"}, {"prometheus": "3.5.3"}, []),
        (
            "prometheus=3.5.3, node_exporter=1.11.1,alertmanager=0.33.1",
            {"prometheus": "3.5.0", "node_exporter": "1.9.0", "alertmanager": "0.28.1"},
            [
                ("node_exporter", "1.9.0", "1.11.1"),
                ("alertmanager", "0.28.1", "0.33.1"),
                ("prometheus", "3.5.0", "3.5.3"),
            ],
        ),
    ],
)
def test_plans(wish: t.Any, installed: dict[str, str], steps: list[tuple[str, str, str]]) -> None:
    assert plan(wish, installed) == steps


def test_change_that_was_killed_is_a_step_again() -> None:
    installed = {"prometheus": "3.5.3"}
    assert plan({"prometheus": "3.5.3"}, installed, unfinished=["prometheus"]) == [("prometheus", "3.5.3", "3.5.3")]


def test_latest_tested_leaves_newer_ones_alone() -> None:
    tested = {name: str(role_facts.default(name, "version")) for name in HERE[:-1]}
    installed = {**tested, "prometheus": "2.53.3", "grafana": "99.0.0"}
    assert plan(TESTED, installed) == [("prometheus", "2.53.3", tested["prometheus"])]


@pytest.mark.parametrize(
    ("wish", "installed", "words"),
    [
        ({}, {}, "Nothing says what to upgrade"),
        ("", {}, "Nothing says what to upgrade"),
        ({"prometeus": "3.5.3"}, {}, "prometeus is no component (did you mean prometheus?). What to do: "),
        ("=node_exporter", {}, "an empty name is no component. What to do: "),
        ({"prometheus": "latest"}, {}, "'latest' is no version of prometheus"),
        ({"prometheus": "3.5.3"}, {}, "prometheus is not installed on mon1"),
        ({"prometheus": "2.53.3"}, {"prometheus": "3.5.3"}, "mon1 has prometheus 3.5.3, and 2.53.3 is older"),
        ({"grafana": "12.4.2"}, {"grafana": "8.5.0"}, "grafana 8.5.0 to 12.4.2 is too much for one step"),
        ({"loki": "3.6.15"}, {"loki": "2.7.0"}, "loki 2.7.0 to 3.6.15 is too much for one step"),
    ],
)
def test_refusals(wish: t.Any, installed: dict[str, str], words: str) -> None:
    with pytest.raises(AnsibleError) as raised:
        plan(wish, installed)
    assert words in str(raised.value)
    assert "What to do: " in str(raised.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(AnsibleError) as raised:
        plan({"prometheus": "3.5.3", "loki": "3.0.0"}, {"loki": "3.6.15"})
    assert "prometheus is not installed" in str(raised.value)
    assert "3.0.0 is older" in str(raised.value)


def test_a_refusal_is_a_text_for_the_role() -> None:
    made = upgrade_plan("mon1", {"loki": "3.0.0"}, HERE, {"loki": "3.6.15"})
    assert made["steps"] == []
    assert made["refused"].startswith("mon1 has loki 3.6.15, and 3.0.0 is older")
    (step,) = upgrade_steps("mon1", {"loki": "3.6.15"}, HERE, {"loki": "3.6.0"})
    assert upgrade_plan("mon1", {"loki": "3.6.15"}, HERE, {"loki": "3.6.0"}) == {"steps": [step], "refused": ""}


@pytest.mark.parametrize(
    ("component", "before", "after", "kept"),
    [
        ("prometheus", "2.53.3", "2.55.0", True),
        ("prometheus", "2.53.3", "3.5.3", True),
        ("prometheus", "2.55.1", "3.5.3", False),
        ("prometheus", "3.5.0", "3.5.3", False),
        ("grafana", "12.4.1", "12.4.2", True),
        ("alertmanager", "0.25.0", "0.33.1", False),
    ],
)
def test_borders_of_the_data(component: str, before: str, after: str, kept: bool) -> None:
    (step,) = upgrade_steps("mon1", {component: after}, HERE, {component: before})
    assert bool(step["border"]) == kept


def test_every_component_has_its_place() -> None:
    assert set(ORDER) == set(role_facts.components())
    assert set(SERVERS) < set(ORDER)


def test_borders_are_those_of_the_roles() -> None:
    """Stated for the engine in the roles' tasks, too."""
    for component in BORDERS:
        with open(role_facts.role_path(component, "tasks", "main.yml"), encoding="utf-8") as handle:
            (line,) = [line for line in handle if "breaking_versions" in line]
        for border in data_borders(component):
            assert (f'["{border}"]' if border else f"{{{{ {component}_version }}}}") in line


def test_lines_for_the_inventory() -> None:
    steps = [{"component": "prometheus", "after": "3.5.3"}, {"component": "alertmanager", "after": "0.33.1"}]
    assert inventory_lines(steps * 2) == ["alertmanager_version: 0.33.1", "prometheus_version: 3.5.3"]


def test_wish_may_be_a_text() -> None:
    assert wanted_versions("loki=3.6.15") == {"loki": "3.6.15"}
