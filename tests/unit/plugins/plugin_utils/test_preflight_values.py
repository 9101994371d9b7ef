# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import os
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_values as checks
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.addresses import Listener, split_address
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.authority import certificate
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.role_facts import options, routines, typed
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import SecretsDir

OPTIONS = {
    name: option
    for role in ("monitoring", "postgres_exporter", "blackbox_exporter")
    for name, option in typed(role, ["monitoring_services_shop"]).items()
}


def texts(problems: t.Iterable[t.Any]) -> list[str]:
    return [f"{problem.what} | {problem.seen} | {problem.remedy}" for problem in problems]


# --- types ---


@pytest.mark.parametrize(
    ("role", "values", "named"),
    [
        ("prometheus", {"prometheus_generations": "many"}, ["prometheus_generations", "int"]),
        ("prometheus", {"prometheus_state": "running"}, ["prometheus_state", "present, absent"]),
        ("prometheus", {"prometheus_rule_files": {"a": 1}}, ["prometheus_rule_files", "list"]),
        ("prometheus", {"prometheus_agent": "perhaps"}, ["prometheus_agent", "bool"]),
        ("prometheus", {"prometheus_flags": [1]}, ["prometheus_flags", "dict"]),
        ("prometheus", {"prometheus_scrape_configs": ["a"]}, ["prometheus_scrape_configs", "dict"]),
        ("monitoring", {"monitoring_tls": "sure"}, ["monitoring_tls", "off, own, selfsigned"]),
        ("monitoring", {"monitoring_services": "shop"}, ["monitoring_services", "list"]),
        ("monitoring", {"monitoring_services": ["shop"]}, ["monitoring_services, entry 1, has to be a dict", "a text"]),
        # Ansible would make a list, a map or a text of these for a module; a role gets them as they are.
        ("prometheus", {"prometheus_muted_alerts": "HighCPU"}, ["prometheus_muted_alerts has to be a list", "a text"]),
        ("prometheus", {"prometheus_muted_alerts": [["a"]]}, ["prometheus_muted_alerts, entry 1, has to be a text"]),
        ("prometheus", {"prometheus_flags": "--x=1"}, ["prometheus_flags has to be a dict", "a text"]),
        ("prometheus", {"prometheus_config": None}, ["prometheus_config has to be a dict, and is empty"]),
        ("prometheus", {"prometheus_limits": 5}, ["prometheus_limits has to be a dict, and is a value of type int"]),
        ("prometheus", {"prometheus_limits": {7: 1}}, ["prometheus_limits has a key that is no text"]),
        ("prometheus", {"prometheus_external_url": ["a"]}, ["prometheus_external_url has to be a text, and is a list"]),
        (
            "monitoring",
            {"monitoring_services_shop": {"name": "a", "port": 1}},
            ["monitoring_services_shop has", "list"],
        ),
        ("monitoring", {"monitoring_services_shop": 7}, ["monitoring_services_shop", "list"]),
    ],
)
def test_wrong_type_or_choice(role: str, values: dict[str, t.Any], named: list[str]) -> None:
    (problem,) = checks.spec_problems(role, typed(role, values), values)
    for word in named:
        assert word in problem.what
    assert f"opswatch.monitoring.{role}" in problem.remedy


def test_all_wrong_values_at_once() -> None:
    values = {"prometheus_generations": "many", "prometheus_state": "running", "prometheus_ready_timeout": "long"}
    assert len(checks.spec_problems("prometheus", options("prometheus"), values)) == 3


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"prometheus_version": 3.5, "prometheus_generations": "3", "prometheus_agent": "yes"},
        {
            "prometheus_rule_files": ["one.yml", "two.yml"],
            "prometheus_limits": {},
            "prometheus_config": {},
            "prometheus_retention_size": None,
        },
    ],
)
def test_right_values(values: dict[str, t.Any]) -> None:
    assert checks.spec_problems("prometheus", options("prometheus"), values) == []


