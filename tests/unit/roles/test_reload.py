# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role reload states of the components, held against their own roles."""

from __future__ import annotations

from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
VARS = yaml.safe_load((ROLES / "reload/vars/main.yml").read_text())
FACTS = VARS["__reload_facts"]


def test_every_component_that_can_reload_is_known() -> None:
    able = {path.parts[-3] for path in ROLES.glob("*/vars/main.yml") if "ExecReload:" in path.read_text()}
    assert able
    assert able <= set(FACTS)
    assert all(name in able for name, fact in FACTS.items() if fact["how"] == "signal"), "its unit has no ExecReload"


def test_the_option_has_all_of_them() -> None:
    specs = yaml.safe_load((ROLES / "reload/meta/argument_specs.yml").read_text())
    assert specs["argument_specs"]["main"]["options"]["reload_components"]["choices"] == list(FACTS)


def test_what_opens_them_is_known() -> None:
    kinds = {fact["opened_by"] for fact in FACTS.values() if "opened_by" in fact}
    assert {f"__reload_password_{kind}" for kind in kinds} == {
        key for key in VARS if key.startswith("__reload_password")
    }


def test_files_for_a_restart_are_those_of_the_role() -> None:
    for name, fact in FACTS.items():
        for file in fact.get("restart_files", []):
            assert file in (ROLES / name / "vars/main.yml").read_text(), f"{name} has no {file}"
