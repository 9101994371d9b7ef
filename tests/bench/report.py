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

from .sides import Run, Side

FIRST = "first install"
NOTHING = "nothing to change"
ONE_LINE = "change of one line"
STARTUP = "empty playbook"
# The bars.
SHARE = 1 / 5
SECONDS_PER_COMPONENT = 1.0

TEXT = """\
# Benchmarks

Written by `./dev bench` on {setting.date}; every number was seen in that run. Run it again to replace them.

## What is compared

Prometheus {setting.prometheus} and node_exporter {setting.node_exporter}, the real programs, on booted Debian 13 hosts
(systemd in containers). Prometheus is on the first host, node_exporter on every host, and Prometheus scrapes
all of it with basic authentication.

- **ours**: `site.yml` of this collection.
- **ordinary tasks**: `tests/bench/ordinary/site.yml`, the same work with modules of `ansible.builtin` as someone
  who knows Ansible would write it: minimal facts, `unarchive` with `creates`, templates with promtool as `validate`,
  handlers that reload or restart, a readiness question at the end. It does less: no checksum of the archive, no
  earlier generation to go back to, no second look some seconds after a start.

Both have the same archives, versions, passwords, connection and number of forks (Ansible's default). They took turns:
run by run with 1 host, round by round with 10 (a round is a first install and all that follows on those hosts).
Every run was checked:

- after a first install every host has changed, Prometheus is ready, and nothing answers without a password;
- "nothing to change" reports `changed=0` for every host; afterwards both sides are in the same state: version,
  retention, intervals, and every target up;
- "change of one line" (the scrape interval) is a reload: the new interval is in force in the same process.

| | |
| --- | --- |
| cores | {setting.cores}, shared by control node and hosts |
| load average before the run | {setting.load:.2f} |
| control node | Python {setting.python}, ansible-core {setting.ansible} |
| hosts | Docker {setting.docker} |
| connection | `community.docker.docker`, pipelining |
| archives | in a folder on the control node, pushed |

## Results

Medians of whole `ansible-playbook` runs, with the shortest and the longest in brackets. Hosts for a first install are
booted before the clock starts. A remote call is one `docker exec`, counted by a wrapper that both sides have in their
way; the count is of the last run.

{tables}

With nothing to change ours makes one remote call for each component. In a
first install of ours that look waits until what was started has run for 6 s.

## Bars

{bars}

Time per component: the median with nothing to change, less the median of an empty playbook with the same inventory,
divided by the number of components on all hosts.
"""


@dataclass(frozen=True)
class Setting:
    """What was measured, and on what."""

    date: str
    prometheus: str
    node_exporter: str
    cores: int
    load: float
    python: str
    ansible: str
    docker: str

    @classmethod
    def of(cls, variables: Mapping[str, Any], date: datetime.date) -> "Setting":
        return cls(
            date.isoformat(),
            variables["prometheus_version"],
            variables["node_exporter_version"],
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
        return work / (size + 1)


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
        where = hosts(size)
        found.append(
            Bar(f"{NOTHING}, {where}: part of the ordinary tasks' time", SHARE, results.share(NOTHING, size), part)
        )
        seen = results.per_component(size)
        found.append(Bar(f"{NOTHING}, {where}: time per component", SECONDS_PER_COMPONENT, seen, "{:.2f} s".format))
    return found


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
    return f"### {hosts(size)}, {size + 1} components\n\n{table(rows)}"


def write(results: Results, setting: Setting, found: Sequence[Bar]) -> str:
    rows = [["bar", "at most", "seen", "met"]]
    rows += [[bar.what, bar.show(bar.limit), bar.show(bar.seen), "yes" if bar.met else "**no**"] for bar in found]
    tables = "\n\n".join(comparison(results, size) for size in results.sizes)
    return TEXT.format(setting=setting, tables=tables, bars=table(rows))
