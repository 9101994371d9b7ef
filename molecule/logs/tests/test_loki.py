# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loki, which asks for certificates: what it takes, what it refuses, and how it changes."""

from __future__ import annotations

import base64
import re
import socket
import time
import uuid
from typing import Any

import pytest
import requests
import yaml

from tests.testbed import scenario
from tests.testbed.scenario import Named, quietly, wait_for

HOST = "opswatch-logs"
NANO = 10**9


@pytest.fixture
def labels() -> dict[str, str]:
    """Of a stream of this test's own."""
    return {"job": f"test-{uuid.uuid4().hex[:8]}"}


def site(**variables: Any) -> scenario.Run:
    return scenario.playbook("site.yml", "-v", "--tags", "loki", variables=variables)


def server(path: str) -> Any:
    """What Prometheus or Alertmanager answers; port and path."""
    login = f"user = monitoring:{scenario.secret('monitoring_auth_password')}"
    curl = f"curl -sS --cacert /etc/prometheus/secrets/ca.crt https://{HOST}:{path} -K /dev/stdin"
    return yaml.safe_load(scenario.host(HOST).check_output(f"echo '{login}' | {curl}"))


def test_nobody_gets_in_without_a_certificate(loki):
    assert loki.get("/ready").status_code == 200
    stranger = requests.Session()
    stranger.mount("https://", Named(HOST))
    with pytest.raises(requests.RequestException):
        stranger.get(f"{loki.url}/ready", verify=loki.verify, timeout=5)
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{scenario.address(HOST)}:3100/ready", timeout=5).raise_for_status()
    for port in (9096, 7946):  # for other members, of which there are none
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((scenario.address(HOST), port), timeout=5)


def test_prometheus_gets_in(loki):
    def health() -> list[str]:
        active = server("9090/api/v1/targets")["data"]["activeTargets"]
        return [f"{one['health']} {one['lastError']}" for one in active if one["labels"]["job"] == "loki"]

    wait_for("Prometheus scrapes Loki", lambda: health() == ["up "], 60)


def test_line_comes_back_as_it_was_sent(loki, labels):
    sent = [
        (time.time_ns() - number * NANO, f"line {number} ü {{}}", {"trace_id": f"t{number}"}) for number in (3, 2, 1)
    ]
    assert loki.push(labels, *sent).status_code == 204
    found = loki.lines(f'{{job="{labels["job"]}"}}')
    assert [(stamp, line, {"trace_id": known["trace_id"]}) for stamp, line, known in found] == sent


@pytest.mark.parametrize(
    ("age", "line", "said"),
    [
        (400 * 24 * 3600, "from last year", "timestamp too old"),
        (0, "x" * 256001, "max entry size '256000' bytes exceeded"),
    ],
)
def test_line_that_is_refused(loki, labels, age, line, said):
    answer = loki.push(labels, (time.time_ns() - age * NANO, line))
    assert answer.status_code == 400
    assert said in answer.text


def test_lines_outlive_a_kill(loki, labels):
    """What was taken is in the log on the disk."""
    assert loki.push(labels, (time.time_ns(), "taken")).status_code == 204
    scenario.host(HOST).check_output("systemctl kill -s KILL loki")
    wait_for("Loki is back", lambda: quietly(lambda: loki.get("/ready").status_code == 200), 60)
    wait_for("the line is back", lambda: len(loki.lines(f'{{job="{labels["job"]}"}}')) == 1, 30)


def test_it_is_hardened():
    security = scenario.host(HOST).check_output("systemd-analyze security loki --no-pager")
    assert float(re.findall(r"exposure level for loki.service: ([\d.]+)", security)[0]) <= 2.0


def test_no_secret_is_in_sight():
    host = scenario.host(HOST)
    password = scenario.secret("monitoring_auth_password")
    credentials = base64.b64encode(f"monitoring:{password}".encode()).decode()
    seen = host.check_output(
        "cat /etc/loki/config.yml /etc/systemd/system/loki.service; journalctl -u loki --no-pager;"
        "tr '\\0' ' ' </proc/$(systemctl show -PMainPID loki)/cmdline"
    )
    assert password not in seen
    assert credentials not in seen
    assert host.check_output("cat /etc/loki/secrets/alertmanager_credentials") == credentials
    modes = host.check_output("stat -Lc '%a %U:%G' /etc/loki/config.yml /etc/loki/secrets/*")
    assert set(modes.splitlines()) == {"640 root:loki"}


