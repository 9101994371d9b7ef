# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a notification reads, by the real amtool, for an inventory with a Grafana and for one without."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.testbed import programs

ROLE = Path(__file__).resolve().parents[3] / "roles/alertmanager"
BEGAN = "2026-03-01T12:00:00Z"
AN_HOUR_BEFORE = "1772362800000"
GRAFANA = "https://example.com/grafana"
AMTOOLS = programs.versions("alertmanager")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The oldest and the newest: what a template may call has grown."""
    folder = tmp_path_factory.mktemp("amtool")
    return {
        version: programs.unpack("alertmanager", version, folder) / "amtool" for version in (AMTOOLS[0], AMTOOLS[-1])
    }


def alert(annotations: dict[str, str], **labels: str) -> dict[str, t.Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "HighErrorRate", "severity": "warning", **labels},
        "annotations": {"summary": "it is slow", "runbook_url": "https://example.com/x", **annotations},
        "startsAt": BEGAN,
        "generatorURL": "http://mon1:9090/graph",
    }


def dashboard_template(grafana: str) -> str:
    source = (ROLE / "templates/opswatch_dashboard.tmpl.j2").read_text(encoding="utf-8")
    return str(
        Templar(loader=DataLoader(), variables={"__alertmanager_grafana": grafana}).template(trust_as_template(source))
    )


def text_of(amtool: Path, folder: Path, grafana: str, *alerts: dict[str, t.Any]) -> str:
    """The text of a notification about these alerts."""
    folder.joinpath("opswatch.tmpl").write_text((ROLE / "files/templates/opswatch.tmpl").read_text("utf-8"))
    folder.joinpath("opswatch_dashboard.tmpl").write_text(dashboard_template(grafana))
    folder.joinpath("data.json").write_text(json.dumps({"alerts": alerts, "externalURL": "http://mon1:9093"}))
    done = subprocess.run(
        [
            amtool,
            "template",
            "render",
            f"--template.glob={folder}/*.tmpl",
            f"--template.data={folder}/data.json",
            '--template.text={{ template "opswatch.text" . }}',
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dashboards_in(text: str) -> list[str]:
    return [line.removeprefix("Dashboard: ") for line in text.splitlines() if line.startswith("Dashboard: ")]


@pytest.mark.parametrize("version", [AMTOOLS[0], AMTOOLS[-1]])
def test_an_alert_leads_to_its_dashboard(unpacked: dict[str, Path], version: str, tmp_path: Path) -> None:
    one = alert({"dashboard": "/d/opswatch-services"}, instance="app 1&2", service="webapp")
    text = text_of(unpacked[version], tmp_path, GRAFANA, one)
    (url,) = dashboards_in(text)
    assert url.startswith(f"{GRAFANA}/d/opswatch-services?")
    assert parse_qs(urlsplit(url).query) == {
        "from": [AN_HOUR_BEFORE],
        "to": ["now"],
        "var-instance": ["app 1&2"],
        "var-service": ["webapp"],
    }
    assert text.splitlines()[-5:-3] == ["What to do: https://example.com/x", f"Dashboard: {url}"]


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        ("/d/shop?var-x=1", f"{GRAFANA}/d/shop?var-x=1&from={AN_HOUR_BEFORE}&to=now"),
        ("https://other.example.com/d/x", "https://other.example.com/d/x"),
        ("the one about the shop", ""),
        ("", ""),
    ],
)
def test_a_dashboard_of_the_user_s(unpacked: dict[str, Path], stated: str, shown: str, tmp_path: Path) -> None:
    text = text_of(unpacked[AMTOOLS[-1]], tmp_path, GRAFANA, alert({"dashboard": stated} if stated else {}))
    assert dashboards_in(text) == ([shown] if shown else [])


def test_without_a_grafana_nothing_is_said_of_dashboards(unpacked: dict[str, Path], tmp_path: Path) -> None:
    one = alert({"dashboard": "/d/opswatch-services"})
    text = text_of(unpacked[AMTOOLS[-1]], tmp_path, "", one, one)
    assert "ashboard" not in text
    assert text.count("What to do: https://example.com/x\nQuery: http://mon1:9090/graph\n") == 2
