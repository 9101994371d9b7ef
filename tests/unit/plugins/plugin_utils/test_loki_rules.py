# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule files of the user's own for Loki."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki_rules import rule_file_problems

OURS = Path(__file__).resolve().parents[4] / "roles/loki/files/rules/opswatch_logs.yml"
ALERT = {"alert": "Silent", "expr": "vector(1)", "for": "5m", "labels": {"severity": "info"}}
RECORD = {"record": "shop:lines", "expr": "vector(1)"}


def found(folder: Path, text: str, **values: t.Any) -> list[str]:
    (folder / "shop.yml").write_text(text)
    problems = rule_file_problems({"loki_rule_files": ["shop.yml"], **values}, lambda path: str(folder / path))
    assert all(problem.what.startswith("loki_rule_files, shop.yml: ") for problem in problems)
    assert all("hides all others" in problem.remedy for problem in problems)
    said = [f"{problem.what} ({problem.seen})" if problem.seen else problem.what for problem in problems]
    return [one.removeprefix("loki_rule_files, shop.yml: ") for one in said]


def rules(*rules: t.Any, **group: t.Any) -> str:
    return yaml.safe_dump({"groups": [{"name": "shop", "rules": list(rules), **group}]})


def test_files_that_are_right(tmp_path: Path) -> None:
    assert found(tmp_path, rules(ALERT, RECORD, interval="1m", limit=5)) == []
    assert found(tmp_path, OURS.read_text()) == []


def test_files_without_rules_are_right(tmp_path: Path) -> None:
    """Others stay loaded."""
    assert found(tmp_path, "groups: []") == []
    assert found(tmp_path, rules()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["it has no list of groups"]),
        ("# nothing yet\n", ["it has no list of groups"]),
        ("groups:", ["it has no list of groups"]),
        ("groups: {a: 1}", ["it has no list of groups"]),
        ("- alert: a", ["it has no list of groups"]),
        ("groups: [1]", ["group 1 is no map"]),
        ("groups: [{rules: {a: 1}}]", ["group 1 has no name", "group 1 has no list of rules"]),
        ("groups: [{name: shop}]", ["group shop has no list of rules"]),
        (rules({"alert": "Silent"}), ["group shop, rule 1 (Silent), has no expr"]),
        (rules(ALERT, {"expr": "vector(1)"}), ["group shop, rule 2, has neither alert nor record"]),
        (rules({**ALERT, **RECORD}), ["group shop, rule 1 (Silent), has both alert and record"]),
        (rules("x"), ["group shop, rule 1, is no map"]),
        (rules({**ALERT, "anotations": {}}), ["group shop, rule 1 (Silent), has what Loki does not know (anotations)"]),
        (rules(ALERT, intervall="1m"), ["group shop has what Loki does not know (intervall)"]),
        (rules(ALERT) + "namespace: x", ["it has what Loki does not know (namespace)"]),
        (
            yaml.safe_dump({"groups": [{"name": "a", "rules": [ALERT]}, {"name": "a", "rules": [RECORD]}]}),
            ["it has several groups of one name (a)"],
        ),
    ],
)
def test_files_that_loki_would_refuse(text: str, said: list[str], tmp_path: Path) -> None:
    assert found(tmp_path, text) == said


def test_what_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (said,) = found(tmp_path, "groups:\n  - name: [")
    assert said.startswith("it cannot be read as YAML (")
    assert "line 2" in said


@pytest.mark.parametrize(("builtin", "count"), [(True, 1), ("yes", 1), (False, 0)])
def test_a_file_called_like_ours(builtin: t.Any, count: int, tmp_path: Path) -> None:
    (tmp_path / OURS.name).write_text(rules(ALERT))
    stated = {"loki_rule_files": [f"x/{OURS.name}"], "loki_builtin_rules": builtin}
    problems = rule_file_problems(stated, lambda path: str(tmp_path / Path(path).name))
    assert [problem.what for problem in problems] == ["loki_rule_files has a file of the name of one of ours"] * count


@pytest.mark.parametrize("stated", ["no list", None, []])
def test_what_has_another_type_or_is_not_there_is_told_elsewhere(stated: t.Any) -> None:
    def nowhere(path: str) -> str:
        raise AnsibleError(path)

    assert rule_file_problems({"loki_rule_files": stated}, nowhere) == []
    assert rule_file_problems({"loki_rule_files": ["gone.yml"]}, nowhere) == []