@pytest.mark.parametrize("role", routines())
def test_routines_take_a_text_for_a_list(role: str) -> None:
    """As it is given on the command line, with commas."""
    lists = [name for name, option in options(role).items() if option.get("type") == "list"]
    for name in lists:
        known = {name: options(role)[name]}
        assert checks.spec_problems(role, known, {name: "prometheus,loki"}) == []
        assert checks.spec_problems(role, known, {name: {"a": 1}}) != []


def test_only_what_is_wrong_is_left_out_afterwards() -> None:
    given = {"prometheus_flags": "--x=1", "prometheus_generations": "many", "prometheus_agent": "yes"}
    assert checks.wrong_names(options("prometheus"), given) == ["prometheus_flags", "prometheus_generations"]
    assert checks.wrong_names(options("prometheus"), {"prometheus_agent": "yes"}) == []


def test_missing_variable_that_a_role_requires() -> None:
    spec = {"app_source": {"type": "str", "required": True}}
    (problem,) = checks.spec_problems("app", spec, {})
    assert problem.what == "missing required arguments: app_source"


def test_secret_is_not_said() -> None:
    spec = {"app_password": {"type": "int", "no_log": True}}
    (problem,) = checks.spec_problems("app", spec, {"app_password": "hunter2"})
    assert "app_password" in problem.what
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("version", "right"),
    [
        ("3.5.3", True),
        ("3.5", True),
        ("0.19.1", True),
        ("3.0.0-rc.1", True),
        ("9.3.2-pre", True),
        ("3.0.0~rc1", True),
        ("latest", False),
        ("v3.5.3", False),
        ("3", False),
        ("", False),
        ("3.5.3/../x", False),
        ("3.5.x", False),
        ("3.5.3 ", False),
    ],
)
def test_version(version: str, right: bool) -> None:
    assert (checks.version_problems("prometheus", version) == []) is right
    assert checks.is_version(version) is right


def test_version_with_a_v() -> None:
    (problem,) = checks.version_problems("prometheus", "v3.5.3")
    assert problem.remedy == "set prometheus_version to 3.5.3: a v is not part of it"


def test_version_before_the_first_that_a_role_knows() -> None:
    (problem,) = checks.version_problems("grafana", "9.2.1")
    assert problem.what == "grafana_version: Nothing is known of version 9.2.1: 9.3 is the first one"
    assert problem.remedy == "choose a later version"
    assert checks.version_problems("grafana", "13.0.1+security-01") == []


# --- lists of entries ---


def entries(name: str, *stated: t.Any) -> tuple[list[str], list[t.Any]]:
    problems, right = checks.checked_entries("app1", OPTIONS, {name: list(stated), "other": 1})
    assert right["other"] == 1
    return texts(problems), right[name]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "shop"}, ["entry 1 (shop): missing required arguments: port"]),
        ({"name": "shop", "port": 1, "prot": 2}, ["entry 1 (shop): unknown: prot. Supported parameters"]),
        ({"name": "shop", "port": "x"}, ["entry 1 (shop): argument 'port' is of type str"]),
        ({"port": 1, "scheme": "ftp"}, ["entry 1: missing required arguments: name", "scheme must be one of: http"]),
        (
            {"name": "shop", "port": 1, "auth": {"pasword": "hunter2"}},
            ["missing required arguments: password", "auth.pasword"],
        ),
        ({"name": "shop", "port": 0}, ["needs a port from 1 to 65535, not 0"]),
        ({"name": "no name", "port": 1}, ["cannot be the name of a job"]),
        ({"name": "node_exporter", "port": 1}, ["is the job of a component already"]),
        ({"name": "shop", "port": 1}, []),
        ("shop", []),  # the type of the list says so
    ],
)
def test_service(entry: t.Any, said: list[str]) -> None:
    found, right = entries("monitoring_services", entry)
    assert len(found) == len(said), found
    assert right == ([entry] if entry != "shop" and not said else [])
    for text, words in zip(
        sorted(found), sorted(said, key=lambda words: next(i for i in sorted(found) if words in i)), strict=True
    ):
        assert words in text
        assert "monitoring_services of app1" in text
        assert "hunter2" not in text


