# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""grafana.ini and datasources, with no secret in either."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.grafana import (
    INI_HEADER,
    LONGEST_UID,
    build_datasources,
    build_files,
    build_ini,
    escaped,
    grafana_url,
    servers,
    uid_of,
)

FOLDER = "/etc/grafana/secrets"


def ini(**settings: t.Any) -> str:
    return build_ini(settings, FOLDER)["text"].removeprefix(INI_HEADER)


def test_files_and_their_secrets() -> None:
    day = datetime.date(2026, 1, 2)  # as YAML reads one without quotes
    source = {"name": "Mine", "type": "x", "jsonData": {"since": day}, "secureJsonData": {"token": "t0p"}}
    made = build_datasources({}, {}, "monitoring", False, [source], FOLDER)
    ini_file, sources, secrets = build_files({"smtp": {"password": "s3cret"}}, made, FOLDER)
    assert (ini_file["path"], sources["path"]) == ("grafana.ini", "provisioning/datasources/opswatch.yml")
    assert json.loads(sources["content"])["datasources"][0]["jsonData"] == {"since": "2026-01-02"}
    assert secrets["place"] == "secret"
    assert sorted(secrets["contents"].values()) == ["s3cret", "t0p"]
    for name in secrets["contents"]:
        assert f"$__file{{{FOLDER}/{name}}}" in ini_file["content"] + sources["content"]


# --- grafana.ini ---


def test_sections_and_what_stands_before_them() -> None:
    made = ini(server={"http_port": 3000, "root_url": None}, app_mode="production", news={"enabled": False}, empty={})
    assert made == "\napp_mode = production\n\n[server]\nhttp_port = 3000\n\n[news]\nenabled = false\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1.5, "1.5"),
        ("", ""),
        ("a b", "a b"),
        ("%(protocol)s://x", "%(protocol)s://x"),
        (["a", "b"], "a,b"),
        ("$__file{/x}", "$__file{/x}"),
        # What would end as a comment, go on in the next line, or lose its quotes or its spaces.
        ("a#b", '"""a#b"""'),
        ("a;b", '"""a;b"""'),
        ("a`b", '"""a`b"""'),
        ("'a'", '"""\'a\'"""'),
        (" a", '""" a"""'),
        ("a\\", '"""a\\"""'),
        ("a\nb", '"""a\nb"""'),
    ],
)
def test_values(value: t.Any, text: str) -> None:
    assert ini(x={"key": value}) == f"\n[x]\nkey = {text}\n"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"x": {"key": {"deeper": 1}}}, "key is a dict"),
        ({"x": {"key": 'a#"""b'}}, 'holds quotes (""")'),
        ({"x": {"key": '#"'}}, 'holds quotes (""")'),
        ({"x]\n[y": {"key": 1}}, "cannot be the name"),
        ({"x": {"key = 1\nother": 1}}, "cannot be the name"),
    ],
)
def test_what_no_ini_can_hold(settings: dict[str, t.Any], named: str) -> None:
    with pytest.raises(AnsibleError) as refused:
        build_ini(settings, FOLDER)
    assert named in str(refused.value)


def test_secrets_go_into_files_of_their_own() -> None:
    settings = {
        "smtp": {"host": "mail:25", "password": "hunter2"},
        "auth.github": {"client_secret": "s3#cret", "client_id": "me"},
        "database": {"url": "postgres://grafana:pw@db/grafana", "password": ""},
        "security": {"admin_password": "$__file{/x}", "disable_brute_force_login_protection": False},
    }
    made = build_ini(settings, FOLDER)
    assert made["secrets"] == {
        "config.smtp.password": "hunter2",
        "config.auth_github.client_secret": "s3#cret",
        "config.database.url": "postgres://grafana:pw@db/grafana",
    }
    assert f"password = $__file{{{FOLDER}/config.smtp.password}}" in made["text"]
    assert "client_id = me\n" in made["text"]
    assert "admin_password = $__file{/x}\n" in made["text"]
    assert "\npassword = \n" in made["text"]
    for secret in made["secrets"].values():
        assert secret not in made["text"]


