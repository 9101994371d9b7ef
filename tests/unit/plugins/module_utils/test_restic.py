# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic's refusals in words that help, and its password out of sight. A script stands for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
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
    "the key of the server is not one that this host knows": "Host key verification failed.",
    "the repository cannot be reached": "Fatal: unable to open config file: dial tcp: lookup nas: no such host",
}


@pytest.mark.parametrize(("meaning", "words"), SAID.items())
def test_meanings(meaning: str, words: str) -> None:
    error = _restic.refusal("backup", "/srv/x", words)
    assert words in str(error)
    assert error.meaning == meaning
    assert "What to do: " in str(error)


def test_file_of_a_password_that_does_not_open_is_named() -> None:
    """Most have not set it: it was made, and where it was lost it has just been made anew."""
    error = _restic.refusal("backup", "/srv/x", "Fatal: wrong password or no key found")
    assert "backup_password.txt in the folder of secrets on the control node" in error.remedy
    assert "If that file was lost, a new password has been made there" in error.remedy


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


@pytest.mark.parametrize(
    ("repository", "server"),
    [("sftp:backup@nas:/monitoring", "backup@nas"), ("sftp://backup@nas:2222//monitoring", "ssh://backup@nas:2222")],
)
def test_of_sftp_ssh_is_asked_where_restic_says_nothing_of_the_cause(
    restic: t.Callable[[str], None], tmp_path: Path, repository: str, server: str
) -> None:
    restic("echo 'Fatal: unable to start the sftp session: unexpected EOF' >&2; exit 1")
    (tmp_path / "ssh").write_text("#!/bin/sh\necho \"$*\" >&2; echo 'Host key verification failed.' >&2; exit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    with _restic.opened(repository, "geheim", {}) as opened, pytest.raises(_restic.ResticError) as caught:
        opened.run("snapshots")
    assert "unable to start the sftp session" in str(caught.value)
    assert f"-- {server} exit" in str(caught.value)
    assert "/root/.ssh/known_hosts" in str(caught.value)


def test_without_ssh_restic_has_the_word(
    restic: t.Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restic("echo 'Fatal: exec: \"ssh\": executable file not found in $PATH' >&2; exit 1")
    for program in ("nice", "setpriv"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", str(tmp_path))
    with _restic.opened("sftp:nas:/x", "geheim", {}) as opened, pytest.raises(_restic.ResticError, match="executable"):
        opened.run("snapshots")


SUMMARY = {"message_type": "summary", "data_added": 7, "snapshot_id": "1a2b3c4d"}


def backup_without(*errors: dict[str, t.Any]) -> str:
    """A restic that could not read some files."""
    said = [json.dumps({"message_type": "error", "during": "archival", **error}) for error in errors]
    last = "Warning: at least one source file could not be read"
    shown = "".join(f"echo '{line}' >&2\n" for line in [*said, last])
    return f"echo '{json.dumps({'message_type': 'status'})}'; echo no json; echo '{json.dumps(SUMMARY)}'\n{shown}exit 3"


def test_summary_is_the_last_message(restic: t.Callable[[str], None]) -> None:
    restic(f"echo '{json.dumps({'message_type': 'status'})}'; echo no json; echo '{json.dumps(SUMMARY)}'")
    with _restic.opened("/srv/x", "p", {}) as opened:
        assert opened.summary("backup")["data_added"] == 7


GONE = [
    {"item": "/var/lib/loki/wal/7", "error": {"Op": "lstat", "Path": "/var/lib/loki/wal/7", "Err": 2}},  # restic 0.14
    {"item": "/var/lib/loki/wal/8", "error": {}},
    {"item": "/var/lib/loki/wal/9", "error": {"message": "lstat /var/lib/loki/wal/9: no such file or directory"}},
]


def test_files_that_come_and_go_may_be_gone(restic: t.Callable[[str], None]) -> None:
    restic(backup_without(*GONE))
    with _restic.opened("/srv/x", "p", {}) as opened:
        assert opened.summary("backup", changing="/var/lib/loki")["data_added"] == 7
        for elsewhere in ("", "/var/lib/lok", "/var/lib/loki/wal/7"):
            with pytest.raises(_restic.NotWhole, match=r"read:\n    /var/lib/loki/wal/7: No such file"):
                opened.summary("backup", changing=elsewhere)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ({"Op": "read", "Path": "x", "Err": 5}, "Input/output error"),
        ({"message": "read: input/output error"}, "read: input/output error"),
        ({}, "restic does not say why"),
    ],
)
def test_file_that_cannot_be_read_fails_the_backup(
    restic: t.Callable[[str], None], tmp_path: Path, error: dict[str, t.Any], why: str
) -> None:
    """Also where it is below a folder in which files come and go."""
    (tmp_path / "chunk").touch()
    restic(backup_without(*GONE, {"item": f"{tmp_path}/chunk", "error": error}))
    with _restic.opened("/srv/x", "p", {}) as opened, pytest.raises(_restic.NotWhole) as raised:
        opened.summary("backup", changing=str(tmp_path))
    assert f"{tmp_path}/chunk: {why}" in raised.value.seen
    assert raised.value.snapshot == "1a2b3c4d"


def test_files_that_restic_does_not_name_fail_the_backup(restic: t.Callable[[str], None]) -> None:
    restic(backup_without())
    with _restic.opened("/srv/x", "p", {}) as opened, pytest.raises(_restic.ResticError, match="at least one source"):
        opened.summary("backup", changing="/var/lib/loki")


def test_snapshots_are_in_the_order_of_time(restic: t.Callable[[str], None]) -> None:
    """Each has the zone that its host had then: here summer time ends between the first and the second."""
    times = ["2026-10-25T02:10:00.5+01:00", "2026-10-25T02:40:00.123456789+02:00", "2026-10-25T01:30:00Z"]
    restic(f"echo '{json.dumps([{'time': time} for time in times])}'")
    with _restic.opened("/srv/x", "p", {}) as opened:
        assert [one["time"] for one in opened.snapshots("mon1")] == [times[1], times[0], times[2]]


def test_lock_is_waited_for(restic: t.Callable[[str], None], tmp_path: Path) -> None:
    restic(f'[ -e {tmp_path}/free ] && exit 0; touch {tmp_path}/free; echo "repository is already locked" >&2; exit 11')
    with _restic.opened("/srv/x", "p", {}) as opened:
        assert opened.run("forget") == ""
    (tmp_path / "free").unlink()
    with _restic.opened("/srv/x", "p", {}) as opened, pytest.raises(_restic.ResticError, match="another restic"):
        replace(opened, patience=0).run("forget")


def test_lock_of_a_dead_one_is_taken_away(restic: t.Callable[[str], None], tmp_path: Path) -> None:
    """restic itself knows which those are."""
    (tmp_path / "held").touch()
    refuse = "echo unable to create lock >&2; exit 1"
    restic(f"cd {tmp_path}; [ $1 = unlock ] && exec rm held; [ ! -e held ] || {{ {refuse}; }}")
    with _restic.opened("/srv/x", "p", {}) as opened:
        assert opened.run("forget") == ""
    (tmp_path / "held").touch()
    with _restic.opened("sftp:nas:/x", "p", {}) as opened, pytest.raises(_restic.ResticError, match="cannot be locked"):
        replace(opened, patience=0.2).run("forget")  # it may be that of another host of this name


def test_restic_dies_with_its_caller(restic: t.Callable[[str], None], tmp_path: Path) -> None:
    note = tmp_path / "pid"
    restic(f"echo $$ >{note}.new; mv {note}.new {note}; exec sleep 60")
    caller = os.fork()
    if not caller:
        try:
            with _restic.opened("/srv/x", "p", {}) as opened:
                opened.run("backup")
        finally:
            os._exit(1)
    wait_until(note.exists)
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    wait_until(lambda: not lives(note.read_text().strip()))


def lives(number: str) -> bool:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes() != b""  # of one that nobody has waited for it is empty
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: t.Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_time_limit(restic: t.Callable[[str], None]) -> None:
    restic("exec sleep 60")
    with _restic.opened("/srv/x", "p", {}, limit=0.1) as opened, pytest.raises(ComponentError, match="time limit"):
        opened.run("backup")


def test_words_of_a_restic_that_speaks_json() -> None:
    lines = (
        '{"message_type":"exit_error","code":1,"message":"Fatal: something new"}',
        '{"error":{"message":"read x"}}',
        '{"error":"plain"}',
        '{"a',
    )
    assert _restic.refusal("restore", "/srv/x", "\n".join(lines)).seen == "Fatal: something new\nread x\nplain"
