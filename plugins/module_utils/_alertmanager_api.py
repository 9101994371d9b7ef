# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Alertmanager's HTTP API: the connection to whichever member of a cluster answers."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from . import _http

# Documented in plugins/doc_fragments/alertmanager.py.
ARGUMENT_SPEC: dict[str, t.Any] = {
    "urls": {"type": "list", "elements": "str", "aliases": ["url"], "default": ["http://127.0.0.1:9093"]},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "server_name": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 10.0},
}
REQUIRED_TOGETHER = [("user", "password")]
REMEDIES = {401: "correct user and password: they are those of its web configuration (monitoring_auth_password)"}


class Alertmanager(_http.Api):
    """One member at an address."""

    def _refused(self, asked: str, response: t.Any, data: t.Any) -> _http.ApiError:
        """Wrong logins are answered in plain text, and what the API refuses with a text in JSON."""
        status = response.status_code
        plain = response.headers.get("Content-Type", "").startswith("text/plain")
        if isinstance(data, str):
            said = data
        elif plain and 400 <= status < 500 and status not in _http.PASSING:
            said = " ".join(response.text.split())[: _http.EXCERPT]
        else:
            return super()._refused(asked, response, data)
        what = f"{asked} was answered with {status} {response.reason}".rstrip()
        return _http.ApiError(what, said, self.remedies.get(status, ""), status, said)


def connect(params: t.Mapping[str, t.Any]) -> list[Alertmanager]:
    """A client for each member, out of the options of a module. Asks nothing yet."""
    return [
        Alertmanager(
            "Alertmanager",
            url,
            user=params["user"] or "",
            password=params["password"] or "",
            ca_path=params["ca_path"] or "",
            server_name=(params["server_name"] or "") if number == 0 else "",
            validate_certs=params["validate_certs"],
            timeout=params["timeout"],
            remedies=REMEDIES,
        )
        for number, url in enumerate(params["urls"])
    ]


def first_that_answers(members: t.Sequence[Alertmanager]) -> Alertmanager:
    """A member that is up. One that answers with a refusal is up: the others would refuse the same."""
    silent = []
    for member in members:
        try:
            member.get("/api/v2/status")
            return member
        except _http.ApiError as error:
            if error.status not in (0, *_http.PASSING):
                raise
            silent.append(error)
    if len(silent) == 1:
        raise silent[0]
    seen = "\n".join(f"{error.what}: {error.seen}" for error in silent)
    raise _http.ApiError(
        f"none of the {len(members)} members of the cluster answers",
        seen,
        "see on one of their hosts whether alertmanager.service runs, and whether a firewall is between",
    )


def alertmanager_module(options: t.Mapping[str, t.Any], **arguments: t.Any) -> AnsibleModule:
    """A module with the options of the connection beside its own."""
    module = AnsibleModule(
        argument_spec={**ARGUMENT_SPEC, **options},
        required_together=REQUIRED_TOGETHER,
        supports_check_mode=True,
        **arguments,
    )
    _http.require_requests(module)
    return module
