# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a backup, what is left behind by a killed one, and the metrics that tell of it."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _backup, _snapshot, _textfile
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError


@pytest.fixture(autouse=True)
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stage"
    monkeypatch.setattr(_backup, "STAGE", str(folder))
    folder.mkdir()
    return folder


def test_manifest(stage: Path) -> None:
    (stage / "grafana").mkdir()
    (stage / "grafana/file").write_text("abc")
    (stage / "grafana/link").symlink_to("file")
    parts = {
        "grafana": _backup.Part("9.3.2", 4, data=f"{stage}/grafana", bytes=3, files=1, counts={"dashboards": 2}),
        "prometheus": _backup.Part("3.5.3", 2, data="/var/lib/prometheus/snapshots/opswatch"),
        "alloy": _backup.Part("1.12.2", 1),
    }
    made = json.loads(json.dumps(_backup.manifest_of("mon1", parts, 1_000_000_000.4)))
    assert made["created"] == "2001-09-09T01:46:40+00:00"
    assert made["components"]["grafana"]["counts"] == {"dashboards": 2}
    assert {name: one["bytes"] for name, one in made["files"].items()} == {"grafana/file": 3}
    assert _backup.paths(parts) == [str(stage), "/var/lib/prometheus/snapshots/opswatch"]
    assert parts["grafana"].words("grafana") == "grafana 9.3.2: 2 dashboards, 0.0 MB"
    assert parts["alloy"].words("alloy") == "alloy 1.12.2: its configuration"


def test_what_a_killed_run_left_is_removed_and_no_snapshot_of_others(stage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    asked_at = 1_732_550_000.0

    def name(seconds: float) -> str:
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(asked_at + seconds)) + "-3e1a5f"

    for entry in (name(-60), name(1), name(60), "opswatch", "mine"):
        (folder / entry).mkdir(parents=True)
    note = {"folder": str(folder), "asked_at": asked_at, "remove": [f"{folder}/opswatch"]}
    (stage / "snapshot.json").write_text(json.dumps(note))
    _backup.tidy()
    assert sorted(os.listdir(folder)) == sorted([name(-60), name(60), "mine"])
    assert not stage.exists()
    _backup.tidy()


def test_dashboards_of_a_database(tmp_path: Path) -> None:
    path = str(tmp_path / "grafana.db")
    with sqlite3.connect(path) as connection:
        assert _backup.dashboards(path) == []
        connection.execute("CREATE TABLE dashboard (uid TEXT, data BLOB, is_folder INT)")
        rows = [("a", b'{"title": "A"}', 0), ("b", '{"title": "B"}', 0), ("f", "{}", 1)]
        connection.executemany("INSERT INTO dashboard VALUES (?, ?, ?)", rows)
    assert _backup.dashboards(path) == [("a", '{"title": "A"}'), ("b", '{"title": "B"}')]


def test_counts_of_blocks(tmp_path: Path) -> None:
    assert _snapshot.counts(str(tmp_path)) == _snapshot.Counts()
    for name, begin in {"01A": 10, "01B": 20}.items():
        (tmp_path / name).mkdir()
        stated = {"minTime": begin, "maxTime": begin + 10, "stats": {"numSamples": 5, "numSeries": 2}}
        (tmp_path / name / "meta.json").write_text(json.dumps(stated))
    assert _snapshot.counts(str(tmp_path)) == _snapshot.Counts(blocks=2, series=4, samples=10, oldest=10, newest=30)


def test_snapshot_needs_the_api() -> None:
    _snapshot.check({"web.enable-admin-api": "true"})
    with pytest.raises(ComponentError, match="API for snapshots is off") as raised:
        _snapshot.check({"web.enable-admin-api": "false"})
    assert "backup_repository" in raised.value.remedy


def test_metrics_go_over_those_that_are_there(tmp_path: Path) -> None:
    path = str(tmp_path / "textfile/backup.prom")
    _textfile.write(path, {"opswatch_backup_bytes": 1})
    assert not os.path.exists(path)
    os.mkdir(os.path.dirname(path))
    _textfile.write(path, {"opswatch_backup_bytes": 1, "opswatch_backup_last_run_success": 0})
    _textfile.write(path, {"opswatch_backup_bytes": 2.5})
    assert _textfile.read(path) == {"opswatch_backup_bytes": 2.5, "opswatch_backup_last_run_success": 0}
    assert "# TYPE opswatch_backup_bytes gauge" in Path(path).read_text()
    assert os.stat(path).st_mode & 0o777 == 0o644
