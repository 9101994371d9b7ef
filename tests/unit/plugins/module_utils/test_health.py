# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a unit runs, its last words without secrets, and the room of a host."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _health
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout


def test_a_unit_that_runs_says_nothing_of_its_journal(layout: Layout, systemd: t.Any) -> None:
    systemd.set(layout.unit_name)
    found = _health.unit(layout)
    assert (found["active"], found["running"], found["restarts"], found["words"]) == ("active", True, 0, "")


def test_one_that_does_not_run_tells_its_last_words_without_secrets(layout: Layout, systemd: t.Any) -> None:
    systemd.set(layout.unit_name, state="failed", pid=0)
    Path(layout.secrets).mkdir(parents=True)
    Path(layout.secrets, "server_password").write_text("hunter2secret\n")
    said = "dial with hunter2secret: listen tcp :9090: bind: address already in use"
    systemd.add_program("journalctl", f"#!/bin/sh\necho '{said}'\n")
    found = _health.unit(layout)
    assert found["words"] == "dial with ***: listen tcp :9090: bind: address already in use"
    assert found["remedy"].startswith("another program has this port")


def test_what_leaves_the_host_is_short(layout: Layout, systemd: t.Any) -> None:
    systemd.set(layout.unit_name, state="failed", pid=0)
    systemd.add_program("journalctl", "#!/bin/sh\nhead -c 9000 /dev/zero | tr '\\0' x\n")
    assert len(_health.unit(layout)["words"]) == _health.LONGEST


def test_when_it_was_started() -> None:
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert _health._moment(int((now - 60) * 1e6)) == pytest.approx(time.time() - 60, abs=10)
    assert _health._moment(0) == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://monitoring:p4ss@10.0.0.1/metrics", "GET http://monitoring:***@10.0.0.1/metrics"),
        ("postgresql://shop:a%20b@db1:5432/shop", "postgresql://shop:***@db1:5432/shop"),
        ("Authorization: Basic bW9uOnB3", "Authorization: Basic ***"),
        ("password=hunter2 user=shop", "password=*** user=shop"),
        ('level=error smtp_auth_password="a b c" next', "level=error smtp_auth_password=*** next"),
        ('{"api_key": "abc", "x": 1}', '{"api_key": ***, "x": 1}'),
        ('password = "hunter2" next', "password = *** next"),
        ("aws_secret_access_key = AKIA/x secret_key=abc", "aws_secret_access_key = *** secret_key=***"),
        ("access_key: 'abc', private-x: 1", "access_key: ***, private-x: 1"),
        ("privatekey=abc passphrase=def", "privatekey=*** passphrase=***"),
        ("GET http://a:p@ss@b/x", "GET http://a:***@b/x"),
        ("dsn=x&token=abc&y=1", "dsn=x&token=***&y=1"),
        # What is said about a secret is none.
        ("open /etc/x/secrets/token: no such file", "open /etc/x/secrets/token: no such file"),
        ("password authentication failed for user", "password authentication failed for user"),
        ("listen tcp :9090: bind: address already in use", "listen tcp :9090: bind: address already in use"),
    ],
)
def test_secrets_are_known_by_what_stands_before_them(text: str, shown: str) -> None:
    assert _health.without_secrets(text) == shown


def test_secrets_of_a_component(layout: Layout) -> None:
    folder = Path(layout.secrets)
    folder.mkdir(parents=True)
    (folder / "short").write_text("9090")
    (folder / "url").write_text("https://hooks.example.com/T0/abc\n")
    (folder / "web.yml").write_text("basic_auth_users:\n  monitoring: $2y$10$x\nclient_secret: 'abcdefgh'\n")
    assert _health.known_secrets(layout) == {"https://hooks.example.com/T0/abc", "abcdefgh"}


def test_passwords_of_databases_are_secrets_by_themselves(layout: Layout) -> None:
    folder = Path(layout.secrets)
    folder.mkdir(parents=True)
    (folder / "pgpass").write_text("db1:5432:shop:me:hunter2hunter2\n\\:\\:1:5432:*:me:with\\:colon\\\\\n")
    found = _health.known_secrets(layout)
    assert found == {"hunter2hunter2", r"with\:colon\\", "with:colon\\"}
    (folder / "pgpass").write_text("db1:5432:shop:me:hunter2hunter2\n")
    assert "hunter2hunter2" in _health.known_secrets(layout)


def test_a_long_line_takes_no_time() -> None:
    begun = time.monotonic()
    _health.without_secrets("x" * 200_000)
    assert time.monotonic() - begun < 10  # and not minutes


def test_an_unfinished_change(layout: Layout) -> None:
    assert not _health.is_unfinished(layout)
    Path(layout.home).mkdir(parents=True)
    Path(layout.journal).touch()
    assert _health.is_unfinished(layout)


def test_each_file_system_once(root: Path) -> None:
    (one,) = _health.spaces(["prometheus", "loki"], str(root))
    assert 0 < one["free"] <= one["bytes"]
    assert root.is_relative_to(one["path"])
