# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the pipelines on lines, by our own reading of the stages."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest

from plugins.plugin_utils.logs import checked_log
from plugins.plugin_utils.logs_stages import LEVEL_OF, PIECE, RELABEL, stages
from tests.testbed.log_stages import SETTINGS, read, read_all

FILES = {"name": "app", "kind": "files", "paths": ["/var/log/app/*.log"]}
JOURNAL = {"name": "journal", "kind": "journal"}
DOCKER = {"name": "containers", "kind": "docker", "container_labels": ["com.example/team"]}
CONTAINER = "/var/lib/docker/containers/0123456789abcdef/0123456789abcdef-json.log"


def line(**fields: t.Any) -> str:
    return json.dumps({"timestamp": now(), "level": "INFO", "service": "auth-service", "message": "x", **fields})


def now(ago: float = 0) -> str:
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=ago)).isoformat()


def test_a_line_of_the_example_services() -> None:
    text = line(level="WARNING", module="routes", profile_id=4, context={"a": [1]})
    entry = read(FILES, text)
    assert entry.line == text
    assert entry.labels == {"service": "auth-service", "level": "warn"}
    assert entry.metadata == {"filename": "/var/log/app/shop.log", "module": "routes"}


@pytest.mark.parametrize(
    ("written", "microsecond", "hour"),
    [
        ("2999-11-24T08:00:00.123456+00:00", 123456, 8),
        ("2999-11-24T08:00:00.123456Z", 123456, 8),
        ("2999-11-24T08:00:00.123456", 123456, 8),  # datetime.utcnow().isoformat()
        ("2999-11-24 08:00:00,123", 123000, 8),  # the logging module's own
        ("2999-11-24 08:00:00.123456+02:00", 123456, 6),
        ("2999-11-24T08:00:00", 0, 8),
    ],
)
def test_time(written: str, microsecond: int, hour: int) -> None:
    entry = read(FILES, line(timestamp=written))
    assert entry.time
    at = entry.time.astimezone(datetime.UTC)
    assert (at.hour, at.microsecond) == (hour, microsecond)


@pytest.mark.parametrize(
    "text", ["not JSON", '"text"', "[1]", '{"broken', "", '{"timestamp": 5}', '{"timestamp": null}']
)
def test_a_line_that_tells_nothing_is_kept_with_what_is_known(text: str) -> None:
    entry = read(FILES, text)
    assert (entry.line, entry.time, entry.labels) == (text, None, {"service": "shop"})


@pytest.mark.parametrize(
    ("written", "level"),
    [
        *[(name, level) for name, level in LEVEL_OF.items()],
        ("WARN", "warn"),
        ("WARNING", "warn"),
        (" Warning ", "warn"),
        ("CRITICAL", "critical"),
        ("FATAL", "critical"),
        ("chatty", None),
        ("", None),
        (None, None),
        (30, None),
    ],
)
def test_level(written: t.Any, level: str | None) -> None:
    assert read(FILES, line(level=written)).labels.get("level") == level


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/var/log/app/web-app.log", "web-app"),
        ("/var/log/app/shop.json", "shop"),
        ("/var/log/syslog", "syslog"),
        ("/var/log/app/a.b.log", "a.b"),
    ],
)
def test_service_from_the_name_of_the_file(path: str, service: str) -> None:
    assert read(FILES, "x", filename=path).labels["service"] == service
    assert read({**FILES, "service": "fixed"}, line(), filename=path).labels["service"] == "fixed"


def test_journal() -> None:
    told = {"service": "sshd", "level": "notice", "source_unit": "ssh.service", "job": "x"}
    entry = read(JOURNAL, "Accepted", **told)
    assert (entry.labels, entry.metadata) == ({"service": "sshd", "level": "info"}, {"unit": "ssh.service"})


@pytest.mark.parametrize(
    ("told", "service"),
    [
        ({"__journal__systemd_unit": "ssh.service"}, "ssh.service"),
        ({"__journal__systemd_unit": "ssh.service", "__journal_syslog_identifier": "sshd"}, "sshd"),
        ({"__journal_syslog_identifier": "0123456789ab", "__journal_container_name": "shop"}, "shop"),
    ],
)
def test_service_from_the_journal(told: dict[str, str], service: str) -> None:
    labels = {target: told[source] for source, target in RELABEL["journal"] if told.get(source)}
    assert labels["service"] == service


def test_a_line_of_file_and_journal_is_in_the_same_stream() -> None:
    """Then Loki, which stores the same line of the same time once, has it once."""
    text = line(level="ERROR")
    file, journal = (
        read(FILES, text),
        read(JOURNAL, text, service="webapp", level="info", source_unit="dating_app@webapp"),
    )
    assert (file.labels, file.line, file.time) == (journal.labels, journal.line, journal.time)


