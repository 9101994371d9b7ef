# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker is killed before each of its changes in turn, now and then together with the whole host."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from pathlib import Path

import pytest

from tests.testbed import scenario

HOST = "opswatch-faults"
KILLED = 137
REBOOT_EVERY = 7
GOOD = {"prometheus_job_scrape_interval": "1s"}
STATES: list[dict[str, t.Any]] = [
    {**GOOD, "prometheus_scrape_interval": "15s", "prometheus_retention_time": "10d"},
    {**GOOD, "prometheus_scrape_interval": "16s", "prometheus_retention_time": "11d"},
]
NEVER_READY = {"prometheus_flags": {"web.listen-address": "127.0.0.1:9999"}, "prometheus_ready_timeout": 5}


def stride(default: int) -> int:
    """Every so-manieth change; FAULTS_STRIDE=1 means each one, and takes a while."""
    return int(os.environ.get("FAULTS_STRIDE") or default)


class Workers:
    """The worker with its arguments, as Ansible leaves it on the host."""

    def __init__(self, host: t.Any, site: t.Any) -> None:
        self.host, self.site = host, site
        self.found = 0

    def of(self, rc: int = 0, **variables: t.Any) -> str:
        """The worker that brings about a state; doing so once is how it is made."""
        self.host.check_output("rm -rf /root/.ansible/tmp")
        assert (self.site.run(**variables).rc != 0) == bool(rc)
        name = self.host.check_output("find /root/.ansible/tmp -name 'AnsiballZ_component_apply.py'")
        self.found += 1
        kept = f"/opt/faults/{self.found}.py"
        self.host.check_output("cp %s %s", name, kept)
        return kept


@pytest.fixture
def workers(host: t.Any, site: t.Any, monkeypatch: pytest.MonkeyPatch) -> Workers:
    monkeypatch.setenv("ANSIBLE_KEEP_REMOTE_FILES", "1")
    monkeypatch.setenv("ANSIBLE_PIPELINING", "0")
    script = Path(__file__).with_name("sitecustomize.py")
    host.check_output("mkdir -p /opt/faults")
    subprocess.run(["docker", "cp", str(script), f"{HOST}:/opt/faults/sitecustomize.py"], check=True)
    return Workers(host, site)


def apply(worker: str, die_at: int = 0, log: str = "") -> int:
    settings = [f"DIE_AT={die_at}", f"CHANGES_LOG={log}", "PYTHONPATH=/opt/faults"]
    words = ["docker", "exec", *(word for setting in settings for word in ("-e", setting)), HOST, "python3", worker]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    print(die_at, done.returncode, done.stdout[-900:], done.stderr[-600:])
    return done.returncode


def reboot() -> None:
    host = scenario.container(HOST)
    host.restart(timeout=0)
    scenario.wait_for("systemd answers", lambda: host.exec_run(["systemctl", "show"]).exit_code == 0)


# Each 16th change, and with the slow case each 8th. Where FAULTS_STRIDE says which, one case comes to all of them.
FIRST = [1] if os.environ.get("FAULTS_STRIDE") else [1, pytest.param(9, marks=pytest.mark.slow)]


@pytest.mark.parametrize("first", FIRST)
def test_killed_before_each_change(workers, watch, in_force, host, first):
    """One whole generation is in force at every moment, it answers, and the next run finishes the change."""
    targets = [workers.of(**state) for state in STATES]
    die_at, killed = first, 0
    step = stride(16)
    while True:
        target = die_at // step % 2
        if (code := apply(targets[target], die_at)) != KILLED:
            assert code == 0
            break
        killed += 1
        if killed % REBOOT_EVERY == REBOOT_EVERY // 2:
            reboot()
        watch.wait()
        state = in_force()
        assert state.whole, f"killed before change {die_at}"
        assert state.unit_belongs, f"killed before change {die_at}"

        assert apply(targets[target]) == 0
        state = in_force()
        assert (state.whole, state.unit_belongs, state.journal) == (True, True, False)
        unit = host.file("/etc/systemd/system/prometheus.service").content_string
        assert f"retention.time={STATES[target]['prometheus_retention_time']}" in unit
        assert host.run("ls /var/lib/opswatch/prometheus/staging /var/lib/opswatch/prometheus/undo").rc != 0
        watch.wait()
        die_at += step
    last = die_at - step  # that it was killed before
    assert last > 40, "the worker was not seen to change anything"


