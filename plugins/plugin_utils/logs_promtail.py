# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Promtail's configuration from the description of logs: pure functions."""

from __future__ import annotations

import typing as t

from .logs import Log
from .logs_push import Push
from .logs_stages import BATCH, LEVEL_OF, PIECE, RELABEL, Stage, stages

Config = dict[str, t.Any]


def promtail_config(logs: t.Sequence[Log], clients: t.Sequence[Push], settings: t.Mapping[str, t.Any]) -> Config:
    """C(settings): instance, address, port, positions, secrets (the folder), max_age, line_limit, metadata."""
    return {
        "server": {
            "http_listen_address": settings["address"],
            "http_listen_port": settings["port"],
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": 0,
            "log_level": "warn",
            # Else it is not ready as long as there is no file to read, which is no fault.
            "health_check_target": False,
        },
        "positions": {"filename": settings["positions"]},
        "clients": [_client(client, settings) for client in clients],
        # The same for all clients. What is longer is cut: Loki would refuse it.
        "limits_config": {"max_line_size": f"{settings['line_limit']}B", "max_line_size_truncate": True},
        "target_config": {"sync_period": "5s"},  # how soon a new file is found
        "scrape_configs": [_job(log, settings) for log in logs],
    }


def _client(client: Push, settings: t.Mapping[str, t.Any]) -> Config:
    found: Config = {
        "url": client.url,
        "external_labels": {"instance": settings["instance"]},
        "batchsize": BATCH,
        # It tries as long as it takes, and reads no further meanwhile: files and journal keep the lines until then.
        "backoff_config": {"min_period": "500ms", "max_period": "10s", "max_retries": 0},
    }
    if client.tenant:
        found["tenant_id"] = client.tenant
    found |= {name: options for name, options in login(client, settings["secrets"]).items() if options}
    return found


def login(client: Push, secrets: str) -> dict[str, dict[str, str]]:
    """How it is verified, and shown who asks: both agents call this alike."""
    own = {"cert_file": "tls.crt", "key_file": "tls.key"} if client.certificate else {}
    files = {"ca_file": client.ca, **own} if client.ca else own
    tls = {option: f"{secrets}/{name}" for option, name in files.items()}
    if client.server_name:
        tls["server_name"] = client.server_name
    basic = {"username": client.user, "password_file": f"{secrets}/{client.password}"} if client.user else {}
    return {"basic_auth": basic, "tls_config": tls}


def _job(log: Log, settings: t.Mapping[str, t.Any]) -> Config:
    job: Config = {"job_name": log["name"]}
    if log["kind"] in ("files", "docker"):
        job["static_configs"] = [{"targets": ["localhost"], "labels": target} for target in file_targets(log)]
    elif log["kind"] == "journal":
        # A place that is older than this it would give up. How far back the first start goes: journal_begin.
        job["journal"] = {"max_age": settings["max_age"]}
    else:
        job["syslog"] = {
            "listen_address": log["listen_address"],
            "listen_protocol": log["protocol"],
            "syslog_format": log["syslog_format"],
            "use_incoming_timestamp": incoming_time(log),
        }
    if log["kind"] in RELABEL:
        job["relabel_configs"] = [
            {"source_labels": [source], "regex": "(.+)", "target_label": target}
            for source, target in RELABEL[log["kind"]]
        ]
    found = [promtail_stage(stage) for stage in stages(log, settings)]
    job["pipeline_stages"] = [stage for stage in found if stage]
    return job


def incoming_time(log: Log) -> bool:
    """Whether syslog's own time can be taken: that of RFC 3164 names neither year nor zone."""
    return bool(log["syslog_format"] == "rfc5424")


def file_targets(log: Log) -> list[dict[str, str]]:
    """The files to read, as both agents take them: with one pattern for all that are left out."""
    patterns = log["exclude"]
    left_out = patterns[0] if len(patterns) == 1 else "{" + ",".join(patterns) + "}"
    exclude = {"__path_exclude__": left_out} if patterns else {}
    return [{"__path__": path, **exclude} for path in log["paths"]]


