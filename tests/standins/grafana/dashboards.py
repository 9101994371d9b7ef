# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders, dashboards and the search of the stand-in."""

from __future__ import annotations

import json
import re
import sqlite3
import typing as t

from database import Database, now
from provisioning import add_version, insert, new_uid, slug
from routing import Call, Refusal, route

LONGEST_UID = 40
SAME_NAME = "a folder or dashboard in the general folder with the same name already exists"
FOLDER_CHANGED = "the folder has been changed by someone else"
RIGHTS = {"canSave": True, "canEdit": True, "canAdmin": True, "canDelete": True}


def find_folder(call: Call) -> sqlite3.Row:
    found = folder_of(call.database, call.name)
    if found is None:
        raise Refusal(404, "folder not found", status="not-found")
    return found


def find_dashboard(call: Call) -> sqlite3.Row:
    found = call.database.row("SELECT * FROM dashboard WHERE uid = ? AND is_folder = 0", call.name)
    if found is None:
        raise Refusal(404, "Dashboard not found", traceID="")
    return found


def check_uid(uid: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9_-]*", uid):
        raise Refusal(400, "uid contains illegal characters")
    if len(uid) > LONGEST_UID:
        raise Refusal(400, "uid too long, max 40 characters")


# --- folders ---


@route("GET", "/api/folders")
def folders(call: Call) -> t.Any:
    found = call.database.rows("SELECT * FROM dashboard WHERE is_folder = 1 ORDER BY title")
    return [{"id": one["id"], "uid": one["uid"], "title": one["title"]} for one in found]


@route("POST", "/api/folders")
def add_folder(call: Call) -> t.Any:
    wish = call.request.json
    title, uid = str(wish.get("title") or "").strip(), str(wish.get("uid") or new_uid())
    if not title:
        raise Refusal(400, "folder title cannot be empty")
    check_uid(uid)
    with call.database.lock:
        if call.database.row("SELECT id FROM dashboard WHERE uid = ?", uid):
            raise Refusal(412, FOLDER_CHANGED, status="version-mismatch")
        if twin(call.database, title, ""):
            raise Refusal(409, SAME_NAME)
        insert(call.database, {"uid": uid, "title": title}, "", call.user["login"], "", is_folder=1)
    return folder_answer(t.cast(sqlite3.Row, folder_of(call.database, uid)))


@route("GET", "/api/folders/*")
def get_folder(call: Call) -> t.Any:
    return folder_answer(find_folder(call))


@route("PUT", "/api/folders/*")
def change_folder(call: Call) -> t.Any:
    folder, wish = find_folder(call), call.request.json
    title = str(wish.get("title") or "").strip()
    with call.database.lock:
        if not wish.get("overwrite") and wish.get("version") != folder["version"]:
            raise Refusal(412, FOLDER_CHANGED, status="version-mismatch")
        if twin(call.database, title, "", but=folder["id"]):
            raise Refusal(409, SAME_NAME)
        save(call, folder, {"uid": folder["uid"], "title": title}, "", "")
    return folder_answer(find_folder(call))


@route("DELETE", "/api/folders/*")
def remove_folder(call: Call) -> t.Any:
    folder = find_folder(call)
    call.database.rows("DELETE FROM dashboard WHERE folder_uid = ?", folder["uid"])
    call.database.delete("dashboard", folder["id"])
    return ""


# --- dashboards ---


