# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Grafana's administrator on its own host: the login is proved, and reset where it fails; a token for automation.

What tells whether a reset worked is a login, never what the reset itself says. And a login with a password that may be
wrong is tried as seldom as can be: after five of them Grafana refuses the right one too, for five minutes.
"""

from __future__ import annotations

import glob
import grp
import hashlib
import json
import os
import pwd
import secrets
import sqlite3
import subprocess
import typing as t
from contextlib import closing

from . import _files, _grafana_database
from ._errors import ComponentError
from ._grafana_api import Grafana, connect
from ._http import ApiError
from ._layout import Layout

SERVICE_ACCOUNT = "opswatch"
# How Grafana keeps a password, of which it compares the hexadecimal digits.
ROUNDS, LENGTH = 10000, 50
PATIENCE = 120  # seconds that its command for a reset may take


class Host(t.NamedTuple):
    """Where things are on the host."""

    layout: Layout

    @property
    def folder(self) -> str:
        """For root alone: the password that was proved last, the token, and what else was brought last."""
        return f"{self.layout.home}/admin"

    @property
    def password_file(self) -> str:
        return f"{self.folder}/password"

    @property
    def token_file(self) -> str:
        return f"{self.folder}/token"

    @property
    def brought_file(self) -> str:
        return f"{self.folder}/brought.json"

    @property
    def datasources(self) -> str:
        return f"{self.layout.etc}/provisioning/datasources"

    @property
    def ids(self) -> tuple[int, int]:
        return pwd.getpwnam(self.layout.name).pw_uid, grp.getgrnam(self.layout.name).gr_gid


class Administrator:
    """One run on one host. C(actions) says in words what was done, or would be done in check mode."""

    def __init__(self, host: Host, api: t.Mapping[str, t.Any], user: str, password: str, check_mode: bool) -> None:
        """C(api): options of the connection, without a login."""
        self.host = host
        self.api = api
        self.user = user
        self.password = password
        self.check_mode = check_mode
        self.actions: list[str] = []

    def does(self, would: str, did: str) -> bool:
        """Note a change; whether it is to be made."""
        self.actions.append(f"would {would}" if self.check_mode else did)
        return not self.check_mode

    # --- the login ---

    def ensure_login(self) -> bool:
        """Prove the login, by a reset if it fails. False where that would only be done."""
        if not self._proves():
            self._connect().health()  # it is Grafana that refuses, and nothing before it
            if self.check_mode:
                self.does(f"reset the password of {self.user}", "")
                return False
            self._reset()
            keep_secret(self.host, self.host.password_file, self.password)
        # What the next reset logs in with.
        elif read_secret(self.host.password_file) != self.password and self.does(
            "note the password that was proved", "noted the password that was proved"
        ):
            keep_secret(self.host, self.host.password_file, self.password)
        return True

    def login(self) -> Grafana:
        return self._connect(user=self.user, password=self.password)

    def automation(self) -> Grafana:
        """With the token, which costs Grafana no hash of a password for each request."""
        return self._connect(token_file=self.host.token_file)

    def _connect(self, **login: str) -> Grafana:
        return connect({"validate_certs": True, **self.api, **login})

    def _proves(self) -> bool:
        return _is_let_in(self.login())

    def _reset(self) -> None:
        """Each way in turn, and a login after each: 9.3's own command says that it succeeded, and changes nothing."""
        ways: list[tuple[str, t.Callable[[], str]]] = [
            ("the API with the earlier password", self._by_earlier_password),
            ("Grafana's own command", self._by_command),
            ("its database", self._by_database),
        ]
        seen = []
        for name, way in ways:
            refusal = way()
            if not refusal and self._proves():
                self.actions.append(f"reset the password of {self.user} by {name}, and proved it")
                return
            seen.append(f"{name}: {refusal or 'it reported success, but the login is refused as before'}")
        raise ComponentError(
            f"{self.user} cannot log in to Grafana with the wanted password, and no way to reset it worked",
            "\n".join(seen),
            f"see that {self.user} is the login of an administrator, who is not disabled; after five wrong logins "
            "Grafana refuses the right one too: then wait for five minutes",
        )

    def _by_earlier_password(self) -> str:
        """Why it did not work; empty where it says that it did."""
        earlier = read_secret(self.host.password_file)
        if earlier in ("", self.password):
            return "no other one is known"
        change = {"oldPassword": earlier, "newPassword": self.password, "confirmNew": self.password}
        try:
            self._connect(user=self.user, password=earlier).put("/api/user/password", change)
        except ApiError as error:
            return str(error)
        return ""

    def _by_command(self) -> str:
        release = os.path.realpath(f"{self.host.layout.current}/release")
        program = [f"{release}/bin/grafana", "cli"]
        if not os.path.exists(program[0]):
            program = [f"{release}/bin/grafana-cli"]
        words = [*program, "--homepath", release, "--config", f"{self.host.layout.etc}/grafana.ini"]
        words += ["admin", "reset-admin-password", "--password-from-stdin"]
        uid, gid = self.host.ids
        account: dict[str, t.Any] = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
        try:
            done = subprocess.run(
                words,
                input=f"{self.password}\n",
                capture_output=True,
                text=True,
                errors="replace",
                cwd=release,
                env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
                timeout=PATIENCE,
                check=False,
                **account,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            said = (done.stdout + done.stderr).replace(self.password, "********").strip().splitlines()
            return f"exit code {done.returncode}: {said[-1] if said else 'no word'}"
        return ""

    def _by_database(self) -> str:
        try:
            found = _grafana_database.of(self.host.layout)
            if found is None:
                return "it is neither a SQLite file here nor a PostgreSQL that grafana.ini names by its host"
            if isinstance(found, _grafana_database.Sqlite):
                return set_password(found.path, self.user, self.password)
            salt = _new_salt()
            is_known = found.set_password(self.user, hashed(self.password, salt), salt)
        except (sqlite3.Error, ComponentError) as error:
            return str(error)
        return "" if is_known else f"it has no user {self.user}"

    # --- the token ---

    def ensure_token(self, name: str) -> bool:
        """A token that works, of the service account for automation. Made anew only where there is none; False where it
        would only be made."""
        token = read_secret(self.host.token_file)
        if token and _is_let_in(self._connect(token=token)):
            return True
        if made := self.does("make a token for automation", f"made a token for automation, {self.host.token_file}"):
            keep_secret(self.host, self.host.token_file, self._new_token(name))
        return made

    def _new_token(self, name: str) -> str:
        grafana = self.login()
        found = grafana.get("/api/serviceaccounts/search", {"query": SERVICE_ACCOUNT})["serviceAccounts"]
        account = next((one for one in found if one["name"] == SERVICE_ACCOUNT), None)
        if account is None:
            account = grafana.post("/api/serviceaccounts", {"name": SERVICE_ACCOUNT, "role": "Admin"})
        tokens = f"/api/serviceaccounts/{account['id']}/tokens"
        for one in grafana.get(tokens) if account.get("tokens") else []:
            if one["name"] == name:  # one that nobody has any more
                grafana.delete(f"{tokens}/{one['id']}")
        return str(grafana.post(tokens, {"name": name})["key"])

    # --- datasources ---

    def prune_datasources(self, wanted: t.Collection[str]) -> None:
        """Remove provisioned datasources that no file names any more. They refuse every other change."""
        grafana = self.login()
        gone = _stale(grafana, wanted)
        if not gone or self._others_provision():
            return
        names = ", ".join(gone)
        if not self.does(f"remove the datasources {names}", f"removed the datasources {names}"):
            return
        # JSON is YAML. The file is there for as long as Grafana reads it.
        path = f"{self.host.datasources}/opswatch_gone.yml"
        text = json.dumps({"apiVersion": 1, "deleteDatasources": [{"name": one, "orgId": 1} for one in gone]})
        try:
            _files.write_file(path, text.encode(), 0o640, gid=self.host.ids[1])
            grafana.post("/api/admin/provisioning/datasources/reload")
        finally:
            _files.remove(path)
        left = _stale(grafana, wanted)
        if left:
            raise ComponentError(
                f"Grafana keeps the datasources {', '.join(left)}, though it was told to remove them",
                "",
                "look into its journal, for provisioning.datasources",
            )

    def _others_provision(self) -> bool:
        """Whether somebody else has put a file there, which may name what we do not know."""
        names = os.listdir(self.host.datasources)
        return any(name.endswith((".yml", ".yaml")) and not name.startswith("opswatch") for name in names)

    # --- plugins ---

    def prune_plugins(self, wanted: str) -> None:
        """Remove the sets of plugins beside the folder of the wanted one that no generation names, so none goes back
        to them. Without plugins that folder is not there."""
        for path in unused_plugins(wanted, self.host.layout):
            if self.does(f"remove plugins that nothing needs, {path}", f"removed plugins that nothing needs, {path}"):
                _files.remove(path)


def unused_plugins(wanted: str, layout: Layout) -> list[str]:
    home = os.path.dirname(wanted)
    named = b"".join(_files.read_bytes(path) for path in glob.glob(f"{layout.generations}/*/config/grafana.ini"))
    others = os.listdir(home) if os.path.isdir(home) else []
    return sorted(
        path for path in (f"{home}/{name}" for name in others) if path != wanted and f"{path}\n".encode() not in named
    )


def _stale(grafana: Grafana, wanted: t.Collection[str]) -> list[str]:
    found = grafana.get("/api/datasources")
    return sorted(one["name"] for one in found if one.get("readOnly") and one["name"] not in wanted)


def _is_let_in(grafana: Grafana) -> bool:
    try:
        grafana.get("/api/org")
    except ApiError as error:
        # Measured, 9.3.2: of a token that is no token it says 401, of one that is gone from its database 500.
        if error.status == 401 or (error.status == 500 and error.seen == "invalid API key"):
            return False
        raise
    return True


def read_secret(path: str) -> str:
    return _files.read_bytes(path).decode(errors="replace").strip()


def keep_secret(host: Host, path: str, secret: str) -> None:
    _files.make_folder(host.folder, 0o700)
    _files.write_file(path, secret.encode(), 0o600)


def hashed(password: str, salt: str) -> str:
    """A password as Grafana keeps it."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), ROUNDS, LENGTH).hex()


def _new_salt() -> str:
    return secrets.token_hex(5)


def set_password(database: str, user: str, password: str) -> str:
    """Write a password into Grafana's SQLite file, while it runs, and forget wrong logins. Why not, or nothing."""
    with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=30, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        found = file.execute('SELECT id, salt FROM "user" WHERE login = ?', (user,)).fetchone()
        if found is None:
            file.execute("ROLLBACK")
            return f"it has no user {user}"
        salt = found[1] or _new_salt()
        change = 'UPDATE "user" SET password = ?, salt = ? WHERE id = ?'
        file.execute(change, (hashed(password, salt), salt, found[0]))
        if file.execute("SELECT 1 FROM sqlite_master WHERE name = 'login_attempt'").fetchone():
            file.execute("DELETE FROM login_attempt WHERE lower(username) = lower(?)", (user,))
        file.execute("COMMIT")
    return ""
