# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of Prometheus and its way back, next to the tar of the data folder that the guide makes."""

from __future__ import annotations

import datetime
import json
import os
import random
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.testbed import hosts
from tests.testbed.console import Failure, run, say
from tests.testbed.demo import first_failure, tool
from tests.testbed.paths import DEV, MIRROR, ROOT

from .report import Bar, in_seconds, part, table

REPORT = ROOT / "docs/benchmarks-backup.md"
SCRATCH = DEV / "bench-backup"
NAME, IMAGE = "bench-backup", "opswatch/host:trixie"
DATA, REPOSITORY = "/var/lib/prometheus", "/srv/backup"
WINDOW, SERIES = 7200, 500  # seconds of a block, series in it
WINDOWS, SAMPLES = 20, 4_000_000  # blocks, samples in each
TAR = f"tar -czf /srv/guide.tar.gz {DATA}"

TEXT = """\
# Benchmarks: backup

Written by `./dev bench backup` on {date}; every number was seen in that run. Run it again to replace them.

One host (Debian 13 in a container) with the real Prometheus {version}, which scrapes itself each second and holds
{samples} made-up samples in {blocks} blocks, {size:.0f} MB, of noise that compresses badly. Both sides have the
same data.

- **ours**: `ansible-playbook playbooks/backup.yml`, whole, as cron starts it; restic {restic} stores into a folder of
  the host.
- **the guide**: `{tar}` while Prometheus runs, without the time for Ansible or for copying the archive away.

| | |
| --- | --- |
| cores | {cores}, shared by all of it |
| load average before the run | {load:.2f} |

{results}

{bars}

## The way back

{back}
"""


@dataclass(frozen=True)
class Step:
    what: str
    seconds: float
    stored: float  # bytes that it added to what is stored


