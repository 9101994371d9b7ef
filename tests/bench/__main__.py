# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures; writes docs/benchmarks*.md; ends with 1 where a bar is missed. Start it with ./dev bench."""

import argparse
import datetime
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from docker.errors import DockerException
from requests import RequestException

from tests.testbed import mirror
from tests.testbed.console import Failure, say
from tests.testbed.paths import MIRROR, ROOT

from . import backup, dashboards, report, stack
from .report import FIRST, NOTHING, ONE_LINE, STARTUP, Results, Setting
from .sides import PORTS, SCRATCH, SIDES, Passwords, Run, Side
from .state import Server, State, differences, prove_ready, prove_scraping, prove_whole

REPORT = ROOT / "docs/benchmarks.md"


def releases() -> dict[str, Any]:
    """The same archives and versions for both sides."""
    given = os.environ.get("MONITORING_MIRROR")
    versions = {}
    contents = None if given else mirror.ensure()
    for name in PORTS:
        default = yaml.safe_load((ROOT / f"roles/{name}/defaults/main.yml").read_text())[f"{name}_version"]
        available = contents.releases[name] if contents else [default]
        versions[f"{name}_version"] = default if default in available else available[-1]
    return {"monitoring_mirror": given or str(MIRROR), **versions}


def expect(condition: bool, side: Side, what: str, run: Run) -> None:
    if not condition:
        log = f".dev/log/bench-{side.name}-{side.size}.log"
        raise Failure(f"{side.name} on {side.size}: {what}", f"changed was {dict(run.changed)}; see {log}")


def first_install(side: Side) -> Run:
    run = side.play()
    expect(all(run.changed.get(node) for node in side.nodes), side, "first install left a host unchanged", run)
    prove_ready(side)
    return run


def nothing(side: Side, _number: int) -> Run:
    run = side.play()
    expect(run.changed == dict.fromkeys(side.nodes, 0), side, "there was nothing to change", run)
    return run


def one_line(side: Side, number: int) -> Run:
    """Another scrape interval: Prometheus has it afterwards, in the same process, and no other host has changed."""
    server = Server(side)
    started = server.started()
    interval = f"{20 + number}s"
    run = side.play("-e", f"prometheus_scrape_interval={interval}")
    first, *others = side.nodes
    expect(run.changed[first] > 0 and not any(run.changed[node] for node in others), side, "one line", run)
    expect(server.scrape_interval() == interval, side, f"Prometheus does not have the interval {interval}", run)
    expect(server.started() == started, side, "Prometheus was restarted where a reload does", run)
    return run


Measurement = Callable[[Side, int], Run]


@dataclass(frozen=True)
class Scale:
    """How much is measured with so many hosts."""

    size: int
    rounds: int  # each begins with one first install
    nothing: int  # runs in each round
    one_line: int
    # Ten hosts of each side at once are more than a kernel's default for inotify instances (128) has room for.
    together: bool


def in_turn(results: Results, case: str, sides: Sequence[Side], repetitions: int, measurement: Measurement) -> None:
    """A B A B: what disturbs the machine for a while disturbs both."""
    for number in range(repetitions):
        for side in sides:
            run = measurement(side, number)
            results.add(case, side, run)
            say(f"{case}, {side.size} host(s), {side.name}: {run.seconds:.2f} s, {run.calls} remote calls")


def one_round(results: Results, sides: Sequence[Side], scale: Scale, variables: Mapping[str, Any]) -> dict[str, State]:
    """Every case, from hosts that were just booted; returns the states that were reached, by side."""

    def fresh_install(side: Side, _number: int) -> Run:
        side.prepare(variables)
        return first_install(side)

    try:
        in_turn(results, FIRST, sides, 1, fresh_install)
        in_turn(results, NOTHING, sides, scale.nothing, nothing)
        in_turn(results, STARTUP, sides, scale.nothing, lambda side, _number: side.play_nothing())
        states = {side.name: prove_scraping(side) for side in sides}
        for side in sides:
            prove_whole(states[side.name], side, variables)
        in_turn(results, ONE_LINE, sides, scale.one_line, one_line)
        return states
    finally:
        for side in sides:
            side.destroy()


def measure(results: Results, scale: Scale, variables: Mapping[str, Any]) -> None:
    passwords = Passwords()
    sides = [Side(name, scale.size, passwords) for name in SIDES]
    groups = [sides] if scale.together else [[side] for side in sides]
    for _ in range(scale.rounds):
        states = dict[str, State]()
        for group in groups:
            states |= one_round(results, group, scale, variables)
        if unlike := differences(*states.values()):
            raise Failure(f"{' and '.join(states)} have not reached the same state", "compare them", unlike)


FULL = (
    Scale(1, rounds=1, nothing=5, one_line=3, together=True),
    Scale(10, rounds=1, nothing=3, one_line=1, together=False),
)
QUICK = tuple(replace(scale, rounds=1, nothing=1, one_line=1) for scale in FULL)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each run once; prints the tables, writes no file")
    parser.add_argument("what", nargs="?", choices=["hosts", "stack", "dashboards", "backup"], help="only this one")
    options = parser.parse_args(arguments)
    found = 0
    parts = {"dashboards": dashboards.main, "hosts": bench_hosts, "stack": stack.main, "backup": backup.main}
    for name, part in parts.items():
        if options.what in (None, name):
            found = max(found, part(options.quick))
    return found


def bench_hosts(quick: bool) -> int:
    variables = releases()
    setting = Setting.of(variables, datetime.date.today())
    results = Results()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    try:
        for scale in QUICK if quick else FULL:
            measure(results, scale, variables)
    finally:
        shutil.rmtree(SCRATCH)
    bars = report.bars(results)
    text = report.write(results, setting, bars)
    if quick:
        say(text)
    else:
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(text)
        say(f"written: {REPORT.relative_to(ROOT)}")
    for bar in bars:
        say(f"{'met' if bar.met else 'MISSED'}: {bar.what}: {bar.show(bar.seen)}, at most {bar.show(bar.limit)}")
    return 0 if all(bar.met for bar in bars) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(failure, file=sys.stderr)
    except RequestException as error:
        print(Failure(f"Prometheus: {error}", "run it again with nothing else on the machine"), file=sys.stderr)
    except DockerException as error:
        print(Failure(f"the docker engine: {error}", "see docker info"), file=sys.stderr)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1)
