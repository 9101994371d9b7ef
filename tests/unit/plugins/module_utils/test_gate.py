# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server did before a change and does not after it."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _gate
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

    def look(name: str, endpoint: Endpoint) -> t.Any:
        one = looks.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(_gate, "look", look)
    monkeypatch.setattr(_gate.time, "sleep", lambda seconds: None)
    assert _gate.wait("prometheus", Endpoint("http://x"), BEFORE, 60) < 60
    assert looks == []


@pytest.mark.parametrize(
    ("seen", "words"), [({**BEFORE, "targets": []}, "2 targets that were up"), (None, "was not answered")]
)
def test_gives_up(monkeypatch: pytest.MonkeyPatch, seen: t.Any, words: str) -> None:
    def look(name: str, endpoint: Endpoint) -> t.Any:
        if seen is None:
            raise ComponentError("GET x was not answered")
        return seen

    monkeypatch.setattr(_gate, "look", look)
    with pytest.raises(ComponentError) as raised:
        _gate.wait("prometheus", Endpoint("http://x"), BEFORE, 0)
    assert words in str(raised.value)


def test_first_look_waits_for_a_cluster_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    states = ["settling", "ready"]

    def answer(endpoint: Endpoint, path: str, timeout: float) -> Answer:
        return Answer(200, json.dumps({"cluster": {"status": states.pop(0), "peers": [{"address": "x:1"}]}}))

    monkeypatch.setattr(_gate._ask, "get", answer)
    monkeypatch.setattr(_gate.time, "sleep", lambda seconds: None)
    assert _gate.first_look("alertmanager", Endpoint("http://x")) == {"peers": ["x:1"]}
    states[:] = ["settling"]
    with pytest.raises(ComponentError, match="has not settled: settling"):
        _gate.first_look("alertmanager", Endpoint("http://x"), 0)


def test_look_at_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "/targets": {
            "activeTargets": [
                {"labels": {"job": "probe", "instance": "app1", "target": "https://x"}, "health": "up"},
                {"labels": {"job": "shop", "instance": "app1"}, "health": "down"},
            ]
        },
        "/rules": {
            "groups": [
                {
                    "name": "g",
                    "rules": [
                        {"name": "A", "health": "ok"},
                        {"name": "B", "health": "err"},
                        {"name": "C", "health": "unknown"},
                    ],
                }
            ]
        },
        "/query": {"result": [{"metric": {"__name__": "job:x"}}]},
    }
    monkeypatch.setattr(_gate._snapshot, "answer", lambda endpoint, path: answers[path.partition("?")[0]])
    assert _gate.look("prometheus", Endpoint("http://x")) == {
        "targets": ["probe app1 https://x"],
        "rules": ["g: A"],
        "answers": ["job:x"],
    }
