# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's looks at Alertmanager, Loki and Grafana: what each answer means."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import alertmanager as config_of
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_alertmanager as alertmanager
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_grafana as grafana
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_loki as loki
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_answers import Answers, Refused
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

NOW = 1_800_000_000.0


def bad(look: Look) -> list[Finding]:
    return [one for one in look.findings if one.severity != "ok"]


# --- Alertmanager ---


def status(receivers: list[dict[str, t.Any]], peers: int = 0, settled: str = "ready") -> Answers:
    """As /api/v2/status has it. Of the configuration it shows everything but secrets."""
    built = config_of.build(receivers, {}, {}, "0.33.1", "/etc/alertmanager/secrets")
    cluster: dict[str, t.Any] = {"status": settled if peers else "disabled", "peers": None}
    if peers:
        cluster["peers"] = [{"name": f"01{number}", "address": f"10.0.0.{number}:9094"} for number in range(peers)]
    data = {"cluster": cluster, "config": {"original": yaml.safe_dump(built.config)}, "versionInfo": {}}
    return Answers({"status": {"data": data}}, NOW)


MAIL = [{"name": "mail", "email_configs": [{"to": "a@b.example"}]}]


def test_one_alertmanager_that_is_well() -> None:
    look = alertmanager.look("mon1", status(MAIL), ["mon1"])
    assert [(one.check, one.severity, one.what) for one in look.findings] == [
        ("cluster", "ok", "Alertmanager answers"),
        ("receivers", "ok", "Alerts are told to mail (email)"),
    ]


def test_nobody_is_told() -> None:
    (found,) = bad(alertmanager.look("mon1", status([]), ["mon1"]))
    assert (found.check, found.severity, found.what) == ("receivers", "warning", "Nobody is told of an alert")
    assert found.evidence == "every route but that of severity none leads to nobody, which tells nobody"


def test_a_dead_mans_switch_tells_nobody_of_an_alert() -> None:
    switch = {"name": "deadman", "severities": ["none"], "webhook_configs": [{"url": "https://x.example/"}]}
    assert [one.what for one in bad(alertmanager.look("mon1", status([switch]), ["mon1"]))] == [
        "Nobody is told of an alert"
    ]
    well = alertmanager.look("mon1", status([switch, *MAIL]), ["mon1"]).findings[-1]
    assert well.what == "Alerts are told to mail (email)"
    old = {"receiver": "nobody", "routes": [{"match": {"severity": "none"}, "receiver": "deadman"}]}
    assert alertmanager.routed(old) == {"nobody"}


def test_receivers_that_no_route_leads_to() -> None:
    config = {"receivers": [{"name": "nobody"}, *MAIL], "route": {"receiver": "nobody", "routes": [{"matchers": []}]}}
    data = {"cluster": {}, "config": {"original": yaml.safe_dump(config)}}
    assert [one.what for one in bad(alertmanager.look("mon1", Answers({"status": {"data": data}}), ["mon1"]))] == [
        "Nobody is told of an alert"
    ]
    assert alertmanager.routed(config["route"]) == {"nobody"}


@pytest.mark.parametrize(
    ("peers", "settled", "severity", "what"),
    [
        (3, "ready", "ok", "Alertmanager answers, and sees all 3 of its cluster"),
        (2, "ready", "broken", "Alertmanager sees 2 members of its cluster, and the inventory has 3"),
        (4, "ready", "warning", "Alertmanager sees 4 members of its cluster, and the inventory has 3"),
        (1, "settling", "warning", "The cluster of Alertmanager has not settled"),
    ],
)
def test_cluster(peers: int, settled: str, severity: str, what: str) -> None:
    look = alertmanager.look("mon1", status(MAIL, peers, settled), ["mon1", "mon2", "mon3"])
    assert (look.findings[0].severity, look.findings[0].what) == (severity, what)


def test_a_status_that_is_refused_is_said() -> None:
    (found,) = alertmanager.look("mon1", Answers({"status": {"error": "HTTP 404: gone"}}), ["mon1"]).findings
    assert (found.severity, found.component) == ("warning", "alertmanager")


# --- Loki ---


def seen(*hosts: str, ready: t.Any = None) -> Answers:
    result = [{"metric": {"instance": host}, "value": [NOW, "5"]} for host in hosts]
    return Answers(
        {"ready": ready or {"data": "ready"}, "seen": {"data": {"resultType": "vector", "result": result}}}, NOW
    )


def test_a_loki_that_is_well() -> None:
    look = loki.look("mon1", seen("app1", "mon1"), ["app1", "mon1"], 3600)
    assert [(one.check, one.severity, one.what) for one in look.findings] == [
        ("ready", "ok", "Loki is ready"),
        ("logs", "ok", "Every host that reads logs has sent lines to mon1"),
    ]
    assert loki.look("mon1", seen(), [], 3600).findings[1:] == []


def test_hosts_that_are_silent() -> None:
    (found,) = bad(loki.look("mon1", seen("mon1"), ["app1", "mon1"], 900))
    assert (found.severity, found.host, found.what) == ("warning", "app1", "app1 has sent no line for 15 minutes")


