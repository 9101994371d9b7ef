# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two actions of maintenance.yml, with Ansible's own classes around them and modules that answer as told."""

from __future__ import annotations

import importlib
import json
import sys
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.connection.local import Connection
from ansible.plugins.loader import action_loader
from ansible.template import Templar
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_spec, role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

ROOT = Path(__file__).resolve().parents[4]
Answer = dict[str, t.Any] | Exception


class Controller:
    """Runs an action as ansible-playbook would. C(answers): results of modules by their short names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, t.Any]]] = []
        self.variables: dict[str, t.Any] = {
            "ansible_python_interpreter": sys.executable,
            "inventory_hostname": "mon1",
            "groups": {"all": ["mon1"]},
            "hostvars": {"mon1": {}},
        }

    def run(self, name: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        loader = DataLoader()
        loader.set_basedir(str(self.folder))
        tasks = [{f"opswatch.monitoring.{name}": options, "check_mode": check}]
        (block,) = Play.load({"hosts": "all", "tasks": tasks}, loader=loader).tasks
        (task,) = block.block
        templar = Templar(loader=loader, variables=self.variables)
        task.post_validate(templar=templar._engine)
        action = action_loader.get(
            f"opswatch.monitoring.{name}",
            task=task,
            connection=Connection(PlayContext()),
            play_context=PlayContext(),
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        action._execute_module = self._answer
        return dict(action.run(task_vars=self.variables))

    def _answer(self, name: str, args: dict[str, t.Any], task_vars: t.Any = None) -> dict[str, t.Any]:
        short = name.removeprefix("opswatch.monitoring.")
        self.asked.append((short, args))
        answer = self.answers[short]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def look(self, **options: t.Any) -> Look:
        return Look.from_data(self.run("maintenance_look", **options)["look"])


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def info(**answers: t.Any) -> dict[str, t.Any]:
    return {"answers": {name: {"data": data} for name, data in answers.items()}, "time": 1_800_000_000.0}


# --- looks ---


@pytest.mark.parametrize(
    ("answer", "evidence", "fix"),
    [
        (
            {"failed": True, "msg": "GET x was answered with 401. What to do: correct the password"},
            "GET x was answered with 401",
            "correct the password",
        ),
        ({"failed": True, "msg": "Traceback"}, "Traceback", "look at it with systemctl status prometheus on mon1"),
        (
            AnsibleConnectionFailure("timed out"),
            "mon1 does not answer: timed out",
            "look at it with systemctl status prometheus on mon1",
        ),
    ],
)
def test_a_service_that_cannot_be_asked_is_broken_and_the_run_goes_on(
    controller: Controller, answer: Answer, evidence: str, fix: str
) -> None:
    controller.answers["prometheus_info"] = answer
    (found,) = controller.look(routine="daily", component="prometheus").findings
    assert found == Finding(
        "access", "broken", "mon1", "prometheus", "prometheus could not be asked", evidence, "", fix
    )


def test_daily_asks_prometheus_once(controller: Controller) -> None:
    controller.answers["prometheus_info"] = info(rules={"groups": []})
    look = controller.look(routine="daily", component="prometheus", api={"url": "http://x", "password": "p"})
    ((name, args),) = controller.asked
    assert (name, args["url"], args["password"]) == ("prometheus_info", "http://x", "p")
    assert [one.what for one in look.findings if one.severity == "warning"] == [
        "There is no data about the resources of any host"
    ]


def test_weekly_compares_with_all_rules_of_the_inventory(controller: Controller) -> None:
    rules = role_facts.prometheus_rules()
    own = controller.folder / "files"
    own.mkdir()
    (own / "own.yml").write_text("groups: [{name: own, rules: [{record: 'own:x', expr: up}]}]")
    generated = [{"name": "generated", "rules": [{"record": "x:y", "expr": "vector(1)"}]}]
    controller.answers["prometheus_info"] = info(rules={"groups": []})
    options = {"routine": "weekly", "component": "prometheus", "rules": generated, "rule_files": [str(own / "own.yml")]}
    (found,) = [one for one in controller.look(**options).findings if one.severity == "warning"]
    ours = {(group["name"], rule.get("alert") or rule["record"]) for group in rules for rule in group["rules"]}
    assert found.what.startswith(f"{len(ours) + 2} rules are missing, and are in the inventory: ")
    without = controller.look(**options, builtin_rules=False)
    assert [one.what for one in without.findings if one.severity == "warning"] == [
        "2 rules are missing, and are in the inventory: x:y (generated), own:x (own)"
    ]


def test_dashboards_of_grafana(controller: Controller) -> None:
    model = {"title": "old", "panels": []}
    controller.answers["grafana_dashboards_info"] = {
        "dashboards": [{"uid": "a", "title": "A", "model": model}, {"uid": "b", "title": "B", "model": None}]
    }
    result = controller.run("maintenance_look", routine="weekly", component="grafana")
    assert result["dashboards"] == [{"uid": "a", "title": "A", "panels": []}]


def test_monthly_cleans_a_host_by_the_generations_of_its_inventory(controller: Controller) -> None:
    controller.variables["prometheus_generations"] = "{{ 2 + 3 }}"
    gone = [{"what": "loki 3.0", "path": "/x", "bytes": 2048}]
    controller.answers["component_clean"] = {
        "changed": True,
        "components": [{"name": "loki", "version": "3.6.15", "bytes": 1, "busy": "", "remove": gone}],
    }
    result = controller.run("maintenance_look", routine="monthly", component="host", clean=True)
    assert result["changed"]
    assert Look.from_data(result["look"]).findings[-1].what == "Clean-up of mon1 freed 2.0 KiB: loki 3.0"
    (_name, args) = controller.asked[0]
    assert (args["clean"], args["keep"]["loki"]) == (True, 3)
    predicted = controller.run("maintenance_look", check=True, routine="monthly", component="host", clean=True)
    assert Look.from_data(predicted["look"]).findings[-1].what == "Clean-up of mon1 would free 2.0 KiB: loki 3.0"


# --- reports ---


def registered(controller: Controller, routine: str, *findings: Finding) -> None:
    look = Look(findings, (), {"series mon1": {"total": 5}})
    controller.variables["hostvars"]["mon1"][f"__maintenance_prometheus_{routine}"] = {"look": look.as_data()}


BAD = Finding("alerts", "broken", "app1", "shop", "ShopDown: it fires")
WORSE = BAD._replace(severity="warning", what="Disk is full")
FINE = BAD._replace(severity="ok", what="Fine")


@pytest.mark.parametrize(
    ("fail_on", "findings", "message"),
    [
        ("broken", [BAD, WORSE], "Monthly maintenance: 1 broken, 1 warning. ShopDown: it fires (app1)."),
        ("broken", [WORSE], ""),
        ("warning", [WORSE], "Monthly maintenance: 1 warning. Disk is full (app1)."),
        ("never", [BAD], ""),
        ("warning", [FINE], ""),
    ],
)
def test_what_makes_a_run_fail(controller: Controller, fail_on: str, findings: list[Finding], message: str) -> None:
    registered(controller, "monthly", *findings)
    result = controller.run("maintenance_report", routines=["monthly"], dir="reports", fail_on=fail_on)
    assert result.get("failed", False) == bool(message)
    page = controller.folder / "reports/monthly.html"
    assert result.get("msg", "") == (f"{message} Report: {page}" if message else "")
    assert json.loads((controller.folder / "reports/monthly.json").read_text())["state"] == {
        "series mon1": {"total": 5}
    }


def test_a_bad_report_hides_no_other(controller: Controller, capsys: pytest.CaptureFixture[str]) -> None:
    registered(controller, "daily", BAD)
    registered(controller, "monthly", FINE)
    result = controller.run("maintenance_report", routines=["daily", "monthly"], dir="reports")
    assert result["failed"]
    assert {path.name for path in (controller.folder / "reports").glob("*y.html")} == {"daily.html", "monthly.html"}
    said = capsys.readouterr().out
    assert said.index("Daily maintenance") < said.index("Monthly maintenance")


def test_check_mode_writes_nothing(controller: Controller, capsys: pytest.CaptureFixture[str]) -> None:
    registered(controller, "daily", BAD)
    assert controller.run("maintenance_report", check=True, dir="reports") == {"changed": False}
    result = controller.run("maintenance_report", check=True, routines=["daily"], dir="reports")
    assert (result["failed"], result["reports"]["daily"]["path"]) == (True, "")
    assert "ShopDown: it fires" in capsys.readouterr().out
    assert not (controller.folder / "reports").exists()


def test_the_folder_is_made_before_anybody_is_asked(controller: Controller) -> None:
    controller.run("maintenance_report", dir="reports")
    assert (controller.folder / "reports").is_dir()
    (controller.folder / "file").touch()
    with pytest.raises(Exception, match="No report can be written"):
        controller.run("maintenance_report", dir="file/reports")


def test_growth_is_told_from_an_earlier_report(controller: Controller) -> None:
    (controller.folder / "monthly-2020-01-01.json").write_text(
        json.dumps({"state": {"series mon1": {"total": 1, "metrics": {}, "labels": {}}}})
    )
    tsdb = {"headStats": {"numSeries": 5000}, "seriesCountByMetricName": [], "labelValueCountByLabelName": []}
    controller.answers["prometheus_info"] = {**info(tsdb=tsdb), "time": time.time()}
    controller.answers["prometheus_clean_tombstones"] = {"tombstones": 0, "blocks": 0}
    look = controller.look(routine="monthly", component="prometheus", dir=".")
    assert "Series grew from 1 to 5000 since the last report" in [one.what for one in look.findings]


# --- documentation ---


@pytest.mark.parametrize(
    ("name", "spec"),
    [("maintenance_look", maintenance_spec.LOOK_SPEC), ("maintenance_report", maintenance_spec.REPORT_SPEC)],
)
def test_options_are_documented_as_they_are_checked(name: str, spec: dict[str, t.Any]) -> None:
    module = importlib.import_module(f"ansible_collections.opswatch.monitoring.plugins.modules.{name}")
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    shown = ("type", "elements", "choices", "default", "required")
    assert {option: {key: one.get(key) for key in shown} for option, one in documented.items()} == {
        option: {key: one.get(key) for key in shown} for option, one in spec.items()
    }


def test_an_unknown_routine_is_refused(controller: Controller) -> None:
    with pytest.raises(AnsibleActionFail, match="daily, weekly, monthly"):
        controller.run("maintenance_look", routine="hourly", component="prometheus")
