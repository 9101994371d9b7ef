# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Weekly: rules that are slow, and rules that are not those of the inventory."""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from urllib.parse import urlencode

from .maintenance_answers import Answers, plain, query
from .quantities import seconds
from .report import Chart, Finding, Look, Row, counted, listed

SLOW, DRIFT = "slow rules", "rules of the inventory"
COMPONENT = "prometheus"
# A group that takes half of its interval has no room for a bad day.
SHARE = 0.5
PATHS = {"rules": "/api/v1/rules"}
Groups = t.Sequence[t.Mapping[str, t.Any]]


# --- slow ---


def queries(host: str) -> list[dict[str, t.Any]]:
    own = f'{{job="prometheus", instance="{host}"}}'
    return [
        query("rule_duration", f"max_over_time(prometheus_rule_group_last_duration_seconds{own}[7d])"),
        query("rule_interval", f"prometheus_rule_group_interval_seconds{own}"),
        query("rule_missed", f"increase(prometheus_rule_group_iterations_missed_total{own}[7d]) > 0"),
    ]


def slow_look(host: str, answers: Answers) -> Look:
    intervals = {one.labels["rule_group"]: one.last for one in answers.series("rule_interval")}
    durations = {one.labels["rule_group"]: one.last for one in answers.series("rule_duration")}
    missed = {one.labels["rule_group"]: one.last for one in answers.series("rule_missed")}
    slowest = sorted(durations, key=lambda group: durations[group], reverse=True)
    tight = [group for group in slowest if durations[group] >= SHARE * intervals.get(group, float("inf"))]
    findings = []
    if missed:
        findings.append(
            Finding(
                SLOW,
                "warning",
                host,
                COMPONENT,
                f"{_groups(missed)} missed evaluations in the last week: {listed(map(_short, missed))}",
                f"{_short(next(iter(missed)))}: {plain(next(iter(missed.values())))} evaluations",
                "An evaluation took longer than the interval of its group.",
                "record what several rules compute in common, or raise the interval of the group",
            )
        )
    if tight:
        worst = tight[0]
        findings.append(
            Finding(
                SLOW,
                "warning",
                host,
                COMPONENT,
                f"{_groups(tight)} took half of the interval or more: {listed(map(_short, tight))}",
                f"{_short(worst)}: {_time(durations[worst])} of {_time(intervals[worst])}. {_slowest_rules(answers)}",
                "",
                "record what several rules compute in common, or raise the interval of the group",
            )
        )
    if durations and not findings:
        what = f"Rules are evaluated in time; the slowest group takes {_time(durations[slowest[0]])}"
        findings.append(Finding(SLOW, "ok", host, COMPONENT, what, _slowest_rules(answers)))
    rows = [
        Row(
            _short(group),
            _time(durations[group]),
            1000 * durations[group],
            severity="warning" if group in tight else "ok",
        )
        for group in slowest[:6]
    ]
    return Look(findings, [Chart("Slowest groups of rules", rows, "longest evaluation of the last week")])


def _groups(names: t.Sized) -> str:
    return f"{counted(len(names), 'group')} of rules"


def _short(group: str) -> str:
    """The label holds the file too."""
    return group.rpartition(";")[2]


def _time(value: float) -> str:
    return f"{plain(1000 * value)} ms" if value < 1 else f"{plain(value)} s"


def _slowest_rules(answers: Answers) -> str:
    rules = [rule for group in served(answers) for rule in group["rules"]]
    rules.sort(key=lambda rule: rule.get("evaluationTime", 0), reverse=True)
    return (
        "Slowest rules: " + listed((f"{one['name']} ({_time(one['evaluationTime'])})" for one in rules[:3]), 3)
        if rules
        else ""
    )


def served(answers: Answers) -> Groups:
    return list((answers.data("rules") or {}).get("groups", []))


# --- those of the inventory ---


class Rule(t.NamedTuple):
    """A rule in a form that makes equal ones equal, wherever it was read. C(expr) is without its white space."""

    group: str
    name: str
    kind: str
    expr: str
    duration: float
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]


