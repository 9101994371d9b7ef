# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is meant, what is restored, and a swap that may be cut off anywhere."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import (
    _backup,
    _drill,
    _files,
    _generations,
    _ready,
    _recovery,
    _restic,
    _restore,
    _rollback,
    _service,
    _snapshot,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._swap import WORK
from ansible_collections.opswatch.monitoring.plugins.modules import backup_restore

WHOLE = ["opswatch.monitoring"]
SNAPSHOTS = [
    {"id": "1a2b3c4d5e", "short_id": "1a2b3c4d", "time": "2026-11-24T02:30:10.5Z", "tags": WHOLE},
    {"id": "2b3c4d5e6f", "short_id": "2b3c4d5e", "time": "2026-11-25T02:30:11.5Z", "tags": WHOLE},
]
SOME = {
    "id": "3c4d5e6f70",
    "short_id": "3c4d5e6f",
    "time": "2026-11-25T03:00:00.0Z",
    "tags": ["opswatch.monitoring.partial"],
}


@pytest.mark.parametrize(
    ("wish", "number"),
    [
        ("latest", 1),
        ("1a2b", 0),
        ("2b3c4d5e6f", 1),
        ("2026-11-25", 0),
        ("2026-11-25T10:00", 1),
        ("2026-11-25T02:30:12", 1),
    ],
)
def test_the_backup_that_is_meant(wish: str, number: int) -> None:
    assert _restore.chosen(SNAPSHOTS, wish) == SNAPSHOTS[number]


# As restic of a host in London and one in Berlin writes them; in the night to October 25 summer time ended.
ZONED = [
    {"id": "4d5e", "short_id": "4d5e", "time": "2026-10-25T01:40:00.123456789+01:00", "tags": WHOLE},
    {"id": "5e6f", "short_id": "5e6f", "time": "2026-10-25T01:10:00.123456789Z", "tags": WHOLE},
    {"id": "6f70", "short_id": "6f70", "time": "2026-10-25T03:30:00.123456789+01:00", "tags": WHOLE},
]


@pytest.mark.parametrize(
    ("wish", "number"),
    [
        ("2026-10-25T01:00", 0),
        ("2026-10-25T01:30", 1),
        ("2026-10-25T02:15", 1),
        ("2026-10-25T02:31Z", 2),
        ("2026-10-25T03:31+01:00", 2),
        ("2026-10-25 02:31", 2),
    ],
)
def test_a_time_is_one_in_utc_and_backups_have_the_zone_of_their_host(wish: str, number: int) -> None:
    assert _restore.chosen(ZONED, wish) == ZONED[number]


def test_backups_are_shown_by_times_that_can_be_given_back() -> None:
    with pytest.raises(ComponentError) as raised:
        _restore.chosen(ZONED, "2026-10-25T00:39")
    shown = raised.value.seen.splitlines()
    assert shown[0] == "4d5e  2026-10-25T00:40:00Z  whole"
    for line, snapshot in zip(shown, ZONED, strict=True):
        assert _restore.chosen(ZONED, line.split()[1]) == snapshot


def test_backup_of_some_components_is_meant_by_its_id_alone() -> None:
    assert _restore.chosen([*SNAPSHOTS, SOME], "latest") == SNAPSHOTS[1]
    assert _restore.chosen([*SNAPSHOTS, SOME], "2026-11-26") == SNAPSHOTS[1]
    assert _restore.chosen([*SNAPSHOTS, SOME], "3c4d") == SOME
    assert _restore.chosen([SOME], "latest") == SOME


def test_list_tells_a_backup_of_some_components_from_a_whole_one() -> None:
    """So that nobody wonders why a time after it does not mean it."""
    named = {**SOME, "tags": ["opswatch.monitoring.partial", "loki", "grafana"]}
    assert _restore.listed([SNAPSHOTS[1], SOME, named]) == [
        "2b3c4d5e  2026-11-25T02:30:11Z  whole",
        "3c4d5e6f  2026-11-25T03:00:00Z  partial",
        "3c4d5e6f  2026-11-25T03:00:00Z  partial (loki, grafana)",
    ]
    with pytest.raises(ComponentError, match="no backup of this host is meant") as raised:
        _restore.chosen([named, {**SNAPSHOTS[1], "time": "2026-11-25T04:00:00Z"}], "2026-11-25T03:30")
    assert "3c4d5e6f  2026-11-25T03:00:00Z  partial (loki, grafana)" in raised.value.seen
    assert "a time after a whole one" in raised.value.remedy


