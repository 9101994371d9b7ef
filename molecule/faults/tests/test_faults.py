# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, each against the real Prometheus: the run names cause and remedy, and the earlier generation answers."""

from __future__ import annotations

import time

import pytest

from tests.testbed.scenario import InForce, Watch, finish


def assert_untouched(before: InForce, after: InForce, watch: Watch) -> None:
    """Nothing that serves was changed: the same process, not one question unanswered."""
    assert after == before
    assert watch.missed == []


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        pytest.param(
            {"prometheus_flags": {"no.such.flag": 1}}, ["no.such.flag", "prometheus_flags"], id="unknown-flag"
        ),
        pytest.param(
            {"prometheus_config": {"global": {"scrape_interval": "often"}}},
            ["promtool check config", "not a valid duration", "often"],
            id="refused-config",
        ),
        pytest.param(
            {"prometheus_version": "3.5.3", "monitoring_mirror": "http://127.0.0.1:9"},
            ["http://127.0.0.1:9/", "Connection refused", "monitoring_mirror"],
            id="mirror-down",
        ),
        pytest.param(
            {"prometheus_version": "2.42.0"}, ["2.53.3 is installed", "monitoring_allow_downgrade"], id="downgrade"
        ),
    ],
)
def test_refused_before_activation(extra, named, site, watch, in_force):
    before = in_force()
    with watch:
        run = site.run(**extra)
    assert run.rc != 0
    for words in named:
        assert words in run.said
    assert "What to do:" in run.said
    assert_untouched(before, in_force(), watch)


@pytest.mark.parametrize("fault", ["truncated", "wrong-checksum"])
def test_bad_archive(site, fault, spoilt_mirror, watch, in_force, host):
    url, folder = spoilt_mirror
    archive = folder / "prometheus-3.5.3.linux-amd64.tar.gz"
    content = archive.read_bytes()
    if fault == "truncated":
        archive.write_bytes(content[: len(content) // 2])
    else:
        archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    before = in_force()
    with watch:
        run = site.run(monitoring_mirror=url, prometheus_version="3.5.3")
    assert run.rc != 0
    assert "has the wrong checksum" in run.said
    assert "sha256sums.txt" in run.said
    assert_untouched(before, in_force(), watch)
    assert host.check_output("ls -A /opt/opswatch/prometheus/releases") == "2.53.3"


def test_port_taken(site, host, watch, in_force):
    host.check_output("systemd-run --unit=squatter python3 -m http.server 9099")
    before = in_force()
    try:
        run = site.run(prometheus_listen_address="0.0.0.0:9099")
    finally:
        host.check_output("systemctl stop squatter")
    assert run.rc != 0
    assert "address already in use" in run.said
    assert "ss -ltnp" in run.said
    assert f"rolled back to generation {before.generation}, which answers" in run.said
    watch.wait()
    after = in_force()
    assert (after.generation, after.unit_belongs, after.whole) == (before.generation, True, True)
    site.good(prometheus_listen_address="0.0.0.0:9099")


def test_never_ready(site, watch, in_force):
    before = in_force()
    run = site.run(prometheus_flags={"web.listen-address": "127.0.0.1:9999"}, prometheus_ready_timeout=3)
    assert run.rc != 0
    assert "gave no 200 within 3 s" in run.said
    assert "127.0.0.1:9090" in run.said
    watch.wait()
    assert in_force().generation == before.generation
    site.good()


def test_version_step_that_fails_brings_its_data_back(site, watch, in_force, host):
    """2.53 cannot read what 3.5 writes: going back means going back to the kept copy of the data."""
    count = "promtool tsdb list /var/lib/prometheus; ls /var/lib/prometheus/wal"
    before = in_force()
    earlier = host.check_output(count)
    run = site.run(
        prometheus_version="3.5.3",
        prometheus_flags={"web.listen-address": "127.0.0.1:9999"},
        prometheus_ready_timeout=3,
    )
    assert run.rc != 0
    watch.wait()
    assert in_force().generation == before.generation
    assert host.check_output("readlink /var/lib/opswatch/prometheus/current/release").endswith("2.53.3")
    assert set(earlier.split()) <= set(host.check_output(count).split())
    assert not host.run("ls -d /var/lib/prometheus/.opswatch-*").stdout


def test_two_runs_at_once(site, watch, in_force):
    """The second is told who is at work, and changes nothing."""
    slow = site.start(prometheus_flags={"web.listen-address": "127.0.0.1:9999"}, prometheus_ready_timeout=8)
    time.sleep(4)
    second = site.run(prometheus_scrape_interval="16s")
    first = finish(slow)
    assert first.rc != 0
    assert "gave no 200 within 8 s" in first.said
    assert second.rc != 0
    assert "another run is changing prometheus on this host: process" in second.said
    watch.wait()
    site.good()


def test_edited_by_hand(site, host, watch, in_force):
    """What was edited is put right and not lost; a file of somebody else stays and is reported."""
    before = in_force()
    host.check_output("echo '# by hand' >> /etc/prometheus/prometheus.yml")
    host.check_output("echo 'groups: []' > /etc/prometheus/theirs.yml")
    assert not in_force().whole
    run = site.good()
    assert "theirs.yml" in run.said
    after = in_force()
    assert after.whole
    assert after.generation == before.generation + 1
    assert after.pid == before.pid
    edited = f"/var/lib/opswatch/prometheus/generations/{before.generation}/config/prometheus.yml"
    assert "# by hand" in host.check_output(f"cat {edited}")
    assert host.file("/etc/prometheus/theirs.yml").content_string == "groups: []\n"
    host.check_output("rm /etc/prometheus/theirs.yml")


def test_unit_edited_by_hand(site, host, in_force):
    before = in_force()
    host.check_output("echo '# by hand' >> /etc/systemd/system/prometheus.service")
    site.good()
    after = in_force()
    assert after.unit_belongs
    kept = f"/var/lib/opswatch/prometheus/generations/{before.generation}/prometheus.service.edited"
    assert "# by hand" in host.check_output(f"cat {kept}")
