# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every component that one host can run, and nothing to change: what a run of site.yml costs who has one server."""

import datetime
import os
import shutil
from statistics import median
from typing import Any

from tests.testbed import demo, mirror
from tests.testbed.console import Failure, say
from tests.testbed.paths import MIRROR, ROOT

from .report import Bar, duration, in_seconds, table
from .sides import PORTS, SCRATCH, Passwords, Run, Side
from .state import Server

REPORT = ROOT / "docs/benchmarks-stack.md"
# One of the two log agents is on a host.
STACK = (*PORTS, "grafana", "loki", "alloy", "cadvisor")
LIMIT = 6.0
RUNS = 5

TEXT = """\
# Benchmarks: the whole stack on one host

Written by `./dev bench stack` on {date}; every number was seen in that run. Run it again to replace them.

One host (Debian 12 in a container, with PostgreSQL) runs {components}. {kind} Whole `ansible-playbook site.yml` runs
with nothing to change (`changed=0`), in turn with an empty playbook with the same inventory, which tells how fast the
machine is: seconds of one machine are not those of another.

| | |
| --- | --- |
| cores | {cores}, shared by control node and host |
| load average before the run | {load:.2f} |

{results}

{bar}
"""


def releases() -> dict[str, Any]:
    """Where releases come from, and their versions where the roles' own are not there."""
    if given := os.environ.get("MONITORING_MIRROR"):
        return {"monitoring_mirror": given}
    return {"monitoring_mirror": str(MIRROR), **demo.available_versions(mirror.ensure().releases)}


def unchanged(side: Side) -> Run:
    run = side.play()
    if run.changed != dict.fromkeys(side.nodes, 0):
        raise Failure(
            "there was something to change", f"changed was {dict(run.changed)}; see .dev/log/bench-ours-1.log"
        )
    return run


def measure(runs: int) -> tuple[list[Run], list[Run]]:
    """(with nothing to change, of the empty playbook)."""
    side = Side("ours", 1, Passwords(), STACK)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    try:
        side.prepare(releases())
        say(f"first install: {side.play().seconds:.1f} s")
        unchanged(side)
        targets = Server(side).data("targets?state=active")["activeTargets"]
        missed = set(STACK) - {one["labels"]["job"] for one in targets}
        if missed:
            raise Failure(f"Prometheus has no target of {', '.join(sorted(missed))}", "see .dev/log/bench-ours-1.log")
        pairs = [(unchanged(side), side.play_nothing()) for _number in range(runs)]
        return [one for one, _empty in pairs], [empty for _one, empty in pairs]
    finally:
        side.destroy()
        shutil.rmtree(SCRATCH, ignore_errors=True)


def main(quick: bool) -> int:
    load = os.getloadavg()[0]
    stack, empty = measure(1 if quick else RUNS)
    bar = Bar("nothing to change, the whole stack", LIMIT, median(run.seconds for run in stack), in_seconds)
    rows = [["work", "runs", "time", "remote calls"]]
    rows += [["nothing to change", str(len(stack)), duration(stack), str(stack[-1].calls)]]
    rows += [["empty playbook", str(len(empty)), duration(empty), str(empty[-1].calls)]]
    text = TEXT.format(
        date=datetime.date.today().isoformat(),
        components=", ".join(STACK),
        kind="Grafana, Loki, Alloy and cAdvisor are stand-ins; the others are the real programs."
        if not os.environ.get("MONITORING_MIRROR")
        else "All are what MONITORING_MIRROR holds.",
        cores=len(os.sched_getaffinity(0)),
        load=load,
        results=table(rows),
        bar=f"At most {in_seconds(LIMIT)}: {'met' if bar.met else '**missed**'} with {in_seconds(bar.seen)}, "
        f"which is what {bar.seen / median(run.seconds for run in empty):.1f} empty playbooks take.",
    )
    if quick:
        say(text)
    else:
        REPORT.write_text(text)
        say(f"written: {REPORT.relative_to(ROOT)}")
    say(f"{'met' if bar.met else 'MISSED'}: {bar.what}: {bar.show(bar.seen)}, at most {bar.show(bar.limit)}")
    return 0 if bar.met else 1