# --- from one and the same state again and again ---

# Everything that a component has on a host, and that others may have had there before.
PLACES = (
    "/etc/prometheus /etc/prometheus.kept /etc/systemd/system /etc/sysusers.d /usr/local/bin "
    "/usr/lib/systemd/system/prometheus.service /var/lib/opswatch /var/lib/prometheus"
)
KEEP_RELEASES = "rm -rf /opt/faults/releases; cp -al /opt/opswatch /opt/faults/releases"
SAVE = f"""
systemctl stop prometheus 2>/dev/null
rm -rf /opt/faults/saved; mkdir /opt/faults/saved
cp -a --parents $(ls -d {PLACES} 2>/dev/null) /opt/faults/saved
"""
# Each start adds a file to the log, and all of them are read at the next one.
FORGET_DATA = "systemctl stop prometheus; find /var/lib/prometheus -mindepth 1 -delete"
# Why it does not answer, where the caller only knows that it does not.
EXPLAIN = "systemctl status prometheus --no-pager -n 30; systemctl list-jobs --no-pager; ss -ltnp"
RESTORE = f"""
systemctl stop prometheus 2>/dev/null; systemctl reset-failed prometheus 2>/dev/null
rm -rf {PLACES} /opt/opswatch; cp -al /opt/faults/releases /opt/opswatch
cp -a /opt/faults/saved/. / && systemctl daemon-reload
if systemctl is-enabled -q prometheus 2>/dev/null; then systemctl start prometheus; fi
"""
# What a package leaves where it was installed, and what people put beside it.
THEIRS = """
mkdir -p /etc/prometheus; echo 'by: hand' > /etc/prometheus/prometheus.yml; echo theirs > /usr/local/bin/promtool
cat > /usr/lib/systemd/system/prometheus.service <<'END'
[Service]
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload && systemctl enable --quiet --now prometheus
"""
THEIRS_GONE = """
systemctl disable --now prometheus 2>/dev/null
rm -rf /etc/prometheus /usr/local/bin/promtool /usr/lib/systemd/system/prometheus.service; systemctl daemon-reload
"""


class Ground:
    """The state in which each killed run begins, and what may be said of the host afterwards."""

    def __init__(self, host: t.Any, watch: scenario.Watch, in_force: t.Any, extra: str = "") -> None:
        self.host, self.watch, self.in_force, self.extra = host, watch, in_force, extra
        self.samples = 0

    def save(self, samples: bool = True) -> None:
        """What is there now is the ground; with samples, of its own and not of earlier tests."""
        if samples:
            self.host.check_output("bash -c %s", FORGET_DATA)
        self.host.check_output("bash -c %s", SAVE)
        self.keep_releases()
        self.restore()
        if samples:
            scenario.wait_for("a few samples", lambda: self.count() > 3)
            self.samples = self.count()
            self.host.check_output("bash -c %s", SAVE)

    def keep_releases(self) -> None:
        """Those that are there now are there at each beginning, so that none has to be fetched."""
        self.host.check_output("bash -c %s", f"mkdir -p /opt/opswatch; {KEEP_RELEASES}")

    def restore(self) -> None:
        self.host.check_output("bash -c %s", RESTORE + self.extra)

    def there(self, places: str) -> str:
        """Those of the places that exist."""
        return str(self.host.run(f"ls -d {places} 2>/dev/null").stdout)

    def runs(self) -> bool:
        return bool(self.host.run("systemctl is-active -q prometheus").rc == 0)

    def count(self) -> int:
        """How many samples there are of what was scraped here."""
        try:
            self.watch.wait()
        except AssertionError:
            print(scenario.address(HOST), self.host.run("bash -c %s", EXPLAIN).stdout)
            raise
        found = self.watch.prometheus.query('count_over_time(up{job="prometheus"}[3h])')
        return int(found[0]["value"][1]) if found else 0

    def current(self) -> bool:
        return bool(self.host.run("test -e /var/lib/opswatch/prometheus/current").rc == 0)

    def assert_whole(self, when: str, answers: bool = True) -> None:
        """Nothing of ours is in force, or one whole generation; what boots here serves, and reads the data."""
        if not self.current():
            return
        state = self.in_force()
        assert (state.whole, state.unit_belongs) == (True, True), when
        if answers and self.host.run("systemctl is-enabled -q prometheus").rc == 0:
            self.host.check_output("systemctl start prometheus")
            assert self.count() >= self.samples, when

    def assert_settled(self, when: str) -> None:
        """Nothing is under way, and nothing is left of it."""
        state = self.in_force()
        assert (state.whole, state.unit_belongs, state.journal) == (True, True, False), when
        assert self.count() >= self.samples, when
        assert self.host.run("systemctl is-enabled prometheus").stdout.strip() == "enabled", when
        left = self.host.check_output("ls -A /var/lib/opswatch/prometheus /opt/opswatch/prometheus/releases").split()
        assert not {"staging", "undo", "adoption.json"} & set(left), when
        assert not [name for name in left if name.startswith(".partial")], when
        assert not self.host.run("ls -d /var/lib/prometheus/.opswatch-[dr]* 2>/dev/null").stdout, when

    def proven(self) -> bool:
        manifest = self.host.file("/var/lib/opswatch/prometheus/current/manifest.json").content_string
        return '"committed": true' in str(manifest)

    def version(self) -> str:
        return str(self.host.check_output("readlink /var/lib/opswatch/prometheus/current/release").rsplit("/")[-1])


