# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of real programs, tried and restored, with everything that can go wrong on the way. In order."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.testbed import scenario
from tests.testbed.scenario import Alertmanager, Prometheus, Run, Server, playbook, wait_for

HOST, HEIR = "opswatch-backup", "opswatch-heir"
TEXTFILE = "/var/lib/node_exporter/textfile/opswatch_backup.static.prom"
REPOSITORY = "/srv/backup/monitoring"
SCRAPE = 5  # seconds from one to the next, and for each: on a busy machine some take more than one
SETTINGS: dict[str, Any] = {
    "backup_repository": REPOSITORY,
    "prometheus_scrape_interval": f"{SCRAPE}s",
    "prometheus_job_scrape_interval": f"{SCRAPE}s",
    "grafana_version": "9.3.2",
    "loki_listen_address": "0.0.0.0:3100",  # a network of the test's own
}
IN_POSTGRESQL = {"host": "/run/postgresql", "ssl_mode": "disable"}
SAMPLES = 400_000  # that are old already when the tests begin


def settings(**more: Any) -> dict[str, Any]:
    return {**SETTINGS, "monitoring_mirror": str(scenario.mirror()), **more}


def backup(*arguments: str, host: str = HOST, **more: Any) -> Run:
    return playbook("playbooks/backup.yml", "--limit", host, *arguments, variables=settings(**more))


def restore(*arguments: str, host: str = HOST, **more: Any) -> Run:
    return playbook("playbooks/restore.yml", "--limit", host, *arguments, variables=settings(**more))


def on(host: str, command: str) -> str:
    done = scenario.host(host).run(command)
    assert done.rc == 0, done.stderr
    return str(done.stdout)


@contextmanager
def slow_restic(seconds: int = 3) -> Iterator[None]:
    """Seconds for each of its calls, as in a repository that is large or far away."""
    program = "/usr/local/bin/restic"
    on(HOST, f"printf '#!/bin/sh\nsleep {seconds}; exec /usr/bin/restic \"$@\"\n' >{program} && chmod +x {program}")
    try:
        yield
    finally:
        on(HOST, f"rm {program}")


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


def test_components_that_are_none_are_refused() -> None:
    done = backup(backup_components="prom,loki")
    assert done.rc != 0
    assert "backup_components has prom, which this inventory does not have" in done.said


@pytest.mark.slow  # the role's unit test has the words
def test_components_that_are_none_are_not_restored() -> None:
    done = restore(restore_components="prom,loki")
    assert done.rc != 0
    assert "restore_components has prom, of which this inventory has nothing to restore" in done.said
    assert "argument_spec" not in done.said


@pytest.mark.slow  # a unit test has it for each role
def test_misspelt_drill_restores_nothing() -> None:
    done = restore("--check", restore_dril="true", restore_overwrite="true")
    assert done.rc != 0
    assert "the variable restore_dril is not known: did you mean restore_drill?" in done.said


def test_check_mode_makes_nothing() -> None:
    done = backup("--check")
    assert done.rc == 0
    assert "would back up prometheus" in done.said
    alone = backup("--check", backup_components="grafana")
    assert "would back up grafana" in alone.said
    assert "would back up prometheus" not in alone.said
    assert scenario.host(HOST).run(f"test -e {REPOSITORY}").rc != 0


def in_hours(hours: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600 * hours))


def make_silence(comment: str, **more: Any) -> dict[str, Any]:
    """As it was posted, with its ID and Alertmanager's own begin: posted again with these, it is changed."""
    body = {
        "matchers": [{"name": "instance", "value": comment, "isRegex": False, "isEqual": True}],
        "startsAt": in_hours(0),
        "endsAt": in_hours(2),
        "createdBy": "test",
        "comment": comment,
        **more,
    }
    made = Alertmanager(HOST).post("/api/v2/silences", body)
    made.raise_for_status()
    number = made.json()["silenceID"]
    return {**body, "id": number, "startsAt": Alertmanager(HOST).get(f"/api/v2/silence/{number}").json()["startsAt"]}


