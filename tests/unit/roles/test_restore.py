# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which components the role restore refuses, by Ansible's own templating."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[3] / "roles/restore"
GROUPS = {"all": ["mon1"], "prometheus": ["mon1"], "grafana": ["mon1"], "node_exporter": ["mon1"], "alertmanager": []}


def load(path: str) -> t.Any:
    return DataLoader().load_from_file(str(ROLE / path), cache="none", unsafe=True, trusted_as_template=True)


VARIABLES = load("vars/main.yml")
REFUSAL = next(task for task in load("tasks/main.yml") if task["name"] == "Refuse components that are none")


def test_the_role_alone_says_what_components_there_are() -> None:
    """A list of choices is held against what is given before any task, and prints all options for each host."""
    assert "choices" not in load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]["restore_components"]


def said(wanted: str | list[str]) -> str:
    """The words of the refusal, empty where there is none."""
    variables = {**VARIABLES, **REFUSAL["vars"], "groups": GROUPS, "restore_components": wanted}
    templar = Templar(loader=DataLoader(), variables=variables)
    refused = templar.template(trust_as_template("{{ " + REFUSAL["when"] + " }}"))
    return str(templar.template(REFUSAL["ansible.builtin.fail"]["msg"])) if refused else ""


@pytest.mark.parametrize("wanted", [[], "prometheus", "prometheus,grafana", ["grafana"]])
def test_components_that_are_restored(wanted: str | list[str]) -> None:
    assert said(wanted) == ""


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ("loki", "loki"),
        (["alertmanager"], "alertmanager"),
        ("prometheus,loki", "loki"),
        ("prom,grafana", "prom"),
        ("node_exporter", "node_exporter"),
    ],
)
def test_components_of_which_no_host_has_data(wanted: str | list[str], refused: str) -> None:
    """A group that is empty is no better than none."""
    assert said(wanted) == (
        f"restore_components has {refused}, of which this inventory has nothing to restore. "
        "What to do: choose of prometheus, grafana, with commas between them; or leave it out for all."
    )
