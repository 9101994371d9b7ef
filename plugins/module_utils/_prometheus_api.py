# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Prometheus' HTTP API: the connection, and several questions in one go."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from . import _http

# Documented in plugins/doc_fragments/prometheus.py.
ARGUMENT_SPEC: dict[str, t.Any] = {
    "url": {"type": "str", "default": "http://127.0.0.1:9090"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "server_name": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 30.0},
}
REQUIRED_TOGETHER = [("user", "password")]
# Prometheus evaluates up to 20 queries at once: four leave room for dashboards and for people.
AT_ONCE = 4


def connect(params: t.Mapping[str, t.Any]) -> _http.Api:
    """A client out of the options of a module. Asks nothing yet."""
    return _http.Api(
        "Prometheus",
        params["url"],
        user=params["user"] or "",
        password=params["password"] or "",
        ca_path=params["ca_path"] or "",
        server_name=params["server_name"] or "",
        validate_certs=params["validate_certs"],
        timeout=params["timeout"],
    )


def prometheus_module(options: t.Mapping[str, t.Any], **arguments: t.Any) -> AnsibleModule:
    """A module with the options of the connection beside its own."""
    module = AnsibleModule(
        argument_spec={**ARGUMENT_SPEC, **options},
        required_together=REQUIRED_TOGETHER,
        supports_check_mode=True,
        **arguments,
    )
    _http.require_requests(module)
    return module


class Question(t.NamedTuple):
    """A path of the API with its parameters. C(exists): only whether there is any result is of interest."""

    name: str
    path: str
    params: t.Mapping[str, t.Any] = {}
    exists: bool = False


def answers(api: _http.Api, questions: t.Sequence[Question]) -> dict[str, dict[str, t.Any]]:
    """C({"data": ...}) or C({"error": ...}) for each. Raises ApiError where the server itself cannot be asked.

    The first is asked alone: a wrong password is then sent once, and a server that is gone is waited for once.
    """
    if not questions:
        return {}
    first, *rest = questions
    found = {first.name: _answer(api, first, alone=True)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found.update(zip((one.name for one in rest), pool.map(lambda one: _answer(api, one), rest)))
    return found


def _answer(api: _http.Api, question: Question, alone: bool = False) -> dict[str, t.Any]:
    try:
        data = api.get(question.path, question.params)["data"]
    except _http.ApiError as error:
        # 400 and 422 are about the question; no answer, a login or a proxy are about the server.
        if alone and error.status not in (400, 404, 422):
            raise
        return {"error": error.seen or error.what}
    return {"data": bool(data["result"]) if question.exists else data}
