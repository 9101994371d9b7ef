# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What newer servers have and the stand-in, as 9.3.2, has not: folders in folders, dashboards of another schema."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboard_sync import Sync, export
from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboards import derived_uid
from ansible_collections.opswatch.monitoring.plugins.module_utils._http import ApiError
from ansible_collections.opswatch.monitoring.plugins.modules import grafana_folder

NESTED = [{"path": "a", "title": "a", "parent": ""}, {"path": "a/b", "title": "b", "parent": "a"}]
MODEL = {"uid": "d", "title": "b"}


class Newer:
    """Answers of Grafana 12 as its documentation has them; keeps what was written."""

    version = (12, 1, 0)
    has_nested_folders = True

    def __init__(self, *listed: dict[str, t.Any], other_schema: t.Container[str] = ()) -> None:
        self.listed = list(listed)
        self.other_schema = other_schema
        self.written: list[tuple[str, t.Any]] = []

    def get(self, path: str, params: t.Any = None) -> t.Any:
        if path == "/api/search":
            return self.listed
        uid = path.rpartition("/")[2]
        if uid in self.other_schema:
            raise ApiError("GET", "dashboard api version not supported", status=406)
        (found,) = [one for one in self.listed if one["uid"] == uid]
        if path.startswith("/api/folders"):
            return {**found, "version": 4}
        return {"dashboard": {**MODEL, "uid": uid}, "meta": {"folderUid": found.get("folderUid", ""), "version": 3}}

    def find(self, path: str) -> t.Any:
        return None

    def post(self, path: str, body: t.Any = None) -> t.Any:
        self.written.append((path, body))

    put = post

    def delete(self, path: str) -> t.Any:
        self.written.append((path, None))
        self.listed = [one for one in self.listed if one["uid"] != path.rpartition("/")[2]]


def folder(uid: str, title: str, parent: str = "") -> dict[str, t.Any]:
    return {"type": "dash-folder", "uid": uid, "title": title, **({"folderUid": parent} if parent else {})}


def dashboard(uid: str, title: str, parent: str = "", *tags: str) -> dict[str, t.Any]:
    return {**folder(uid, title, parent), "type": "dash-db", "tags": list(tags)}


def sync(server: Newer, root: str = "", owner: str = "", prune: bool = False, dashboards: t.Any = None) -> t.Any:
    if dashboards is None:
        dashboards = [{"file": "a/b/d.json", "folder": "a/b", "model": MODEL}]
    folders = NESTED if dashboards else []
    return Sync(t.cast(t.Any, server), root, owner, prune, check=False).run(folders, dashboards)


def test_folders_are_made_from_the_outside_in() -> None:
    server = Newer()
    sync(server)
    outer, inner = derived_uid("a"), derived_uid("a/b")
    assert server.written[:2] == [
        ("/api/folders", {"uid": outer, "title": "a"}),
        ("/api/folders", {"uid": inner, "title": "b", "parentUid": outer}),
    ]
    path, body = server.written[2]
    assert (path, body["folderUid"]) == ("/api/dashboards/db", inner)


def test_tree_inside_a_folder_has_uids_of_its_own() -> None:
    """Two trees in two folders, each with a folder of that name, do not share it."""
    server = Newer(folder("team", "Team"), folder(derived_uid("a"), "a"))
    sync(server, root="team")
    (_path, first), *_rest = server.written
    assert first == {"uid": derived_uid("team/a"), "title": "a", "parentUid": "team"}


def test_equal_names_in_other_folders_are_other_folders() -> None:
    server = Newer(folder("x", "x"), folder("foreign", "a", "x"))
    sync(server)
    assert server.written[0] == ("/api/folders", {"uid": derived_uid("a"), "title": "a"})


def test_prune_removes_empty_folders_from_the_inside_out() -> None:
    outer, inner = derived_uid("a"), derived_uid("a/b")
    server = Newer(folder(outer, "a"), folder(inner, "b", outer), dashboard("d", "D", inner, "managed:me"))
    sync(server, owner="me", prune=True, dashboards=[])
    assert [path for path, _ in server.written] == [
        "/api/dashboards/uid/d",
        f"/api/folders/{inner}",
        f"/api/folders/{outer}",
    ]


def test_dashboard_of_the_newer_schema_is_overwritten_and_not_exported() -> None:
    outer, inner = derived_uid("a"), derived_uid("a/b")
    there = [folder(outer, "a"), folder(inner, "b", outer), dashboard("d", "b", inner), dashboard("e", "e")]
    server = Newer(*there, other_schema=("d",))
    outcome = sync(server)
    assert (outcome.updated, server.written[0][1]["overwrite"]) == (["d"], True)
    found, skipped = export(t.cast(t.Any, Newer(*there, other_schema=("d",))), "", "")
    assert (skipped, [one["model"]["uid"] for one in found]) == (["d"], ["e"])


def test_folder_moves() -> None:
    server = Newer(folder("x", "X"), folder("y", "Y"))
    params = {"parent": "x", "title": "Y!", "uid": "y", "state": "present"}
    grafana_folder.ensure(t.cast(t.Any, server), params, check=False)
    assert server.written == [
        ("/api/folders/y/move", {"parentUid": "x"}),
        ("/api/folders/y", {"title": "Y!", "version": 4}),
    ]
