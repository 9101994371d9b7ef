# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matchers, durations and times as people write them, and the plan for a silence."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._silence import (
    Matcher,
    Wish,
    change_for,
    parse_duration,
    parse_time,
    shown_time,
)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("instance=app1", ("instance", "=", "app1")),
        (' instance = "app1" ', ("instance", "=", "app1")),
        ('job=~"shop|cart"', ("job", "=~", "shop|cart")),
        ("job!~shop.*", ("job", "!~", "shop.*")),
        ('severity!=""', ("severity", "!=", "")),
        (r'path="a\"b\\c"', ("path", "=", r'a"b\c')),
        ("note=a=b", ("note", "=", "a=b")),
    ],
)
def test_matcher(text: str, parts: tuple[str, str, str]) -> None:
    matcher = Matcher.parse(text)
    assert (matcher.name, matcher.operator, matcher.value) == parts
    assert Matcher.parse(str(matcher)) == matcher
    assert Matcher.of(matcher.for_api()) == matcher


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2h", 7200), ("1d12h", 129600), ("1w", 604800)])
def test_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25T12:00:00Z",
        "2026-11-25T12:00:00.000Z",
        "2026-11-25T13:00:00.0+01:00",
        "2026-11-25T12:00:00.000000000Z",
        "2026-11-25 12:00:00+00:00",
    ],
)
def test_time(text: str) -> None:
    assert parse_time(text) == NOON
    assert shown_time(parse_time(text)) == "2026-11-25T12:00:00.000Z"


def wish(minutes: int = 60, comment: str = "why") -> Wish:
    return Wish(frozenset([Matcher("job", "=", "x")]), "me", comment, NOON, NOON + timedelta(minutes=minutes))


def known(begins: int, ends: int, state: str = "active", **other: t.Any) -> dict[str, t.Any]:
    """A silence from so many minutes after noon until so many."""
    return {
        "id": "known",
        "status": {"state": state},
        "matchers": [{"name": "job", "value": "x", "isRegex": False}],  # as before isEqual
        "createdBy": "me",
        "comment": "why",
        "startsAt": shown_time(NOON + timedelta(minutes=begins)),
        "endsAt": shown_time(NOON + timedelta(minutes=ends)),
        **other,
    }


@pytest.mark.parametrize(
    "there",
    [
        [known(-30, 60)],
        [known(-30, 600)],
        [known(-30, 59)],  # near enough
        [known(-30, 10, id="shorter"), known(-30, 60)],
    ],
)
def test_nothing_to_change(there: list[dict[str, t.Any]]) -> None:
    assert change_for(wish(), there) is None


@pytest.mark.parametrize(
    "there",
    [
        [],
        [known(-30, 60, state="expired")],
        [known(-30, -1)],
        [known(20, 80, state="pending")],  # begins too late
        [known(-30, 60, createdBy="her")],
        [known(-30, 60, matchers=[{"name": "job", "value": "y", "isRegex": False}])],
        [known(-30, 60, matchers=[{"name": "job", "value": "x", "isRegex": True}])],
        [known(-30, 60, matchers=[{"name": "job", "value": "x", "isRegex": False, "isEqual": False}])],
    ],
)
def test_another_one_is_made(there: list[dict[str, t.Any]]) -> None:
    change = change_for(wish(), there)
    assert change is not None
    assert change.before is None
    assert "id" not in change.body


def test_extended_where_it_is() -> None:
    there = known(-30, 30)
    change = change_for(wish(), [there])
    assert change is not None
    assert change.before == there
    assert change.body["id"] == "known"
    assert change.body["startsAt"] == there["startsAt"], "with another start it would be another silence"
    assert change.body["endsAt"] == shown_time(NOON + timedelta(minutes=60))


def test_another_comment_keeps_the_later_end() -> None:
    there = known(-30, 600)
    change = change_for(wish(comment="because"), [there])
    assert change is not None
    assert (change.body["comment"], change.body["endsAt"]) == ("because", there["endsAt"])


def test_short_ones_have_a_smaller_tolerance() -> None:
    """Of five minutes not one fifth is missing."""
    assert change_for(wish(minutes=5), [known(-1, 4)]) is not None
