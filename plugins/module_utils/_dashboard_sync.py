# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Brings a tree of dashboards to a Grafana, and back from it."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ._dashboards import (
    Listed,
    Plan,
    Read,
    Wanted,
    clean,
    derived_uid,
    difference,
    is_current,
    is_same,
    message_for,
    owned,
    plan,
)
from ._errors import ComponentError
from ._grafana_folders import (
    Folder,
    child_of,
    create_folder,
    delete_folder,
    missing_folder,
    refuse_nesting,
    rename_folder,
)
from ._http import ApiError

if t.TYPE_CHECKING:
    from ._grafana_api import Grafana

READERS = 8
PAGE = 5000
# What Grafana answers to the classic address of a dashboard that it keeps in its newer schema.
OTHER_SCHEMA = 406
# And to the deletion of a folder that holds what this module does not know, such as alert rules or library panels.
IN_USE = (400, 403)
# And to that of a dashboard that comes from a file of the server.
PROVISIONED = 400


@dataclass
class Server:
    """What one listing of the server says."""

    folders: dict[str, Folder] = field(default_factory=dict)
    dashboards: list[Listed] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # UIDs of the folders in which a tree has its place

    def name(self, folder: str) -> str:
        return self.folders[folder].title if folder in self.folders else "the root"


def look(grafana: Grafana) -> Server:
    """All folders and dashboards. The first request with a login, so it is made alone."""
    server = Server()
    page = 1
    while True:
        found = grafana.get("/api/search", {"limit": PAGE, "page": page})
        for one in found:
            parent = _folder(one)
            if one["type"] == "dash-folder":
                server.folders[one["uid"]] = Folder(one["uid"], one["title"], parent)
            else:
                server.dashboards.append(Listed(one["uid"], one["title"], parent, tuple(one.get("tags") or ())))
        if len(found) < PAGE:
            return server
        page += 1


def is_empty(grafana: Grafana, folder: str) -> bool:
    """Asked anew: whatever is in a folder goes with it."""
    server = look(grafana)
    return folder not in {one.folder for one in server.dashboards} | {one.parent for one in server.folders.values()}


def read_one(grafana: Grafana, uid: str) -> Read:
    try:
        return _read(grafana.get(f"/api/dashboards/uid/{uid}"))
    except ApiError as error:
        if error.status == OTHER_SCHEMA:
            return Read(None, "", 0)
        raise


def _read(answer: t.Mapping[str, t.Any]) -> Read:
    meta = answer["meta"]
    file = (meta.get("provisionedExternalId") or "a file") if meta.get("provisioned") else ""
    return Read(answer["dashboard"], _folder(meta), int(meta.get("version") or 0), file)


def _folder(found: t.Mapping[str, t.Any]) -> str:
    """UID of the folder; the root has none, or a name of its own."""
    uid = str(found.get("folderUid") or "")
    return "" if uid == "general" else uid


def _message(grafana: Grafana, uid: str, version: int) -> str:
    """What was said when this version was saved. Not the listing of versions: it has its own text for the first."""
    found = grafana.find(f"/api/dashboards/uid/{uid}/versions/{version}")
    return str((found or {}).get("message") or "")


def read_all(grafana: Grafana, uids: t.Iterable[str]) -> dict[str, Read]:
    uids = list(uids)
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(uids, pool.map(lambda uid: read_one(grafana, uid), uids)))


def read_wanted(grafana: Grafana, wanted: t.Sequence[Wanted], listed: t.Sequence[Listed]) -> dict[str, Read]:
    """Those of the tree that are there; with the message of their version where their content is another."""
    present = {one.uid for one in listed}

    def read(one: Wanted) -> Read:
        found = read_one(grafana, one.uid)
        if found.model is None or found.provisioned:
            return found
        if is_same(found.model, one.model):
            return replace(found, is_equal=True)
        return replace(found, message=_message(grafana, one.uid, found.version))

    to_read = [one for one in wanted if one.uid in present]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip((one.uid for one in to_read), pool.map(read, to_read)))


@dataclass
class Outcome:
    """What was done, or would be."""

    actions: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unchanged: int = 0

    def note(self, action: str, name: str, before: str, after: str) -> None:
        self.actions.append(action)
        self.diff.append({"before_header": name, "after_header": name, "before": before, "after": after})

    def note_folder(self, verb: str, name: str, before: str, after: str) -> None:
        texts = [f"title: {title}\n" if title else "" for title in (before, after)]
        self.note(f"{verb} folder {name}", f"folder {name}", texts[0], texts[1])


