# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What is read as logs, and where it goes: C(monitoring_logs), checked and completed, and the group C(loki)."""

from __future__ import annotations

import hashlib
import itertools
import re
import typing as t

from ansible.errors import AnsibleError

from .addresses import Listener, collide, is_loopback, split_address
from .logs_paths import Shared, shared_paths
from .logs_push import PATH, Push, outside_push
from .logs_types import check_expression, check_zone, number, text, typed, yes_or_no
from .quantities import HOURS, is_a
from .render import plain
from .scrape import HostVars, address_of, has_authority, join, mutual_address

AGENTS = ("promtail", "alloy")
PORT = 3100  # of Loki, unless it is told another
# The labels that we set ourselves; each further one multiplies the streams.
LABELS = ("instance", "service", "level")

DEFAULTS: dict[str, t.Any] = {
    "service": "",
    "labels": {},
    "format": "json",
    "expression": "",
    "time_field": "timestamp",
    "time_formats": [
        "RFC3339Nano",
        # Without an offset. Go takes fractions of a second, after a point or a comma, where the layout has none.
        "2006-01-02T15:04:05",
        "2006-01-02 15:04:05Z07:00",
        "2006-01-02 15:04:05",
    ],
    "time_zone": "UTC",
    "level_field": "level",
    "service_field": "service",
    "message_field": "message",
    "metadata": ["logger", "module", "function", "event_type", "trace_id", "request_id"],
    "keep": "line",
    "multiline": {},
    "drop": [],
    "limit": {},
}
# What each kind has beside these. None: it has to be stated.
KINDS: dict[str, dict[str, t.Any]] = {
    "files": {"paths": None, "exclude": []},
    "journal": {"max_age": "12h"},
    "docker": {
        "paths": ["/var/lib/docker/containers/*/*-json.log"],
        "exclude": [],
        "container_labels": [],
    },
    "syslog": {"listen_address": "127.0.0.1:1514", "protocol": "tcp", "syslog_format": "rfc5424"},
}
# What the source itself tells of a line, by the value that holds it. It becomes structured metadata.
SOURCE_FIELDS: dict[str, dict[str, str]] = {
    "files": {"filename": "filename"},
    "journal": {"unit": "source_unit"},
    "docker": {"container": "source_container", "stream": "source_stream", "tag": "source_tag"},
    "syslog": {"host": "source_host"},
}
CHOICES = {
    "kind": tuple(KINDS),
    "format": ("json", "logfmt", "regex", "plain"),
    "keep": ("line", "message"),
    "protocol": ("tcp", "udp"),
    "syslog_format": ("rfc5424", "rfc3164"),
}
MULTILINE = {"first_line": None, "max_wait": "3s", "max_lines": 500}
DROP = ("field", "matches", "older_than", "longer_than")
LIMIT = {"rate": None, "burst": None, "drop": False}

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_RE2 = re.compile(r"\(\?(?:=|!|<=|<!)|\\[1-9]")

Log = t.Mapping[str, t.Any]


# --- what is read ---


def checked_logs(stated: t.Any, host: str) -> list[dict[str, t.Any]]:
    """All of monitoring_logs with their defaults. Raises AnsibleError with the host and what to change."""
    if not isinstance(stated, (list, tuple)):
        raise AnsibleError(f"monitoring_logs of {host} is not a list.")
    logs = [checked_log(entry, host) for entry in stated]
    seen: set[str] = set()
    for name in (log["name"] for log in logs):
        if name in seen:
            raise AnsibleError(
                f"monitoring_logs of {host}: {name} is there twice. What to do: give one of them another name."
            )
        seen.add(name)
    if sum(log["kind"] == "journal" for log in logs) > 1:
        raise AnsibleError(f"monitoring_logs of {host}: the journal is there twice, so each line would be sent twice.")
    for shared in shared_paths(logs):
        raise AnsibleError(f"monitoring_logs of {host}: {_read_twice(shared)}")
    for one, other in itertools.combinations(syslog_listeners(logs), 2):
        if collide(one, other):
            raise AnsibleError(
                f"monitoring_logs of {host}: {one.owner} and {other.owner} both listen on port {one.port} "
                f"({one.protocol}). What to do: give one of them another listen_address."
            )
    return logs


def syslog_listeners(logs: t.Iterable[Log]) -> list[Listener]:
    """Who listens for syslog, by the entries' names."""
    return [
        Listener(log["name"], *split_address(str(log["listen_address"])), log["protocol"])
        for log in logs
        if log["kind"] == "syslog"
    ]


