# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Grafana's HTTP API: the connection that all modules share, and what the server is."""

from __future__ import annotations

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from . import _http
from ._errors import ComponentError

# Documented in plugins/doc_fragments/grafana.py.
ARGUMENT_SPEC: dict[str, t.Any] = {
    "url": {"type": "str", "default": "http://127.0.0.1:3000"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "token_file": {"type": "path", "no_log": False},
    "ca_path": {"type": "path"},
    "server_name": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 30.0},
}
MUTUALLY_EXCLUSIVE = [("user", "token", "token_file")]
REQUIRED_TOGETHER = [("user", "password")]

REMEDIES = {
    401: "correct user and password, or the token. It is not tried again: after five wrong logins Grafana refuses the "
    "right password too, for five minutes",
    403: "use an account, or a service account, with the role Admin in this organisation",
    412: "somebody changed it at the same time: look at it, then run again",
}
TAKEN = "give one of the two another title, or move it to another folder"
# Where the status does not tell enough: by the kind that Grafana gives with it, or by its words.
REMEDIES_BY_WORDS = {
    # So says 9.3 of a token that it does not know, or does not know any more.
    (500, "invalid API key"): REMEDIES[401],
    (400, "Folder not found"): "somebody removed the folder at the same time: run again",
    (400, "name-match"): TAKEN,
    (412, "name-exists"): TAKEN,
}
OLDEST = (9, 3)


def _is_health(answer: t.Any) -> bool:
    return isinstance(answer, dict) and "database" in answer


class Grafana(_http.Api):
    """A Grafana at an address. C(login): the secret with which it is opened."""

    login: str = ""
    _version: tuple[int, ...] | None = None

    def ask(self, method: str, path: str, params: t.Mapping[str, t.Any] | None = None, body: t.Any = None) -> t.Any:
        try:
            return super().ask(method, path, params, body)
        except _http.ApiError as error:
            kind = str(error.data.get("status")) if isinstance(error.data, dict) else ""
            for words in (error.seen, kind):
                error.remedy = REMEDIES_BY_WORDS.get((error.status, words), error.remedy)
            raise

    def health(self, even_unwell: bool = False) -> dict[str, t.Any]:
        """What it says of itself without a login. Where it hides its version, the settings of its pages tell.

        C(even_unwell): also while it does not reach its database, of which nothing can be read or changed then.
        """
        try:
            answer = self.get("/api/health")
        except _http.ApiError as error:
            if not (even_unwell and error.status == 503 and _is_health(error.data)):
                raise
            return dict(error.data)  # so it says that it does not reach its database
        if not _is_health(answer):
            raise _http.ApiError(
                f"{self.url}/api/health is not answered as Grafana does",
                _http.message(answer),
                "give the address under which Grafana's pages are reached, its path behind a proxy included",
            )
        return dict(answer)

    @property
    def version(self) -> tuple[int, ...]:
        """Such as (9, 3, 2); asked once."""
        if self._version is None:
            text = str(self.health().get("version") or "")
            if not text:
                text = str(self.get("/api/frontend/settings").get("buildInfo", {}).get("version") or "")
            self._version = tuple(int(part) for part in re.findall(r"\d+", text)[:3])
            if self._version < OLDEST:
                raise ComponentError(
                    f"{self.url} is Grafana {text or 'of an unknown version'}",
                    "",
                    f"upgrade it: this module needs {'.'.join(map(str, OLDEST))} or later",
                )
        return self._version

    @property
    def has_nested_folders(self) -> bool:
        return self.version >= (11,)


def connect(params: t.Mapping[str, t.Any]) -> Grafana:
    """A client out of the options of a module. Asks nothing yet.

    The first request that needs a login has to be made alone, before any in parallel: several wrong ones at once would
    lock the account.
    """
    token = params.get("token") or ""
    if params.get("token_file"):
        token = _read(params["token_file"])
    grafana = Grafana(
        "Grafana",
        params["url"],
        user=params.get("user") or "",
        password=params.get("password") or "",
        token=token,
        ca_path=params.get("ca_path") or "",
        server_name=params.get("server_name") or "",
        validate_certs=params["validate_certs"],
        timeout=params["timeout"],
        remedies=REMEDIES,
    )
    grafana.login = token or params.get("password") or ""
    return grafana


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            token = stream.read().strip()
    except (OSError, ValueError) as error:
        raise ComponentError(
            f"the token cannot be read from {path}", str(error), "token_file is a file on the host that runs the module"
        ) from error
    if not token:
        raise ComponentError(f"{path} holds no token", "", "make a token and write it there")
    return token


def grafana_module(options: t.Mapping[str, t.Any], **arguments: t.Any) -> AnsibleModule:
    """A module with the options of the connection beside its own."""
    module = AnsibleModule(
        argument_spec={**ARGUMENT_SPEC, **options},
        mutually_exclusive=MUTUALLY_EXCLUSIVE,
        required_together=REQUIRED_TOGETHER,
        supports_check_mode=True,
        **arguments,
    )
    _http.require_requests(module)
    return module
