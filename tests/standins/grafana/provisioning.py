# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in takes from its folder of provisioning: data sources, and dashboards from files."""

from __future__ import annotations

import json
import os
import re
import secrets
import typing as t
import unicodedata
from pathlib import Path

from database import Database, now

# What a request or a file says of a data source, by its name in the API; with what it is when it is not said.
SOURCE: dict[str, t.Any] = {
    "name": "",
    "type": "",
    "access": "proxy",
    "url": "",
    "user": "",
    "database": "",
    "basicAuth": False,
    "basicAuthUser": "",
    "withCredentials": False,
    "jsonData": {},
}


def slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def new_uid() -> str:
    return secrets.token_urlsafe(7).replace("-", "x").replace("_", "y")


def save_source(
    database: Database, known: t.Any, wish: t.Mapping[str, t.Any], version: int, read_only: bool = False
) -> int:
    """Secrets that are not said stay as they are."""
    data = {key: wish.get(key) or default for key, default in SOURCE.items()}
    secure = {**(json.loads(known["secure"]) if known else {}), **(wish.get("secureJsonData") or {})}
    columns = {
        "uid": wish.get("uid") or (known["uid"] if known else new_uid()),
        "name": data["name"],
        "version": version,
        "is_default": int(bool(wish.get("isDefault"))),
        "read_only": int(read_only),
        "data": json.dumps(data),
        "secure": json.dumps(secure),
    }
    with database.lock:
        if columns["is_default"]:
            database.rows("UPDATE data_source SET is_default = 0")
        if known is None:
            return database.insert("data_source", **columns)
        database.update("data_source", known["id"], **columns)
        return int(known["id"])


def provision(database: Database, folder: str) -> None:
    provision_sources(database, folder)
    provision_dashboards(database, folder)


def _files(folder: str, kind: str) -> t.Iterator[t.Mapping[str, t.Any]]:
    for path in sorted(Path(folder, kind).glob("*.y*ml")):
        try:
            data = json.loads(path.read_text(encoding="utf-8") or "{}")
        except ValueError as error:
            raise ValueError(f"{path}: the stand-in reads only the JSON that YAML has: {error}") from error
        yield expanded(data)


def expanded(value: t.Any) -> t.Any:
    """As Grafana does it: first files, then variables of the environment, in what was read from a file too."""
    if isinstance(value, dict):
        return {key: expanded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [expanded(one) for one in value]
    if not isinstance(value, str):
        return value
    return "$".join(
        re.sub(r"\$\{(\w+)\}|\$(\w+)", _variable, re.sub(r"\$__file\{(.*?)\}", _content, part))
        for part in value.split("$$")
    )


def _content(found: re.Match[str]) -> str:
    try:
        return Path(found[1]).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{found[0]}: {error}") from error


def _variable(found: re.Match[str]) -> str:
    return os.environ.get(found[1] or found[2], "")


def provision_sources(database: Database, folder: str) -> None:
    for file in _files(folder, "datasources"):
        for gone in file.get("deleteDatasources") or []:
            database.rows("DELETE FROM data_source WHERE name = ?", gone["name"])
        for wish in file.get("datasources") or []:
            known = database.row("SELECT * FROM data_source WHERE uid = ? OR name = ?", wish.get("uid"), wish["name"])
            # A file says how things are: what it does not say is gone, secrets included.
            known = known and {**known, "secure": "{}"}
            version = int(wish.get("version") or (known["version"] if known else 1))
            save_source(database, known, wish, version, read_only=not wish.get("editable"))


def provision_dashboards(database: Database, folder: str) -> None:
    """Files of the providers; a folder of the provider's name is made for them."""
    for file in _files(folder, "dashboards"):
        for provider in file.get("providers") or []:
            root = Path(provider["options"]["path"])
            place = _folder(database, provider.get("folder") or "", provider.get("folderUid") or "")
            for path in sorted(root.rglob("*.json")):
                model = json.loads(path.read_text(encoding="utf-8"))
                known = database.row("SELECT * FROM dashboard WHERE uid = ?", model["uid"])
                if known is None:
                    insert(database, model, place, "Anonymous", "", provisioned=path.relative_to(root).as_posix())


def _folder(database: Database, title: str, uid: str) -> str:
    if not title:
        return ""
    known = database.row("SELECT uid FROM dashboard WHERE is_folder = 1 AND title = ?", title)
    if known:
        return str(known["uid"])
    model = {"title": title, "uid": uid or new_uid()}
    insert(database, model, "", "Anonymous", "", is_folder=1)
    return str(model["uid"])


def insert(
    database: Database, model: t.Mapping[str, t.Any], folder: str, user: str, message: str, **columns: t.Any
) -> int:
    """A dashboard, or a folder, and its first version."""
    with database.lock:
        number = database.insert(
            "dashboard",
            **{"is_folder": 0, **columns},
            uid=model["uid"],
            title=model["title"],
            slug=slug(model["title"]),
            folder_uid=folder,
            version=1,
            data=json.dumps(model),
            created=now(),
            updated=now(),
            created_by=user,
            updated_by=user,
        )
        add_version(database, number, 0, user, message, model)
        return number


def add_version(
    database: Database, number: int, parent: int, user: str, message: str, model: t.Mapping[str, t.Any]
) -> None:
    database.insert(
        "dashboard_version",
        dashboard_id=number,
        parent_version=parent,
        version=parent + 1,
        created=now(),
        created_by=user,
        message=message,
        data=json.dumps(model),
    )
