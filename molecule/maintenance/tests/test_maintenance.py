# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance reports on real hosts: what was provoked is found, and only the clean-up changes anything."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import scenario
from tests.testbed.scenario import Prometheus, Run, wait_for

HOST, OTHER = "opswatch-care", "opswatch-cared"
RULES = """groups:
- name: own
  interval: 1s
  rules:
  - {alert: ShopIsClosed, expr: vector(1), labels: {severity: warning}, annotations: {summary: The shop is closed}}
"""
DASHBOARD = {
    "uid": "empty-one",
    "title": "An empty one",
    "schemaVersion": 37,
    "panels": [
        {
            "id": 1,
            "type": "timeseries",
            "title": "Nothing here",
            "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
            "datasource": {"type": "prometheus", "uid": "prometheus"},
            "targets": [{"refId": "A", "expr": 'up{job="no_such_job"}'}],
        }
    ],
}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("files")
    rules, dashboards = folder / "own.yml", folder / "dashboards"
    rules.write_text(RULES)
    dashboards.mkdir()
    (dashboards / "empty.json").write_text(json.dumps(DASHBOARD))
    return {
        "monitoring_mirror": str(scenario.mirror()),
        "prometheus_rule_files": [str(rules)],
        "prometheus_scrape_interval": "2s",
        "prometheus_job_scrape_interval": "2s",
        "prometheus_admin_api": True,
        "grafana_version": "9.3.2",
        "grafana_dashboards": [str(dashboards)],
        "loki_listen_address": "0.0.0.0:3100",  # a network of the test's own
        "node_exporter_generations": 1,
    }


@pytest.fixture(scope="module", autouse=True)
def installed(variables: dict[str, Any]) -> None:
    """With an old generation and an old release of node_exporter, which the engine alone would keep."""
    older = {**variables, "node_exporter_generations": 9, "node_exporter_version": "1.9.0"}
    assert scenario.playbook("site.yml", variables=older).rc == 0
    for interval in ("2s", "3s"):
        more = {**variables, "node_exporter_generations": 9, "node_exporter_unit": {"Unit": {"Description": interval}}}
        assert scenario.playbook("site.yml", "--tags", "node_exporter", variables=more).rc == 0
    alerts = 'ALERTS{alertname=~"ShopIsClosed|Watchdog", alertstate="firing"}'
    wait_for("the alerts fire", lambda: len(Prometheus(HOST).query(alerts)) == 2)
    all_up()


def all_up() -> None:
    """Once each job has targets, which takes some seconds after a start, and all of them are."""
    jobs = {"prometheus", "alertmanager", "node_exporter", "grafana", "loki"}

    def up() -> bool:
        seen = Prometheus(HOST).targets()
        return (
            {job for job, _host in seen} >= jobs and ("node_exporter", OTHER) in seen and set(seen.values()) == {"up"}
        )

    wait_for("every target is up", up)


def maintain(variables: dict[str, Any], *arguments: str, **more: Any) -> Run:
    return scenario.playbook("playbooks/maintenance.yml", *arguments, variables={**variables, **more})


def changed(done: Run) -> set[str]:
    """What its recap says of all hosts."""
    return set(re.findall(r"\bchanged=(\d+)", done.output))


def report(routine: str) -> dict[str, Any]:
    """The newest report as JSON."""
    files = sorted((scenario.inventory() / "maintenance").glob(f"*{routine}*.json"))
    return dict(json.loads(files[-1].read_text()))


def page(routine: str) -> Path:
    return sorted((scenario.inventory() / "maintenance").glob(f"*{routine}*.html"))[-1]


def said(routine: str) -> str:
    return json.dumps(report(routine), ensure_ascii=False)


def test_daily(variables: dict[str, Any]) -> None:
    done = maintain(variables, "--tags", "daily")
    assert "ShopIsClosed" in done.said
    assert done.rc == 0  # a warning is no reason to wake cron
    assert changed(done) == {"0"}
    assert "ShopIsClosed" in said("daily")


@pytest.mark.slow  # a unit test has what makes a run fail
def test_exit_code_for_cron(variables: dict[str, Any]) -> None:
    done = maintain(variables, "--tags", "daily", maintenance_fail_on="warning")
    assert done.rc != 0
    assert "ShopIsClosed" in done.said


def test_routine_that_is_none_is_refused(variables: dict[str, Any]) -> None:
    done = maintain(variables, "--tags", "dayly")
    assert done.rc != 0
    assert "--tags dayly asks for none of the routines" in done.said


def test_weekly(variables: dict[str, Any]) -> None:
    """A panel without data, and a rule that somebody changed on the host."""
    host = scenario.host(HOST)
    host.check_output("sed -i 's/vector(1)/vector(2)/' /etc/prometheus/rules/own.yml && systemctl reload prometheus")
    wait_for("the rule is read", lambda: "vector(2)" in Prometheus(HOST).get("/api/v1/rules").text)
    done = maintain(variables, "--tags", "weekly")
    host.check_output("sed -i 's/vector(2)/vector(1)/' /etc/prometheus/rules/own.yml && systemctl reload prometheus")
    assert done.rc == 0
    found = said("weekly")
    assert "ShopIsClosed" in found
    assert "Nothing here" in found