class Sync:
    """One tree. C(check): find out everything, write nothing."""

    def __init__(self, grafana: Grafana, root: str, owner: str, prune: bool, check: bool) -> None:
        self.grafana = grafana
        self.root = root
        self.owner = owner
        self.prune = prune
        self.check = check
        self.outcome = Outcome()
        self._new: list[tuple[Folder, str]] = []
        self._wanted: list[Wanted] = []
        self._found: dict[str, Read] = {}
        self._todo = Plan()

    def run(self, folders: t.Sequence[t.Mapping[str, str]], dashboards: t.Sequence[t.Mapping[str, t.Any]]) -> Outcome:
        """C(folders), C(dashboards): as C(plugin_utils/dashboard_tree.py) describes them."""
        run_all([(self, {"folders": folders, "dashboards": dashboards})])
        return self.outcome

    def read(self, tree: t.Mapping[str, t.Any], server: Server) -> None:
        """Where everything belongs, and what of it is there. The listing has the folders to come from here on."""
        if self.root and self.root not in server.folders:
            raise missing_folder(self.root)
        places, self._new = self._places(tree["folders"], server)
        server.folders.update({folder.uid: folder for folder, _earlier in self._new})
        server.used |= set(places.values())
        self._wanted = [
            Wanted(str(one["file"]), places[one["folder"]], owned(clean(one["model"]), self.owner))
            for one in tree["dashboards"]
        ]
        self._found = read_wanted(self.grafana, self._wanted, server.dashboards)

    def uids(self) -> set[str]:
        return {one.uid for one in self._wanted}

    def hand_over(self, server: Server, wanted: t.Collection[str]) -> None:
        """What has moved to another tree is nobody's until that one writes it. Deleted, it would lose its history."""
        moved = set(wanted) - self.uids()
        server.dashboards = [one.without(self.owner) if one.uid in moved else one for one in server.dashboards]

    def plan(self, server: Server) -> None:
        """What is to be done. The listing is from here on as it will be then: the next tree goes by it."""
        titles = {uid: folder.title for uid, folder in server.folders.items()}
        is_old = self.grafana.version < (11,)
        listed = server.dashboards
        todo = plan(self._wanted, listed, self._found, titles, self.owner, self.prune, names_of_folders=is_old)
        self._todo = todo
        self.outcome.unchanged = len(todo.unchanged)
        passing = {one.uid for one in (*todo.deletions, *todo.writes)}
        server.dashboards = [one for one in listed if one.uid not in passing] + [one.listed() for one in todo.writes]

    def write(self, server: Server) -> None:
        """One after the other: SQLite, which most servers have, has one writer, and lets the others fail."""
        for folder, earlier in self._new:
            self.outcome.note_folder("renamed" if earlier else "created", folder.title, earlier, folder.title)
            if not self.check:
                (rename_folder if earlier else create_folder)(self.grafana, folder)
        for gone in self._todo.first:
            self._delete(gone, server)
        for one in self._todo.writes:
            found = self._found.get(one.uid)
            if not self.check:
                self._save(one, found)
            self._note_written(one, found, server)
        for gone in self._todo.last:
            self._delete(gone, server)

    def _places(
        self, folders: t.Sequence[t.Mapping[str, str]], server: Server
    ) -> tuple[dict[str, str], list[tuple[Folder, str]]]:
        """UID by path in the tree, and the folders that are to be made. One of that title is taken as it is."""
        places = {"": self.root}
        new: list[tuple[Folder, str]] = []
        for one in folders:  # sorted by path: a parent comes before its children
            parent = places[one["parent"]]
            if parent:
                refuse_nesting(self.grafana, one["path"])
            uid = self._uid_of_folder(one["path"])
            found = server.folders.get(uid) or child_of(server.folders.values(), parent, one["title"])
            places[one["path"]] = found.uid if found else uid
            wish = Folder(places[one["path"]], one["title"], parent)
            if found is None:
                new.append((wish, ""))
            elif found.title != wish.title:
                new.append((wish, found.title))
        return places, new

    def _uid_of_folder(self, path: str) -> str:
        return derived_uid(f"{self.root}/{path}".lstrip("/"))

    def _note_written(self, one: Wanted, earlier: Read | None, server: Server) -> None:
        name = f"{one.file} ({one.title})"
        if earlier is None:
            self.outcome.created.append(one.uid)
            self.outcome.note(f"created {name} in {server.name(one.folder)}", name, *difference(None, one.model))
            return
        self.outcome.updated.append(one.uid)
        before, after = difference(earlier.model or {}, one.model)
        if earlier.model is None:
            before, after = "schema: one of Grafana's newer API\n", "schema: classic\n"
        elif earlier.folder != one.folder:
            before = f"folder: {server.name(earlier.folder)}\n{before}"
            after = f"folder: {server.name(one.folder)}\n{after}"
        self.outcome.note(f"updated {name}", name, before, after)

    def _save(self, one: Wanted, earlier: Read | None) -> None:
        body: dict[str, t.Any] = {
            "dashboard": dict(one.model),
            "folderUid": one.folder,
            "message": message_for(one),
            "overwrite": False,
        }
        if earlier is not None and earlier.model is None:
            body["overwrite"] = True  # its version could not be read
        elif earlier is not None:
            # What somebody saved since it was read is not overwritten: the server refuses with 412.
            body["dashboard"]["version"] = earlier.version
        try:
            self.grafana.post("/api/dashboards/db", body)
        except ApiError as error:
            if error.status == 412 and self._was_saved(one):
                return
            raise ComponentError(f"{one.file} ({one.uid}): {error.what}", error.seen, error.remedy) from error

    def _was_saved(self, one: Wanted) -> bool:
        """A write whose answer was lost is refused when it is asked again, or another run was first with it."""
        found = self.grafana.find(f"/api/dashboards/uid/{one.uid}")
        return found is not None and is_current(one, _read(found))

    def _delete(self, one: Listed, server: Server) -> None:
        if not self.check:
            try:
                self.grafana.delete(f"/api/dashboards/uid/{one.uid}")
            except ApiError as error:
                if error.status == PROVISIONED:
                    self.outcome.actions.append(f"left {one.title}: {error.seen}")
                    return
                if error.status != 404:  # somebody was faster
                    raise
        self.outcome.deleted.append(one.uid)
        before = f"title: {one.title}\nuid: {one.uid}\n"
        action = f"deleted {one.title} from {server.name(one.folder)}"
        self.outcome.note(action, f"{one.title} ({one.uid})", before, "")

    def prune_folders(self, server: Server) -> None:
        """Folders that an earlier run made for its tree, as their UID tells, and that hold nothing any more."""
        held = server.used | {one.folder for one in server.dashboards}
        ways = {uid: _way(uid, self.root, server.folders) for uid in server.folders}
        # The deepest first: then one that held but empty folders is empty too.
        for uid in sorted(ways, key=lambda uid: -len(ways[uid] or [])):
            way, folder = ways[uid], server.folders[uid]
            is_ours = bool(way) and uid == self._uid_of_folder("/".join(way or []))
            if not is_ours or uid in held or uid in {one.parent for one in server.folders.values()}:
                continue
            del server.folders[uid]
            if refusal := "" if self.check else self._delete_folder(uid):
                self.outcome.actions.append(f"left the folder {folder.title}: {refusal}")
                continue
            self.outcome.note_folder("deleted", folder.title, folder.title, "")

    def _delete_folder(self, uid: str) -> str:
        """Why it stays; empty where it is gone."""
        if not is_empty(self.grafana, uid):
            return "something has come into it"
        try:
            delete_folder(self.grafana, uid)
        except ApiError as error:
            if error.status not in IN_USE:
                raise
            return error.seen
        return ""


