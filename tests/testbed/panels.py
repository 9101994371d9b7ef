# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks what every panel of the dashboards asks, and tells which have no data, and why.

    python -m tests.testbed.panels http://172.18.0.2:9090 --password-file .../monitoring_auth_password.txt
    python -m tests.testbed.panels --grafana http://172.18.0.2:3000 --password-file .../grafana_admin_password.txt

Straight from Prometheus, which leaves those out that are about logs, or through Grafana as a browser would: then Loki
is asked too. The passwords are in the inventory's secrets.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests

from dashboards.queries import BEYOND, LIMIT, NORMAL, jobs_of

from .console import Failure, say
from .paths import ROOT
from .queries import Target, one_of, panels, put_in, targets

DASHBOARDS = ROOT / "roles/grafana/files/dashboards"
# What is looked at: an hour, in steps of a minute.
RANGE, STEP = 3600, 60
SIDES = {NORMAL, BEYOND}
# An expression that leaves series out, and so may rightly have none.
CONDITION = re.compile(r"[<>]|==|!=|\b(?:and|unless)\b")


class Source(Protocol):
    """Who answers queries, of these kinds. A text says what is wrong with the query."""

    kinds: frozenset[str]

    def has_data(self, expr: str, *, instant: bool, kind: str = "prometheus") -> bool | str: ...

    def label_values(self, series: str, label: str) -> list[str]: ...


class Prometheus:
    """Prometheus itself, or what answers like it."""

    kinds = frozenset({"prometheus"})

    def __init__(self, url: str, auth: tuple[str, str]) -> None:
        self.url = url.rstrip("/")
        self.session = requests.Session()
        self.session.auth = auth

    def has_data(self, expr: str, *, instant: bool, kind: str = "prometheus") -> bool | str:
        if kind not in self.kinds:
            raise LookupError(f"{self.url} is asked for {kind}: {expr}")
        now = time.time()
        window = {"start": now - RANGE, "end": now, "step": STEP}
        path, more = ("query", {"time": now}) if instant else ("query_range", window)
        answer = self._get(path, {"query": expr, **more})
        return answer if isinstance(answer, str) else bool(answer["result"])

    def label_values(self, series: str, label: str) -> list[str]:
        answer = self._get(f"label/{label}/values", {"match[]": series, "start": time.time() - RANGE})
        if isinstance(answer, str):
            raise Failure(f"{self.url} tells no values of {label}: {answer}", "is it up, and is the password right?")
        return list(answer)

    def _get(self, path: str, parameters: Mapping[str, Any]) -> Any:
        answer = self.session.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        if answer.status_code in (400, 422):
            return str(answer.json().get("error", answer.text))
        answer.raise_for_status()
        return answer.json()["data"]


class Grafana(Prometheus):
    """The way that a browser takes: Grafana asks its datasources with the UIDs prometheus and loki."""

    kinds = frozenset({"prometheus", "loki"})

    def __init__(self, url: str, auth: tuple[str, str]) -> None:
        super().__init__(f"{url.rstrip('/')}/api/datasources/proxy/uid/prometheus", auth)
        self.grafana = url.rstrip("/")

    def has_data(self, expr: str, *, instant: bool, kind: str = "prometheus") -> bool | str:
        query = {
            "refId": "A",
            "datasource": {"type": kind, "uid": kind},
            "expr": expr,
            "instant": instant,
            "range": not instant,
            "queryType": "instant" if instant else "range",
            "intervalMs": STEP * 1000,
            "maxDataPoints": RANGE // STEP,
        }
        body = {"queries": [query], "from": f"now-{RANGE}s", "to": "now"}
        answer = self.session.post(f"{self.grafana}/api/ds/query", json=body, timeout=30)
        if answer.status_code not in (200, 207, 400):
            answer.raise_for_status()
        content = answer.json()
        result = content.get("results", {}).get("A", {})
        if problem := result.get("error") or (content.get("message") if answer.status_code == 400 else None):
            return str(problem)
        return any(frame["data"]["values"] and frame["data"]["values"][0] for frame in result.get("frames", []))


@dataclass(frozen=True)
class Gap:
    """A query without data. Explained is one whose panel says why to its reader."""

    target: Target
    reason: str
    explained: bool

    def __str__(self) -> str:
        return f"{self.target.panel} ({self.target.ref}): {self.reason}"


def read(folder: Path = DASHBOARDS) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.rglob("*.json"))]