@route("POST", "/api/dashboards/db")
def save_dashboard(call: Call) -> t.Any:
    wish = call.request.json
    model, folder = wish.get("dashboard") or {}, str(wish.get("folderUid") or "")
    with call.database.lock:
        if folder and folder_of(call.database, folder) is None:
            raise Refusal(400, "Folder not found", traceID="")
        title, uid = str(model.get("title") or "").strip(), str(model.get("uid") or "").strip()
        known = call.database.row("SELECT * FROM dashboard WHERE uid = ?", uid)
        if known and known["provisioned"]:
            raise Refusal(400, "Cannot save provisioned dashboard")
        if not title:
            raise Refusal(400, "Dashboard title cannot be empty", status="empty-name")
        check_uid(uid)
        if model.get("id"):
            known = call.database.row("SELECT * FROM dashboard WHERE id = ?", model["id"])
            if known is None:
                raise Refusal(404, "Dashboard not found", status="not-found")
        if known and known["is_folder"]:
            raise Refusal(400, "Dashboard cannot be changed to a folder")
        if known and not wish.get("overwrite") and model.get("version") != known["version"]:
            raise Refusal(412, "The dashboard has been changed by someone else", status="version-mismatch")
        other = twin(call.database, title, folder, but=known["id"] if known else 0)
        if other and other["is_folder"]:
            raise Refusal(400, "Dashboard name cannot be the same as folder", status="name-match")
        if other and not wish.get("overwrite"):
            raise Refusal(412, "A dashboard with the same name in the folder already exists", status="name-exists")
        known = other or known
        model = {**model, "title": title, "uid": known["uid"] if known else uid or new_uid()}
        message = str(wish.get("message") or "")
        if known is None:
            insert(call.database, model, folder, call.user["login"], message)
        else:
            save(call, known, model, folder, message)
        saved = call.database.rows("SELECT * FROM dashboard WHERE uid = ?", model["uid"])[0]
    answer = {key: saved[key] for key in ("id", "uid", "slug", "version")}
    return {"status": "success", "url": address(saved), **answer}


@route("GET", "/api/dashboards/uid/*")
def get_dashboard(call: Call) -> t.Any:
    one = find_dashboard(call)
    own = {"id": one["id"], "uid": one["uid"], "version": one["version"]}
    return {"dashboard": {**json.loads(one["data"]), **own}, "meta": meta(one, call.database)}


@route("DELETE", "/api/dashboards/uid/*")
def remove_dashboard(call: Call) -> t.Any:
    one = find_dashboard(call)
    if one["provisioned"]:
        raise Refusal(400, "provisioned dashboard cannot be deleted", traceID="")
    call.database.delete("dashboard", one["id"])
    return {"id": one["id"], "title": one["title"], "message": f"Dashboard {one['title']} deleted"}


@route("GET", "/api/dashboards/uid/*/versions")
def versions(call: Call) -> t.Any:
    one = find_dashboard(call)
    limit = int(call.request.params.get("limit") or 1000)
    query = "SELECT * FROM dashboard_version WHERE dashboard_id = ? ORDER BY version DESC LIMIT ?"
    found = [version_answer(version) for version in call.database.rows(query, one["id"], limit)]
    # Only the listing shows this in place of what was said when the first version was saved.
    return [
        {**version, "message": version["message"] if version["parentVersion"] else "Initial save"} for version in found
    ]


@route("GET", "/api/dashboards/uid/*/versions/*")
def one_version(call: Call) -> t.Any:
    query = "SELECT * FROM dashboard_version WHERE dashboard_id = ? AND version = ?"
    found = call.database.row(query, find_dashboard(call)["id"], call.found[2])
    if found is None:
        raise Refusal(404, "Dashboard version not found", traceID="")
    answer = version_answer(found)
    answer["uid"] = call.name
    del answer["dashboardUid"]
    own = {"id": found["dashboard_id"], "uid": call.name, "version": found["version"]}
    return {**answer, "data": {**json.loads(found["data"]), **own}}


@route("GET", "/api/search")
def search(call: Call) -> t.Any:
    asked = call.request.params
    kinds = {"dash-folder": "is_folder = 1", "dash-db": "is_folder = 0"}
    query = f"SELECT * FROM dashboard WHERE {kinds.get(asked.get('type', ''), '1')} "
    found = call.database.rows(query + "ORDER BY is_folder DESC, title")
    if "folderUIDs" in asked:
        found = [one for one in found if one["folder_uid"] == asked["folderUIDs"]]
    if "tag" in asked:
        found = [one for one in found if asked["tag"] in tags(one)]
    if "query" in asked:
        found = [one for one in found if asked["query"].lower() in one["title"].lower()]
    limit = min(int(asked.get("limit") or 1000), 5000)
    first = limit * (int(asked.get("page") or 1) - 1)
    return [hit(one, call.database) for one in found[first : first + limit]]


