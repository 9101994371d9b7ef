# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of real programs, tried and restored, with everything that can go wrong on the way. In order."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import scenario
from tests.testbed.scenario import Alertmanager, Prometheus, Run, playbook, wait_for

HOST, HEIR = "opswatch-backup", "opswatch-heir"
TEXTFILE = "/var/lib/node_exporter/textfile/opswatch_backup.static.prom"
REPOSITORY = "/srv/backup/monitoring"
SETTINGS: dict[str, Any] = {
    "backup_repository": REPOSITORY,
    "prometheus_scrape_interval": "1s",
    "prometheus_job_scrape_interval": "1s",
    "grafana_version": "9.3.2",
    "loki_listen_address": "0.0.0.0:3100",  # a network of the test's own
}
SAMPLES = 400_000  # that are old already when the tests begin


def settings(**more: Any) -> dict[str, Any]:
    return {**SETTINGS, "monitoring_mirror": str(scenario.mirror()), **more}


def backup(*arguments: str, **more: Any) -> Run:
    return playbook("playbooks/backup.yml", "--limit", HOST, *arguments, variables=settings(**more))


def restore(*arguments: str, host: str = HOST, **more: Any) -> Run:
    return playbook("playbooks/restore.yml", "--limit", host, *arguments, variables=settings(**more))


def on(host: str, command: str) -> str:
    done = scenario.host(host).run(command)
    assert done.rc == 0, done.stderr
    return str(done.stdout)


def metric(name: str) -> float:
    found = [line.split() for line in on(HOST, f"cat {TEXTFILE}").splitlines() if line.startswith(f"{name} ")]
    return float(found[0][1])


