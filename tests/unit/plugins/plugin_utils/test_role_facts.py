# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preflight reads of the roles is what their tasks use."""

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.component_spec import ARGUMENT_SPEC


@pytest.mark.parametrize("component", role_facts.components())
def test_role_states_its_release_as_plain_data(component: str) -> None:
    release = role_facts.release(component)
    assert set(release) == set(ARGUMENT_SPEC["release"]["options"])
    assert release["host"].startswith("https://")
    assert release["programs"]
    assert "{{" not in str([release, role_facts.packages(component)])


@pytest.mark.parametrize("component", role_facts.components())
def test_the_task_uses_what_the_preflight_reads(component: str) -> None:
    with open(role_facts.role_path(component, "tasks", "main.yml"), encoding="utf-8") as handle:
        loaded = yaml.safe_load(handle)
    tasks = [
        task["opswatch.monitoring.component"]
        for task in (inner for outer in loaded for inner in [outer, *outer.get("block", [])])
        if "opswatch.monitoring.component" in task
    ]
    for task in tasks:
        assert task["release"] == f"{{{{ __{component}_release }}}}"
        assert bool(task.get("packages")) == bool(role_facts.packages(component))
        assert task.get("packages") in (None, f"{{{{ __{component}_packages }}}}")
    assert tasks


def test_role_without_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_facts, "_read", lambda role, *parts: {})
    with pytest.raises(AnsibleError, match="prometheus states no __prometheus_release"):
        role_facts.release("prometheus")


def test_further_lists_of_services_are_typed_like_the_first() -> None:
    options = role_facts.options("monitoring")
    names = ["monitoring_services_shop", "monitoring_services", "monitoring_contact"]
    typed = role_facts.typed("monitoring", names)
    assert set(typed) - set(options) == {"monitoring_services_shop"}
    assert typed["monitoring_services_shop"] == options["monitoring_services"]
    assert role_facts.typed("prometheus", names) == role_facts.options("prometheus")
    assert "monitoring_services_shop" not in role_facts.options("monitoring")


def test_known_variables_of_all_roles() -> None:
    known = role_facts.known_variables()
    assert known["prometheus_version"] == "prometheus"
    assert known["node_exporter_textfile_dir"] == "node_exporter"
    assert known["monitoring_tls"] == known["monitoring_address"] == "monitoring"
