# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the host itself: repaired by the next run where that is right, or else named, with nothing lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess

import pytest

from tests.testbed import scenario

HOST = "opswatch-faults"
HOME = "/var/lib/opswatch/prometheus"
# The way back has as many seconds to answer, on a busy machine too.
NEVER_READY = {"prometheus_flags": {"web.listen-address": "127.0.0.1:9999"}, "prometheus_ready_timeout": 10}
RESTART = {"prometheus_flags": {"query.max-concurrency": 19}}  # what needs a restart, and a reload's files too


@pytest.fixture
def sound(watch, in_force, renew):
    """What holds in the end: the same generation (or a newer one) is whole and answers, and a good run is good."""
    before = in_force()

    def check(newer=False):
        watch.wait()
        now = in_force()
        assert (now.whole, now.unit_belongs) == (True, True)
        assert (now.generation > before.generation) if newer else (now.generation == before.generation)
        return now

    yield check
    renew()


def assert_refused(run, *said):
    assert run.rc != 0
    for words in (*said, "What to do:"):
        assert words in run.said


def test_rules_that_are_none(site, watch, in_force, tmp_path):
    rules = tmp_path / "bad.yml"
    rules.write_text("groups:\n  - name: one\n    rules:\n      - {alert: Bad, expr: 'sum(rate('}\n")
    before = in_force()
    with watch:
        run = site.run(prometheus_rule_files=[str(rules)])
    assert_refused(run, "promtool check config", "rules/bad.yml", "parse error", "is untouched")
    assert in_force() == before
    assert watch.missed == []


# --- file systems ---


@contextlib.contextmanager
def mounted(host, path, make):
    """A file system of its own with the same content, in the place of a folder."""
    try:
        host.check_output("bash -ec %s", make)
        yield
    finally:
        # Lazily: what was started in the meantime may have files of it open.
        host.run(f"umount -l {path}; umount -l /opt/faults/fs")


def full(host, path, kib):
    """One that has so much left."""
    return mounted(
        host,
        path,
        f"""
        mkdir -p /opt/faults/fs; mount -t tmpfs -o size=500m tmpfs /opt/faults/fs
        cp -a {path}/. /opt/faults/fs; mount --move /opt/faults/fs {path}
        free=$(df -k --output=avail {path} | tail -1)
        fallocate -l $(( free - {kib} ))K {path}/.ballast
        """,
    )


def read_only(host, path):
    return mounted(host, path, f"mount --bind {path} {path}; mount -o remount,ro,bind {path}")


def test_disk_full_while_unpacking(site, host, watch, sound, in_force):
    before = in_force()
    with full(host, "/opt/opswatch", 30 << 10), watch:
        run = site.run(prometheus_version="3.5.3")
    assert_refused(run, "could not be unpacked into /opt/opswatch", "No space left on device", "MiB of", "df -h")
    assert f"generation {before.generation} is untouched" in run.said
    assert watch.missed == []
    assert sound() == before