def test_every_entry_is_checked() -> None:
    found, right = entries("monitoring_services", {"name": "a"}, {"name": "b", "port": 1}, {"name": "c", "port": 0})
    assert ["(a)" in found[0], "c needs a port" in found[1], len(found)] == [True, True, 2]
    assert right == [{"name": "b", "port": 1}]


def test_entry_of_a_further_list() -> None:
    found, right = entries("monitoring_services_shop", {"name": "orders"}, service("cart"), service("api", 0))
    assert [text.split(" | ")[0] for text in found] == [
        "monitoring_services_shop of app1, entry 1 (orders): missing required arguments: port",
        "monitoring_services_shop of app1: api needs a port from 1 to 65535, not 0",
    ]
    assert right == [service("cart")]


REMOTE = {"host": "db2", "database": "crm", "password": "hunter2"}


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ([{}, {"database": "shop"}, REMOTE], []),
        ([{"database": "a", "prot": 1}], ["postgres_exporter_databases of app1, entry 1 (a): unknown: prot"]),
        ([{"sslmode": "prefer"}], ["entry 1: value of sslmode must be one of"]),
        (
            [{"port": 0}, {**REMOTE, "host": "/run"}, {}],
            ["postgres has the port 0", "crm has a password and the socket"],
        ),
        ([{}, {"user": "x"}, REMOTE], ["postgres on /run/postgresql is there twice"]),
        ([], ["state at least one"]),
    ],
)
def test_databases(stated: list[t.Any], said: list[str]) -> None:
    found, right = entries("postgres_exporter_databases", *stated)
    assert len(found) == len(said), found
    assert all(words in text for words, text in zip(said, found, strict=True)), found
    assert "hunter2" not in str(found)
    assert bool(right) == (not said or "port 0" in said[0])


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ([{"name": "a", "target": "b"}], []),
        (
            [{"name": "a"}, {"name": "b", "target": ""}],
            ["entry 1 (a): missing required arguments: target", "lacks target"],
        ),
        ([{"name": "a", "target": "b"}] * 2, ["blackbox_exporter_targets of app1: a is there twice"]),
        ([], []),
    ],
)
def test_probe_targets(stated: list[t.Any], said: list[str]) -> None:
    found, _right = entries("blackbox_exporter_targets", *stated)
    assert len(found) == len(said), found
    assert all(words in text for words, text in zip(said, found, strict=True)), found


def test_lists_of_other_roles_are_left_alone() -> None:
    values = {"postgres_exporter_databases": "no list", "blackbox_exporter_targets": "no list"}
    assert checks.checked_entries("app1", options("monitoring"), values) == ([], values)
    assert checks.checked_entries("app1", OPTIONS, values) == ([], {name: [] for name in values})


def test_a_database_of_two_exporters() -> None:
    """A host of which something else is wrong is left out."""
    settings = {
        "a": {"postgres_exporter_databases": [{}, REMOTE]},
        "b": {"postgres_exporter_databases": [{}, REMOTE]},
        "c": {"postgres_exporter_databases": [{}, REMOTE], "postgres_exporter_listen_address": "nine"},
    }
    (found,) = texts(checks.database_twins(settings, settings))
    assert "db2:5432 is watched by two exporters, a:9187 and b:9187" in found
    assert checks.database_twins(["a", "c"], settings) == []


def service(name: str, port: int = 1, **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "port": port, **more}


def test_jobs_of_the_whole_inventory() -> None:
    settings = {
        "a": {"monitoring_services": [service("x"), service("y"), service("z"), {"name": "broken"}]},
        "b": {"monitoring_services": [service("x", interval="5s"), service("y", auth={"password": "hunter2"})]},
        "c": {"monitoring_services": [service("z"), service("z", 2)]},
        "d": {},
    }
    found = texts(checks.jobs_problems(settings))
    assert len(found) == 3
    assert "of b: x has another interval than an earlier entry in monitoring_services of a" in found[0]
    assert "of b: y has another auth than an earlier entry in monitoring_services of a" in found[1]
    assert "z has two targets (c:1, c:2) with the same labels" in found[2]
    assert "hunter2" not in str(found)


