# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees: one line per step, details in .dev/log, and failures that say what to do."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .paths import LOG, ROOT


class Failure(Exception):
    """A step failed; the text is for the person at the terminal."""

    def __init__(self, what: str, remedy: str, details: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy, self.details = what, remedy, details

    def __str__(self) -> str:
        quoted = "".join(f"  | {line}\n" for line in self.details.splitlines())
        return f"{quoted}FAILED: {self.what}\n  -> {self.remedy}"


class Step:
    """A step that is under way; `result` ends its line."""

    result = "done"


def say(text: str = "") -> None:
    # In one write: steps at the same time have a line each.
    print(f"{text}\n", end="", flush=True)


def seconds(duration: float) -> str:
    return f"{duration:.1f} s" if duration < 10 else f"{duration:.0f} s"


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Print `name: result in N s`; the name at once, so that nobody wonders what takes so long."""
    print(f"{name}: ", end="", flush=True)
    begun, current = time.monotonic(), Step()
    try:
        yield current
    except BaseException:
        say("failed")
        raise
    say(f"{current.result} in {seconds(time.monotonic() - begun)}")


def tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.splitlines()[-lines:])


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def run(
    command: Sequence[str | Path],
    *,
    log: str,
    remedy: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    excerpt: Callable[[str], str] = tail,
) -> str:
    """Run a command with its output in .dev/log/<log>.log; return that output, or fail with what matters of it."""
    LOG.mkdir(parents=True, exist_ok=True)
    path = LOG / f"{log}.log"
    words = [str(word) for word in command]
    with path.open("w", encoding="utf-8") as output:
        code = subprocess.run(
            words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    text = path.read_text(errors="replace")
    if code:
        what = f"{Path(words[0]).name} ended with exit code {code}"
        raise Failure(what, f"{remedy} (whole output: {relative(path)})", excerpt(text))
    return text