def active_silences() -> dict[str, str]:
    """When each of them ends."""
    silences = Alertmanager(HOST).get("/api/v2/silences").json()
    return {one["comment"]: one["endsAt"] for one in silences if one["status"]["state"] == "active"}


def test_first_backup_loses_no_scrape() -> None:
    """Prometheus answers all the time, and the longest gap between two scrapes is that of their interval.

    Alertmanager writes its file when it stops, and every 15 minutes: what is done to silences after that is not in it.
    """
    ended, longer = make_silence("ended"), make_silence("longer")
    on(HOST, "systemctl restart alertmanager")
    wait_for("Alertmanager runs", lambda: _answers(lambda: set(active_silences()) == {"ended", "longer"}))
    Alertmanager(HOST).delete(f"/api/v2/silence/{ended['id']}").raise_for_status()
    make_silence(**{**longer, "endsAt": in_hours(4)})
    make_silence("kept")
    pid, begun = scenario.in_force(HOST).pid, time.time()
    with scenario.Watch(Prometheus(HOST)) as watch:
        done = backup()
    ended = time.time()
    assert done.rc == 0
    assert watch.missed == []
    assert scenario.in_force(HOST).pid == pid
    assert f"made the repository {REPOSITORY}" in done.said
    assert "2 silences" in done.said
    up = f'up{{job="node_exporter",instance="{HOST}"}}'
    wait_for("a scrape after it", lambda: Prometheus(HOST).query(f"timestamp({up}) > {ended}"))
    found = Prometheus(HOST).query(f"{up}[{int(time.time() - begun) + 2 * SCRAPE}s]")
    stamps = [float(stamp) for stamp, _value in found[0]["values"]]
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    print(f"{len(stamps)} scrapes around the backup of {ended - begun:.1f} s, longest gap {max(gaps):.2f} s")
    assert max(gaps) < 2 * SCRAPE
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
    with slow_restic():
        done = backup(backup_progress=0.1)
    assert done.rc == 0
    assert re.search(rf"{HOST}: (at it for|\d+% of)", done.said)
    added = metric("opswatch_backup_added_bytes")
    print(f"first {first:.0f} bytes, second {added:.0f} bytes, {added / first:.1%}")
    # The scrapes of the minute between the two are new, and everything else is known.
    assert added < first / 2
    assert metric("opswatch_backup_snapshots") == 2


def test_old_backups_are_dropped_on_each_host_and_their_space_is_freed_on_one() -> None:
    """Two hosts that share a repository; each keeps its last one."""
    both, shared = f"{HOST}:{HEIR}", "/srv/backup/shared"
    wish: dict[str, Any] = {"backup_repository": shared, "backup_keep": {"last": 1}}
    runs = []
    for _number in range(2):
        for host in (HOST, HEIR):
            on(host, "rm -f /var/cache/opswatch/restic/forgotten")  # it has been a day
        runs.append(backup(host=both, **wish))
    first, second = runs
    assert first.rc == 0
    assert first.said.count(f"made the repository {shared}") == 1
    assert "dropped old backups" not in first.said
    assert second.rc == 0
    assert second.said.count("dropped old backups: 1") == 2
    assert second.said.count("freed the space of what no backup needs") == 1
    stored = json.loads(on(HOST, _restic("snapshots --json", shared)))
    assert sorted(one["hostname"] for one in stored) == [HOST, HEIR]
    assert metric("opswatch_backup_snapshots") == 1


def test_what_the_inventory_leaves_out(tmp_path: Path) -> None:
    """A host, by a repository that is empty, beside one that has some; and components: what it names is whole."""
    more, place = tmp_path / "more.yml", "/srv/backup/left"
    stated = f"{{{{ '' if inventory_hostname == '{HEIR}' else '{place}' }}}}"
    variables = settings(backup_repository=stated, backup_components=["prometheus"])
    more.write_text(json.dumps({"all": {"vars": variables}}))
    done = playbook("playbooks/backup.yml", inventories=[Path(os.environ["MOLECULE_INVENTORY_FILE"]), more])
    assert done.rc == 0
    assert f"{HEIR} has no backups, as its backup_repository is empty; {HOST} has one that is not" in done.said
    stored = json.loads(on(HOST, _restic("snapshots --json", place)))
    assert [(one["hostname"], one["tags"]) for one in stored] == [(HOST, ["opswatch.monitoring"])]