def test_jobs_of_several_lists() -> None:
    """Each job is looked at by itself, so that one which is wrong does not hide another."""
    settings = {
        "a": {
            "monitoring_address": "10.0.0.1",
            "monitoring_services": [service("x"), service("y")],
            "monitoring_services_more": [service("x", 2), service("z")],
            "monitoring_services_shop": "no list",
        },
        "b": {"monitoring_services_shop": [service("y"), service("z", interval="5s")]},
    }
    twins, interval = texts(checks.jobs_problems(settings))
    assert twins.startswith(
        "monitoring_services of a and monitoring_services_more of a: x has two targets (10.0.0.1:1, 10.0.0.1:2) with"
    )
    assert interval.startswith(
        "monitoring_services_shop of b: z has another interval than an earlier entry in monitoring_services_more of a"
    )


@pytest.mark.parametrize(("address", "count"), [("0.0.0.0:9100", 0), ("nine", 1)])
def test_targets_of_other_hosts(address: str, count: int) -> None:
    found = texts(checks.target_problems("node_exporter", "app1", {"node_exporter_listen_address": address}))
    assert len(found) == count
    assert all("node_exporter of app1: 'nine' is not an address" in text for text in found)


# --- ports ---


def listener(owner: str, address: str) -> Listener:
    return Listener(owner, *split_address(address))


@pytest.mark.parametrize(
    ("addresses", "clashes"),
    [
        (["0.0.0.0:9090", "0.0.0.0:9100"], 0),
        (["0.0.0.0:9090", "0.0.0.0:9090"], 1),
        (["0.0.0.0:9090", "127.0.0.1:9090"], 1),
        (["10.0.0.1:9090", ":9090"], 1),
        (["10.0.0.1:9090", "127.0.0.1:9090"], 0),
        (["127.0.0.1:9090", "127.0.0.1:9090"], 1),
        ([":9090", ":9090", ":9090"], 3),
        (["[::]:9090", "127.0.0.1:9090"], 1),
        (["0.0.0.0:9090", "[::1]:9090"], 0),
    ],
)
def test_ports(addresses: list[str], clashes: int) -> None:
    wanted = [listener(f"app{number}", address) for number, address in enumerate(addresses)]
    assert len(checks.port_problems(wanted)) == clashes


def test_port_problem_names_both() -> None:
    (problem,) = checks.port_problems([listener("a_listen_address", "0.0.0.0:80"), listener("shop", ":80")])
    assert problem.what == "port 80 is wanted twice on this host"
    assert problem.seen == "a_listen_address 0.0.0.0:80 and shop"


def test_every_address_of_a_component() -> None:
    values = {
        "alertmanager_listen_address": "0.0.0.0:9093",
        "alertmanager_cluster_listen_address": "0.0.0.0:9094",
        "alertmanager_grpc_listen_address": "",
        "alertmanager_wrong_listen_address": "nine",
        "prometheus_listen_address": "0.0.0.0:9090",
    }
    found, problems = checks.listeners("alertmanager", values, alone=False)
    assert [one.port for one in found] == [9093, 9094]
    (text,) = texts(problems)
    assert [one.port for one in checks.listeners("alertmanager", values, alone=True)[0]] == [9093]
    assert "alertmanager_wrong_listen_address: 'nine' is not an address to listen on" in text


@pytest.mark.parametrize(
    ("services", "ports"),
    [
        ([service("a", 80)], [80]),
        ([service("a", 80), service("a-jvm", 80, path="/jvm")], [80]),
        ([service("a", 80, address="10.0.0.1")], [80]),
        ([service("a", 80, address="10.9.9.9")], []),  # on another machine
        ([{"name": "broken"}], []),
        ("nonsense", []),
        (None, []),
    ],
)
def test_ports_of_services(services: t.Any, ports: list[int]) -> None:
    values = {"monitoring_address": "10.0.0.1", "monitoring_services": services}
    assert [one.port for one in checks.service_listeners("app1", values)] == ports


