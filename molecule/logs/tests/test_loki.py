# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loki, which asks for certificates: what it takes, what it refuses, and how it changes."""

from __future__ import annotations

import base64
import os
import re
import shlex
import socket
import subprocess
import time
import uuid
from typing import Any

import pytest
import requests
import yaml

from dashboards.catalogue import boards
from plugins.plugin_utils.loki_gone import GONE
from tests.testbed import scenario
from tests.testbed.paths import ROOT
from tests.testbed.queries import panels, put_in, targets
from tests.testbed.scenario import Named, quietly, tls_answer, wait_for

HOST = "opswatch-logs"
NANO = 10**9
VERSION, OLDER = "3.6.15", "3.5.9"


@pytest.fixture
def labels() -> dict[str, str]:
    """Of a stream of this test's own."""
    return {"job": f"test-{uuid.uuid4().hex[:8]}"}


def site(**variables: Any) -> scenario.Run:
    return scenario.playbook("site.yml", "-v", "--tags", "loki", variables=variables)


def for_the_real_one(loki: scenario.Loki, why: str) -> None:
    if loki.is_stand_in:
        # Whatever it answered would prove nothing. ./dev test-real has the program, and names each test that it skips.
        pytest.skip(why)


def test_nobody_gets_in_without_a_certificate(loki):
    assert loki.get("/ready").status_code == 200
    stranger = requests.Session()
    stranger.mount("https://", Named(HOST))
    with pytest.raises(requests.RequestException):
        stranger.get(f"{loki.url}/ready", verify=loki.verify, timeout=30)
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{scenario.address(HOST)}:3100/ready", timeout=30).raise_for_status()
    for port in (9096, 7946):  # for other members, of which there are none
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((scenario.address(HOST), port), timeout=30)


def test_prometheus_gets_in(loki):
    def health() -> list[str]:
        active = tls_answer(HOST, "9090/api/v1/targets")["data"]["activeTargets"]
        return [f"{one['health']} {one['lastError']}" for one in active if one["labels"]["job"] == "loki"]

    wait_for("Prometheus scrapes Loki", lambda: health() == ["up "])


def test_line_comes_back_as_it_was_sent(loki, labels):
    sent = [
        (time.time_ns() - number * NANO, f"line {number} ü {{}}", {"trace_id": f"t{number}"}) for number in (3, 2, 1)
    ]
    assert loki.push(labels, *sent).status_code == 204
    found = loki.lines(f'{{job="{labels["job"]}"}}')
    assert [(stamp, line, {"trace_id": known["trace_id"]}) for stamp, line, known in found] == sent


