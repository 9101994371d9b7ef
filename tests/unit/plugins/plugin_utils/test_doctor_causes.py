# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which findings come of one cause, and which do not though they look like it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _component_api
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._http import Api, ApiError
from ansible_collections.opswatch.monitoring.plugins.module_utils._ready import Answer, Endpoint
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_alertmanager as alertmanager
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_causes as causes
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_grafana as grafana
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_hosts as hosts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_loki as loki
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_others as others
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_prometheus as prometheus
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_targets as targets
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.doctor import failed, left_out, unresolved
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.doctor_inventory import Inventory
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_answers import Answers, Refused
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding

NOW = 1_800_000_000.0
TIMED_OUT = "dial tcp 10.0.0.5:9100: i/o timeout"
REFUSED = "dial tcp 10.0.0.5:9100: connect: connection refused"
WRONG = "server returned HTTP status 401 Unauthorized"


# --- findings, as the looks make them ---


def away(host: str = "app1", said: str = "ssh: connect to host 10.0.0.5 port 22: Connection timed out") -> Finding:
    return hosts.unreachable(host, said).findings[0]


def dead(host: str, name: str) -> Finding:
    seen = {"active": "inactive", "sub": "dead", "result": "success", "running": False, "restarts": 0, "since": 0.0}
    return hosts.unit(host, name, {**seen, "words": "", "remedy": ""}, NOW)[0]


def lacking(host: str, *names: str) -> Finding:
    return hosts.lacking(host, [hosts.Wanted(name, "1") for name in names], {})[0]


def access(host: str, name: str, said: str, fix: str = "look") -> Finding:
    return Finding("access", "broken", host, name, f"{name or host} could not be asked", said, "", fix)


def down(host: str, job: str, said: str = REFUSED, **labels: str) -> Finding:
    one = {"scrapePool": job, "labels": {"instance": host, **labels}, "scrapeUrl": "http://x/", "lastError": said}
    return targets.down(one)


def source(name: str, uid: str = "", said: str = "refused") -> Finding:
    server = {"prometheus": "prometheus of mon1", "loki": "loki of mon1"}
    one = {"name": name, "uid": uid, "status": "error", "message": said}
    return grafana.datasources("graf1", [one], server).findings[0]


def series(**labels: str) -> dict[str, t.Any]:
    return {"data": {"result": [{"metric": labels, "value": [NOW, "1"]}]}}


def untold(host: str = "prom1") -> Finding:
    owners = {("alertmanager", "10.0.0.2:9093"): "mon1"}
    known = {"activeAlertmanagers": [{"url": "http://10.0.0.2:9093/api/v2/alerts"}]}
    answers = {"alertmanagers": {"data": known}}
    answers["untold"] = series(instance=host, alertmanager="http://10.0.0.2:9093/api/v2/alerts")
    return prometheus.told(host, Answers(answers), Inventory([], ["10.0.0.2:9093"], owners=owners))[0]


def given_up(reason: str) -> Finding:
    return others.dropped(Answers({"dropped": series(instance="app1", job="alloy", reason=reason)}))[0]


def probe(host: str = "app1", service: str = "shop", module: str = "http_2xx") -> Finding:
    return others.probes(Answers({"probes": series(instance=host, service=service, module=module)}))[0]


def database(instance: str) -> Finding:
    return others.databases(Answers({"databases": series(instance=instance)}), None)[0]


def silent(host: str = "app1") -> Finding:
    answers = Answers({"seen": {"data": {"result": []}}})
    return loki.silent("mon1", answers, [host], 3600)[0]


def not_ready() -> Finding:
    answers = Answers({"ready": {"error": "HTTP 503: Ingester not ready"}, "seen": {"error": "HTTP 500: empty ring"}})
    return loki.look("mon1", answers, [], 60).findings[0]


def mute_loki() -> Finding:
    answers = Answers({"ready": {"error": "HTTP 503: Ingester not ready"}, "seen": {"error": "HTTP 500: empty ring"}})
    return loki.look("mon1", answers, [], 60).findings[1]


def lost_line(said: str, library: str = "") -> Finding:
    return loki.no_canary("mon1", Refused(said, library)).findings[0]


def members(host: str, *peers: str, settled: str = "ready") -> Finding:
    seen = {"status": settled, "peers": [{"address": peer} for peer in peers]}
    return alertmanager.cluster(host, seen, ["mon1", "mon2", "mon3"])[0]


