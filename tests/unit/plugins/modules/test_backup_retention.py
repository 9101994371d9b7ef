# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups are dropped, how often, and what is told where that fails. A script stands for restic."""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _backup, _restic, _textfile
from ansible_collections.opswatch.monitoring.plugins.modules import backup_retention

SCRIPT = """\
echo "$*" >>{folder}/calls
case "$*" in
*"--tag opswatch.monitoring.partial "*) {partial} ;;
forget*) {whole} ;;
cat*) echo '{{"version": 2, "id": "4c1e"}}' ;;
prune*) {prune} ;;
esac
"""


class Host:
    """A host on which the module is called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.check = folder, False
        self.metrics = folder / "backup.prom"
        monkeypatch.setattr(_restic, "RUN", str(folder / "run"))
        monkeypatch.setattr(_restic, "CACHE", str(folder / "cache"))
        monkeypatch.setattr(_restic, "LOCKED_PAUSE", 3600.0)  # longer than it has patience
        monkeypatch.setattr(backup_retention, "STAMP", str(folder / "cache/forgotten"))
        monkeypatch.setattr(backup_retention, "AnsibleModule", lambda **_options: self.module)
        monkeypatch.setattr(backup_retention, "lock", lambda _layout: contextlib.nullcontext())
        monkeypatch.setattr(_backup, "raise_when_ended", lambda: None)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        self.restic()

    def restic(self, whole: str = "true", partial: str = "true", prune: str = "true") -> None:
        script = SCRIPT.format(folder=self.folder, whole=whole, partial=partial, prune=prune)
        (self.folder / "restic").write_text(f"#!/bin/sh\n{script}")
        (self.folder / "restic").chmod(0o755)

    def run(self, **params: t.Any) -> dict[str, t.Any]:
        """What the module says of itself."""
        told: dict[str, t.Any] = {}
        place = {"repository": "sftp:nas:/x", "password": "geheim", "environment": {}, "timeout": 60.0, "host": "mon1"}
        self.module = SimpleNamespace(
            params={**place, "textfile": str(self.metrics), "keep": {}, "prune": False, "patience": 600.0, **params},
            check_mode=self.check,
            log=lambda _words: None,
            fail_json=lambda **said: told.update(said, failed=True),
            exit_json=lambda **said: told.update(said),
        )
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "calls").unlink()
        backup_retention.main()
        return {name: value for name, value in told.items() if name != "invocation"}

    def calls(self) -> list[str]:
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def groups(kept: int, dropped: int) -> str:
    """What restic says of the backups of one host; of none it says null."""
    said = {"host": "mon1", "keep": [{}] * kept or None, "remove": [{}] * dropped or None}
    return f"echo '{json.dumps([said])}'"


KEEP = {"daily": 14, "weekly": None, "monthly": "6"}


def test_each_drops_its_own_and_frees_nothing(host: Host) -> None:
    host.restic(whole=groups(14, 2), partial=groups(10, 1))
    told = host.run(keep=KEEP)
    assert told == {"changed": True, "actions": ["dropped old backups: 3"], "dropped": 3, "repository_id": "4c1e"}
    own = "forget --json --host mon1 --group-by host --tag opswatch.monitoring"
    assert host.calls() == [
        f"{own}.partial --keep-last 10",
        f"{own} --keep-daily 14 --keep-monthly 6",
        "cat config --no-lock",
    ]
    assert _textfile.read(str(host.metrics)) == {"opswatch_backup_snapshots": 14}


@pytest.mark.parametrize("said", ["true", "echo null", "echo '[]'", groups(3, 0)])
def test_nothing_to_drop_is_no_change(host: Host, said: str) -> None:
    """restic says nothing at all where the host has no backup of the kind."""
    host.restic(whole=said)
    assert host.run(keep=KEEP) == {"changed": False, "actions": [], "dropped": 0}


def test_it_drops_once_a_day(host: Host) -> None:
    host.run(keep=KEEP)
    assert len(host.calls()) == 2
    host.run(keep=KEEP)
    assert host.calls() == []
    before = time.time() - 86_000  # the night before, when backups took a little longer
    os.utime(backup_retention.STAMP, (before, before))
    host.run(keep=KEEP)
    assert len(host.calls()) == 2


@pytest.mark.parametrize("keep", [{}, {"daily": 0, "last": None}])
def test_without_a_policy_nothing_is_dropped(host: Host, keep: dict[str, t.Any]) -> None:
    assert host.run(keep=keep) == {"changed": False, "actions": [], "dropped": 0}
    assert host.calls() == []


def test_space_is_freed_by_the_one_that_is_told_so(host: Host) -> None:
    told = host.run(prune=True)
    assert told == {"changed": True, "actions": ["freed the space of what no backup needs"], "dropped": 0}
    assert host.calls() == ["prune"]


LOCKED = "echo 'unable to create lock: repository is already locked by PID 7 on mon2' >&2; exit 11"


@pytest.mark.parametrize(
    ("script", "wish"),
    [({"whole": LOCKED}, {"keep": KEEP}), ({"prune": LOCKED}, {"prune": True})],
)
def test_failure_is_told_and_makes_no_backup_a_failed_one(host: Host, script: dict[str, str], wish: t.Any) -> None:
    well = {"opswatch_backup_last_run_success": 1.0, "opswatch_backup_snapshots": 16.0}
    _textfile.write(str(host.metrics), well)
    host.restic(**script)
    told = host.run(**wish)
    assert told["failed"]
    assert told["msg"].startswith(
        "the backups are there, but the space of old ones was not freed: another restic holds"
    )
    assert "PID 7 on mon2" in told["msg"]
    assert "What to do: " in told["msg"]
    assert _textfile.read(str(host.metrics)) == well
    assert backup_retention.is_due()  # the next run tries again


def test_failure_to_free_space_tells_what_was_dropped(host: Host) -> None:
    host.restic(whole=groups(14, 2), prune=LOCKED)
    assert host.run(keep=KEEP, prune=True)["actions"] == ["dropped old backups: 2"]


def test_check_mode_asks_and_changes_nothing(host: Host) -> None:
    host.restic(whole=groups(14, 2))
    host.check = True
    told = host.run(keep=KEEP, prune=True)
    assert told["actions"] == [
        "would have dropped old backups: 2",
        "would have freed the space of what no backup needs",
    ]
    assert told["changed"]
    asked = [one for one in host.calls() if one.startswith("forget")]
    assert len(asked) == 2
    assert all("--dry-run --no-lock" in one for one in asked)
    assert "prune" not in host.calls()
    assert backup_retention.is_due()
    assert not host.metrics.exists()
