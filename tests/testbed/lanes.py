# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs steps in order, as many at once as there are lanes: half of a scenario is waiting, in which another can work."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .console import say, seconds
from .paths import LOG, ROOT


@dataclass(frozen=True)
class Job:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]

    @property
    def log(self) -> Path:
        return LOG / f"test-{self.name}.log"

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace").rstrip()


@dataclass(frozen=True)
class Ended:
    job: Job
    code: int
    duration: float  # in seconds


def run(
    jobs: Sequence[Job],
    lanes: int,
    ended: Callable[[Ended], None],
    aside: Sequence[Job] = (),
    prepare: Callable[[], None] = lambda: None,
) -> list[Ended]:
    """Run jobs until one fails; C(ended) is told of each. What runs beside that one comes to its end, and cleans up.

    C(aside): more jobs, one after the other in a lane of their own. C(prepare): what has to be done before the others
    begin, and need not be before these.
    """
    LOG.mkdir(parents=True, exist_ok=True)
    found: list[Ended] = []
    failed = threading.Event()
    together = [*aside, *jobs]

    def take(number: int, job: Job) -> Ended | None:
        if failed.is_set():
            return None
        say(f"=== {job.name} ({number} of {len(together)}) begins")
        one = _run(job, beside=lanes > 1 or bool(aside))
        if one.code:
            failed.set()
        return one

    with ThreadPoolExecutor(max_workers=1) as other, ThreadPoolExecutor(max_workers=lanes) as pool:
        work = [other.submit(take, number, job) for number, job in enumerate(aside, 1)]
        try:
            prepare()
        except BaseException:
            failed.set()
            raise
        work += [pool.submit(take, number, job) for number, job in enumerate(jobs, len(aside) + 1)]
        for future in as_completed(work):
            one = future.result()
            if one:
                found.append(one)
                ended(one)
    return found


def _run(job: Job, beside: bool) -> Ended:
    """C(beside): the output goes into a file first, so that those of two jobs do not mix."""
    begun = time.monotonic()
    with ExitStack() as stack:
        output = stack.enter_context(job.log.open("w", encoding="utf-8")) if beside else None
        code = subprocess.run(
            job.command, cwd=ROOT, env=job.environment, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    return Ended(job, code, time.monotonic() - begun)


_STYLE = re.compile(r"\x1b\[[0-9;]*m")
# How pytest marks what went wrong; a long name comes on a line of its own in the frame.
_WRONG = re.compile(r"E  |((FAILED|ERROR) )?\S+\.py::")


def reasons(output: str, limit: int = 30) -> str:
    """What a step failed of: pytest's marked lines where there are any (Molecule frames them), else its last words."""
    lines = [_STYLE.sub("", line).strip(" │") for line in output.splitlines()]
    return "\n".join(([line for line in lines if _WRONG.match(line)] or lines)[-limit:])


def show(ended: Ended, beside: bool) -> None:
    output = ended.job.output if beside else ""
    if output:
        say(f"\n=== {ended.job.name}:\n{output}")
    result = f"failed with exit code {ended.code} after" if ended.code else "passed in"
    say(f"=== {ended.job.name}: {result} {seconds(ended.duration)}\n")
