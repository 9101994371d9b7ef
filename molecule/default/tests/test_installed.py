# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user finds after `ansible-playbook site.yml`: everything runs, is scraped, is protected, and can be found."""

from __future__ import annotations

import re

import pytest
import requests

from tests.testbed import scenario
from tests.testbed.scenario import wait_for

SECRETS = ("monitoring_auth_password", "monitoring_exporter_password")


def components(host):
    names = host.check_output("ls /var/lib/opswatch").split()
    assert "node_exporter" in names
    return names


def test_services_run_and_start_at_boot(host):
    for name in components(host):
        assert host.service(name).is_running
        assert host.service(name).is_enabled
        assert host.user(name).exists


def test_every_target_is_up(prometheus):
    wanted = {
        ("prometheus", "opswatch-debian13"),
        ("alertmanager", "opswatch-debian13"),
        ("blackbox_exporter", "opswatch-debian13"),
        ("node_exporter", "opswatch-debian13"),
        ("node_exporter", "opswatch-debian12"),
        ("cadvisor", "opswatch-debian12"),
        ("node_exporter", "opswatch-app"),
        ("postgres_exporter", "opswatch-app"),
    }
    seen: dict[tuple[str, str], str] = {}

    def all_up() -> bool:
        seen.clear()
        seen.update(prometheus.targets())  # none in the first seconds, nor of a new job
        return seen == dict.fromkeys(wanted, "up")

    try:
        wait_for("every target is up, and there is no other", all_up)
    finally:
        print(seen)


def test_every_program_tells_when_it_was_started(prometheus):
    """Restarts are noticed by it; a program that may not read /proc/stat does not know."""
    everything = {f"{job}/{instance}" for job, instance in prometheus.targets()}

    def known():
        found = prometheus.query("process_start_time_seconds > 0")
        return {f"{one['metric']['job']}/{one['metric']['instance']}" for one in found}

    # The stand-in for cAdvisor is Python, and tells nothing of its process.
    wait_for("all starts are known", lambda: known() >= everything - {"cadvisor/opswatch-debian12"})


@pytest.mark.parametrize("port", [9090, 9093, 9100, 9115])
@pytest.mark.parametrize("path", ["/", "/metrics", "/-/ready", "/api/v1/targets", "/api/v2/alerts"])
def test_nothing_without_the_password(port, path):
    url = f"http://{scenario.address('opswatch-debian13')}:{port}{path}"
    assert requests.get(url, timeout=30).status_code == 401
    assert requests.get(url, auth=("monitoring", "wrong"), timeout=30).status_code == 401


@pytest.mark.parametrize("server", [scenario.Prometheus, scenario.Alertmanager])
def test_an_exporters_password_does_not_open_a_server(server):
    auth = ("monitoring", scenario.secret("monitoring_exporter_password"))
    assert requests.get(server("opswatch-debian13").url + "/-/ready", auth=auth, timeout=30).status_code == 401


def test_people_find_things_where_they_look(server):
    assert server.file("/etc/prometheus").linked_to.startswith("/var/lib/opswatch/prometheus/generations/")
    assert "scrape_configs" in server.file("/etc/prometheus/prometheus.yml").content_string
    for program in ("prometheus", "promtool", "alertmanager", "amtool", "node_exporter", "blackbox_exporter"):
        assert "version" in server.check_output(f"{program} --version 2>&1")
    assert server.check_output("promtool check config /etc/prometheus/prometheus.yml")
    assert server.check_output("amtool check-config /etc/alertmanager/alertmanager.yml")


def test_no_secret_is_in_sight(host):
    """Not in a process list, a unit, the journal, an environment, or a file that everybody can read."""
    secrets = [scenario.secret(name) for name in SECRETS]
    assert min(map(len, secrets)) >= 32
    told = host.run(
        "ps -eww -o args; cat /etc/systemd/system/*.service; systemctl show '*.service'; journalctl --no-pager -o cat;"
        "cat /proc/[0-9]*/environ"
    ).stdout
    assert "ExecStart=/usr/local/bin/node_exporter" in told
    assert [name for name, secret in zip(SECRETS, secrets, strict=True) if secret in told] == []
    readable = "find / -xdev -type f -perm -o+r -not -path '/proc/*' -not -path '/sys/*'"
    # One look for all: it reads a whole file system.
    grep = "grep -lF " + " ".join(f"-e {secret}" for secret in secrets)
    assert host.run(f"{readable} -size -4M -exec {grep} {{}} +").stdout == ""


def test_config_is_only_for_its_program(host):
    for name in components(host):
        listing = host.check_output(f"find -L /etc/{name} -type f -printf '%m %u %g %p\\n'")
        for line in listing.splitlines():
            mode, user, group, _path = line.split(maxsplit=3)
            assert (mode, user, group) == ("640", "root", name), line
        assert host.file(f"/etc/{name}").linked_to


def test_units_are_hardened(host):
    for name in components(host):
        report = host.run(f"systemd-analyze security --no-pager {name}.service").stdout
        exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", report).group(1))
        assert exposure <= {"node_exporter": 2.0, "cadvisor": 2.5}.get(name, 1.5), name


def test_hardening_hides_nothing_from_node_exporter(host):
    """The same collectors work, and the same metrics come, as for a node_exporter with no hardening at all."""
    flags = "--collector.filesystem.fs-types-exclude='^(proc|sysfs|cgroup2?|devpts|mqueue)$'"
    flags += r" --collector.systemd --collector.systemd.unit-include='.+\.(service|mount)'"
    host.check_output(
        "systemd-run --unit=bare --uid=node_exporter --gid=node_exporter "
        f"node_exporter --web.listen-address=127.0.0.1:9101 {flags}"
    )
    auth = f"monitoring:{scenario.secret('monitoring_exporter_password')}"
    mounts = re.compile(r'node_filesystem_size_bytes\{[^}]*mountpoint="([^"]+)"')
    hardened, hidden = "", {"not asked yet"}

    def seen(text: str) -> set[str]:
        names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
        works = {line for line in text.splitlines() if line.startswith("node_scrape_collector_success")}
        return names | works

    def hides_nothing() -> bool:
        """Between the two questions something may have gone, such as the mounts of a unit that was running."""
        nonlocal hardened, hidden
        bare = host.check_output("curl -s 127.0.0.1:9101/metrics")
        hardened = host.check_output(f"curl -s -u {auth} 127.0.0.1:9100/metrics")
        hidden = seen(bare) - seen(hardened) | set(mounts.findall(bare)) - set(mounts.findall(hardened))
        return not hidden

    try:
        wait_for("the bare one answers", lambda: host.run("curl -sf 127.0.0.1:9101/metrics").rc == 0)
        wait_for("nothing is hidden", hides_nothing, 60)
    finally:
        print(hidden)
        host.run("systemctl stop bare")
    assert re.search(r'node_filesystem_readonly\{[^}]*mountpoint="/"[^}]*\} 0', hardened)


def test_textfile_metrics_are_exposed(host, prometheus):
    host.check_output("echo 'molecule_says 42' > /var/lib/node_exporter/textfile/molecule.prom")
    password = scenario.secret("monitoring_exporter_password")
    metrics = host.check_output(f"curl -s -u monitoring:{password} 127.0.0.1:9100/metrics")
    assert "molecule_says 42" in metrics


def test_retention_and_intervals(prometheus):
    assert prometheus.flags()["storage.tsdb.retention.time"] == "30d"
    config = prometheus.get("/api/v1/status/config").json()["data"]["yaml"]
    assert "scrape_interval: 15s" in config
    assert "scrape_interval: 30s" in config
