# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's look at Prometheus, over what real ones of two generations answered (tests/fixtures/http)."""

from __future__ import annotations

import copy
import json
import typing as t
from datetime import datetime
from pathlib import Path

import promql_parser as promql
import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_faults as faults
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_others as others
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_prometheus as prometheus
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_targets as targets
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.doctor_inventory import Inventory, inventory
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_answers import Answers
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

from tests.fixtures import known

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures/http"
METRICS = known.known_metrics()
NOW = 1_800_000_000.0
VERSIONS = ("2.42.0", "3.5.3")


def recorded(version: str = "3.5.3") -> dict[str, t.Any]:
    """As component_api_info hands them on."""
    lines = (FIXTURES / f"prometheus-{version}.jsonl").read_text().splitlines()
    return {one["note"]: {"data": one["response"]["data"]} for one in map(json.loads, lines)}


def vector(*of: tuple[dict[str, str], float]) -> dict[str, t.Any]:
    return {"data": {"resultType": "vector", "result": [{"metric": m, "value": [NOW, str(v)]} for m, v in of]}}


def target(address: str, **labels: str) -> dict[str, t.Any]:
    return {"targets": [address], "labels": labels}


def job(name: str, *targets: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"name": name, "targets": list(targets)}


# What was in the files of the recorded ones.
JOBS = [
    job("prometheus", target("127.0.0.1:39090", instance="mon1")),
    job("alertmanager", target("127.0.0.1:39093", instance="mon1", __scheme__="https")),
    job("node_exporter", target("127.0.0.1:39199", instance="app1"), target("127.0.0.1:39200", instance="gone1")),
    job(
        "postgres_exporter",
        target("127.0.0.1:39187", instance="db1"),
        target(
            "127.0.0.1:39187",
            instance="db1",
            database="shop",
            __metrics_path__="/probe",
            __param_target="postgresql:///shop",
        ),
    ),
    job("blackbox_exporter", target("no-such-host.invalid:9115", instance="mon1")),
]


def look(answers: dict[str, t.Any], jobs: t.Any = JOBS, agent: bool = False) -> list[Finding]:
    wanted = Inventory(jobs, ["127.0.0.1:39093"])
    return list(prometheus.look("mon1", Answers(answers, NOW), wanted, agent).findings)


@pytest.mark.parametrize(("age", "young"), [(5, True), (59, True), (61, False), (-5, True)])
def test_a_prometheus_that_was_just_started_is_not_compared_with_the_inventory(age: float, young: bool) -> None:
    answers = recorded()
    begun = datetime.fromisoformat(answers["runtime"]["data"]["startTime"][:19] + "+00:00").timestamp()
    answers["targets"]["data"]["activeTargets"] = []
    answers["rules"]["data"]["groups"] = []
    found = prometheus.look("mon1", Answers(answers), Inventory(JOBS, ["127.0.0.1:1"]), False, begun + age).findings
    said = [one.what for one in found if one.severity != "ok"]
    assert (f"Prometheus was started {max(age, 0)} s ago" in said) == young
    assert any("does not scrape" in what for what in said) != young
    assert any("does not send alerts" in what for what in said) != young


def to(*alertmanagers: str) -> Inventory:
    return Inventory([], alertmanagers)


def bad(findings: t.Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if one.severity != "ok"]


# --- targets ---


@pytest.mark.parametrize("version", VERSIONS)
def test_every_target_of_the_inventory_is_recognised(version: str) -> None:
    active = recorded(version)["targets"]["data"]["activeTargets"]
    found, foreign = targets.matched(JOBS, active)
    assert [job for job, _target, seen in found if seen is None] == []
    assert foreign == []
    databases = {
        one["labels"].get("database", ""): seen["discoveredLabels"]["__metrics_path__"]
        for job, one, seen in found
        if job == "postgres_exporter" and seen
    }
    assert databases == {"": "/metrics", "shop": "/probe"}


def test_a_target_with_an_empty_label_is_recognised() -> None:
    jobs = copy.deepcopy(JOBS)
    jobs[0]["targets"][0]["labels"]["team"] = ""
    found, _foreign = targets.matched(jobs, recorded()["targets"]["data"]["activeTargets"])
    assert all(seen for _job, _target, seen in found)


