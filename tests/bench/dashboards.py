# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fifty dashboards brought to Grafana: grafana_dashboards next to the modules of the two other collections."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import sys
import tarfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from tests.standins.server import PASSWORD, Grafana
from tests.testbed import galaxy
from tests.testbed.console import Failure, run, say
from tests.testbed.demo import first_failure, tool
from tests.testbed.paths import COLLECTIONS, DEV, PEERS, ROOT

from .report import Bar, in_seconds, table

REPORT = ROOT / "docs/benchmarks-dashboards.md"
SCRATCH = DEV / "bench-dashboards"
VERSION = "9.3.2"
ARCHIVE = f"oss/release/grafana-{VERSION}.linux-amd64.tar.gz"
DASHBOARDS, PANELS, FOLDERS = 50, 12, 5
FIRST = "first run"
NOTHING = "nothing to change"
SECONDS = {FIRST: 2.5, NOTHING: 1.5}
OURS = "ours"

TEXT = """\
# Benchmarks: dashboards

Written by `./dev bench dashboards` on {date}; every number was seen in that run. Run it again to replace them.

{dashboards} dashboards of {panels} panels each, {size} KB of JSON, in {folders} folders, are brought to {server} by one
`ansible-playbook`, whose whole time is measured.

- **ours**: `grafana_dashboards` of this collection, one task.
- **community.grafana {community}**: a task with `grafana_folder` and one with `grafana_dashboard`, each a loop.
- **grafana.grafana {grafana}**: the same with its `folder` and `dashboard`, by a token as it takes no password.

All three have the same files, a local connection, and each a Grafana of its own on the loopback, empty before its first
run. They took turns. Writes are requests other than GET for dashboards and folders, counted by Grafana's own log. After
each run all dashboards were there, in their folders.

| | |
| --- | --- |
| cores | {cores}, shared by all of it |
| load average before the run | {load:.2f} |
| control node | Python {python}, ansible-core {ansible} |

{results}

Medians of whole runs, with the shortest and the longest in brackets; writes and reports are those of the last run.

{bars}
"""


@dataclass(frozen=True)
class Run:
    seconds: float
    requests: int
    writes: int
    changed: int


def panel(number: int, uid: str) -> dict[str, Any]:
    """One as Grafana itself saves it, in size and shape."""
    legend = {"calcs": ["mean", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True}
    custom = {"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": False}
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 80}]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": f"Panel {number}",
        "description": f"What panel {number} of {uid} shows, and what to do when it is red.",
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {
            "defaults": {"unit": "percent", "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {
                "refId": name,
                "expr": f'sum by (instance) (rate(metric_{number}_{name}{{job="$job", instance=~"$instance"}}[5m]))',
                "legendFormat": "{{instance}}",
            }
            for name in ("A", "B")
        ],
    }


def dashboard(number: int) -> dict[str, Any]:
    uid = f"bench-{number:02}"
    return {
        "uid": uid,
        "title": f"Benchmark {number:02}",
        "schemaVersion": 37,
        "tags": ["bench"],
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": [panel(one, uid) for one in range(PANELS)],
        "templating": {"list": [{"name": "job", "type": "query", "query": "label_values(up, job)"}]},
    }


def folder(number: int) -> str:
    return f"folder-{number % FOLDERS}"


FOLDER_NAMES = [folder(number) for number in range(FOLDERS)]


def write_tree(root: Path) -> int:
    """The size of all files."""
    size = 0
    for number in range(DASHBOARDS):
        path = root / folder(number) / f"dashboard-{number:02}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        size += path.write_text(json.dumps(dashboard(number), indent=2))
    return size


# --- the sides: a task of ours, two loops of the others ---

Tasks = Callable[[Path, Grafana, str], list[dict[str, Any]]]


def ours(tree: Path, grafana: Grafana, _token: str) -> list[dict[str, Any]]:
    login = {"url": grafana.url, "user": "admin", "password": PASSWORD}
    return [{"opswatch.monitoring.grafana_dashboards": {**login, "path": str(tree), "owner": "bench", "prune": True}}]


def files(tree: Path) -> list[dict[str, str]]:
    return [{"path": str(path), "folder": path.parent.name} for path in sorted(tree.rglob("*.json"))]


