# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's API: who may ask, which handler answers, and what is about users and tokens."""

from __future__ import annotations

import re
import sqlite3
import typing as t

import sources  # noqa: F401
from database import Database, is_token, now
from provisioning import provision_dashboards, provision_sources
from routing import ROUTES, Call, Refusal, Request, route

import dashboards  # noqa: F401  # its routes

VIEWER = {"id": 0, "login": "", "role": "Viewer"}


class Api:
    def __init__(self, database: Database, provisioning: str, anonymous: bool = False) -> None:
        self.database = database
        self.provisioning = provisioning
        self.anonymous = anonymous

    def count_dashboards(self) -> int:
        return self.database.count("dashboard", "is_folder = 0")

    def serve(self, request: Request) -> tuple[int, t.Any]:
        try:
            user = self._user(request)
            for (method, path), handler in ROUTES.items():
                found = re.fullmatch(path, request.path)
                if found and method == request.method:
                    if user["role"] == "Viewer" and method != "GET":
                        raise Refusal(403, "Permission denied", accessErrorId="stand-in", title="Access denied")
                    data = handler(Call(self.database, request, user, self.provisioning, found))
                    return (201, data) if (method, path) == ("POST", "/api/serviceaccounts") else (200, data)
            raise Refusal(404, "Not found")
        except Refusal as refusal:
            return refusal.status, refusal.data

    def _user(self, request: Request) -> t.Mapping[str, t.Any]:
        if request.token:
            user = self.database.log_in_by_token(request.token)
            if user is None:
                # The real one looks into its database only if a token has the right form, and fails then.
                raise Refusal(500 if is_token(request.token) else 401, "invalid API key", traceID="")
        elif request.user:
            user = self.database.log_in(request.user, request.password)
            if user is None:
                raise Refusal(401, "invalid username or password", traceID="")
        elif self.anonymous:
            return VIEWER
        else:
            raise Refusal(401, "Unauthorized", traceID="")
        self.database.update("user", user["id"], last_seen_at=now())
        return dict(user)


# --- organisation, users ---


@route("GET", "/api/org")
def organisation(call: Call) -> t.Any:
    parts = ("address1", "address2", "city", "zipCode", "state", "country")
    return {"id": 1, "name": "Main Org.", "address": dict.fromkeys(parts, "")}


@route("GET", "/api/org/users")
def users(call: Call) -> t.Any:
    return [
        {
            "orgId": 1,
            "userId": user["id"],
            "email": user["email"],
            "name": user["name"],
            "avatarUrl": "/avatar/46d229b033af06a191ff2267bca9ae56",
            "login": user["login"],
            "role": user["role"],
            "lastSeenAt": user["last_seen_at"],
            "lastSeenAtAge": "< 1 minute",
            "isDisabled": bool(user["is_disabled"]),
        }
        for user in call.database.rows("SELECT * FROM user WHERE is_service_account = 0 ORDER BY login")
    ]


@route("GET", "/api/users/lookup")
def find_user(call: Call) -> t.Any:
    user = call.database.row("SELECT * FROM user WHERE login = ?", call.request.params.get("loginOrEmail", ""))
    if user is None:
        raise Refusal(404, "user not found")
    return {"id": user["id"], "login": user["login"], "email": user["email"], "isGrafanaAdmin": bool(user["is_admin"])}


@route("GET", "/api/user")
def myself(call: Call) -> t.Any:
    user = call.user
    return {"id": user["id"], "login": user["login"], "email": user["email"], "isGrafanaAdmin": bool(user["is_admin"])}


@route("PUT", "/api/user/password")
def own_password(call: Call) -> t.Any:
    wish = call.request.json
    user = call.database.rows("SELECT * FROM user WHERE id = ?", call.user["id"])[0]
    if not call.database.is_password(user, str(wish.get("oldPassword"))):
        raise Refusal(401, "Invalid old password")
    if len(str(wish.get("newPassword") or "")) < 4:
        raise Refusal(400, "New password is too short")
    call.database.set_password(user["id"], wish["newPassword"])
    return {"message": "User password changed"}


@route("PUT", "/api/admin/users/*/password")
def others_password(call: Call) -> t.Any:
    if not call.user["is_admin"]:
        raise Refusal(403, "Permission denied", accessErrorId="stand-in", title="Access denied")
    if call.database.row("SELECT id FROM user WHERE id = ?", call.name) is None:
        raise Refusal(404, "user not found")
    if len(str(call.request.json.get("password") or "")) < 4:
        raise Refusal(400, "New password too short")
    call.database.set_password(int(call.name), call.request.json["password"])
    return {"message": "User password updated"}


# --- service accounts, tokens ---


def account_of(user: sqlite3.Row, database: Database) -> dict[str, t.Any]:
    return {
        "id": user["id"],
        "name": user["name"],
        "login": user["login"],
        "orgId": 1,
        "isDisabled": bool(user["is_disabled"]),
        "role": user["role"],
        "tokens": database.count("api_key", f"service_account_id = {int(user['id'])}"),
        "avatarUrl": "/avatar/f933951cc2a4b23bd59c41a31dd8d9a7",
    }


