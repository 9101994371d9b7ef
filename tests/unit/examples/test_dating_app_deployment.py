# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example's program, playbook and inventories name the same ten services, on the guide's ports."""

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "dating_app"))

from dating_app.routes import SERVICES

ROOT = Path(__file__).parents[3]


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("inventory", ["dating_app", "demo"])
def test_inventories_state_the_guides_ports(inventory):
    stated = load(f"inventories/{inventory}/group_vars/dating_app.yml")["monitoring_services"]
    assert [(entry["name"], entry["port"]) for entry in stated] == list(zip(SERVICES, range(8081, 8091), strict=True))


def test_the_playbook_runs_what_the_program_can_be():
    (play,) = load("examples/dating_app/deploy.yml")
    assert play["vars"]["dating_app_names"] == list(SERVICES)


def test_the_guides_retention():
    retention = load("inventories/dating_app/group_vars/prometheus.yml")
    assert retention["prometheus_scrape_interval"] == "15s"
    assert retention["prometheus_retention_time"] == "30d"
    assert retention["prometheus_retention_size"] == "10GB"
