# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements as docs/benchmarks.md, and whether the bars are met."""

import datetime
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any

from tests.testbed import engine

from .sides import PORTS, Run, Side, placed
from .state import RULES

FIRST = "first install"
NOTHING = "nothing to change"
ONE_LINE = "change of one line"
STARTUP = "empty playbook"
# The bars: with nothing to change, by number of hosts, in all and as a part of the ordinary tasks' time.
SECONDS = {1: 4.0, 10: 6.0}
SHARE = {1: 1 / 8, 10: 1 / 5}
SECONDS_PER_COMPONENT = 1.0

TEXT = """\
# Benchmarks

Written by `./dev bench` on {setting.date}; every number was seen in that run. Run it again to replace them.

## What is compared

The five components, the real programs, on booted hosts (systemd in containers). The first host, Debian 12 with
PostgreSQL, runs all of them; the others, Debian 13, run node_exporter. Prometheus scrapes all of it with basic
authentication, evaluates the collection's rule files and sends alerts to Alertmanager, which has one receiver of mail.

- **ours**: `site.yml` of this collection. It begins with the preflight, one cheap call for each host.
- **ordinary tasks**: `tests/bench/ordinary/site.yml`, the same work with modules of `ansible.builtin` as someone
  who knows Ansible would write it: minimal facts, `unarchive` with `creates`, templates that the program's own tool
  validates, handlers that reload or restart, a readiness question at the end; what repeats for each component is
  written once. It does less: no preflight, no checksum of the archive, no earlier generation to go back to, no second
  look some seconds after a start, no rules made from the inventory, no correction of a database role that has too
  many rights.

Both have the same archives, versions, passwords, connection and settings (ansible.cfg, with 25 forks). They took turns:
run by run with 1 host, round by round with 10 (a round is a first install and all that follows on those hosts).
Every run was checked:

- after a first install every host has changed, Prometheus and Alertmanager are ready, and nothing answers without a
  password;
- "nothing to change" reports `changed=0` for every host; afterwards both sides are in the same state: versions,
  retention, intervals, scrape jobs, rule files, the whole configuration of Alertmanager, the modules of
  blackbox_exporter, the database and every target up;
- "change of one line" (the scrape interval) is a reload: the new interval is in force in the same process.

| | |
| --- | --- |
| cores | {setting.cores}, shared by control node and hosts |
| load average before the run | {setting.load:.2f} |
| control node | Python {setting.python}, ansible-core {setting.ansible} |
| hosts | Docker {setting.docker} |
| programs | {setting.programs} |
| rule files | {setting.rule_files} |
| connection | `community.docker.docker`, pipelining |
| archives | in a folder on the control node, pushed |

## Results

Medians of whole `ansible-playbook` runs, with the shortest and the longest in brackets. Hosts for a first install are
booted before the clock starts. A remote call is one `docker exec`, counted by a wrapper that both sides have in their
way; the count is of the last run.

{tables}

With nothing to change ours makes one remote call for each host (the preflight), one for its component or for all of
them where it has several, and one more for the role of the database. In a first install of ours the second look waits
until what was started has run for 6 s.

## Bars

{bars}

Time per component: the median with nothing to change, less the median of an empty playbook with the same inventory,
divided by the number of components on all hosts.
"""


@dataclass(frozen=True)
class Setting:
    """What was measured, and on what."""

    date: str
    programs: str
    rule_files: int
    cores: int
    load: float
    python: str
    ansible: str
    docker: str

    @classmethod
    def of(cls, variables: Mapping[str, Any], date: datetime.date) -> "Setting":
        return cls(
            date.isoformat(),
            ", ".join(f"{name} {variables[f'{name}_version']}" for name in PORTS),
            len(list(RULES.glob("*.yml"))),
            len(os.sched_getaffinity(0)),
            os.getloadavg()[0],
            platform.python_version(),
            version("ansible-core"),
            engine.client().version()["Version"],
        )


@dataclass
class Results:
    runs: dict[tuple[str, int, str], list[Run]] = field(default_factory=lambda: defaultdict(list))

    def add(self, case: str, side: Side, run: Run) -> None:
        self.runs[case, side.size, side.name].append(run)

    @property
    def sizes(self) -> list[int]:
        return sorted({size for _, size, _ in self.runs})

    def seconds(self, case: str, size: int, side: str) -> float:
        return median(run.seconds for run in self.runs[case, size, side])

    def share(self, case: str, size: int) -> float:
        """Our time as a part of the ordinary tasks'."""
        return self.seconds(case, size, "ours") / self.seconds(case, size, "ordinary")

    def per_component(self, size: int) -> float:
        work = self.seconds(NOTHING, size, "ours") - self.seconds(STARTUP, size, "ours")
        return work / placed(size)


@dataclass(frozen=True)
class Bar:
    what: str
    limit: float
    seen: float
    show: Callable[[float], str]

    @property
    def met(self) -> bool:
        return self.seen <= self.limit


def bars(results: Results) -> list[Bar]:
    found = []
    for size in results.sizes:
        what = f"{NOTHING}, {hosts(size)}"
        found += [
            Bar(f"{what}: in all", SECONDS[size], results.seconds(NOTHING, size, "ours"), in_seconds),
            Bar(f"{what}: part of the ordinary tasks' time", SHARE[size], results.share(NOTHING, size), part),
            Bar(f"{what}: time per component", SECONDS_PER_COMPONENT, results.per_component(size), in_seconds),
        ]
    return found


def in_seconds(duration: float) -> str:
    return f"{duration:.2f} s"


def part(share: float) -> str:
    return f"1/{1 / share:.1f}"


def hosts(size: int) -> str:
    return "1 host" if size == 1 else f"{size} hosts"


def table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def duration(runs: Sequence[Run]) -> str:
    seconds = [run.seconds for run in runs]
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def comparison(results: Results, size: int) -> str:
    rows = [["work", "runs", "ours", "ordinary tasks", "ours takes", "remote calls: ours", "ordinary tasks"]]
    for case in (FIRST, NOTHING, ONE_LINE, STARTUP):
        ours, ordinary = (results.runs[case, size, side] for side in ("ours", "ordinary"))
        share = "" if case == STARTUP else part(results.share(case, size))
        calls = [str(runs[-1].calls) for runs in (ours, ordinary)]
        rows.append([case, str(len(ours)), duration(ours), duration(ordinary), share, *calls])
    return f"### {hosts(size)}, {placed(size)} components\n\n{table(rows)}"


def write(results: Results, setting: Setting, found: Sequence[Bar]) -> str:
    rows = [["bar", "at most", "seen", "met"]]
    rows += [[bar.what, bar.show(bar.limit), bar.show(bar.seen), "yes" if bar.met else "**no**"] for bar in found]
    tables = "\n\n".join(comparison(results, size) for size in results.sizes)
    return TEXT.format(setting=setting, tables=tables, bars=table(rows))
