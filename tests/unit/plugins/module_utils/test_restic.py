# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic's refusals in words that help, and its password out of sight. A script stands for it."""

from __future__ import annotations

import os
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _restic
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError

# As restic 0.14 to 0.18 said it.
SAID = {
    "the repository does not open with this password": "Fatal: wrong password or no key found",
    "there is no repository": "Fatal: unable to open config file: stat /srv/x/config: no such file",
    "the repository has no space": "Fatal: unable to save snapshot: write /srv/x/data/00: no space left on device",
    "another restic holds the repository": "unable to create lock: repository is already locked by PID 7",
    "the repository is damaged": "Fatal: blob 1c4a not found in index",
    "the repository cannot be reached": "Fatal: unable to open config file: dial tcp: lookup nas: no such host",
}


@pytest.mark.parametrize(("meaning", "words"), SAID.items())
def test_meanings(meaning: str, words: str) -> None:
    error = _restic.refusal("backup", "/srv/x", words)
    assert words in str(error)
    assert error.meaning == meaning
    assert "What to do: " in str(error)


def test_unknown_words_are_passed_on() -> None:
    error = _restic.refusal("forget", "/srv/x", '{"message_type":"status"}\nFatal: something new\n')
    assert str(error).startswith("`restic forget` failed with the repository /srv/x: Fatal: something new")
    assert error.meaning == ""


@pytest.mark.parametrize(
    ("repository", "shown"),
    [
        ("/srv/backup", "/srv/backup"),
        ("sftp:backup@nas:/monitoring", "sftp:backup@nas:/monitoring"),
        ("rest:https://user:geheim@nas:8000/", "rest:https://user:***@nas:8000/"),
        ("s3:https://s3.example.com/monitoring", "s3:https://s3.example.com/monitoring"),
    ],
)
def test_addresses_are_shown_without_passwords(repository: str, shown: str) -> None:
    assert _restic.shown(repository) == shown


@pytest.fixture
def restic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], None]:
    """Make a program of that name which does what a script says."""
    monkeypatch.setattr(_restic, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(_restic, "CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_restic, "LOCKED_PAUSE", 0.05)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("RESTIC_PASSWORD", "of somebody else")

    def write(script: str) -> None:
        (tmp_path / "restic").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "restic").chmod(0o755)

    return write


def test_password_is_in_a_file_for_the_time_of_the_run(restic: t.Callable[[str], None], tmp_path: Path) -> None:
    shown = '" $KEY $RESTIC_REPOSITORY $RESTIC_PASSWORD $*"'
    restic(f'stat -c %a "$RESTIC_PASSWORD_FILE"; cat "$RESTIC_PASSWORD_FILE"; echo {shown}')

    with _restic.opened("/srv/x", "geheim", {"KEY": "abc"}) as opened:
        assert opened.run("snapshots") == "600\ngeheim abc /srv/x  snapshots\n"
        assert list((tmp_path / "run").iterdir()) != []
    assert list((tmp_path / "run").iterdir()) == []


def test_summary_is_the_last_message(restic: t.Callable[[str], None]) -> None:
    restic(
        'echo \'{"message_type":"status"}\'; echo no json; echo \'{"message_type":"summary","data_added":7}\'; exit 3'
    )
    with _restic.opened("/srv/x", "p", {}) as opened:
        assert opened.summary("backup", partial=True)["data_added"] == 7
        with pytest.raises(_restic.ResticError):
            opened.summary("backup")


def test_lock_is_waited_for(restic: t.Callable[[str], None], tmp_path: Path) -> None:
    restic(f'[ -e {tmp_path}/free ] && exit 0; touch {tmp_path}/free; echo "repository is already locked" >&2; exit 11')
    with _restic.opened("/srv/x", "p", {}) as opened:
        assert opened.run("forget") == ""
    (tmp_path / "free").unlink()
    with _restic.opened("/srv/x", "p", {}) as opened, pytest.raises(_restic.ResticError, match="another restic"):
        replace(opened, patience=0).run("forget")


def test_time_limit(restic: t.Callable[[str], None]) -> None:
    restic("exec sleep 60")
    with _restic.opened("/srv/x", "p", {}, limit=0.1) as opened, pytest.raises(ComponentError, match="time limit"):
        opened.run("backup")
