# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes from an inventory."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.probes import (
    listed_probes,
    probe_jobs,
    service_probes,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import scrape_jobs

SHOP = {"name": "shop", "port": 8000}


def probes(hostvars: dict[str, dict[str, t.Any]], **groups: list[str]) -> list[dict[str, t.Any]]:
    everything = {"all": list(hostvars), "blackbox_exporter": ["mon"], **groups}
    return probe_jobs(scrape_jobs(everything, hostvars), everything["all"], hostvars)


def asked(hostvars: dict[str, dict[str, t.Any]], **groups: list[str]) -> list[tuple[str, ...]]:
    """Who asks what, in short."""
    return [
        tuple(target["labels"][key] for key in ("prober", "instance", "service", "module", "target"))
        for job in probes(hostvars, **groups)
        for target in job["targets"]
    ]


def test_job() -> None:
    assert probes({"mon": {"ansible_host": "10.0.0.1"}, "web": {"monitoring_services": [SHOP]}}) == [
        {
            "name": "probe",
            "kind": "exporter",
            "interval": "",
            "scheme": "http",
            "path": "/probe",
            "auth": {},
            "objective": None,
            "targets": [
                {
                    "targets": ["10.0.0.1:9115"],
                    "labels": {
                        "instance": "web",
                        "service": "shop",
                        "module": "http_2xx",
                        "target": "http://web:8000/health",
                        "prober": "mon",
                        "__param_module": "http_2xx",
                        "__param_target": "http://web:8000/health",
                    },
                }
            ],
        }
    ]


# --- services ---


@pytest.mark.parametrize(
    ("stated", "target"),
    [
        pytest.param({}, "http://web:8000/health", id="defaults"),
        pytest.param({"health": "/ok?full=1"}, "http://web:8000/ok?full=1", id="path"),
        pytest.param({"scheme": "https", "port": 443}, "https://web:443/health", id="https"),
        pytest.param({"address": "fd00::9"}, "http://[fd00::9]:8000/health", id="IPv6"),
    ],
)
def test_health_of_a_service(stated: dict[str, t.Any], target: str) -> None:
    (probe,) = asked({"mon": {}, "web": {"monitoring_services": [{**SHOP, **stated}]}})
    assert probe == ("mon", "web", "shop", "http_2xx", target)


def test_health_of_services_in_a_further_list() -> None:
    further = {"monitoring_services": [SHOP], "monitoring_services_cart": [{"name": "cart", "port": 8001}]}
    assert [probe[2] for probe in asked({"mon": {}, "web": further})] == ["shop", "cart"]
    further["monitoring_services_cart"][0]["health"] = "ping"
    with pytest.raises(AnsibleError, match=r"^monitoring_services_cart of web: cart has the health check 'ping'"):
        service_probes(["web"], {"web": further})


@pytest.mark.parametrize("health", ["", None])
def test_service_without_a_health_check(health: str | None) -> None:
    assert probes({"mon": {}, "web": {"monitoring_services": [{**SHOP, "health": health}]}}) == []


@pytest.mark.parametrize("health", ["health", "http://web/health", 7])
def test_health_that_is_no_path(health: t.Any) -> None:
    with pytest.raises(AnsibleError, match=r"monitoring_services of web: shop has the health check .* begins with /"):
        probes({"mon": {}, "web": {"monitoring_services": [{**SHOP, "health": health}]}})


def test_labels_of_a_service_are_those_of_its_own_job() -> None:
    """They may name the instance, as there, but never what is asked."""
    labels = {"instance": "web-a", "tier": 1, "target": "mine", "__param_target": "mine"}
    hostvars = {"mon": {}, "web": {"monitoring_services": [{**SHOP, "labels": labels}]}}
    (job,) = probes(hostvars)
    (target,) = job["targets"]
    assert target["labels"] == {
        "instance": "web-a",
        "tier": "1",
        "service": "shop",
        "module": "http_2xx",
        "target": "http://web:8000/health",
        "prober": "mon",
        "__param_module": "http_2xx",
        "__param_target": "http://web:8000/health",
    }


# --- who asks ---


