# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scrape jobs from an inventory."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.filter.scrape import open_address
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.addresses import (
    is_ip,
    is_loopback,
    own_address,
    split_address,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import (
    alert_targets,
    component_job,
    component_targets,
    file_sd,
    members,
    route_prefix,
    scrape_jobs,
    service_jobs,
    service_passwords,
)


def job_of(host: str, **settings: t.Any) -> dict[str, t.Any]:
    return component_job("node_exporter", [host], {host: settings})


def services(**by_host: t.Any) -> list[dict[str, t.Any]]:
    """Jobs of hosts that only have monitoring_services."""
    return service_jobs(list(by_host), {host: {"monitoring_services": stated} for host, stated in by_host.items()})


# --- components ---


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        pytest.param({}, "web1:9100", id="inventory name"),
        pytest.param({"ansible_host": "10.0.0.1"}, "10.0.0.1:9100", id="ansible_host"),
        pytest.param(
            {"ansible_host": "10.0.0.1", "monitoring_address": "web1.example.org"},
            "web1.example.org:9100",
            id="monitoring_address",
        ),
        pytest.param({"ansible_host": "10.0.0.1", "monitoring_address": ""}, "10.0.0.1:9100", id="empty is not set"),
        pytest.param({"ansible_host": "fd00::1"}, "[fd00::1]:9100", id="IPv6"),
        pytest.param({"node_exporter_listen_address": "127.0.0.1:9200"}, "web1:9200", id="another port"),
        pytest.param({"node_exporter_listen_address": ":9200"}, "web1:9200", id="only a port"),
        pytest.param({"node_exporter_listen_address": "[::]:9200"}, "web1:9200", id="IPv6 listen address"),
    ],
)
def test_component_target(settings: dict[str, t.Any], target: str) -> None:
    assert job_of("web1", **settings)["targets"] == [{"targets": [target], "labels": {"instance": "web1"}}]


@pytest.mark.parametrize(("tls", "secure"), [("own", True), ("selfsigned", True), ("off", False), (None, False)])
def test_component_under_tls(tls: str | None, secure: bool) -> None:
    (target,) = job_of("web1", monitoring_tls=tls)["targets"]
    assert target["labels"] == {"instance": "web1", **({"__scheme__": "https"} if secure else {})}


def test_absent_component_is_not_scraped() -> None:
    hostvars = {"a": {"node_exporter_state": "absent"}, "b": {"node_exporter_state": "present"}}
    job = component_job("node_exporter", ["a", "b"], hostvars)
    assert [target["labels"]["instance"] for target in job["targets"]] == ["b"]


@pytest.mark.parametrize(("component", "kind"), [("prometheus", "server"), ("node_exporter", "exporter")])
def test_component_kind_tells_its_password(component: str, kind: str) -> None:
    assert component_job(component, ["a"], {"a": {}})["kind"] == kind


@pytest.mark.parametrize(
    ("settings", "servers", "target"),
    [
        pytest.param({}, ["mon"], "web1:4194", id="elsewhere"),
        pytest.param({}, ["web1"], "127.0.0.1:4194", id="beside the only Prometheus"),
        pytest.param({}, ["web1", "mon"], "web1:4194", id="beside one of two"),
        pytest.param({"cadvisor_listen_address": "0.0.0.0:9999"}, ["web1"], "web1:9999", id="stated"),
        pytest.param({"cadvisor_listen_address": "127.0.0.1:9999"}, ["web1"], "127.0.0.1:9999", id="stated loopback"),
        pytest.param({"cadvisor_listen_address": "127.0.0.1:9999"}, ["mon"], "web1:9999", id="somebody's proxy"),
    ],
)
def test_open_component_target(settings: dict[str, t.Any], servers: list[str], target: str) -> None:
    """No TLS and no password, whatever the others have."""
    job = component_job("cadvisor", ["web1"], {"web1": {"monitoring_tls": "own", **settings}}, servers)
    assert job["kind"] == "open"
    assert job["targets"] == [{"targets": [target], "labels": {"instance": "web1"}}]


