# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All problems of all hosts in one run, before anything is changed on any of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.testbed import scenario

SERVER, OTHER = HOSTS = ("opswatch-debian13", "opswatch-debian12")
DATABASE = "opswatch-app"


@pytest.fixture(autouse=True)
def _untouched():
    """Whatever a test here does, the hosts stay as they are."""
    before = [scenario.tree(name) for name in HOSTS]
    yield
    assert [scenario.tree(name) for name in HOSTS] == before


def site(*arguments, inventories=(), **variables) -> scenario.Run:
    return scenario.playbook("site.yml", *arguments, variables=variables, inventories=inventories)


def refused(run: scenario.Run) -> str:
    """What a run said that stopped before its first change."""
    assert run.rc != 0
    assert "PLAY RECAP" in run.output
    assert not re.search("changed=[1-9]", run.output)
    assert "What to do: " in run.said
    return run.said


def more(folder: Path, **inventory) -> list[Path]:
    """The inventory of the scenario, and a second one over it."""
    path = folder / "more.yml"
    path.write_text(yaml.safe_dump(inventory))
    return [scenario.inventory(), path]


@contextlib.contextmanager
def mounted(name: str, mount: str, point: str) -> Iterator[None]:
    host = scenario.host(name)
    host.check_output(mount)
    try:
        yield
    finally:
        host.check_output("umount %s", point)


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_nothing_to_report(arguments):
    receivers = [{"name": "hook", "webhook_configs": [{"url": "http://127.0.0.1:9/"}]}]
    run = site("--tags", "preflight", *arguments, alertmanager_receivers=receivers)
    assert run.rc == 0
    assert "WARNING" not in run.output
    assert not re.search("changed=[1-9]", run.output)


def test_alerts_that_nobody_is_told_of():
    run = site("--tags", "preflight")
    assert run.rc == 0
    assert run.said.count("alertmanager_receivers is empty, so nobody is told of any alert.") == 1


def test_all_problems_of_all_hosts_in_one_run(tmp_path):
    inventories = more(
        tmp_path,
        all={
            "hosts": {
                SERVER: {
                    "prometheus_versoin": "3.5.3",
                    "prometheus_generations": "many",
                    "prometheus_rule_files": ["/nowhere/rules.yml"],
                    "monitoring_services": [{"name": "shop", "port": 9090}, {"name": "web", "prot": 80}],
                    "prometheus_thresholds": {"HighCpuUsage": 95, "InodesLow": "many"},
                    "alertmanager_route": {"receiver": "nowhere"},
                    "blackbox_exporter_targets": [{"name": "site", "target": ""}],
                },
                DATABASE: {"postgres_exporter_databases": [{"port": 0}, {"password": "planted-secret"}]},
                OTHER: {"node_exporter_version": "latest", "node_exporter_flags": "--web.enable"},
            }
        },
    )
    run = site(inventories=inventories, node_exporter_generations=5)
    said = refused(run)
    for words in (
        f"Preflight found 10 problems on {SERVER}. Nothing was changed on any host.",
        "the variable prometheus_versoin is not known: did you mean prometheus_version?",
        "prometheus_generations",
        "prometheus_rule_files names a file that is not there: /nowhere/rules.yml",
        "port 9090 is wanted twice on this host",
        f"monitoring_services of {SERVER}, entry 2 (web): missing required arguments: port",
        f"monitoring_services of {SERVER}, entry 2 (web): unknown: prot.",
        "no alert with a threshold is called HighCpuUsage",
        "prometheus_thresholds: InodesLow is 'many'.",
        'alertmanager_route: undefined receiver "nowhere"',
        f"blackbox_exporter_targets of {SERVER}: an entry with name, target lacks target",
        f"Preflight found 2 problems on {OTHER}. Nothing was changed on any host.",
        f"Preflight found 2 problems on {DATABASE}. Nothing was changed on any host.",
        "postgres_exporter_databases: postgres has the port 0",
        "postgres_exporter_databases: postgres has a password and the socket folder /run/postgresql",
        "node_exporter_version is not a version: 'latest'",
        "node_exporter_flags",
    ):
        assert words in said
    assert "planted-secret" not in run.output
    assert "TASK [opswatch.monitoring.node_exporter" not in run.output


