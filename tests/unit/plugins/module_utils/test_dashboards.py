# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes dashboards the same, what has to be done, and how it reads: tables."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboards import (
    SHOWN_LINES,
    Listed,
    Plan,
    Read,
    Wanted,
    derived_uid,
    difference,
    is_same,
    message_for,
    owned,
    packed,
    plan,
    problem_of_uid,
    unpacked,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError

MODEL: dict[str, t.Any] = {
    "uid": "a",
    "title": "A",
    "panels": [{"title": "CPU", "targets": [{"refId": "A", "expr": "x"}]}],
}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"id": 1, "version": 3}, {"id": None}, True),
        ({"x": 1, "y": [1, 2]}, {"y": [1, 2], "x": 1}, True),
        ({"x": 1.0}, {"x": 1}, True),
        ({"x": 1.5}, {"x": 1}, False),
        ({"x": True}, {"x": 1}, False),
        ({"x": [1, 2]}, {"x": [2, 1]}, False),
        ({"x": None}, {}, False),
        ({"x": {"id": 1}}, {"x": {"id": 2}}, False),
        ({"x": "ä<&"}, {"x": "ä\u003c\u0026"}, True),
    ],
)
def test_same(one: t.Any, other: t.Any, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(other, one) is same


def test_uids_are_derived() -> None:
    assert derived_uid("shop/Node overview").startswith("shop-node-overview-")
    assert derived_uid("a/b") != derived_uid("a-b")
    for path in ("x" * 100, "ä/ö", "日本", "a/b c"):
        assert problem_of_uid(derived_uid(path)) == "", path
        assert derived_uid(path) == derived_uid(path)


@pytest.mark.parametrize(
    ("uid", "said"), [("a b", "other characters"), (7, "other characters"), ("x" * 41, "longer than 40")]
)
def test_uids_that_grafana_refuses(uid: t.Any, said: str) -> None:
    assert said in problem_of_uid(uid)


def test_mark_of_an_owner() -> None:
    assert owned({"tags": ["x", "managed:old"]}, "new")["tags"] == ["x", "managed:new"]
    assert owned({"tags": ["x"]}, "") == {"tags": ["x"]}


# --- the plan ---


def want(uid: str, title: str = "", folder: str = "f", **more: t.Any) -> Wanted:
    return Wanted(f"{uid}.json", folder, {"uid": uid, "title": title or uid, **more})


def have(uid: str, title: str = "", folder: str = "f", *tags: str) -> Listed:
    return Listed(uid, title or uid, folder, tags)


def as_read(one: Wanted, folder: str = "", **more: t.Any) -> Read:
    return Read({**one.model, "id": 7, "version": 3}, folder or one.folder, 3, **more)


def planned(wanted: list[Wanted], listed: list[Listed], **more: t.Any) -> Plan:
    read = more.pop("read", {one.uid: as_read(one) for one in wanted if one.uid in {known.uid for known in listed}})
    return plan(wanted, listed, read, more.pop("folders", {}), **more)


def uids(found: t.Iterable[Wanted | Listed]) -> list[str]:
    return [one.uid for one in found]


def test_nothing_to_do() -> None:
    found = planned([want("a"), want("b")], [have("a"), have("b"), have("other")])
    assert (found.writes, found.deletions, uids(found.unchanged)) == ([], [], ["a", "b"])


@pytest.mark.parametrize(
    "read",
    [
        {"a": Read({"uid": "a", "title": "a", "panels": [1]}, "f", 3)},  # other content
        {"a": as_read(want("a"), folder="elsewhere")},
        {"a": Read(None, "f", 0)},  # in the newer schema
        {"a": Read({"uid": "a"}, "f", 3, message="opswatch.monitoring 0123456789abcdef")},  # from other content
        {},
    ],
)
def test_one_that_differs_is_written(read: dict[str, Read]) -> None:
    assert uids(planned([want("a")], [have("a")], read=read).writes) == ["a"]


def test_what_the_server_rewrote_is_known_by_its_message() -> None:
    one = want("a")
    read = {"a": Read({"uid": "a", "schemaVersion": 99}, "f", 3, message=message_for(one))}
    assert planned([one], [have("a")], read=read).writes == []
    assert uids(planned([want("a", panels=[1])], [have("a")], read=read).writes) == ["a"]


@pytest.mark.parametrize(
    ("owner", "prune", "gone"),
    [("me", True, ["old"]), ("me", False, []), ("you", True, ["theirs"]), ("nobody", True, [])],
)
def test_prune_takes_what_it_owns(owner: str, prune: bool, gone: list[str]) -> None:
    listed = [
        have("a", "", "f"),
        have("old", "", "f", "managed:me"),
        have("theirs", "", "f", "managed:you"),
        have("plain"),
    ]
    assert uids(planned([want("a")], listed, owner=owner, prune=prune).deletions) == gone


def test_title_of_one_that_goes_is_free() -> None:
    found = planned([want("new", "Shop")], [have("old", "Shop", "f", "managed:me")], owner="me", prune=True)
    assert (uids(found.first), uids(found.writes), found.last) == (["old"], ["new"], [])


def test_title_that_moves_on_is_free_in_time() -> None:
    listed = [have("a", "One"), have("b", "Two")]
    read = {uid: Read({"uid": uid}, "f", 1) for uid in "ab"}
    found = planned([want("a", "Two"), want("b", "Three"), want("c", "One")], listed, read=read)
    assert uids(found.writes) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("wanted", "listed", "more", "said"),
    [
        ([want("a", "Shop")], [have("x", "Shop")], {}, "another dashboard of that folder is called Shop too: x"),
        ([want("a", "Shop A/B")], [have("x", "shop a b")], {}, "called Shop A/B too"),
        (
            [want("a", "Two"), want("b", "One")],
            [have("a", "One"), have("b", "Two")],
            {"read": {uid: Read({"uid": uid}, "f", 1) for uid in "ab"}},
            "called Two too: b",
        ),
        ([want("a")], [], {"folders": {"a": "Folder"}}, "the UID a is that of a folder"),
        ([want("a", "Shop")], [], {"folders": {"f": "shop"}}, "a folder is called Shop too"),
        (
            [want("a")],
            [have("a")],
            {"read": {"a": as_read(want("a"), provisioned="shop/a.json")}},
            "provisioned by the server itself, from shop/a.json",
        ),
        ([want("a")], [have("a", "", "f", "managed:you")], {"owner": "me"}, "belongs to another owner: you"),
    ],
)
def test_clashes(wanted: list[Wanted], listed: list[Listed], more: dict[str, t.Any], said: str) -> None:
    with pytest.raises(ComponentError, match="nothing was changed") as error:
        planned(wanted, listed, **more)
    assert said in str(error.value)
    assert "a.json" in str(error.value)