def test_the_commands_that_the_documentation_gives(loki):
    """As they stand there, but for the inventory."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/loki.md").read_text(), re.DOTALL)
    (commands,) = (block for block in blocks if "loki_push" in block)
    commands = commands.replace("inventories/production", shlex.quote(str(scenario.inventory())))
    plain = os.environ | {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(["sh", "-ec", commands], cwd=ROOT, env=plain, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    sent, found = (part for part in re.split(rf"^{HOST} \| ", done.stdout, flags=re.MULTILINE) if part)
    assert sent.startswith("CHANGED")
    assert found.startswith("SUCCESS")
    assert "the way is open" in found


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


def test_a_line_may_be_late(loki, labels):
    """By half of loki_max_chunk_age, behind the newest of its stream."""
    for_the_real_one(loki, "the stand-in takes lines in any order")
    now, hour = time.time_ns(), 3600 * NANO
    assert loki.push(labels, (now, "newest")).status_code == 204
    assert loki.push(labels, (now - 5 * hour, "late")).status_code == 204
    answer = loki.push(labels, (now - 7 * hour, "too late"))
    assert answer.status_code == 400
    assert "entry too far behind" in answer.text


def test_lines_outlive_a_kill(loki, labels):
    """What was taken is in the log on the disk."""
    assert loki.push(labels, (time.time_ns(), "taken")).status_code == 204
    scenario.host(HOST).check_output("systemctl kill -s KILL loki")
    wait_for("Loki is back", lambda: quietly(lambda: loki.get("/ready").status_code == 200))
    wait_for("the line is back", lambda: len(loki.lines(f'{{job="{labels["job"]}"}}')) == 1)


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

    wait_for("the rules are there", lambda: names() == {"LogErrorBurst", "LogServiceSilent"})


def test_error_burst_reaches_alertmanager(loki):
    for_the_real_one(loki, "the stand-in evaluates no rules")
    labels = {"service": "shop", "level": "error"}
    now = time.time_ns()
    assert loki.push(labels, *((now + number, f"it failed {number}") for number in range(30))).status_code == 204

    def fires() -> bool:
        alerts = tls_answer(HOST, "9093/api/v2/alerts")
        return any(
            one["labels"] == {"alertname": "LogErrorBurst", "service": "shop", "severity": "warning"} for one in alerts
        )

    wait_for("the alert reaches Alertmanager", fires, 300)


def test_service_that_fell_silent(loki):
    """The alert's own expression, as its forty-five minutes do not fit into a test. Then the ruler's word."""
    for_the_real_one(loki, "the stand-in does not know this query")
    (group,) = (
        one for one in loki.get("/prometheus/api/v1/rules").json()["data"]["groups"] if "silence" in one["name"]
    )
    now = time.time_ns()

    def lines(minutes: int, count: int = 1) -> list[int]:
        return [now - minutes * 60 * NANO + number for number in range(count)]

    # In each of the quarters of an hour that are looked at; the oldest first, as Loki takes what comes in order.
    before = [*lines(247), *lines(127), *lines(67)]
    for service, stamps in {
        "silent": [*before, *lines(30, 150)],
        "talks": [*before, *lines(30, 150), now],
        "never said much": [*before, *lines(30, 50)],
        "runs at night": lines(30, 150),
        "began two hours ago": [*lines(127), *lines(67), *lines(30, 150)],
        "paused an hour ago": [*lines(247), *lines(127), *lines(30, 150)],
        "ansible-ansible.legacy.stat": [*before, *lines(30, 150)],
    }.items():
        assert loki.push({"service": service}, *((stamp, f"line of {stamp}") for stamp in stamps)).status_code == 204
    found = loki.get("/loki/api/v1/query", query=group["rules"][0]["query"]).json()["data"]["result"]
    assert [(one["metric"], one["value"][1]) for one in found] == [({"service": "silent"}, "150")]

    def told() -> bool:
        alerts = loki.get("/prometheus/api/v1/alerts").json()["data"]["alerts"]
        named = [(one["labels"]["alertname"], one["labels"].get("service")) for one in alerts]
        return ("LogServiceSilent", "silent") in named  # pending or firing

    # It looks every five minutes; the oldest lines stay within what it asks for until eight have passed.
    wait_for("the ruler sees it", told, 400)


def test_it_understands_what_the_dashboards_ask(loki):
    for_the_real_one(loki, "the stand-in knows few queries")
    asked = 0
    for board in boards():
        values = {one["name"]: one.get("allValue") or ".*" for one in board["templating"]["list"]}
        for target in (one for panel in panels(board) for one in targets(board, panel) if one.kind == "loki"):
            path = "query" if target.instant else "query_range"
            answer = loki.get(f"/loki/api/v1/{path}", query=put_in(target.expr, values))
            assert answer.status_code == 200, f"{target.panel} {target.ref}: {answer.text}"
            asked += 1
    assert asked


def test_what_it_refuses_leaves_the_old_one_serving(loki):
    number = scenario.in_force(HOST, "loki").generation
    run = site(loki_flags={"no.such.flag": True})
    assert run.rc != 0
    assert "flag provided but not defined: -no.such.flag" in run.said
    assert f"generation {number} is untouched" in run.said
    assert loki.get("/ready").status_code == 200


def test_the_binary_itself_checks_the_configuration(loki):
    for_the_real_one(loki, "the stand-in knows few keys")
    run = site(loki_config={"server": {"no_such": 1}})
    assert run.rc != 0
    assert "field no_such not found in type server.Config" in run.said
    assert loki.get("/ready").status_code == 200


def test_it_refuses_each_key_that_is_said_to_be_gone(loki):
    """Which the preflight tells from a list, before anything is changed."""
    for_the_real_one(loki, "the stand-in knows few keys")
    accepted = []
    for gone in GONE:
        config: dict[str, Any] = {}
        *above, last = gone.path.split(".")
        place = config
        for key in above:
            place = place.setdefault(key, {})
        place[last] = 1
        written = f"printf %s {shlex.quote(yaml.safe_dump(config))} > /tmp/gone.yml"
        run = scenario.host(HOST).run(f"{written}; loki -verify-config -config.file=/tmp/gone.yml 2>&1")
        if f"field {last} not found" not in run.stdout:
            accepted.append(gone.path)
    assert accepted == []


def test_other_periods_than_those_of_the_store_are_refused(loki):
    other = {"from": "2024-04-01", "store": "tsdb", "object_store": "filesystem", "schema": "v12"}
    run = site(loki_config={"schema_config": {"configs": [other]}})
    assert run.rc != 0
    assert "periods that began on 2024-04-01: what was written in them could not be read any more" in run.said
    assert loki.get("/ready").status_code == 200


# Of what is stored the stand-in tells little. The real one is asked in ./dev test-real.
@pytest.mark.slow
def test_periods_of_the_store_are_kept(loki, labels):
    """Another form begins in the future, and what was written before is still found."""
    assert loki.push(labels, (time.time_ns(), "from before")).status_code == 204
    host = scenario.host(HOST)
    config = yaml.safe_load(host.check_output("cat /etc/loki/config.yml"))
    (period,) = config["schema_config"]["configs"]
    later = {**period, "from": "2099-01-01", "index": {"prefix": "later_", "period": "24h"}}
    run = site(loki_config={"schema_config": {"configs": [period, later]}})
    assert run.rc == 0
    assert "restarted loki.service" in run.said
    wait_for("the line is back", lambda: len(loki.lines(f'{{job="{labels["job"]}"}}')) == 1)
    assert site().rc == 0, "and away again, as it has not begun"
    assert yaml.safe_load(host.check_output("cat /etc/loki/config.yml")) == config


def written(host: Any, config: dict[str, Any]) -> None:
    """A configuration by hand, in the place of the one in force, on a store that was put there by hand too."""
    packed = base64.b64encode(yaml.safe_dump(config).encode()).decode()
    host.check_output(f"echo {packed} | base64 -d > $(readlink -f /etc/loki/config.yml); systemctl start loki")


@pytest.mark.slow  # as above
def test_a_store_like_the_guides_takes_the_lines_of_agents(loki, labels, service):
    """Its schema keeps no structured metadata, which agents send with each line."""
    host = scenario.host(HOST)
    config = yaml.safe_load(host.check_output("cat /etc/loki/config.yml"))
    (period,) = config["schema_config"]["configs"]
    old = {**period, "store": "boltdb-shipper", "schema": "v11"}
    limits = {**config["limits_config"], "allow_structured_metadata": False}
    host.check_output("systemctl stop loki; mkdir /var/lib/kept; cd /var/lib/loki && mv -- * /var/lib/kept")
    try:
        written(host, {**config, "limits_config": limits, "schema_config": {"configs": [old]}})
        wait_for("Loki is there", lambda: quietly(lambda: loki.get("/ready").status_code == 200))
        assert loki.push(labels, (time.time_ns(), "from before")).status_code == 204
        run = site()
        assert run.rc == 0, run.said
        first, second = yaml.safe_load(host.check_output("cat /etc/loki/config.yml"))["schema_config"]["configs"]
        assert (first, second["schema"]) == (old, "v13")
        for agent, name in scenario.LOG_AGENTS.items():
            scenario.append(name, f"/var/log/app/{service}-{agent}.log", "arrives")
            ((_stamp, text, _known),) = loki.expect(f'{{service="{service}-{agent}"}}', 1)
            assert text == "arrives"
        assert [line for _stamp, line, _known in loki.lines(f'{{job="{labels["job"]}"}}')] == ["from before"]
    finally:
        host.check_output(
            "systemctl stop loki; cd /var/lib/loki && rm -rf -- * && mv /var/lib/kept/* . && rmdir /var/lib/kept"
        )
        written(host, config)
    assert site().rc == 0
    assert yaml.safe_load(host.check_output("cat /etc/loki/config.yml")) == config
    host.check_output("test ! -e /etc/loki/overrides.yml")


@pytest.mark.slow  # as above
def test_what_is_older_than_the_retention_is_deleted(loki, labels):
    """From the disk, and nothing else."""
    for_the_real_one(loki, "the stand-in removes nothing")
    host, now = scenario.host(HOST), time.time_ns()

    def chunks() -> set[str]:
        return set(host.run("find /var/lib/loki/chunks/fake -type f").stdout.split())

    others = chunks()
    assert loki.push({**labels, "age": "new"}, (now, "stays")).status_code == 204
    assert loki.push({**labels, "age": "old"}, (now - 30 * 3600 * NANO, "goes")).status_code == 204
    loki.post("/flush", {})
    wait_for("they are on the disk", lambda: len(chunks() - others) >= 2)
    there = chunks()
    quick = {"compaction_interval": "10s", "retention_delete_delay": "1s"}
    assert site(loki_retention="24h", loki_config={"compactor": quick}).rc == 0
    wait_for("the old one is deleted", lambda: there - chunks(), 300)
    assert len(there - chunks()) == 1
    assert [line for _, line, _ in loki.lines(f'{{job="{labels["job"]}", age="new"}}')] == ["stays"]
    assert site().rc == 0


@pytest.mark.slow  # as above
def test_upgrade(loki, labels):
    """From the version before, by its playbook: Prometheus looks whether all is well again, and the lines are there."""
    if scenario.lacks(f"grafana/loki/releases/download/v{OLDER}/loki-linux-amd64.zip"):
        # Only for somebody's own folder, and test-real names it as skipped: with ours the test goes on, and fails.
        pytest.skip(f"the mirror has no Loki {OLDER}")

    def version() -> str:
        return str(loki.get("/loki/api/v1/status/buildinfo").json()["version"])

    assert site(loki_version=OLDER, monitoring_allow_downgrade=True).rc == 0
    assert version() == OLDER
    assert loki.push(labels, (time.time_ns(), "from before")).status_code == 204
    done = scenario.playbook("playbooks/upgrade.yml", variables={"upgrade_to": f"loki={VERSION}"})
    assert done.rc == 0, done.said
    assert f"loki {OLDER} to {VERSION}: all is well again" in done.said
    assert f"loki_version: {VERSION}" in done.said
    assert version() == VERSION
    assert [line for _stamp, line, _known in loki.lines(f'{{job="{labels["job"]}"}}')] == ["from before"]
    assert re.search(rf"^{HOST} .*changed=0 ", site().output, re.MULTILINE)


def test_it_goes_away_and_leaves_its_data():
    """And the agents with it, in the same run: alone it is refused, as their lines would have nowhere to go.

    The last test of the scenario: what needs Loki has a file whose name is before this one's.
    """
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
