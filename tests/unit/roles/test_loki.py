# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role loki renders for a host of an inventory, by Ansible's own templating."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[3]
DISK = {"from": "2024-04-01", "store": "tsdb", "object_store": "filesystem", "schema": "v13"}
INDEX = {"index": {"prefix": "index_", "period": "24h"}}
S3 = {"loki_s3": {"bucket": "lines", "endpoint": "s3.example.com"}}


def load(path: str) -> t.Any:
    return DataLoader().load_from_file(str(ROOT / "roles" / path), cache="none", unsafe=True, trusted_as_template=True)


VARIABLES = {
    name: value
    for kind in ("defaults", "vars")
    for role in ("monitoring", "loki")
    for name, value in load(f"{role}/{kind}/main.yml").items()
}
(LOOK, LEFT, COMPONENT) = load("loki/tasks/main.yml")


def render(value: t.Any, hosts: t.Sequence[str] = ("mon1",), **given: t.Any) -> t.Any:
    """A value of the role on the first host, without certificates if none are given."""
    variables = {
        "inventory_hostname": hosts[0],
        "groups": {"all": list(hosts), "loki": list(hosts)},
        "hostvars": {host: {} for host in hosts},
        **VARIABLES,
        "__monitoring_tls_files": {},
        "loki_in_force": {"results": [{"item": hosts[0], "stdout": "opswatch<none>"}]},
        "loki_left": {"skipped": True},
        "role_path": str(ROOT / "roles/loki"),
        **given,
    }
    return Templar(loader=DataLoader(), variables=variables).template(value)


def config(existing: t.Sequence[t.Any] = (), **given: t.Any) -> dict[str, t.Any]:
    """The configuration file, with that of these periods in force."""
    in_force = {"results": [{"item": "mon1", "stdout": answered(existing) if existing else "opswatch<none>"}]}
    return dict(render(VARIABLES["__loki_files"], **{"loki_in_force": in_force, **given})[0]["content"])


def overrides(existing: t.Sequence[t.Any]) -> dict[str, t.Any]:
    in_force = {"results": [{"item": "mon1", "stdout": answered(existing)}]}
    files = {file["path"]: file for file in render(VARIABLES["__loki_files"], loki_in_force=in_force)}
    return dict(files["overrides.yml"]["content"]) if "overrides.yml" in files else {}


def answered(periods: t.Sequence[t.Any]) -> str:
    packed = base64.b64encode(yaml.safe_dump({"schema_config": {"configs": list(periods)}}).encode()).decode()
    return f"sudo: unable to resolve host mon1\r\nopswatch<{packed}>"


# --- where its lines are ---


def test_a_store_that_moved_to_s3_finds_its_old_lines_on_the_disk() -> None:
    moved = config([DISK | INDEX], **S3)
    assert [one["object_store"] for one in moved["schema_config"]["configs"]] == ["filesystem", "s3"]
    assert moved["common"]["storage"] == {"s3": {"bucketnames": "lines", "endpoint": "s3.example.com"}}
    assert moved["storage_config"] == {"filesystem": {"directory": "/var/lib/loki/chunks"}}


IN_S3 = {**DISK, **INDEX, "object_store": "s3"}


def test_a_store_that_comes_back_from_s3_finds_its_lines_in_the_bucket() -> None:
    bucket = {**S3["loki_s3"], "retired": True}
    back = config([IN_S3], loki_s3=bucket)
    assert [one["object_store"] for one in back["schema_config"]["configs"]] == ["s3", "filesystem"]
    assert list(back["common"]["storage"]) == ["filesystem"]
    assert back["storage_config"]["aws"] == {"bucketnames": "lines", "endpoint": "s3.example.com"}
    with pytest.raises(AnsibleError, match=r"since 2024-04-01 are in S3, and nothing says where .* retired: true"):
        config([IN_S3])


def test_a_move_to_s3_that_has_not_begun_may_be_called_off() -> None:
    off = config([DISK | INDEX, {**IN_S3, "from": "2099-01-01"}])
    assert [one["object_store"] for one in off["schema_config"]["configs"]] == ["filesystem"]


@pytest.mark.parametrize(("stated", "folder"), [("/srv/loki", "/srv/loki"), (None, "/var/lib/loki/chunks")])
def test_both_places_that_name_the_folder_of_lines_name_the_same(stated: str | None, folder: str) -> None:
    over = {"common": {"storage": {"filesystem": {"chunks_directory": stated}}}} if stated else {}
    built = config(loki_config=over)
    assert built["common"]["storage"]["filesystem"]["chunks_directory"] == folder
    assert built["storage_config"]["filesystem"]["directory"] == folder