def not_scraped(host: str, *names: str) -> Finding:
    return targets.missing("mon1", [(name, {"labels": {"instance": host}, "targets": ["x"]}) for name in names])[0]


def foreign() -> Finding:
    one = {"scrapePool": "alloy", "labels": {}, "discoveredLabels": {}, "health": "down", "scrapeUrl": "http://old:1/"}
    return targets.targets("mon1", Answers({"targets": {"data": {"activeTargets": [one]}}}), Inventory([]))[0]


def not_told() -> Finding:
    nobody = Answers({"alertmanagers": {"data": {"activeAlertmanagers": []}}})
    return prometheus.told("mon1", nobody, Inventory([], ["10.0.0.2:9093"]))[0]


def not_loaded() -> Finding:
    return prometheus.configuration("mon1", Answers({"runtime": {"data": {"reloadConfigSuccess": False}}}))[0]


def full() -> Finding:
    space = {"path": "/", "bytes": 1000, "free": 1, "inodes": 0, "inodes_free": 0}
    return hosts.disk("mon1", [space], {})[0]


def clock(host: str, off: float) -> Finding:
    return hosts.clock(host, NOW + off, NOW, NOW, {"ClockSkew": 5})[0]


def unanswered(name: str) -> str:
    """What a module says of a program that does not run."""
    with pytest.raises(ComponentError) as raised:
        _component_api.refuse(name, Endpoint("http://127.0.0.1:1"), Answer(0, "[Errno 111] Connection refused"))
    return str(raised.value)


def refused(name: str) -> Finding:
    with pytest.raises(ComponentError) as raised:
        _component_api.refuse(name, Endpoint("http://127.0.0.1:1"), Answer(401, "Unauthorized"))
    said = Refused(str(raised.value))
    return access("mon1", name, said.what, said.remedy)


def unanswered_grafana() -> str:
    with pytest.raises(ApiError) as raised:
        Api("Grafana", "http://127.0.0.1:1").get("/api/health")
    return str(raised.value)


NOT_HERE = "loki was not installed here by opswatch.monitoring"

