# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What Prometheus answered, in the shape that checks want; and what alerts compare, read from the rule files."""

from __future__ import annotations

import functools
import math
import re
import time
import typing as t

from .report import Finding
from .role_facts import prometheus_rules

DAY = 86400
Labels = t.Mapping[str, str]
REMEDY = "What to do: "


class Refused(Exception):
    """A call of a host that brought no answer. C(library): what the host lacks for the module, if that is why."""

    def __init__(self, said: str, library: str = "") -> None:
        super().__init__(said)
        what, _mark, self.remedy = said.partition(REMEDY)
        self.what = what.strip().rstrip(".")
        self.library = library


class Series(t.NamedTuple):
    labels: Labels
    points: list[float]

    @property
    def last(self) -> float:
        return self.points[-1]


class Answers:
    """C(now): seconds since 1970, when it was asked."""

    def __init__(self, answers: t.Mapping[str, t.Mapping[str, t.Any]], now: float = 0.0) -> None:
        self._answers = answers
        self.now = now

    def data(self, name: str) -> t.Any:
        """None where there is no answer; problems() tells why."""
        return self._answers.get(name, {}).get("data")

    def answer(self, name: str) -> t.Mapping[str, t.Any]:
        return self._answers.get(name, {})

    def series(self, name: str) -> list[Series]:
        """Of a range or of one moment. What is no number has no place in a report."""
        found = []
        for one in (self.data(name) or {}).get("result", []):
            pairs = one.get("values") or [one["value"]]
            points = [value for _time, text in pairs if not math.isnan(value := float(text)) and not math.isinf(value)]
            if points:
                found.append(Series(one["metric"], points))
        return found

    def number(self, name: str) -> float | None:
        """Of the first series."""
        found = self.series(name)
        return found[0].last if found else None

    def thresholds(self, name: str = "thresholds") -> dict[str, float]:
        return {one.labels.get("alert", ""): one.last for one in self.series(name)}

    def problems(self, check: str, host: str, component: str = "prometheus") -> list[Finding]:
        """A question that was refused is said, or its check would look as if all were well."""
        refused = {name: str(answer["error"]) for name, answer in self._answers.items() if "error" in answer}
        if not refused:
            return []
        name, said = next(iter(refused.items()))
        who = component.capitalize()
        return [
            Finding(
                check,
                "warning",
                host,
                component,
                f"{len(refused)} of {len(self._answers)} questions were not answered by {who}",
                f"{', '.join(sorted(refused))}; of {name} it says: {said}",
                f"This version of {who} does not know the question, or it took too long.",
                f"see the log of {who}; raise maintenance_timeout or doctor_timeout if it needs longer",
            )
        ]


def query(name: str, expr: str, **more: t.Any) -> dict[str, t.Any]:
    """A query of M(opswatch.monitoring.prometheus_info)."""
    return {"name": name, "expr": expr, **more}


def named(labels: Labels, leave_out: t.Collection[str] = ("job",)) -> str:
    """A series in a few words: its host first, then what else tells it apart."""
    more = [
        value for name, value in sorted(labels.items()) if name not in ("__name__", "instance", *leave_out) and value
    ]
    return " ".join(([labels["instance"]] if labels.get("instance") else []) + more) or "all"


def plain(value: float) -> str:
    """A number as people write it."""
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def size(value: float) -> str:
    """Bytes in words."""
    number = float(value)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(number) < 1024 or unit == "TiB":
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError


def when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


class Compared(t.NamedTuple):
    """What an alert compares with its threshold. C(below): it fires where the value is below."""

    expr: str
    below: bool


_COMPARISON = re.compile(r'\s([<>])\s*on\s*\(\)\s*(?:group_left\s*\(\)\s*)?monitoring:threshold\{alert="(\w+)"\}')
_SET = re.compile(r"\b(?:and|or|unless)\b")
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)


def compared_in(expr: str, alert: str) -> Compared | None:
    """The left side of the comparison with the threshold; None where it is no expression of its own.

    Set operators bind weaker than the comparison: what stands before one would be cut in the middle.
    """
    found = next((match for match in _COMPARISON.finditer(expr) if match[2] == alert), None)
    if not found:
        return None
    left = _COMMENT.sub("", expr[: found.start()]).strip()
    whole = left.count("(") == left.count(")") and left.count("{") == left.count("}")
    outer = re.sub(r"\([^()]*\)", "", left)
    while outer != (outer := re.sub(r"\([^()]*\)", "", outer)):
        pass
    return Compared(left, found[1] == "<") if whole and not _SET.search(outer) else None


@functools.cache
def compared() -> dict[str, Compared]:
    """By the name of the alert, for every alert of the collection with a threshold."""
    found = {}
    for rule in (rule for group in prometheus_rules() for rule in group["rules"] if "alert" in rule):
        left = compared_in(rule["expr"], rule["alert"])
        if left:
            found[rule["alert"]] = left
    return found
