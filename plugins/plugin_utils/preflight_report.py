# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the preflight finds: problems, which stop the run, and how those of a host read together."""

from __future__ import annotations

import os
import shlex
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError

from ..module_utils._errors import sentence

REMEDY = "What to do: "


class Problem(t.NamedTuple):
    """What is wrong, what was seen, and what to do about it, as every error of the collection has it."""

    what: str
    seen: str = ""
    remedy: str = ""


def from_error(error: Exception | str) -> Problem:
    """The problem that an error of the collection tells of; its own remedy stays one."""
    what, _mark, remedy = str(error).partition(REMEDY)
    return Problem(what.strip().rstrip("."), "", remedy.strip().rstrip("."))


def refused(check: t.Callable[..., object], *arguments: t.Any) -> list[Problem]:
    """The problem for which a function of the collection refuses these arguments, if it does."""
    try:
        check(*arguments)
    except AnsibleError as error:
        return [from_error(error)]
    return []


def report(host: str, problems: t.Sequence[Problem], everywhere: bool = False, way: str = "") -> str:
    """One text, a number before each problem, what to do on a line of its own. C(everywhere): no host goes on.

    C(way): how the others could.
    """
    problems = list(dict.fromkeys(problems))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    where = "on any host" if everywhere else "here"
    lines = [f"Preflight found {count} on {host}. Nothing was changed {where}."]
    for number, problem in enumerate(problems, 1):
        first, *rest = sentence(problem.what, problem.seen, "").splitlines()
        if problem.remedy:
            rest.append(REMEDY + problem.remedy)
        lines += [f"{number}. {first}", *(f"   {line}" for line in rest)]
    return "\n".join([*lines, *([way] if way else [])])


def told(host: str) -> list[str]:
    """Notes that a host has problems that no other has, and names all that had some so far, in this run."""
    # Beside what else Ansible keeps for one run. Hosts are looked at side by side, so each adds a line.
    with open(os.path.join(C.DEFAULT_LOCAL_TMP, "opswatch-preflight"), "a+", encoding="utf-8") as file:
        file.write(f"{host}\n")
        file.flush()
        file.seek(0)
        return list(dict.fromkeys(file.read().splitlines()))


def without(hosts: t.Sequence[str], limit: str = "") -> str:
    """How a run goes on without these hosts. C(limit): what this one was limited to."""
    between = "," if "," in limit or any(":" in host for host in hosts) else ":"
    named = [f"!{host}" for host in hosts]  # all of them, however many, as the line is to be used
    pattern = shlex.quote(between.join([limit or "all", *named]))
    whom = "it" if len(hosts) == 1 else f"the {len(hosts)} hosts that have reported so far"
    return f"To go on without {whom}: --limit {pattern}"