def test_log_alerts_are_loaded(loki):
    """It looks for them once a minute."""

    def names() -> set[str]:
        groups = loki.get("/prometheus/api/v1/rules").json()["data"]["groups"]
        return {rule["name"] for group in groups for rule in group["rules"]}

    wait_for("the rules are there", lambda: names() == {"LogErrorBurst", "LogServiceSilent"}, 90)


def test_error_burst_reaches_alertmanager(loki):
    if loki.is_stand_in:
        pytest.skip("the stand-in evaluates no rules")
    labels = {"service": "shop", "level": "error"}
    now = time.time_ns()
    assert loki.push(labels, *((now + number, f"it failed {number}") for number in range(30))).status_code == 204

    def fires() -> bool:
        alerts = server("9093/api/v2/alerts")
        return any(
            one["labels"] == {"alertname": "LogErrorBurst", "service": "shop", "severity": "warning"} for one in alerts
        )

    wait_for("the alert reaches Alertmanager", fires, 240)


def test_service_that_fell_silent(loki):
    """The alert's own expression, as its forty-five minutes do not fit into a test."""
    if loki.is_stand_in:
        pytest.skip("the stand-in does not know this query")
    (group,) = (
        one for one in loki.get("/prometheus/api/v1/rules").json()["data"]["groups"] if "silence" in one["name"]
    )
    now, earlier = time.time_ns(), time.time_ns() - 30 * 60 * NANO
    for service, stamps in {
        "silent": [earlier + number for number in range(150)],
        "talks": [*(earlier + number for number in range(150)), now],
        "never said much": [earlier + number for number in range(50)],
    }.items():
        assert loki.push({"service": service}, *((stamp, f"line of {stamp}") for stamp in stamps)).status_code == 204
    found = loki.get("/loki/api/v1/query", query=group["rules"][0]["query"]).json()["data"]["result"]
    assert [(one["metric"], one["value"][1]) for one in found] == [({"service": "silent"}, "150")]


def test_what_it_refuses_leaves_the_old_one_serving(loki):
    run = site(loki_flags={"no.such.flag": True})
    assert run.rc != 0
    assert "flag provided but not defined: -no.such.flag" in run.said
    assert "generation 1 is untouched" in run.said
    assert loki.get("/ready").status_code == 200


def test_periods_of_the_store_are_kept(loki, labels):
    """Others are refused; another form begins in the future, and what was written before is still found."""
    assert loki.push(labels, (time.time_ns(), "from before")).status_code == 204
    other = {"from": "2024-04-01", "store": "tsdb", "object_store": "filesystem", "schema": "v12"}
    run = site(loki_config={"schema_config": {"configs": [other]}})
    assert run.rc != 0
    assert "periods that began on 2024-04-01: what was written in them could not be read any more" in run.said
    assert loki.get("/ready").status_code == 200

    host = scenario.host(HOST)
    config = yaml.safe_load(host.check_output("cat /etc/loki/config.yml"))
    (period,) = config["schema_config"]["configs"]
    later = {**period, "from": "2099-01-01", "index": {"prefix": "later_", "period": "24h"}}
    run = site(loki_config={"schema_config": {"configs": [period, later]}})
    assert run.rc == 0
    assert "restarted loki.service" in run.said
    wait_for("the line is back", lambda: len(loki.lines(f'{{job="{labels["job"]}"}}')) == 1, 30)
    assert site().rc == 0, "and away again, as it has not begun"
    assert yaml.safe_load(host.check_output("cat /etc/loki/config.yml")) == config


def test_it_goes_away_and_leaves_its_data():
    """And the agents with it, in the same run: alone it is refused, as their lines would have nowhere to go."""
    run = site(loki_state="absent")
    assert run.rc != 0
    assert "reads logs, but the inventory has no host in the group loki" in run.said
    run = site(loki_state="absent", promtail_state="absent", alloy_state="absent")
    assert run.rc == 0, run.said
    host = scenario.host(HOST)
    # Prometheus keeps its alerts about Loki.
    others = "-not -path '*/loki/*' -not -path '*/live/*' -not -name opswatch_loki.yml"
    left = f"find /etc /opt /usr/local/bin /var/lib -xdev -name '*loki*' {others}"
    assert host.check_output(left) == "/var/lib/loki"
    assert host.check_output("ls /var/lib/loki")
