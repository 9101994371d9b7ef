# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev test: named steps in order, the cheap ones first, up to the first failure."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cores, demo, engine, galaxy, hosts, images, mirror
from .console import Failure, say, seconds
from .paths import DEV, MIRROR, ROOT

SCENARIOS = ("default", "grafana", "connections", "cluster", "logs", "upgrade", "faults")
# Too slow for every run: alerts whose conditions have to hold for ten minutes. By name only, or in ./dev test-real.
SLOW = ("alerts",)

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


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def scenarios() -> list[Step]:
    """The known ones first and in order, then whatever else molecule/ holds."""
    found = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
    names = [name for name in SCENARIOS if name in found] + [name for name in found if name not in SCENARIOS]
    molecule = (tool("molecule"), "--base-config", str(ROOT / "molecule/base.yml"), "test", "-s")
    return [Step(f"molecule-{name}", (*molecule, name), archives=True, hosts=True) for name in names]


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
        Step("docs", (tool("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".")),
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


def environment(step: Step) -> dict[str, str]:
    """Caches below .dev; a home of its own for what writes into ~ without asking."""
    cache = DEV / "cache"
    added: dict[str, str | Path] = {"RUFF_CACHE_DIR": cache / "ruff", "MYPY_CACHE_DIR": cache / "mypy"}
    added["PYTEST_DEBUG_TEMPROOT"] = DEV / "tmp"
    if step.hosts:
        added["HOME"] = DEV / "home"
    for folder in ("home", "tmp"):
        (DEV / folder).mkdir(parents=True, exist_ok=True)
    return os.environ | {name: str(value) for name, value in added.items()}


def run(wanted: Sequence[Step]) -> int:
    begun = time.monotonic()
    for number, step in enumerate(wanted, 1):
        say(f"\n=== {step.name} ({number} of {len(wanted)})")
        start = time.monotonic()
        code = subprocess.run(step.command, cwd=ROOT, env=environment(step), check=False).returncode
        if code:
            counts = f"{number - 1} passed, 1 failed, {len(wanted) - number} not run"
            say(f"\n{counts}, in {seconds(time.monotonic() - begun)}")
            command = " ".join(step.command).replace(f"{ROOT}/", "")
            raise Failure(
                f"step {step.name}: exit code {code} from: {command}",
                f"its output is above; run it alone with: ./dev test {step.name}",
            )
        say(f"=== {step.name}: passed in {seconds(time.monotonic() - start)}")
    say(f"\ntotal time: {seconds(time.monotonic() - begun)}")
    say(f"{len(wanted)} passed, 0 failed")
    return 0


def prepare_hosts() -> None:
    engine.ensure()
    images.ensure()
    cores.ensure()
    # Ours, so that a scenario's end does not take it away from hosts of the demo.
    hosts.ensure_network()


def test(names: Sequence[str]) -> int:
    known = {step.name: step for step in steps()}
    if "--list" in names:
        say("\n".join(name + (" (only by name)" if is_slow(step) else "") for name, step in known.items()))
        return 0
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Failure(f"no step is called {', '.join(unknown)}", f"the steps are: {', '.join(known)}")
    wanted = [known[name] for name in names] or [step for step in known.values() if not is_slow(step)]
    galaxy.ensure()
    if any(step.archives for step in wanted) and not os.environ.get("MONITORING_MIRROR"):
        say(mirror.describe(mirror.ensure()))
        os.environ["MONITORING_MIRROR"] = str(MIRROR)
    if any(step.hosts for step in wanted):
        prepare_hosts()
    return run(wanted)


def test_real() -> int:
    """The same scenarios on real archives: those of a directory that has them, or upstream's own."""
    where = os.environ.get("MONITORING_MIRROR")
    if where and "://" not in where and not Path(where).is_dir():
        raise Failure(f"MONITORING_MIRROR={where} is not a directory", "set it to a directory in upstream's layout")
    if not where and not demo.upstream_answers():
        raise Failure(
            f"{demo.UPSTREAM} does not answer, and MONITORING_MIRROR is not set",
            "set MONITORING_MIRROR to a directory that holds upstream's archives in upstream's layout",
        )
    wanted = scenarios()
    if not wanted:
        raise Failure("there is no scenario in molecule/", "this checkout is not complete")
    galaxy.ensure()
    prepare_hosts()
    return run(wanted)