@pytest.fixture
def ground(host, watch, in_force) -> Ground:
    return Ground(host, watch, in_force)


def kill_points(ground: Ground, worker: str, step: int, rc: int = 0, since: str = "") -> t.Iterator[tuple[bool, str]]:
    """Kill the worker on the same ground before each change in turn; each time the caller looks and repairs.

    Yields whether it is every other time, and the point at which it was.
    """
    log = "/opt/faults/changes"
    ground.host.check_output(f"rm -f {log}")
    ground.restore()
    assert apply(worker, log=log) == rc
    changes = ground.host.check_output(f"cat {log}").splitlines()
    first = next(number for number, line in enumerate(changes, 1) if re.search(since, line))
    print(f"{len(changes)} changes, from {first} on")
    assert len(changes) - first > 10, "the worker was not seen to change anything"
    for number, die_at in enumerate(range(first, len(changes) + 1, step), 1):
        ground.restore()
        when = f"killed before {changes[die_at - 1]}"
        print(when)
        if (code := apply(worker, die_at)) != KILLED:
            # How often systemd is asked differs from run to run, so this one had fewer changes.
            assert (code, die_at > len(changes) - 5) == (rc, True), when
            break
        if number % REBOOT_EVERY == REBOOT_EVERY // 2:
            reboot()
        yield bool(number % 2), when


@pytest.mark.slow
def test_first_install(site, workers, ground, http_mirror):
    """Nothing of ours is there, or all of it; the next run finishes it."""
    site.good(prometheus_state="absent", prometheus_remove_data=True)
    ground.extra = "rm -rf /opt/opswatch; userdel prometheus 2>/dev/null; groupdel prometheus 2>/dev/null; true"
    ground.save(samples=False)
    worker = workers.of(**GOOD, prometheus_version="3.5.3", monitoring_mirror=http_mirror.url)
    removal = workers.of(prometheus_state="absent", prometheus_remove_data=True)
    places = (
        "/var/lib/opswatch /opt/opswatch /var/lib/prometheus /etc/prometheus /etc/systemd/system/prometheus.service"
    )
    for odd, when in kill_points(ground, worker, stride(41)):
        ground.assert_whole(when)
        if odd:  # whoever changes his mind
            assert apply(removal) == 0, when
            assert ground.there(places) == "", when
        assert apply(worker) == 0, when
        ground.assert_settled(when)
    site.good(prometheus_state="absent", prometheus_remove_data=True)


