# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks what every panel of the dashboards asks, and tells which have no data, and why.

    python -m tests.testbed.panels http://172.18.0.2:9090 --password-file .../monitoring_auth_password.txt
    python -m tests.testbed.panels --grafana http://172.18.0.2:3000 --password-file .../grafana_admin_password.txt

Straight from Prometheus, which leaves those out that are about logs, or through Grafana as a browser would: then Loki
is asked too. The passwords are in the inventory's secrets. What may be empty is in MAY_BE_EMPTY. With --wait it asks
again until all the rest has data: hosts that are minutes old lack rates and records.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
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
# An expression that leaves series out, and so may rightly have none. The largest of some are always some.
CONDITION = re.compile(r"[<>]|==|!=|\b(?:and(?! topk\()|unless)\b")
# What stands in a selector or in a text is none.
NO_CONDITION = re.compile(r'\{(?:"[^"]*"|[^"}])*\}|"[^"]*"')
# What may be empty on the hosts of the demo and of the scenario alerts, if its panel says why. Whatever else is empty
# is wrong: mend it, or, where those hosts cannot have it, add it here.
MAY_BE_EMPTY = (
    # Nothing of the kind has happened.
    "Alerts / Alerts",
    "Alerts / When",
    "Alerts / How many fire",
    "Alerts / How long they fired",
    "Alerts / Notifications",
    "Alerts / Notifications that fail",
    "Alerts / Time to notify",
    "Application Services / Routes that fail",
    "Application Services / Restarts in an hour",
    "Infrastructure Overview / Units that have failed",
    "Infrastructure Overview / Collectors that fail",
    "Logs / Most errors",
    "Logs / Errors by service",
    "Logs / Where errors come from",
    "Monitoring Stack / Disk full in",
    "Monitoring Stack / Targets that are down",
    # Not set up there: TLS, pg_stat_statements, backups and other metrics files, remote write.
    "Application Services / Certificates",
    "Database Metrics / Statements by time",
    "Infrastructure Overview / Age of metrics files",
    "Monitoring Stack / Next certificate",
    "Monitoring Stack / Oldest backup",
    "Monitoring Stack / Backups",
    "Monitoring Stack / Metrics files",
    "Monitoring Stack / Behind",
    "Monitoring Stack / Samples sent",
    "Monitoring Stack / Samples lost or sent again",
    # No containers run on these hosts; only cAdvisor's stand-in makes some up.
    "Containers / *",
    # They are containers themselves: their root is an overlay, and the rest is a matter of the machine's kernel.
    "Infrastructure Overview / Connection table",
    "Infrastructure Overview / Time lost waiting",
    "Monitoring Stack / Room left for data",
)


class Source(Protocol):
    """Who answers queries, of these kinds. A text says what is wrong with the query."""

    kinds: frozenset[str]

    def has_data(self, expr: str, *, instant: bool, kind: str = "prometheus") -> bool | str: ...

    def label_values(self, series: str, label: str) -> list[str]: ...


def refusal(answer: requests.Response) -> str:
    """What is said of an answer that is none, as Prometheus and Grafana put it."""
    try:
        stated = answer.json()
    except ValueError:
        stated = {}
    of_query = stated.get("results", {}).get("A", {}).get("error")
    return str(
        of_query or stated.get("error") or stated.get("message") or f"HTTP {answer.status_code}: {answer.text[:200]}"
    )


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
        return answer.json()["data"] if answer.ok else refusal(answer)


class Grafana(Prometheus):
    """The way that a browser takes: Grafana asks its datasources with the UIDs prometheus and loki."""

    kinds = frozenset({"prometheus", "loki"})

    def __init__(self, url: str, auth: tuple[str, str]) -> None:
        super().__init__(f"{url.rstrip('/')}/api/datasources/proxy/uid/prometheus", auth)
        self.grafana = url.rstrip("/")

    @property
    def is_stand_in(self) -> bool:
        """It passes no query on."""
        answer = self.session.get(f"{self.grafana}/api/health", timeout=30)
        answer.raise_for_status()
        return bool(answer.json().get("commit") == "stand-in")

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
        if not answer.ok:
            return refusal(answer)
        result = answer.json().get("results", {}).get("A", {})
        if problem := result.get("error"):
            return str(problem)
        return any(frame["data"]["values"] and frame["data"]["values"][0] for frame in result.get("frames", []))


