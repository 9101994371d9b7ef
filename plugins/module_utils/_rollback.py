# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The earlier generations of a component, what differs between them, and the way to one of them."""

from __future__ import annotations

import os
import typing as t

from . import _data, _generations, _way_back
from ._errors import ComponentError
from ._layout import Layout
from ._plan import Generation, older
from ._swap import refuse_unproved


def listed(layout: Layout) -> list[dict[str, t.Any]]:
    """The generations that have proven themselves, the newest first, each with what the next one changed."""
    found: list[dict[str, t.Any]] = []
    current = _generations.current_number(layout)
    numbers = [n for n in _generations.numbers(layout) if (one := _generations.read(layout, n)) and one.committed]
    following: Generation | None = None
    for number in reversed(numbers):
        one = _generations.read(layout, number)
        if one is None:
            continue
        stated = _generations.manifest(layout, number) or {}
        found.append(
            {
                "generation": number,
                "version": one.version,
                "created": str(stated.get("created", "")),
                "current": number == current,
                "differs": differences(one, following) if following else [],
            }
        )
        following = one
    return found


def differences(one: Generation, following: Generation) -> list[str]:
    """What is otherwise in the generation after it."""
    said = []
    if one.version != following.version:
        said.append(f"version {one.version}, then {following.version}")
    if one.unit != following.unit:
        said.append("the unit")
    paths = {key for key in {*one.files, *following.files} if key[0] == "config"}
    said += sorted(path for place, path in paths if one.files.get((place, path)) != following.files.get((place, path)))
    return said


def words(entry: t.Mapping[str, t.Any], left: bool = False) -> str:
    """C(left): the one in force was left since."""
    here = (", was in force" if left else ", in force") if entry["current"] else ""
    differs = f"; what came after it changed {', '.join(entry['differs'])}" if entry["differs"] else ""
    return f"generation {entry['generation']} of {entry['created']}: {entry['version']}{here}{differs}"


def lasting(name: str, there: Generation, left: Generation) -> str:
    """What the inventory needs, as the next run of site.yml brings back what it says."""
    if there.version != left.version:
        return (
            "The inventory is the truth: the next run of site.yml brings back what it says. Put this into it first: "
            f"{name}_version: {there.version}"
        )
    changed = differences(there, left)
    if not changed:
        return "The two differ in nothing but secrets, which stay as they are now"
    return (
        f"Both have version {left.version}; they differ in: {', '.join(changed)}. The inventory is the truth: the next "
        "run of site.yml makes its configuration again. Take the change back in the inventory first"
    )


def check(layout: Layout, number: int, borders: t.Sequence[str]) -> None:
    """Raise where the generation is not there, or could not read the data. C(borders): empty means every version."""
    refuse_unproved(layout)
    known = {one["generation"]: one for one in listed(layout)}
    if number not in known:
        raise ComponentError(
            f"{layout.name} has no generation {number} that has proven itself",
            "\n".join(words(one) for one in known.values()) or "there is none",
            "choose one of these",
        )
    now = _generations.read(layout, _generations.current_number(layout))  # proven or not: it may have written
    if now is None or _data.has_copy(layout.data, str(number)):
        return
    before, after = known[number]["version"], now.version
    crossed = [border for border in borders if not border or (older(before, border) and not older(after, border))]
    if not crossed or before == after:
        return
    what = f"{layout.name} {before} cannot read the data that {after} has written"
    proven = _generations.proven(layout)
    if proven != now.number and _data.has_copy(layout.data, str(proven)):
        raise ComponentError(what, "", f"go back to generation {proven} first, whose copy of the data is kept")
    raise ComponentError(
        f"{what}, and no copy of before is kept",
        "",
        "restore a backup from before the upgrade by its ID (docs/upgrade.md says how), or go on with what is there",
    )


def roll_back(layout: Layout, number: int, password: str, patience: float) -> list[str]:
    """Serve an earlier generation again; where it does not come up, the one that was left serves again."""
    leaving = _generations.current_number(layout)
    if leaving == number or leaving is None:
        return []
    with_data = _data.has_copy(layout.data, str(number))
    try:
        if _generations.proven(layout) == leaving:
            _way_back.go_back(layout, number, False, password, patience)
        else:  # what the interrupted change did outside the generations is undone as well
            _way_back.resume(layout, number, password, patience)
    except (ComponentError, OSError) as error:
        if with_data:  # what was written since is gone, so there is nothing to go forward to
            raise
        if not os.path.isdir(layout.generation(leaving)):
            os.rename(layout.failed, layout.generation(leaving))
        _way_back.go_back(layout, leaving, False, password, patience)
        if not os.path.isdir(layout.generation(number)):  # it had proved itself once, and may be tried again
            os.rename(layout.failed, layout.generation(number))
        what, seen, remedy = (
            (error.what, error.seen, error.remedy) if isinstance(error, ComponentError) else (str(error), "", "")
        )
        raise ComponentError(f"{what} (generation {leaving} serves again)", seen, remedy) from error
    _way_back.settle(layout)
    actions = [f"went back to generation {number}, which answers"]
    if with_data:
        actions.append("put back the copy of the data from before")
    return actions