def test_drill_touches_nothing() -> None:
    pid = on(HOST, "systemctl show -P MainPID prometheus")
    done = restore(restore_drill=True)
    assert done.rc == 0
    assert "prometheus: starts on it" in done.said
    assert "as in the manifest" in done.said
    assert on(HOST, "systemctl show -P MainPID prometheus") == pid
    assert metric("opswatch_restore_drill_last_run_success") == 1
    assert scenario.host(HOST).run("ls -d /var/lib/opswatch/.backup-drill").rc != 0
    wait_for("only the one that serves is left", lambda: on(HOST, "pgrep -c -x prometheus").strip() == "1")


def test_killed_drill_leaves_no_prometheus_behind() -> None:
    """Its own one asks nobody for a password."""
    # By how it begins: setpriv and nice, which become it, have the same words behind their own.
    second = 'pgrep -f "^[^ ]*/prometheus .*/var/lib/opswatch/.backup-drill"'
    wish = {"restore_components": "prometheus", "restore_drill": True}
    process = scenario.start_playbook("playbooks/restore.yml", "--limit", HOST, variables=settings(**wish))
    kill = f"until found=$({second}) && set -- $found && kill -9 $(ps -o ppid= -p $1); do sleep 0.02; done"
    on(HOST, f"timeout 600 sh -c '{kill}'")
    scenario.finish(process)
    wait_for("only the one that serves is left", lambda: on(HOST, "pgrep -c -x prometheus").strip() == "1")
    assert scenario.host(HOST).run(second).rc != 0
    assert restore(**wish).rc == 0
    assert scenario.host(HOST).run("ls -d /var/lib/opswatch/.backup-drill").rc != 0


def test_newer_data_is_not_overwritten() -> None:
    done = restore(restore_components="prometheus")
    assert done.rc != 0
    assert "prometheus has data that is newer than the backup" in done.said
    assert "restore_overwrite: true" in done.said
    assert old_samples() == SAMPLES
    checked = restore("--check")
    assert checked.rc != 0
    assert "would restore prometheus of backup" in checked.said
    assert "would restore grafana of backup" in checked.said
    assert "prometheus has data that is newer than the backup" in checked.said


def test_data_that_would_be_dropped_is_not_restored() -> None:
    time.sleep(3)  # until the backup is older than that
    unit = "/etc/systemd/system/prometheus.service"
    words = "--storage.tsdb.retention.time="
    on(HOST, f"cp {unit} /root/unit && sed -i 's/{words}[0-9a-z]*/{words}2s/' {unit}")
    on(HOST, "systemctl daemon-reload && systemctl restart prometheus")
    wait_for("Prometheus runs", lambda: _answers(lambda: Prometheus(HOST).query("1")))
    done = restore("--check", restore_components="prometheus", restore_overwrite=True)
    on(HOST, f"cp /root/unit {unit} && systemctl daemon-reload && systemctl restart prometheus")
    wait_for("Prometheus runs", lambda: _answers(lambda: Prometheus(HOST).query("1")))
    assert done.rc != 0
    assert "Prometheus would drop everything that is in the backup" in done.said
    assert "raise prometheus_retention_time" in done.said


def test_no_space() -> None:
    """Said before anything is fetched."""
    folder = "/var/lib/prometheus"
    on(HOST, f"systemctl stop prometheus && mkdir /root/kept && cp -a {folder}/. /root/kept")
    on(HOST, f"mount -t tmpfs -o size=60m tmpfs {folder} && cp -a /root/kept/. {folder}")
    on(HOST, f"chown prometheus: {folder} && systemctl start prometheus")
    done = restore(restore_components="prometheus", restore_overwrite=True)
    on(HOST, f"systemctl stop prometheus && umount {folder} && rm -r /root/kept && systemctl start prometheus")
    assert done.rc != 0
    assert f"no space on the file system of {folder}" in done.said
    assert "nothing was changed" in done.said
    wait_for("Prometheus runs", lambda: _answers(lambda: Prometheus(HOST).query("1")))


