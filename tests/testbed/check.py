# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the checks, up to the first failure: scenarios two at a time, and beside them what needs no hosts."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cores, engine, galaxy, hosts, images, lanes, mirror
from .console import Failure, say, seconds
from .paths import DEV, MIRROR, ROOT

# The longest first: two lanes then come to their ends together.
SCENARIOS = (
    "default",
    "faults",
    "backup",
    "upgrade",
    "logs",
    "cluster",
    "grafana",
    "maintenance",
    "day_two",
    "connections",
)
# Not for every run, so by name, with --all, or in ./dev test-real: alerts whose conditions have to hold for ten
# minutes, and a cluster of Loki, of which a stand-in would show nothing. And single tests with the mark "slow", what
# they prove being proved for every run by a cheaper one.
SLOW = ("alerts", "logs_cluster")
WITHOUT_SLOW = '-m "not slow"'
# One more than that, and what waits for a service on two cores runs into its limits.
LANES = min(2, os.cpu_count() or 1)
# For what computes and waits for nothing: it takes what they leave.
KIND = ("nice", "-n", "5")

# testinfra and molecule have no types of their own.
TYPED = ("--disable-error-code=import-untyped", "-p", "tests.testbed", "-p", "tests.bench", "-p", "dashboards")


@dataclass(frozen=True)
class Step:
    name: str
    command: tuple[str, ...]
    # Wants archives of the real programs.
    archives: bool = False
    # Wants test hosts.
    hosts: bool = False
    # Writes into ~ without asking, so it gets one of its own.
    strays: bool = False


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def scenarios() -> list[Step]:
    """The known ones first and in order, then whatever else molecule/ holds."""
    found = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
    names = [name for name in SCENARIOS if name in found] + [name for name in found if name not in SCENARIOS]
    molecule = (tool("molecule"), "--base-config", str(ROOT / "molecule/base.yml"), "test", "-s")
    return [Step(f"molecule-{name}", (*molecule, name), archives=True, hosts=True, strays=True) for name in names]


def is_slow(step: Step) -> bool:
    return step.name.removeprefix("molecule-") in SLOW


