# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Rule files of the user's own for Loki, of which one that is wrong hides all: found before anything is changed."""

from __future__ import annotations

import os
import typing as t

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from . import role_facts
from .preflight_report import Problem

# Loki refuses any other key.
OF_A_GROUP = {"name", "interval", "query_offset", "limit", "rules", "labels"}
OF_A_RULE = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}


def rule_file_problems(values: t.Mapping[str, t.Any], find: t.Callable[[str], str]) -> list[Problem]:
    """C(find) looks where the role will look, and raises AnsibleError. That a file is not there is told elsewhere."""
    paths = values.get("loki_rule_files")
    paths = [str(path) for path in paths] if isinstance(paths, list) else []
    ours = os.listdir(role_facts.role_path("loki", "files", "rules"))
    taken = [path for path in paths if os.path.basename(path) in ours]
    if not boolean(values.get("loki_builtin_rules", True), strict=False):
        taken = []
    problems = [
        Problem("loki_rule_files has a file of the name of one of ours", path, "rename it: they share a folder")
        for path in taken
    ]
    for path in paths:
        try:
            found = find(path)
        except AnsibleError:
            continue
        if os.path.isfile(found):
            problems += [
                Problem(
                    f"loki_rule_files, {path}: {what}", seen, "correct the file: one that is wrong hides all others"
                )
                for what, seen in _wrong(found)
            ]
    return problems


def _wrong(path: str) -> t.Iterator[tuple[str, str]]:
    """What Loki would refuse of a file, and what is seen of it."""
    try:
        with open(path, encoding="utf-8") as handle:
            loaded = next(iter(yaml.safe_load_all(handle)), None)
    except (OSError, ValueError, yaml.YAMLError) as error:
        yield "it cannot be read as YAML", " ".join(str(error).split())
        return
    groups = loaded.get("groups") if isinstance(loaded, dict) else None
    if not isinstance(groups, list):  # one that is empty is fine
        yield "it has no list of groups", ""
        return
    yield from _unknown("it", loaded, {"groups"})
    names = []
    for number, group in enumerate(groups, 1):
        if not isinstance(group, dict):
            yield f"group {number} is no map", ""
            continue
        name = group.get("name")
        names.append(name)
        where = f"group {name}" if name else f"group {number}"
        if not name:
            yield f"{where} has no name", ""
        yield from _unknown(where, group, OF_A_GROUP)
        rules = group.get("rules")
        if not isinstance(rules, list):
            yield f"{where} has no list of rules", ""
            continue
        for place, rule in enumerate(rules, 1):
            yield from _wrong_rule(f"{where}, rule {place}", rule)
    twice = {str(name) for name in names if name and names.count(name) > 1}
    if twice:
        yield "it has several groups of one name", ", ".join(sorted(twice))


def _wrong_rule(where: str, rule: t.Any) -> t.Iterator[tuple[str, str]]:
    if not isinstance(rule, dict):
        yield f"{where}, is no map", ""
        return
    name = rule.get("alert") or rule.get("record")
    where += f" ({name})" if name else ""
    if not name:
        yield f"{where}, has neither alert nor record", ""
    elif rule.get("alert") and rule.get("record"):
        yield f"{where}, has both alert and record", ""
    if rule.get("expr") in (None, ""):
        yield f"{where}, has no expr", ""
    yield from _unknown(f"{where},", rule, OF_A_RULE)


def _unknown(where: str, value: t.Mapping[t.Any, t.Any], known: t.Collection[str]) -> t.Iterator[tuple[str, str]]:
    strange = [str(key) for key in value if key not in known]
    if strange:
        yield f"{where} has what Loki does not know", ", ".join(strange)