def community(tree: Path, grafana: Grafana, _token: str) -> list[dict[str, Any]]:
    login = {"grafana_url": grafana.url, "url_username": "admin", "url_password": PASSWORD}
    one = {**login, "path": "{{ item.path }}", "folder": "{{ item.folder }}", "overwrite": True}
    return [
        {
            "community.grafana.grafana_folder": {**login, "title": "{{ item }}"},
            "loop": FOLDER_NAMES,
        },
        {"community.grafana.grafana_dashboard": one, "loop": files(tree)},
    ]


def grafana_labs(tree: Path, grafana: Grafana, token: str) -> list[dict[str, Any]]:
    login = {"grafana_url": grafana.url, "grafana_api_key": token}
    model = "{{ lookup('ansible.builtin.file', item.path) | from_json }}"
    body = {"dashboard": model, "folderUid": "{{ item.folder }}", "overwrite": True}
    return [
        {"grafana.grafana.folder": {**login, "title": "{{ item }}", "uid": "{{ item }}"}, "loop": FOLDER_NAMES},
        {"grafana.grafana.dashboard": {**login, "dashboard": body}, "loop": files(tree)},
    ]


SIDES: dict[str, Tasks] = {OURS: ours, "community.grafana": community, "grafana.grafana": grafana_labs}


def version_of(collection: str) -> str:
    manifest = PEERS / "ansible_collections" / collection.replace(".", "/") / "MANIFEST.json"
    return str(json.loads(manifest.read_text())["collection_info"]["version"])


@dataclass
class Side:
    name: str
    tree: Path
    grafana: Grafana
    token: str = ""

    @property
    def scratch(self) -> Path:
        return SCRATCH / self.name

    def prepare(self) -> None:
        account = self.grafana.ask("POST", "/api/serviceaccounts", {"name": "bench", "role": "Admin"}).json()["id"]
        self.token = self.grafana.ask("POST", f"/api/serviceaccounts/{account}/tokens", {"name": "t"}).json()["key"]

    def play(self) -> Run:
        tasks = SIDES[self.name](self.tree, self.grafana, self.token)
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [{"name": "Bring the dashboards", **task} for task in tasks],
        }
        playbook = self.scratch / "play.yml"
        playbook.write_text(yaml.safe_dump([play]))
        asked, writes = len(self.grafana.asked()), len(self.writes())
        paths = (ROOT / "collections", COLLECTIONS, PEERS)
        begun = time.monotonic()
        output = run(
            [tool("ansible-playbook"), "-i", "localhost,", playbook],
            log=f"bench-dashboards-{self.name}",
            remedy="mend what the failed task says, then ./dev bench dashboards again",
            env=os.environ | {"ANSIBLE_COLLECTIONS_PATH": ":".join(map(str, paths)), "ANSIBLE_NOCOLOR": "1"},
            excerpt=first_failure,
        )
        seconds = time.monotonic() - begun
        counts = len(self.grafana.asked()) - asked, len(self.writes()) - writes
        self.prove()
        return Run(seconds, *counts, int(output.rpartition("changed=")[2].split()[0]))

    def writes(self) -> list[tuple[str, str]]:
        """Of dashboards and folders: to choose an organisation, as one of them does, changes nothing."""
        return [one for one in self.grafana.writes() if one[1].startswith(("/api/dashboards", "/api/folders"))]

    def prove(self) -> None:
        """All dashboards are in their folders, and the first and the last are as their files."""
        found = {one["uid"]: one for one in self.grafana.ask("GET", "/api/search?type=dash-db&limit=5000").json()}
        for number in range(DASHBOARDS):
            wanted = dashboard(number)
            uid = wanted["uid"]
            if found.get(uid, {}).get("folderTitle") != folder(number):
                raise Failure(f"{self.name}: {uid} is not in {folder(number)}", "see the log of the run")
        for uid in (dashboard(0)["uid"], dashboard(DASHBOARDS - 1)["uid"]):
            panels = self.grafana.ask("GET", f"/api/dashboards/uid/{uid}").json()["dashboard"]["panels"]
            if panels != dashboard(int(uid[-2:]))["panels"]:
                raise Failure(f"{self.name}: {uid} is not as its file", "see the log of the run")


# --- the measurement ---