@pytest.mark.parametrize(
    ("settings", "servers", "target", "scheme"),
    [
        pytest.param({}, ["web1"], "127.0.0.1:3100", None, id="loopback"),
        pytest.param({}, ["mon"], "web1:3100", None, id="loopback, and Prometheus elsewhere: the preflight says so"),
        pytest.param({"monitoring_tls": "selfsigned"}, ["web1"], "web1:3100", "https", id="certificates"),
        pytest.param(
            {"monitoring_tls": "own", "monitoring_tls_ca": "/ca.crt"}, ["mon"], "web1:3100", "https", id="own ones"
        ),
        pytest.param({"monitoring_tls": "own"}, ["web1"], "127.0.0.1:3100", None, id="no authority to ask for"),
        pytest.param({"loki_listen_address": "10.0.0.1:3200"}, ["mon"], "web1:3200", None, id="stated"),
    ],
)
def test_loki_has_no_password(settings: t.Any, servers: list[str], target: str, scheme: str | None) -> None:
    job = component_job("loki", ["web1"], {"web1": settings}, servers)
    assert job["kind"] == "mutual"
    assert [one["targets"] for one in job["targets"]] == [[target]]
    assert job["targets"][0]["labels"].get("__scheme__") == scheme


@pytest.mark.parametrize(("servers", "target"), [(["web1"], "127.0.0.1:3000"), (["web1", "mon"], "web1:3000")])
def test_what_listens_on_the_loopback_is_found_by_a_prometheus_beside_it(servers: list[str], target: str) -> None:
    job = component_job("grafana", ["web1"], {"web1": {"grafana_listen_address": "127.0.0.1:3000"}}, servers)
    assert [one["targets"] for one in job["targets"]] == [[target]]


@pytest.mark.parametrize(
    ("address", "listens"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("fd00::1", "[fd00::1]"),
        ("web1.example.org", "0.0.0.0"),  # what a name means to the host itself is not known here
    ],
)
def test_open_component_listens_no_further_than_it_has_to(address: str, listens: str) -> None:
    hostvars = {"web1": {"monitoring_address": address}}
    assert open_address("web1", {"prometheus": ["mon"]}, hostvars) == listens
    assert open_address("web1", {"prometheus": ["mon", "web1"]}, hostvars) == listens
    assert open_address("web1", {}, hostvars) == listens
    assert open_address("web1", {"prometheus": ["web1"]}, hostvars) == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "ip", "loopback"),
    [
        ("127.0.0.1", True, True),
        ("::1", True, True),
        ("10.0.0.1", True, False),
        ("localhost", False, True),
        ("web", False, False),
    ],
)
def test_addresses(host: str, ip: bool, loopback: bool) -> None:
    assert (is_ip(host), is_loopback(host)) == (ip, loopback)


def test_bad_listen_address() -> None:
    with pytest.raises(AnsibleError, match=r"'9100' is not an address to listen on\. Write it as host:port"):
        job_of("web1", node_exporter_listen_address="9100")


# --- services ---


def test_service_defaults() -> None:
    assert services(web1=[{"name": "shop", "port": 8000}]) == [
        {
            "name": "shop",
            "kind": "service",
            "interval": "30s",
            "scheme": "http",
            "path": "/metrics",
            "auth": {},
            "objective": None,
            "targets": [{"targets": ["web1:8000"], "labels": {"instance": "web1"}}],
        }
    ]


def test_service_settings() -> None:
    stated = {
        "name": "shop",
        "port": "8443",
        "address": "fd00::9",
        "scheme": "https",
        "path": "/m",
        "health": "/ok",
        "interval": "10s",
        "labels": {"team": "a", "tier": 1},
        "auth": {"user": "u", "password": "p"},
    }
    (job,) = services(web1=[stated])
    assert job["targets"] == [{"targets": ["[fd00::9]:8443"], "labels": {"instance": "web1", "team": "a", "tier": "1"}}]
    assert {key: job[key] for key in ("interval", "scheme", "path")} == {
        "interval": "10s",
        "scheme": "https",
        "path": "/m",
    }


def test_one_job_over_several_hosts() -> None:
    """What may differ between hosts of one job becomes labels of the target."""
    (job,) = services(
        web1=[{"name": "shop", "port": 8000}],
        web2=[{"name": "shop", "port": 8001, "scheme": "https", "path": "/other"}],
    )
    assert (job["scheme"], job["path"]) == ("http", "/metrics")
    assert job["targets"] == [
        {"targets": ["web1:8000"], "labels": {"instance": "web1"}},
        {
            "targets": ["web2:8001"],
            "labels": {"instance": "web2", "__scheme__": "https", "__metrics_path__": "/other"},
        },
    ]


