# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on the host, against a real HTTP server."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins.module_utils import _release
from ansible_collections.opswatch.monitoring.plugins.modules import release_info

ARCHIVE = "app/v1/app-1.tar.gz"
SUMS = "app/v1/sha256sums.txt"
SUM = "a" * 64


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


def release(base: str, name: str = "app", **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "base": base, "path": ARCHIVE, "checksums_path": SUMS, **more}


def ask(capsys: pytest.CaptureFixture[str], *releases: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    with patch_module_args({"releases": list(releases)}), pytest.raises(SystemExit) as done:
        release_info.main()
    assert done.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert result["changed"] is False
    return list(result["releases"])


def test_release_that_can_be_had(capsys: t.Any, site: t.Any) -> None:
    site.pages = {f"/{ARCHIVE}": b"x" * 5000, f"/{SUMS}": f"{SUM}  app-1.tar.gz\n".encode()}
    (answer,) = ask(capsys, release(site.url))
    assert answer == {"name": "app", "url": f"{site.url}/{ARCHIVE}", "size": 5000, "problems": []}
    assert site.asked == {f"/{ARCHIVE}": 1, f"/{SUMS}": 1}


def test_known_checksum_is_not_asked_for(capsys: t.Any, site: t.Any) -> None:
    site.pages = {f"/{ARCHIVE}": b"x"}
    (answer,) = ask(capsys, release(site.url, checksum=SUM))
    assert answer["problems"] == []
    assert site.asked == {f"/{ARCHIVE}": 1}


def test_checksum_in_the_lock_of_the_mirror(capsys: t.Any, site: t.Any) -> None:
    site.pages = {f"/{ARCHIVE}": b"x", "/releases.lock.yml": f"{ARCHIVE}: {SUM}\n".encode()}
    (answer,) = ask(capsys, release(site.url, mirror_lock=f"{site.url}/releases.lock.yml"))
    assert answer["problems"] == []


def test_checksum_that_upstream_does_not_publish(capsys: t.Any, site: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS vouches for what is taken as it is; plain HTTP does not. A sum that is known counts in either case."""
    site.pages = {f"/{ARCHIVE}": b"x" * 5000}
    wish = release(site.url, checksums_path="", unpublished=True)
    (plain,) = ask(capsys, wish)
    assert plain["size"] == 5000
    assert plain["problems"][0]["what"] == f"no checksum is known for {ARCHIVE}"
    assert "is no https address" in plain["problems"][0]["seen"]
    (known,) = ask(capsys, {**wish, "checksum": SUM})
    assert known["problems"] == []

    real, secure = _release._open, site.url.replace("http://", "https://")
    monkeypatch.setattr(_release, "_open", lambda url: real(url.replace("https://", "http://")))
    (answer,) = ask(capsys, {**wish, "base": secure})
    assert answer == {"name": "app", "url": f"{secure}/{ARCHIVE}", "size": 5000, "problems": []}
    assert set(site.asked) == {f"/{ARCHIVE}"}


@pytest.mark.parametrize(
    ("pages", "what", "seen", "remedy"),
    [
        ({}, f"{ARCHIVE} does not exist", "HTTP 404", "correct the version"),
        ({f"/{ARCHIVE}": (403, b"")}, f"{ARCHIVE} could not be fetched", "403", "monitoring_mirror"),
        ({f"/{ARCHIVE}": (503, b"")}, f"{ARCHIVE} could not be fetched", "503", "monitoring_mirror"),
        ({f"/{ARCHIVE}": b"x"}, f"{SUMS} could not be fetched", "404", "monitoring_mirror"),
        (
            {f"/{ARCHIVE}": b"x", f"/{SUMS}": b"nothing"},
            f"{SUMS} has no checksum of app-1.tar.gz",
            "",
            "releases.lock.yml",
        ),
    ],
)
def test_release_that_cannot(
    capsys: t.Any, site: t.Any, pages: dict[str, t.Any], what: str, seen: str, remedy: str
) -> None:
    site.pages = pages
    (answer,) = ask(capsys, release(site.url))
    (problem,) = answer["problems"]
    assert problem["what"].endswith(what)
    assert seen in problem["seen"]
    assert remedy in problem["remedy"]


def test_silent_address_is_asked_once(capsys: t.Any, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = _release._open
    monkeypatch.setattr(_release, "_open", lambda url: asked.append(url) or real(url))
    base = f"http://127.0.0.1:{closed_port}"
    first, second = ask(capsys, release(base, "one"), release(base, "two"))
    assert "could not be fetched" in first["problems"][0]["what"]
    assert "refused" in first["problems"][0]["seen"]
    assert (second["name"], second["problems"]) == ("two", [])
    assert len(asked) == 1


def test_address_that_answers_is_asked_for_every_release(capsys: t.Any, site: t.Any) -> None:
    first, second = ask(capsys, release(site.url, "one"), release(site.url, "two"))
    assert first["problems"]
    assert second["problems"]


def test_password_of_a_mirror_is_not_said(capsys: t.Any, site: t.Any) -> None:
    (answer,) = ask(capsys, release(site.url.replace("://", "://me:hunter2@")))
    assert answer["problems"]
    assert "hunter2" not in json.dumps(answer)