def test_lost_data_comes_back() -> None:
    """Everything is thrown away, a silence too; what the backup has is there again, and a later silence is not."""
    on(HOST, "systemctl stop prometheus alertmanager && rm -rf /var/lib/prometheus/* /var/lib/alertmanager/*")
    on(HOST, "systemctl start prometheus alertmanager")
    wait_for("Prometheus runs, empty", lambda: _answers(old_samples) == 0)
    wait_for("Alertmanager runs, empty", lambda: _answers(active_silences) == {})
    make_silence("later")
    done = restore(restore_components="prometheus,alertmanager", restore_overwrite=True)
    assert done.rc == 0
    assert "prometheus serves the data of backup" in done.said
    assert old_samples() == SAMPLES
    assert "2 silences in force, 1 made anew, 1 changed, 1 ended, 1 of later gone" in done.said
    assert active_silences().keys() == {"kept", "longer"}
    assert active_silences()["longer"] > in_hours(3)
    assert scenario.host(HOST).run("ls -d /var/lib/prometheus/.monitoring-restore").rc != 0
    assert playbook("site.yml", "--check", variables=settings()).rc == 0


def test_dashboards_and_log_lines_come_back() -> None:
    """Both services are emptied; what was made a moment before the backup is there again."""
    grafana, loki = Server(HOST, 3000), Server(HOST, 3100)
    login = ("admin", scenario.secret("grafana_admin_password"))

    def dashboards() -> set[str]:
        found = requests.get(f"{grafana.url}/api/search?type=dash-db", auth=login, timeout=30)
        return {one["title"] for one in found.json()}

    def lines() -> int:
        found = loki.get("/loki/api/v1/query_range", query='{job="kept"}', limit=1000).json()["data"]["result"]
        return sum(len(one["values"]) for one in found)

    before = dashboards()
    made = {"dashboard": {"uid": "kept", "title": "Kept", "panels": []}, "overwrite": True}
    requests.post(f"{grafana.url}/api/dashboards/db", json=made, auth=login, timeout=30).raise_for_status()
    now = time.time_ns()
    values = [[str(now + number), f"line {number}"] for number in range(500)]
    loki.post("/loki/api/v1/push", {"streams": [{"stream": {"job": "kept"}, "values": values}]}).raise_for_status()
    fetched = "/var/lib/loki/.monitoring-restore/new"  # by a restore that was killed
    on(HOST, f"mkdir -p {fetched} && touch {fetched}/chunk")
    assert backup().rc == 0
    stored = on(HOST, _restic("ls latest", REPOSITORY))
    assert "/var/lib/loki" in stored
    assert ".monitoring-restore" not in stored
    on(HOST, "systemctl stop grafana loki && rm -rf /var/lib/loki/* /var/lib/grafana/grafana.db*")
    on(HOST, "systemctl start grafana loki")
    wait_for("both run, empty", lambda: _answers(lambda: (lines(), "Kept" in dashboards())) == (0, False))
    done = restore(restore_components="grafana,loki", restore_overwrite=True)
    assert done.rc == 0
    assert dashboards() == before | {"Kept"}
    wait_for("the lines are there", lambda: _answers(lines) == 500)
    assert playbook("site.yml", "--check", variables=settings()).rc == 0


@contextmanager
def with_each_start(command: str, when: str = "Pre", host: str = HOST, unit: str = "prometheus") -> Iterator[None]:
    """A command of root before it starts, or after; it does not start, or is stopped, if that fails."""
    folder = f"/etc/systemd/system/{unit}.service.d"
    text = f'[Service]\\nExecStart{when}=+/bin/sh -c "{command}"\\n'
    on(host, f"mkdir -p {folder} && printf '{text}' > {folder}/fault.conf && systemctl daemon-reload")
    try:
        yield
    finally:
        on(host, f"rm -r {folder} && systemctl daemon-reload")


