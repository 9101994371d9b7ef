# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stages of logs make of lines: a reading of them in Python, without an agent.

Unit tests go by it; ./dev test-real holds it to what the real agents make of the same lines.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t
from zoneinfo import ZoneInfo

from plugins.plugin_utils.logs import checked_log
from plugins.plugin_utils.logs_stages import LEVEL_OF, PIECE, stages

SETTINGS = {"max_age": "168h", "line_limit": 256, "metadata": True}


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
    return pipeline(stated, lines, labels, SETTINGS)


def pipeline(
    stated: dict[str, t.Any], lines: list[str], labels: dict[str, str], settings: dict[str, t.Any]
) -> list[Entry]:
    """What becomes of lines; C(labels) are those of their source."""
    known = {"filename": "/var/log/app/shop.log", **labels} if stated["kind"] != "journal" else labels
    entries = [Entry(line, known) for line in lines]
    for stage in stages(checked_log(stated, "web"), settings):
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
            if isinstance(value, (bool, dict, list)):
                value = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            entry.values[name] = value


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
    entry.metadata = {name: str(value) for name, value in found.items() if value not in (None, "")}


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
    whole: list[Entry] = []
    parts: dict[str, str] = {}
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