def promtail_stage(stage: Stage) -> Config:
    """A stage in Promtail's words; nothing where Promtail says it elsewhere."""
    return _STAGES[stage.kind](stage.options)


def first_of(sources: t.Sequence[str]) -> str:
    """Go template: the first of these values that is not empty."""
    return f'(or {" ".join("." + name for name in sources)} "")'


def level_template(sources: t.Sequence[str]) -> str:
    """Go template: the level that the first of these values means; nothing if it means none."""
    names = " ".join(f'"{name}" "{level}"' for name, level in LEVEL_OF.items())
    return f"{{{{ get (dict {names}) (lower (trim {first_of(sources)})) }}}}"


def choose_template(sources: t.Sequence[str]) -> str:
    return f"{{{{ {first_of(sources)} }}}}"


# Docker's file in the words of CRI, whose stage puts pieces together: a full buffer without an end is one (P). What is
# shorter and has no end is the last word of a container that ended.
CRI_LINE = (
    r"{{ if and .source_time .source_stream }}{{ .source_time }} {{ .source_stream }} "
    r'{{ if and (ge (len (or .Value "")) PIECE) (not (hasSuffix "\n" .Value)) }}P {{ .Value }}'
    r'{{ else }}F {{ TrimSuffix (TrimSuffix (or .Value "") "\n") "\r" }}{{ end }}{{ end }}'
).replace("PIECE", str(PIECE))


def _given(**options: t.Any) -> Config:
    return {key: value for key, value in options.items() if value is not None}


def _drop(options: t.Mapping[str, t.Any]) -> Config:
    longer = options.get("longer_than")
    return {
        "drop": _given(
            source=options.get("source"),
            expression=options.get("matches"),
            older_than=options.get("older_than"),
            longer_than=f"{longer}B" if longer else None,
            drop_counter_reason=options["reason"],
        )
    }


_STAGES: dict[str, t.Callable[[t.Mapping[str, t.Any]], Config]] = {
    "multiline": lambda o: {
        "multiline": {"firstline": o["first_line"], "max_wait_time": o["max_wait"], "max_lines": o["max_lines"]}
    },
    "json": lambda o: {"json": _given(expressions=o["values"], source=o.get("source"))},
    "logfmt": lambda o: {"logfmt": _given(mapping=o["values"], source=o.get("source"))},
    "regex": lambda o: {"regex": _given(expression=o["expression"], source=o.get("source"))},
    "timestamp": lambda o: {
        "timestamp": {
            "source": o["source"],
            "format": o["formats"][0],
            **({"fallback_formats": list(o["formats"][1:])} if o["formats"][1:] else {}),
            "location": o["zone"],
            "action_on_failure": "skip",
        }
    },
    "level": lambda o: {"template": {"source": o["target"], "template": level_template(o["sources"])}},
    "choose": lambda o: {"template": {"source": o["target"], "template": choose_template(o["sources"])}},
    "cri_line": lambda o: {"template": {"source": o["target"], "template": CRI_LINE}},
    "cri": lambda o: {"cri": {"max_partial_line_size": o["limit"], "max_partial_line_size_truncate": True}},
    "output": lambda o: {"output": {"source": o["source"]}},
    "labels": lambda o: {"labels": dict.fromkeys(o["labels"], "")},
    "drop": _drop,
    "limit": lambda o: {"limit": {"rate": o["rate"], "burst": o["burst"], "drop": o["drop"]}},
    "label_drop": lambda o: {"labeldrop": list(o["labels"])},
    "metadata": lambda o: {"structured_metadata": dict(o["values"])},
    "static_labels": lambda o: {"static_labels": dict(o["labels"])},
    "truncate": lambda _o: {},  # limits_config has it, for all jobs
}