def test_all_clashes_are_said_at_once() -> None:
    with pytest.raises(ComponentError) as error:
        planned([want("a", "A"), want("b", "B")], [have("x", "A"), have("y", "B")])
    assert "a.json" in str(error.value)
    assert "b.json" in str(error.value)


def test_names_of_folders_are_free_from_version_11_on() -> None:
    found = planned([want("a", "Shop")], [], folders={"f": "Shop"}, names_of_folders=False)
    assert uids(found.writes) == ["a"]


def test_equal_titles_in_other_folders_are_no_clash() -> None:
    assert uids(planned([want("a", "Shop", "f")], [have("x", "Shop", "g")]).writes) == ["a"]


# --- how it reads ---


def test_difference_names_the_way() -> None:
    other = {**MODEL, "panels": [{"title": "CPU", "targets": [{"refId": "A", "expr": "y"}]}], "id": 9, "version": 4}
    assert difference(MODEL, other) == (
        'panels[CPU].targets[A].expr: "x"\n',
        'panels[CPU].targets[A].expr: "y"\n',
    )


def test_panel_in_front_does_not_change_those_after_it() -> None:
    before, after = difference(MODEL, {**MODEL, "panels": [{"title": "New"}, *MODEL["panels"]]})
    assert (before, after) == ("", 'panels[New].title: "New"\n')


def test_equal_names_are_counted() -> None:
    panels = [{"title": "CPU", "x": 1}, {"title": "CPU", "x": 2}]
    assert (
        difference({"panels": panels}, {"panels": [panels[0], {"title": "CPU", "x": 3}]})[1] == "panels[CPU #2].x: 3\n"
    )


def test_difference_stays_short() -> None:
    before, after = difference({"x": list(range(100))}, {"x": list(range(100, 200))})
    assert len(before.splitlines()) == SHOWN_LINES + 1
    assert after.endswith("(and 60 more)\n")


def test_new_and_gone_are_summaries() -> None:
    assert difference(None, MODEL) == ("", "title: A\nuid: a\npanels: 1\n")
    assert difference(MODEL, None) == ("title: A\nuid: a\npanels: 1\n", "")


def test_packed_and_unpacked() -> None:
    data = {"folders": [], "dashboards": [{"model": {"title": "ä", "x": 1.5, "y": None}}]}
    assert unpacked(packed(data)) == data