def run_all(trees: t.Sequence[tuple[Sync, t.Mapping[str, t.Any]]]) -> None:
    """Trees of one server, by one listing: each is planned, and knows of the others, before the first write."""
    if not trees:
        return
    server = look(trees[0][0].grafana)
    for sync, tree in trees:
        sync.read(tree, server)
    wanted = {uid for sync, _tree in trees for uid in sync.uids()}
    for sync, _tree in trees:
        sync.hand_over(server, wanted)
    for sync, _tree in trees:
        sync.plan(server)
    for sync, _tree in trees:
        sync.write(server)
    for sync, _tree in trees:
        if sync.prune:
            sync.prune_folders(server)


# --- the other way ---


def export(grafana: Grafana, root: str, owner: str) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Models with the titles of the folders above them; and the UIDs of those that have no classic JSON."""
    server = look(grafana)
    if root and root not in server.folders:
        raise missing_folder(root)
    ways = {one.uid: _way(one.folder, root, server.folders) for one in server.dashboards}
    chosen = [one for one in server.dashboards if ways[one.uid] is not None and (not owner or owner in one.owners())]
    read = read_all(grafana, [one.uid for one in chosen])
    found, skipped = [], []
    for one in chosen:
        model = read[one.uid].model
        if model is None:
            skipped.append(one.uid)
        else:
            found.append({"model": without_mark(model, owner), "folders": ways[one.uid]})
    return found, skipped


def _way(folder: str, root: str, folders: t.Mapping[str, Folder]) -> list[str] | None:
    """Titles from the root of the tree down to the folder; None if it is not below the root."""
    titles: list[str] = []
    while folder != root:
        if folder not in folders:
            return None
        titles.insert(0, folders[folder].title)
        folder = folders[folder].parent
    return titles


def without_mark(model: t.Mapping[str, t.Any], owner: str) -> dict[str, t.Any]:
    marked = owned({**model, "tags": []}, owner)["tags"] if owner else []
    model = clean(model)
    if marked:
        model["tags"] = [tag for tag in model.get("tags") or [] if tag not in marked]
    return model