# --- datasources ---

HOSTVARS: dict[str, dict[str, t.Any]] = {
    "mon1": {"ansible_host": "10.0.0.1"},
    "mon2": {"monitoring_address": "mon2.example.com", "monitoring_tls": "selfsigned"},
    "agent": {"prometheus_agent": True},
}
ALL = {"prometheus": ["agent", "mon1", "mon2"], "alertmanager": ["mon1"], "loki": ["mon2"]}


def build(groups: dict[str, list[str]] | None = None, own: t.Any = (), ca: bool = True, **more: t.Any) -> t.Any:
    hostvars = {host: {**variables, **more} for host, variables in HOSTVARS.items()}
    return build_datasources(ALL if groups is None else groups, hostvars, "monitoring", ca, own, FOLDER)


def listed(made: t.Any) -> list[tuple[str, str, str]]:
    return [(one["name"], one["uid"], one["url"]) for one in made["file"]["datasources"]]


def test_servers_of_the_inventory() -> None:
    made = build()
    assert listed(made) == [
        ("Prometheus", "prometheus", "http://10.0.0.1:9090"),
        ("Prometheus mon2", "prometheus-mon2", "https://mon2.example.com:9090"),
        ("Alertmanager", "alertmanager", "http://10.0.0.1:9093"),
        ("Loki", "loki", "https://mon2.example.com:3100"),
    ]
    assert made["names"] == ["Prometheus", "Prometheus mon2", "Alertmanager", "Loki"]
    assert made["secrets"] == {}
    assert [one["uid"] for one in made["file"]["datasources"] if one["isDefault"]] == ["prometheus"]
    assert not any(one["editable"] for one in made["file"]["datasources"])


def test_what_is_behind_each_datasource() -> None:
    assert servers(ALL, HOSTVARS) == {
        "prometheus": "prometheus of mon1",
        "prometheus-mon2": "prometheus of mon2",
        "alertmanager": "alertmanager of mon1",
        "loki": "loki of mon2",
    }


def test_how_a_server_is_asked() -> None:
    first, second, alertmanager, loki = build()["file"]["datasources"]
    assert (first["basicAuth"], first["basicAuthUser"]) == (True, "monitoring")
    assert first["secureJsonData"] == {"basicAuthPassword": f"$__file{{{FOLDER}/datasource_password}}"}
    assert first["jsonData"]["timeInterval"] == "30s"
    assert second["jsonData"]["tlsAuthWithCACert"] is True
    assert second["secureJsonData"]["tlsCACert"] == f"$__file{{{FOLDER}/ca.crt}}"
    assert alertmanager["jsonData"]["implementation"] == "prometheus"
    assert "basicAuth" not in loki
    assert loki["jsonData"] == {"tlsAuth": True, "tlsAuthWithCACert": True}
    assert loki["secureJsonData"]["tlsClientKey"] == f"$__file{{{FOLDER}/tls.key}}"


def test_loki_on_the_loopback_is_asked_there() -> None:
    made = build_datasources({"loki": ["mon1"]}, {"mon1": {}}, "monitoring", False, (), FOLDER, host="mon1")
    assert listed(made) == [("Loki", "loki", "http://127.0.0.1:3100")]
    assert "secureJsonData" not in made["file"]["datasources"][0]


def test_without_an_authority_the_hosts_own_are_trusted() -> None:
    assert "tlsCACert" not in build(ca=False)["file"]["datasources"][1]["secureJsonData"]


