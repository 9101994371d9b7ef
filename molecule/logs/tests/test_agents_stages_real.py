# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real agents make of lines is what our own reading of the stages says, by which unit tests go."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from plugins.plugin_utils.logs_stages import LEVEL_OF, PIECE
from tests.testbed.log_lines import reading
from tests.testbed.log_stages import SETTINGS, Entry, pipeline
from tests.testbed.scenario import LOG_AGENTS, append

pytestmark = pytest.mark.usefixtures("real")

START = datetime.now(UTC).replace(microsecond=123456)
CONTAINER = "/var/lib/docker/containers/{0}/{0}-json.log"
LEVELS = [*LEVEL_OF, "WARN", "WARNING", " Warning ", "CRITICAL", "FATAL", "chatty", "", None, 30, ["info"]]
LAYOUTS = [
    *("%Y-%m-%dT%H:%M:%S.%f+00:00", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S,123"),
    *("%Y-%m-%d %H:%M:%S.%f+00:00", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M", "", "%s"),
]


def at(number: int = 0, hours: float = 0) -> str:
    return (START + timedelta(microseconds=number) - timedelta(hours=hours)).isoformat()


def line(**fields: Any) -> str:
    return json.dumps({"timestamp": at(), "level": "INFO", "service": "shop", "message": "x", **fields})


def docker(text: str, **more: Any) -> str:
    return json.dumps({"log": text, "stream": "stderr", "time": at().replace("+00:00", "Z"), **more})


def pieces(text: str) -> list[str]:
    """As Docker cuts a line."""
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


# By the name of an entry: what it says beside its name and its files, and the lines.
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "levels": ({}, [line(level=level, message=f"level {level}") for level in LEVELS]),
    "times": ({}, [line(timestamp=START.strftime(layout), message=layout) for layout in LAYOUTS]),
    "broken": (
        {},
        ["not JSON", '"text"', "[1]", '{"broken', '{"timestamp": 5}', '{"timestamp": null}', "  indented", "{}"],
    ),
    "fields": (
        {"metadata": ["logger", "http.status", "@version", "flag", "many", "none", "ratio"]},
        [
            line(http={"status": 200}, **{"@version": "1"}, logger='Zoë "x"', message="one"),
            line(flag=True, many=[1, {"a": None}], none=None, ratio=0.5, message="two"),
            line(flag=False, many={}, logger="", message="three"),
        ],
    ),
    "services": (
        {"labels": {"team": "web"}},
        [line(service="a-b"), line(service=""), line(service=None), line(service=5)],
    ),
    "fixed": ({"service": "fixed"}, [line(), "plain"]),
    "zone": (
        {"time_zone": "Europe/Berlin", "time_field": "ts"},
        [line(ts=(START - timedelta(hours=hour)).strftime("%Y-%m-%d %H:%M:%S,5")) for hour in (3, 4)],
    ),
    "logfmt": (
        {"format": "logfmt", "time_field": "ts", "metadata": ["user"]},
        [f'ts={at()} level=warning user=4 message="a b"', "level=error", "no pairs at all"],
    ),
    "regex": (
        {
            "format": "regex",
            "expression": r"^(?P<timestamp>\S+ \S+) (?P<level>\w+) (?P<message>.*)",
            "keep": "message",
        },
        [f"{START:%Y-%m-%d %H:%M:%S},25 ERROR it broke", "does not match"],
    ),
    "plain": ({"format": "plain"}, [line()]),
    "message": ({"keep": "message"}, [line(message="grüß"), line(message=""), '{"level": "info"}', "no JSON"]),
    "drops": (
        {
            "drop": [
                {"matches": "GET /health"},
                {"field": "level", "matches": "debug"},
                {"field": "route", "matches": "^/health$"},
                {"longer_than": 1000, "matches": "y"},
                {"older_than": "2h"},
            ]
        },
        [
            *("GET /health 200", "GET / 200", line(level="DEBUG"), line(message="debug"), line(route="/health")),
            *(line(route="/healthy"), "y" * 1001, "y" * 999, "x" * 1001),
            *(line(timestamp=at(hours=3), message="old"), line(timestamp=at(hours=1), message="not so old")),
            line(timestamp=at(hours=169), message="too old for all"),
        ],
    ),
    "traces": (
        {"format": "plain", "multiline": {"first_line": r"^\d{4}-"}},
        [
            "2026-01-01 ERROR it broke",
            "Traceback (most recent call last):",
            "ValueError: no",
            "2026-01-01 INFO goes on",
        ],
    ),
    "told": (
        {"metadata": ["filename", "user"]},
        [line(filename="a lie", user="eve")],
    ),
    "numbers": (
        {"kind": "docker", "metadata": ["container", "stream", "tag", "user"]},
        [docker(line(stream="a lie", tag="a lie", user="eve") + "\n", attrs={"tag": "shop"})],
    ),
    "containers": (
        {"kind": "docker", "container_labels": ["com.example/team"]},
        [
            docker("plain text\n", attrs={"tag": "shop", "com.example/team": "web"}),
            *(docker("no tag\n"), docker(line(message="inner") + "\n"), docker("\n"), docker("carriage\r\n")),
            *(docker(text) for text in pieces(line(message="z" * 40_000, level="ERROR") + "\n")),
            *(docker("panic"), docker("again\n"), "garbage", '{"log": "no time\\n"}'),
        ],
    ),
}


def path_of(name: str, number: str) -> str:
    """C(number) has sixteen digits, by which the file of this run is told from those of others."""
    if CASES[name][0].get("kind") == "docker":
        return CONTAINER.format((number if name == "containers" else number[::-1]) * 4)
    return f"/var/log/{name}/{number}.log"


def told(entry: Entry) -> tuple[Any, ...]:
    """What Loki should have of it: line, microseconds if it has a time of its own, labels and metadata."""
    moment = (entry.time - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) if entry.time else None
    return entry.line, moment, {**entry.metadata, **entry.labels}


def test_lines_are_read_as_the_stages_say(loki, agent, service):
    number = service.removeprefix("test-") * 2
    entries, expected = [], {}
    for name, (stated, lines) in CASES.items():
        path = path_of(name, number)
        entries.append({"name": name, "kind": "files", "paths": [path], **stated})
        done = pipeline(entries[-1], lines, {"filename": path}, {**SETTINGS, "line_limit": 256_000})
        expected[name] = [told(entry) for entry in done if not entry.dropped]
    with reading(agent, *entries):
        for name, (_stated, lines) in CASES.items():
            append(LOG_AGENTS[agent], path_of(name, number), *lines)
        seen = {}
        for name, wanted in expected.items():
            path = path_of(name, number)
            asked = f'container="{path.split("/")[5][:12]}"' if "/containers/" in path else f'filename="{path}"'
            since = int((START - timedelta(hours=12)).timestamp())
            found = loki.expect(f'{{instance="{LOG_AGENTS[agent]}"}} | {asked}', len(wanted), start=since)
            seen[name] = [(text, stamp // 1000, known) for stamp, text, known in found]
    for name, wanted in expected.items():
        found = {text: (moment, known) for text, moment, known in seen[name]}
        assert set(found) == {text for text, _moment, _known in wanted}, name
        assert len(found) == len(seen[name]), f"{name}: a line is there twice"
        for text, moment, known in wanted:
            its_moment, its_known = found[text]
            for ours in ("instance", "service_name", "detected_level"):
                its_known.pop(ours, None)
            assert its_known == known, f"{name}: {text[:200]}"
            if moment is None:
                assert its_moment > START.timestamp() * 10**6, f"{name}: {text[:200]}"
            else:
                assert its_moment == moment, f"{name}: {text[:200]}"
