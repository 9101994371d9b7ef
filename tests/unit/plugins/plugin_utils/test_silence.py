# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From names of the inventory to silences, and where Alertmanager is asked."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.silence import (
    alertmanager_api,
    silence_matchers,
    wanted_silences,
)

GROUPS = {
    "all": ["mon1", "mon2", "app1", "app-2.example.com"],
    "alertmanager": ["mon1", "mon2"],
    "node_exporter": ["app1"],
}
HOSTVARS: dict[str, dict[str, t.Any]] = {
    "mon1": {
        "blackbox_exporter_targets": [{"name": "website"}],
        "prometheus_scrape_configs": [{"job_name": "printers"}],
    },
    "mon2": {},
    "app1": {
        "monitoring_services": [{"name": "shop", "port": 8000}, {"name": "cart", "port": 8001}],
        "monitoring_services_more": [{"name": "orders", "port": 8002}],
    },
    "app-2.example.com": {},
}


def matchers(
    hosts: t.Sequence[str] = (), services: t.Sequence[str] = (), more: t.Sequence[str] = ()
) -> list[list[str]]:
    return silence_matchers(GROUPS, HOSTVARS, hosts, services, more)


def test_host() -> None:
    assert matchers(["app1"]) == [['instance="app1"']]
    assert matchers(["app1"], more=['severity!="critical"']) == [['instance="app1"', 'severity!="critical"']]


def test_hosts_are_one_silence() -> None:
    """Whose dots are dots."""
    assert matchers(["app1", "app-2.example.com"]) == [[r'instance=~"app1|app\\-2\\.example\\.com"']]


def test_service_takes_two_silences() -> None:
    assert matchers(services=["shop"]) == [['job="shop"'], ['service="shop"']]
    assert matchers(["app1"], ["shop", "cart"]) == [
        ['job=~"shop|cart"', 'instance="app1"'],
        ['service=~"shop|cart"', 'instance="app1"'],
    ]


@pytest.mark.parametrize("name", ["node_exporter", "website", "printers", "orders"])
def test_what_is_called_a_service(name: str) -> None:
    assert matchers(services=[name])[0] == [f'job="{name}"']


def test_only_matchers() -> None:
    assert matchers(more=["alertname=HighCPUUsage"]) == [["alertname=HighCPUUsage"]]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, "Nothing says what to silence. What to do: state silence_host"),
        ({"hosts": ["ap1"]}, "The inventory has no host ap1: the nearest is app1. What to do: correct silence_host"),
        (
            {"services": ["zzz"]},
            "no service zzz: known are alertmanager, cart, node_exporter, orders, printers, shop, website. What to do",
        ),
        ({"services": ["loki"]}, "no service loki"),
    ],
)
def test_refused(stated: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleError, match=said):
        matchers(**stated)


def test_a_refusal_is_a_text_for_the_role() -> None:
    made = wanted_silences(GROUPS, HOSTVARS, hosts=["ap1"], services=[], matchers=[])
    assert made["silences"] == []
    assert made["refused"].startswith("The inventory has no host ap1")
    assert wanted_silences(GROUPS, HOSTVARS, ["app1"], [], []) == {"silences": [['instance="app1"']], "refused": ""}


def test_a_host_asks_itself_first() -> None:
    assert alertmanager_api(GROUPS, HOSTVARS, "mon2") == {
        "urls": ["http://127.0.0.1:9093", "http://mon1:9093"],
        "server_name": "",
        "ca_path": "",
    }


def test_api_under_tls_behind_a_path() -> None:
    settings = {
        "monitoring_tls": "selfsigned",
        "monitoring_address": "mon1.example.com",
        "alertmanager_listen_address": "10.0.0.1:9099",
        "alertmanager_external_url": "https://ops.example.com/alerts/",
    }
    hostvars = {**HOSTVARS, "mon1": settings, "mon2": {**settings, "alertmanager_state": "absent"}}
    assert alertmanager_api(GROUPS, hostvars, "mon1") == {
        "urls": ["https://10.0.0.1:9099/alerts"],
        "server_name": "mon1.example.com",
        "ca_path": "/etc/alertmanager/secrets/ca.crt",
    }
    own = {**settings, "monitoring_tls": "own"}
    assert alertmanager_api(GROUPS, {**hostvars, "mon1": own}, "mon1")["ca_path"] == "", "that of the system"