def test_two_of_one_kind_on_one_host_are_told_apart_by_a_label() -> None:
    (job,) = services(
        web1=[
            {"name": "shop", "port": 8000, "labels": {"shard": "a"}},
            {"name": "shop", "port": 8001, "labels": {"shard": "b"}},
        ]
    )
    assert [target["labels"]["shard"] for target in job["targets"]] == ["a", "b"]


@pytest.mark.parametrize("stated", [None, []])
def test_host_without_services(stated: t.Any) -> None:
    assert services(web1=stated) == []
    assert service_jobs(["web1"], {"web1": {}}) == []


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        pytest.param(["shop"], "web1: an entry is not a map with name and port", id="not a map"),
        pytest.param([{"name": "shop", "port": 1, "prot": 2}], "web1: unknown key prot. Known are .*scheme", id="key"),
        pytest.param([{"port": 80}], "web1: .* lacks name", id="no name"),
        pytest.param([{"name": "shop"}], "web1: .* lacks port", id="no port"),
        pytest.param([{}], "web1: .* lacks name and port", id="neither"),
        pytest.param([{"name": "my shop", "port": 80}], "web1: 'my shop' cannot be the name of a job", id="space"),
        pytest.param([{"name": "../etc", "port": 80}], "'../etc' cannot be the name of a job", id="path"),
        pytest.param([{"name": "", "port": 80}], "'' cannot be the name of a job", id="empty name"),
        pytest.param(
            [{"name": "node_exporter", "port": 80}], "node_exporter is the job of a component already", id="reserved"
        ),
        pytest.param([{"name": "probe", "port": 80}], "probe is the job of a component already", id="reserved: probes"),
        pytest.param([{"name": "shop", "port": 0}], "shop needs a port from 1 to 65535, not 0", id="port zero"),
        pytest.param([{"name": "shop", "port": 65536}], "port from 1 to 65535, not 65536", id="port too high"),
        pytest.param([{"name": "shop", "port": "http"}], "port from 1 to 65535, not 'http'", id="port by name"),
        pytest.param([{"name": "shop", "port": None}], "port from 1 to 65535, not None", id="port null"),
        pytest.param(
            [{"name": "shop", "port": 80}, {"name": "shop", "port": 81}],
            r"shop has two targets \(web1:80, web1:81\) with the same labels",
            id="twins",
        ),
        pytest.param(
            [{"name": "shop", "port": 80}, {"name": "shop", "port": 81, "path": "/other"}],
            "shop has two targets .* with the same labels",
            id="twins of another path",
        ),
        pytest.param(
            [{"name": "shop", "port": 80}, {"name": "shop", "port": 81, "interval": "5s"}],
            "web1: shop has another interval than an earlier entry in monitoring_services of web1",
            id="interval",
        ),
        pytest.param(
            [{"name": "shop", "port": 80, "auth": {"password": "a"}}, {"name": "shop", "port": 81}],
            "web1: shop has another auth than an earlier entry in monitoring_services of web1",
            id="auth",
        ),
    ],
)
def test_service_that_cannot_be_scraped(stated: list[t.Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        services(web1=stated)


def test_conflict_between_hosts_names_the_second() -> None:
    said = "monitoring_services of web2: shop has another interval than an earlier entry in monitoring_services of web1"
    with pytest.raises(AnsibleError, match=said):
        services(
            web1=[{"name": "shop", "port": 80}],
            web2=[{"name": "shop", "port": 80, "interval": "5s"}],
        )


# --- services of several lists ---


def lists(**stated: t.Any) -> list[dict[str, t.Any]]:
    """Jobs of one host with further lists of services, by what follows monitoring_services in their names."""
    return service_jobs(["web1"], {"web1": {f"monitoring_services{name}": entries for name, entries in stated.items()}})


def test_lists_of_one_host_add_up() -> None:
    cart, orders, api = ({"name": name, "port": port} for name, port in (("cart", 1), ("orders", 2), ("api", 3)))
    jobs = lists(_shop=[orders], _api=[api], **{"": [cart]})
    assert jobs == services(web1=[cart, api, orders])
    assert [job["name"] for job in jobs] == ["api", "cart", "orders"]


def test_one_job_out_of_two_lists() -> None:
    """The further list comes after, so the first says what its targets have by default."""
    stated = {
        "": [{"name": "shop", "port": 1, "labels": {"shard": "a"}}],
        "_more": [{"name": "shop", "port": 2, "path": "/other", "labels": {"shard": "b"}}],
    }
    (job,) = lists(**stated)
    assert (job["path"], [target["targets"] for target in job["targets"]]) == ("/metrics", [["web1:1"], ["web1:2"]])
    assert job["targets"][1]["labels"] == {"instance": "web1", "shard": "b", "__metrics_path__": "/other"}


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        pytest.param([{"name": "orders"}], "^monitoring_services_shop of web1: an entry .* lacks port", id="entry"),
        pytest.param({"name": "orders", "port": 1}, "^monitoring_services_shop of web1 is not a list", id="map"),
        pytest.param(
            [{"name": "cart", "port": 1, "interval": "5s"}],
            "^monitoring_services_shop of web1: cart has another interval than an earlier entry in "
            "monitoring_services of web1, ",
            id="interval",
        ),
        pytest.param(
            [{"name": "cart", "port": 2}],
            r"^monitoring_services of web1 and monitoring_services_shop of web1: cart has two targets "
            r"\(web1:1, web1:2\) with the same labels",
            id="twins",
        ),
    ],
)
def test_message_names_the_further_list(stated: t.Any, message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        lists(_shop=stated, **{"": [{"name": "cart", "port": 1}]})


# --- all of it ---

GROUPS = {"all": ["mon", "web2", "web1"], "prometheus": ["mon"], "node_exporter": ["web2", "web1"], "others": ["mon"]}
HOSTVARS: dict[str, dict[str, t.Any]] = {
    "mon": {},
    "web1": {"monitoring_services": [{"name": "b", "port": 1}, {"name": "a", "port": 2, "auth": {"password": "p"}}]},
    "web2": {"monitoring_services": [{"name": "b", "port": 1}]},
}


def test_jobs_are_ordered_and_the_inventory_is_left_alone() -> None:
    before = copy.deepcopy(HOSTVARS)
    jobs = scrape_jobs(GROUPS, HOSTVARS)
    assert [job["name"] for job in jobs] == ["prometheus", "node_exporter", "a", "b"]
    assert [target["targets"][0] for target in jobs[3]["targets"]] == ["web2:1", "web1:1"]  # the inventory's order
    assert jobs == scrape_jobs(dict(reversed(list(GROUPS.items()))), dict(reversed(list(HOSTVARS.items()))))
    assert before == HOSTVARS


def test_group_without_hosts_has_no_job() -> None:
    assert scrape_jobs({"all": [], "prometheus": []}, {}) == []


def test_target_files_and_passwords() -> None:
    jobs = scrape_jobs(GROUPS, HOSTVARS)
    files = file_sd(jobs)
    assert sorted(files) == ["a.yml", "b.yml", "node_exporter.yml", "prometheus.yml"]
    assert files["a.yml"] == [{"targets": ["web1:2"], "labels": {"instance": "web1"}}]
    assert service_passwords(jobs) == {"service_a_password": "p"}


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, None),
        ({"grafana_root_url": "https://example.com/grafana/"}, "/grafana/metrics"),
        ({"grafana_root_url": "https://example.com/grafana/", "grafana_serve_from_sub_path": False}, None),
    ],
)
def test_grafana_behind_a_path(settings: dict[str, t.Any], path: str | None) -> None:
    """Where it does not serve the path itself, a proxy takes it away, and a scrape goes past the proxy."""
    (job,) = scrape_jobs({"all": ["mon"], "grafana": ["mon"]}, {"mon": settings})
    (target,) = job["targets"]
    assert (job["kind"], target["targets"]) == ("exporter", ["mon:3000"])
    assert target["labels"].get("__metrics_path__") == path


