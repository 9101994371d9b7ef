# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What a role would refuse at its turn, when other hosts are changed already: found by the functions that refuse it."""

from __future__ import annotations

import difflib
import os
import typing as t
from pathlib import Path

from ansible.errors import AnsibleError

from . import alertmanager, grafana, loki, loki_gone, role_facts
from .dashboard_tree import read_tree, tree_owners
from .inventory_rules import inventory_rules
from .preflight_report import Problem, refused
from .preflight_values import spec_problems
from .quantities import quantity_problems
from .scrape import HostVars

Values = t.Mapping[str, t.Any]


def role_problems(component: str, values: Values) -> list[Problem]:
    """Problems of values that have the right type; where one has not, its type is what is reported."""
    check = {
        "prometheus": prometheus_problems,
        "alertmanager": receiver_problems,
        "loki": loki_problems,
    }.get(component)
    return quantity_problems(component, values) + unit_problems(component, values) + (check(values) if check else [])


def unit_problems(component: str, values: Values) -> list[Problem]:
    """Sections that are none."""
    name = f"{component}_unit"
    stated = values.get(name)
    return [
        Problem(
            f"{name}: {section} is no section with settings",
            "",
            f"write it like {name}: {{Service: {{LimitNOFILE: 65536}}}}",
        )
        for section, settings in (stated if isinstance(stated, dict) else {}).items()
        if settings is not None and not isinstance(settings, dict)
    ]


def prometheus_problems(values: Values) -> list[Problem]:
    return threshold_problems(values) + muted_problems(values) + limit_problems(values) + job_problems(values)


def muted_problems(values: Values) -> list[Problem]:
    """Names of no alert. With rule files of the user's own, what is called like this is not known here."""
    stated, config = values.get("prometheus_muted_alerts"), values.get("prometheus_config")
    if values.get("prometheus_rule_files") or (isinstance(config, dict) and config.get("rule_files")):
        return []
    known = {rule["alert"] for group in role_facts.prometheus_rules() for rule in group["rules"] if "alert" in rule}
    return [
        Problem(
            f"prometheus_muted_alerts: no alert is called {name}",
            "".join(f"did you mean {meant}?" for meant in difflib.get_close_matches(str(name), known, 1)),
            "docs/alerts.md has the names",
        )
        for name in (stated if isinstance(stated, list) else [])
        if name not in known
    ]


def limit_problems(values: Values) -> list[Problem]:
    """What stands for a single job, where it is no such limit."""
    stated = values.get("prometheus_job_limits")
    limits = role_facts.options("prometheus")["prometheus_limits"]
    return [
        problem
        for job, its in (stated if isinstance(stated, dict) else {}).items()
        for problem in spec_problems(
            "prometheus", {f"prometheus_job_limits, {job}": limits}, {f"prometheus_job_limits, {job}": its}
        )
    ]


def job_problems(values: Values) -> list[Problem]:
    stated = values.get("prometheus_scrape_configs")
    return [
        Problem(f"prometheus_scrape_configs, entry {number}, has no job_name", "", "give it a name of its own")
        for number, job in enumerate(stated if isinstance(stated, list) else [], 1)
        if isinstance(job, dict) and not job.get("job_name")
    ]


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
    return loki_gone.gone_problems(values) + [
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


def receiver_warnings(values: Values) -> list[str]:
    """Whether nobody hears of an alert. Without the host's name: Ansible shows what is the same for many hosts once."""
    receivers, over = values.get("alertmanager_receivers"), values.get("alertmanager_config")
    over = over if isinstance(over, dict) else {}
    if over.get("receivers"):
        return []
    if not receivers:
        seen, remedy = "is empty", "set it for the group alertmanager"
    elif _are_for_watchdog(receivers) and not (values.get("alertmanager_route") or over.get("route")):
        seen, remedy = "asks for no severity but none", "add a receiver for critical and warning"
    else:
        return []
    return [
        f"alertmanager_receivers {seen}, so nobody is told of any alert. What to do: {remedy}; docs/alertmanager.md "
        "has examples."
    ]


def _are_for_watchdog(receivers: t.Any) -> bool:
    """Whether all are a dead man's switch. No other alert of ours has the severity none."""
    return isinstance(receivers, list) and all(
        isinstance(one, dict) and one.get("severities") in ([], ["none"]) for one in receivers
    )


def grafana_problems(
    values: Values, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars, find: t.Callable[[str], str]
) -> list[Problem]:
    """Settings, datasources and dashboards. C(find) looks where the role will look, and raises AnsibleError."""
    config, own, paths = (values.get(f"grafana_{name}") for name in ("config", "datasources", "dashboards"))
    problems = refused(grafana.build_ini, config, "") if isinstance(config, dict) else []
    if isinstance(own, list):
        problems += datasource_problems(own, groups, hostvars)
    if isinstance(paths, list):
        paths = [str(path) for path in paths]
        problems += refused(tree_owners, paths)
        problems += [problem for path in paths for problem in dashboard_problems(path, find)]
    return problems


def datasource_problems(
    own: t.Sequence[t.Any], groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars
) -> list[Problem]:
    """Every entry that is wrong by itself; where none is, twins, the servers of the inventory among them."""
    problems = [problem for one in own for problem in refused(grafana.build_datasources, {}, {}, "", False, [one], "")]
    return problems or refused(grafana.build_datasources, groups, hostvars, "", False, own, "")


def dashboard_problems(path: str, find: t.Callable[[str], str]) -> list[Problem]:
    """All that is wrong with a folder of dashboards, file by file."""
    try:
        root = find(path)
    except AnsibleError:
        root = path
    if not os.path.isdir(root):
        remedy = "correct the path: an absolute one, or one that begins with {{ inventory_dir }}"
        return [Problem("grafana_dashboards names a folder that is not there", root, remedy)]
    found = read_tree(Path(root)).problems
    return [Problem(f"grafana_dashboards: {problem}", "", "correct the file, or take it away") for problem in found]
