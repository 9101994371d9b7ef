# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is meant, what is restored, and a swap that may be cut off anywhere."""

from __future__ import annotations

import contextlib
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _restore, _service
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout

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


def test_backup_of_some_components_is_meant_by_its_id_alone() -> None:
    assert _restore.chosen([*SNAPSHOTS, SOME], "latest") == SNAPSHOTS[1]
    assert _restore.chosen([*SNAPSHOTS, SOME], "2026-11-26") == SNAPSHOTS[1]
    assert _restore.chosen([*SNAPSHOTS, SOME], "3c4d") == SOME
    assert _restore.chosen([SOME], "latest") == SOME


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
def swap(tmp_path: Path) -> _restore.Swap:
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


def test_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[t.Any] = []
    monkeypatch.setattr(_service, "command", lambda *words, check=True: called.append(words) or "")
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
    assert [words[1] for words in called] == ["stop", "enable"]


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