def test_nobody_probes() -> None:
    hostvars = {"web": {"monitoring_services": [SHOP], "blackbox_exporter_targets": [{"name": "a", "target": "b"}]}}
    assert probes(hostvars, blackbox_exporter=[]) == []


def test_absent_exporter_probes_nothing() -> None:
    assert probes({"mon": {"blackbox_exporter_state": "absent"}, "web": {"monitoring_services": [SHOP]}}) == []


def test_every_exporter_asks_everything_and_what_its_host_lists() -> None:
    hostvars: dict[str, dict[str, t.Any]] = {
        "mon": {},
        "far": {"blackbox_exporter_targets": [{"name": "router", "target": "10.9.0.1", "module": "icmp"}]},
        "web": {"monitoring_services": [SHOP]},
    }
    before = copy.deepcopy(hostvars)
    assert asked(hostvars, blackbox_exporter=["mon", "far"]) == [
        ("mon", "web", "shop", "http_2xx", "http://web:8000/health"),
        ("far", "web", "shop", "http_2xx", "http://web:8000/health"),
        ("far", "router", "router", "icmp", "10.9.0.1"),
    ]
    assert hostvars == before


def test_exporter_is_asked_where_it_answers() -> None:
    exporter = {"monitoring_tls": "own", "monitoring_address": "mon.example.org"}
    hostvars = {
        "mon": {**exporter, "blackbox_exporter_listen_address": ":9200"},
        "web": {"monitoring_services": [SHOP]},
    }
    (job,) = probes(hostvars)
    shop = job["targets"][0]
    assert shop["targets"] == ["mon.example.org:9200"]
    assert shop["labels"]["__scheme__"] == "https"
    assert job["path"] == "/probe"


# --- certificates ---


def test_certificate_of_every_component_that_serves_tls() -> None:
    """Not of services: their scheme may be https too, and their health check tells the end of the certificate."""
    hostvars = {
        "mon": {"monitoring_tls": "selfsigned"},
        "web": {
            "monitoring_tls": "own",
            "ansible_host": "fd00::1",
            "monitoring_services": [
                {**SHOP, "health": ""},
                {"name": "shop", "port": 8001, "scheme": "https", "health": "", "labels": {"shard": "b"}},
            ],
        },
        "old": {"monitoring_tls": "off"},
    }
    assert asked(hostvars, prometheus=["mon"], node_exporter=["web", "old"]) == [
        ("mon", "mon", "prometheus", "tls_connect", "mon:9090"),
        ("mon", "web", "node_exporter", "tls_connect", "[fd00::1]:9100"),
        ("mon", "mon", "blackbox_exporter", "tls_connect", "mon:9115"),
    ]


# --- listed targets ---


def test_listed_target_defaults() -> None:
    (probe,) = listed_probes("mon", [{"name": "site", "target": "https://example.org", "module": None, "labels": None}])
    assert probe == ("site", "site", "http_2xx", "https://example.org", {})


def test_one_name_with_two_modules() -> None:
    """What is asked tells them apart; so does a label."""
    stated = [
        {"name": "router", "target": "10.0.0.1", "module": "icmp"},
        {"name": "router", "target": "10.0.0.1:22", "module": "tcp_connect"},
        {"name": "router", "target": "10.0.0.1", "module": "icmp", "labels": {"way": "b"}},
    ]
    assert [probe.module for probe in listed_probes("mon", stated)] == ["icmp", "tcp_connect", "icmp"]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        pytest.param(["a"], "targets of mon: an entry is not a map with name and target", id="not a map"),
        pytest.param([{"name": "a", "target": "b", "modul": "icmp"}], "unknown key modul. Known are", id="key"),
        pytest.param([{"name": "a"}], "lacks target", id="no target"),
        pytest.param([{"target": "a"}], "lacks name", id="no name"),
        pytest.param([{"name": "", "target": None}], "lacks name and target", id="empty"),
        pytest.param([{"name": "a", "target": "b", "labels": "c"}], "the labels of a are not a map", id="labels"),
        pytest.param([{"name": "a", "target": "b"}] * 2, "a is there twice, .* What to do: remove", id="twins"),
    ],
)
def test_target_that_cannot_be_probed(stated: list[t.Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        listed_probes("mon", stated)
