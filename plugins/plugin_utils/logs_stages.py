# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The stages that a line passes, whichever agent reads it: pure functions over what C(logs) has checked.

Each stage has a meaning of its own, which logs_promtail and logs_alloy write in the language of their agent. Stages
work on values by name, which begin with the labels of the source.
"""

from __future__ import annotations

import json
import re
import typing as t

from .logs import SOURCE_FIELDS, Log, line_fields, metadata_name, named_metadata, possible_fields, values_of

# However a program calls its levels, these five are what they mean.
LEVELS: dict[str, tuple[str, ...]] = {
    "debug": ("trace", "debug", "dbg", "verbose"),
    "info": ("info", "inf", "information", "informational", "notice"),
    "warn": ("warn", "wrn", "warning"),
    "error": ("error", "err"),
    "critical": ("critical", "crit", "fatal", "panic", "alert", "emerg", "emergency"),
}
LEVEL_OF = {name: level for level, names in LEVELS.items() for name in names}

# Labels that the agents set by themselves, or that carry what is meant for structured metadata.
TEMPORARY = ("filename", "job", "stream", "source_unit", "source_host")

# Bytes that are sent at once. Small, as what was noted as read and not sent is read again after a kill: log_positions.
BATCH = 128 << 10

PIECE = 16384  # bytes at which Docker cuts a line
JOINED = 1 << 20  # bytes at most that pieces are joined to, so that no container fills the agent's memory

# From what journald and syslog tell to labels, in this order: (from, to). The last one that is there counts.
RELABEL = {
    "journal": (
        ("__journal__systemd_unit", "service"),
        ("__journal_syslog_identifier", "service"),
        ("__journal_container_name", "service"),  # of Docker's and Podman's driver; its identifier is a number
        ("__journal_priority_keyword", "level"),
        ("__journal__systemd_unit", "source_unit"),
    ),
    "syslog": (
        ("__syslog_message_app_name", "service"),
        ("__syslog_message_severity", "level"),
        ("__syslog_message_hostname", "source_host"),
    ),
}

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_FILE = r"/(?P<file_service>[^/]+?)(?:\.(?:log|json|txt|out|err))?$"
_CONTAINER = r"/(?P<source_container>[0-9a-f]{12})[0-9a-f]*-json\.log$"


class Stage(t.NamedTuple):
    kind: str
    options: dict[str, t.Any]


def stages(log: Log, settings: t.Mapping[str, t.Any]) -> list[Stage]:
    """What happens to each line, in order.

    C(settings): max_age (older lines are left out), line_limit (longer ones are cut), metadata (whether it is sent).
    """
    sources = SOURCE_FIELDS[log["kind"]]
    found = _unwrapped(log) if log["kind"] == "docker" else []
    if log["multiline"]:  # it forgets everything but the line, its time and its labels
        found.append(Stage("multiline", dict(log["multiline"])))
    found += _parsed(log)
    found += _labelled(log)
    found += [_drop(log, rule) for rule in log["drop"]]
    found.append(Stage("drop", {"older_than": settings["max_age"], "reason": "too_old"}))
    if log["limit"]:
        found.append(Stage("limit", dict(log["limit"])))
    # The labels go first, or Alloy would keep them twice.
    found.append(Stage("label_drop", {"labels": list(TEMPORARY)}))
    metadata = {**sources, **{metadata_name(name): field(log, name) for name in named_metadata(log)}}
    if log["kind"] == "docker":
        metadata |= {metadata_name(name): f"source_label_{metadata_name(name)}" for name in log["container_labels"]}
    if settings["metadata"]:
        found.append(Stage("metadata", {"values": metadata}))
    static = {**log["labels"], **({"service": log["service"]} if log["service"] else {})}
    if static:
        found.append(Stage("static_labels", {"labels": {str(key): str(value) for key, value in static.items()}}))
    if log["keep"] == "message" and possible_fields(log, [log["message_field"]]):
        found.append(Stage("output", {"source": field(log, log["message_field"])}))
    found.append(Stage("truncate", {"limit": settings["line_limit"]}))
    return found


def field(log: Log, name: str) -> str:
    """The value that holds a field of the line."""
    return name if log["format"] == "regex" else f"field_{metadata_name(name)}"


def _unwrapped(log: Log) -> list[Stage]:
    """What Docker's json-file driver has put around a line: its time, its stream, and the attrs of log-opts."""
    labels = {f"source_label_{metadata_name(name)}": json.dumps(name) for name in log["container_labels"]}
    return [
        Stage("regex", {"expression": _CONTAINER, "source": "filename"}),
        Stage(
            "json",
            {
                "values": {
                    "source_line": "log",
                    "source_time": "time",
                    "source_stream": "stream",
                    "source_attrs": "attrs",
                }
            },
        ),
        Stage("json", {"values": {"source_tag": "tag", **labels}, "source": "source_attrs"}),
        Stage("cri_line", {"target": "source_line"}),
        Stage("output", {"source": "source_line"}),
        Stage("cri", {"limit": JOINED}),  # its time, too
        # Not before: behind a line that fills its last piece Docker writes an empty one.
        Stage("drop", {"matches": "^$", "reason": "empty_line"}),
    ]


def _parsed(log: Log) -> list[Stage]:
    """The fields that anything else asks for. A line that is not of this format stays as it is."""
    fields = line_fields(log)
    if not fields:
        return []
    if log["format"] == "regex":
        found = [Stage("regex", {"expression": log["expression"]})]
    else:
        path = _json_path if log["format"] == "json" else str
        found = [Stage(log["format"], {"values": {field(log, name): path(name) for name in fields}})]
    if log["time_field"] in fields:
        time = {"source": field(log, log["time_field"]), "formats": log["time_formats"], "zone": log["time_zone"]}
        found.append(Stage("timestamp", time))
    return found


def _json_path(name: str) -> str:
    """A field as JMESPath has it: a.b leads into an object, what is no name is quoted."""
    return name if _PATH.fullmatch(name) else json.dumps(name)


def _labelled(log: Log) -> list[Stage]:
    """The service and the level, as labels: of the line if it tells them, else of its source."""
    found = []
    levels = [field(log, name) for name in possible_fields(log, [log["level_field"]])]
    found.append(Stage("level", {"target": "level", "sources": [*dict.fromkeys([*levels, "level"])]}))
    labels = ["level"]
    if not log["service"]:
        services = [field(log, name) for name in possible_fields(log, [log["service_field"]])]
        if log["kind"] == "files":
            found.append(Stage("regex", {"expression": _FILE, "source": "filename"}))
            services.append("file_service")
        elif log["kind"] == "docker":
            services += ["source_tag", "source_container"]
        else:
            services.append("service")
        found.append(Stage("choose", {"target": "service", "sources": [*dict.fromkeys(services)]}))
        labels.append("service")
    found.append(Stage("labels", {"labels": labels}))
    return found


def _drop(log: Log, rule: t.Mapping[str, t.Any]) -> Stage:
    options: dict[str, t.Any] = {"reason": "asked_for"}
    options |= {key: rule[key] for key in ("matches", "older_than", "longer_than") if rule.get(key)}
    if name := rule.get("field"):
        options["source"] = values_of(log).get(name) or field(log, name)
    return Stage("drop", options)