# --- pairs ---


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        # A host that is off.
        (away(), Finding("away", "broken", "app1", "loki", "loki could not be asked")),
        (away(), down("app1", "node_exporter", TIMED_OUT)),
        (away(), down("app1", "shop", "dial tcp: lookup app1: no such host")),
        (away("mon1"), source("Loki", "loki", TIMED_OUT)),
        (away(), probe()),
        (away("db9"), database("db9:5432")),
        (away("mon1"), untold()),
        (away("mon2"), members("mon1", "mon1", "mon3")),
        (away(), silent()),
        # A component that does not run, or is not there.
        (dead("mon1", "prometheus"), access("mon1", "prometheus", unanswered("prometheus"))),
        (dead("graf1", "grafana"), access("graf1", "grafana", unanswered_grafana())),
        (lacking("mon1", "loki", "alloy"), access("mon1", "loki", NOT_HERE)),
        (dead("app1", "node_exporter"), down("app1", "node_exporter")),
        (lacking("app1", "cadvisor", "node_exporter"), down("app1", "node_exporter")),
        (dead("mon1", "blackbox_exporter"), down("app1", "probe", prober="mon1")),
        (dead("mon1", "loki"), source("Loki", "loki")),
        (dead("mon1", "prometheus"), source("Prometheus", "prometheus")),
        (dead("mon1", "alertmanager"), untold()),
        (dead("mon2", "alertmanager"), members("mon1", "mon1", "mon3")),
        (dead("mon2", "alertmanager"), members("mon1", "mon1", settled="settling")),
        (dead("app1", "alloy"), silent()),
        (lacking("app1", "promtail"), silent()),
        (dead("mon1", "loki"), given_up("ingester_error")),
        # One that runs, and answers nobody, or lets nobody in.
        (access("mon1", "alertmanager", unanswered("alertmanager")), untold()),
        (access("mon1", "loki", unanswered("loki")), given_up("ingester_error")),
        (access("mon1", "alertmanager", unanswered("alertmanager")), down("mon1", "alertmanager", TIMED_OUT)),
        (refused("prometheus"), source("Prometheus", "prometheus", "401 Unauthorized")),
        (not_ready(), mute_loki()),
        (not_ready(), lost_line("1 of 1 lines were taken but did not come back")),
        (not_ready(), source("Loki", "loki", "503")),
        (not_ready(), given_up("ingester_error")),
        (down("app1", "shop"), probe()),
        # What a configuration would have brought.
        (not_loaded(), not_scraped("app1", "node_exporter")),
        (not_loaded(), not_told()),
        # What one host lacks.
        (full(), lost_line("write /var/lib/loki/wal: no space left on device")),
        (access("mon1", "grafana", "No module named requests"), lost_line("No module named requests", "requests")),
    ],
)
def test_what_one_brings_about(cause: Finding, effect: Finding) -> None:
    named = f"{effect.host}: {effect.what}" if effect.host and effect.host not in effect.what else effect.what
    for both in ([cause, effect], [effect, cause]):  # looks come as hosts and services do
        assert causes.folded(both) == [cause._replace(follows=named)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # SSH does not let us in, or a firewall is in the way of it alone: the host is there.
        (away(said="Permission denied (publickey)"), down("app1", "node_exporter", TIMED_OUT)),
        (away(said="Permission denied (publickey)"), probe()),
        (away(said="ssh: connect to host 10.0.0.5 port 22: Connection refused"), silent()),
        (away(), down("app1", "node_exporter", REFUSED)),
        (away(), down("app1", "node_exporter", WRONG)),
        (away(), down("app11", "node_exporter", TIMED_OUT)),
        # Other services, and other hosts.
        (dead("app1", "node_exporter"), down("app2", "node_exporter")),
        (dead("app1", "node_exporter"), down("app1", "alloy")),
        (dead("mon1", "prometheus"), source("Loki", "loki")),
        (dead("mon2", "loki"), source("Loki", "loki")),
        (dead("mon1", "loki"), source("the user's own")),
        (dead("mon2", "alertmanager"), untold()),
        (dead("mon2", "alertmanager"), members("mon1", *"abcd")),  # more than there should be
        # Its own fault: lines that are too long, a page without metrics, a database that is asked over another one.
        (dead("mon1", "loki"), given_up("line_too_long")),
        (dead("app1", "alloy"), given_up("ingester_error")),
        (access("mon1", "loki", "'x' is undefined"), given_up("ingester_error")),
        (
            access("mon1", "loki", "mon1 does not answer: Permission denied")._replace(check="away"),
            given_up("ingester_error"),
        ),
        (down("app1", "shop", "server returned HTTP status 404 Not Found"), probe()),
        (away("db1"), database("db9:5432")),
        # What this machine does not know says nothing of the service.
        (dead("mon1", "alertmanager"), access("mon1", "alertmanager", "This machine does not have the password")),
        (access("mon1", "alertmanager", "'x' is undefined"), untold()),
        # What site.yml has not brought to Prometheus it does not bring by starting the exporter, or the other way.
        (lacking("app1", "node_exporter"), not_scraped("app1", "node_exporter")),
        (dead("app1", "node_exporter"), not_scraped("app1", "node_exporter")),
        (not_loaded(), down("mon1", "prometheus")),
        (not_loaded(), untold("mon1")),
        (full(), lost_line("1 of 1 lines were taken but did not come back")),
        # Nobody knows why: the same advice is no same cause.
        (down("app1", "a", "something new"), down("app2", "b", "something new")),
        (down("app1", "node_exporter"), down("app2", "node_exporter")),
        (probe(service="shop"), probe(service="cart")),
    ],
)
def test_what_only_looks_like_it(one: Finding, other: Finding) -> None:
    assert causes.folded([one, other]) == [one, other]
    assert causes.folded([other, one]) == [other, one]


