# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a backup, what is left behind by a killed one, and the metrics that tell of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _backup, _restic, _snapshot, _textfile
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._ready import Endpoint
from ansible_collections.opswatch.monitoring.plugins.modules import backup
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts


@pytest.fixture(autouse=True)
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stage"
    monkeypatch.setattr(_backup, "STAGE", str(folder))
    monkeypatch.setattr(_backup, "NOTE", str(tmp_path / "note.json"))
    folder.mkdir()
    return folder


def test_hosts_are_chosen_by_what_has_data() -> None:
    assert set(role_facts.WITH_DATA) == set(_backup._DATA)


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


def test_what_is_ours_in_a_live_folder_is_in_no_backup(
    tmp_path: Path, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed restore has fetched, and what an upgrade keeps."""
    layout = Layout("loki", str(tmp_path))
    for name in ("chunks/1", ".monitoring-restore/new/chunks/1", ".opswatch-before-3/chunks/1"):
        (Path(layout.data) / name).parent.mkdir(parents=True)
        (Path(layout.data) / name).write_text("abc")
    monkeypatch.setattr(_backup.Source, "endpoint", lambda _self: None)
    made = _backup._loki(_backup.Source(layout, ""), _backup.Part("3.6.15", 2))
    assert (made.bytes, made.files) == (3, 1)
    parts = {"loki": made, "grafana": _backup.Part("9.3.2", 4, data=f"{stage}/grafana/data")}
    called: list[tuple[str, ...]] = []
    restic = SimpleNamespace(summary=lambda *words, changing: called.append((*words, changing)) or {})
    backup.stored(t.cast("t.Any", restic), "mon1", [_backup.TAG], parts)
    (words,) = called
    assert [one for one in words if one.startswith("--exclude=")] == [
        f"--exclude={layout.data}/.monitoring-restore",
        f"--exclude={layout.data}/.opswatch-*",
    ]
    assert words[-3:] == (str(stage), layout.data, layout.data)


@pytest.mark.parametrize(
    ("periods", "folder", "elsewhere"),
    [
        (["filesystem"], "{data}/chunks", []),
        (["filesystem", '"s3"'], "{data}/chunks", ["s3"]),
        (["filesystem"], "/srv/chunks", ["/srv/chunks"]),
    ],
)
def test_chunks_that_are_not_in_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, periods: list[str], folder: str, elsewhere: list[str]
) -> None:
    """A new Loki has no folder for them yet, and one that moved to S3 has it still."""
    layout = Layout("loki", str(tmp_path))
    os.makedirs(layout.data)
    os.makedirs(layout.etc)
    lines = ["common:", "  storage:", "    filesystem:", f"      chunks_directory: {folder.format(data=layout.data)}"]
    lines += ["schema_config:", "  configs:", *(f"  - object_store: {one}\n    store: tsdb" for one in periods)]
    Path(layout.etc, "config.yml").write_text("\n".join(lines))
    monkeypatch.setattr(_backup.Source, "endpoint", lambda _self: None)
    made = _backup._loki(_backup.Source(layout, ""), _backup.Part("3.6.15", 2))
    assert list(made.notes) == [f"its chunks in {one} are not in the backup" for one in elsewhere]


def test_backup_that_is_not_whole_says_what_is_in_it() -> None:
    assert backup.tags_of(["loki", "alloy"], whole=True) == [_backup.TAG]
    assert backup.tags_of(["loki", "alloy"], whole=False) == [_backup.PARTIAL_TAG, "loki", "alloy"]


def test_backup_has_all_of_its_tags() -> None:
    """Also in a restic that takes no list of them."""
    called: list[tuple[str, ...]] = []
    restic = SimpleNamespace(summary=lambda *words, changing: called.append(words) or {})
    backup.stored(t.cast("t.Any", restic), "mon1", [_backup.PARTIAL_TAG, "alloy"], {})
    assert called[0][:7] == ("backup", "--host", "mon1", "--tag", _backup.PARTIAL_TAG, "--tag", "alloy")


def note_unanswered(folder: Path, asked_at: float, remove: t.Sequence[str] = ()) -> None:
    note = {"unanswered": [{"folder": str(folder), "asked_at": asked_at}], "remove": remove}
    Path(_backup.NOTE).write_text(json.dumps(note))


def test_what_a_killed_run_left_is_removed_and_no_snapshot_of_others(stage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    asked_at = 1_732_550_000.0

    def name(seconds: float) -> str:
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(asked_at + seconds)) + "-3e1a5f"

    for entry in (name(-60), name(1), name(60), "opswatch", "mine"):
        (folder / entry).mkdir(parents=True)
    note_unanswered(folder, asked_at, [f"{folder}/opswatch"])
    _backup.tidy()
    assert sorted(os.listdir(folder)) == sorted([name(-60), name(60), "mine"])
    assert not stage.exists()
    assert not os.path.exists(_backup.NOTE)
    _backup.tidy()


def test_snapshot_whose_answer_never_came_is_looked_for_again(tmp_path: Path) -> None:
    """The server may have made it after the run that asked for it was gone."""
    now = time.time()
    folder = tmp_path / "snapshots"
    note_unanswered(folder, now)
    _backup.tidy()
    late = folder / (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)) + "-3e1a5f")
    late.mkdir(parents=True)
    _backup.tidy()
    assert not late.exists()


def test_server_that_is_at_a_snapshot_still_keeps_nothing_else_from_being_removed(
    stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes into the folder, which then cannot be removed. The copies of secrets are gone all the same."""
    now = time.time()
    folder = tmp_path / "snapshots"
    made = folder / (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)) + "-3e1a5f")
    made.mkdir(parents=True)
    note_unanswered(folder, now)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: os.rmdir(path) if path == str(stage) else os.rmdir(tmp_path))
        _backup.tidy()
    assert not stage.exists()
    assert made.exists()
    _backup.tidy()
    assert not made.exists()