def steps() -> list[Step]:
    return [
        Step("ruff", (tool("ruff"), "check", ".")),
        Step("format", (tool("ruff"), "format", "--check", ".")),
        Step("types", (tool("mypy"), "--strict", *TYPED)),
        Step("yamllint", (tool("yamllint"), "--strict", ".")),
        # Offline: what it would fetch is in .dev/collections already.
        Step("ansible-lint", (tool("ansible-lint"), "--offline", "--profile", "production")),
        Step(
            "docs",
            (tool("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."),
            strays=True,
        ),
        Step("changelog", (tool("antsibull-changelog"), "lint")),
        Step("sanity", (sys.executable, "-m", "tests.sanity")),
        # Rules are tested by the real promtool.
        Step(
            "unit",
            (sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={DEV / 'cache/pytest'}", "tests/unit"),
            archives=True,
        ),
        *scenarios(),
    ]


def environment(step: Step, everything: bool) -> dict[str, str]:
    """Caches below .dev. C(everything): slow tests too."""
    cache = DEV / "cache"
    added: dict[str, str | Path] = {"RUFF_CACHE_DIR": cache / "ruff", "MYPY_CACHE_DIR": cache / "mypy"}
    added["PYTEST_DEBUG_TEMPROOT"] = DEV / "tmp"
    if step.strays:
        added["HOME"] = DEV / "home"
    for folder in ("home", "tmp"):
        (DEV / folder).mkdir(parents=True, exist_ok=True)
    if step.hosts and not everything:
        added["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} {WITHOUT_SLOW}"
    return os.environ | {name: str(value) for name, value in added.items()}


def run(wanted: Sequence[Step], count: int, everything: bool) -> int:
    begun = time.monotonic()
    count = min(count, len(wanted))
    beside = count > 1
    hosted = any(step.hosts for step in wanted)
    aside = [step for step in wanted if not step.hosts] if beside and hosted else []

    def job(step: Step) -> lanes.Job:
        words = (*KIND, *step.command) if step in aside else step.command
        return lanes.Job(step.name, words, environment(step, everything))

    if beside:
        say("steps run side by side; the output of each follows at its end, until then: .dev/log/test-STEP.log\n")
    ended = lanes.run(
        [job(step) for step in wanted if step not in aside],
        count,
        lambda one: lanes.show(one, beside),
        [job(step) for step in aside],
        images.ensure if hosted else lambda: None,
    )
    failed = [one for one in ended if one.code]
    say(f"\ntotal time: {seconds(time.monotonic() - begun)}")
    counts = f"{len(ended) - len(failed)} passed, {len(failed)} failed"
    if failed:
        names = [one.job.name for one in failed]
        again = " ".join(["./dev test", *(["--all"] if everything else []), *names])
        commands = "; ".join(" ".join(one.job.command).replace(f"{ROOT}/", "") for one in failed)
        raise Failure(
            f"{counts}, {len(wanted) - len(ended)} not run: {commands}",
            f"the output is above and in .dev/log/; run it alone with: {again}",
            # Once more at the end: hundreds of lines of other steps may stand between.
            "\n".join(f"{one.job.name}:\n{lanes.reasons(one.job.output)}" for one in failed if beside),
        )
    say(counts)
    return 0


def prepare_engine() -> None:
    engine.ensure()
    cores.ensure()
    # Ours, so that a scenario's end does not take it away from hosts of the demo.
    hosts.ensure_network()


def prepare_hosts() -> None:
    prepare_engine()
    images.ensure()


def test(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help="only these; all but the slow ones if none is named")
    parser.add_argument("--all", action="store_true", help="what is too slow for every run too")
    parser.add_argument("--list", action="store_true", help="name the steps, and do nothing")
    parser.add_argument("--jobs", type=int, default=LANES, help="how many at once (default: %(default)s)")
    options = parser.parse_args(arguments)
    known = {step.name: step for step in steps()}
    if options.list:
        say("\n".join(name + (" (by name, or with --all)" if is_slow(step) else "") for name, step in known.items()))
        return 0
    unknown = [name for name in options.steps if name not in known]
    if unknown:
        raise Failure(f"no step is called {', '.join(unknown)}", f"the steps are: {', '.join(known)}")
    wanted = [known[name] for name in options.steps] or [
        step for step in known.values() if options.all or not is_slow(step)
    ]
    galaxy.ensure()
    if any(step.archives for step in wanted) and not os.environ.get("MONITORING_MIRROR"):
        say(mirror.describe(mirror.ensure()))
        os.environ["MONITORING_MIRROR"] = str(MIRROR)
    if any(step.hosts for step in wanted):
        prepare_engine()
    return run(wanted, max(1, options.jobs), options.all)


def real_archives(arguments: Sequence[str], known: str | None) -> Path:
    """The folder with them: an argument, as it is written before a command, goes over what the environment says."""
    for argument in arguments:
        name, _, known = argument.partition("=")
        if name != "MONITORING_MIRROR":
            raise Failure(f"./dev test-real does not know {argument!r}", "it takes MONITORING_MIRROR=FOLDER alone")
    if not known:
        # Without it most scenarios would take the stand-ins of .dev/mirror.
        raise Failure(
            "MONITORING_MIRROR is not set",
            "give the folder with upstream's archives: ./dev test-real MONITORING_MIRROR=FOLDER (see docs/mirror.md)",
        )
    if not Path(known).is_dir():
        raise Failure(f"MONITORING_MIRROR={known} is not a directory", "set it to a directory in upstream's layout")
    return Path(known).resolve()


def test_real(arguments: Sequence[str]) -> int:
    """The same scenarios on real archives."""
    os.environ["MONITORING_MIRROR"] = str(real_archives(arguments, os.environ.get("MONITORING_MIRROR")))
    wanted = scenarios()
    if not wanted:
        raise Failure("there is no scenario in molecule/", "this checkout is not complete")
    galaxy.ensure()
    prepare_engine()
    # Where the mirror has a stand-in, what only the program can prove is left out: that is to be seen.
    os.environ.setdefault("PYTEST_ADDOPTS", "-rfEs")
    return run(wanted, 1, everything=True)