def capabilities(logs: t.Sequence[Log]) -> str:
    """What the agent needs beyond its account, each only where an entry asks for it."""
    asked = {
        # Docker's files are root's alone: it reads, as root could, every file of the host.
        "CAP_DAC_READ_SEARCH": any(log["kind"] == "docker" for log in logs),
        # Most switches send to port 514 and to no other.
        "CAP_NET_BIND_SERVICE": any(one.port < 1024 for one in syslog_listeners(logs)),
    }
    return " ".join(name for name, is_asked in asked.items() if is_asked)


def _read_twice(shared: Shared) -> str:
    """Two entries would send each line twice, and note in one place how far they are."""
    first, pattern, second, path = shared
    if first == second:
        return f"{first} reads {path} twice, by {pattern} too. What to do: take {path} out of its paths."
    if pattern == path:
        return f"{first} and {second} both read {path}. What to do: take it out of one of them."
    return (
        f"{second} reads {path}, and so does {first} by {pattern}. What to do: put {path} into exclude of {first}, or "
        f"take it out of {second}."
    )


def checked_log(stated: t.Any, host: str) -> dict[str, t.Any]:
    """An entry of monitoring_logs with its defaults. Raises AnsibleError with the host and what to change."""
    if not isinstance(stated, dict):
        raise AnsibleError(f"monitoring_logs of {host}: an entry is not a map with name and kind.")
    missing = [key for key in ("name", "kind") if not stated.get(key)]
    if missing:
        keys = ", ".join(map(str, stated))
        raise AnsibleError(
            f"monitoring_logs of {host}: an entry with {keys or 'nothing'} lacks {' and '.join(missing)}."
        )
    where = f"monitoring_logs of {host}: {stated['name']}"
    if not _NAME.fullmatch(str(stated["name"])):
        raise AnsibleError(f"{where} cannot be a name. Use small letters, digits and _, with a letter first.")
    _one_of(where, "kind", stated["kind"])
    possible = {**DEFAULTS, **KINDS[stated["kind"]]}
    given = {key: value for key, value in stated.items() if value is not None and key not in ("name", "kind")}
    foreign = sorted(str(key) for key in set(given) - set(possible))
    if foreign:
        known = ", ".join(sorted(possible))
        raise AnsibleError(
            f"{where} has {', '.join(foreign)}, which {stated['kind']} does not know. Known are {known}."
        )
    given = {key: typed(where, key, possible[key], value) for key, value in given.items()}
    log = {"name": str(stated["name"]), "kind": str(stated["kind"]), **possible, **given}
    for key in ("format", "keep", *(["protocol", "syslog_format"] if log["kind"] == "syslog" else [])):
        _one_of(where, key, log[key])
    _check_parts(where, log)
    return log


def _check_parts(where: str, log: dict[str, t.Any]) -> None:
    """What an entry holds, part by part; completes those that have defaults of their own."""
    if "paths" in log and not log["paths"]:
        raise AnsibleError(f"{where} lacks paths: which files are read.")
    for path in [*log.get("paths", []), *log.get("exclude", [])]:
        if not path.startswith("/"):
            raise AnsibleError(
                f"{where} has the path {path!r}. Write it from the root on, such as /var/log/shop/*.log."
            )
    if not log["time_formats"]:
        raise AnsibleError(f"{where} has no time_formats. Leave them out for those of ISO 8601.")
    check_zone(where, log["time_zone"])
    if (log["format"] == "regex") != bool(log["expression"]):
        raise AnsibleError(f"{where}: the format regex needs an expression with named groups, and no other has one.")
    if log["format"] == "regex" and "(?P<" not in log["expression"]:
        raise AnsibleError(f"{where}: the expression names no group. Write (?P<{log['message_field']}>...).")
    for name in log["labels"]:
        if name in (*LABELS, "filename", "job") or not _LABEL.fullmatch(str(name)) or str(name).startswith("__"):
            raise AnsibleError(f"{where} cannot have a label {name}: it is ours, or no name of a label.")
    log["labels"] = {name: text(where, f"the label {name}", value) for name, value in log["labels"].items()}
    log["multiline"] = _completed(where, "multiline", MULTILINE, log["multiline"])
    if log["multiline"]:
        log["multiline"]["first_line"] = text(where, "first_line", log["multiline"]["first_line"])
        log["multiline"]["max_lines"] = number(where, "max_lines", log["multiline"]["max_lines"])
    if limit := _completed(where, "limit", LIMIT, log["limit"]):
        numbers = {"rate": limit["rate"], "burst": limit["burst"] or limit["rate"]}
        limit = {key: number(where, f"limit.{key}", value) for key, value in numbers.items()} | {
            "drop": yes_or_no(where, "limit.drop", limit["drop"])
        }
    log["limit"] = limit
    log["drop"] = [_checked_drop(where, rule) for rule in log["drop"]]
    for rule in log["drop"]:
        _check_field(where, log, rule.get("field"))
    _check_names(where, log)
    if log["kind"] == "journal":
        _check_duration(where, "max_age", log["max_age"])
    if log["kind"] == "syslog":
        try:
            split_address(str(log["listen_address"]))
        except AnsibleError as error:
            raise AnsibleError(f"{where}: listen_address: {error}") from error
    if log["multiline"]:
        _check_duration(where, "max_wait", log["multiline"]["max_wait"])
    expressions = [("expression", log["expression"]), ("first_line", log["multiline"].get("first_line"))]
    for key, expression in (*expressions, *(("matches", rule.get("matches")) for rule in log["drop"])):
        if expression and _NOT_RE2.search(expression):
            raise AnsibleError(
                f"{where}: {expression!r} looks ahead, behind or back, which the agents' regular expressions (RE2) "
                "cannot. What to do: write it without."
            )
        check_expression(where, key, expression or "")


