# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of dashboards on the control node: read, refused, and written by an export."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_tree import Tree, plan_export, read_tree


def tree_of(root: Path, files: t.Mapping[str, t.Any]) -> Tree:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_tree(root)


def test_folders_come_from_folders(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        {
            "root.json": {"title": "Root", "uid": "r"},
            "shop/db/slow.json": {"title": "Slow"},
            "shop/.hidden.json": "{",
            ".git/x.json": "{",
            "empty/README.md": "nothing",
        },
    )
    assert tree.problems == []
    assert [(one["path"], one["title"], one["parent"]) for one in tree.folders] == [
        ("shop", "shop", ""),
        ("shop/db", "db", "shop"),
    ]
    assert [(one["file"], one["folder"]) for one in tree.dashboards] == [
        ("root.json", ""),
        ("shop/db/slow.json", "shop/db"),
    ]


def test_uid_is_kept_or_derived(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"a.json": {"title": "A", "uid": "mine"}, "b/c.json": {"title": "C"}})
    assert tree.dashboards[0]["model"]["uid"] == "mine"
    assert tree.dashboards[1]["model"]["uid"].startswith("b-c-")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"title": "A",\n "panels": [,]}', "a.json:2:13: no JSON: Expecting value"),
        ("", "a.json:1:1: no JSON"),
        ([1], "a dashboard is an object, and this is a list"),
        ({"panels": []}, "the dashboard has no title"),
        ({"title": " "}, "the dashboard has no title"),
        ({"title": "A", "uid": "a b"}, "other characters"),
        ({"title": "A", "tags": "x"}, "tags are a list"),
        ({"title": "A", "__inputs": [{"name": "DS"}]}, "exported for other servers"),
        ({"apiVersion": "dashboard.grafana.app/v2", "kind": "Dashboard", "spec": {"title": "A"}}, "newer API"),
        ({"meta": {"x": 1}, "dashboard": {"title": "A"}}, "an answer of Grafana's API"),
    ],
)
def test_what_is_no_dashboard(tmp_path: Path, content: t.Any, said: str) -> None:
    (problem,) = tree_of(tmp_path, {"a.json": content}).problems
    assert problem.startswith(f"{tmp_path}/a.json")
    assert said in problem


def test_all_problems_at_once(tmp_path: Path) -> None:
    files = {
        "a.json": "{",
        "b.json": "[",
        "c.json": {"title": "C", "uid": "same"},
        "d.json": {"title": "D", "uid": "same"},
    }
    problems = tree_of(tmp_path, files).problems
    assert len(problems) == 3
    assert problems[2] == "c.json, d.json: the same UID same. Give each its own, or none"


def test_twins_by_title(tmp_path: Path) -> None:
    files = {"a.json": {"title": "Same"}, "b.json": {"title": "same"}, "x/a.json": {"title": "Same"}}
    assert tree_of(tmp_path, files).problems == [
        "a.json, b.json: titles in one folder that differ in case and signs at most"
    ]


# --- the other way ---


def exported(uid: str, title: str, *folders: str, **more: t.Any) -> dict[str, t.Any]:
    return {"model": {"id": 5, "version": 9, "uid": uid, "title": title, **more}, "folders": list(folders)}


def test_export_names_files_by_title(tmp_path: Path) -> None:
    files = plan_export(
        Tree(), [exported("a", "CPU/Memory", "Shop"), exported("b", "CPU-Memory", "Shop"), exported("c", "..x")]
    )
    assert [file.file for file in files] == ["Shop/CPU-Memory-b.json", "Shop/CPU-Memory.json", "x.json"]
    assert all(file.before is None for file in files)
    assert json.loads(files[1].text) == {"uid": "a", "title": "CPU/Memory"}


def test_export_keeps_file_of_a_known_dashboard(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path, {"own/name.json": {"title": "A", "uid": "a"}, "same.json": {"uid": "b", "title": "B", "x": 1}}
    )
    found = plan_export(tree, [exported("a", "A", "Elsewhere", new=1), exported("b", "B", x=1)])
    assert [(file.file, file.after["title"]) for file in found] == [("own/name.json", "A")]


def test_exported_tree_reads_back_as_it_was(tmp_path: Path) -> None:
    wanted = [exported("a", "A", "Shop", "Deep", panels=[{"title": "ä"}]), exported("b", "B")]
    for file in plan_export(Tree(), wanted):
        (tmp_path / file.file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.file).write_text(file.text)
    tree = read_tree(tmp_path)
    assert tree.problems == []
    assert plan_export(tree, wanted) == []
    assert [one["folder"] for one in tree.dashboards] == ["", "Shop/Deep"]
