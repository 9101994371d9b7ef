# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a running host: what each asks of the service, that check mode knew it, and what the diff tells."""

from __future__ import annotations

import re

import pytest
import requests
import yaml

from tests.testbed import scenario
from tests.testbed.scenario import wait_for

SERVER = "opswatch-debian13"
PAST = {
    "activate": "activated",
    "check": "checked",
    "commit": "committed",
    "prove": "proved",
    "reload": "reloaded",
    "remove": "removed",
    "restart": "restarted",
    "update": "updated",
    "validate": "validated",
    "write": "wrote",
}


def actions(run: scenario.Run) -> list[str]:
    """What the output of a run with -v says was done, or would be done, to Prometheus on the server."""
    _before, _name, task = run.output.partition("TASK [opswatch.monitoring.prometheus : Prometheus]")
    block = re.search(rf"^(?:changed|ok): \[{SERVER}\] => *\n((?: +.*\n|\n)+)", task, re.MULTILINE)
    assert block, run.output
    return list(yaml.safe_load(block.group(1))["actions"])


def in_the_past(predicted: list[str]) -> list[str]:
    words = [action.removeprefix("would ").split(" ", 1) for action in predicted]
    return [f"{PAST[verb]} {rest}" for verb, rest in words]


def site(*arguments, inventories=(), **variables) -> scenario.Run:
    return scenario.playbook("site.yml", "-v", *arguments, variables=variables, inventories=inventories)


def prometheus_alone(*arguments, **variables) -> scenario.Run:
    return site("--tags", "prometheus", *arguments, **variables)


@pytest.fixture(scope="module", autouse=True)
def _restored():
    """The files after this one find the state of the converge."""
    yield
    assert site().rc == 0


@pytest.fixture
def as_converged():
    """For what goes by the state before it. All else here starts from whatever it finds: a way back costs a run."""
    assert prometheus_alone().rc == 0


CONFIG = {"prometheus_external_labels": {"site": "molecule"}}
FLAG = {"prometheus_retention_time": "9d"}
UNIT = {"prometheus_unit": {"Service": {"Nice": 5}}}
# Each has those before it, which are in force by then: what is new is the only change.
CHANGES = [
    pytest.param(CONFIG, "reloaded", id="config"),
    pytest.param(CONFIG | FLAG, "restarted", id="flag"),
    pytest.param(CONFIG | FLAG | UNIT, "restarted", id="unit"),
]


@pytest.mark.parametrize(("variables", "effect"), CHANGES)
def test_check_mode_is_exact(variables, effect, prometheus):
    before, untouched = scenario.in_force(SERVER), scenario.tree(SERVER)
    predicted = prometheus_alone("--check", "--diff", **variables)
    assert predicted.rc == 0
    assert scenario.tree(SERVER) == untouched
    assert scenario.in_force(SERVER) == before

    done = prometheus_alone("--diff", **variables)
    assert done.rc == 0
    assert in_the_past(actions(predicted)) == actions(done)
    assert f"{effect} prometheus.service" in actions(done)
    shown = re.compile(r"^[-+@].*$", re.MULTILINE)
    assert shown.findall(predicted.output) == shown.findall(done.output)
    after = scenario.in_force(SERVER)
    assert after.generation == before.generation + 1
    assert (after.pid == before.pid) == (effect == "reloaded")
    assert after.whole
    assert after.unit_belongs


# The jobs of the stack itself.
JOBS = {"prometheus", "alertmanager", "node_exporter", "cadvisor", "postgres_exporter", "blackbox_exporter"}


def reloaded_at(prometheus) -> float:
    """Of its own metrics as they are: what it has scraped of itself is half a minute old."""
    metrics = prometheus.get("/metrics").text
    return float(re.search(r"^prometheus_config_last_reload_success_timestamp_seconds (\S+)", metrics, re.M)[1])


def all_up(answer: dict) -> bool:
    """Whether every job of the stack has targets, and all of them are up."""
    targets = answer["data"]["activeTargets"]
    print(down := [(one["labels"], one["lastError"]) for one in targets if one["health"] != "up"])
    return {one["labels"]["job"] for one in targets} >= JOBS and not down


