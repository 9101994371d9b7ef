# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two actions of maintenance.yml and doctor.yml, with Ansible's own classes, and modules that answer as told."""

from __future__ import annotations

import importlib
import json
import sys
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.connection.local import Connection
from ansible.plugins.loader import action_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_spec, role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.doctor import settled
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import PLACEHOLDER

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


# --- the doctor ---


@pytest.fixture
def doctor(controller: Controller) -> Controller:
    """An inventory of one host that runs everything."""
    groups = {
        "all": ["mon1"],
        **{name: ["mon1"] for name in ("prometheus", "alertmanager", "grafana", "loki", "alloy")},
    }
    controller.variables.update(groups=groups, group_names=sorted(set(groups) - {"all"}))
    return controller


def examined(doctor: Controller, component: str, check: bool = False, **options: t.Any) -> Look:
    doctor.variables["__doctor_options"] = options
    return Look.from_data(doctor.run("maintenance_look", check, routine="doctor", component=component)["look"])


def bad(look: Look) -> list[Finding]:
    return [one for one in look.findings if one.severity != "ok"]


UNIT = {"active": "active", "sub": "running", "result": "", "running": True, "restarts": 0, "since": 0.0, "words": ""}


def test_a_host_is_asked_once_for_all_that_its_groups_want(doctor: Controller) -> None:
    doctor.variables.update(prometheus_version=trust_as_template("{{ '9' ~ '.9.9' }}"), loki_state="absent")
    names = doctor.variables["group_names"]
    component = {"generation": 1, "needs": [], "warnings": [], "others": [], "unit": UNIT, "unfinished": False}
    doctor.answers["components_info"] = {
        "components": {
            name: {**component, "version": "" if name == "loki" else role_facts.default(name, "version")}
            for name in names
        },
        "host": {"time": time.time(), "spaces": []},
    }
    (found,) = bad(examined(doctor, "host"))
    assert found.what == f"prometheus is {role_facts.default('prometheus', 'version')}, and the inventory says 9.9.9"
    ((_module, args),) = doctor.asked
    assert args["health"]
    assert {one["name"] for one in args["components"]} == set(names)


def test_an_alert_that_is_switched_off_has_no_threshold(doctor: Controller) -> None:
    doctor.variables["group_names"] = []
    doctor.variables["hostvars"]["mon1"]["prometheus_thresholds"] = {"DiskSpaceLow": None, "ClockSkew": None}
    nearly = {"path": "/", "bytes": 100, "free": 5, "inodes": 0, "inodes_free": 0}
    doctor.answers["components_info"] = {"components": {}, "host": {"time": 0.0, "spaces": [nearly]}}
    look = examined(doctor, "host")
    assert bad(look) == []
    assert "clock" not in {one.check for one in look.findings}


def test_a_host_that_is_away_is_a_finding(doctor: Controller) -> None:
    doctor.answers["components_info"] = AnsibleConnectionFailure("ssh: Could not resolve hostname mon1")
    (found,) = examined(doctor, "host").findings
    assert (found.check, found.severity, found.evidence) == (
        "reached",
        "broken",
        "ssh: Could not resolve hostname mon1",
    )


@pytest.mark.parametrize("said", [AnsibleError("Missing sudo password"), {"failed": True, "msg": "sudo: no"}])
def test_so_is_one_that_lets_nobody_become_root(doctor: Controller, said: Answer) -> None:
    doctor.answers["components_info"] = said
    (found,) = examined(doctor, "host").findings
    assert (found.check, found.severity, found.what) == ("access", "broken", "mon1 could not be asked")
    assert "may become root" in found.fix


