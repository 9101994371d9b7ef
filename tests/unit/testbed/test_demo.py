# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases ./dev demo installs from a mirror that it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.testbed import demo
from tests.testbed.mirror import releases_in

ARCHIVES = {
    "grafana": ["oss/release/grafana-9.3.2.linux-amd64.tar.gz", "oss/release/grafana-9.10.0.linux-amd64.tar.gz"],
    "cadvisor": ["google/cadvisor/releases/download/v0.60.5/cadvisor-v0.60.5-linux-amd64"],
    "alloy": ["grafana/alloy/releases/download/v1.99.0-rc.1/alloy-linux-amd64.zip"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in (tmp_path / name for names in ARCHIVES.values() for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_the_versions_of_a_folder_are_those_of_its_archives(folder: Path) -> None:
    found = {name: versions for name, versions in releases_in(folder).items() if versions}
    assert found == {"grafana": ["9.3.2", "9.10.0"], "cadvisor": ["0.60.5"]}


def test_the_demo_takes_what_the_given_mirror_has(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORING_MIRROR", str(folder))
    assert demo.choose_releases()["grafana_version"] == "9.10.0"
    monkeypatch.setenv("MONITORING_MIRROR", "https://mirror.example.com")
    assert demo.choose_releases() == {"monitoring_mirror": "https://mirror.example.com"}
