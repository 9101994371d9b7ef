# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL databases: connections, passwords, scrape targets."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.databases import DEFAULTS, SSL_MODES, connections
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import component_job

ROLE = Path(__file__).resolve().parents[4] / "roles" / "postgres_exporter"
REMOTE = {"host": "db2", "database": "crm", "user": "watcher", "password": "p"}


def test_documented_as_it_is_checked() -> None:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    documented = specs["postgres_exporter_databases"]["options"]
    assert {name: option["default"] for name, option in documented.items()} == DEFAULTS
    assert documented["sslmode"]["choices"] == list(SSL_MODES)


# --- connections ---


@pytest.mark.parametrize(
    ("database", "url"),
    [
        pytest.param({}, "postgresql://postgres_exporter@:5432/postgres?host=/run/postgresql", id="defaults"),
        pytest.param(
            {"database": "shop", "host": None, "port": "5433"},
            "postgresql://postgres_exporter@:5433/shop?host=/run/postgresql",
            id="null is not set",
        ),
        pytest.param(REMOTE, "postgresql://watcher@db2:5432/crm", id="TCP, without its password"),
        pytest.param(
            {**REMOTE, "sslmode": "verify-full", "sslrootcert": "/etc/ssl/db.pem"},
            "postgresql://watcher@db2:5432/crm?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem",
            id="TLS",
        ),
        pytest.param({"host": "fd00::1"}, "postgresql://postgres_exporter@[fd00::1]:5432/postgres", id="IPv6"),
        pytest.param(
            {"host": "db2", "database": "a/b?c", "user": "u@x:y"},
            "postgresql://u%40x%3Ay@db2:5432/a%2Fb%3Fc",
            id="characters that a URL gives a meaning",
        ),
    ],
)
def test_url(database: dict[str, t.Any], url: str) -> None:
    assert connections([database])["url"] == url


def test_url_is_that_of_the_first() -> None:
    assert connections([{"database": "a"}, {"database": "b"}])["url"].endswith("/a?host=/run/postgresql")


def test_pgpass_binds_each_password_to_its_server() -> None:
    odd = {"host": "fd00::1", "port": 5433, "database": "b", "user": "u", "password": "a:b\\c"}
    assert connections([{}, REMOTE, odd])["pgpass"] == (
        "db2:5432:crm:watcher:p\n" + r"fd00\:\:1:5433:b:u:a\:b\\c" + "\n"
    )
    assert connections([{}])["pgpass"] == ""


def test_managed_is_what_the_sockets_lead_to() -> None:
    databases = [
        {},
        REMOTE,
        {"database": "shop"},
        {"port": 5433},
        {"database": "mapped", "user": "other"},
        {"host": "localhost"},
    ]
    assert connections(databases)["managed"] == [
        {"host": "/run/postgresql", "port": 5432, "databases": ["postgres", "shop"]},
        {"host": "/run/postgresql", "port": 5433, "databases": ["postgres"]},
    ]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        pytest.param([], "this is no list of databases", id="empty"),
        pytest.param("a secret-1", "this is no list", id="text"),
        pytest.param([{}, "postgresql://u:secret-1@db2"], "entry 2 is no map", id="address"),
        pytest.param([{"databse": "shop"}], "unknown key databse", id="unknown key"),
        pytest.param([{"port": 0}], "postgres has the port 0", id="port"),
        pytest.param([{"port": "high"}], "postgres has the port 'high'", id="port by name"),
        pytest.param([{"host": "a", "sslmode": "prefer"}], "the sslmode 'prefer'", id="sslmode"),
        pytest.param([{"password": "secret-1"}], "postgres has a password and the socket folder", id="socket"),
        pytest.param([{}, {"user": "x"}], "postgres on /run/postgresql is there twice", id="twice"),
        pytest.param([{**REMOTE, "password": "secret-1\nb"}], "password of crm has a line break", id="line break"),
    ],
)
def test_refused(stated: t.Any, message: str) -> None:
    with pytest.raises(AnsibleError, match=re.escape(message)) as refused:
        connections(stated)
    assert "What to do: " in str(refused.value)
    assert "secret-1" not in str(refused.value)


# --- scrape targets ---


def labels(**hosts: t.Any) -> list[dict[str, str]]:
    """Labels of all targets of these hosts; every one of them is an exporter's own address."""
    hostvars = {host: {"postgres_exporter_databases": stated} if stated else {} for host, stated in hosts.items()}
    targets = component_job("postgres_exporter", list(hosts), hostvars)["targets"]
    assert {target["targets"][0] for target in targets} == {f"{host}:9187" for host in hosts}
    return [target["labels"] for target in targets]


@pytest.mark.parametrize("stated", [None, [{"database": "shop"}], [REMOTE]])
def test_one_database_is_the_exporter_itself(stated: t.Any) -> None:
    assert labels(app1=stated) == [{"instance": "app1"}]


def test_further_databases_are_probed() -> None:
    assert labels(app1=[{"database": "shop"}, {"database": "stock"}]) == [
        {"instance": "app1"},
        {
            "instance": "app1",
            "database": "stock",
            "__metrics_path__": "/probe",
            "__param_target": "postgresql://postgres_exporter@:5432/stock?host=/run/postgresql",
        },
    ]


def test_another_server_is_an_instance_of_its_own() -> None:
    """It has a first database too, which tells about the whole server."""
    seen = [(one["instance"], one.get("database")) for one in labels(app1=[{}, REMOTE, {**REMOTE, "database": "mail"}])]
    assert seen == [("app1", None), ("db2:5432", None), ("db2:5432", "mail")]


def test_no_password_in_targets() -> None:
    assert "secret-1" not in str(labels(app1=[{}, {**REMOTE, "password": "secret-1"}]))


def test_probes_are_under_tls_as_the_exporter_is() -> None:
    hostvars = {"app1": {"monitoring_tls": "own", "postgres_exporter_databases": [{}, {"database": "shop"}]}}
    targets = component_job("postgres_exporter", ["app1"], hostvars)["targets"]
    assert [target["labels"]["__scheme__"] for target in targets] == ["https", "https"]


def test_same_names_on_several_hosts() -> None:
    assert len(labels(app1=[{}, {"database": "shop"}], app2=[{}, {"database": "shop"}])) == 4


def test_a_database_watched_by_two_exporters_is_refused() -> None:
    with pytest.raises(AnsibleError, match="db2:5432 is watched by two exporters, app1:9187 and app2:9187"):
        labels(app1=[{}, REMOTE], app2=[{}, REMOTE])