def test_prometheus_is_asked_once_for_what_the_inventory_wants(doctor: Controller) -> None:
    targets = {"activeTargets": [], "droppedTargets": []}
    doctor.answers["component_api_info"] = info(targets=targets, alertmanagers={"activeAlertmanagers": []})
    doctor.variables["groups"]["all"] += ["lb1", "lb2"]
    doctor.variables["hostvars"] |= {"lb1": {}, "lb2": {}}
    doctor.variables["doctor_unscraped"] = "lb1,lb2"  # as -e has it
    found = bad(examined(doctor, "prometheus", api={"url": "http://x", "user": "monitoring", "password": "p"}))
    assert [(one.check, one.what) for one in found] == [
        ("targets", "mon1 does not scrape alertmanager, alloy, grafana, loki, prometheus of mon1"),
        ("alerting", "Prometheus does not send alerts to mon1:9093"),
    ]
    ((_module, args),) = doctor.asked
    assert (args["name"], args["password"], args["timeout"]) == ("prometheus", "p", 30.0)
    assert next(iter(args["paths"])) == "runtime"


def test_what_is_registered_holds_no_secret(doctor: Controller) -> None:
    down = {
        "scrapePool": "own-probes",
        "health": "down",
        "labels": {"instance": "shop", "target": "https://user:hunter2@shop/"},
        "discoveredLabels": {},
        "scrapeUrl": "http://mon1:9115/probe?target=https%3A%2F%2Fuser%3Ahunter2%40shop%2F%3Ftoken%3Dtopsecret",
        "lastError": "EOF",
    }
    doctor.answers["component_api_info"] = info(targets={"activeTargets": [down]})
    result = repr(doctor.run("maintenance_look", routine="doctor", component="prometheus"))
    assert "https://user:***@shop/?token=***" in result
    assert not {word for word in ("hunter2", "topsecret") if word in result}


@pytest.mark.parametrize(
    "said", [AnsibleError("token=topsecret is not known"), KeyError("token=topsecret"), {"token=topsecret": {}}]
)
def test_a_look_that_fails_is_a_finding_without_secrets(doctor: Controller, said: t.Any) -> None:
    """Whatever fails: Ansible would show its words as they are."""
    doctor.answers["component_api_info"] = said
    result = doctor.run("maintenance_look", routine="doctor", component="alertmanager")
    (found,) = Look.from_data(result["look"]).findings
    assert (found.severity, found.what) == ("broken", "alertmanager could not be asked")
    assert "topsecret" not in repr(result)
    assert found.evidence != ""


@pytest.mark.parametrize("name", ["alertmanager_state", "doctor_timeout", "__doctor_options"])
def test_a_variable_that_cannot_be_resolved_is_a_finding_without_secrets(doctor: Controller, name: str) -> None:
    hint = trust_as_template("{{ undef(hint='password=topsecret') }}")
    doctor.variables[name] = {"api": {"password": hint}} if name == "__doctor_options" else hint
    result = doctor.run("maintenance_look", routine="doctor", component="alertmanager")
    (found,) = Look.from_data(result["look"]).findings
    assert found.fix.startswith("correct what is said")
    assert "password=***" in found.evidence
    assert "topsecret" not in repr(result)
    assert doctor.asked == []


def test_a_service_that_is_to_be_absent_is_not_asked(doctor: Controller) -> None:
    doctor.variables["alertmanager_state"] = "absent"
    result = doctor.run("maintenance_look", routine="doctor", component="alertmanager")
    assert result == {"changed": False, "skipped": True}


def test_a_wrong_inventory_is_a_finding(doctor: Controller) -> None:
    doctor.variables["hostvars"]["mon1"]["monitoring_services"] = [{"name": "shop"}]
    doctor.answers["component_api_info"] = info(targets={"activeTargets": []})
    (found,) = bad(examined(doctor, "prometheus"))
    assert (found.check, found.severity) == ("inventory", "broken")
    assert "lacks port" in found.evidence
    # The rest is asked nevertheless; and where it cannot be, that is a second finding.
    doctor.answers["component_api_info"] = {"failed": True, "msg": "no"}
    assert [one.check for one in bad(examined(doctor, "prometheus"))] == ["inventory", "access"]


