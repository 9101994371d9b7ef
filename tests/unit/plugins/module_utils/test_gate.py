# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server did before a change and does not after it."""

from __future__ import annotations

import json
import typing as t
from datetime import UTC, datetime

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _gate, _silence
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._ready import Answer, Endpoint

BEFORE = {"targets": ["a mon1", "b mon1"], "rules": ["g: One"], "answers": ["job:x:rate5m"]}


@pytest.mark.parametrize(
    ("now", "gone"),
    [
        (BEFORE, {}),
        ({**BEFORE, "targets": ["a mon1", "b mon1", "c mon1"]}, {}),
        ({**BEFORE, "targets": ["b mon1"]}, {"targets": ["a mon1"]}),
        ({**BEFORE, "rules": [], "answers": ["other:y"]}, {"rules": ["g: One"], "answers": ["job:x:rate5m"]}),
    ],
)
def test_missing(now: t.Any, gone: t.Any) -> None:
    assert _gate.missing(BEFORE, now) == gone


@pytest.mark.parametrize(("now", "well"), [(["x:1", "z:3"], True), (["x:1", "y:2", "z:3"], True), (["x:1"], False)])
def test_of_peers_only_the_number_counts(now: list[str], well: bool) -> None:
    assert (_gate.missing({"peers": ["x:1", "y:2"]}, {"peers": now}) == {}) == well


def test_words() -> None:
    said = _gate.shown({"targets": [f"job host{number}" for number in range(7)], "peers": ["x"]})
    assert said.splitlines() == [
        "7 targets that were up are not: job host0, job host1, job host2, job host3, job host4 and 2 more",
        "1 members of the cluster are missing: x",
    ]


def test_waits_until_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[t.Any] = [ComponentError("not answered"), {**BEFORE, "targets": []}, BEFORE]

    def look(name: str, endpoint: Endpoint, since: float) -> t.Any:
        one = looks.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(_gate, "look", look)
    monkeypatch.setattr(_gate.time, "sleep", lambda seconds: None)
    waited, state = _gate.wait("prometheus", Endpoint("http://x"), BEFORE, 60)
    assert waited < 60
    assert state == BEFORE
    assert looks == []


@pytest.mark.parametrize(
    ("seen", "words"), [({**BEFORE, "targets": []}, "2 targets that were up"), (None, "was not answered")]
)
def test_gives_up(monkeypatch: pytest.MonkeyPatch, seen: t.Any, words: str) -> None:
    def look(name: str, endpoint: Endpoint, since: float) -> t.Any:
        if seen is None:
            raise ComponentError("GET x was not answered")
        return seen

    monkeypatch.setattr(_gate, "look", look)
    with pytest.raises(ComponentError) as raised:
        _gate.wait("prometheus", Endpoint("http://x"), BEFORE, 0)
    assert words in str(raised.value)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The patience that was asked for each time."""
    asked: list[float] = []
    monkeypatch.setattr(_gate, "wait_until_ready", lambda endpoint, alive, patience: asked.append(patience))
    return asked


def test_first_look_waits_for_a_cluster_to_settle(monkeypatch: pytest.MonkeyPatch, ready: list[float]) -> None:
    states = ["settling", "ready"]

    def answer(endpoint: Endpoint, path: str, timeout: float) -> Answer:
        return Answer(200, json.dumps({"cluster": {"status": states.pop(0), "peers": [{"address": "x:1"}]}}))

    monkeypatch.setattr(_gate._ask, "get", answer)
    monkeypatch.setattr(_gate.time, "sleep", lambda seconds: None)
    assert _gate.first_look("alertmanager", Endpoint("http://x")) == {"peers": ["x:1"]}
    states[:] = ["settling"]
    with pytest.raises(ComponentError, match="has not settled: settling"):
        _gate.first_look("alertmanager", Endpoint("http://x"), 0)
    assert ready == [30, 0]


@pytest.mark.parametrize(
    ("ages", "healths", "asked"),
    [
        # Seconds since it read its configuration; what its targets are then; how often they are asked for.
        ([3600], [], 0),
        ([2, 10, 12], ["up", "up", "up"], 3),  # not all may be there yet
        ([20, 21, 22], ["unknown", "unknown", "up"], 3),
        ([70, 72], ["unknown"], 1),  # nothing comes within the first minute
        ([-5], [], 0),  # a clock that was turned back
    ],
)
def test_first_look_waits_for_what_a_new_server_has_not_tried(
    monkeypatch: pytest.MonkeyPatch, ready: list[float], ages: list[float], healths: list[str], asked: int
) -> None:
    times, states, looks, now = list(ages), list(healths), [], 1_800_000_000.0

    def answer(endpoint: Endpoint, path: str) -> t.Any:
        if path == "/status/runtimeinfo":
            return {"lastConfigTime": _silence.shown_time(datetime.fromtimestamp(now - times.pop(0), UTC))}
        if path == "/rules":
            return {"groups": [{"name": "g", "interval": 300, "rules": [{"name": "rare", "health": "unknown"}]}]}
        looks.append(path)
        return {"activeTargets": [{"labels": {}, "health": states.pop(0)}]}

    monkeypatch.setattr(_gate._snapshot, "answer", answer)
    monkeypatch.setattr(_gate, "look", lambda name, endpoint: BEFORE)
    with monkeypatch.context() as patch:
        patch.setattr(_gate.time, "sleep", lambda seconds: None)
        patch.setattr(_gate.time, "time", lambda: now)
        assert _gate.first_look("prometheus", Endpoint("http://x")) == BEFORE
    assert len(looks) == asked
    assert not times
    assert len(ready) == 1


def test_look_at_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        {"name": "A", "health": "ok"},
        {"name": "B", "health": "err"},
        {"name": "C", "health": "unknown"},
        {"name": "job:x", "health": "ok"},
        {"name": "job:without_a_result", "health": "ok"},
    ]
    answers = {
        "/targets": {
            "activeTargets": [
                {"labels": {"job": "probe", "instance": "app1", "target": "https://x"}, "health": "up"},
                {"labels": {"job": "shop", "instance": "app1"}, "health": "down"},
            ]
        },
        "/rules": {
            "groups": [
                {"name": "g", "interval": 15, "rules": rules},
                {"name": "rare", "interval": 300, "rules": [{"name": "job:rare", "health": "ok"}]},
            ]
        },
        "/query": {"result": [{"metric": {"__name__": name}} for name in ("job:x", "job:rare", "from:elsewhere")]},
    }
    asked = []

    def answer(endpoint: Endpoint, path: str) -> t.Any:
        asked.append(path)
        return answers[path.partition("?")[0]]

    monkeypatch.setattr(_gate._snapshot, "answer", answer)
    assert _gate.look("prometheus", Endpoint("http://x")) == {
        "targets": ["probe app1 https://x"],
        "rules": ["g: A", "g: job:without_a_result", "g: job:x"],
        "answers": ["job:x"],
    }
    assert "lookback_delta" not in asked[-1]
    _gate.look("prometheus", Endpoint("http://x"), 7.4)
    assert asked[-1].endswith("&lookback_delta=7")