@pytest.mark.parametrize("version", VERSIONS)
def test_why_each_is_down(version: str) -> None:
    found = {(one.component, one.host, one.what): one for one in look(recorded(version)) if one.check == "targets"}
    assert {one.severity for one in found.values()} == {"broken"}
    words = {(component, host): (one.cause, one.fix) for (component, host, _what), one in found.items()}
    refused, wrong = words["node_exporter", "gone1"], words["node_exporter", "app1"]
    assert refused[0].startswith("Nothing listens there")
    assert refused[1] == (
        "systemctl status node_exporter on gone1; site.yml --limit gone1 --tags node_exporter starts it"
    )
    assert wrong == (
        "It expects another password than Prometheus sends.",
        "run site.yml without --limit, so that both sides get the same password",
    )
    assert words["postgres_exporter", "db1"][0].startswith("What answers there serves no metrics")
    assert words["blackbox_exporter", "mon1"][0].startswith("The Prometheus host does not find the name")
    assert ("postgres_exporter", "db1", "postgres_exporter of db1 shop is down") in found
    assert "HTTP status 401 Unauthorized" in found["node_exporter", "app1", "node_exporter of app1 is down"].evidence


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "Its certificate"),
        ("http: server gave HTTP response to HTTPS client", "One side speaks TLS"),
        ("tls: first record does not look like a TLS handshake", "One side speaks TLS"),
        ("context deadline exceeded", "It did not answer within"),
        ("dial tcp 10.0.0.5:9100: connect: no route to host", "No packet comes back"),
        ("sample limit exceeded", "It exposes more"),
        ("server returned HTTP status 404 Not Found", "There is no such page"),
        ("server returned HTTP status 503 Service Unavailable", "It fails by itself"),
        ("server returned HTTP status 418 I'm a teapot", ""),
        ("something new", ""),
    ],
)
def test_causes(said: str, cause: str) -> None:
    assert faults.explained(said, "node_exporter")[0].startswith(cause)


def test_every_fix_can_be_written_for_every_job() -> None:
    for fault in (*faults.FAULTS, faults.UNKNOWN):
        assert "{" not in fault.fix.format(host="app1", job="shop").replace("{shop: {...}}", "")
    assert faults.explained("connect: connection refused", "shop")[1] == faults.SERVICE["connection refused"]


def test_what_site_yml_has_not_brought_yet() -> None:
    more = [*JOBS, job("cadvisor", target("10.0.0.9:4194", instance="new1"))]
    moved = copy.deepcopy(more)
    moved[2]["targets"][0]["targets"] = ["10.0.0.1:9100"]
    found = [one for one in look(recorded(), moved) if "does not scrape" in one.what]
    assert [(one.severity, one.host, one.what) for one in found] == [
        ("broken", "app1", "mon1 does not scrape node_exporter of app1"),
        ("broken", "new1", "mon1 does not scrape cadvisor of new1"),
    ]
    (foreign,) = [one for one in look(recorded(), moved) if one.severity == "warning" and one.check == "targets"]
    assert foreign.what == "1 target of mon1 the inventory does not have"
    assert foreign.evidence == "node_exporter app1 (down)"
    # That nothing answers where it was before is no finding of its own.
    assert not [one for one in look(recorded(), moved) if one.what == "node_exporter of app1 is down"]


def test_jobs_of_the_users_own_are_not_foreign() -> None:
    answers = recorded()
    own = copy.deepcopy(answers["targets"]["data"]["activeTargets"][-1])
    own["scrapePool"] = own["labels"]["job"] = own["discoveredLabels"]["job"] = "own"
    answers["targets"]["data"]["activeTargets"] = [{**own, "health": "up"}]
    assert bad(targets.targets("mon1", Answers(answers), Inventory([]))) == []


def test_all_up() -> None:
    answers = recorded()
    for one in answers["targets"]["data"]["activeTargets"]:
        one.update(health="up", lastError="")
    (found,) = targets.targets("mon1", Answers(answers), Inventory(JOBS))
    assert (found.severity, found.what, found.evidence) == ("ok", "Every target of mon1 is there and up", "7 targets")
    (found,) = targets.targets("mon1", Answers(answers), None)
    assert (found.severity, found.what) == ("ok", "Every target of mon1 is up")