def test_it_makes_no_password(doctor: Controller) -> None:
    """Neither one of the roles, nor one that a variable of the user asks for."""
    kept = doctor.folder / "secrets"
    doctor.variables["mine"] = trust_as_template(f"{{{{ lookup('opswatch.monitoring.secret', 'x', dir='{kept}') }}}}")
    (found,) = examined(doctor, "alertmanager", api={"password": trust_as_template("{{ mine }}")}).findings
    assert "the doctor makes none" in found.evidence
    assert not kept.exists()


def test_without_a_password_nobody_is_asked(doctor: Controller) -> None:
    looks = [examined(doctor, name, api={"password": PLACEHOLDER}) for name in ("prometheus", "alertmanager")]
    assert [one.evidence for look in looks for one in look.findings] == 2 * [
        "This machine does not have the password, and the doctor makes none"
    ]
    assert doctor.asked == []
    (found,) = settled(looks[0] + looks[1]).findings
    assert (found.what, found.follows) == ("prometheus could not be asked", "mon1: alertmanager could not be asked")
    assert found.fix.startswith("run it where site.yml is run, or set monitoring_secrets_dir")


@pytest.mark.parametrize(("canary", "check", "sent"), [(True, False, True), ("no", False, False), (True, True, False)])
def test_the_canary_is_an_option(doctor: Controller, canary: t.Any, check: bool, sent: bool) -> None:
    doctor.variables["doctor_canary"] = canary
    seen = {"resultType": "vector", "result": [{"metric": {"instance": "mon1"}, "value": [1, "1"]}]}
    doctor.answers["component_api_info"] = info(ready="ready", seen=seen)
    doctor.answers["loki_push"] = {"changed": True, "seconds": 0.2}
    look = examined(doctor, "loki", check, api={"url": "http://127.0.0.1:3100"})
    assert bad(look) == []
    assert [name for name, _args in doctor.asked] == ["component_api_info", *(["loki_push"] if sent else [])]
    assert "canary" in {one.check for one in look.findings} or not sent


def test_a_loki_whose_host_lacks_the_library(doctor: Controller) -> None:
    doctor.answers["component_api_info"] = info(ready="ready", seen={"result": []})
    doctor.answers["loki_push"] = {"failed": True, "msg": "No module requests", "missing_library": "requests"}
    found = bad(examined(doctor, "loki"))
    assert [(one.check, one.severity) for one in found] == [("logs", "warning"), ("canary", "warning")]


GRAFANA = {"url": "http://x", "user": "admin", "password": "p", "token_file": "/token"}


def test_grafana(doctor: Controller) -> None:
    doctor.answers["grafana_health_info"] = {"version": "12.4.2", "database": "ok", "datasources": []}
    doctor.answers["grafana_dashboards_info"] = {"dashboards": []}
    tree = doctor.folder / "files/own"
    tree.mkdir(parents=True)
    (tree / "shop.json").write_text(json.dumps({"uid": "shop", "title": "Shop", "panels": []}))
    found = bad(examined(doctor, "grafana", api=GRAFANA, trees=[{"path": str(tree), "owner": "own"}]))
    assert [one.what for one in found] == ["Grafana has no datasource", "1 dashboard is missing in Grafana"]
    (_name, first), (_other, second) = doctor.asked
    assert (first["user"], first["password"], first.get("token_file")) == ("admin", "p", None)
    assert (second.get("user"), second["token_file"]) == (None, "/token")


def test_a_datasource_whose_server_is_stopped_is_a_matter_of_that(doctor: Controller) -> None:
    refused = {"uid": "loki", "name": "Loki", "status": "error", "message": "connection refused"}
    doctor.answers["grafana_health_info"] = {"version": "12.4.2", "database": "ok", "datasources": [refused]}
    doctor.answers["grafana_dashboards_info"] = {"dashboards": []}
    (found,) = bad(examined(doctor, "grafana", api=GRAFANA))
    assert found.peer == "loki of mon1"
    # Where a variable of a server cannot be resolved, it is a finding of its own.
    doctor.variables["hostvars"]["mon1"]["loki_listen_address"] = "nowhere"
    (found,) = bad(examined(doctor, "grafana", api=GRAFANA))
    assert (found.what, found.peer) == ("The datasource Loki does not answer", "")