@pytest.mark.parametrize("wish", ["ffff", "2026-11-01", "yesterday"])
def test_a_backup_that_is_not_there(wish: str) -> None:
    with pytest.raises(ComponentError, match="no backup of this host is meant") as raised:
        _restore.chosen(SNAPSHOTS, wish)
    assert "1a2b3c4d  2026-11-24T02:30:10" in raised.value.seen


def test_no_backup_at_all() -> None:
    with pytest.raises(ComponentError, match="has no backup of this host"):
        _restore.chosen([], "latest")


MANIFEST = {
    "components": {
        "prometheus": {"data": "/var/lib/prometheus/snapshots/opswatch"},
        "grafana": {"data": "/stage/grafana/data"},
        "node_exporter": {"data": ""},
    }
}


@pytest.mark.parametrize(
    ("names", "here", "restored"),
    [
        ([], ["prometheus", "grafana", "node_exporter"], ["prometheus", "grafana"]),
        (["grafana"], ["prometheus", "grafana"], ["grafana"]),
        ([], ["prometheus"], ["prometheus"]),
    ],
)
def test_what_is_restored(names: list[str], here: list[str], restored: list[str]) -> None:
    assert _restore.checked(MANIFEST, names, here) == restored


@pytest.mark.parametrize(
    ("names", "here", "words"),
    [
        (["loki"], ["loki"], "the backup does not have loki: it has prometheus, grafana, node_exporter"),
        (["node_exporter"], ["node_exporter"], "node_exporter has no data in the backup"),
        (["grafana"], ["prometheus"], "grafana is not installed here"),
    ],
)
def test_what_cannot_be_restored(names: list[str], here: list[str], words: str) -> None:
    with pytest.raises(ComponentError) as raised:
        _restore.checked(MANIFEST, names, here)
    assert words in str(raised.value)


# --- the swap ---

OLD = {"01A": "old a", "01B": "old b", "wal": "old wal"}
NEW = {"01A": "new a", "01C": "new c"}


def fill(folder: Path, entries: dict[str, str]) -> None:
    for name, text in entries.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(text)


def seen(data: Path) -> dict[str, str]:
    found = {one.name: (one / "file").read_text() for one in data.iterdir() if (one / "file").exists()}
    return {name: text for name, text in found.items() if name != "snapshots"}


@pytest.fixture
def swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _restore.Swap:
    monkeypatch.setattr(os, "sync", lambda: None)  # no power fails here
    made = _restore.Swap(str(tmp_path))
    fill(tmp_path, {**OLD, "snapshots": "of a user"})
    fill(Path(made.new), NEW)
    return made


def test_swap_and_its_end(swap: _restore.Swap, tmp_path: Path) -> None:
    swap.begin(None)
    assert seen(tmp_path) == NEW
    swap.end()
    assert sorted(os.listdir(tmp_path)) == ["01A", "01C", "snapshots"]


def test_only_some_entries_make_way(swap: _restore.Swap, tmp_path: Path) -> None:
    swap.begin(["01A", "01C"])
    assert seen(tmp_path) == {"01A": "new a", "01B": "old b", "01C": "new c", "wal": "old wal"}


def test_what_is_ours_in_a_backup_does_not_come_into_place(swap: _restore.Swap, tmp_path: Path) -> None:
    """The folder has such entries itself, of which one is the place of this very swap."""
    fill(Path(swap.new), {WORK: "of a killed restore", ".opswatch-before-3": "then", "lost+found": ""})
    fill(tmp_path, {".opswatch-before-3": "now"})
    swap.begin(None)
    swap.end()
    assert seen(tmp_path) == {**NEW, ".opswatch-before-3": "now"}


