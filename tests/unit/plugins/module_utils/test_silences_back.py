# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences after a restore: Alertmanager's files are older than what it said when the backup was made."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _ask
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._ready import Answer, Endpoint
from ansible_collections.opswatch.monitoring.plugins.module_utils._silences_back import give_back, in_force

EARLY, LATE = "2020-01-01T00:00:00.000Z", "2020-01-01T00:10:00.000Z"  # of the files, and of the backup
NEAR, FAR = "2090-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"


def silence(name: str, state: str = "active", ends: str = NEAR, updated: str = EARLY) -> dict[str, t.Any]:
    stated = {"matchers": [], "startsAt": EARLY, "endsAt": ends, "createdBy": "a", "comment": name}
    return {**stated, "id": name, "updatedAt": updated, "status": {"state": state}}


class Server:
    """Alertmanager, as far as this goes. C(deaf): it says yes and does nothing."""

    def __init__(self, *known: dict[str, t.Any], deaf: bool = False) -> None:
        self.known, self.deaf = {one["id"]: one for one in known}, deaf
        self.asked: list[tuple[str, str]] = []

    def answer(self, endpoint: Endpoint, path: str, timeout: float, method: str = "GET", body: t.Any = None) -> Answer:
        if method == "GET":
            return Answer(200, json.dumps(list(self.known.values())))
        self.asked.append((method, path if method == "DELETE" else body.get("id", "new")))
        if not self.deaf and method == "DELETE":
            self.known[path.rpartition("/")[2]]["status"]["state"] = "expired"
        elif not self.deaf:
            name = body.get("id", f"new {body['comment']}")
            self.known[name] = {**silence(name), **body, "id": name}
        return Answer(200, "{}")


def given_back(
    server: Server,
    told: list[dict[str, t.Any]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: t.Collection[str] = (),
) -> str:
    monkeypatch.setattr(_ask, "get", server.answer)
    (folder / "silences.json").write_text(json.dumps(told))
    counted = sum(one["status"]["state"] != "expired" for one in told)
    return give_back(Endpoint(base="http://am"), str(folder / "silences.json"), counted, before)


def test_each_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(silence("kept"), silence("ended"), silence("longer"), silence("lapsed", "expired", LATE))
    told = [
        silence("kept"),
        silence("ended", "expired", LATE, LATE),
        silence("longer", ends=FAR, updated=LATE),
        silence("lapsed", ends=FAR, updated=LATE),
        silence("later", updated=LATE),
        silence("over", ends=LATE, updated=LATE),  # since the backup
        silence("never", "expired", LATE, LATE),
    ]
    said = given_back(server, told, tmp_path, monkeypatch)
    assert said == "4 silences in force, 1 made anew, 2 changed, 1 ended, 0 of later gone"
    assert server.asked == [
        ("DELETE", "/api/v2/silence/ended"),
        ("POST", "longer"),
        ("POST", "lapsed"),
        ("POST", "new"),
    ]
    assert server.known["longer"]["endsAt"] == FAR


def test_what_other_members_know_of_later_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster has told the restored one what was done since the backup."""
    server = Server(silence("ended", "expired", LATE, LATE), silence("longer", ends=FAR, updated=LATE))
    told = [silence("ended"), silence("longer", "expired")]
    assert given_back(server, told, tmp_path, monkeypatch).startswith("1 silences in force, 0 made anew")
    assert server.asked == []


def test_those_made_since_the_backup_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the files that came back they are gone, and nobody is asked to end them."""
    told = [silence("kept"), silence("unsaved", updated=LATE)]  # the second is in no file, and is made anew
    live = Server(*told, silence("later"), silence("over", "expired"))
    monkeypatch.setattr(_ask, "get", live.answer)
    before = in_force(Endpoint(base="http://am"))
    assert before == {"kept", "unsaved", "later"}
    said = given_back(Server(silence("kept")), told, tmp_path, monkeypatch, before)
    assert said == "2 silences in force, 1 made anew, 0 changed, 0 ended, 1 of later gone"


def test_server_that_is_down_has_none_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ask, "get", lambda *_what: Answer(0, "connection refused"))
    assert in_force(Endpoint(base="http://am")) == set()
    assert in_force(None) == set()


def test_fewer_than_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ComponentError, match="does not have the silences") as raised:
        given_back(Server(deaf=True), [silence("later")], tmp_path, monkeypatch)
    assert raised.value.seen == "0 are in force, and 1 of those in the manifest have to be"