def docker(text: str, **more: t.Any) -> str:
    return json.dumps({"log": text, "stream": "stderr", "time": now(), **more}, separators=(",", ":"))


def test_docker() -> None:
    attrs = {"tag": "shop", "com.example/team": "web"}
    entry = read(DOCKER, docker("plain text\n", attrs=attrs), filename=CONTAINER)
    assert entry.line == "plain text"
    assert entry.labels == {"service": "shop"}
    assert entry.metadata == {
        "container": "0123456789ab",
        "stream": "stderr",
        "tag": "shop",
        "com_example_team": "web",
    }
    assert entry.time
    inner = read(DOCKER, docker(line(timestamp="2999-01-01T00:00:00.5Z") + "\n"), filename=CONTAINER)
    assert (inner.labels, inner.time.year if inner.time else 0) == ({"service": "auth-service", "level": "info"}, 2999)
    assert read(DOCKER, docker("x\n"), filename=CONTAINER).labels == {"service": "0123456789ab"}
    assert read(DOCKER, docker("\n"), filename=CONTAINER).dropped == "empty_line"


def pieces(text: str) -> list[str]:
    """As Docker cuts a line."""
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def test_pieces_of_a_long_line_are_joined() -> None:
    """Those of each stream by themselves, and what is read of the line is that of the whole."""
    long, other = line(message="x" * 40_000, level="ERROR") + "\n", "y" * 20_000 + "\n"
    cut = [docker(text) for text in pieces(long)]
    cut[1:1] = [docker(text, stream="stdout") for text in pieces(other)]
    second, first = read_all(DOCKER, cut, filename=CONTAINER)
    assert (first.labels, first.metadata["stream"]) == ({"service": "auth-service", "level": "error"}, "stderr")
    assert long.startswith(first.line)
    assert len(first.line) == SETTINGS["line_limit"], "cut when everything is known of it"
    assert (set(second.line), second.metadata["stream"]) == ({"y"}, "stdout")


def test_line_that_fills_its_last_piece_ends_there() -> None:
    """Behind it Docker writes an empty one."""
    full = line(message="x" * (PIECE - len(line(message=""))))
    assert len(full) == PIECE
    cut = [docker(text) for text in [*pieces(f"{full}\n"), "next\n", "\n", "\r\n"]]
    first, second, *empty = read_all(DOCKER, cut, filename=CONTAINER)
    assert full.startswith(first.line)
    assert (first.labels["level"], second.line) == ("info", "next")
    assert [one.dropped for one in empty] == ["empty_line", "empty_line"]


def test_last_words_of_a_container_wait_for_no_end() -> None:
    assert [one.line for one in read_all(DOCKER, [docker("panic"), docker("again\n")], filename=CONTAINER)] == [
        "panic",
        "again",
    ]


def test_line_of_a_containers_file_that_is_not_dockers_stays_as_it_is() -> None:
    for text in ("garbage", '{"log": "no time\\n"}'):
        assert read(DOCKER, text, filename=CONTAINER).line == text


def test_traceback_in_a_plain_file_is_one_entry() -> None:
    trace = ["2999-01-01 ERROR it broke", "Traceback (most recent call last):", "ValueError: no"]
    stated = {**FILES, "format": "plain", "multiline": {"first_line": r"^\d{4}-"}}
    first, second = read_all(stated, [*trace, "2999-01-01 INFO it goes on"])
    assert (first.line, second.line) == ("\n".join(trace), "2999-01-01 INFO it goes on")


def test_time_without_an_offset_is_that_of_the_zone() -> None:
    entry = read({**FILES, "time_zone": "Europe/Berlin"}, line(timestamp="2026-07-01 10:00:00,5"))
    assert entry.time == datetime.datetime(2026, 7, 1, 8, 0, 0, 500000, tzinfo=datetime.UTC)
    entry = read({**FILES, "time_zone": "Europe/Berlin"}, line(timestamp="2026-07-01T10:00:00Z"))
    assert entry.time == datetime.datetime(2026, 7, 1, 10, tzinfo=datetime.UTC)