@pytest.mark.slow
def test_step_of_the_format(workers, ground, site, http_mirror):
    """2.53 cannot read what 3.5 writes. Whichever is in force can read what there is."""
    earlier = workers.of(**GOOD)
    ground.save()
    worker = workers.of(**GOOD, prometheus_version="3.5.3", monitoring_mirror=http_mirror.url)
    ground.keep_releases()
    for odd, when in kill_points(ground, worker, stride(37)):
        ground.assert_whole(when)
        if odd:  # back, unless it is proven already, and only then on
            back = int(ground.version() == "3.5.3" and ground.proven())
            assert apply(earlier) == back, when
        assert apply(worker) == 0, when
        assert ground.version() == "3.5.3", when
        ground.assert_settled(when)
    ground.restore()
    site.good()


@pytest.mark.slow
def test_way_back(workers, ground, site, http_mirror):
    """The change never gets ready, and its way back is killed. The next run comes to the end of it."""
    earlier = workers.of(**GOOD)
    ground.save()
    worker = workers.of(rc=1, **GOOD, **NEVER_READY, prometheus_version="3.5.3", monitoring_mirror=http_mirror.url)
    ground.keep_releases()
    for odd, when in kill_points(ground, worker, stride(19), rc=1, since="'restart', 'prometheus.service'"):
        ground.assert_whole(when, answers=False)  # what is in force may be what never gets ready
        if odd:
            assert apply(worker) == 1, when
            assert ground.version() == "2.53.3", when
            ground.assert_settled(when)
        assert apply(earlier) == 0, when
        assert ground.version() == "2.53.3", when
        ground.assert_settled(when)
    ground.restore()
    site.good()


@pytest.mark.slow
def test_adoption(workers, ground, host, site, http_mirror):
    """What others had is where it was, or kept whole; the next run finishes taking over, or gives all of it back."""
    site.good(prometheus_state="absent")
    host.check_output("bash -c %s", THEIRS)
    ground.save(samples=False)
    wanted = {**GOOD, "prometheus_version": "3.5.3", "monitoring_mirror": http_mirror.url}
    worker = workers.of(**wanted, prometheus_adopt=True)
    ground.keep_releases()
    ground.restore()
    refused = workers.of(rc=1, **wanted)
    kept = "/var/lib/opswatch/prometheus/adopted/*/etc/prometheus/prometheus.yml"
    for odd, when in kill_points(ground, worker, stride(37)):
        found = host.run(f"cat /etc/prometheus/prometheus.yml {kept} 2>/dev/null").stdout
        assert "by: hand" in found, when
        if odd or ground.current():
            assert apply(worker) == 0, when
            ground.assert_settled(when)
            assert host.check_output(f"cat {kept}") == "by: hand", when
        else:
            assert apply(refused) == 1, when
            assert host.file("/etc/prometheus/prometheus.yml").content_string == "by: hand\n", when
            assert host.file("/usr/local/bin/promtool").content_string == "theirs\n", when
            assert ground.runs(), when
            assert host.check_output("systemctl show -PFragmentPath prometheus").startswith("/usr/lib"), when
    ground.restore()
    host.check_output("bash -c %s", THEIRS_GONE)
    site.good()


@pytest.mark.slow
def test_removal(workers, ground, host, site):
    """The next run finishes it. Data and the files of others are never lost."""
    site.good(**GOOD)
    host.check_output("echo mine > /etc/prometheus/foreign.txt")
    site.good(**GOOD)
    ground.save()
    worker = workers.of(prometheus_state="absent")
    places = "/var/lib/opswatch /opt/opswatch /etc/systemd/system/prometheus.service /etc/sysusers.d/opswatch*"
    for odd, when in kill_points(ground, worker, stride(37)):
        adopted = "/var/lib/opswatch/prometheus/adopted"
        if not odd:  # whoever changes his mind; what others have may have been given back to them already
            site.good(**GOOD, prometheus_adopt=True)
            ground.assert_settled(when)
        assert apply(worker) == 0, when
        assert not ground.runs(), when
        assert ground.there(places) in ("", "/var/lib/opswatch\n"), when
        assert ground.there("/var/lib/opswatch/*/*") in ("", f"{adopted}\n"), when
        found = host.run(f"cat /etc/prometheus/foreign.txt {adopted}/*/etc/prometheus/foreign.txt 2>/dev/null").stdout
        assert "mine" in found, when
        assert host.file("/var/lib/prometheus/wal").is_directory, when
    host.check_output("rm -rf /etc/prometheus /var/lib/opswatch")
    site.good()