@pytest.mark.parametrize(
    "findings",
    [
        # No secrets on this machine; a variable of all hosts; nobody becomes root anywhere.
        [access("mon1", name, "no password here") for name in ("prometheus", "alertmanager", "grafana")],
        [failed(host, "host", "'x' is undefined").findings[0] for host in ("mon1", "app1")],
        [failed("mon1", "host", "'x' is undefined").findings[0], unresolved("'x' is undefined").findings[0]],
        [access("mon1", "", "Missing sudo password", "root"), access("mon1", "loki", "Missing sudo password", "unit")],
        [refused("prometheus"), refused("alertmanager")],
        left_out({}, {"host": ["mon1", "app1"], "prometheus": ["mon1"], "loki": ["mon1"]}, limited=True).findings,
        # The password of the exporters, or their authority, was changed and has come to one side.
        [down(host, "node_exporter", WRONG) for host in ("app1", "app2", "app3")],
        [down(host, "node_exporter", "x509: certificate has expired") for host in ("app1", "app2")],
        # One exporter, several databases; one service, several probes; one host.
        [down("db1", "postgres_exporter"), down("db1", "postgres_exporter", database="shop")],
        [probe(), probe(module="tcp_connect")],
        [down("app1", "node_exporter", TIMED_OUT), down("app1", "alloy", TIMED_OUT)],
        # site.yml has not run on the host of Prometheus.
        [not_scraped("app1", "node_exporter"), not_scraped("app2", "alloy"), foreign(), not_told()],
        # What members say of their cluster, and several Prometheus of the rules that they have in common.
        [members("mon1", "mon1"), members("mon2", "mon2")],
        [Finding("receivers", "warning", host, "alertmanager", "Nobody is told", fix="state") for host in "ab"],
        [Finding("rules", "broken", host, "prometheus", "1 rule cannot be evaluated: a:b", host) for host in "ab"],
        # Grafana with another database.
        [
            *grafana.no_login("graf1", "admin", Refused("GET x was answered with 401")).findings,
            *grafana.no_token("graf1", Refused("GET x was answered with 401")).findings,
        ],
    ],
)
def test_what_is_said_of_one_cause_is_one_finding(findings: list[Finding]) -> None:
    (found,) = causes.folded(findings)
    assert found._replace(follows="") == findings[0]
    assert len(found.follows.splitlines()) == len(findings) - 1


def test_a_chain_ends_at_its_first_cause() -> None:
    asked = Finding("away", "broken", "mon1", "loki", "loki could not be asked", "mon1 does not answer: timed out")
    found = causes.folded([given_up("ingester_error"), asked, away("mon1"), source("Loki", "loki", TIMED_OUT)])
    assert [one.what for one in found] == ["mon1 cannot be reached from here"]
    assert found[0].follows.splitlines() == [
        "Lines of app1 were given up",
        "mon1: loki could not be asked",
        "graf1: The datasource Loki does not answer",
    ]


def test_what_has_its_cause_stands_for_nobody_else() -> None:
    """The exporter of app1 is stopped; that of app2 has another trouble, with the same remedy as that of app3."""
    stopped = down("app1", "node_exporter", WRONG)
    others = [down(host, "node_exporter", WRONG) for host in ("app2", "app3")]
    found = causes.folded([stopped, *others, dead("app1", "node_exporter")])
    assert [(one.what, one.follows) for one in found] == [
        ("node_exporter of app2 is down", "node_exporter of app3 is down"),
        ("node_exporter does not run on app1", "node_exporter of app1 is down"),
    ]


def test_nothing_worse_goes_beneath_a_warning() -> None:
    warning = probe()._replace(severity="warning")
    assert causes.folded([warning, probe()]) == [probe()._replace(follows=warning.what)]
    started = dead("mon1", "loki")._replace(severity="warning")
    assert causes.folded([started, source("Loki", "loki")]) == [started, source("Loki", "loki")]
    fine = Finding("logs", "ok", "app1", "loki", "Fine")
    assert causes.folded([away(), fine]) == [away(), fine]


def test_every_rule_is_about_checks_that_there_are() -> None:
    documented = {
        *("reached", "away", "access", "inventory", "components", "unit", "disk", "targets", "configuration", "rules"),
        *("alerting", "cluster", "receivers", "probes", "databases", "login", "datasources", "ready", "canary", "logs"),
    }
    for rule in causes.CAUSES:
        assert {*rule.causes, *rule.effects} <= documented
    for twins in causes.TWINS:
        assert set(twins.checks) <= documented


@pytest.mark.parametrize(
    ("offs", "expected"),
    [
        ((30, 31), ["The clock of this machine is not that of app0, app1"]),
        ((30, -30), ["The clock of app0 is 30 s ahead of", "The clock of app1 is 29 s behind"]),
        ((30, 0), ["The clock of app0 is 30 s ahead of", "The clock of app1 is right"]),
        ((30,), ["The clock of app0 is 30 s ahead of"]),
    ],
)
def test_a_clock_that_all_others_differ_from_is_wrong(offs: tuple[int, ...], expected: list[str]) -> None:
    found = causes.own_clock([clock(f"app{number}", off) for number, off in enumerate(offs)])
    assert len(found) == len(expected)
    assert all(one.what.startswith(what) for one, what in zip(found, expected, strict=True))
