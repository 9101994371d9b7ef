# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Alloy's configuration from the description of logs: pure functions."""

from __future__ import annotations

import json
import re
import typing as t

from .logs import Log
from .logs_promtail import CRI_LINE, choose_template, file_targets, incoming_time, level_template, login
from .logs_push import Push
from .logs_stages import BATCH, RELABEL, Stage, stages

HEADER = "// Managed by Ansible (opswatch.monitoring).\n"
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Raw(str):
    """An expression, not a text."""


class Block(t.NamedTuple):
    """A block of the language: its name, its label, what is in it."""

    name: str
    label: str
    body: tuple[t.Any, ...]  # blocks, and pairs of a name and a value


def alloy_config(logs: t.Sequence[Log], clients: t.Sequence[Push], settings: t.Mapping[str, t.Any]) -> str:
    """C(settings): instance, legacy_positions, secrets (the folder), max_age, line_limit, metadata, more."""
    blocks = [Block("logging", "", (("level", "warn"), ("format", "logfmt")))]
    for log in logs:
        blocks += [*_source(log, settings), _process(log, settings)]
    endpoints = tuple(_endpoint(client, settings) for client in clients)
    labels = ("external_labels", {"instance": settings["instance"]})
    blocks.append(Block("loki.write", "loki", (*endpoints, labels)))
    more = settings.get("more") or ""
    return HEADER + "".join(f"\n{render_block(block)}" for block in blocks) + (f"\n{more.rstrip()}\n" if more else "")


def _endpoint(client: Push, settings: t.Mapping[str, t.Any]) -> Block:
    body: list[t.Any] = [
        ("url", client.url),
        ("batch_size", f"{BATCH}B"),
        # It tries as long as it takes, and reads no further meanwhile: files and journal keep the lines until then.
        ("min_backoff_period", "500ms"),
        ("max_backoff_period", "10s"),
        ("max_backoff_retries", 0),
    ]
    if client.tenant:
        body.append(("tenant_id", client.tenant))
    for name, options in login(client, settings["secrets"]).items():
        if options:
            body.append(Block(name, "", tuple(options.items())))
    return Block("endpoint", "", tuple(body))


def _source(log: Log, settings: t.Mapping[str, t.Any]) -> list[Block]:
    name = log["name"]
    forward = ("forward_to", [Raw(f"loki.process.{name}.receiver")])
    legacy = settings["legacy_positions"]
    if log["kind"] in ("files", "docker"):
        return [
            Block("local.file_match", name, (("path_targets", file_targets(log)), ("sync_period", "5s"))),
            Block(
                "loki.source.file",
                name,
                (("targets", Raw(f"local.file_match.{name}.targets")), forward, ("legacy_positions_file", legacy)),
            ),
        ]
    rules = tuple(
        Block("rule", "", (("source_labels", [source]), ("regex", "(.+)"), ("target_label", target)))
        for source, target in RELABEL[log["kind"]]
    )
    relabel = Block("loki.relabel", name, (("forward_to", Raw("[]")), *rules))
    use = ("relabel_rules", Raw(f"loki.relabel.{name}.rules"))
    if log["kind"] == "journal":
        # A place that is older than this it would give up. How far back the first start goes: journal_begin.
        age = ("max_age", settings["max_age"])
        return [relabel, Block("loki.source.journal", name, (age, use, forward))]
    listener = Block(
        "listener",
        "",
        (
            ("address", log["listen_address"]),
            ("protocol", log["protocol"]),
            ("syslog_format", log["syslog_format"]),
            ("use_incoming_timestamp", incoming_time(log)),
        ),
    )
    return [relabel, Block("loki.source.syslog", name, (listener, use, forward))]


def _process(log: Log, settings: t.Mapping[str, t.Any]) -> Block:
    found = stages(log, settings)
    forward = ("forward_to", [Raw("loki.write.loki.receiver")])
    return Block("loki.process", log["name"], (forward, *(alloy_stage(stage) for stage in found)))


def alloy_stage(stage: Stage) -> Block:
    """A stage in Alloy's words."""
    name, *body = _STAGES[stage.kind](stage.options)
    kept = tuple(part for part in body if isinstance(part, Block) or part[1] is not None)
    return Block(f"stage.{name}", "", kept)


def _drop(options: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    longer = options.get("longer_than")
    return (
        "drop",
        ("source", options.get("source")),
        ("expression", options.get("matches")),
        ("older_than", options.get("older_than")),
        ("longer_than", f"{longer}B" if longer else None),
        ("drop_counter_reason", options["reason"]),
    )


_STAGES: dict[str, t.Callable[[t.Mapping[str, t.Any]], tuple[t.Any, ...]]] = {
    "multiline": lambda o: (
        "multiline",
        ("firstline", o["first_line"]),
        ("max_wait_time", o["max_wait"]),
        ("max_lines", o["max_lines"]),
        ("trim_newlines", False),  # the whole line, as Promtail keeps it
    ),
    "json": lambda o: ("json", ("expressions", o["values"]), ("source", o.get("source"))),
    "logfmt": lambda o: ("logfmt", ("mapping", o["values"]), ("source", o.get("source"))),
    "regex": lambda o: ("regex", ("expression", o["expression"]), ("source", o.get("source"))),
    "timestamp": lambda o: (
        "timestamp",
        ("source", o["source"]),
        ("format", o["formats"][0]),
        ("fallback_formats", list(o["formats"][1:]) or None),
        ("location", o["zone"]),
        ("action_on_failure", "skip"),
    ),
    "level": lambda o: ("template", ("source", o["target"]), ("template", level_template(o["sources"]))),
    "choose": lambda o: ("template", ("source", o["target"]), ("template", choose_template(o["sources"]))),
    "cri_line": lambda o: ("template", ("source", o["target"]), ("template", CRI_LINE)),
    "cri": lambda o: ("cri", ("max_partial_line_size", o["limit"]), ("max_partial_line_size_truncate", True)),
    "output": lambda o: ("output", ("source", o["source"])),
    "labels": lambda o: ("labels", ("values", dict.fromkeys(o["labels"], ""))),
    "drop": _drop,
    "limit": lambda o: ("limit", ("rate", o["rate"]), ("burst", o["burst"]), ("drop", o["drop"])),
    "label_drop": lambda o: ("label_drop", ("values", list(o["labels"]))),
    "metadata": lambda o: ("structured_metadata", ("values", dict(o["values"]))),
    "static_labels": lambda o: ("static_labels", ("values", dict(o["labels"]))),
    "truncate": lambda o: ("truncate", Block("rule", "", (("limit", f"{o['limit']}B"),))),
}


# --- the language ---


def render_block(block: Block, depth: int = 0) -> str:
    indent = "  " * depth
    label = f' "{block.label}"' if block.label else ""
    lines = []
    for part in block.body:
        if isinstance(part, Block):
            lines.append(render_block(part, depth + 1))
        else:
            name, value = part
            lines.append(f"{indent}  {name} = {render_value(value)}\n")
    return f"{indent}{block.name}{label} {{\n{''.join(lines)}{indent}}}\n"


def render_value(value: t.Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(render_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {render_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)  # its escapes are Go's, too


def _key(key: str) -> str:
    return key if _IDENTIFIER.fullmatch(key) else json.dumps(key)