@pytest.mark.usefixtures("as_converged")
def test_hosts_come_and_go_without_a_reload(prometheus, tmp_path):
    """A new host's targets are there within a minute, and those of a removed host gone within a minute."""
    before, reloaded = scenario.in_force(SERVER), reloaded_at(prometheus)
    more = tmp_path / "more.yml"
    more.write_text(yaml.safe_dump({"node_exporter": {"hosts": {"newcomer": {"ansible_host": "127.0.0.77"}}}}))
    newcomer = ("node_exporter", "newcomer")

    run = site("--limit", SERVER, inventories=[scenario.inventory(), more])
    assert run.rc == 0
    assert [action.split()[0] for action in actions(run) if "prometheus.service" in action] == []
    wait_for("the newcomer is a target", lambda: newcomer in prometheus.targets(), 60)

    assert site("--limit", SERVER).rc == 0
    wait_for("the newcomer is gone", lambda: newcomer not in prometheus.targets(), 60)
    assert scenario.in_force(SERVER) == before
    assert reloaded_at(prometheus) == reloaded


def test_a_service_that_dies_later_is_found_by_the_second_look(prometheus):
    before = scenario.in_force(SERVER)
    # It has to be found ready until it dies, and to be dead before the look ends, on a slow machine too. A user's run
    # looks six seconds after the start.
    looks_later = {"__monitoring_settle": 60}
    run = prometheus_alone(prometheus_unit={"Service": {"RuntimeMaxSec": 15}}, **looks_later)
    assert run.rc != 0
    assert "prometheus died after it had been ready" in run.said
    assert f"rolled back to generation {before.generation}, which answers" in run.said
    assert prometheus.get("/-/ready").status_code == 200
    assert scenario.in_force(SERVER).generation == before.generation


def test_new_passwords(prometheus, tmp_path):
    """Changed passwords reach exporters, their own server and every scrape."""
    passwords = {"monitoring_auth_password": "new-server-password", "monitoring_exporter_password": "new-exporter"}
    mine = tmp_path / "passwords.yml"  # as from a vault: with -e, Ansible itself would show them
    mine.write_text(yaml.safe_dump({"all": {"vars": passwords}}))
    run = site("-vvv", "--diff", inventories=[scenario.inventory(), mine], prometheus_job_scrape_interval="2s")
    assert run.rc == 0
    assert "restarted prometheus.service" in actions(run)  # by the passwords: all else was as after the converge
    for secret in (*passwords.values(), "$2b$"):
        assert secret not in run.output
    auth = ("monitoring", "new-server-password")

    def with_the_new_password() -> dict:
        return requests.get(f"{prometheus.url}/api/v1/targets", auth=auth, timeout=30).json()

    assert prometheus.get("/-/ready").status_code == 401
    wait_for("every target is up", lambda: all_up(with_the_new_password()))


def test_tls_by_one_variable(prometheus):
    run = site("--diff", monitoring_tls="selfsigned", prometheus_job_scrape_interval="2s")
    assert run.rc == 0
    assert "PRIVATE KEY" not in run.output
    server = scenario.host(SERVER)
    curl = f"curl -sS --cacert /etc/prometheus/secrets/ca.crt https://{SERVER}:9090"
    assert server.check_output(f"{curl}/-/ready -o /dev/null -w '%{{http_code}}'") == "401"
    assert prometheus.get("/-/ready").status_code == 400  # plain HTTP on a TLS port

    def over_tls() -> dict:
        login = f"user = monitoring:{scenario.secret('monitoring_auth_password')}"
        return yaml.safe_load(server.check_output(f"echo '{login}' | {curl}/api/v1/targets -K /dev/stdin"))

    wait_for("every target is up over TLS", lambda: all_up(over_tls()))
    again = site(monitoring_tls="selfsigned", prometheus_job_scrape_interval="2s")
    assert again.output.count("changed=0") == 3