def gaps(source: Source, dashboards: Iterable[Mapping[str, Any]]) -> tuple[int, list[Gap]]:
    """How many queries were asked, which are those that the source understands, and those that have no data."""
    jobs, found, asked = set(source.label_values("up", "job")), list[Gap](), 0
    for dashboard in dashboards:
        values = chosen(source, dashboard)
        for panel in panels(dashboard):
            answers = {
                target: source.has_data(put_in(target.expr, values), instant=target.instant, kind=target.kind)
                for target in targets(dashboard, panel)
                if target.kind in source.kinds
            }
            asked += len(answers)
            found += gaps_of(answers, jobs)
    return asked, found


def gaps_of(answers: Mapping[Target, bool | str], jobs: set[str]) -> list[Gap]:
    """Of one panel. The threshold alone is no data, and of a value in one of two colours one half never has any."""
    filled = {target.ref for target, answer in answers.items() if answer is True} - {LIMIT}
    # A threshold is drawn only beside what is compared with it.
    natural = (SIDES if filled & SIDES else set()) | (set() if filled else {LIMIT})
    return [
        explain(target, str(answer or ""), bool(filled), jobs)
        for target, answer in answers.items()
        if answer is not True and not (answer is False and target.ref in natural)
    ]


def explain(target: Target, problem: str, rest_has_data: bool, jobs: set[str]) -> Gap:
    if problem:
        return Gap(target, problem, explained=False)
    needed = jobs_of(target.expr) if target.kind == "prometheus" else [target.kind]
    missing = [job for job in needed if job not in jobs]
    if missing:
        return Gap(target, f"no {', '.join(missing)} in this inventory", explained=True)
    if target.ref != LIMIT and rest_has_data and CONDITION.search(re.sub(r'"[^"]*"', "", target.expr)):
        return Gap(target, "nothing meets its condition", explained=True)
    # A text that only asks explains nothing.
    vague = target.none == "No data" or target.none.endswith("?")
    if rest_has_data or vague or target.ref == LIMIT:
        return Gap(target, "no data", explained=False)
    return Gap(target, f"the panel says: {target.none}", explained=True)


def chosen(source: Source, dashboard: Mapping[str, Any]) -> dict[str, str]:
    """Every variable with the value that it has at first: all, as a regular expression."""
    values: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "datasource":
            continue
        if variable["type"] == "textbox":
            values[variable["name"]] = variable["query"]
        elif everything := variable.get("allValue"):
            values[variable["name"]] = everything
        else:
            offered = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert offered, variable["query"]
            names = source.label_values(put_in(offered[1], values), offered[2])
            values[variable["name"]] = one_of(names)
    return values


def summary(asked: int, found: Sequence[Gap]) -> str:
    wrong = sum(not gap.explained for gap in found)
    return f"{asked} queries: {asked - len(found)} with data, {len(found) - wrong} rightly without, {wrong} wrong"


def problems(source: Source, folder: Path = DASHBOARDS) -> list[str]:
    """What is wrong with panels, in words; nothing where each has data or says why it has none."""
    _asked, found = gaps(source, read(folder))
    return [str(gap) for gap in found if not gap.explained]


def wait_for_panels(source: Source, limit: float = 420, folder: Path = DASHBOARDS) -> list[str]:
    """The same, once there is nothing left or after C(limit): rates over five minutes need as long to begin."""
    end = time.monotonic() + limit
    while (left := problems(source, folder)) and time.monotonic() < end:
        time.sleep(15)
    return left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="address of Prometheus")
    parser.add_argument("--grafana", help="ask through this Grafana instead")
    parser.add_argument("--user", help="monitoring for Prometheus, admin for Grafana")
    parser.add_argument("--password-file", type=Path, required=True)
    given = parser.parse_args()
    if bool(given.url) == bool(given.grafana):
        parser.error("give the address of Prometheus, or --grafana")
    password = given.password_file.read_text().strip()
    source = (
        Grafana(given.grafana, (given.user or "admin", password))
        if given.grafana
        else Prometheus(given.url, (given.user or "monitoring", password))
    )
    asked, found = gaps(source, read())
    for gap in found:
        say(f"{'ok' if gap.explained else 'NO DATA':8} {gap}")
    say(f"\n{summary(asked, found)}")
    return 0 if all(gap.explained for gap in found) else 1


if __name__ == "__main__":
    sys.exit(main())
