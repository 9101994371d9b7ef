# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""cAdvisor, which can ask for no password: what it shows, what it may, and a release without a published checksum."""

from __future__ import annotations

import hashlib
import re
import shutil

import pytest
import requests
import yaml

from tests.testbed import scenario
from tests.testbed.scenario import wait_for

SERVER = "opswatch-debian13"
HOST = "opswatch-debian12"
TAGS = ("--tags", "cadvisor", "--limit", HOST)


@pytest.fixture
def host():
    return scenario.host(HOST)


def job(prometheus) -> dict:
    config = yaml.safe_load(prometheus.get("/api/v1/status/config").json()["data"]["yaml"])
    return next(one for one in config["scrape_configs"] if one["job_name"] == "cadvisor")


def test_it_is_scraped(prometheus):
    seen = f'container_last_seen{{job="cadvisor", instance="{HOST}", id="/"}}'
    wait_for("the root of its cgroups", lambda: prometheus.query(seen))


def test_it_is_sent_no_password(prometheus):
    """It has none to compare with, and everybody on the way could read it."""
    assert not {"basic_auth", "authorization", "tls_config"} & set(job(prometheus))


def test_a_service_has_the_name_of_its_unit(prometheus):
    (rule,) = job(prometheus)["metric_relabel_configs"]
    assert (rule["source_labels"], rule["target_label"], rule["separator"]) == (["name", "id"], "name", ";")

    def name(given: str, cgroup: str) -> str | None:
        match = re.fullmatch(rule["regex"], f"{given};{cgroup}")
        return match.expand(rule["replacement"].replace("$1", r"\1")) if match else None

    assert name("", "/system.slice/cron.service") == "cron.service"
    assert name("", "/system.slice/system-getty.slice/getty@tty1.service") == "getty@tty1.service"
    assert name("", "/") is name("", "/system.slice") is name("shop", "/system.slice/shop.service") is None


def test_it_shows_no_process_of_the_host(host):
    """ps would be run by its API, for whoever asks."""
    pid = scenario.in_force(HOST, "cadvisor").pid
    assert host.run(f"nsenter --target {pid} --mount ps").rc != 0
    answer = requests.get(f"http://{scenario.address(HOST)}:4194/api/v2.0/ps?recursive=true", timeout=30)
    assert "process_api" not in answer.text
    assert "/sbin/init" not in answer.text


def test_of_roots_powers_two_are_left(host):
    pid = scenario.in_force(HOST, "cadvisor").pid
    powers = int(re.search(r"^CapBnd:\s+(\w+)$", host.file(f"/proc/{pid}/status").content_string, re.MULTILINE)[1], 16)
    dac_read_search, syslog = 1 << 2, 1 << 34
    assert powers & ~(dac_read_search | syslog) == 0


def test_release_without_a_published_checksum(host, tmp_path):
    """It goes without a trace; then what the mirror has is taken, and its sum recorded beside the inventory."""
    gone = scenario.playbook("site.yml", *TAGS, variables={"cadvisor_state": "absent", "cadvisor_remove_data": True})
    assert gone.rc == 0
    assert host.check_output("find /etc /opt /usr/local/bin /var/lib -xdev -name '*cadvisor*'") == ""

    shutil.copytree(scenario.mirror() / "google", tmp_path / "mirror/google")
    (archive,) = (tmp_path / "mirror").rglob("cadvisor-*-amd64")
    lock = tmp_path / "releases.lock.yml"
    where = {"monitoring_mirror": str(tmp_path / "mirror"), "monitoring_releases_lock": str(lock)}
    taken = scenario.playbook("site.yml", "-v", *TAGS, variables=where)
    assert taken.rc == 0
    assert f"recorded the checksum of {archive.relative_to(tmp_path / 'mirror')}" in taken.said
    path = str(archive.relative_to(tmp_path / "mirror"))
    assert yaml.safe_load(lock.read_text()) == {path: hashlib.sha256(archive.read_bytes()).hexdigest()}