def test_a_probe_is_a_matter_of_its_prober() -> None:
    one = {
        "scrapePool": "probe",
        "labels": {"instance": "app1", "prober": "mon1", "target": "http://app1:8080/health"},
        "lastError": "connect: connection refused",
        "scrapeUrl": "http://mon1:9115/probe",
    }
    found = targets.down(one)
    assert (found.host, found.component) == ("mon1", "blackbox_exporter")
    assert found.what == "probe of app1 http://app1:8080/health is down"


def test_an_instance_that_is_no_host_leads_to_the_one_that_is_asked() -> None:
    groups = {"all": ["db1", "app1", "app2"], "postgres_exporter": ["db1"]}
    shop = {"name": "shop", "port": 80, "labels": {"instance": "the shop"}}
    hostvars: dict[str, dict[str, t.Any]] = {
        "db1": {"postgres_exporter_databases": [{"database": "shop"}, {"database": "x", "host": "db9"}]},
        "app1": {"monitoring_services": [shop]},
        # Both at one address: the instance tells them apart.
        "app2": {"monitoring_services": [{**shop, "address": "app1", "labels": {}}]},
    }
    wanted = inventory(groups, hostvars, [])

    def asked(pool: str, address: str, instance: str) -> Finding:
        one = {"scrapePool": pool, "labels": {"instance": instance}, "scrapeUrl": "x", "lastError": "refused"}
        return targets.down({**one, "discoveredLabels": {"__address__": address}}, wanted)

    assert asked("shop", "app1:80", "app2").host == "app2"
    assert asked("postgres_exporter", "db1:9187", "db9:5432").host == "db1"
    assert asked("own", "x:1", "x").host == "x"
    assert wanted.unscraped == []  # though one address has one owner
    hostvars["app2"] = {}
    wanted = inventory(groups, hostvars, [])
    assert asked("shop", "app1:80", "the shop").host == "app1"
    answers = {"databases": vector(({"instance": "db9:5432"}, 0))}
    (found,) = others.databases(Answers(answers), wanted)
    assert (found.host, found.what) == ("db1", "PostgreSQL of db9:5432 does not let the exporter in")
    assert found.fix.startswith("journalctl -u postgres_exporter on db1 ")
    (found,) = others.databases(Answers(answers), None)
    assert found.host == "db9:5432"


def test_an_address_in_a_parameter_is_shown_without_its_secrets() -> None:
    asked = "http://mon1:9115/probe?module=http_2xx&target=https%3A%2F%2Fuser%3Ahunter%252F2%40shop%2F%3Ftoken%3Dabc"
    one = {"scrapePool": "probe", "labels": {"instance": "shop"}, "scrapeUrl": asked}
    found = targets.down({**one, "lastError": f'Get "{asked}": context deadline exceeded'})
    (shown,) = doctor.shown(Look([found])).findings
    address = "http://mon1:9115/probe?module=http_2xx&target=https://user:***@shop/?token=***"
    assert shown.evidence == f'{address} Get "{address} context deadline exceeded'


def test_hosts_that_nobody_scrapes() -> None:
    groups = {"all": ["mon1", "app1", "shop1", "lb1", "bastion"], "prometheus": ["mon1"], "node_exporter": ["app1"]}
    groups["blackbox_exporter"] = ["mon1"]
    hostvars: dict[str, dict[str, t.Any]] = {host: {} for host in groups["all"]}
    hostvars["shop1"]["monitoring_services"] = [{"name": "shop", "port": 80, "labels": {"instance": "the shop"}}]
    hostvars["mon1"]["blackbox_exporter_targets"] = [{"name": "lb1", "target": "http://lb1/"}]
    assert inventory(groups, hostvars, ["bastion"]).unscraped == ["lb1"]
    (found,) = targets.nobodys(["lb1"])
    assert (found.severity, found.host) == ("warning", "lb1")
    assert found.what == "1 host of the inventory nobody scrapes: lb1"
    assert targets.nobodys([]) == []


def test_an_inventory_that_is_wrong_keeps_what_prometheus_says() -> None:
    def said(wanted: Inventory | None) -> set[str]:
        return {one.check for one in prometheus.look("mon1", Answers(recorded()), wanted, False).findings}

    assert said(None) == said(Inventory(JOBS))
    nobody = Answers({"alertmanagers": {"data": {"activeAlertmanagers": []}}})
    (found,) = prometheus.told("mon1", nobody, None)
    assert (found.severity, found.what) == ("warning", "Prometheus hands its alerts to nobody")


