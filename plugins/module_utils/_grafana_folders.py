# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Folders of Grafana, nested from version 11 on."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._errors import ComponentError
from ._http import ApiError

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
    try:
        grafana.post("/api/folders", body)
    except ApiError as error:
        # Its answer was lost and it was asked again, or another run was first.
        found = grafana.find(f"/api/folders/{folder.uid}") if error.status in (409, 412) else None
        if found is None or found["title"] != folder.title:
            raise


def rename_folder(grafana: Grafana, folder: Folder) -> None:
    """With the version that it has now: a change by somebody else in the meantime is refused with 412."""
    version = grafana.get(f"/api/folders/{folder.uid}")["version"]
    grafana.put(f"/api/folders/{folder.uid}", {"title": folder.title, "version": version})


def move_folder(grafana: Grafana, folder: Folder) -> None:
    grafana.post(f"/api/folders/{folder.uid}/move", {"parentUid": folder.parent})


def delete_folder(grafana: Grafana, uid: str) -> None:
    grafana.delete(f"/api/folders/{uid}")


def missing_folder(uid: str) -> ComponentError:
    return ComponentError(
        f"there is no folder with the UID {uid} on the server",
        "",
        "make it first, with opswatch.monitoring.grafana_folder",
    )


def refuse_nesting(grafana: Grafana, name: str) -> None:
    if not grafana.has_nested_folders:
        raise ComponentError(
            f"the folder {name} would be inside another one",
            f"this is Grafana {'.'.join(map(str, grafana.version))}",
            "Grafana nests folders from version 11 on: use one level of folders, and no folder around them",
        )