def test_misspelt_groups(tmp_path):
    inventories = more(tmp_path, **{"node-exporter": {"hosts": {"newcomer": None}}})
    said = refused(site("--limit", SERVER, inventories=inventories))
    assert "group node-exporter means nothing here: hosts newcomer. Did you mean node_exporter?" in said


def test_all_groups_misspelt(tmp_path):
    """No component has a host then, and still the run tells why."""
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"promtheus": {"hosts": {"mon1": None}}}))
    assert "Did you mean prometheus?" in refused(site(inventories=[path]))


@pytest.mark.parametrize(
    ("mirror", "words"),
    [
        ("http://127.0.0.1:9/mirror", "prometheus-2.53.3.linux-amd64.tar.gz could not be fetched: "),
        ("/nowhere", "The mirror lacks /nowhere/prometheus/prometheus/"),
    ],
)
def test_release_that_cannot_be_had(mirror, words):
    """node_exporter would be changed long before Prometheus asks for its release."""
    variables = {"prometheus_version": "2.53.3", "node_exporter_unit": {"Service": {"Nice": 5}}}
    said = refused(site(monitoring_mirror=mirror, monitoring_allow_downgrade=True, **variables))
    assert f"prometheus 2.53.3: {'' if mirror[0] == '/' else mirror}" in said
    assert words in said


def test_no_space(prometheus):
    with mounted(SERVER, "mount -t tmpfs -o size=20m tmpfs /opt", "/opt"):
        said = refused(site())
    assert re.search(r"no space on /opt for prometheus, [\w, ]*node_exporter.*: \d+ MiB needed, 20 MiB free", said)
    assert prometheus.get("/-/ready").status_code == 200


def test_read_only_file_system():
    bind = "mount --bind /usr/local/bin /usr/local/bin && mount -o remount,ro,bind /usr/local/bin"
    with mounted(OTHER, bind, "/usr/local/bin"):
        said = refused(site())
    assert "/usr/local/bin cannot be written: the file system /usr/local/bin is read-only" in said


def test_package_of_the_same_program():
    host = scenario.host(OTHER)
    unit = "/usr/lib/systemd/system/prometheus-node-exporter.service"
    host.check_output(f"printf '[Service]\\nExecStart=/bin/sleep 600\\n' > {unit} && systemctl daemon-reload")
    try:
        assert site("--tags", "preflight").rc == 0  # it neither runs nor will
        host.check_output("systemctl start prometheus-node-exporter")
        said = refused(site())
    finally:
        host.check_output(f"systemctl stop prometheus-node-exporter; rm {unit}; systemctl daemon-reload")
    assert "a package of the operating system already runs node_exporter here" in said


def test_what_others_have_where_a_new_component_belongs(tmp_path):
    host = scenario.host(OTHER)
    program = "/usr/local/bin/blackbox_exporter"
    inventories = more(tmp_path, blackbox_exporter={"hosts": {OTHER: None}})
    # The folder's time too is to be as it was.
    host.check_output(f"touch -r /usr/local/bin /run/before; echo theirs > {program}")
    host.check_output("systemd-run --unit=theirs python3 -m http.server 9115")
    try:
        host.check_output("timeout 120 sh -c 'until ss -ltn | grep -q :9115; do sleep 0.1; done'")
        said = refused(site(inventories=inventories))
    finally:
        host.check_output(f"systemctl stop theirs; rm {program}; touch -r /run/before /usr/local/bin; rm /run/before")
    assert f"{program} exists and was not made by this collection" in said
    assert "another program listens on port 9115, which blackbox_exporter is to have: 0.0.0.0:9115" in said
    assert "python3 (theirs.service)" in said
    assert f"To go on without it: --limit 'all:!{OTHER}'" in said


def test_a_host_that_is_down_does_not_stop_the_others(tmp_path):
    down = {"ansible_connection": "ssh", "ansible_host": "127.0.0.77", "ansible_port": 9}
    inventories = more(tmp_path, node_exporter={"hosts": {"down": down}})
    run = site("--check", inventories=inventories, node_exporter_unit={"Service": {"Nice": 5}})
    assert run.rc == 4  # Ansible's own way to say that a host was unreachable
    assert "down cannot be reached, so nothing of it is known, nor changed: " in run.said
    assert run.output.count("unreachable=1") == 1
    assert len(re.findall(r"changed=[1-9]", run.output)) == 3


def test_without_root():
    said = refused(site(ansible_become_user="nobody"))
    assert "node_exporter can only be changed by root: uid 65534" in said