def test_a_grafana_that_refuses_the_password_is_tried_with_it_once(doctor: Controller) -> None:
    answers = [
        {
            "failed": True,
            "msg": "GET /api/datasources was answered with 401 Unauthorized: invalid username or password",
        },
        {"version": "12.4.2", "database": "ok", "datasources": [{"name": "x", "status": "ok"}]},
    ]
    execute = doctor._answer

    def answer(name: str, args: dict[str, t.Any], task_vars: t.Any = None) -> dict[str, t.Any]:
        doctor.answers["grafana_health_info"] = answers[0] if "password" in args else answers[1]
        return execute(name, args, task_vars)

    doctor._answer = answer  # type: ignore[method-assign]
    doctor.answers["grafana_dashboards_info"] = {"dashboards": []}
    assert [one.what for one in bad(examined(doctor, "grafana", api=GRAFANA))] == [
        "Grafana refuses the password of admin"
    ]
    assert ["password" in args for _name, args in doctor.asked] == [True, False, False]


def test_a_grafana_without_its_database_is_asked_no_more(doctor: Controller) -> None:
    doctor.answers["grafana_health_info"] = {"version": "12.4.2", "database": "failing", "datasources": []}
    (found,) = examined(doctor, "grafana", api=GRAFANA).findings
    assert (found.check, found.severity, found.evidence) == ("database", "broken", "failing")
    assert len(doctor.asked) == 1


def test_a_port_is_no_refusal(doctor: Controller) -> None:
    doctor.answers["grafana_health_info"] = {"failed": True, "msg": "GET http://x:14010/api/health: no connection"}
    (found,) = examined(doctor, "grafana", api=GRAFANA).findings
    assert found.what == "grafana could not be asked"


def test_without_the_token_what_the_password_told_is_kept(doctor: Controller) -> None:
    doctor.answers["grafana_health_info"] = {
        "database": "ok",
        "datasources": [{"name": "x", "status": "error", "message": "y"}],
    }
    doctor.answers["grafana_dashboards_info"] = {"failed": True, "msg": "/token cannot be read: No such file"}
    assert [one.what for one in bad(examined(doctor, "grafana", api=GRAFANA))] == [
        "The datasource x does not answer",
        "Grafana's dashboards could not be read with the token that the roles use",
    ]


def test_the_report_of_the_doctor(doctor: Controller, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.variables["groups"] = {"all": ["mon1"], "prometheus": ["mon1"]}
    for component, finding in (("host", FINE), ("prometheus", BAD._replace(fix="start it", evidence="it says"))):
        look = Look([finding]).as_data()
        doctor.variables["hostvars"]["mon1"][f"__maintenance_{component}_doctor"] = {"look": look}
    result = doctor.run("maintenance_report", routines=["doctor"], dir="doctor")
    path = doctor.folder / "doctor/doctor.html"
    assert result["msg"] == f"Doctor: 1 broken. ShopDown: it fires (app1). Report: {path}"
    assert json.loads(path.with_suffix(".json").read_text())["summary"] == {"ok": 1, "warnings": 0, "broken": 1}
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    said = capsys.readouterr().out
    assert "broken   app1: ShopDown: it fires\n         it says\n         -> start it" in said


def test_a_limited_run_says_whom_it_left_out(doctor: Controller) -> None:
    doctor.variables["ansible_limit"] = "app1"
    result = doctor.run("maintenance_report", routines=["doctor"], dir="doctor")
    assert (result.get("failed"), result["reports"]["doctor"]["summary"]["warnings"]) == (None, 1)
    (found,) = json.loads((doctor.folder / "doctor/doctor.json").read_text())["findings"]
    assert found["what"] == "1 host was not looked at"
    assert found["follows"].splitlines() == [
        f"mon1: {name} of 1 host was not asked" for name in ("prometheus", "alertmanager", "loki", "grafana")
    ]


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
