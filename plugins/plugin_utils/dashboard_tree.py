# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""A folder tree of dashboards on the control node: read and checked as a whole, and written by an export."""

from __future__ import annotations

import json
import os
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ansible.errors import AnsibleError

from ..module_utils._dashboards import clean, derived_uid, is_same, packed, problem_of_uid, slug

SUFFIX = ".json"
OURS = "opswatch"  # the owner of the collection's own dashboards
# What a file is that is no dashboard as this tree has them: top-level keys that give it away, and what to do.
FOREIGN = {
    ("apiVersion", "spec"): "a resource of Grafana's newer API. Export it as classic JSON",
    ("dashboard", "meta"): "an answer of Grafana's API. Keep only what is below `dashboard`",
    (
        "__inputs",
    ): "exported for other servers, so that its data sources are blanks. Export it with that turned off, or "
    "write UIDs of data sources in place of `${...}` and remove `__inputs`",
}


@dataclass
class Tree:
    """C(folders): path, title and parent of each; C(dashboards): file, path of its folder, and the model."""

    folders: list[dict[str, str]] = field(default_factory=list)
    dashboards: list[dict[str, t.Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def tree_owners(paths: t.Iterable[str]) -> dict[str, str]:
    """The owner of each tree of the user's, by its path: what its folder is called. Raises AnsibleError for twins."""
    owners = {path: os.path.basename(path.rstrip("/")) for path in paths}
    for path, owner in owners.items():
        twin = next((other for other in owners if other != path and owners[other] == owner), "")
        if twin or owner == OURS:
            raise AnsibleError(
                f"grafana_dashboards: {path} is called like {twin or 'the dashboards of the collection'}, so one would "
                "remove what belongs to the other. What to do: rename the folder."
            )
    return owners


def right_tree(root: Path) -> Tree:
    """One without a problem, or AnsibleError."""
    if not root.is_dir():
        raise AnsibleError(f"{root} is no folder. What to do: name the folder that holds the dashboards.")
    tree = read_tree(root)
    if tree.problems:
        count = "1 file is" if len(tree.problems) == 1 else f"{len(tree.problems)} files are"
        raise AnsibleError(
            f"Nothing was changed, as {count} not right:\n    "
            + "\n    ".join(tree.problems)
            + "\nWhat to do: correct what is said of each, then run again"
        )
    return tree


def packed_tree(tree: Tree) -> str:
    """As the host takes it."""
    return packed({"folders": tree.folders, "dashboards": tree.dashboards})


def read_tree(root: Path) -> Tree:
    """Everything below the folder. Every problem is found before anything is said."""
    tree = Tree()
    for current, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = Path(current).relative_to(root).as_posix()
        place = "" if place == "." else place
        for name in sorted(files):
            if name.endswith(SUFFIX) and not name.startswith("."):
                _read(tree, root, place, f"{place}/{name}".lstrip("/"))
    _add_folders(tree)
    _refuse_twins(tree)
    return tree


def _read(tree: Tree, root: Path, place: str, file: str) -> None:
    try:
        model = json.loads((root / file).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        tree.problems.append(f"{root / file}:{error.lineno}:{error.colno}: no JSON: {error.msg}")
        return
    except (OSError, UnicodeDecodeError) as error:
        tree.problems.append(f"{root / file}: cannot be read: {error}")
        return
    problem = _problem(model)
    if problem:
        tree.problems.append(f"{root / file}: {problem}")
        return
    model["uid"] = model.get("uid") or derived_uid(file.removesuffix(SUFFIX))
    tree.dashboards.append({"file": file, "folder": place, "model": model})


def _problem(model: t.Any) -> str:
    """Why this is no dashboard; empty if it is one."""
    if not isinstance(model, dict):
        return f"a dashboard is an object, and this is a {type(model).__name__}"
    for keys, remedy in FOREIGN.items():
        if all(model.get(key) for key in keys):
            return f"this is {remedy}"
    title = model.get("title")
    if not isinstance(title, str) or not title.strip():
        return "the dashboard has no title"
    if not isinstance(model.get("tags") or [], list):
        return "tags are a list"
    return problem_of_uid(model["uid"]) if model.get("uid") else ""


def _add_folders(tree: Tree) -> None:
    """Those with dashboards in them, and all above those."""
    places: set[str] = set()
    for dashboard in tree.dashboards:
        place = dashboard["folder"]
        while place:
            places.add(place)
            place = place.rpartition("/")[0]
    for place in sorted(places):
        parent, _slash, title = place.rpartition("/")
        tree.folders.append({"path": place, "title": title, "parent": parent})


def _refuse_twins(tree: Tree) -> None:
    """Two files with one UID overwrite each other; two of one title in a folder are refused by Grafana."""
    uids, titles = defaultdict(list), defaultdict(list)
    for dashboard in tree.dashboards:
        uids[dashboard["model"]["uid"]].append(dashboard["file"])
        titles[dashboard["folder"], slug(dashboard["model"]["title"])].append(dashboard["file"])
    for uid, files in uids.items():
        if len(files) > 1:
            tree.problems.append(f"{', '.join(files)}: the same UID {uid}. Give each its own, or none")
    for files in titles.values():
        if len(files) > 1:
            tree.problems.append(f"{', '.join(files)}: titles in one folder that differ in case and signs at most")


# --- the other way ---


@dataclass(frozen=True)
class Export:
    """One file that an export writes."""

    file: str
    before: dict[str, t.Any] | None
    after: dict[str, t.Any]

    @property
    def text(self) -> str:
        return json.dumps(self.after, indent=2, ensure_ascii=False) + "\n"


def plan_export(tree: Tree, exported: t.Iterable[t.Mapping[str, t.Any]]) -> list[Export]:
    """Which files of the tree differ from what the server has. C(exported): model, and titles of the folders above it.

    A dashboard that has a file keeps it, whatever its name; one that is equal in content leaves it untouched.
    """
    present = {dashboard["model"]["uid"]: dashboard for dashboard in tree.dashboards}
    taken = {dashboard["file"] for dashboard in present.values()}
    wanted = []
    for found in sorted(exported, key=lambda one: str(one["model"]["uid"])):
        model = clean(found["model"])
        known = present.get(model["uid"])
        file = known["file"] if known else _free_name(model, found["folders"], taken)
        taken.add(file)
        if known and is_same(known["model"], model):
            continue
        wanted.append(Export(file, known and known["model"], model))
    return sorted(wanted, key=lambda one: one.file)


def _free_name(model: t.Mapping[str, t.Any], folders: t.Sequence[str], taken: set[str]) -> str:
    name = "/".join(_file_name(part) for part in (*folders, str(model["title"])))
    return f"{name}-{model['uid']}{SUFFIX}" if name + SUFFIX in taken else name + SUFFIX


def _file_name(title: str) -> str:
    """A title as the name of a file: as it is, but for what no file system or this tree takes."""
    name = "".join("-" if char in "/\\\0" or ord(char) < 32 else char for char in title.strip())
    return name.lstrip(".") or "-"