def as_people_see(grafana: Grafana, prometheus: Prometheus) -> Source:
    """Through Grafana, where it is one."""
    return prometheus if grafana.is_stand_in else grafana


@dataclass(frozen=True)
class Gap:
    """A query without data. Explained is one that may have none, and whose panel says why to its reader."""

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
                # Grafana has no datasource for a Loki that is not there.
                target: target.kind in {"prometheus", *jobs}
                and source.has_data(put_in(target.expr, values), instant=target.instant, kind=target.kind)
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


def absent(target: Target, jobs: set[str]) -> list[str]:
    """The jobs that this inventory lacks, without which a query has no data."""
    if target.kind != "prometheus":
        return [] if target.kind in jobs else [target.kind]
    needed = [*jobs_of(target.expr), *re.findall(r'job=~"(\w+(?:\|\w+)+)"', target.expr)]  # of several one is enough
    return [" or ".join(names) for names in (one.split("|") for one in needed) if not jobs & {*names}]


def explain(target: Target, problem: str, rest_has_data: bool, jobs: set[str]) -> Gap:
    if problem:
        return Gap(target, problem, explained=False)
    if missing := absent(target, jobs):
        return Gap(target, f"no {', '.join(missing)} in this inventory", explained=True)
    if target.ref != LIMIT and rest_has_data and CONDITION.search(NO_CONDITION.sub("", target.expr)):
        return Gap(target, "nothing meets its condition", explained=True)
    # A text that only asks explains nothing.
    vague = target.none == "No data" or target.none.endswith("?")
    if rest_has_data or vague or target.ref == LIMIT:
        return Gap(target, "no data", explained=False)
    name = target.panel.rpartition(" [")[0]
    if not any(fnmatchcase(name, pattern) for pattern in MAY_BE_EMPTY):
        return Gap(target, f"no data, and it is not in MAY_BE_EMPTY; the panel says: {target.none}", explained=False)
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
    bad = len(wrong(found))
    return f"{asked} queries: {asked - len(found)} with data, {len(found) - bad} rightly without, {bad} wrong"


def wrong(found: Iterable[Gap]) -> list[str]:
    """What is wrong with panels, in words; nothing where each has data or may have none and says why."""
    return [str(gap) for gap in found if not gap.explained]


def settled(source: Source, limit: float = 420) -> tuple[int, list[Gap]]:
    """The same as gaps(), once nothing is wrong or after C(limit): rates over five minutes need as long to begin."""
    end = time.monotonic() + limit
    while wrong((answer := gaps(source, read()))[1]) and time.monotonic() < end:
        time.sleep(15)
    return answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="address of Prometheus")
    parser.add_argument("--grafana", help="ask through this Grafana instead")
    parser.add_argument("--user", help="monitoring for Prometheus, admin for Grafana")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--wait", action="store_true", help="ask until nothing is wrong, for seven minutes at most")
    given = parser.parse_args()
    if bool(given.url) == bool(given.grafana):
        parser.error("give the address of Prometheus, or --grafana")
    password = given.password_file.read_text().strip()
    source = (
        Grafana(given.grafana, (given.user or "admin", password))
        if given.grafana
        else Prometheus(given.url, (given.user or "monitoring", password))
    )
    asked, found = settled(source) if given.wait else gaps(source, read())
    for gap in found:
        say(f"{'ok' if gap.explained else 'NO DATA':8} {gap}")
    say(f"\n{summary(asked, found)}")
    return 1 if wrong(found) else 0


if __name__ == "__main__":
    sys.exit(main())
