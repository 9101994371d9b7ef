# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker is killed before each of its changes in turn, now and then together with the whole host."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from tests.testbed import scenario

HOST = "opswatch-faults"
KILLED = 137
REBOOT_EVERY = 7
STATES: list[dict[str, t.Any]] = [
    {"prometheus_scrape_interval": "15s", "prometheus_retention_time": "10d"},
    {"prometheus_scrape_interval": "16s", "prometheus_retention_time": "11d"},
]


@pytest.fixture
def workers(host: t.Any, site: t.Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The worker with its arguments for each state, as Ansible left it on the host."""
    monkeypatch.setenv("ANSIBLE_KEEP_REMOTE_FILES", "1")
    monkeypatch.setenv("ANSIBLE_PIPELINING", "0")
    script = Path(__file__).with_name("sitecustomize.py")
    host.check_output("mkdir -p /opt/faults")
    subprocess.run(["docker", "cp", str(script), f"{HOST}:/opt/faults/sitecustomize.py"], check=True)
    found = []
    for state in STATES:
        host.check_output("rm -rf /root/.ansible/tmp")
        site.good(**state)
        name = host.check_output("find /root/.ansible/tmp -name 'AnsiballZ_component_apply.py'")
        host.check_output("cp %s %s", name, f"/opt/faults/{len(found)}.py")
        found.append(f"/opt/faults/{len(found)}.py")
    return found


def apply(worker: str, die_at: int = 0) -> int:
    words = ["docker", "exec", "-e", f"DIE_AT={die_at}", "-e", "PYTHONPATH=/opt/faults", HOST, "python3", worker]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    print(die_at, done.returncode, done.stdout[-600:], done.stderr[-600:])
    return done.returncode


def test_killed_before_each_change(workers, watch, in_force, host):
    """One whole generation is in force at every moment, it answers, and the next run finishes the change."""
    die_at, killed = 1, 0
    stride = int(os.environ.get("FAULTS_STRIDE", "3"))  # 1 takes two minutes more
    while True:
        target = die_at // stride % 2
        if (code := apply(workers[target], die_at)) != KILLED:
            assert code == 0
            break
        killed += 1
        if killed % REBOOT_EVERY == 0:
            scenario.container(HOST).restart(timeout=0)
        watch.wait()
        state = in_force()
        assert state.whole, f"killed before change {die_at}"
        assert state.unit_belongs, f"killed before change {die_at}"

        assert apply(workers[target]) == 0
        state = in_force()
        assert (state.whole, state.unit_belongs, state.journal) == (True, True, False)
        unit = host.file("/etc/systemd/system/prometheus.service").content_string
        assert f"retention.time={STATES[target]['prometheus_retention_time']}" in unit
        assert host.run("ls /var/lib/opswatch/prometheus/staging /var/lib/opswatch/prometheus/undo").rc != 0
        watch.wait()
        die_at += stride
    assert killed * stride > 40, "the worker was not seen to change anything"