def test_backup_that_is_not_whole_is_marked_or_said_to_be_not() -> None:
    called: list[tuple[str, ...]] = []
    error = _restic.NotWhole(["/var/lib/loki/7: Input/output error"], "1a2b3c4d5e6f")
    backup.mark_partial(t.cast("t.Any", SimpleNamespace(run=lambda *words: called.append(words))), error)
    assert called == [("tag", "--set", _backup.PARTIAL_TAG, "1a2b3c4d5e6f")]
    assert "is marked as" not in str(error)

    def refuse(*_words: str) -> None:
        raise ComponentError("another restic holds the repository")

    backup.mark_partial(t.cast("t.Any", SimpleNamespace(run=refuse)), error)
    assert "1a2b3c4d is marked as a whole backup all the same: another restic holds the repository" in error.seen
    assert f"`restic tag --set {_backup.PARTIAL_TAG} 1a2b3c4d5e6f`" in error.remedy


def test_failure_is_told_without_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is long, and people would have to look for the message behind it."""
    told: dict[str, t.Any] = {}
    result = {"failures": ["loki is not in the backup"], "manifest": {"components": {}}, "snapshot": "1a2b3c4d"}
    module = SimpleNamespace(
        params={"components": [], "textfile": "", "prepare": False},
        check_mode=False,
        log=lambda _words: None,
        fail_json=lambda **said: told.update(said),
        exit_json=lambda **_said: None,
    )
    monkeypatch.setattr(backup, "AnsibleModule", lambda **_options: module)
    monkeypatch.setattr(backup, "wanted", lambda _stated: [])
    monkeypatch.setattr(backup, "lock", lambda _layout: contextlib.nullcontext())
    monkeypatch.setattr(backup, "work", lambda *_arguments: result)
    monkeypatch.setattr(_restic, "require_restic", lambda _module: None)
    monkeypatch.setattr(_backup, "raise_when_ended", lambda: None)
    backup.main()
    assert told == {"msg": "loki is not in the backup", "actions": [], "snapshot": "1a2b3c4d"}


class Repository:
    """A place for restic, of which only whether it is there is of interest."""

    repository = "/srv/backup"

    def __init__(self, there: bool) -> None:
        self.there, self.ran = there, t.cast("list[str]", [])

    def run(self, *words: str) -> str:
        self.ran.append(" ".join(words))
        if words[0] == "cat" and not self.there:
            raise _restic.ResticError("no", "", "", _restic.NO_REPOSITORY)
        self.there = True
        return ""


@pytest.mark.parametrize("there", [True, False])
def test_repository_is_made_once(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Repository(there)
    restic = t.cast("t.Any", place)
    monkeypatch.setattr(backup, "KNOWN", str(tmp_path / "known.json"))
    assert backup.made_repository(restic) == ([] if there else ["made the repository /srv/backup"])
    assert place.ran == ["cat config --no-lock", *([] if there else ["init"])]
    assert backup.made_repository(restic) == []
    assert len(place.ran) == (1 if there else 2), "it is known by now"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_that_ends_a_backup_lets_it_tidy_up(number: signal.Signals) -> None:
    """Where another one comes meanwhile too."""
    steps = []
    with _kept_handlers():
        _backup.raise_when_ended()
        try:
            signal.raise_signal(number)
        except _backup.Ended as ended:
            steps.append(str(ended))
            signal.raise_signal(signal.SIGTERM)
            steps.append("tidied up")
    assert steps == [number.name, "tidied up"]


def test_signal_that_was_not_to_be_heard_is_not() -> None:
    with _kept_handlers():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _backup.raise_when_ended()
        signal.raise_signal(signal.SIGHUP)


@contextlib.contextmanager
def _kept_handlers() -> Iterator[None]:
    handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)


def test_counts_of_blocks(tmp_path: Path) -> None:
    assert _snapshot.counts(str(tmp_path)) == _snapshot.Counts()
    for name, begin in {"01A": 10, "01B": 20}.items():
        (tmp_path / name).mkdir()
        stated = {"minTime": begin, "maxTime": begin + 10, "stats": {"numSamples": 5, "numSeries": 2}}
        (tmp_path / name / "meta.json").write_text(json.dumps(stated))
    assert _snapshot.counts(str(tmp_path)) == _snapshot.Counts(blocks=2, series=4, samples=10, oldest=10, newest=30)


def test_series_are_counted_as_of_before_the_snapshot(
    stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no later samples, however long it takes."""
    now = [1_732_550_000.0]

    def take(*_arguments: object) -> str:
        now[0] += 500
        (tmp_path / "snapshots/made").mkdir(parents=True)
        return f"{tmp_path}/snapshots/made"

    note_unanswered(tmp_path / "snapshots", now[0] - 1000)  # of an earlier run, which the server may answer still
    noted = json.loads(Path(_backup.NOTE).read_text())["unanswered"]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(_snapshot, "flags", lambda _endpoint: {"storage.tsdb.path": str(tmp_path)})
    monkeypatch.setattr(_snapshot, "take", take)
    monkeypatch.setattr(_snapshot, "number_of_series", lambda _endpoint, moment: 7 if moment < 1_732_550_000 else 9)
    monkeypatch.setattr(_backup.Source, "endpoint", lambda _self: Endpoint(base="http://127.0.0.1:9090"))
    made = _backup._prometheus(_backup.Source(Layout("prometheus"), ""), _backup.Part("3.5.3", 2))
    note = {"unanswered": noted, "remove": [f"{tmp_path}/snapshots/opswatch"]}
    assert json.loads(Path(_backup.NOTE).read_text()) == note
    assert made.counts["series_then"] == 7
    assert made.counts["asked_at"] == 1_732_550_000 - _backup.SETTLED


def test_snapshot_needs_the_api() -> None:
    _snapshot.check({"web.enable-admin-api": "true"})
    with pytest.raises(ComponentError, match="API for snapshots is off") as raised:
        _snapshot.check({"web.enable-admin-api": "false"})
    assert "backup_repository" in raised.value.remedy


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 30 * 86400), ("1y2w", 379 * 86400), ("1h30m5s", 5405), ("", float("inf")), ("0s", float("inf"))],
)
def test_retention(text: str, seconds: float) -> None:
    assert _snapshot.retention({"storage.tsdb.retention.time": text}) == seconds
    assert _snapshot.retention({}) == float("inf")


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
