# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of LogQL as the tests ask: a selector, filters behind it, and counts of lines, summed by labels."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

NANO = 10**9
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MATCHER = r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|`[^`]*`)\s*'
FILTER = re.compile(r'\s*(\|=|!=|\|~|!~)\s*("(?:[^"\\]|\\.)*"|`[^`]*`)\s*')
LABEL_FILTER = re.compile(rf"\s*\|{MATCHER}")
PARSER = re.compile(r"\s*\|\s*json\s*")
COUNT = re.compile(r"(count_over_time|rate)\s*\(\s*(\{.*?)\s*\[(\d+)([smhd])\]\s*\)", re.DOTALL)
SUM = re.compile(r"sum\s*(?:by\s*\(([^)]*)\))?\s*\((.*)\)\s*(?:by\s*\(([^)]*)\))?", re.DOTALL)
INSTANT_LOGS = "log queries are not supported as an instant query type, please change your query to a range query type"
NO_MATCHER = (
    "parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible "
    'value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'
)


class Refused(Exception):
    """What Loki answers with status 400."""


class Entry(NamedTuple):
    """A line: its stream's labels, its time in nanoseconds, its text, its structured metadata."""

    labels: dict[str, str]
    time: int
    line: str
    metadata: dict[str, str]


class Count(NamedTuple):
    """A query for a metric."""

    selector: str
    seconds: int
    per_second: bool
    by: tuple[str, ...] | None  # None: not summed


Test = Callable[[Entry], bool]


def parse_count(text: str) -> Count | None:
    """None for a query of lines."""
    text = text.strip()
    if text.startswith("{"):
        return None
    by: tuple[str, ...] | None = None
    if summed := SUM.fullmatch(text):
        names = summed[1] or summed[3] or ""
        by, text = tuple(filter(None, re.split(r"[\s,]+", names))), summed[2].strip()
    found = COUNT.fullmatch(text)
    if not found:
        raise Refused("parse error at line 1, col 1: syntax error: the stand-in does not know this query")
    return Count(found[2], int(found[3]) * UNITS[found[4]], found[1] == "rate", by)


def parse_selector(text: str) -> Test:
    """Whether a line is meant by a selector and the filters behind it."""
    tests: list[Test] = []
    matchers, rest = [], text.strip()[1:]
    while found := re.match(MATCHER, rest):
        matchers.append(found.groups())
        rest = rest[found.end() :].removeprefix(",")
    if not rest.startswith("}"):
        seen = "unexpected $end, expecting } or ," if not rest.strip() else f"unexpected {rest.strip()[0]}"
        raise Refused(f"parse error at line 1, col {len(text) - len(rest) + 1}: syntax error: {seen}")
    if all(matches(operator, value, "") for _name, operator, value in matchers):
        raise Refused(NO_MATCHER)
    tests += [_on_label(*matcher, everywhere=False) for matcher in matchers]
    rest = rest[1:]
    while rest.strip():
        if found := FILTER.match(rest):
            tests.append(_on_line(found[1], found[2]))
        elif found := LABEL_FILTER.match(rest):
            tests.append(_on_label(found[1], found[2], found[3], everywhere=True))
        elif not (found := PARSER.match(rest)):
            col = len(text) - len(rest) + 1
            raise Refused(f"parse error at line 1, col {col}: syntax error: unexpected {rest.strip().split()[0]}")
        rest = rest[found.end() :]
    return lambda entry: all(test(entry) for test in tests)


def value_of(quoted: str) -> str:
    return quoted[1:-1] if quoted.startswith("`") else str(json.loads(quoted))


def matches(operator: str, quoted: str, seen: str) -> bool:
    value = value_of(quoted)
    equal = re.fullmatch(value, seen) is not None if "~" in operator else value == seen
    return equal != operator.startswith("!")


def _on_label(name: str, operator: str, quoted: str, everywhere: bool) -> Test:
    return lambda entry: matches(operator, quoted, (fields(entry) if everywhere else entry.labels).get(name, ""))


def _on_line(operator: str, quoted: str) -> Test:
    value = value_of(quoted)
    if operator in ("|=", "!="):
        return lambda entry: (value in entry.line) == (operator == "|=")
    return lambda entry: (re.search(value, entry.line) is not None) == (operator == "|~")


def fields(entry: Entry) -> dict[str, str]:
    """Labels, structured metadata, and what is in a line of JSON."""
    return {**in_json(entry.line), **entry.metadata, **entry.labels}


def in_json(line: str) -> dict[str, str]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return (
        {key: str(value) for key, value in found.items() if not isinstance(value, (dict, list))}
        if isinstance(found, dict)
        else {}
    )


# --- answers ---


def streams(entries: list[Entry], query: str, begin: int, end: int, limit: int, forward: bool) -> list[dict[str, Any]]:
    """The result of a query of lines."""
    test = parse_selector(query)
    chosen = sorted(
        (entry for entry in entries if begin <= entry.time < end and test(entry)),
        key=lambda entry: entry.time,
        reverse=not forward,
    )[:limit]
    found: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for entry in chosen:
        labels = {**entry.labels, **entry.metadata}
        one = found.setdefault(tuple(sorted(labels.items())), {"stream": labels, "values": []})
        one["values"].append([str(entry.time), entry.line])
    return [found[key] for key in sorted(found)]


def vector(entries: list[Entry], count: Count, now: int) -> list[dict[str, Any]]:
    """The result of a query for a metric, at one moment."""
    test = parse_selector(count.selector)
    sums: dict[tuple[tuple[str, str], ...], int] = {}
    for entry in entries:
        if now - count.seconds * NANO < entry.time <= now and test(entry):
            known = {**entry.labels, **entry.metadata}
            labels = known if count.by is None else {name: known[name] for name in count.by if name in known}
            key = tuple(sorted(labels.items()))
            sums[key] = sums.get(key, 0) + 1
    divisor = count.seconds if count.per_second else 1
    return [
        {"metric": dict(key), "value": [now / NANO, f"{number / divisor:.10g}"]} for key, number in sorted(sums.items())
    ]


def matrix(entries: list[Entry], count: Count, moments: Iterator[int]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for moment in moments:
        for one in vector(entries, count, moment):
            series = found.setdefault(str(one["metric"]), {"metric": one["metric"], "values": []})
            series["values"].append(one["value"])
    return list(found.values())