# --- addresses ---


@pytest.mark.parametrize(
    ("listen", "split", "own"),
    [
        ("0.0.0.0:9090", ("0.0.0.0", 9090), "127.0.0.1:9090"),
        (":9090", ("", 9090), "127.0.0.1:9090"),
        ("10.0.0.1:9090", ("10.0.0.1", 9090), "10.0.0.1:9090"),
        ("[::]:9090", ("::", 9090), "[::1]:9090"),
        ("[fd00::1]:9090", ("fd00::1", 9090), "[fd00::1]:9090"),
        ("localhost:9090", ("localhost", 9090), "localhost:9090"),
    ],
)
def test_listen_address(listen: str, split: tuple[str, int], own: str) -> None:
    assert split_address(listen) == split
    assert own_address(listen) == own


@pytest.mark.parametrize("listen", ["", "9090", "localhost", "localhost:", "localhost:http", "localhost:99999", "::1"])
def test_no_listen_address(listen: str) -> None:
    with pytest.raises(AnsibleError, match="is not an address to listen on"):
        split_address(listen)


# --- servers behind a path, alerts, clusters ---


@pytest.mark.parametrize(
    ("external_url", "flags", "prefix"),
    [
        ("", {}, ""),
        ("https://example.com", {}, ""),
        ("https://example.com/prometheus/", {}, "/prometheus"),
        ("https://example.com/prometheus", {"web.route-prefix": "/"}, ""),
        ("https://example.com/a", {"--web.route-prefix": "/b"}, "/b"),
        (None, None, ""),
    ],
)
def test_route_prefix(external_url: str | None, flags: dict[str, str] | None, prefix: str) -> None:
    assert route_prefix(external_url, flags) == prefix