@dataclass
class Results:
    runs: dict[tuple[str, str], list[Run]] = field(default_factory=lambda: defaultdict(list))

    def add(self, case: str, side: str, one: Run) -> None:
        self.runs[case, side].append(one)
        say(f"{case}, {side}: {one.seconds:.2f} s, {one.requests} requests, {one.writes} of them writes")

    def seconds(self, case: str, side: str) -> float:
        return median(one.seconds for one in self.runs[case, side])


def real_home() -> Path | None:
    """The real Grafana, unpacked; None where the mirror has none."""
    mirror = os.environ.get("MONITORING_MIRROR", "")
    archive = Path(mirror) / ARCHIVE
    if not mirror or "://" in mirror or not archive.is_file():
        return None
    with tarfile.open(archive) as tar:
        tar.extractall(SCRATCH, filter="data")
    return SCRATCH / f"grafana-{VERSION}"


@contextmanager
def servers(tree: Path, home: Path | None) -> Iterator[list[Side]]:
    """One for each side, empty."""
    sides = []
    try:
        for name in SIDES:
            folder = SCRATCH / name
            shutil.rmtree(folder, ignore_errors=True)
            sides.append(Side(name, tree, Grafana(folder, home)))
            sides[-1].grafana.start()
            sides[-1].prepare()
        yield sides
    finally:
        for side in sides:
            side.grafana.stop()


def measure(rounds: int, nothing: int) -> tuple[Results, int, bool]:
    results = Results()
    SCRATCH.mkdir(parents=True)
    try:
        home = real_home()
        tree = SCRATCH / "tree"
        size = write_tree(tree)
        for _ in range(rounds):
            with servers(tree, home) as sides:
                for case, repetitions in ((FIRST, 1), (NOTHING, nothing)):
                    for _repetition in range(repetitions):
                        for side in sides:
                            results.add(case, side.name, side.play())
        return results, size, home is not None
    finally:
        shutil.rmtree(SCRATCH)


def found_bars(results: Results) -> list[Bar]:
    bars = [Bar(f"{case}: in all", limit, results.seconds(case, OURS), in_seconds) for case, limit in SECONDS.items()]
    writes = max(one.writes for one in results.runs[NOTHING, OURS])
    return [*bars, Bar(f"{NOTHING}: writes", 0, writes, lambda count: f"{count:.0f}")]


def report(results: Results, bars: Sequence[Bar], setting: Mapping[str, Any]) -> str:
    rows = [["work", "collection", "runs", "time", "requests", "writes", "changed tasks"]]
    for case in (FIRST, NOTHING):
        for side in SIDES:
            runs = results.runs[case, side]
            times = [one.seconds for one in runs]
            time_text = f"{median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"
            counts = [str(count) for count in (runs[-1].requests, runs[-1].writes, runs[-1].changed)]
            rows.append([case, side, str(len(runs)), time_text, *counts])
    shown = [["bar", "at most", "seen", "met"]]
    shown += [[bar.what, bar.show(bar.limit), bar.show(bar.seen), "yes" if bar.met else "**no**"] for bar in bars]
    return TEXT.format(results=table(rows), bars=table(shown), **setting)


def main(quick: bool) -> int:
    """Ends with 1 where a bar is missed."""
    import platform
    from importlib.metadata import version

    galaxy.ensure_peers()
    load = os.getloadavg()[0]
    results, size, is_real = measure(*((1, 1) if quick else (3, 3)))
    bars = found_bars(results)
    text = report(
        results,
        bars,
        {
            "date": datetime.date.today().isoformat(),
            "dashboards": DASHBOARDS,
            "panels": PANELS,
            "folders": FOLDERS,
            "size": size // 1024,
            "server": f"the real Grafana {VERSION}" if is_real else f"**a stand-in** for Grafana {VERSION}",
            "community": version_of("community.grafana"),
            "grafana": version_of("grafana.grafana"),
            "cores": len(os.sched_getaffinity(0)),
            "load": load,
            "python": platform.python_version(),
            "ansible": version("ansible-core"),
        },
    )
    if quick:
        say(text)
    else:
        REPORT.write_text(text)
        say(f"written: {REPORT.relative_to(ROOT)}")
    for bar in bars:
        say(f"{'met' if bar.met else 'MISSED'}: {bar.what}: {bar.show(bar.seen)}, at most {bar.show(bar.limit)}")
    return 0 if all(bar.met for bar in bars) else 1