# --- configuration, rules, alerts ---


@pytest.mark.parametrize("version", VERSIONS)
def test_configuration(version: str) -> None:
    answers = recorded(version)
    (found,) = prometheus.configuration("mon1", Answers(answers))
    assert found.severity == "ok"
    assert found.evidence.startswith("read at 2026-12-01 21:44:")
    answers["runtime"]["data"]["reloadConfigSuccess"] = False
    (found,) = prometheus.configuration("mon1", Answers(answers))
    assert (found.check, found.severity) == ("configuration", "broken")


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_that_fail(version: str) -> None:
    (found,) = [one for one in look(recorded(version)) if one.check == "rules"]
    assert (found.severity, found.what) == ("broken", "1 rule cannot be evaluated: a:b")
    assert "found duplicate series" in found.evidence


@pytest.mark.parametrize("version", VERSIONS)
def test_alertmanagers(version: str) -> None:
    answers = Answers(recorded(version))
    assert [one.severity for one in prometheus.told("mon1", answers, to("127.0.0.1:39093"))] == ["ok"]
    (found,) = prometheus.told("mon1", answers, to("127.0.0.1:39093", "10.0.0.2:9093"))
    assert (found.severity, found.what) == ("broken", "Prometheus does not send alerts to 10.0.0.2:9093")
    assert found.evidence == "it sends to 127.0.0.1:39093"


def test_no_alertmanager_at_all() -> None:
    answers = Answers({"alertmanagers": {"data": {"activeAlertmanagers": []}}})
    (found,) = prometheus.told("mon1", answers, to())
    assert (found.severity, found.what) == ("warning", "Alerts go nowhere: the inventory has no Alertmanager")


# --- what it knows of others ---


def test_what_fails_elsewhere() -> None:
    answers = {
        "untold": vector(
            ({"instance": "mon1", "alertmanager": "http://10.0.0.2:9093/api/v2/alerts"}, 7.2),
            ({"instance": "mon2", "alertmanager": "http://10.0.0.2:9093/api/v2/alerts"}, 3),  # its own look says so
        ),
        "failed": vector(({"instance": "mon1", "integration": "email", "reason": "clientError"}, 3)),
        "dropped": vector(({"instance": "app1", "job": "alloy", "reason": "line_too_long"}, 0.4)),
        "databases": vector(({"instance": "db1", "job": "postgres_exporter"}, 0)),
        "probes": vector(
            ({"instance": "app1", "service": "shop", "target": "http://x/health", "module": "http_2xx"}, 0)
        ),
        "alertmanagers": {"data": {"activeAlertmanagers": [{"url": "http://10.0.0.2:9093/api/v2/alerts"}]}},
    }
    found = prometheus.look("mon1", Answers(answers), to(), False).findings
    assert [(one.check, one.severity, one.host, one.component, one.what) for one in found] == [
        ("alerting", "warning", "mon1", "prometheus", "Prometheus could not hand alerts to 10.0.0.2:9093"),
        ("notifications", "broken", "mon1", "alertmanager", "Notifications by email fail"),
        ("logs", "warning", "app1", "alloy", "Lines of app1 were given up"),
        ("databases", "broken", "db1", "postgres_exporter", "PostgreSQL of db1 does not let the exporter in"),
        ("probes", "broken", "app1", "shop", "shop of app1 does not pass its probe http_2xx"),
    ]


def test_an_agent_is_asked_for_no_more_than_it_has() -> None:
    assert set(prometheus.paths(agent=True)) == {"runtime", "targets"}
    answers = {name: answer for name, answer in recorded().items() if name in ("runtime", "targets")}
    assert {one.check for one in look(answers, agent=True)} == {"configuration", "targets"}


def test_a_question_that_is_refused_is_said() -> None:
    (found,) = bad(look({"runtime": recorded()["runtime"], "probes": {"error": "HTTP 422: query timed out"}}))
    assert (found.check, found.severity) == ("access", "warning")
    assert "of probes it says: HTTP 422: query timed out" in found.evidence


@pytest.mark.parametrize("name", sorted(prometheus.QUERIES))
def test_queries_ask_for_what_there_is(name: str) -> None:
    expression = promql.parse(prometheus.QUERIES[name])
    assert known.unknown_metrics(expression, METRICS) == []
    assert known.wrong_labels(expression, METRICS) == []