def test_monthly_predicts_and_cleans(variables: dict[str, Any]) -> None:
    host = scenario.host(HOST)
    url = "http://127.0.0.1:9090/api/v1/admin/tsdb/delete_series?match[]=up"
    post = f"curl -sfg -u monitoring:{scenario.secret('monitoring_auth_password')} -X POST '{url}'"
    host.check_output(post)
    old = "/opt/opswatch/node_exporter/releases/1.9.0"
    predicted = maintain(variables, "--tags", "monthly", "--check")
    assert predicted.rc == 0
    assert host.run(f"test -d {old}").rc == 0
    assert "would free" in predicted.said
    done = maintain(variables, "--tags", "monthly")
    assert done.rc == 0
    assert host.run(f"test -d {old}").rc != 0
    assert scenario.host(OTHER).run(f"test -d {old}").rc != 0
    assert "freed" in done.said
    assert scenario.host(HOST).run("systemctl is-active node_exporter").stdout.strip() == "active"
    assert changed(maintain(variables, "--tags", "monthly")) == {"0"}


def test_page_is_one_file(variables: dict[str, Any]) -> None:
    """It asks nobody for anything, and names the findings."""
    text = page("daily").read_text()
    assert "<svg" in text
    assert "ShopIsClosed" in text
    for word in ("<script src", "<link", "@import", "http://127", 'src="http'):
        assert word not in text
    assert page("daily").stat().st_mode & 0o077 == 0


def test_what_cannot_be_asked_is_told(variables: dict[str, Any]) -> None:
    begun = time.monotonic()
    maintain(variables, "--tags", "daily")
    ordinary = time.monotonic() - begun
    scenario.host(HOST).check_output("systemctl stop prometheus")
    try:
        begun = time.monotonic()
        done = maintain(variables, "--tags", "daily")
        # Not by much longer than where it is there, which on a busy machine takes a minute, too.
        assert time.monotonic() - begun < 2 * ordinary + 50
    finally:
        scenario.host(HOST).check_output("systemctl start prometheus")
        all_up()  # for the doctor below
    assert done.rc != 0  # broken
    assert f"{HOST}" in done.said
    assert "Prometheus" in done.said


# --- the doctor, which shares looks and reports ---


def examine(variables: dict[str, Any], *arguments: str, **more: Any) -> tuple[Run, list[dict[str, Any]]]:
    """The run, and what it found; never what an earlier one did."""
    written = scenario.inventory() / "doctor/doctor.json"
    written.unlink(missing_ok=True)
    done = scenario.playbook("playbooks/doctor.yml", *arguments, variables={**variables, **more})
    assert written.exists(), done.output
    return done, json.loads(written.read_text())["findings"]


def test_doctor_of_a_stack_that_is_well(variables: dict[str, Any]) -> None:
    done, found = examine(variables)
    assert done.rc == 0, done.output
    assert [one for one in found if one["severity"] == "broken"] == []
    warnings = [f"{one['host']}: {one['what']} ({one['evidence']})" for one in found if one["severity"] == "warning"]
    print(*warnings, sep="\n")  # how soon all has settled differs, so others are shown, and no reason to fail
    assert any("Nobody is told of an alert" in one for one in warnings)
    assert [one["severity"] for one in found if one["check"] == "canary"] == ["ok"]
    for name in ("monitoring_auth_password", "monitoring_exporter_password", "grafana_admin_password"):
        assert scenario.secret(name) not in done.output
    assert changed(examine(variables, doctor_canary=False)[0]) == {"0"}


def test_doctor_finds_what_is_wrong_and_leaves_it(variables: dict[str, Any]) -> None:
    """A stopped unit, and a file of somebody else."""
    host, other = scenario.host(HOST), scenario.host(OTHER)
    up = f'up{{job="node_exporter",instance="{OTHER}"}} == 0'
    other.check_output("systemctl stop node_exporter")
    host.check_output("touch /etc/node_exporter/foreign")
    try:
        wait_for("the target is down", lambda: Prometheus(HOST).query(up))
        done, found = examine(variables)
        assert other.run("systemctl is-active node_exporter").stdout.strip() == "inactive"
    finally:
        other.check_output("systemctl start node_exporter")
        host.check_output("rm /etc/node_exporter/foreign")
    assert done.rc == 2, done.output
    by_check = {(one["check"], one["severity"], one["host"], one["component"]): one for one in found}
    unit = by_check["unit", "broken", OTHER, "node_exporter"]
    assert unit["fix"].endswith(f"site.yml --limit {OTHER} --tags node_exporter, which starts it")
    # The target that is down for it is no finding of its own.
    assert f"node_exporter of {OTHER} is down" in unit["follows"].splitlines()
    assert ("targets", "broken", OTHER, "node_exporter") not in by_check
    assert "foreign" in by_check["components", "warning", HOST, "node_exporter"]["evidence"]


def test_doctor_goes_on_without_prometheus(variables: dict[str, Any]) -> None:
    scenario.host(HOST).check_output("systemctl stop prometheus")
    try:
        done, found = examine(variables, doctor_fail_on="never")
    finally:
        scenario.host(HOST).check_output("systemctl start prometheus")
    assert done.rc == 0, done.output
    broken = {(one["check"], one["component"]): one for one in found if one["severity"] == "broken"}
    assert f"{HOST}: prometheus could not be asked" in broken["unit", "prometheus"]["follows"].splitlines()
    assert ("access", "prometheus") not in broken
