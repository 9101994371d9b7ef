# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Which files two entries of C(monitoring_logs) both read, as far as their patterns tell: pure functions.

The patterns are those of doublestar, which both agents use. Whether two of them meet in a file is decided only where
one is the name of a file, or they are the same.
"""

from __future__ import annotations

import re
import typing as t

MOST = 1000  # patterns that braces may stand for; who writes more is not judged


class Shared(t.NamedTuple):
    """A path that is read twice."""

    first: str  # the entry whose pattern matches it
    pattern: str
    second: str  # the entry that names it
    path: str


def shared_paths(logs: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[Shared]:
    """What two entries read, or one by two of its patterns. Only of those that have paths."""
    read = [(log, str(path)) for log in logs for path in log.get("paths", [])]
    for number, (first, pattern) in enumerate(read):
        for place, (second, path) in enumerate(read):
            if number == place or (pattern == path and number > place):
                continue
            if _meet(pattern, path) and not _kept_apart(first, second, path):
                yield Shared(first["name"], pattern, second["name"], path)


def _meet(pattern: str, path: str) -> bool:
    return pattern == path or (is_literal(path) and matches(pattern, path) is True)


def _kept_apart(first: t.Mapping[str, t.Any], second: t.Mapping[str, t.Any], path: str) -> bool:
    excludes = [[str(one) for one in log.get("exclude", [])] for log in (first, second)]
    if not is_literal(path) and all(excludes):
        return True  # the one may leave out what the other reads
    return any(matches(one, path) is not False for both in excludes for one in both)


def is_literal(pattern: str) -> bool:
    return not re.search(r"[*?\[{\\]", pattern)


def matches(pattern: str, path: str) -> bool | None:
    """Whether a pattern stands for a path. None: this pattern is not understood here."""
    try:
        return any(re.fullmatch(_regex(one), path) for one in _without_braces(pattern))
    except (ValueError, re.error):
        return None


def _without_braces(pattern: str) -> list[str]:
    """C({a,b}) is what stands for both; the innermost first."""
    found = [pattern]
    while any("{" in one for one in found):
        if len(found) > MOST or "\\" in pattern:
            raise ValueError(pattern)
        expanded = []
        for one in found:
            inner = re.search(r"\{([^{}]*)\}", one)
            if not inner:
                raise ValueError(pattern)
            expanded += [one[: inner.start()] + choice + one[inner.end() :] for choice in inner[1].split(",")]
        found = list(dict.fromkeys(expanded))
    return found


def _regex(pattern: str) -> str:
    *folders, name = pattern.split("/")
    lead = "".join("(?:[^/]+/)*" if folder == "**" else f"{_part(folder)}/" for folder in folders)
    return lead + (".*" if name == "**" else _part(name))


def _part(text: str) -> str:
    """A part between slashes: *, ?, a class of characters, and what a backslash makes literal."""
    tokens = re.findall(r"\\(.)|(\*+)|(\?)|\[([!^]?)((?:\\.|[^\]\\])+)\]|([^\\\[])|(.)", text)
    found = []
    for escaped, any_number, one, negated, members, other, wrong in tokens:
        if wrong:
            raise ValueError(text)
        if members:
            found.append(f"[{'^/' if negated else ''}{members.replace('[', chr(92) + '[')}]")
        else:
            found.append("[^/]*" if any_number else "[^/]" if one else re.escape(escaped or other))
    return "".join(found)
