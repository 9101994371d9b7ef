# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the pipelines on lines: a reading of the stages in Python.

Whether the agents read them so too is what the scenario on real programs shows.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t
from zoneinfo import ZoneInfo

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import checked_log
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_stages import LEVEL_OF, PIECE, stages

FILES = {"name": "app", "kind": "files", "paths": ["/var/log/app/*.log"]}
JOURNAL = {"name": "journal", "kind": "journal"}
DOCKER = {"name": "containers", "kind": "docker", "container_labels": ["com.example/team"]}
SETTINGS = {"max_age": "168h", "line_limit": 256, "metadata": True}
CONTAINER = "/var/lib/docker/containers/0123456789abcdef/0123456789abcdef-json.log"


class Entry:
    """A line on its way."""

    def __init__(self, line: str, labels: dict[str, str]) -> None:
        self.line, self.labels, self.values = line, dict(labels), t.cast("dict[str, t.Any]", dict(labels))
        self.time: datetime.datetime | None = None
        self.metadata: dict[str, str] = {}
        self.dropped = ""


def read(stated: dict[str, t.Any], line: str, **labels: str) -> Entry:
    (entry,) = read_all(stated, [line], **labels)
    return entry


def read_all(stated: dict[str, t.Any], lines: list[str], **labels: str) -> list[Entry]:
    known = {"filename": "/var/log/app/shop.log", **labels} if stated["kind"] != "journal" else labels
    entries = [Entry(line, known) for line in lines]
    for stage in stages(checked_log(stated, "web"), SETTINGS):
        if stage.kind in JOINS:
            entries = JOINS[stage.kind](entries, stage.options)
            continue
        for entry in entries:
            if not entry.dropped:
                STAGES[stage.kind](entry, stage.options)
    return entries


def _first(entry: Entry, sources: list[str]) -> str:
    return next((str(entry.values[name]) for name in sources if entry.values.get(name)), "")


def _json(entry: Entry, options: dict[str, t.Any]) -> None:
    try:
        data = json.loads(entry.values.get(options.get("source", ""), entry.line))
    except (ValueError, TypeError):
        return
    if isinstance(data, dict):
        for name, path in options["values"].items():
            value: t.Any = data
            for key in [json.loads(path)] if path.startswith('"') else path.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            entry.values[name] = json.dumps(value) if isinstance(value, (dict, list)) else value


def _logfmt(entry: Entry, options: dict[str, t.Any]) -> None:
    found = {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\S*))', entry.line)}
    entry.values |= {name: found[key] for name, key in options["values"].items() if key in found}


def _regex(entry: Entry, options: dict[str, t.Any]) -> None:
    found = re.search(options["expression"], entry.values.get(options.get("source", ""), entry.line) or "")
    entry.values |= found.groupdict() if found else {}


LAYOUTS = {
    "RFC3339Nano": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)",
    "2006-01-02T15:04:05": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?",
    "2006-01-02 15:04:05Z07:00": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)",
    "2006-01-02 15:04:05": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d([.,]\d+)?",
}


def _timestamp(entry: Entry, options: dict[str, t.Any]) -> None:
    text = str(entry.values.get(options["source"]) or "")
    if any(re.fullmatch(LAYOUTS[layout], text) for layout in options["formats"]):
        found = datetime.datetime.fromisoformat(text)
        entry.time = found if found.tzinfo else found.replace(tzinfo=ZoneInfo(options["zone"]))


def _set(name: str, entry: Entry, value: str) -> None:
    if value:
        entry.values[name] = value
    else:
        entry.values.pop(name, None)


def _drop(entry: Entry, options: dict[str, t.Any]) -> None:
    conditions = []
    if "matches" in options:
        text = entry.values.get(options["source"]) if "source" in options else entry.line
        conditions.append(text is not None and bool(re.search(options["matches"], str(text))))
    if "older_than" in options:
        hours = datetime.timedelta(hours=float(options["older_than"].removesuffix("h")))
        conditions.append(
            bool(entry.time) and t.cast("t.Any", entry.time) < datetime.datetime.now(datetime.UTC) - hours
        )
    if "longer_than" in options:
        conditions.append(len(entry.line) > options["longer_than"])
    if all(conditions):
        entry.dropped = options["reason"]


def _output(entry: Entry, options: dict[str, t.Any]) -> None:
    if options["source"] in entry.values:
        entry.line = str(entry.values[options["source"]])


def _labels(entry: Entry, options: dict[str, t.Any]) -> None:
    entry.labels |= {name: str(entry.values[name]) for name in options["labels"] if entry.values.get(name)}


def _metadata(entry: Entry, options: dict[str, t.Any]) -> None:
    found = {name: entry.values.get(source) for name, source in options["values"].items()}
    entry.metadata = {name: str(value) for name, value in found.items() if value is not None}


def _label_drop(entry: Entry, options: dict[str, t.Any]) -> None:
    entry.labels = {name: value for name, value in entry.labels.items() if name not in options["labels"]}


def _truncate(entry: Entry, options: dict[str, t.Any]) -> None:
    entry.line = entry.line.encode()[: options["limit"]].decode(errors="replace")


def _cri_line(entry: Entry, options: dict[str, t.Any]) -> None:
    if not (entry.values.get("source_time") and entry.values.get("source_stream")):
        entry.values.pop(options["target"], None)
        return
    text = str(entry.values.get(options["target"]) or "")
    piece = len(text.encode()) >= PIECE and not text.endswith("\n")
    rest = f"P {text}" if piece else "F " + text.removesuffix("\n").removesuffix("\r")
    entry.values[options["target"]] = f"{entry.values['source_time']} {entry.values['source_stream']} {rest}"


def _cri(entries: list[Entry], options: dict[str, t.Any]) -> list[Entry]:
    """Pieces of each file and stream are joined until an end is there; the last one's time counts."""
    whole, parts = [], {}
    for entry in entries:
        found = re.fullmatch(r"(?s)(\S+?) (stdout|stderr) (\S+?) (.*)", entry.line)
        if not found:
            whole.append(entry)
            continue
        stamp, stream, flag, text = found.groups()
        entry.time, entry.labels["stream"] = datetime.datetime.fromisoformat(stamp), stream
        entry.line = (parts.pop(stream, "") + text)[: options["limit"]]
        if flag == "P":
            parts[stream] = entry.line
        else:
            whole.append(entry)
    return whole


def _multiline(entries: list[Entry], options: dict[str, t.Any]) -> list[Entry]:
    """Without its time limit: what follows a first line belongs to it."""
    found: list[Entry] = []
    for entry in entries:
        if not found or re.search(options["first_line"], entry.line):
            found.append(entry)
        else:
            found[-1].line += f"\n{entry.line}"
    return found


STAGES: dict[str, t.Callable[[Entry, dict[str, t.Any]], None]] = {
    "json": _json,
    "logfmt": _logfmt,
    "regex": _regex,
    "timestamp": _timestamp,
    "level": lambda e, o: _set(o["target"], e, LEVEL_OF.get(_first(e, o["sources"]).strip().lower(), "")),
    "choose": lambda e, o: _set(o["target"], e, _first(e, o["sources"])),
    "cri_line": _cri_line,
    "output": _output,
    "labels": _labels,
    "drop": _drop,
    "label_drop": _label_drop,
    "metadata": _metadata,
    "static_labels": lambda e, o: e.labels.update(o["labels"]),
    "truncate": _truncate,
    "limit": lambda _e, _o: None,
}
JOINS: dict[str, t.Callable[[list[Entry], dict[str, t.Any]], list[Entry]]] = {"cri": _cri, "multiline": _multiline}


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