_TOKENS = re.compile(r'("(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`)|(#[^\n]*)|(\s+)')


def squeezed(expr: str) -> str:
    """Without comments, and without white space outside of strings: Prometheus prints both in its own way."""
    return _TOKENS.sub(lambda match: match[1] or "", expr)


def wanted(groups: Groups) -> list[Rule]:
    """Out of rule files."""
    return [
        Rule(
            group["name"],
            rule.get("alert") or rule["record"],
            "alerting" if "alert" in rule else "recording",
            squeezed(str(rule["expr"])),
            seconds(rule.get("for")) or 0,
            _pairs(rule.get("labels")),
            _pairs(rule.get("annotations")),
        )
        for group in groups
        for rule in group["rules"]
    ]


def in_force(groups: Groups) -> list[Rule]:
    """Out of the server's answer."""
    return [
        Rule(
            group["name"],
            rule["name"],
            rule["type"],
            squeezed(rule["query"]),
            float(rule.get("duration") or 0),
            _pairs(rule.get("labels")),
            _pairs(rule.get("annotations")),
        )
        for group in groups
        for rule in group["rules"]
    ]


def _pairs(stated: t.Mapping[str, t.Any] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value).strip()) for name, value in (stated or {}).items()))


def unclear(groups: Groups, rules: t.Sequence[Rule]) -> dict[str, str]:
    """Expressions that the server has, or prints, otherwise: it is asked how it would print them."""
    here = {rule.expr for rule in rules}
    texts = {squeezed(str(rule["expr"])): str(rule["expr"]) for group in groups for rule in group["rules"]}
    return {
        f"format {short}": f"/api/v1/format_query?{urlencode({'query': text})}"
        for short, text in texts.items()
        if short not in here
    }


def drift_look(host: str, groups: Groups, answers: Answers, printed: Answers) -> Look:
    """C(groups): those that the inventory asks for. C(printed): the answers to unclear()."""
    here = in_force(served(answers))
    asked = [
        rule._replace(expr=squeezed(str(printed.data(f"format {rule.expr}") or rule.expr))) for rule in wanted(groups)
    ]
    missing = list((Counter(asked) - Counter(here)).elements())
    extra = list((Counter(here) - Counter(asked)).elements())
    changed = {_name(rule) for rule in missing} & {_name(rule) for rule in extra}
    findings = [
        *_said(host, "differs from", "differ from", sorted(changed), _difference(missing, extra, changed)),
        *_said(
            host,
            "is missing, and is in",
            "are missing, and are in",
            sorted({_name(one) for one in missing} - changed),
            "",
        ),
        *_said(
            host,
            "is in force, and is not in",
            "are in force, and are not in",
            sorted({_name(one) for one in extra} - changed),
            "",
        ),
    ]
    if not findings:
        findings = [Finding(DRIFT, "ok", host, COMPONENT, f"All {len(here)} rules are those of the inventory")]
    return Look(findings)


def _name(rule: Rule) -> tuple[str, str]:
    return rule.group, rule.name


def _difference(missing: t.Sequence[Rule], extra: t.Sequence[Rule], changed: t.Collection[tuple[str, str]]) -> str:
    """What the first of them differs in."""
    for one in missing:
        other = next((rule for rule in extra if _name(rule) == _name(one)), None)
        if _name(one) in changed and other:
            fields = [name for name in Rule._fields if getattr(one, name) != getattr(other, name)]
            return f"{one.name} has another {' and '.join('for' if name == 'duration' else name for name in fields)}"
    return ""


def _said(host: str, one: str, many: str, names: t.Sequence[tuple[str, str]], evidence: str) -> list[Finding]:
    if not names:
        return []
    return [
        Finding(
            DRIFT,
            "warning",
            host,
            COMPONENT,
            f"{counted(len(names), f'rule {one}', f'rules {many}')} the inventory: "
            + listed(f"{name} ({group})" for group, name in names),
            evidence,
            "Somebody changed files on the host, or the inventory has changed since the last run.",
            "run site.yml --check --diff to see what it would change, then site.yml",
        )
    ]
