# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role would refuse at its turn is found before, and in the words that the role has for it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_roles import (
    grafana_problems,
    role_problems,
)

MAIL = {"name": "mail", "email_configs": [{"to": "ops@example.com", "auth_password": "hunter2"}]}


def said(component: str, **values: t.Any) -> list[str]:
    return [" ".join(problem) for problem in role_problems(component, values)]


def alertmanager(*receivers: t.Any, route: t.Any = None, config: t.Any = None) -> list[str]:
    stated = {"receivers": list(receivers), "route": route or {}, "config": config or {}, "version": "0.33.1"}
    return said("alertmanager", **{f"alertmanager_{name}": value for name, value in stated.items()})


def test_every_threshold_that_is_wrong() -> None:
    stated = {"HighCpuUsage": 95, "InodesLow": "many", "DiskSpaceLow": None, "DiskWillFill": 12, 7: 1}
    first, second, third = said("prometheus", prometheus_thresholds=stated)
    assert "no alert with a threshold is called HighCpuUsage" in first
    assert "write HighCPUUsage" in first
    assert "InodesLow is 'many'. Use a number" in second
    assert "is called 7" in third


@pytest.mark.parametrize("stated", [{}, {"DiskSpaceLow": 80.5}, "a text", None])
def test_thresholds_that_are_right_or_have_another_type(stated: t.Any) -> None:
    assert said("prometheus", prometheus_thresholds=stated) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prometheus_unit": {"Service": "x"}}, "prometheus_unit: Service is no section with settings"),
        ({"prometheus_unit": {"Service": {"Nice": 5}, "Install": None}}, ""),
        ({"prometheus_muted_alerts": ["HighCPU"]}, "no alert is called HighCPU (did you mean HighCPUUsage?"),
        ({"prometheus_muted_alerts": ["OfMine"], "prometheus_rule_files": ["mine.yml"]}, ""),
        ({"prometheus_muted_alerts": ["HostDown"]}, ""),
        ({"prometheus_job_limits": {"shop": {"sample_limi": 5}}}, "unknown: prometheus_job_limits, shop.sample_limi"),
        ({"prometheus_job_limits": {"shop": 5}}, "prometheus_job_limits, shop has to be a dict"),
        ({"prometheus_job_limits": {"shop": {"sample_limit": 5}}}, ""),
        ({"prometheus_scrape_configs": [{"job": "x"}]}, "prometheus_scrape_configs, entry 1, has no job_name"),
    ],
)
def test_what_stands_inside(given: dict[str, t.Any], words: str) -> None:
    found = [f"{problem.what} ({problem.seen}" for problem in role_problems("prometheus", given)]
    assert len(found) == (1 if words else 0), found
    assert words in "".join(found)


def test_right_receivers() -> None:
    assert alertmanager(MAIL, {"name": "chat", "slack_configs": [{"channel": "#a"}]}, route={"receiver": "chat"}) == []
    assert alertmanager() == []


def test_every_receiver_that_is_wrong() -> None:
    found = alertmanager({"name": "a", "email": {"password": "hunter2"}}, MAIL, {"name": "b", "severities": [{}]}, {})
    assert len(found) == 3, found
    assert "a has email" in found[0]
    assert "b has no integration" in found[1]
    assert "a map of nothing" in found[2]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"receivers": [MAIL, MAIL]}, "mail is there twice"),
        ({"route": {"receiver": "nowhere"}}, 'undefined receiver "nowhere"'),
        ({"route": {"routes": [{"routes": [{"receiver": "b"}]}, {"receiver": "a"}]}}, 'undefined receiver "a", "b"'),
        ({"config": {"route": {"receiver": "c"}}}, 'undefined receiver "c"'),
        ({"config": {"receivers": [{"name": "own"}]}}, "name one that there is, own,"),
        ({"config": {"receivers": ["own"]}}, "receivers is not a list of maps"),
        ({"config": {"route": []}}, "route is not a map"),
    ],
)
def test_what_is_wrong_with_them_together(given: dict[str, t.Any], words: str) -> None:
    (found,) = alertmanager(*given.pop("receivers", [MAIL]), **given)
    assert words in found
    assert "What to do: " not in found, "the remedy is apart"
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"receivers": "mail", "route": {}, "config": {}},
        {"receivers": ["mail"], "route": {"receiver": "nowhere"}, "config": {}},
        {"receivers": [], "route": "nowhere", "config": {}},
        {"receivers": [], "route": {}, "config": "none"},
    ],
)
def test_another_type_is_reported_elsewhere(values: dict[str, t.Any]) -> None:
    assert said("alertmanager", **{f"alertmanager_{name}": value for name, value in values.items()}) == []


