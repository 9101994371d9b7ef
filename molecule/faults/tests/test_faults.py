# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, each against the real Prometheus: the run names cause and remedy, and the earlier generation answers."""

from __future__ import annotations

import hashlib

import pytest

from tests.testbed.scenario import InForce, Watch, finish, wait_for

# What is never ready: the way back has as many seconds to answer, on a busy machine too.
NEVER_READY = {"prometheus_flags": {"web.listen-address": "127.0.0.1:9999"}, "prometheus_ready_timeout": 10}


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


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("truncated", marks=pytest.mark.slow),
        "wrong-checksum",
        pytest.param("no-checksum", marks=pytest.mark.slow),
    ],
)
def test_bad_archive(site, fault, http_mirror, watch, in_force, host):
    content = http_mirror.archive.read_bytes()
    if fault == "truncated":
        http_mirror.archive.write_bytes(content[: len(content) // 2])
    elif fault == "wrong-checksum":
        http_mirror.archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (http_mirror.release / "sha256sums.txt").unlink()
    before = in_force()
    with watch:
        run = site.run(monitoring_mirror=http_mirror.url, prometheus_version="3.5.3")
    assert run.rc != 0
    assert ("sha256sums.txt could not be fetched" if fault == "no-checksum" else "has the wrong checksum") in run.said
    assert f"{http_mirror.url}/prometheus/prometheus/releases/download/v3.5.3/sha256sums.txt" in run.said
    assert_untouched(before, in_force(), watch)
    assert host.check_output("ls -A /opt/opswatch/prometheus/releases") == "2.53.3"


def test_the_locks_are_obeyed(site, http_mirror, tmp_path, watch, in_force, host):
    """The user's lock before the mirror's, the mirror's before the release's own; then no request at all."""
    path = f"{http_mirror.archive.relative_to(http_mirror.root)}"
    true = hashlib.sha256(http_mirror.archive.read_bytes()).hexdigest()
    mine, theirs = tmp_path / "releases.lock.yml", http_mirror.root / "releases.lock.yml"
    variables = {
        "monitoring_mirror": http_mirror.url,
        "monitoring_releases_lock": str(mine),
        "prometheus_version": "3.5.3",
        "monitoring_allow_downgrade": True,
    }
    theirs.write_text(f"{path}: {'0' * 64}\n")
    run = site.run(**variables)
    assert run.rc != 0
    assert f"{http_mirror.url}/releases.lock.yml says {'0' * 64}" in run.said
    assert watch.answers()

    mine.write_text(f"{path}: {true}\n")
    http_mirror.asked.clear()
    site.good(**variables)
    assert http_mirror.asked == [f"/{path}"]
    assert host.check_output("readlink /var/lib/opswatch/prometheus/current/release").endswith("3.5.3")
    watch.wait()

    http_mirror.asked.clear()
    site.good(**variables)
    site.good(**variables, prometheus_scrape_interval="17s")
    assert http_mirror.asked == []
    site.good(prometheus_state="absent", prometheus_remove_data=True)


def test_port_taken(site, host, watch, in_force):
    host.check_output("systemd-run --unit=squatter python3 -m http.server 9099")
    wait_for("the port is taken", lambda: host.run("ss -ltn | grep -q :9099").rc == 0)
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
    run = site.run(**NEVER_READY)
    assert run.rc != 0
    assert "gave no 200 within 10 s" in run.said
    assert "127.0.0.1:9090" in run.said
    watch.wait()
    assert in_force().generation == before.generation
    site.good()


def test_version_step_that_fails_brings_its_data_back(site, watch, in_force, host):
    """2.53 cannot read what 3.5 writes: going back means going back to the kept copy of the data."""
    count = "promtool tsdb list /var/lib/prometheus; ls /var/lib/prometheus/wal"
    before = in_force()
    inode = "stat -c %i /var/lib/prometheus/wal"
    earlier, original = host.check_output(count), host.check_output(inode)
    run = site.run(**NEVER_READY, prometheus_version="3.5.3")
    assert run.rc != 0
    watch.wait()
    assert in_force().generation == before.generation
    assert host.check_output("readlink /var/lib/opswatch/prometheus/current/release").endswith("2.53.3")
    assert set(earlier.split()) <= set(host.check_output(count).split())
    assert host.check_output(inode) != original  # what 3.5 had written into is gone, the copy is in its place
    assert not host.run("ls -d /var/lib/prometheus/.opswatch-*").stdout


def test_two_runs_at_once(site, host, watch, in_force):
    """The second is told who is at work, and changes nothing."""
    slow = site.start(**{**NEVER_READY, "prometheus_ready_timeout": 30})  # time enough for the second to come so far
    unit = host.file("/etc/systemd/system/prometheus.service")
    wait_for("the first is at work", lambda: unit.contains("9999"))
    second = site.run(prometheus_scrape_interval="16s")
    first = finish(slow)
    assert first.rc != 0
    assert "gave no 200 within 30 s" in first.said
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


def test_adoption(site, host, watch):
    """What somebody else installed is left alone until we are asked to take over; then it is moved, not lost."""
    site.good(prometheus_state="absent")
    assert host.file("/var/lib/prometheus").is_directory
    host.check_output("mkdir /etc/prometheus; echo 'by: hand' > /etc/prometheus/prometheus.yml")
    run = site.run()
    assert run.rc != 0
    assert "/etc/prometheus exists and was not made by this collection" in run.said
    assert "prometheus_adopt: true" in run.said
    assert host.file("/etc/prometheus/prometheus.yml").content_string == "by: hand\n"

    run = site.run(prometheus_adopt=True, prometheus_flags={"web.listen-address": "127.0.0.1:9999"},
                   prometheus_ready_timeout=2)  # fmt: skip
    assert run.rc != 0
    assert "nothing ran before and nothing runs now" in run.said
    assert host.file("/etc/prometheus/prometheus.yml").content_string == "by: hand\n"
    assert not host.service("prometheus").is_running

    site.good(prometheus_adopt=True)
    watch.wait()
    kept = host.check_output("cat /var/lib/opswatch/prometheus/adopted/*/etc/prometheus/prometheus.yml")
    assert kept == "by: hand"
    site.good()
    host.check_output("rm -r /var/lib/opswatch/prometheus/adopted")  # it would stay for ever


def test_removal_keeps_data_and_foreign_files(site, host, watch):
    host.check_output("echo mine > /etc/prometheus/foreign.txt")
    site.good(prometheus_state="absent")
    assert not host.service("prometheus").is_running
    assert not host.file("/opt/opswatch/prometheus").exists
    assert not host.file("/etc/systemd/system/prometheus.service").exists
    assert host.file("/var/lib/prometheus/wal").is_directory
    assert host.file("/etc/prometheus/foreign.txt").content_string == "mine\n"
    run = site.good(prometheus_state="absent")
    assert "changed=0" in run.output
    host.check_output("rm -r /etc/prometheus")