@pytest.mark.parametrize("steps", range(7))
def test_a_swap_that_is_cut_off_is_undone(
    swap: _restore.Swap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """After each of its renames, the first of which is that of the note on what will be done."""
    rename, left = os.rename, [steps]

    def cut(source: str, target: str) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", cut)
        if steps < 6:
            with pytest.raises(KeyboardInterrupt):
                swap.begin(None)
        else:
            swap.begin(None)
    swap.undo()
    assert seen(tmp_path) == OLD
    assert not os.path.exists(swap.work)


@pytest.mark.parametrize("steps", range(12))
def test_undo_after_a_server_has_written_and_when_it_is_cut_off_itself(
    swap: _restore.Swap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """A server makes its log anew, under the name of the earlier one, and more beside it."""
    swap.begin(None)
    fill(tmp_path, {"wal": "its own", "chunks_head": "its own"})
    rename, remove, left = os.rename, _files.remove, [steps]

    def cut(*arguments: t.Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        (rename if len(arguments) == 2 else remove)(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", cut)
        patch.setattr(_files, "remove", cut)
        with contextlib.suppress(KeyboardInterrupt):
            swap.undo()
    if swap.begun:
        swap.undo()
    assert seen(tmp_path) == OLD


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What systemctl was told."""
    words: list[str] = []
    monkeypatch.setattr(_service, "command", lambda *said, check=True: words.append(said[1]) or "")
    return words


def test_recovery(tmp_path: Path, called: list[str]) -> None:
    layout = Layout("prometheus", str(tmp_path))
    data = Path(layout.data)
    fill(data, OLD)
    assert _restore.recover(layout) == []
    swap = _restore.Swap(layout.data)
    fill(Path(swap.new), NEW)
    assert "had fetched" in _restore.recover(layout)[0]
    assert called == []
    fill(Path(swap.new), NEW)
    swap.begin(None)
    assert "its earlier data serves again" in _restore.recover(layout)[0]
    assert seen(data) == OLD
    assert called == ["stop", "enable"]


def test_recovery_from_a_kill_between_the_stop_and_the_swap(tmp_path: Path, called: list[str]) -> None:
    """The service is down, and would not come up when the host boots."""
    layout = Layout("prometheus", str(tmp_path))
    fill(Path(layout.data), OLD)
    swap = _restore.Swap(layout.data)
    fill(Path(swap.new), NEW)
    swap.announce()
    _recovery.refuse_unproved(layout)  # nothing is swapped: whoever starts it does no harm
    assert "its earlier data serves again" in _restore.recover(layout)[0]
    assert called[-1] == "enable"
    assert seen(Path(layout.data)) == OLD
    assert not os.path.exists(swap.work)


def killed(tmp_path: Path, name: str = "prometheus") -> Layout:
    """A restore was killed after the swap, an hour ago."""
    layout = Layout(name, str(tmp_path))
    fill(Path(layout.data), OLD)
    swap = _restore.Swap(layout.data)
    fill(Path(swap.new), NEW)
    swap.begin(None)
    hour = time.time() - 3600
    for path in [swap.note, *Path(layout.data).glob("*/file")]:
        os.utime(path, (hour, hour))
    return layout


def test_what_was_written_since_a_swap_is_not_undone(tmp_path: Path, called: list[str]) -> None:
    """Somebody has started the service meanwhile: people choose."""
    layout = killed(tmp_path)
    _restore.check_undo(layout)
    fill(Path(layout.data), {"wal": "of weeks"})
    with pytest.raises(ComponentError, match="has been written to since") as raised:
        _restore.recover(layout)
    assert called == []
    assert seen(Path(layout.data)) == {**NEW, "wal": "of weeks"}
    note = _restore.Swap(layout.data).note
    assert f"`touch {note}`" in raised.value.remedy
    os.utime(note)
    assert "its earlier data serves again" in _restore.recover(layout)[0]
    assert seen(Path(layout.data)) == OLD


@pytest.mark.parametrize(
    ("loaded", "runs", "refused"), [(False, True, False), (True, False, False), (True, True, True)]
)
def test_of_postgresql_a_service_that_runs_tells_of_what_was_written(
    tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch, loaded: bool, runs: bool, refused: bool
) -> None:
    """It has tables in any case, and they have no time."""
    layout = Layout("grafana", str(tmp_path))
    Path(layout.etc).mkdir(parents=True)
    Path(layout.etc, "grafana.ini").write_text("[database]\ntype = postgres\nhost = db1\n")
    database = _restore._grafana_database.Postgres
    copies: list[str] = []
    monkeypatch.setattr(database, "is_filled", lambda self: True)
    monkeypatch.setattr(database, "load", lambda self, copy: copies.append(copy))
    monkeypatch.setattr(_service, "status", lambda unit: SimpleNamespace(running=runs))
    swap = t.cast("_restore.DatabaseSwap", _restore.swap_of(layout))
    os.makedirs(swap.new)
    _files.write_json(swap.note, {"replaced": [], "placed": [], "all": False})
    hour = time.time() - 3600
    os.utime(swap.note, (hour, hour))
    if loaded:
        Path(swap.before).touch()
    if refused:
        with pytest.raises(ComponentError, match="may have been written to since") as raised:
            _restore.recover(layout)
        assert "PostgreSQL does not tell when" in raised.value.seen
        os.utime(swap.note)
    assert "its earlier data serves again" in _restore.recover(layout)[0]
    assert copies == ([swap.before] if loaded else [])


@pytest.mark.parametrize("check", [False, True])
def test_only_what_is_asked_for_is_undone(
    tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    layout = killed(tmp_path)
    fill(Path(layout.data), {"wal": "of weeks"})
    monkeypatch.setattr(backup_restore, "Layout", lambda name: Layout(name, str(tmp_path)))
    monkeypatch.setattr(backup_restore, "wanted", lambda stated: ["grafana", "prometheus"])
    actions: list[str] = []
    backup_restore.recover(["grafana"], actions, check)
    assert (actions, called) == ([], [])
    assert seen(Path(layout.data)) == {**NEW, "wal": "of weeks"}
    for asked in (["prometheus"], []):
        with pytest.raises(ComponentError, match="has been written to since"):
            backup_restore.recover(asked, actions, check)


def test_check_tells_of_a_killed_restore_and_undoes_nothing(
    tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = killed(tmp_path)
    fetched = Path(Layout("loki", str(tmp_path)).data, ".monitoring-restore/new")
    fetched.mkdir(parents=True)
    monkeypatch.setattr(backup_restore, "Layout", lambda name: Layout(name, str(tmp_path)))
    monkeypatch.setattr(backup_restore, "wanted", lambda stated: ["alertmanager", "loki", "prometheus"])
    actions: list[str] = []
    backup_restore.recover([], actions, check=True)
    assert actions == [
        "would remove what a killed restore of loki has fetched",
        "would undo a restore of prometheus that was killed, so that its earlier data serves again",
    ]
    assert called == []
    assert fetched.exists()
    assert seen(Path(layout.data)) == NEW


class Repository:
    """restic with one backup of two components, made in 2001."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def snapshots(self, *_words: str) -> list[dict[str, t.Any]]:
        return [*SNAPSHOTS, SOME]

    def run(self, *words: str) -> str:
        self.asked.append(words[0])
        part = {"data": "/var/lib/x", "bytes": 1 << 60}
        parts = {"alertmanager": {**part, "bytes": 1}, "loki": part}
        made = "2001-09-09T01:46:40+00:00"
        return json.dumps({"format": _backup.FORMAT, "created": made, "components": parts, "files": {}})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., list[str]]:
    """A run of the module on a host with some components; what it said, the failure as the last line."""

    def run(*here: str, check: bool = False, **wish: t.Any) -> list[str]:
        stated = {"repository": "/srv/x", "password": "", "environment": {}, "timeout": 1, "host": "mon1"}
        params = {**stated, "components": [], "snapshot": "latest", "overwrite": False, "drill": False, **wish}
        monkeypatch.setattr(backup_restore, "wanted", lambda stated: list(here))
        actions: list[str] = []
        try:
            backup_restore.work(params, actions, check)
        except ComponentError as error:
            actions.append(str(error))
        return actions

    monkeypatch.setattr(backup_restore, "Layout", lambda name: Layout(name, str(tmp_path)))
    monkeypatch.setattr(_restic, "opened", lambda *what: contextlib.nullcontext(Repository()))
    for name in ("alertmanager", "loki"):
        fill(Path(Layout(name, str(tmp_path)).data), {"silences": "new"})
    return run


def test_check_tells_all_that_would_be_restored_and_all_that_is_in_the_way(asked: t.Callable[..., list[str]]) -> None:
    *would, failure = asked("alertmanager", "loki", check=True)
    assert would == [
        f"would restore {name} of backup 2b3c4d5e, made 2001-09-09T01:46:40+00:00" for name in ("alertmanager", "loki")
    ]
    assert "alertmanager has data that is newer than the backup" in failure
    assert "loki has data that is newer than the backup" in failure
    assert "no space on the file system" in failure


def test_nothing_to_restore_is_said_in_words(asked: t.Callable[..., list[str]]) -> None:
    words = "backup 2b3c4d5e has no data of what is installed here"
    assert asked("node_exporter") == [f"nothing to restore: {words}"]
    assert asked("node_exporter", check=True) == [f"nothing to restore: {words}"]
    assert asked("node_exporter", check=True, drill=True) == [f"nothing to try: {words}"]


def test_backups_are_listed_and_nothing_else_is_done(
    asked: t.Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_restore, "recover", lambda *what: ["undone"])
    listed = _restore.listed([*SNAPSHOTS, SOME])
    assert asked("loki", snapshot="list") == listed
    assert asked("loki", snapshot="list", drill=True) == listed
    monkeypatch.setattr(Repository, "snapshots", lambda *_words: [])
    assert asked("loki", snapshot="list") == ["the repository has no backup of mon1"]


def test_list_is_no_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its metrics would say that the backup has been tried."""
    told: dict[str, t.Any] = {}
    textfile = tmp_path / "backup.prom"
    params = {"snapshot": "list", "drill": True, "textfile": str(textfile)}
    module = SimpleNamespace(params=params, check_mode=False, exit_json=lambda **said: told.update(said))
    monkeypatch.setattr(backup_restore, "AnsibleModule", lambda **_options: module)
    monkeypatch.setattr(_restic, "require_restic", lambda _module: None)
    monkeypatch.setattr(backup_restore, "work", lambda *_what, check: {"snapshot": "", "restored": []})
    backup_restore.main()
    assert told == {"changed": False, "actions": [], "snapshot": "", "restored": []}
    assert not textfile.exists()


def test_nothing_else_is_done_to_a_component_whose_restore_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = killed(tmp_path)
    monkeypatch.setattr(_generations, "current_number", lambda layout: 1)
    monkeypatch.setattr(_backup, "STAGE", str(tmp_path / "stage"))
    spec = t.cast("t.Any", SimpleNamespace(desired=SimpleNamespace(state="present")))
    for action in (
        lambda: _recovery.first_need(layout, spec, t.cast("t.Any", None)),
        lambda: _rollback.check(layout, 1, []),
        lambda: _backup.collect(_backup.Source(layout, "")),
    ):
        with pytest.raises(ComponentError, match="before its data had proved itself") as raised:
            action()
        assert "restore_components=prometheus" in raised.value.remedy


def test_the_new_data_is_on_the_disk_before_the_old_makes_way(
    swap: _restore.Swap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And before the old is removed."""
    steps: list[str] = []
    for module, name in ((os, "sync"), (os, "rename"), (_files, "remove")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *what, name=name, real=real: (steps.append(name), real(*what))[1])
    swap.announce()
    swap.begin(None)
    assert steps[0] == "sync"
    steps.clear()
    swap.end()
    assert steps[0] == "sync"


def test_series_that_are_not_those_of_the_manifest() -> None:
    _drill.compare(7, {"series_then": 7})
    with pytest.raises(ComponentError, match="does not have what it had") as raised:
        _drill.compare(6, {"series_then": 7})
    assert raised.value.seen == "6 series, and 7 are in the manifest"


@pytest.mark.parametrize(("found", "goes_back"), [(7, False), (6, True)])
def test_counts_that_differ_lead_back(
    tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch, found: int, goes_back: bool
) -> None:
    layout = Layout("prometheus", str(tmp_path))
    fill(Path(layout.data), OLD)
    restore = object.__new__(backup_restore.Restore)
    restore.id, restore.actions = "1a2b3c4d", []
    restore.params = {"server_password": "", "ready_timeout": 1}
    restore.manifest = {"components": {"prometheus": {"counts": {"asked_at": 1, "series_then": 7}}}}
    monkeypatch.setattr(restore, "fetch", lambda name, target: fill(Path(target), NEW))
    monkeypatch.setattr(backup_restore, "Layout", lambda name: layout)
    monkeypatch.setattr(_restore, "own", lambda layout, folder: None)
    monkeypatch.setattr(_service, "status", lambda unit: SimpleNamespace(died=False, restarts=0))
    monkeypatch.setattr(_backup.Source, "endpoint", lambda self: "there")
    monkeypatch.setattr(_ready, "wait_until_ready", lambda *what: None)
    monkeypatch.setattr(_snapshot, "number_of_series", lambda endpoint, moment: found)
    if goes_back:
        with pytest.raises(ComponentError, match="its earlier data serves again: Prometheus does not have"):
            restore.swap("prometheus")
    else:
        restore.swap("prometheus")
    assert seen(Path(layout.data)) == (OLD if goes_back else NEW)
    assert called[-1] == "enable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
def test_what_a_drill_has_started_ends_with_it() -> None:
    command = _drill._bound((65534, 65534), ["sleep", "60"])
    drill = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", drill, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        status = Path(f"/proc/{process.stdout.readline().strip()}/status")

        def is_asleep() -> bool:
            return status.exists() and "Name:\tsleep" in status.read_text() and "State:\tZ" not in status.read_text()

        assert within_seconds(is_asleep)
        process.kill()
    assert within_seconds(lambda: not is_asleep())


def within_seconds(holds: t.Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def test_newest(tmp_path: Path) -> None:
    layout = Layout("prometheus", str(tmp_path))
    data = Path(layout.data)
    data.mkdir(parents=True)
    assert _restore.newest(layout) == 0
    fill(data, {"01A": "a", "snapshots": "later"})
    os.utime(data / "01A/file", (100, 100))
    assert _restore.newest(layout) == 100


def test_no_space(tmp_path: Path) -> None:
    _restore.check_space(str(tmp_path), 0)
    with pytest.raises(ComponentError, match="no space on the file system"):
        _restore.check_space(str(tmp_path), 1 << 60)


def part(folder: Path, **changes: t.Any) -> dict[str, t.Any]:
    size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    number = sum(one.is_file() for one in folder.rglob("*"))
    return {"bytes": size, "files": number, "counts": {"samples": 5, "blocks": 1}, **changes}


def test_verify(tmp_path: Path) -> None:
    block = tmp_path / "01A"
    block.mkdir()
    _files.write_json(str(block / "meta.json"), {"minTime": 1, "maxTime": 2, "stats": {"numSamples": 5}})
    good = part(tmp_path)
    _restore.verify("prometheus", str(tmp_path), good, {})
    for wrong, words in {"bytes": "is not whole", "files": "is not whole"}.items():
        with pytest.raises(ComponentError, match=words):
            _restore.verify("prometheus", str(tmp_path), {**good, wrong: 7}, {})
    with pytest.raises(ComponentError, match="the samples in the backup are not whole"):
        _restore.verify("prometheus", str(tmp_path), {**good, "counts": {"samples": 6, "blocks": 1}}, {})
    with pytest.raises(ComponentError, match="is not what was backed up"):
        _restore.verify("grafana", str(tmp_path), good, {"01A/meta.json": {"sha256": "0"}})


def test_database_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout("grafana", str(tmp_path))
    Path(layout.etc).mkdir(parents=True)
    _restore.check_database(layout, ["grafana/data/grafana.db"])
    with pytest.raises(ComponentError, match="in another place") as raised:
        _restore.check_database(layout, ["grafana/data/grafana.sql"])
    assert "set grafana_database as it was" in str(raised.value)
    monkeypatch.setattr(_restore._grafana_database.Postgres, "foreign", lambda self: foreign)
    foreign: list[str] = []
    Path(layout.etc, "grafana.ini").write_text("[database]\ntype = postgres\nhost = db1\n")
    _restore.check_database(layout, ["grafana/data/grafana.sql"])
    with pytest.raises(ComponentError, match=r"has no grafana\.sql"):
        _restore.check_database(layout, ["grafana/data/grafana.db"])
    foreign.append("public.theirs")
    with pytest.raises(ComponentError, match="not Grafana's alone"):
        _restore.check_database(layout, ["grafana/data/grafana.sql"])


class Refusing:
    """A database that takes no copy. C(loaded): what it was asked to take."""

    file = "grafana.sql"

    def __init__(self, error: type[ComponentError]) -> None:
        self.error = error
        self.loaded: list[str] = []

    def dump(self, target: str) -> None:
        Path(target).write_text("before")

    def load(self, copy: str) -> None:
        self.loaded.append(os.path.basename(copy))
        if copy.endswith("grafana.sql"):
            raise self.error("psql failed")


@pytest.mark.parametrize(
    ("error", "loaded"),
    [
        (_restore._grafana_database.LoadRefused, ["grafana.sql"]),  # nothing has changed
        (ComponentError, ["grafana.sql", "before.sql"]),  # who knows
    ],
)
def test_copy_that_the_database_refuses(tmp_path: Path, error: type[ComponentError], loaded: list[str]) -> None:
    (tmp_path / "grafana.db").write_text("from earlier times")
    refusing = Refusing(error)
    swap = _restore.DatabaseSwap(str(tmp_path), t.cast("t.Any", refusing))
    os.makedirs(swap.new)
    with pytest.raises(ComponentError):
        swap.begin(_restore.ENTRIES["grafana"])
    swap.undo()
    assert refusing.loaded == loaded
    assert os.listdir(tmp_path) == ["grafana.db"]
