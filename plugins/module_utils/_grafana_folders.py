# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Folders of Grafana, nested from version 11 on."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from ._grafana_api import Grafana


@dataclass(frozen=True)
class Folder:
    uid: str
    title: str
    parent: str = ""  # UID, empty for the root


def child_of(folders: t.Iterable[Folder], parent: str, title: str) -> Folder | None:
    """The folder of that title in the parent."""
    return next((one for one in folders if one.parent == parent and one.title == title), None)


def create_folder(grafana: Grafana, folder: Folder) -> None:
    body = {"uid": folder.uid, "title": folder.title}
    if folder.parent:
        body["parentUid"] = folder.parent
    grafana.post("/api/folders", body)


def rename_folder(grafana: Grafana, folder: Folder) -> None:
    """With the version that it has now: a change by somebody else in the meantime is refused with 412."""
    version = grafana.get(f"/api/folders/{folder.uid}")["version"]
    grafana.put(f"/api/folders/{folder.uid}", {"title": folder.title, "version": version})


def move_folder(grafana: Grafana, folder: Folder) -> None:
    grafana.post(f"/api/folders/{folder.uid}/move", {"parentUid": folder.parent})


def delete_folder(grafana: Grafana, uid: str) -> None:
    grafana.delete(f"/api/folders/{uid}")
