# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passwords the second look takes to a host, by Ansible's own templating."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import PLACEHOLDER

ROLE = Path(__file__).resolve().parents[3] / "roles/monitoring"
SERVER, EXPORTER = {"monitoring_auth_password": "server"}, {"monitoring_exporter_password": "exporter"}


def load(path: str) -> t.Any:
    return DataLoader().load_from_file(str(ROLE / path), cache="none", unsafe=True, trusted_as_template=True)


ROLES = load("defaults/main.yml") | load("vars/main.yml")
VARIABLES = ROLES | SERVER | EXPORTER | {"playbook_dir": "/nonexistent"}
(LOOK,) = load("tasks/second_look.yml")


@pytest.mark.parametrize(
    ("groups", "passwords"),
    [
        (["node_exporter", "web"], {"node_exporter": "exporter"}),
        (["grafana", "loki"], {}),
        (["alertmanager", "blackbox_exporter"], {"alertmanager": "server", "blackbox_exporter": "exporter"}),
    ],
)
def test_a_host_gets_the_passwords_of_its_own_components(groups: list[str], passwords: dict[str, str]) -> None:
    """What is known on a host with an exporter does not open Prometheus."""
    variables = {**VARIABLES, "group_names": groups}
    asked = Templar(loader=DataLoader(), variables=variables).template(LOOK["opswatch.monitoring.second_look"])
    assert asked["passwords"] == passwords


def test_nothing_is_made_to_ask_what_runs(tmp_path: Path) -> None:
    """It would be kept, and the next run would take it for that of the hosts."""
    variables = {**ROLES, "group_names": ["alertmanager"], "playbook_dir": str(tmp_path)}
    asked = Templar(loader=DataLoader(), variables=variables).template(LOOK["opswatch.monitoring.second_look"])
    assert asked["passwords"] == {"alertmanager": PLACEHOLDER}
    assert list(tmp_path.iterdir()) == []
