# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role of each routine refuses before it does anything, by Ansible's own templating."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.role_facts import options, routines

ROLES = Path(__file__).resolve().parents[3] / "roles"


def said(role: str, *names: object) -> str:
    """The words of the refusal, empty where there is none."""
    main = str(ROLES / role / "tasks/main.yml")
    refusal = DataLoader().load_from_file(main, cache="none", unsafe=True, trusted_as_template=True)[0]
    given = dict.fromkeys(names, trust_as_template("{{ nothing_that_can_be_resolved }}"))
    variables = {**given, **refusal["vars"]}
    templar = Templar(loader=DataLoader(), variables=variables)
    refused = templar.template(trust_as_template("{{ " + refusal["when"] + " }}"))
    return str(templar.template(refusal["ansible.builtin.fail"]["msg"])) if refused else ""


@pytest.mark.parametrize("role", routines())
def test_first_of_all_a_misspelt_option_is_refused(role: str) -> None:
    name = next(iter(options(role)))
    assert said(role, f"{name}x", name) == (
        f"the variable {name}x is not known: did you mean {name}? What to do: call it {name}, or remove it"
    )


@pytest.mark.parametrize("role", routines())
def test_what_is_right_or_of_others_is_not(role: str) -> None:
    assert said(role, 1, f"{role}_of_somebody_else", *options(role)) == ""


def test_restore_refuses_those_of_the_backup_too() -> None:
    assert "did you mean backup_repository?" in said("restore", "backup_repositry")