# After its start there is more to undo than before.
@pytest.mark.parametrize("when", [pytest.param("Pre", marks=pytest.mark.slow), "Post"])
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
        wait_for("the restored data is started", lambda: scenario.host(HOST).run(waits).rc == 0, 300)
        on(HOST, f"kill -9 $(ps -o ppid= -p $({waits} | head -1))")
        scenario.finish(process)
        on(HOST, "test -e /var/lib/prometheus/.monitoring-restore/swap.json")
    meanwhile = playbook("site.yml", "--check", "--limit", HOST, variables=settings())
    assert meanwhile.rc != 0
    assert "a restore of prometheus was killed before its data had proved itself" in meanwhile.said
    copied = backup(backup_components="prometheus")
    assert copied.rc != 0
    assert "prometheus is not in the backup: a restore of prometheus was killed" in copied.said
    checked = restore("--check", restore_components="prometheus", restore_overwrite=True)
    assert checked.rc == 0
    assert "would undo a restore of prometheus that was killed" in checked.said
    done = restore(restore_components="prometheus", restore_overwrite=True)
    assert done.rc == 0
    assert "undid a restore of prometheus that was killed: its earlier data serves again" in done.said
    assert old_samples() == SAMPLES


def test_wrong_password() -> None:
    done = backup(backup_password="wrong")
    assert done.rc != 0
    assert "the repository does not open with this password" in done.said
    assert "correct backup_password" in done.said
    assert "backup_password.txt in the folder of secrets on the control node" in done.said
    assert metric("opswatch_backup_last_run_success") == 0
    assert on(HOST, "ls -A /var/lib/prometheus/snapshots").strip() == ""
    done = restore(restore_drill=True, backup_password="wrong")
    assert done.rc != 0
    assert "does not open with this password" in done.said


@pytest.fixture(scope="module")
def partial() -> str:
    """A backup of what has no data."""
    made = backup(backup_components="node_exporter")
    assert made.rc == 0
    (snapshot,) = re.findall(r"backup ([0-9a-f]{8}):", made.said)
    return str(snapshot)


def test_component_that_the_backup_does_not_have(partial: str) -> None:
    done = restore(restore_snapshot=partial, restore_components="loki", restore_drill=True)
    assert done.rc != 0
    assert "the backup does not have loki: it has node_exporter" in done.said
    assert "choose another restore_snapshot" in done.said


@pytest.mark.usefixtures("partial")
def test_backup_that_is_not_there() -> None:
    done = restore(restore_snapshot="0badc0de", restore_drill=True)
    assert done.rc != 0
    assert "no backup of this host is meant by '0badc0de'" in done.said
    assert re.search(r"[0-9a-f]{8} \S+Z partial \(node_exporter\)", done.said)


@pytest.mark.usefixtures("partial")
def test_backups_are_listed() -> None:
    done = restore(restore_snapshot="list")
    assert done.rc == 0
    assert re.search(r"[0-9a-f]{8} \S+Z whole", done.said)
    assert re.search(r"[0-9a-f]{8} \S+Z partial \(node_exporter\)", done.said)
    assert re.search(rf"{HOST} : ok=\d+ changed=0 ", done.said)


def test_nothing_to_restore_is_said(partial: str) -> None:
    done = restore(restore_snapshot=partial, restore_drill=True)
    assert done.rc == 0
    assert f"nothing to try: backup {partial} has no data of what is installed here" in done.said


def test_two_backups_at_once() -> None:
    """The first holds the lock for at least two calls of restic; the second is refused meanwhile."""
    words = ("playbooks/backup.yml", "--limit", HOST)
    with slow_restic(6):
        processes = [scenario.start_playbook(*words, variables=settings()) for _number in range(2)]
        runs = [scenario.finish(process) for process in processes]
    well, refused = sorted(runs, key=lambda run: run.rc)
    assert well.rc == 0
    assert refused.rc != 0
    assert "another run is changing backups on this host" in refused.said
    assert metric("opswatch_backup_last_run_success") == 1


