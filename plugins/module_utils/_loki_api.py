# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Loki's HTTP API: the connection that its modules share. It knows no passwords, but certificates."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from . import _http

# Documented in plugins/doc_fragments/loki.py.
ARGUMENT_SPEC: dict[str, t.Any] = {
    "url": {"type": "str", "default": "http://127.0.0.1:3100"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "tenant": {"type": "str"},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 30.0},
}
REQUIRED_TOGETHER = [("client_cert", "client_key"), ("user", "password")]


class Loki(_http.Api):
    """A Loki at an address."""

    def _refused(self, asked: str, response: t.Any, data: t.Any) -> _http.ApiError:
        """What it refuses it says in plain text."""
        plain = response.headers.get("Content-Type", "").startswith("text/plain")
        if not (plain and 400 <= response.status_code < 500) or response.status_code in _http.PASSING:
            return super()._refused(asked, response, data)
        what = f"{asked} was answered with {response.status_code} {response.reason}".rstrip()
        said = " ".join(response.text.split())
        return _http.ApiError(what, said[-_http.EXCERPT :], remedy_of(said), response.status_code, said)


def remedy_of(said: str) -> str:
    """What to do about what Loki says, where its own words leave that open."""
    hints = {
        "not supported as an instant query": "ask for a range of time: type: range",
        "timestamp too old": "see whether the clock is right; Loki's reject_old_samples_max_age is the limit",
        "timestamp too new": "see whether the clock is right",
        "no org id": "Loki has tenants: state tenant",
        "max entry size": "write shorter lines, or raise max_line_size",
    }
    return next((remedy for hint, remedy in hints.items() if hint in said), "")


def connect(params: t.Mapping[str, t.Any]) -> Loki:
    """A client out of the options of a module. Asks nothing yet."""
    loki = Loki(
        "Loki",
        params["url"],
        user=params["user"] or "",
        password=params["password"] or "",
        ca_path=params["ca_path"] or "",
        validate_certs=params["validate_certs"],
        timeout=params["timeout"],
    )
    if params["client_cert"]:
        loki.session.cert = (params["client_cert"], params["client_key"])
    if params["tenant"]:
        loki.session.headers["X-Scope-OrgID"] = params["tenant"]
    return loki


def loki_module(options: t.Mapping[str, t.Any], **arguments: t.Any) -> AnsibleModule:
    """A module with the options of the connection beside its own."""
    module = AnsibleModule(
        argument_spec={**ARGUMENT_SPEC, **options},
        required_together=REQUIRED_TOGETHER,
        supports_check_mode=True,
        **arguments,
    )
    _http.require_requests(module)
    return module


def lines_of(streams: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Every line with its labels, in the order of time."""
    found = [
        {"timestamp": stamp, "line": line, "labels": stream["stream"]}
        for stream in streams
        for stamp, line, *_more in stream["values"]
    ]
    return sorted(found, key=lambda one: int(one["timestamp"]))
