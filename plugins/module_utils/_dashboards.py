# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Dashboards: what makes two of them the same, what has to be done to a server, how a change reads. All pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import typing as t
import unicodedata
import zlib
from collections import defaultdict
from dataclasses import dataclass, field, replace

from ._errors import ComponentError

# What the server counts or numbers by itself; not part of what somebody drew.
COUNTED = ("id", "version")
OWNER_TAG = "managed:"
LONGEST_UID = 40
SHOWN_LINES = 40


def clean(model: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The dashboard without what the server counts."""
    return {key: value for key, value in model.items() if key not in COUNTED}


def canonical(value: t.Any) -> t.Any:
    """Numbers as JSON sees them: 1.0 and 1 are one number, true and 1 are not."""
    if isinstance(value, dict):
        return {key: canonical(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: t.Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def is_same(one: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> bool:
    """Whether two dashboards have the same content."""
    one, other = clean(one), clean(other)
    # The first comparison is quick but takes true for 1. Then texts decide, at last with numbers as JSON has them.
    return one == other and (_text(one) == _text(other) or _text(canonical(one)) == _text(canonical(other)))


def digest(model: t.Mapping[str, t.Any]) -> str:
    return hashlib.sha256(_text(canonical(clean(model))).encode()).hexdigest()[:16]


def derived_uid(path: str) -> str:
    """A UID out of the path in the tree: readable, always the same, never that of another path."""
    slug = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[: LONGEST_UID - 9].strip("-")
    return f"{slug}-{hashlib.sha256(path.encode()).hexdigest()[:8]}".lstrip("-")


def slug(title: str) -> str:
    """The title as it stands in an address. Up to version 10 Grafana takes two of one slug for two of one name."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or title


def problem_of_uid(uid: t.Any) -> str:
    """Why Grafana would not take the UID; empty if it would."""
    if not isinstance(uid, str) or not re.fullmatch(r"[a-zA-Z0-9_-]+", uid):
        return f"the UID {uid!r} has other characters than letters, digits, - and _"
    return f"the UID {uid} is longer than {LONGEST_UID} characters" if len(uid) > LONGEST_UID else ""


def owned(model: t.Mapping[str, t.Any], owner: str) -> dict[str, t.Any]:
    """The dashboard with the mark of its owner, a tag: it is seen in a listing, and by people before they edit."""
    if not owner:
        return dict(model)
    tags = [tag for tag in model.get("tags") or [] if not str(tag).startswith(OWNER_TAG)]
    return {**model, "tags": [*tags, OWNER_TAG + owner]}


# --- what has to be done ---


@dataclass(frozen=True)
class Wanted:
    """A dashboard of the tree, as the server is to have it."""

    file: str
    folder: str  # UID, empty for the root
    model: t.Mapping[str, t.Any]

    @property
    def uid(self) -> str:
        return str(self.model["uid"])

    @property
    def title(self) -> str:
        return str(self.model["title"]).strip()

    @property
    def place(self) -> tuple[str, str]:
        return (self.folder, slug(self.title))

    def listed(self) -> Listed:
        """As the listing has it once it is written."""
        return Listed(self.uid, self.title, self.folder, tuple(self.model.get("tags") or ()))


@dataclass(frozen=True)
class Listed:
    """A dashboard as the listing of the server has it."""

    uid: str
    title: str
    folder: str
    tags: t.Sequence[str] = ()

    @property
    def place(self) -> tuple[str, str]:
        return (self.folder, slug(self.title))

    def without(self, owner: str) -> Listed:
        return replace(self, tags=[tag for tag in self.tags if tag != OWNER_TAG + owner])

    def owners(self) -> set[str]:
        return {tag[len(OWNER_TAG) :] for tag in self.tags if tag.startswith(OWNER_TAG)}


@dataclass(frozen=True)
class Read:
    """A dashboard as the server has it. C(model) is None where it keeps it in a format that is not the classic one."""

    model: t.Mapping[str, t.Any] | None
    folder: str
    version: int
    provisioned: str = ""  # the file that it comes from
    message: str = ""  # what was said when this version was saved
    is_equal: bool = False  # known already to have the wanted content


@dataclass
class Plan:
    """C(first): deletions that free a title. C(writes) are in an order in which each finds its title free."""

    first: list[Listed] = field(default_factory=list)
    writes: list[Wanted] = field(default_factory=list)
    last: list[Listed] = field(default_factory=list)
    unchanged: list[Wanted] = field(default_factory=list)

    @property
    def deletions(self) -> list[Listed]:
        return [*self.first, *self.last]


def message_for(wanted: Wanted) -> str:
    """Said with each version that is saved: who did it, and from what."""
    return f"opswatch.monitoring {digest(wanted.model)}"


def is_current(wanted: Wanted, read: Read) -> bool:
    """Whether the server has it: in content, or in a form of its own made from just this content.

    Newer servers move dashboards to their own schema, so that what comes back is not what was sent. Then the message
    of the version in force tells: whoever edits a dashboard makes a version with another message.
    """
    if read.folder != wanted.folder:
        return False
    if read.is_equal or (read.model is not None and is_same(read.model, wanted.model)):
        return True
    return bool(read.message) and read.message == message_for(wanted)


def plan(
    wanted: t.Sequence[Wanted],
    listed: t.Sequence[Listed],
    read: t.Mapping[str, Read],
    folders: t.Mapping[str, str],
    owner: str = "",
    prune: bool = False,
    names_of_folders: bool = True,
) -> Plan:
    """What has to be done; every clash at once as one error, so before the first write.

    C(folders): title by UID of those on the server and those to come. C(names_of_folders): the server refuses a
    dashboard that is called like any of them.
    """
    uids = {one.uid for one in wanted}
    surplus = [one for one in listed if prune and one.uid not in uids and owner in one.owners()]
    taken = {slug(title) for title in folders.values()} if names_of_folders else set()
    problems = [*_foreign(wanted, listed, read, folders, owner), *_named_like_folders(wanted, taken)]
    result = Plan(unchanged=[one for one in wanted if one.uid in read and is_current(one, read[one.uid])])
    current = {one.uid for one in result.unchanged}
    stay = [one for one in listed if one not in surplus]
    result.writes, clashes = _in_order([one for one in wanted if one.uid not in current], stay)
    problems += clashes
    if problems:
        raise ComponentError("nothing was changed", "\n".join(problems), "resolve these clashes, then run again")
    freed = {one.place for one in result.writes}
    result.first = [one for one in surplus if one.place in freed]
    result.last = [one for one in surplus if one.place not in freed]
    return result


def _foreign(
    wanted: t.Sequence[Wanted],
    listed: t.Sequence[Listed],
    read: t.Mapping[str, Read],
    folders: t.Container[str],
    owner: str,
) -> t.Iterator[str]:
    """Dashboards that others keep: a folder of that UID, a file of the server, another owner."""
    owners = {one.uid: one.owners() for one in listed}
    for one in wanted:
        others = ", ".join(sorted(owners.get(one.uid, set()) - {owner}))
        if one.uid in folders:
            yield f"{one.file}: the UID {one.uid} is that of a folder on the server"
        elif one.uid in read and read[one.uid].provisioned:
            yield f"{one.file}: {one.uid} is provisioned by the server itself, from {read[one.uid].provisioned}"
        elif others:
            yield f"{one.file}: {one.uid} belongs to another owner: {others}"


def _named_like_folders(wanted: t.Sequence[Wanted], taken: t.Container[str]) -> t.Iterator[str]:
    for one in wanted:
        if slug(one.title) in taken:
            yield f"{one.file}: a folder is called {one.title} too, which Grafana refuses before version 11"


def _in_order(writes: t.Sequence[Wanted], stay: t.Sequence[Listed]) -> tuple[list[Wanted], list[str]]:
    """A title that another dashboard of the folder has until now is only free once that one was written."""
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in stay:
        held[one.place].add(one.uid)
    place = {one.uid: one.place for one in stay}
    ordered: list[Wanted] = []
    left = list(writes)
    while left:
        free = [one for one in left if not held[one.place] - {one.uid}]
        if not free:
            break
        for one in free:
            held[place.get(one.uid, one.place)].discard(one.uid)
            held[one.place].add(one.uid)
        ordered += free
        left = [one for one in left if one not in free]
    clashes = [
        f"{one.file}: another dashboard of that folder is called {one.title} too: "
        f"{', '.join(sorted(held[one.place] - {one.uid}))}"
        for one in left
    ]
    return ordered, clashes


# --- how a change reads ---


def difference(before: t.Mapping[str, t.Any] | None, after: t.Mapping[str, t.Any] | None) -> tuple[str, str]:
    """Only the lines in which two dashboards differ, each with the way to it; a summary where there is but one."""
    if before is None or after is None:
        return ("" if before is None else _summary(before), "" if after is None else _summary(after))
    old, new = (dict(_lines(clean(model))) for model in (before, after))
    return (
        _shortened([f"{way}: {text}" for way, text in old.items() if new.get(way) != text]),
        _shortened([f"{way}: {text}" for way, text in new.items() if old.get(way) != text]),
    )


def _shortened(lines: list[str]) -> str:
    more = len(lines) - SHOWN_LINES
    if more > 0:
        lines = [*lines[:SHOWN_LINES], f"(and {more} more)"]
    return "".join(f"{line}\n" for line in lines)


def _summary(model: t.Mapping[str, t.Any]) -> str:
    panels = model.get("panels") or []
    lines = [f"title: {model.get('title')}", f"uid: {model.get('uid')}", f"panels: {len(panels)}"]
    return "".join(f"{line}\n" for line in lines)


def _lines(value: t.Any, way: str = "") -> t.Iterator[tuple[str, str]]:
    """Every value at the end of its way, such as C(panels[CPU].targets[A].expr)."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _lines(value[key], f"{way}.{key}" if way else key)
    elif isinstance(value, list) and value:
        for name, inner in zip(_names(value), value):
            yield from _lines(inner, f"{way}[{name}]")
    else:
        yield way, json.dumps(value, ensure_ascii=False)


def _names(items: t.Sequence[t.Any]) -> list[str]:
    """What people call the items of a list: then one that was inserted does not change the names of all after it."""
    seen: dict[str, int] = defaultdict(int)
    names = []
    for number, item in enumerate(items):
        known = [item[key] for key in ("title", "name", "refId") if item.get(key)] if isinstance(item, dict) else []
        name = str(known[0]) if known else str(number)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return names


# --- on the way between control node and host ---


def packed(data: t.Any) -> str:
    """One word, a tenth of the size: Ansible walks through whatever structure it is given, value by value."""
    return base64.b64encode(zlib.compress(json.dumps(data).encode(), 1)).decode()


def unpacked(text: str) -> t.Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))