def test_agent_mode(prometheus):
    # Or it would wait for a minute at its end, as nobody takes what it has.
    flags = {"storage.remote.flush-deadline": "1s"}
    run = prometheus_alone(
        prometheus_agent=True, prometheus_remote_write=[{"url": "http://127.0.0.1:9/write"}], prometheus_flags=flags
    )
    assert run.rc == 0
    assert prometheus.flags()["agent"] == "true"
    with pytest.raises(KeyError):
        prometheus.query("up")


def test_services_are_scraped(prometheus):
    """A service of the inventory is a job: here node_exporter itself, as if it were somebody's application."""
    service = {
        "name": "shop",
        "port": 9100,
        "address": "127.0.0.1",  # so it is not of this host, where the port is taken
        "interval": "1s",
        "labels": {"tier": "web"},
        "auth": {"user": "monitoring", "password": scenario.secret("monitoring_exporter_password")},
    }
    run = site("--diff", monitoring_services=[service])
    assert run.rc == 0
    assert service["auth"]["password"] not in run.output
    wait_for("it is up", lambda: prometheus.targets().get(("shop", SERVER)) == "up")
    # A target is up some moments before what was scraped can be asked for.
    wait_for("it has samples", lambda: prometheus.query('up{job="shop"}'))
    assert {one["metric"]["tier"] for one in prometheus.query('up{job="shop"}')} == {"web"}


WRONG = {
    "prometheus_generations": "many",
    "prometheus_state": "running",
    "prometheus_rule_files": {"a": 1},
    "prometheus_listen_address": "nine",
    "monitoring_tls": "sure",
    "monitoring_services": [{"name": "shop", "port": 1, "prot": 2}, {"name": "node_exporter", "port": 1}],
}
REMEDY = "What to do: correct it in the inventory"
# What is said of each, behind a number of its own.
NAMED = [
    "argument 'prometheus_generations' is of type",
    f"value of prometheus_state must be one of: present, absent, got: running {REMEDY}",
    f"prometheus_rule_files has to be a list, and is a dict {REMEDY}",
    "prometheus_listen_address: 'nine' is not an address to listen on. Write it as host:port",
    f"value of monitoring_tls must be one of: off, own, selfsigned, got: sure {REMEDY}",
    f"monitoring_services of {SERVER}, entry 1 (shop): unknown: prot.",
    f"monitoring_services of {SERVER}: node_exporter is the job of a component already. Give it another name",
]


def test_wrong_input_is_refused_before_anything_changes():
    """All of it in one run: each is a problem of its own, whatever else is wrong."""
    untouched = scenario.tree(SERVER)
    run = site(**WRONG)
    assert run.rc != 0
    assert [words for words in NAMED if not re.search(rf"\d\. {re.escape(words)}", run.said)] == []
    assert scenario.tree(SERVER) == untouched


def test_a_users_rules_and_settings(prometheus, tmp_path):
    rules = tmp_path / "mine.yml"
    rules.write_text('groups: [{name: mine, rules: [{record: "mine:{{ up }}", expr: "1"}]}]\n')
    run = prometheus_alone(prometheus_rule_files=[str(rules)])
    assert run.rc != 0  # copied as it is, not as a template: promtool sees the braces
    assert "mine:{{ up }}" in run.said
    rules.write_text('groups: [{name: mine, rules: [{record: mine, expr: "vector(1)"}]}]\n')
    run = prometheus_alone(prometheus_rule_files=[str(rules)], prometheus_config={"global": {"scrape_timeout": "7s"}})
    assert run.rc == 0
    assert "scrape_timeout: 7s" in prometheus.get("/api/v1/status/config").json()["data"]["yaml"]
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    assert {"mine", "opswatch_inventory", "opswatch_services"} <= {group["name"] for group in groups}


def test_a_release_that_is_there_is_never_asked_for():
    """Not even its checksum: no address outside is needed once the release is there."""
    run = site(monitoring_mirror="http://127.0.0.1:9", prometheus_scrape_interval="14s")
    assert run.rc == 0
    assert requests.codes.ok == scenario.Prometheus(SERVER).get("/-/ready").status_code