def test_one_that_is_not_ready() -> None:
    answers = seen(ready={"error": "HTTP 503: Ingester not ready"})
    assert [(one.check, one.severity, one.evidence) for one in bad(loki.look("mon1", answers, [], 60))] == [
        ("ready", "broken", "HTTP 503: Ingester not ready")
    ]
    mute = Answers({"ready": {"data": "ready"}, "seen": {"error": "HTTP 500: empty ring"}})
    assert [one.what for one in bad(loki.look("mon1", mute, ["app1"], 60))] == ["Loki does not answer queries"]


@pytest.mark.parametrize(
    "said",
    [
        "timed out",
        "HTTP 504: x",
        "HTTP 500: context deadline exceeded",
        "HTTP 400: the query would read too many bytes",
    ],
)
def test_too_many_lines_are_no_fault(said: str) -> None:
    answers = Answers({"ready": {"data": "ready"}, "seen": {"error": said}})
    (found,) = bad(loki.look("mon1", answers, ["app1"], 3600))
    assert (found.severity, found.evidence) == ("warning", said)
    assert found.fix.startswith("lower doctor_logs_since")


@pytest.mark.parametrize(
    ("stated", "host", "expected"),
    [
        ({}, "loki1", ["app1"]),
        ({"monitoring_logs_push": ["loki1"]}, "loki1", ["app1"]),
        ({"monitoring_logs_push": ["https://logs.example.com"]}, "loki1", []),
        ({"alloy_state": "absent"}, "loki1", []),
        ({"monitoring_logs": []}, "loki1", []),
        ({"monitoring_logs": [{"name": "journal", "kind": "journal"}]}, "loki1", ["app1"]),
    ],
)
def test_who_sends_to_it(stated: dict[str, t.Any], host: str, expected: list[str]) -> None:
    groups = {"loki": ["loki1"], "alloy": ["app1"]}
    assert loki.senders(host, groups, {"loki1": {}, "app1": stated}) == expected


def test_each_host_is_expected_at_one_member_of_a_cluster() -> None:
    groups = {"loki": ["loki1", "loki2"], "alloy": ["loki2"], "promtail": [f"app{number}" for number in range(9)]}
    hostvars: dict[str, dict[str, t.Any]] = {host: {} for hosts in groups.values() for host in hosts}
    one, other = (loki.senders(host, groups, hostvars) for host in groups["loki"])
    assert sorted([*one, *other]) == sorted(["loki2", *groups["promtail"]])
    assert "loki2" in other


def test_the_canary() -> None:
    assert loki.canary("mon1", 0.21).findings[0].what == "A line came back from Loki after 0.2 s"
    (lost,) = loki.no_canary(
        "mon1", Refused("1 of 1 lines were taken but did not come back. What to do: look")
    ).findings
    assert (lost.severity, lost.evidence, lost.fix) == (
        "broken",
        "1 of 1 lines were taken but did not come back",
        "look",
    )
    (lacks,) = loki.no_canary("mon1", Refused("No module named requests", "requests")).findings
    assert lacks.severity == "warning"
    assert "name=python3-requests" in lacks.fix
    # What other looks and alerts would take for a host or a service of theirs.
    assert not {"instance", "service"} & set(loki.LABELS)


# --- Grafana ---


def source(name: str, state: str, message: str = "") -> dict[str, str]:
    return {"uid": name, "name": name, "type": "prometheus", "status": state, "message": message}


def test_logins() -> None:
    (found,) = grafana.login("mon1", "admin", {"version": "12.4.2", "database": "ok"}).findings
    assert (found.severity, found.evidence) == ("ok", "version 12.4.2, database ok")
    assert [one.what for one in bad(grafana.database("mon1", {"database": "failing"}))] == [
        "Grafana does not reach its database"
    ]
    (found,) = grafana.no_login("mon1", "admin", Refused("GET x was answered with 401 Unauthorized")).findings
    assert (found.severity, found.what) == ("broken", "Grafana refuses the password of admin")
    assert found.fix.startswith("site.yml --limit mon1 --tags grafana sets it again")


def test_datasources() -> None:
    found = grafana.datasources("mon1", [source("Prometheus mon1", "ok"), source("Loki mon1", "error", "refused")])
    assert [(one.severity, one.what, one.evidence) for one in found.findings] == [
        ("broken", "The datasource Loki mon1 does not answer", "refused")
    ]
    assert [one.what for one in grafana.datasources("mon1", [source("x", "ok"), source("y", "unknown")]).findings] == [
        "Every datasource of Grafana answers"
    ]
    assert [one.severity for one in grafana.datasources("mon1", []).findings] == ["warning"]


def test_dashboards() -> None:
    wanted = {"opswatch-hosts": "Hosts", "opswatch-alerts": "Alerts"}
    (found,) = grafana.dashboards("mon1", [{"uid": "opswatch-hosts"}], wanted).findings
    assert (found.severity, found.what, found.evidence) == (
        "warning",
        "1 dashboard is missing in Grafana",
        "Alerts",
    )
    (fine,) = grafana.dashboards("mon1", [{"uid": uid} for uid in wanted], wanted).findings
    assert fine.what == "Every dashboard of the inventory is in Grafana"