def on(command: str, check: bool = True) -> str:
    words = ["docker", "exec", hosts.container_name(NAME), "sh", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise Failure(f"on {NAME}: {command}", "see above", done.stderr)
    return done.stdout.strip()


def timed(command: str) -> tuple[float, str]:
    begun = time.monotonic()
    output = on(f"{command}; echo rc $?", check=False)
    return time.monotonic() - begun, output


def play(playbook: str, variables: dict[str, Any]) -> tuple[float, str]:
    begun = time.monotonic()
    output = run(
        [tool("ansible-playbook"), "-i", SCRATCH / "hosts.yml", ROOT / playbook, "-e", json.dumps(variables)],
        log=f"bench-backup-{Path(playbook).stem}",
        remedy="mend what the failed task says, then ./dev bench backup again",
        excerpt=first_failure,
    )
    return time.monotonic() - begun, output


def prepare() -> dict[str, Any]:
    """A host with a server of some age."""
    hosts.destroy(NAME)
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    hosts.boot(NAME, IMAGE)
    connection = {"ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}
    node = {"ansible_host": hosts.container_name(NAME), **connection}
    (SCRATCH / "hosts.yml").write_text(yaml.safe_dump({"prometheus": {"hosts": {"node": node}}}))
    variables = {
        "monitoring_mirror": os.environ.get("MONITORING_MIRROR") or str(MIRROR),
        "backup_repository": REPOSITORY,
        "backup_keep": {},
        "prometheus_scrape_interval": "1s",
        "prometheus_job_scrape_interval": "1s",
        # Both sides are to see the same blocks each time: none is merged with others meanwhile.
        "prometheus_flags": {"storage.tsdb.min-block-duration": "2h", "storage.tsdb.max-block-duration": "2h"},
        "backup_progress": 0,  # as from cron
    }
    play("site.yml", variables)
    begin = (int(time.time()) // WINDOW - WINDOWS - 2) * WINDOW
    for number in range(WINDOWS):
        write_block(begin + number * WINDOW)
        say(f"block {number + 1} of {WINDOWS} is there")
    on(f"chown -R prometheus: {DATA} && systemctl restart prometheus")
    wait_until_ready()
    return variables


def write_block(begin: int) -> None:
    source = random.Random(begin)
    text = SCRATCH / "block.txt"
    each = SAMPLES // SERIES
    with text.open("w") as handle:
        handle.write("# TYPE made_up gauge\n")
        for series in range(SERIES):
            for step in range(each):
                handle.write(f'made_up{{n="{series}"}} {source.random():.6f} {begin + step * WINDOW / each:.3f}\n')
        handle.write("# EOF\n")
    subprocess.run(["docker", "cp", "-q", str(text), f"{hosts.container_name(NAME)}:/root/block.txt"], check=True)
    text.unlink()
    on(f"promtool tsdb create-blocks-from openmetrics /root/block.txt {DATA} && rm /root/block.txt")


def wait_until_ready() -> None:
    start = "_SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID prometheus)"
    end = time.monotonic() + 120
    while on(f"journalctl -o cat {start} | grep -c 'Server is ready' || true") == "0":
        if time.monotonic() > end:
            raise Failure("Prometheus does not get ready", f"see its journal on {NAME}")
        time.sleep(0.5)


def size_of(path: str) -> int:
    return int(on(f"du -sb {path} | cut -f1"))


def measure(repetitions: int, variables: dict[str, Any]) -> list[Step]:
    """In turn, from an empty repository on."""
    steps = []
    for number in range(repetitions + 1):
        before = size_of(REPOSITORY) if number else 0
        seconds, _output = play("playbooks/backup.yml", variables)
        steps.append(Step("ours, first" if not number else "ours, again", seconds, size_of(REPOSITORY) - before))
        seconds, output = timed(TAR)
        steps.append(Step("the guide", seconds, size_of("/srv/guide.tar.gz")))
        say(f"{steps[-2].what}: {steps[-2].seconds:.2f} s; the guide: {seconds:.2f} s, {output.splitlines()[-1]}")
    return steps


def tried_back(variables: dict[str, Any]) -> str:
    """Both ways back, and what came of them."""
    seconds, output = play("playbooks/restore.yml", {**variables, "restore_drill": True})
    said = re.findall(r"prometheus: starts on it, .*?as in the manifest", " ".join(output.split()))
    lines = [f"- **ours**: `restore_drill=true` took {seconds:.1f} s: {said[0] if said else 'see the log'}."]
    seconds, output = timed(TAR)
    rest = [line for line in output.splitlines() if not line.startswith("tar: Removing")]
    lines.append(f"- **the guide**: its tar of the running server ended with exit code {rest[-1].removeprefix('rc ')}.")
    on("rm -rf /srv/back && mkdir /srv/back && tar -xzf /srv/guide.tar.gz -C /srv/back || true")
    on("echo '{}' > /srv/back/empty.yml && chown -R prometheus: /srv/back")
    start = (
        "setpriv --reuid=prometheus --regid=prometheus --clear-groups timeout 20 prometheus "
        "--config.file=/srv/back/empty.yml "
        f"--storage.tsdb.path=/srv/back{DATA} --storage.tsdb.retention.time=100y --web.listen-address=127.0.0.1:9999"
    )
    words = on(
        f"({start} > /srv/back/log 2>&1 &) ; sleep 12; curl -s http://127.0.0.1:9999/-/ready || true", check=False
    )
    query = "count(count_over_time(made_up[2d]))"
    found = on(f"curl -sg 'http://127.0.0.1:9999/api/v1/query?query={query}' || true", check=False)
    series = re.findall(r'"value":\[[^,]*,"(\d+)"', found)
    problems = on("grep -ciE 'level=(error|warn)' /srv/back/log || true")
    ready = words.strip() or "it did not answer"
    lines.append(
        f"  A Prometheus started on what was in it: {ready} {series[0] if series else 'no'} of {SERIES} series were "
        f"there, {problems} warnings and errors in its log. Nothing says whether it is whole."
    )
    return "\n".join(lines)


def main(quick: bool) -> int:
    """Ends with 1 where a bar is missed."""
    load = os.getloadavg()[0]
    try:
        variables = prepare()
        size = size_of(DATA)
        steps = measure(1 if quick else 3, variables)
        back = tried_back(variables)
        restic = on("restic version").split()[1]
        version = on("prometheus --version 2>&1 | head -1").split()[2].partition("+")[0]
    finally:
        hosts.destroy(NAME)
        shutil.rmtree(SCRATCH, ignore_errors=True)
    names = list(dict.fromkeys(one.what for one in steps))
    middle = {name: sorted((one for one in steps if one.what == name), key=lambda one: one.seconds) for name in names}
    chosen = {name: found[len(found) // 2] for name, found in middle.items()}
    rows = [["work", "runs", "time", "stored"]]
    for name in names:
        times = [one.seconds for one in middle[name]]
        text = f"{chosen[name].seconds:.2f} s ({min(times):.2f} to {max(times):.2f})"
        rows.append([name, str(len(times)), text, f"{chosen[name].stored / 1e6:.1f} MB"])
    again, first, guide = (chosen[name] for name in ("ours, again", "ours, first", "the guide"))
    bars = [
        Bar("the second stores, of the first", 0.05, again.stored / first.stored, lambda share: f"{share:.2%}"),
        Bar("the second takes, of the guide's tar", 1 / 3, again.seconds / guide.seconds, part),
    ]
    shown = [["bar", "at most", "seen", "met"]]
    shown += [[bar.what, bar.show(bar.limit), bar.show(bar.seen), "yes" if bar.met else "**no**"] for bar in bars]
    text = TEXT.format(
        date=datetime.date.today().isoformat(),
        version=version,
        restic=restic,
        samples=f"{WINDOWS * SAMPLES:,}",
        blocks=WINDOWS,
        size=size / 1e6,
        tar=TAR,
        cores=len(os.sched_getaffinity(0)),
        load=load,
        results=table(rows),
        bars=table(shown),
        back=back,
    )
    if quick:
        say(text)
    else:
        REPORT.write_text(text)
        say(f"written: {REPORT.relative_to(ROOT)}")
    say(f"guide's tar: {in_seconds(guide.seconds)}")
    for bar in bars:
        say(f"{'met' if bar.met else 'MISSED'}: {bar.what}: {bar.show(bar.seen)}, at most {bar.show(bar.limit)}")
    return 0 if all(bar.met for bar in bars) else 1