@pytest.mark.parametrize("count", ["two", pytest.param("four", marks=pytest.mark.slow)])
def test_disk_full_while_changing(site, host, sound, count):
    """With a little more it comes further: to what is staged, to what is kept for the way back, to what is written."""
    come_to = set()
    # What is staged, in the pages of a tmpfs: the configuration, with its targets and secrets.
    files = host.check_output(f"find -L {HOME}/current/config -type f -printf '%s\\n'").split()
    staged = sum(-(-int(size) // 4096) * 4 for size in files)
    sizes = {"two": (staged // 2, staged + 10), "four": (8, staged // 2, staged + 2, staged + 10)}[count]
    for kib in sizes:
        with full(host, "/var/lib/opswatch", kib):
            run = site.run(**RESTART, monitoring_auth_user="somebody")
            assert_refused(run, "No space left on device", "0 MiB of", "df -h /var/lib/opswatch")
            sound()
        come_to.add(re.search(r"No space left on device: .*?(/var/lib/opswatch\S+?)'; ", run.said)[1])
    sound()
    assert len(come_to) > len(sizes) // 2, come_to


@pytest.mark.parametrize(
    "path", ["/var/lib/opswatch", "/etc/systemd/system", pytest.param("/opt/opswatch", marks=pytest.mark.slow)]
)
def test_read_only(site, host, watch, sound, in_force, path):
    before = in_force()
    with read_only(host, path), watch:
        run = site.run(**RESTART, prometheus_version="3.5.3")
    assert_refused(run, "Read-only file system", f"findmnt -T {path}")
    if path.startswith("/etc"):  # the data was to be kept for the new version, so the service was stopped already
        assert f"rolled back to generation {before.generation}, which answers" in run.said
        sound()
    else:
        assert f"generation {before.generation} is untouched" in run.said
        assert watch.missed == []
        assert sound() == before


# --- what somebody removed ---


@pytest.mark.parametrize("then", ["same", pytest.param("another", marks=pytest.mark.slow)])
def test_link_removed(site, host, watch, in_force, then):
    before = in_force()
    host.check_output(f"rm {HOME}/current")
    assert not watch.answers()  # web.yml is read for each connection
    run = site.good(**({} if then == "same" else {"prometheus_scrape_interval": "19s"}))
    watch.wait()
    assert f"repaired the link {HOME}/current, which was gone" in run.said
    after = in_force()
    assert (after.whole, after.unit_belongs, after.pid) == (True, True, before.pid)
    assert after.generation == before.generation + (then == "another")
    site.good()


def test_link_removed_then_absent(site, host):
    host.check_output(f"rm {HOME}/current")
    site.good(prometheus_state="absent")
    assert not host.service("prometheus").is_running
    assert not host.file("/etc/systemd/system/prometheus.service").exists
    assert not host.file("/var/lib/opswatch").exists


@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        pytest.param("removed", marks=pytest.mark.slow),
        pytest.param("not executable", marks=pytest.mark.slow),
        "truncated and dead",
    ],
)
def test_release_damaged(site, host, watch, in_force, damage):
    """It is installed anew, and what runs goes on."""
    before = in_force()
    program = "/opt/opswatch/prometheus/releases/2.53.3/prometheus"
    host.check_output(
        {
            "removed": f"rm {program}",
            "not executable": f"chmod a-x {program}",
        }.get(damage, f"head -c 1000 {program} > {program}.x; chmod 555 {program}.x; mv {program}.x {program}")
    )
    if damage.endswith("dead"):
        host.run("systemctl restart prometheus")
        run = site.good()
        watch.wait()
    else:
        with watch:
            run = site.good()
        assert watch.missed == []
        assert in_force() == before
    assert "installed release 2.53.3" in run.said
    assert "2.53.3" in host.check_output("/usr/local/bin/prometheus --version")
    assert in_force().whole
    assert "changed=0" in site.good().output


@pytest.mark.parametrize("while_it", [pytest.param("runs", marks=pytest.mark.slow), "is stopped"])
def test_account_deleted(site, host, watch, sound, while_it):
    """It comes back with the number that its files have, so that also a way back leads somewhere."""
    number = host.check_output("stat -c %u:%g /var/lib/prometheus")
    if while_it == "is stopped":
        host.check_output("systemctl stop prometheus")
    host.check_output("userdel -f prometheus; ! getent passwd prometheus && ! getent group prometheus")
    run = site.run(**NEVER_READY)
    assert_refused(run, "created the account prometheus", "rolled back to generation", "which answers")
    sound()
    host.check_output("systemctl stop prometheus; userdel prometheus")
    assert "created the account prometheus" in site.good().said
    sound(newer=True)
    assert host.check_output("stat -c %u:%g /var/lib/prometheus") == number
    assert host.check_output("id -u prometheus") == number.split(":")[0]
    assert host.check_output("ps -o user= -C prometheus") == "prometheus"
    assert "changed=0" in site.good().output


# --- what the worker finds itself in ---


@pytest.mark.parametrize("seconds", [3600, pytest.param(-3600, marks=pytest.mark.slow)])
def test_clock_is_wrong(site, watch, sound, tampered, seconds):
    """Only the worker's: the time stamps of a reload are the program's own, and waiting follows another clock."""
    wrong = tampered(CLOCK_OFF=seconds)
    with watch:
        site.good(**wrong, prometheus_scrape_interval="19s")
    assert watch.missed == []
    site.good(**wrong, **RESTART)
    watch.wait()
    assert "changed=0" in site.good(**RESTART).output
    run = site.run(**wrong, **NEVER_READY)
    assert_refused(run, "gave no 200 within 10 s", "which answers")
    sound(newer=True)


def test_architecture_without_a_release(site, watch, sound, tampered):
    with watch:
        run = site.run(**tampered(MACHINE="riscv64"), **RESTART)
    assert_refused(run, "no release is known for the architecture riscv64", "amd64")
    sound()


def test_not_root(site, sound):
    run = site.run(ansible_become=True, ansible_become_user="nobody", **RESTART)
    assert_refused(run, "prometheus can only be changed by root", "this ran as uid 65534", "become: true")
    sound()


def test_systemd_is_too_old(site, host, watch, sound):
    """A host that is right is not asked for it."""
    old = '#!/bin/sh\n[ "$1" = --version ] && echo "systemd 249 (249.11)" && exit\nexec /usr/bin/systemctl "$@"\n'
    host.check_output("printf %%s %s > /usr/local/sbin/systemctl; chmod 755 /usr/local/sbin/systemctl", old)
    try:
        assert "changed=0" in site.good().output
        with watch:
            run = site.run(**RESTART)
    finally:
        host.check_output("rm /usr/local/sbin/systemctl")
    assert_refused(run, "this host has systemd 249, and systemd 250 or later is needed")
    sound()


def test_no_systemd(tmp_path):
    """A container that runs nothing but a program."""
    name = f"{HOST}-plain"
    image = scenario.container(HOST).image.id
    subprocess.run(["docker", "run", "-d", "--rm", "--name", name, image, "sleep", "3600"], check=True)
    try:
        inventory = tmp_path / "hosts.yml"
        inventory.write_text(
            f"prometheus:\n  hosts:\n    {name}:\n      ansible_connection: community.docker.docker\n"
            "      ansible_python_interpreter: /usr/bin/python3\n"
        )
        variables = {"monitoring_mirror": str(scenario.mirror()), "prometheus_version": "2.53.3"}
        run = scenario.playbook("molecule/faults/prometheus.yml", variables=variables, inventories=[inventory])
        changed = scenario.container(name).exec_run("ls /var/lib/opswatch /opt/opswatch /etc/prometheus")
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True, stdout=subprocess.DEVNULL)
    assert_refused(run, "systemd does not run on this host", "System has not been booted with systemd")
    assert changed.output.count(b"No such file") == 3


# --- the way to the host ---


def descendants(pid):
    found = [int(word) for word in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True).stdout.split()]
    return found + [below for child in found for below in descendants(child)]


def test_connection_is_cut(site, host, sound):
    """The worker may go on without anybody who listens: it holds the lock, and brings the host into order."""
    cut = site.start(**{**NEVER_READY, "prometheus_ready_timeout": 40})  # time enough for the next run to meet it
    unit = host.file("/etc/systemd/system/prometheus.service")
    scenario.wait_for("the change is activated", lambda: unit.contains("9999"))
    for pid in [cut.pid, *descendants(cut.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cut.communicate()
    run = site.run(**RESTART)
    assert_refused(run, "another run is changing prometheus on this host: process")
    scenario.wait_for("the change is undone", lambda: host.run(f"ls {HOME}/journal.json").rc != 0)
    scenario.wait_for("its lock is free", lambda: host.run("flock -n /run/opswatch/prometheus.lock true").rc == 0)
    sound()