def test_a_role_that_refuses_nothing_of_its_own() -> None:
    assert said("node_exporter", node_exporter_flags={}) == []


# --- grafana ---

GROUPS = {"prometheus": ["mon1"], "grafana": ["mon1"]}


def found_in(path: str) -> str:
    if not Path(path).exists():
        raise AnsibleError(path)
    return path


def grafana(**values: t.Any) -> list[str]:
    stated = {"config": {}, "datasources": [], "dashboards": [], **values}
    named = {f"grafana_{name}": value for name, value in stated.items()}
    return [" ".join(problem) for problem in grafana_problems(named, GROUPS, {"mon1": {}}, found_in)]


def board(folder: Path, name: str, **model: t.Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"title": name, **model}))
    return folder


def test_a_grafana_that_is_right(tmp_path: Path) -> None:
    assert grafana() == []
    shop = {"name": "Shop", "type": "postgres", "secureJsonData": {"password": "hunter2"}}
    path = str(board(tmp_path / "shop", "a.json"))
    assert grafana(config={"smtp": {"enabled": True}}, datasources=[shop], dashboards=[path]) == []
    assert grafana(config="a text", datasources=None, dashboards={}) == [], "its type is what is reported"


def test_every_datasource_that_is_wrong() -> None:
    first, second = grafana(
        datasources=[{"name": "a"}, {"name": "b", "type": "x"}, {"name": "c", "type": "x", "uid": "ü"}]
    )
    assert "an entry is no map with name and type" in first
    assert "c has the UID 'ü'" in second
    assert "hunter2" not in str(grafana(datasources=[{"secureJsonData": {"password": "hunter2"}}]))


@pytest.mark.parametrize("twin", [{"name": "Prometheus"}, {"name": "Other", "uid": "prometheus"}])
def test_a_datasource_that_is_called_like_a_server_of_the_inventory(twin: dict[str, str]) -> None:
    (problem,) = grafana(datasources=[{"type": "prometheus", "url": "http://x", **twin}])
    assert "have the same" in problem
    assert "give yours another one" in problem


def test_settings_that_no_ini_can_hold() -> None:
    (problem,) = grafana(config={"a]b": {"c": 1}})
    assert "cannot be the name of a section" in problem


def test_every_file_that_is_no_dashboard(tmp_path: Path) -> None:
    one, other = board(tmp_path / "one", "a.json", uid="same"), board(tmp_path / "other", "c.json")
    board(one, "b.json", uid="same")
    (other / "broken.json").write_text("{")
    found = grafana(dashboards=[str(one), str(other), str(tmp_path / "gone")])
    assert [text.split(". ")[0] for text in found[:1]] == ["grafana_dashboards: a.json, b.json: the same UID same"]
    assert f"{other}/broken.json:1:2: no JSON" in found[1]
    assert "names a folder that is not there" in found[2]
    assert len(found) == 3


@pytest.mark.parametrize("names", [("a/shop", "b/shop/"), ("a/opswatch",)])
def test_two_trees_of_one_name(names: tuple[str, ...], tmp_path: Path) -> None:
    paths = [f"{board(tmp_path / name, 'a.json')}/" for name in names]
    (problem,) = grafana(dashboards=paths)
    assert "is called like" in problem
    assert "rename the folder" in problem


@pytest.mark.parametrize(
    "kind", [{"webhook_configs": [{"url": "hooks.example.com/geheim"}]}, {"slack_configs": [{"api_url": "hooks"}]}]
)
def test_addresses_without_a_scheme(kind: dict[str, t.Any]) -> None:
    (problem,) = alertmanager({"name": "chat", **kind})
    assert "of chat is no address of HTTP" in problem
    assert "begin it with https://" in problem
    assert "geheim" not in problem
    assert alertmanager({"name": "chat", "webhook_configs": [{"url": "https://hooks.example.com/x"}]}) == []