# Of SIGTERM the unit tests tell too.
@pytest.mark.parametrize("signal", [pytest.param("TERM", marks=pytest.mark.slow), "KILL"])
def test_killed_backup_leaves_nothing(signal: str) -> None:
    """SIGTERM lets it remove its snapshot; after SIGKILL, of which it does not hear, the next backup does."""
    snapshot, waits = "/var/lib/prometheus/snapshots/opswatch", "pgrep -f '[s]h /usr/local/bin/restic backup'"
    with slow_restic(60):
        process = scenario.start_playbook("playbooks/backup.yml", "--limit", HOST, variables=settings())
        wait_for("restic is called", lambda: scenario.host(HOST).run(waits).rc == 0, 300)
        on(HOST, f"test -d {snapshot}")
        on(HOST, f"kill -{signal} $(ps -o ppid= -p $({waits} | head -1))")
        done = scenario.finish(process)
        wait_for("restic has died with it", lambda: scenario.host(HOST).run(waits).rc == 1, 20)
    assert done.rc != 0
    if signal == "KILL":
        on(HOST, f"test -d {snapshot}")
        assert backup().rc == 0
    else:
        assert "the backup was ended by SIGTERM" in done.said
        assert metric("opswatch_backup_last_run_success") == 0
    assert on(HOST, "ls -A /var/lib/prometheus/snapshots").strip() == ""
    assert scenario.host(HOST).run("test -e /var/lib/opswatch/.backup").rc != 0


def test_other_host_takes_over_the_data() -> None:
    """Another operating system, other numbers of accounts; the samples are the same."""
    done = restore(host=HEIR, restore_host=HOST, restore_components="prometheus", restore_overwrite=True)
    assert done.rc == 0
    result = Prometheus(HEIR).query("sum(count_over_time(made_up[10d]))")
    assert int(float(result[0]["value"][1])) == SAMPLES


def sql(statement: str, account: str = "grafana") -> str:
    return on(HEIR, f"cd / && runuser -u {account} -- psql -XAtq -v ON_ERROR_STOP=1 -c '{statement}'").strip()


def test_grafana_in_postgresql() -> None:
    """Its tables are there as they were, and one that came later is not; also where Grafana does not start on them."""
    on(HEIR, "pg_ctlcluster $(pg_lsclusters -h | cut -d' ' -f1,2) start")
    sql("CREATE ROLE grafana LOGIN", "postgres")
    sql("CREATE DATABASE grafana OWNER grafana", "postgres")
    wish: dict[str, Any] = {"grafana_database": IN_POSTGRESQL}
    assert playbook("site.yml", "--limit", HEIR, variables=settings(**wish)).rc == 0
    if "stand-in" in on(HEIR, "grafana -v"):  # it keeps what it has in its own file
        sql("CREATE TABLE dashboard (id serial PRIMARY KEY, uid text, data text, is_folder boolean)")
        columns = '"uid", data, is_folder'
        sql(f'INSERT INTO dashboard ({columns}) SELECT n, $${{"title": "a"}}$$, n = 7 FROM generate_series(1, 7) n')
    number = int(sql("SELECT count(*) FROM dashboard WHERE NOT is_folder"))
    assert number > 5
    done = backup(host=HEIR, backup_components="grafana", **wish)
    assert done.rc == 0
    assert f"{number} dashboards" in done.said
    snapshot = re.findall(r"backup ([0-9a-f]{8}):", done.said)[0]
    sql("DELETE FROM dashboard WHERE NOT is_folder")
    sql("CREATE TABLE later (x int)")
    asked: dict[str, Any] = {"host": HEIR, "restore_components": "grafana", "restore_snapshot": snapshot, **wish}
    refused = restore(**asked)
    assert refused.rc != 0
    assert "grafana has data that is newer than the backup" in refused.said
    with with_each_start("! test -e /var/lib/grafana/.monitoring-restore/before.sql", host=HEIR, unit="grafana"):
        failed = restore(restore_overwrite=True, **asked)
    assert failed.rc != 0
    assert "its earlier data serves again" in failed.said
    assert sql("SELECT count(*) FROM dashboard WHERE NOT is_folder") == "0"
    assert sql("SELECT count(*) FROM later") == "0"
    restored = restore(restore_overwrite=True, **asked)
    assert restored.rc == 0
    assert sql("SELECT count(*) FROM dashboard WHERE NOT is_folder") == str(number)
    assert sql("SELECT to_regclass($$later$$) IS NULL") == "t"
    assert scenario.host(HEIR).run("ls -d /var/lib/grafana/.monitoring-restore").rc != 0
    assert restore(restore_drill=True, **asked).rc == 0


