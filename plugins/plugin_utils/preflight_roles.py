# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What a role would refuse at its turn, when other hosts are changed already: found by the functions that refuse it."""

from __future__ import annotations

import typing as t

from . import alertmanager, loki, role_facts
from .inventory_rules import inventory_rules
from .preflight_report import Problem, refused

Values = t.Mapping[str, t.Any]


def role_problems(component: str, values: Values) -> list[Problem]:
    """Problems of values that have the right type; where one has not, its type is what is reported."""
    check = {
        "prometheus": threshold_problems,
        "alertmanager": receiver_problems,
        "loki": loki_problems,
    }.get(component)
    return check(values) if check else []


def threshold_problems(values: Values) -> list[Problem]:
    """One by one, so that each of them is reported."""
    stated, known = values.get("prometheus_thresholds"), role_facts.thresholds()
    return [
        problem
        for name, value in (stated if isinstance(stated, dict) else {}).items()
        for problem in refused(inventory_rules, [], known, {name: value})
    ]


def loki_problems(values: Values) -> list[Problem]:
    """Keys that this version refuses, and thresholds of alerts that are not there."""
    stated = values.get("loki_thresholds")
    known = role_facts.log_alerts()
    return loki.gone_problems(values) + [
        problem
        for name, value in (stated if isinstance(stated, dict) else {}).items()
        for problem in refused(loki.check_thresholds, {name: value}, known)
    ]


def receiver_problems(values: Values) -> list[Problem]:
    """Every receiver that is wrong; where all are right, what is wrong with them together, and with the routes."""
    receivers, route, over = (values.get(f"alertmanager_{name}") for name in ("receivers", "route", "config"))
    if not (isinstance(receivers, list) and isinstance(route, dict) and isinstance(over, dict)):
        return []
    maps = [receiver for receiver in receivers if isinstance(receiver, dict)]
    problems = [problem for receiver in maps for problem in refused(alertmanager.checked, receiver)]
    if problems or len(maps) < len(receivers):
        return problems
    return refused(alertmanager.build, receivers, route, over, str(values.get("alertmanager_version")), "")