def save(call: Call, known: sqlite3.Row, model: t.Mapping[str, t.Any], folder: str, message: str) -> None:
    """The next version."""
    call.database.update(
        "dashboard",
        known["id"],
        title=model["title"],
        slug=slug(model["title"]),
        folder_uid=folder,
        version=known["version"] + 1,
        data=json.dumps(model),
        updated=now(),
        updated_by=call.user["login"],
    )
    add_version(call.database, known["id"], known["version"], call.user["login"], message, model)


def folder_of(database: Database, uid: str) -> sqlite3.Row | None:
    return database.row("SELECT * FROM dashboard WHERE uid = ? AND is_folder = 1", uid)


def twin(database: Database, title: str, folder: str, but: int = 0) -> sqlite3.Row | None:
    """What has the name already. 9.3 compares slugs, and a dashboard may not be called like any folder either."""
    query = "SELECT * FROM dashboard WHERE slug = ? AND (is_folder = 1 OR folder_uid = ?) AND id != ? ORDER BY id"
    return database.row(query, slug(title), folder, but)


def address(one: sqlite3.Row) -> str:
    return f"/dashboards/f/{one['uid']}/{one['slug']}" if one["is_folder"] else f"/d/{one['uid']}/{one['slug']}"


def tags(one: sqlite3.Row) -> list[str]:
    return sorted(json.loads(one["data"]).get("tags") or [])


def version_answer(version: sqlite3.Row) -> dict[str, t.Any]:
    return {
        "id": version["id"],
        "dashboardId": version["dashboard_id"],
        "dashboardUid": "",
        "parentVersion": version["parent_version"],
        "restoredFrom": 0,
        "version": version["version"],
        "created": version["created"],
        "createdBy": version["created_by"],
        "message": version["message"],
    }


def folder_answer(one: sqlite3.Row) -> dict[str, t.Any]:
    return {
        "id": one["id"],
        "uid": one["uid"],
        "title": one["title"],
        "url": address(one),
        "hasAcl": False,
        **RIGHTS,
        "createdBy": one["created_by"],
        "created": one["created"],
        "updatedBy": one["updated_by"],
        "updated": one["updated"],
        "version": one["version"],
        "parentUid": "",
    }


def place(one: sqlite3.Row, database: Database) -> dict[str, t.Any]:
    folder = folder_of(database, one["folder_uid"])
    if folder is None:
        return {"folderId": 0, "folderUid": "", "folderTitle": "General", "folderUrl": ""}
    own = {"folderId": folder["id"], "folderUid": folder["uid"], "folderTitle": folder["title"]}
    return {**own, "folderUrl": address(folder)}


def hit(one: sqlite3.Row, database: Database) -> dict[str, t.Any]:
    answer = {
        "id": one["id"],
        "uid": one["uid"],
        "title": one["title"],
        "uri": f"db/{one['slug']}",
        "url": address(one),
        "slug": "",
        "type": "dash-folder" if one["is_folder"] else "dash-db",
        "tags": tags(one),
        "isStarred": False,
        "sortMeta": 0,
    }
    return {**answer, **place(one, database)} if one["folder_uid"] else answer


def meta(one: sqlite3.Row, database: Database) -> dict[str, t.Any]:
    rights = {"canAdd": True, "canEdit": True, "canDelete": True}
    return {
        "type": "db",
        **RIGHTS,
        "canStar": True,
        "slug": one["slug"],
        "url": address(one),
        "expires": "0001-01-01T00:00:00Z",
        "created": one["created"],
        "updated": one["updated"],
        "updatedBy": one["updated_by"],
        "createdBy": one["created_by"],
        "version": one["version"],
        "hasAcl": False,
        "isFolder": False,
        **place(one, database),
        "provisioned": bool(one["provisioned"]),
        "provisionedExternalId": one["provisioned"],
        "annotationsPermissions": {"dashboard": rights, "organization": rights},
        "hasPublicDashboard": False,
        "publicDashboardAccessToken": "",
        "publicDashboardUid": "",
        "publicDashboardEnabled": False,
    }