def test_password_of_grafana_in_postgresql() -> None:
    """Nobody knows it any more, and the command of 9.3 only says that it worked."""
    is_standin = "stand-in" in on(HEIR, "grafana -v")  # it has its users in its own file: only the tables tell
    if is_standin:
        sql('CREATE TABLE "user" (id serial PRIMARY KEY, login text, password text, salt text)')
        sql("CREATE TABLE login_attempt (username text, ip_address text, created int)")
        sql('INSERT INTO "user" (login) VALUES ($$admin$$), ($$other$$)')
    sql("INSERT INTO login_attempt (username, ip_address, created) VALUES ($$Admin$$, $$192.0.2.1$$, 0)")
    on(HEIR, "rm /var/lib/opswatch/grafana/admin/password")
    wish: dict[str, Any] = {"grafana_database": IN_POSTGRESQL}
    words = ("site.yml", "-v", "--tags", "grafana", "--limit", HEIR)
    done = playbook(*words, variables=settings(grafana_admin_password="another one", **wish))
    if is_standin:
        assert done.rc != 0
        assert "its database: it reported success, but the login is refused as before" in done.said
    else:
        assert done.rc == 0
        assert "reset the password of admin by its database, and proved it" in done.said
    digest, salt = sql('SELECT password, salt FROM "user" WHERE login = $$admin$$').split("|")
    assert digest == hashlib.pbkdf2_hmac("sha256", b"another one", salt.encode(), 10000, 50).hex()
    assert digest not in done.output
    assert sql("SELECT count(*) FROM login_attempt") == "0"
    assert playbook(*words, variables=settings(**wish)).rc == 0


def test_over_sftp() -> None:
    """The repository is on another host; root of this one has a key for it."""
    key = "/root/.ssh/id_ed25519"
    on(HOST, f"mkdir -pm 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f {key}")
    public = on(HOST, f"cat {key}.pub").strip()
    on(HEIR, f"mkdir -pm 700 /root/.ssh && echo '{public}' > /root/.ssh/authorized_keys && systemctl start ssh")
    there = {"backup_repository": f"sftp:root@{HEIR}:/srv/sftp", "backup_components": "alertmanager"}
    stranger = backup(**there)
    assert stranger.rc != 0
    assert "Host key verification failed" in stranger.said
    assert "ssh-keyscan shows it" in stranger.said
    on(HOST, f"ssh-keyscan -t ed25519 {HEIR} > /root/.ssh/known_hosts 2>/dev/null")
    assert backup(**there).rc == 0
    on(HEIR, "test -s /srv/sftp/config")
    wish = {**there, "restore_components": "alertmanager", "restore_drill": True}
    assert restore(**wish).rc == 0


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
        well = subprocess.run(["sh", "-c", job], capture_output=True, text=True, check=False, timeout=900)
        assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
        more.write_text(json.dumps({"all": {"vars": settings(backup_password="wrong", backup_repository=other)}}))
        bad = subprocess.run(["sh", "-c", job], capture_output=True, text=True, check=False, timeout=900)
        assert bad.returncode != 0
        assert f"{HOST}: " in bad.stderr
        assert "the repository does not open with this password" in bad.stderr
        playbook("playbooks/backup.yml", variables={"backup_schedule": "none"}, inventories=sources)
        assert [line for line in table.read_text().splitlines() if line.strip()] == []


def test_control_node_without_cron(tmp_path: Path) -> None:
    """It has everything that this one has but crontab: the backup is made, and the entry is said to be missing."""
    for program in [one for folder in os.environ["PATH"].split(":") for one in Path(folder).glob("*")]:
        if program.name != "crontab" and not os.path.lexists(tmp_path / program.name):
            (tmp_path / program.name).symlink_to(program)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        done = backup(backup_schedule="30 2 * * 6", backup_components="node_exporter")
        assert done.rc != 0
        assert re.search(r"backup [0-9a-f]{8}:.*There is no crontab on the control node", done.said)
        assert "apt-get install cron" in done.said
        assert backup(backup_schedule="none").rc == 0


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