def test_a_store_that_keeps_no_structured_metadata_takes_lines_that_have_some() -> None:
    """Agents send it, and would lose each line that is refused."""
    old = {**DISK, **INDEX, "store": "boltdb-shipper", "schema": "v11"}
    allowed = {"overrides": {"fake": {"allow_structured_metadata": True}}}
    assert config([old])["runtime_config"] == {"file": "/etc/loki/overrides.yml"}
    assert overrides([old]) == allowed
    assert "runtime_config" not in config([DISK | INDEX])
    assert overrides([DISK | INDEX]) == {}


def test_it_has_the_periods_of_the_other_members() -> None:
    later = {**DISK, **INDEX, "object_store": "s3", "from": "2099-01-01"}
    answers = [
        {"item": "mon1", "stdout": "opswatch<none>"},
        {"item": "mon2", "stdout": answered([DISK | INDEX, later])},
    ]
    built = config(loki_in_force={"results": answers}, **S3)
    assert built["schema_config"]["configs"] == [DISK | INDEX, later]


@pytest.mark.parametrize("host", ["mon1", "mon2", "mon3"])
def test_a_host_asks_itself_first(host: str) -> None:
    """By its place the vars know which answer is its own."""
    asked = render(LOOK["loop"], ("mon1", "mon2", "mon3"), inventory_hostname=host)
    assert asked[0] == host
    assert sorted(asked) == ["mon1", "mon2", "mon3"]
    assert render(LOOK["loop"], (host,), groups={}) == [host]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not look")
@pytest.mark.parametrize(
    ("there", "mode", "code", "said"),
    [
        ("a: 1\n", 0o755, 0, "opswatch<YTogMQo=>"),
        ("", 0o755, 0, "opswatch<none>"),
        ("a: 1\n", 0o700, 1, ""),
    ],
    ids=["there", "none", "may not look"],
)
def test_what_the_host_answers(there: str, mode: int, code: int, said: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        folder = Path(top, "loki")
        folder.mkdir()
        if there:
            (folder / "config.yml").write_text(there)
            (folder / "config.yml").chmod(0o644)
        folder.chmod(mode)
        script = LOOK["ansible.builtin.raw"].replace("/etc/loki", str(folder))
        done = subprocess.run(["sh", "-c", script], user=65534, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, said)


def test_lines_without_a_configuration_are_no_new_store() -> None:
    with pytest.raises(AnsibleError, match=r"no configuration that says how to read them\. What to do: "):
        config(loki_left={"stdout": "/var/lib/loki/chunks/fake"})
    assert config([DISK | INDEX], loki_left={"skipped": True})
    assert config(loki_left={"stdout": "", "rc": 1})


@pytest.mark.parametrize(("entries", "found"), [(["fake"], 1), (["ZmFrZS8xOjI="], 1), (["index"], 0), ([], 0)])
def test_lines_are_looked_for(entries: list[str], found: int, tmp_path: Path) -> None:
    for name in entries:
        (tmp_path / name).mkdir()
    words = LEFT["ansible.builtin.command"].replace("/var/lib/loki/chunks", str(tmp_path)).split()
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == found


def test_lines_may_be_late_by_half_of_what_a_chunk_may_have() -> None:
    """Of one host, too, which has further settings of that section."""
    assert config()["ingester"] == {"lifecycler": {"min_ready_duration": "0s"}, "max_chunk_age": "12h"}
    assert config(loki_max_chunk_age="24h")["ingester"]["max_chunk_age"] == "24h"


def test_lines_that_are_in_memory_still_are_always_found() -> None:
    """By the ruler too, which would ask the ingesters for the last three hours only."""
    assert config()["querier"] == {"query_ingesters_within": "0s"}
    over = {"querier": {"query_ingesters_within": "13h", "max_concurrent": 8}}
    assert config(loki_config=over)["querier"] == over["querier"]


def test_a_certificate_of_any_host_deletes_nothing() -> None:
    assert config()["limits_config"]["deletion_mode"] == "filter-only"
    over = {"limits_config": {"deletion_mode": "filter-and-delete"}}
    assert config(loki_config=over)["limits_config"]["deletion_mode"] == "filter-and-delete"


@pytest.mark.parametrize(("agents", "streams"), [(0, 10000), (50, 10000), (51, 20000), (100, 20000), (101, 30000)])
def test_streams_grow_with_the_hosts_that_send(agents: int, streams: int) -> None:
    hosts = [f"app{number}" for number in range(agents)]
    groups = {"loki": ["mon1"], "promtail": hosts[:2], "alloy": hosts} if agents else {"loki": ["mon1"]}
    limits = config(groups=groups)["limits_config"]
    asked = ("max_streams_per_user", "max_global_streams_per_user", "max_query_series")
    assert [limits[name] for name in asked] == [streams] * 3
    raised = config(groups=groups, loki_max_global_streams_per_user=99000)["limits_config"]
    assert [raised[name] for name in asked] == [99000] * 3


def test_what_tells_that_a_replay_moves_on_are_metrics_of_loki() -> None:
    """As they were recorded."""
    asked = render(VARIABLES["__loki_ready"], monitoring_tls="off")
    recorded = (ROOT / "tests/fixtures/metrics").glob("loki-*")
    names = {line.split("\t")[0] for path in recorded for line in path.read_text().splitlines()}
    telling = {name for name in names if re.match(asked["progress_lines"], name)}
    assert {"loki_ingester_wal_recovered_entries_total", "loki_ingester_wal_replay_active"} <= telling
    assert asked["progress"] == "/metrics"


# --- what its tasks show, and what they need ---


def test_the_configuration_in_force_is_not_shown() -> None:
    """An adopted one may have keys and passwords in it, and a result is printed by -v."""
    assert "ansible.builtin.raw" in LOOK
    assert LOOK["no_log"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"monitoring_tls": "selfsigned", "__monitoring_tls_files": trust_as_template("{{ undef() }}")},
        {"loki_config": {"bloom_compactor": {}}},
    ],
)
def test_it_can_be_removed_whatever_its_configuration_is(wrong: dict[str, t.Any]) -> None:
    asked = COMPONENT["opswatch.monitoring.component"]
    needed = ("files", "flags", "unit", "validate", "ready")
    with pytest.raises(AnsibleError):
        [render(asked[name], **wrong) for name in needed]
    files, *_others = [render(asked[name], loki_state="absent", omit="", **wrong) for name in needed]
    assert files == []