def find_account(call: Call) -> sqlite3.Row:
    user = call.database.row("SELECT * FROM user WHERE id = ? AND is_service_account = 1", call.name)
    if user is None:
        raise Refusal(404, "Failed to retrieve service account", traceID="")
    return user


@route("POST", "/api/serviceaccounts")
def add_account(call: Call) -> t.Any:
    wish = call.request.json
    login = f"sa-{str(wish['name']).lower().replace(' ', '-')}"
    try:
        number = call.database.insert(
            "user",
            login=login,
            email=login,
            name=wish["name"],
            role=wish.get("role") or "Viewer",
            is_service_account=1,
            password="",
        )
    except sqlite3.IntegrityError:
        raise Refusal(400, "Failed to create service account", traceID="") from None
    user = call.database.rows("SELECT * FROM user WHERE id = ?", number)[0]
    return {**account_of(user, call.database), "orgId": -1, "avatarUrl": ""}


@route("GET", "/api/serviceaccounts/search")
def search_accounts(call: Call) -> t.Any:
    pattern = f"%{call.request.params.get('query', '')}%"
    query = "SELECT * FROM user WHERE is_service_account = 1 AND (name LIKE ? OR login LIKE ?) ORDER BY name"
    found = [account_of(user, call.database) for user in call.database.rows(query, pattern, pattern)]
    return {"totalCount": len(found), "serviceAccounts": found, "page": 1, "perPage": 1000}


@route("GET", "/api/serviceaccounts/*")
def one_account(call: Call) -> t.Any:
    return account_of(find_account(call), call.database)


@route("DELETE", "/api/serviceaccounts/*")
def remove_account(call: Call) -> t.Any:
    number = find_account(call)["id"]
    call.database.rows("DELETE FROM api_key WHERE service_account_id = ?", number)
    call.database.delete("user", number)
    return {"message": "Service account deleted"}


@route("GET", "/api/serviceaccounts/*/tokens")
def tokens(call: Call) -> t.Any:
    found = call.database.rows("SELECT * FROM api_key WHERE service_account_id = ?", find_account(call)["id"])
    return [{"id": one["id"], "name": one["name"], "created": one["created"], "hasExpired": False} for one in found]


@route("POST", "/api/serviceaccounts/*/tokens")
def add_token(call: Call) -> t.Any:
    account, name = find_account(call), str(call.request.json.get("name"))
    try:
        number, key = call.database.add_token(account["id"], name)
    except sqlite3.IntegrityError:
        raise Refusal(409, "service account token with given name already exists", traceID="") from None
    return {"id": number, "name": name, "key": key}


@route("DELETE", "/api/serviceaccounts/*/tokens/*")
def remove_token(call: Call) -> t.Any:
    number = int(call.found[2])
    if call.database.row("SELECT id FROM api_key WHERE id = ?", number) is None:
        raise Refusal(404, "Service account token not found", traceID="")
    call.database.delete("api_key", number)
    return {"message": "Service account token deleted"}


# --- the rest of what is asked ---


@route("GET", "/api/admin/settings")
def settings(call: Call) -> t.Any:
    return {"DEFAULT": {"app_mode": "production"}}


@route("GET", "/api/frontend/settings")
def frontend_settings(call: Call) -> t.Any:
    return {"buildInfo": {"version": "9.3.2", "edition": "stand-in"}}


@route("GET", "/api/admin/stats")
def stats(call: Call) -> t.Any:
    people = call.database.count("user", "is_service_account = 0")
    zero = (
        "activeAdmins activeEditors activeSessions activeViewers alerts dailyActiveAdmins dailyActiveEditors "
        "dailyActiveSessions dailyActiveViewers editors playlists snapshots stars tags viewers"
    )
    return {
        **dict.fromkeys(zero.split(), 0),
        "orgs": 1,
        "dashboards": call.database.count("dashboard", "is_folder = 0"),
        "datasources": call.database.count("data_source"),
        **dict.fromkeys(("users", "admins", "activeUsers", "dailyActiveUsers", "monthlyActiveUsers"), people),
    }


@route("GET", "/api/v1/provisioning/contact-points")
def contact_points(call: Call) -> t.Any:
    settings = {"addresses": "<example@email.com>"}
    return [
        {"uid": "", "name": "email receiver", "type": "email", "settings": settings, "disableResolveMessage": False}
    ]


@route("POST", "/api/admin/provisioning/dashboards/reload")
def reload_dashboards(call: Call) -> t.Any:
    provision_dashboards(call.database, call.provisioning)
    return {"message": "Dashboards config reloaded"}


@route("POST", "/api/admin/provisioning/datasources/reload")
def reload_sources(call: Call) -> t.Any:
    try:
        provision_sources(call.database, call.provisioning)
    except ValueError as error:
        raise Refusal(500, str(error), traceID="") from error
    return {"message": "Datasources config reloaded"}
