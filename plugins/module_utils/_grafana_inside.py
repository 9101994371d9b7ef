# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What is inside of Grafana: brought there as it is wanted, and whether what was brought last is still there."""

from __future__ import annotations

import json
import os
import secrets
import typing as t

from . import _files, _http
from ._dashboard_sync import Sync, run_all
from ._dashboards import unpacked
from ._grafana_admin import Administrator, Host, keep_secret, read_secret
from ._grafana_wanted import OPTIONS, mark

PATIENCE = 5.0  # seconds for each answer, where somebody only wants to know whether there is something to do


class Inside:
    """One run on one host. C(wanted): the options of M(opswatch.monitoring.grafana_admin)."""

    def __init__(self, host: Host, wanted: t.Mapping[str, t.Any], check_mode: bool) -> None:
        self.host = host
        self.wanted = wanted
        self.check_mode = check_mode
        self.refused = False  # the login, in check mode
        self.ready = False
        api = {key: wanted[key] for key in ("url", "ca_path", "server_name", "timeout")}
        self.administrator = Administrator(host, api, wanted["user"], wanted["password"], check_mode)
        self._syncs: list[Sync] = []

    def bring(self) -> None:
        """Raises ComponentError; C(actions) then has what was done before."""
        wanted = self.wanted
        administrator = self.administrator
        self.refused = not administrator.ensure_login()
        if not self.refused:
            self.ready = administrator.ensure_token(wanted["token_name"])
            if wanted["datasources"] is not None:
                administrator.prune_datasources(wanted["datasources"])
        if wanted["plugins"]:
            administrator.prune_plugins(wanted["plugins"])
        if self.ready:
            grafana = administrator.automation()
            trees = wanted["dashboards"]
            self._syncs = [Sync(grafana, "", one["owner"], True, self.check_mode) for one in trees]
            run_all([(sync, unpacked(one["tree"])) for sync, one in zip(self._syncs, trees)])

    @property
    def actions(self) -> list[str]:
        """What was left alone is said too, and is no change."""
        return [*self.administrator.actions, *(action for sync in self._syncs for action in sync.outcome.actions)]

    @property
    def changed(self) -> bool:
        return bool(self.administrator.actions) or any(sync.outcome.diff for sync in self._syncs)

    @property
    def diff(self) -> list[dict[str, str]]:
        login = {"before": "", "after": "".join(f"{action}\n" for action in self.administrator.actions)}
        return [login, *(diff for sync in self._syncs for diff in sync.outcome.diff)]

    def forget(self) -> None:
        """Of what was brought before, if it is not what is wanted now."""
        if _files.read_json(self.host.brought_file) != self._noted:
            _files.remove(self.host.brought_file)

    def note(self) -> None:
        """Keep what was brought, for the next look."""
        if not os.path.exists(self.host.brought_file):
            keep_secret(self.host, self.host.brought_file, json.dumps(self._noted))

    @property
    def _noted(self) -> dict[str, t.Any]:
        """The password is not in it: the one that was proved last has a file of its own."""
        wanted = {name: value for name, value in self.wanted.items() if name != "password"}
        return {"generation": _generation(self.host), "wanted": wanted}


def look(host: Host) -> dict[str, t.Any] | None:
    """A mark of what was brought last, if all of that is still there. None where something may have to be done.

    A login that is refused is not tried a second time by a look: five of them lock the account.
    """
    noted = _files.read_json(host.brought_file)
    # Another generation may listen elsewhere, and who listens at the old address is not to have the password.
    if noted is None or noted.get("generation") != _generation(host) or _http.REQUESTS_ERROR:
        return None
    defaults = {name: option.get("default") for name, option in OPTIONS.items()}
    wanted = {**defaults, **noted["wanted"], "password": read_secret(host.password_file)}
    inside = Inside(host, {**wanted, "timeout": PATIENCE}, check_mode=True)
    try:
        inside.bring()
    except Exception:  # whatever it is, the task says it at its turn
        return None
    if inside.refused:
        _files.remove(host.brought_file)
    if inside.changed or not inside.ready:
        return None
    salt = secrets.token_hex(16)
    return {"salt": salt, "mark": mark(wanted, salt), "token_file": host.token_file, "actions": inside.actions}


def _generation(host: Host) -> str:
    """A mark of what is in force. Its number is none: that of a generation that failed is given once more."""
    stated = _files.read_json(f"{host.layout.current}/manifest.json") or {}
    in_force = [stated.get(key) for key in ("version", "unit", "files")]
    return _files.sha256(json.dumps(in_force).encode())