def test_ports_of_services_in_further_lists() -> None:
    """One port of two entries may be one program; whose it is, the first list says."""
    values = {
        "monitoring_services": [service("a", 80)],
        "monitoring_services_shop": [service("b", 81), service("c", 80)],
    }
    owners = [one.owner for one in checks.service_listeners("app1", values)]
    assert owners == ["monitoring_services (a)", "monitoring_services_shop (b)"]


# --- files ---


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("one.yml", "a/one.yml"):
        (tmp_path / name).touch()

    def find(path: str) -> str:
        if not (tmp_path / path).exists():
            raise AnsibleError("missing")
        return str(tmp_path / path)

    assert checks.file_problems("x_files", ["one.yml"], find) == []
    found = texts(checks.file_problems("x_files", ["no.yml", "a", "one.yml", "a/one.yml"], find))
    assert len(found) == 3
    assert "x_files names a file that is not there | no.yml" in found[0]
    assert "x_files names something that is no file" in found[1]
    assert "x_files has several files of one name | one.yml" in found[2]


@pytest.fixture
def pems(tmp_path: Path) -> dict[str, str]:
    """Two hosts' certificates and keys, and a file that is neither."""
    folder = SecretsDir(str(tmp_path / "secrets"))
    paths = {"junk": tmp_path / "junk"}
    paths["junk"].write_text("junk")
    for host in ("a", "b"):
        for name, text in certificate(folder, host, [host]).items():
            paths[f"{host}/{name}"] = tmp_path / f"{host}-{name}"
            paths[f"{host}/{name}"].write_text(text)
    return {name: str(path) for name, path in paths.items()}


@pytest.mark.parametrize(
    ("cert", "key", "ca", "said"),
    [
        ("a/tls.crt", "a/tls.key", "a/ca.crt", []),
        ("a/tls.crt", "a/tls.key", "", []),
        ("", "", "", ["monitoring_tls_cert is not set", "monitoring_tls_key is not set"]),
        ("a/tls.crt", "b/tls.key", "", ["do not belong together"]),
        ("junk", "a/tls.key", "", ["monitoring_tls_cert is not a certificate in PEM"]),
        (
            "a/tls.key",
            "a/tls.crt",
            "",
            ["monitoring_tls_cert is not a certificate", "monitoring_tls_key is not a private key"],
        ),
        ("/nowhere/x", "a/tls.key", "junk", ["monitoring_tls_cert cannot be read", "monitoring_tls_ca is not a cert"]),
    ],
)
def test_own_certificates(pems: dict[str, str], cert: str, key: str, ca: str, said: list[str]) -> None:
    values = {
        "monitoring_tls": "own",
        "monitoring_tls_cert": pems.get(cert, cert),
        "monitoring_tls_key": pems.get(key, key),
        "monitoring_tls_ca": pems.get(ca, ca),
    }
    found = texts(checks.tls_problems(values))
    assert len(found) == len(said), found
    for text, words in zip(found, said, strict=True):
        assert words in text
    assert checks.tls_problems({**values, "monitoring_tls": "selfsigned"}) == []


def test_certificate_that_has_ended(pems: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime(2200, 1, 1, tzinfo=tz)

    monkeypatch.setattr(checks.datetime, "datetime", Later)
    values = {
        "monitoring_tls": "own",
        "monitoring_tls_cert": pems["a/tls.crt"],
        "monitoring_tls_key": pems["a/tls.key"],
    }
    (text,) = texts(checks.tls_problems(values))
    assert "monitoring_tls_cert has ended" in text


def test_folder_of_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert checks.secrets_problems(str(tmp_path / "new" / "secrets")) == []
    assert not (tmp_path / "new").exists()
    (problem,) = checks.secrets_problems(str(tmp_path / "file" / "secrets"))
    assert problem.what == "monitoring_secrets_dir is no folder"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    (problem,) = checks.secrets_problems(str(tmp_path))
    assert (problem.what, problem.seen) == ("monitoring_secrets_dir cannot be written", str(tmp_path))