def test_each_server_has_its_own_prefix() -> None:
    hostvars = {"a": {"prometheus_external_url": "https://example.com/one"}, "b": {}}
    (one, two) = component_targets("prometheus", ["a", "b"], hostvars)
    assert one["labels"] == {"instance": "a", "__metrics_path__": "/one/metrics"}
    assert two["labels"] == {"instance": "b"}


def test_alerts_go_to_the_scraped_alertmanagers() -> None:
    hostvars = {
        "a": {"alertmanager_external_url": "https://example.com/alerts", "monitoring_tls": "own"},
        "b": {"alertmanager_listen_address": "0.0.0.0:9999"},
    }
    assert alert_targets(scrape_jobs({"alertmanager": ["a", "b"], "all": ["a", "b"]}, hostvars)) == [
        {
            "targets": ["a:9093"],
            "labels": {"instance": "a", "__scheme__": "https", "__alerts_path__": "/alerts/api/v2/alerts"},
        },
        {"targets": ["b:9999"], "labels": {"instance": "b", "__alerts_path__": "/api/v2/alerts"}},
    ]
    assert alert_targets(scrape_jobs({"prometheus": ["a"], "all": ["a"]}, {"a": {}})) == []


def test_members_of_a_cluster() -> None:
    hostvars = {
        "a": {},
        "b": {"monitoring_address": "fd00::b", "alertmanager_cluster_listen_address": "0.0.0.0:7000"},
        "c": {"alertmanager_state": "absent"},
    }
    groups = {"alertmanager": ["a", "b", "c"]}
    assert members("alertmanager", "cluster_listen_address", groups, hostvars, but="a") == ["[fd00::b]:7000"]
    assert members("alertmanager", "listen_address", groups, hostvars) == ["a:9093", "[fd00::b]:9093"]
    assert members("alertmanager", "listen_address", {}, hostvars) == []


@pytest.mark.parametrize(("option", "port"), [("memberlist_listen_address", 7946), ("grpc_listen_address", 9096)])
def test_members_whose_default_address_is_a_template(option: str, port: int) -> None:
    hostvars = {"a": {}, "b": {"monitoring_address": "10.0.0.2"}, "c": {f"loki_{option}": "[fd00::c]:7000"}}
    groups = {"loki": ["a", "b", "c"]}
    assert members("loki", option, groups, hostvars, but="a") == [f"10.0.0.2:{port}", "c:7000"]


def test_a_stated_address_of_a_member_has_a_port() -> None:
    with pytest.raises(AnsibleError, match="is not an address to listen on"):
        members("loki", "memberlist_listen_address", {"loki": ["a"]}, {"a": {"loki_memberlist_listen_address": "a"}})


@pytest.mark.parametrize("objective", [0, 100, -1, "99.9", True])
def test_an_objective_is_a_percentage(objective: t.Any) -> None:
    with pytest.raises(AnsibleError, match="has the objective"):
        services(web1=[{"name": "shop", "port": 8000, "objective": objective}])


def test_an_error_tells_no_password() -> None:
    with pytest.raises(AnsibleError, match="an entry with name, auth lacks port") as error:
        services(web1=[{"name": "shop", "auth": {"password": "hunter2"}}])
    assert "hunter2" not in str(error.value)