def _completed(where: str, key: str, defaults: t.Mapping[str, t.Any], stated: t.Any) -> dict[str, t.Any]:
    if not stated:
        return {}
    needed = next(name for name, value in defaults.items() if value is None)
    if not isinstance(stated, dict) or set(stated) - set(defaults) or not stated.get(needed):
        raise AnsibleError(f"{where}: {key} needs {needed}, and may have {', '.join(set(defaults) - {needed})}.")
    return {**defaults, **{name: value for name, value in stated.items() if value is not None}}


def _checked_drop(where: str, rule: t.Any) -> dict[str, t.Any]:
    conditions = [key for key in ("matches", "older_than", "longer_than") if isinstance(rule, dict) and rule.get(key)]
    if not conditions or set(rule) - set(DROP) or (rule.get("field") and not rule.get("matches")):
        raise AnsibleError(
            f"{where}: an entry of drop needs matches (with field, if not the whole line is meant), older_than or "
            "longer_than; with several of them all have to hold."
        )
    found = {key: value for key, value in rule.items() if value is not None}
    found |= {key: text(where, key, found[key]) for key in ("field", "matches") if key in found}
    if found.get("older_than"):
        _check_duration(where, "older_than", found["older_than"])
    if found.get("longer_than"):
        found["longer_than"] = number(where, "longer_than", found["longer_than"])
    return found


def _check_field(where: str, log: Log, name: str | None) -> None:
    """A field that no line can have would let the rule drop nothing."""
    if not name or name in values_of(log) or possible_fields(log, [name]):
        return
    named = possible_fields(log, re.findall(r"\(\?P<(\w+)>", log["expression"]))
    raise AnsibleError(
        f"{where}: drop asks for the field {name}, which no line of the format {log['format']} has here. What to do: "
        f"take one of {', '.join(dict.fromkeys([*values_of(log), *named]))}; or leave field out, and match the line."
    )


def _check_names(where: str, log: Log) -> None:
    """Of a name letters, digits and _ are kept, so that two of them may become one."""
    labels = {f"the container's label {name}": name for name in log.get("container_labels", [])}
    metadata = {name: name for name in [*SOURCE_FIELDS[log["kind"]], *named_metadata(log)]} | labels
    fields = {name: name for name in line_fields(log)} if log["format"] != "regex" else {}
    for names in (metadata, fields):
        seen: dict[str, str] = {}
        for shown, name in names.items():
            kept = metadata_name(name)
            if not kept:
                raise AnsibleError(f"{where}: {name!r} has no letter and no digit, so it can be no name in Loki.")
            if kept in seen:
                raise AnsibleError(
                    f"{where}: {seen[kept]} and {shown} would both be called {kept}, as letters, digits and _ are all "
                    "that is kept of a name. What to do: take one of them out (metadata, container_labels)."
                )
            seen[kept] = shown


def _check_duration(where: str, key: str, value: t.Any) -> None:
    if not is_a(HOURS, value):
        raise AnsibleError(f"{where}: {key} is no duration: {value!r}. Write it like {HOURS.examples}.")


def _one_of(where: str, key: str, value: t.Any) -> None:
    if value not in CHOICES[key]:
        raise AnsibleError(f"{where} has the {key} {value!r}. Use one of {', '.join(CHOICES[key])}.")