def old_samples() -> int:
    """Those of the made-up series, which no scrape adds to."""
    result = Prometheus(HOST).query("sum(count_over_time(made_up[10d]))")
    return int(float(result[0]["value"][1])) if result else 0


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    on(HOST, "rm -rf /srv/backup/*")  # a folder that outlives the hosts
    done = playbook("site.yml", variables=settings())
    assert done.rc == 0
    # Blocks of some age, as a server of some age has them.
    begin = int(time.time()) - 3 * 86400
    lines = ["# TYPE made_up gauge"]
    for number in range(40):
        lines += [f'made_up{{number="{number}"}} {step % 97} {begin + 15 * step}' for step in range(SAMPLES // 40)]
    text = Path(scenario.inventory()) / "made_up.txt.retry"
    text.write_text("\n".join([*lines, "# EOF", ""]))
    subprocess.run(["docker", "cp", str(text), f"{HOST}:/root/made_up.txt"], check=True, capture_output=True)
    text.unlink()
    on(HOST, "promtool tsdb create-blocks-from openmetrics /root/made_up.txt /root/blocks && rm /root/made_up.txt")
    on(
        HOST,
        "chown -R prometheus: /root/blocks && mv /root/blocks/01* /var/lib/prometheus/ && systemctl restart prometheus",
    )
    wait_for("Prometheus serves the made-up samples", lambda: _answers(old_samples) == SAMPLES)


def _answers(question: Any) -> Any:
    try:
        return question()
    except (OSError, ValueError, KeyError):
        return None


def test_nothing_is_backed_up_without_a_place() -> None:
    done = backup(backup_repository="")
    assert done.rc != 0
    assert "set backup_repository in the inventory" in done.said


def test_schedule_that_is_none_is_refused() -> None:
    done = backup(backup_schedule="30 2 * *")
    assert done.rc != 0
    assert "write five fields of cron" in done.said


def test_check_mode_makes_nothing() -> None:
    done = backup("--check")
    assert done.rc == 0
    assert "would back up prometheus" in done.said
    alone = backup("--check", backup_components="grafana")
    assert "would back up grafana" in alone.said
    assert "would back up prometheus" not in alone.said
    assert scenario.host(HOST).run(f"test -e {REPOSITORY}").rc != 0


def test_first_backup_loses_no_scrape() -> None:
    """One scrape each second: the longest gap between two of them says what a backup costs."""
    Alertmanager(HOST).post(
        "/api/v2/silences",
        {
            "matchers": [{"name": "instance", "value": "app1", "isRegex": False, "isEqual": True}],
            "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200)),
            "createdBy": "test",
            "comment": "kept",
        },
    ).raise_for_status()
    begun = time.time()
    done = backup()
    took = time.time() - begun
    assert done.rc == 0
    assert f"made the repository {REPOSITORY}" in done.said
    assert "1 silences" in done.said
    time.sleep(2)
    found = Prometheus(HOST).query(f'up{{job="node_exporter",instance="{HOST}"}}[{int(took) + 2}s]')
    stamps = [float(stamp) for stamp, _value in found[0]["values"]]
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    print(f"{len(stamps)} scrapes during the backup of {took:.1f} s, longest gap {max(gaps):.2f} s")
    assert max(gaps) < 2
    assert all(value == "1" for _stamp, value in found[0]["values"])


def test_the_snapshot_is_gone_and_the_metrics_are_there() -> None:
    assert on(HOST, "ls -A /var/lib/prometheus/snapshots").strip() == ""
    assert scenario.host(HOST).run("test -e /var/lib/opswatch/.backup").rc != 0
    assert metric("opswatch_backup_last_run_success") == 1
    assert metric("opswatch_backup_snapshots") == 1
    wait_for(
        "node_exporter passes them on",
        lambda: Prometheus(HOST).query("opswatch_backup_last_success_timestamp_seconds"),
    )


def test_second_backup_stores_what_is_new() -> None:
    first = metric("opswatch_backup_added_bytes")
    done = backup()
    assert done.rc == 0
    added = metric("opswatch_backup_added_bytes")
    print(f"first {first:.0f} bytes, second {added:.0f} bytes, {added / first:.1%}")
    # The scrapes of the minute between the two are new, and everything else is known.
    assert added < first / 2
    assert metric("opswatch_backup_snapshots") == 2


def test_drill_touches_nothing() -> None:
    pid = on(HOST, "systemctl show -P MainPID prometheus")
    done = restore(restore_drill=True)
    assert done.rc == 0
    assert "prometheus: starts on it" in done.said
    assert "as in the manifest" in done.said
    assert on(HOST, "systemctl show -P MainPID prometheus") == pid
    assert metric("opswatch_restore_drill_last_run_success") == 1
    assert scenario.host(HOST).run("ls -d /var/lib/opswatch/.backup-drill").rc != 0
    assert on(HOST, "pgrep -c -x prometheus").strip() == "1"


def test_newer_data_is_not_overwritten() -> None:
    done = restore(restore_components="prometheus")
    assert done.rc != 0
    assert "prometheus has data that is newer than the backup" in done.said
    assert "restore_overwrite: true" in done.said
    assert old_samples() == SAMPLES


def test_lost_data_comes_back() -> None:
    """Everything is thrown away, a silence too; what the backup has is there again."""
    on(HOST, "systemctl stop prometheus alertmanager && rm -rf /var/lib/prometheus/* /var/lib/alertmanager/*")
    on(HOST, "systemctl start prometheus alertmanager")
    wait_for("Prometheus runs, empty", lambda: _answers(old_samples) == 0)
    done = restore(restore_components="prometheus,alertmanager", restore_overwrite=True)
    assert done.rc == 0
    assert "prometheus serves the data of backup" in done.said
    assert old_samples() == SAMPLES
    silences = Alertmanager(HOST).get("/api/v2/silences").json()
    assert [one["comment"] for one in silences if one["status"]["state"] == "active"] == ["kept"]
    assert scenario.host(HOST).run("ls -d /var/lib/prometheus/.monitoring-restore").rc != 0
    assert playbook("site.yml", "--check", variables=settings()).rc == 0


@contextmanager
def with_each_start(command: str, when: str = "Pre") -> Iterator[None]:
    """A command of root before Prometheus starts, or after; it does not start, or is stopped, if that fails."""
    folder = "/etc/systemd/system/prometheus.service.d"
    text = f'[Service]\\nExecStart{when}=+/bin/sh -c "{command}"\\n'
    on(HOST, f"mkdir -p {folder} && printf '{text}' > {folder}/fault.conf && systemctl daemon-reload")
    try:
        yield
    finally:
        on(HOST, f"rm -r {folder} && systemctl daemon-reload")


@pytest.mark.parametrize("when", ["Pre", "Post"])
def test_data_that_does_not_prove_itself_goes_back(when: str) -> None:
    """Also where Prometheus has run on it, and has written a log of its own."""
    with with_each_start("sleep 2; ! test -e /var/lib/prometheus/.monitoring-restore/old", when):
        done = restore(restore_components="prometheus", restore_overwrite=True)
    assert done.rc != 0
    assert "prometheus was not restored, its earlier data serves again" in done.said
    wait_for("the earlier data serves", lambda: _answers(old_samples) == SAMPLES)
    assert scenario.host(HOST).run("ls -d /var/lib/prometheus/.monitoring-restore").rc != 0


def test_killed_restore_is_undone_by_the_next() -> None:
    """Killed while the restored data is in place and not proved yet."""
    wish = settings(restore_components="prometheus", restore_overwrite=True)
    with with_each_start("test -e /root/go-on || sleep 60"):
        process = scenario.start_playbook("playbooks/restore.yml", "--limit", HOST, variables=wish)
        waits = "pgrep -f '[s]ystemctl enable --now --quiet prometheus'"
        wait_for("the restored data is started", lambda: scenario.host(HOST).run(waits).rc == 0, 120)
        on(HOST, f"kill -9 $(ps -o ppid= -p $({waits} | head -1))")
        scenario.finish(process)
        on(HOST, "test -e /var/lib/prometheus/.monitoring-restore/swap.json")
    done = restore(restore_components="prometheus", restore_overwrite=True)
    assert done.rc == 0
    assert "undid a restore of prometheus that was killed: its earlier data serves again" in done.said
    assert old_samples() == SAMPLES


def test_wrong_password() -> None:
    done = backup(backup_password="wrong")
    assert done.rc != 0
    assert "the repository does not open with this password" in done.said
    assert "correct backup_password" in done.said
    assert metric("opswatch_backup_last_run_success") == 0
    assert on(HOST, "ls -A /var/lib/prometheus/snapshots").strip() == ""
    done = restore(restore_drill=True, backup_password="wrong")
    assert done.rc != 0
    assert "does not open with this password" in done.said


def test_component_that_the_backup_does_not_have() -> None:
    done = restore(restore_snapshot="0badc0de", restore_drill=True)
    assert done.rc != 0
    assert "no backup of this host is meant by '0badc0de'" in done.said


def test_two_backups_at_once() -> None:
    processes = [
        scenario.start_playbook("playbooks/backup.yml", "--limit", HOST, variables=settings()) for _number in range(2)
    ]
    runs = [scenario.finish(process) for process in processes]
    if sorted(run.rc for run in runs) != [0, 0]:  # they may have missed each other
        assert any("another run is changing backups on this host" in run.said for run in runs)
    assert backup().rc == 0
    assert metric("opswatch_backup_last_run_success") == 1


def test_other_host_takes_over_the_data() -> None:
    """Another operating system, other numbers of accounts; the samples are the same."""
    done = restore(host=HEIR, restore_host=HOST, restore_components="prometheus", restore_overwrite=True)
    assert done.rc == 0
    result = Prometheus(HEIR).query("sum(count_over_time(made_up[10d]))")
    assert int(float(result[0]["value"][1])) == SAMPLES


def test_damaged_repository() -> None:
    """The largest pack is cut: the drill finds it, nothing that serves is touched, and the metric says so."""
    largest = on(HOST, f"find {REPOSITORY}/data -type f -printf '%s %p\\n' | sort -n | tail -1").split()[1]
    on(HOST, f"truncate -s 1000 {largest}")
    on(HOST, "rm -rf /var/cache/opswatch/restic")
    done = restore(restore_drill=True)
    assert done.rc != 0
    assert "the repository is damaged" in done.said
    assert metric("opswatch_restore_drill_last_run_success") == 0
    assert old_samples() == SAMPLES


def test_cron_entry_is_silent_when_all_is_well(tmp_path: Path) -> None:
    """The entry is put into a crontab of the test's own; its job is run as cron would, well and not."""
    table, program = tmp_path / "table", tmp_path / "bin/crontab"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\ncase "$1" in -l) cat {table} ;; *) cat "$1" >{table} ;; esac\n'
    )
    program.chmod(0o755)
    table.write_text("")
    more, other = tmp_path / "more.yml", "/srv/backup/cron"
    more.write_text(
        json.dumps({"all": {"vars": settings(backup_components=["node_exporter"], backup_repository=other)}})
    )
    sources = [Path(os.environ["MOLECULE_INVENTORY_FILE"]), more]
    path = f"{program.parent}:{os.environ['PATH']}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        wish = {"backup_schedule": "30 2 * * 6"}
        made = playbook("playbooks/backup.yml", "--limit", HOST, variables=wish, inventories=sources)
        assert made.rc == 0
        (entry,) = [line for line in table.read_text().splitlines() if not line.startswith("#")]
        assert entry.startswith("30 2 * * 6 cd ")
        job = entry.removeprefix("30 2 * * 6 ")
        print(job)
        well = subprocess.run(["sh", "-c", job], capture_output=True, text=True, check=False, timeout=200)
        assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
        more.write_text(json.dumps({"all": {"vars": settings(backup_password="wrong", backup_repository=other)}}))
        bad = subprocess.run(["sh", "-c", job], capture_output=True, text=True, check=False, timeout=200)
        assert bad.returncode != 0
        assert f"{HOST}: " in bad.stderr
        assert "the repository does not open with this password" in bad.stderr
        playbook("playbooks/backup.yml", variables={"backup_schedule": "none"}, inventories=sources)
        assert [line for line in table.read_text().splitlines() if line.strip()] == []


def test_no_secret_is_in_sight() -> None:
    password = scenario.secret("backup_password")
    done = backup("-vvv", backup_repository="/srv/backup/other")
    assert done.rc == 0
    assert password not in done.output
    assert password not in on(HOST, "journalctl --no-pager --quiet")
    manifest = json.loads(on(HOST, _restic("dump latest /var/lib/opswatch/.backup/manifest.json", "/srv/backup/other")))
    assert set(manifest["components"]) == {"prometheus", "alertmanager", "node_exporter", "grafana", "loki"}


def _restic(command: str, repository: str) -> str:
    return f"RESTIC_PASSWORD='{scenario.secret('backup_password')}' restic -q -r {repository} {command}"