def test_logfmt_and_regex_and_plain() -> None:
    logfmt = {**FILES, "format": "logfmt", "time_field": "ts", "metadata": ["user"]}
    entry = read(logfmt, 'ts=2999-01-01T00:00:00Z level=warning user=4 message="a b"')
    assert (entry.labels["level"], entry.metadata["user"], entry.time is not None) == ("warn", "4", True)
    expression = r"^(?P<timestamp>\S+ \S+) (?P<level>\w+) (?P<message>.*)"
    regex = {**FILES, "format": "regex", "expression": expression, "keep": "message"}
    entry = read(regex, "2999-01-01 00:00:00,25 ERROR it broke")
    assert (entry.line, entry.labels["level"], entry.time is not None) == ("it broke", "error", True)
    entry = read({**FILES, "format": "plain"}, line())
    assert (entry.labels, entry.time) == ({"service": "shop"}, None)


def test_metadata_of_fields_with_other_names() -> None:
    entry = read({**FILES, "metadata": ["http.status", "@version"]}, line(http={"status": 200}, **{"@version": "1"}))
    assert entry.metadata == {"filename": "/var/log/app/shop.log", "http_status": "200", "version": "1"}


def test_metadata_of_what_the_source_tells_is_the_sources() -> None:
    entry = read({**FILES, "metadata": ["filename", "user"]}, line(filename="lie", user="eve"))
    assert entry.metadata == {"filename": "/var/log/app/shop.log", "user": "eve"}
    stated = {**DOCKER, "metadata": ["container", "stream", "tag"]}
    entry = read(stated, docker(line(stream="lie") + "\n", attrs={"tag": "shop"}), filename=CONTAINER)
    assert entry.metadata == {"container": "0123456789ab", "stream": "stderr", "tag": "shop"}
    entry = read({**JOURNAL, "metadata": ["unit"]}, line(unit="lie"), source_unit="ssh.service")
    assert entry.metadata == {"unit": "ssh.service"}
    entry = read({"name": "network", "kind": "syslog", "metadata": ["host"]}, line(host="lie"), source_host="sw1")
    assert entry.metadata["host"] == "sw1"


def test_a_service_that_is_called_like_what_the_source_tells() -> None:
    assert read({**JOURNAL, "service_field": "unit"}, line(unit="shop"), service="sh").labels["service"] == "shop"


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        ({"matches": "GET /health"}, "GET /health 200", "asked_for"),
        ({"matches": "GET /health"}, "GET / 200", ""),
        ({"field": "level", "matches": "debug"}, line(level="DEBUG"), "asked_for"),
        ({"field": "level", "matches": "debug"}, line(level="INFO"), ""),
        ({"field": "route", "matches": "^/health$"}, line(route="/health"), "asked_for"),
        ({"longer_than": 10, "matches": "x"}, "x" * 11, "asked_for"),
        ({"longer_than": 10, "matches": "y"}, "x" * 11, ""),
        ({"older_than": "1h"}, line(timestamp=now(ago=2)), "asked_for"),
        ({"matches": "never"}, line(timestamp=now(ago=169)), "too_old"),
    ],
)
def test_drop(rule: dict[str, t.Any], text: str, reason: str) -> None:
    assert read({**FILES, "drop": [rule]}, text).dropped == reason


def test_a_long_line_is_cut_when_everything_is_known_of_it() -> None:
    entry = read(FILES, line(message="x" * 300, level="ERROR"))
    assert (len(entry.line), entry.labels["level"]) == (256, "error")


def test_metadata_may_be_left_out() -> None:
    """For a Loki that refuses it. All else is as it was."""
    for log in [checked_log(stated, "web") for stated in (DOCKER, FILES, JOURNAL)]:
        with_some = stages(log, SETTINGS)
        rest = [stage for stage in with_some if stage.kind != "metadata"]
        assert stages(log, {**SETTINGS, "metadata": False}) == rest
        assert len(rest) + 1 == len(with_some)


def test_lines_are_joined_before_anything_else_is_done() -> None:
    """The stage multiline forgets what earlier ones have found, but for time and line."""
    kinds = [stage.kind for stage in stages(checked_log({**FILES, "multiline": {"first_line": "^x"}}, "web"), SETTINGS)]
    assert kinds[0] == "multiline"
    kinds = [
        stage.kind for stage in stages(checked_log({**DOCKER, "multiline": {"first_line": "^x"}}, "web"), SETTINGS)
    ]
    assert kinds[kinds.index("output") :][:4] == ["output", "cri", "drop", "multiline"]


def test_drop_by_the_service_of_a_line_where_the_entry_states_another() -> None:
    rule = {"field": "service", "matches": "^noisy$"}
    assert read({**FILES, "service": "shop", "drop": [rule]}, '{"service": "noisy"}').dropped == "asked_for"
    assert not read({**FILES, "service": "noisy", "drop": [rule]}, '{"service": "shop"}').dropped