def possible_fields(log: Log, names: t.Iterable[str]) -> list[str]:
    """Those of the fields that a line of this format can have."""
    if log["format"] == "plain":
        return []
    groups = re.findall(r"\(\?P<(\w+)>", log["expression"])
    return [name for name in dict.fromkeys(names) if name and (log["format"] != "regex" or name in groups)]


def line_fields(log: Log) -> list[str]:
    """The fields of a line that anything asks for, as far as a line of this format can have them."""
    asked = [log["time_field"], log["level_field"], *([] if log["service"] else [log["service_field"]])]
    asked += [log["message_field"]] if log["keep"] == "message" else []
    dropped = [rule["field"] for rule in log["drop"] if rule.get("field")]
    return possible_fields(log, [*asked, *_untold(log, [*log["metadata"], *dropped])])


def named_metadata(log: Log) -> list[str]:
    """The fields of a line that become structured metadata."""
    return possible_fields(log, _untold(log, log["metadata"]))


def _untold(log: Log, names: t.Iterable[str]) -> list[str]:
    """Without what the source itself tells, which a line cannot tell better."""
    return [name for name in names if name not in SOURCE_FIELDS[log["kind"]]]


def metadata_name(name: str) -> str:
    """A name that Loki takes."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")


def values_of(log: Log) -> dict[str, str]:
    """What is known of a line beside its fields, by the value that holds it when lines are dropped."""
    told = log["kind"] in ("journal", "syslog")  # these tell service and level themselves
    found = dict(SOURCE_FIELDS[log["kind"]])
    if told or possible_fields(log, [log["level_field"]]):
        found["level"] = "level"
    if told or not log["service"]:
        found["service"] = "service"
    return found


def journal_begin(logs: t.Iterable[Log]) -> str:
    """For log_positions: the name of the entry that reads the journal, and how far back its first start goes."""
    return "".join(f"{log['name']} {log['max_age']}\n" for log in logs if log["kind"] == "journal")


# --- where it goes ---


def present(component: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[str]:
    """The hosts of a component's group, but those on which it is absent."""
    state = f"{component}_state"
    return [host for host in groups.get(component, []) if hostvars[host].get(state, "present") != "absent"]


def pushes(host: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[Push]:
    """Where this host sends its lines: one member of the cluster, or what C(monitoring_logs_push) says."""
    members = present("loki", groups, hostvars)
    stated = plain(hostvars[host].get("monitoring_logs_push") or [])
    if not isinstance(stated, list):
        raise AnsibleError(f"monitoring_logs_push of {host} is not a list of hosts and addresses.")
    if stated:
        return [
            _push(host, entry, hostvars[entry])
            if isinstance(entry, str) and entry in members
            else outside_push(host, number, entry, members, hostvars[host])
            for number, entry in enumerate(stated, 1)
        ]
    if not members:
        raise AnsibleError(
            f"{host} reads logs, but the inventory has no host in the group loki that could take them. "
            "What to do: put one there, say where else they go (monitoring_logs_push), or take this host out of the "
            "groups promtail and alloy."
        )
    chosen = chosen_member(host, members)
    return [_push(host, chosen, hostvars[chosen])]


def chosen_member(host: str, members: t.Sequence[str]) -> str:
    """Always the same one for a host, and about as many hosts for each. A member that goes moves its hosts only.

    Members share what they store. To send to all of them would store nothing more, and the agents would wait for each.
    """
    if host in members:
        return host
    return max(members, key=lambda member: hashlib.sha256(f"{host} {member}".encode()).digest())


def _push(host: str, other: str, settings: t.Mapping[str, t.Any]) -> Push:
    """Without an authority whose certificates it could ask for, a Loki listens on its loopback unless it is told to."""
    tls = has_authority(settings)
    listens, port = split_address(str(settings.get("loki_listen_address") or f"{mutual_address(settings)}:{PORT}"))
    address = address_of(other, settings)
    if is_loopback(listens) and other != host:
        raise AnsibleError(
            f"{host} cannot reach Loki on {other}, which listens on {listens} only. What to do: turn TLS on "
            "(monitoring_tls: selfsigned), so that it asks for certificates; or, in a network that only the stack "
            "reaches, set loki_listen_address."
        )
    reached = listens if is_loopback(listens) else address
    url = f"{'https' if tls else 'http'}://{join(reached, port)}{PATH}"
    return Push(url, address, "ca.crt", certificate=True) if tls else Push(url)