def test_behind_a_path_and_absent() -> None:
    made = build({"prometheus": ["mon1"]}, prometheus_external_url="https://example.com/prom/")
    assert listed(made) == [("Prometheus", "prometheus", "http://10.0.0.1:9090/prom")]
    assert build({"prometheus": ["mon1"]}, prometheus_state="absent")["names"] == []
    assert build({})["file"] == {"apiVersion": 1, "prune": True, "datasources": []}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://10.0.0.1:3000"),
        ({"grafana_listen_address": "0.0.0.0:80"}, "http://10.0.0.1:80"),
        ({"monitoring_tls": "selfsigned"}, "https://10.0.0.1:3000"),
        ({"grafana_root_url": "https://example.com/grafana/"}, "https://example.com/grafana"),
        ({"grafana_listen_address": "127.0.0.1:3000"}, ""),
        (
            {"grafana_listen_address": "127.0.0.1:3000", "grafana_root_url": "https://example.com/grafana/"},
            "https://example.com/grafana",
        ),
        ({"grafana_state": "absent"}, ""),
    ],
)
def test_where_people_open_it(given: dict[str, t.Any], url: str) -> None:
    hostvars = {"mon1": {**HOSTVARS["mon1"], **given}, "mon2": HOSTVARS["mon2"]}
    assert grafana_url({"grafana": ["mon1"]}, hostvars) == url
    assert grafana_url({"grafana": ["mon1", "mon2"]}, hostvars) == (url or "https://mon2.example.com:3000")
    assert grafana_url({}, hostvars) == ""


def test_datasources_of_the_user() -> None:
    own = [
        {
            "name": "Shop DB",
            "type": "postgres",
            "isDefault": True,
            "secureJsonData": {"password": "pa$$word", "other": "$__file{/x}"},
        },
        {"name": "Old", "type": "influxdb", "uid": "old", "basicAuthPassword": "hunter2", "orgId": 2},
    ]
    made = build({"prometheus": ["mon1"]}, own)
    ours, shop, old = made["file"]["datasources"]
    assert ours["isDefault"] is False
    assert (shop["uid"], shop["access"], shop["editable"]) == ("shop-db", "proxy", False)
    assert shop["secureJsonData"] == {
        "password": f"$__file{{{FOLDER}/datasource.shop-db.password}}",
        "other": "$__file{/x}",
    }
    assert old["basicAuthPassword"] == f"$__file{{{FOLDER}/datasource.old.basicAuthPassword}}"
    assert made["secrets"] == {
        "datasource.shop-db.password": escaped("pa$$word"),
        "datasource.old.basicAuthPassword": "hunter2",
    }
    assert made["names"] == ["Prometheus", "Shop DB"]  # those of other organisations are not looked at
    assert own[0]["secureJsonData"] == {"password": "pa$$word", "other": "$__file{/x}"}


def test_a_dollar_sign_goes_through_the_environment() -> None:
    """Grafana replaces variables in what it read from the file; this one is a dollar sign."""
    assert escaped("a$b$") == "a${OPSWATCH_DOLLAR}b${OPSWATCH_DOLLAR}"


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"name": "x"}, "no map with name and type"),
        ({"name": "x", "type": "loki", "uid": "a b"}, "has the UID 'a b'"),
        ({"name": "x", "type": "loki", "uid": "u" * 41}, "at most 40"),
        ({"name": "Prometheus", "type": "prometheus", "uid": "mine"}, "the same name, 'Prometheus'"),
        ({"name": "Mine", "type": "prometheus", "uid": "prometheus"}, "the same uid, 'prometheus'"),
    ],
)
def test_refused_entries(entry: dict[str, t.Any], named: str) -> None:
    with pytest.raises(AnsibleError) as refused:
        build(own=[entry])
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("text", "uid"),
    [("prometheus-mon1.example.com", "prometheus-mon1-example-com"), ("Shop DB!", "Shop-DB"), ("a" * 40, "a" * 40)],
)
def test_uid(text: str, uid: str) -> None:
    assert uid_of(text) == uid


def test_long_uids_stay_apart() -> None:
    one, other = (uid_of(f"prometheus-{'x' * 60}{end}") for end in "12")
    assert one != other
    assert len(one) == len(other) == LONGEST_UID
    assert uid_of("§§")
