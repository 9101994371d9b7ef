# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Silences: matchers and times as people write them, and the plan from what is there to what is wanted. Pure."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ._errors import ComponentError

Silence = t.Mapping[str, t.Any]  # as Alertmanager's API has it

_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _UNITS))
# A silence whose end is this near to the wanted one lasts long enough: a second run right after the first is no change.
NEAR = timedelta(minutes=1)


@dataclass(frozen=True, order=True)
class Matcher:
    """One condition on a label."""

    name: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Matcher:
        match = _MATCHER.fullmatch(text)
        if match is None:
            raise ComponentError(
                f"the matcher {text!r} cannot be read",
                "",
                """write it as instance="app1", with one of the operators =, !=, =~ and !~""",
            )
        name, operator, value = match.groups()
        if value.startswith('"'):
            try:
                value = json.loads(value)
            except ValueError:
                raise ComponentError(
                    f"the value of the matcher {text!r} cannot be read", "", "close its quotes, and write \\\\ for \\"
                ) from None
        return cls(name, operator, value)

    @classmethod
    def of(cls, stated: t.Mapping[str, t.Any]) -> Matcher:
        """One of Alertmanager's answers; versions before 0.22 know no isEqual."""
        operator = ("=" if stated.get("isEqual", True) else "!") + ("~" if stated["isRegex"] else "=")
        return cls(stated["name"], "=" if operator == "==" else operator, stated["value"])

    def for_api(self) -> dict[str, t.Any]:
        operator = self.operator
        return {"name": self.name, "value": self.value, "isRegex": "~" in operator, "isEqual": operator[0] == "="}

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True)
class Wish:
    """The silence that has to be there."""

    matchers: frozenset[Matcher]
    created_by: str
    comment: str
    starts: datetime
    ends: datetime


@dataclass(frozen=True)
class Change:
    """What is posted; C(before) is the silence that it changes, if there is one."""

    body: dict[str, t.Any]
    before: Silence | None


def parse_duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text.strip())
    parts = {unit: int(number) for unit, number in zip(_UNITS.values(), match.groups()) if number} if match else {}
    if not any(parts.values()):
        raise ComponentError(f"{text!r} is no duration", "", "write it like 30m, 2h or 1d12h")
    return timedelta(**parts)


def parse_time(text: str, zone: timezone | None = None) -> datetime:
    """RFC 3339; C(zone): the one that is meant where it says none."""
    # Before Python 3.11 neither Z nor any number of digits is understood.
    plain = re.sub(r"(\.\d{1,6})\d*", lambda match: match[1].ljust(7, "0"), re.sub("[zZ]$", "+00:00", text.strip()))
    try:
        time = datetime.fromisoformat(plain)
    except ValueError:
        time = None
    if time is not None and time.tzinfo is None:
        time = time.replace(tzinfo=zone)
    if time is None or time.tzinfo is None:
        raise ComponentError(f"{text!r} is no time with a zone", "", "write it like 2026-11-25T18:00:00Z")
    return time.astimezone(timezone.utc)


def shown_time(time: datetime) -> str:
    """As Alertmanager has it."""
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def matchers_of(silence: Silence) -> frozenset[Matcher]:
    return frozenset(Matcher.of(stated) for stated in silence["matchers"])


def same_matchers(known: t.Iterable[Silence], matchers: frozenset[Matcher]) -> list[Silence]:
    """The silences with these matchers that hold or will hold."""
    return [one for one in known if one["status"]["state"] != "expired" and matchers_of(one) == matchers]


def near(wish: Wish) -> timedelta:
    """How far from the wanted end another one is as good."""
    return min(NEAR, (wish.ends - wish.starts) / 10)


def change_for(wish: Wish, known: t.Iterable[Silence]) -> Change | None:
    """The one change after which the wish holds; None where it holds already. A silence is never shortened."""
    tolerance = near(wish)
    own = [
        one
        for one in same_matchers(known, wish.matchers)
        if one["createdBy"] == wish.created_by
        # One that begins later, or is over before, is another one.
        and parse_time(one["startsAt"]) <= wish.starts + tolerance
        and parse_time(one["endsAt"]) >= wish.starts
    ]
    body = {
        "matchers": [matcher.for_api() for matcher in sorted(wish.matchers)],
        "createdBy": wish.created_by,
        "comment": wish.comment,
        "startsAt": shown_time(wish.starts),
        "endsAt": shown_time(wish.ends),
    }
    if not own:
        return Change(body, None)
    best = max(own, key=lambda one: parse_time(one["endsAt"]))
    lasts = parse_time(best["endsAt"]) >= wish.ends - tolerance
    if lasts and best["comment"] == wish.comment:
        return None
    ends = best["endsAt"] if lasts else body["endsAt"]
    # With the same start and matchers Alertmanager changes it where it is, under the same id.
    return Change({**body, "id": best["id"], "startsAt": best["startsAt"], "endsAt": ends}, best)


def shown(silence: Silence | None) -> str:
    """A silence as a diff has it."""
    if silence is None:
        return ""
    lines = [str(Matcher.of(stated)) for stated in silence["matchers"]]
    keys = {"createdBy": "created by", "comment": "comment", "startsAt": "from", "endsAt": "until"}
    return "\n".join([*sorted(lines), *(f"{name}: {silence[key]}" for key, name in keys.items())]) + "\n"