# --- where it listens for other members ---


@pytest.mark.parametrize(
    ("hosts", "given", "address", "host"),
    [
        (["mon1"], {}, "127.0.0.1", "127.0.0.1"),
        (["mon1"], {"monitoring_address": "10.0.0.1"}, "127.0.0.1", "127.0.0.1"),
        (["mon1", "mon2"], {"monitoring_address": "10.0.0.1"}, "10.0.0.1", "10.0.0.1"),
        (["mon1", "mon2"], {"ansible_host": "10.0.0.1"}, "10.0.0.1", "10.0.0.1"),
        (["mon1", "mon2"], {"ansible_host": "fd00::1"}, "[fd00::1]", "fd00::1"),
        (["mon1", "mon2"], {"ansible_host": "10.0.0.1", "loki_advertise_address": "10.9.0.1"}, "10.9.0.1", "10.9.0.1"),
        (["mon1", "mon2"], {}, "0.0.0.0", "0.0.0.0"),
    ],
)
def test_it_listens_no_further_than_members_need(hosts: t.Any, given: t.Any, address: str, host: str) -> None:
    assert render(VARIABLES["loki_grpc_listen_address"], hosts, **given) == f"{address}:9096"
    assert render(VARIABLES["loki_memberlist_listen_address"], hosts, **given) == f"{address}:7946"
    assert render(VARIABLES["__loki_base"]["server"]["grpc_listen_address"], hosts, **given) == host
    assert render(VARIABLES["__loki_clustered"]["memberlist"]["bind_addr"], hosts, **given) == [host]


def test_a_cluster_with_the_documented_settings() -> None:
    """Each has the others, with the port of a default that is a template."""
    hosts = ("mon1", "mon2", "mon3")
    addresses = {host: {"monitoring_address": f"10.0.0.{number}"} for number, host in enumerate(hosts, 1)}
    certificates = {"__monitoring_tls_files": dict.fromkeys(("tls.crt", "tls.key", "ca.crt"), "text")}
    answers = {"loki_in_force": {"results": [{"item": host, "stdout": "opswatch<none>"} for host in hosts]}}
    given = {
        "hostvars": addresses,
        **addresses["mon1"],
        **certificates,
        **answers,
        **S3,
        "monitoring_tls": "selfsigned",
    }
    built = render(VARIABLES["__loki_files"], hosts, **given)[0]["content"]
    assert built["memberlist"]["join_members"] == ["10.0.0.2:7946", "10.0.0.3:7946"]
    assert built["memberlist"]["bind_addr"] == ["10.0.0.1"]
    assert built["server"]["grpc_listen_address"] == "10.0.0.1"
    assert built["common"]["replication_factor"] == 3
    assert [one["object_store"] for one in built["schema_config"]["configs"]] == ["s3"]
