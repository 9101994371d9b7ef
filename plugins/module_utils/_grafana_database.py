# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Grafana's database, in a file of SQLite or in PostgreSQL: copied while it is in use, asked for its dashboards, and in
PostgreSQL given a password."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field

from . import _files
from ._account import account_ids
from ._errors import ComponentError
from ._layout import Layout

FILE, DUMP = "grafana.db", "grafana.sql"
DASHBOARDS = "SELECT uid, data FROM dashboard WHERE NOT is_folder"
# What a database has that is not Grafana's, or not where its tables are looked for; extensions aside.
FOREIGN = """\
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (n.nspname <> 'public' OR pg_get_userbyid(c.relowner) <> current_user)
  AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
LIMIT 5"""
EMPTY = """\
DO $$
DECLARE one record;
BEGIN
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user LOOP
    EXECUTE format('DROP TABLE public.%I CASCADE', one.tablename);
  END LOOP;
END $$"""
PASSWORD = """\
UPDATE "user" SET password = '{digest}', salt = '{salt}' WHERE login = :'login' RETURNING id;
DELETE FROM login_attempt WHERE lower(username) = lower(:'login');
"""
COMPLETE = b"-- PostgreSQL database dump complete"
# Of pg_dump 17 and later; a server before 17 does not know it.
TOO_NEW = b"\nSET transaction_timeout = 0;\n"
REFUSED = (1, 3)  # psql's exit codes where something was refused, so that nothing has changed; 2 is a lost connection
LONGEST = 3 * 3600  # seconds
ATTEMPTS = 3
AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class LoadRefused(ComponentError):
    """PostgreSQL has refused a copy as a whole; what was there is there."""


@dataclass(frozen=True)
class Sqlite:
    path: str
    file: str = FILE

    def copy(self, target: str) -> list[tuple[str, str]]:
        """Consistent, while it is in use; returns the dashboards in the copy."""
        with _opened(self.path) as live, sqlite3.connect(target) as copy:
            live.backup(copy)
        status = os.stat(self.path)
        _files.set_access(target, 0o640, status.st_uid, status.st_gid)
        return Sqlite(target).dashboards()

    def foreign(self) -> list[str]:
        return []

    def dashboards(self) -> list[tuple[str, str]]:
        with _opened(self.path) as connection:
            try:
                rows = connection.execute(DASHBOARDS).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise
        return [(str(uid), text.decode() if isinstance(text, bytes) else str(text)) for uid, text in rows]


@dataclass(frozen=True)
class Postgres:
    """Asked by PostgreSQL's own programs, as the account of Grafana. C(environment): what they connect by."""

    environment: t.Mapping[str, str]
    password: str = field(default="", repr=False)
    file: str = DUMP

    def copy(self, target: str) -> list[tuple[str, str]]:
        """Consistent, while it is in use; returns the dashboards in the copy."""
        before = self.dashboards()
        for _attempt in range(ATTEMPTS):
            self.dump(target, "--no-privileges")
            after = self.dashboards()
            if after == before:  # so the copy has them too
                return after
            before = after
        raise ComponentError(
            "Grafana's dashboards changed each time its database was copied", f"{ATTEMPTS} times", "try again later"
        )

    def dump(self, target: str, *more: str) -> None:
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            self._run(["pg_dump", "--no-owner", "--no-comments", *more], stdout=output)
        _check_dump(target)

    def load(self, copy: str) -> None:
        """Put a copy in place of what is there: all of it, or nothing."""
        with open(copy, "rb") as handle:
            text = handle.read().replace(TOO_NEW, b"\n", 1)
        words = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-o", "/dev/null"]
        self._run([*words, "-c", EMPTY, "-f", "-"], input=text)

    def foreign(self) -> list[str]:
        """Some of what is in the way of a copy: of others, or in another schema."""
        return self._ask(FOREIGN)

    def dashboards(self) -> list[tuple[str, str]]:
        if not self.is_filled():
            return []
        rows = self._ask(f"SELECT json_build_array(uid, data) FROM ({DASHBOARDS} ORDER BY id) AS d")
        return [(str(uid), str(text)) for uid, text in map(json.loads, rows)]

    def is_filled(self) -> bool:
        return self._ask("SELECT to_regclass('dashboard') IS NOT NULL") == ["t"]

    def set_password(self, login: str, digest: str, salt: str) -> bool:
        """Keep the hash of a password, and forget wrong logins. False where nobody has that login.

        Lists of processes show the arguments, and a long error the statement: neither is to have the hash.
        """
        words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]
        text = PASSWORD.format(digest=digest, salt=salt)
        said = self._run([*words, "-v", f"login={login}", "--single-transaction", "-f", "-"], input=text.encode())
        return said.strip() != ""

    def _ask(self, query: str) -> list[str]:
        said = self._run(["psql", "-X", "-q", "-A", "-t", "-c", query])
        return [line for line in said.split("\n") if line]  # JSON may have other ends of lines in it

    def _run(self, words: t.Sequence[str], **more: t.Any) -> str:
        if shutil.which(words[0]) is None:
            raise ComponentError(
                f"{words[0]} is not installed, by which Grafana's database is reached",
                "",
                "install the client programs of PostgreSQL, of the server's version or a later one: "
                "postgresql-client on Debian and Ubuntu, postgresql on RHEL",
            )
        ids = account_ids("grafana")
        drop = [f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups"] if ids else []
        where = f"{self.environment['PGDATABASE']} at {self.environment.get('PGHOST', 'the local socket')}"
        try:
            with _password_file(self.password, ids) as path:
                done = subprocess.run(
                    ["setpriv", *drop, *words],
                    env={**os.environ, **self.environment, "PGPASSFILE": path},
                    cwd="/",
                    check=False,
                    stderr=subprocess.PIPE,
                    timeout=LONGEST,
                    **{"stdout": subprocess.PIPE, **more},
                )
        except subprocess.TimeoutExpired:
            raise ComponentError(
                f"{words[0]} was not done with Grafana's database {where} in {LONGEST} s", "", "see PostgreSQL's log"
            ) from None
        if done.returncode:
            kind = LoadRefused if done.returncode in REFUSED else ComponentError
            raise kind(
                f"{words[0]} failed with Grafana's database {where}",
                done.stderr.decode(errors="replace").strip()[-1000:],
                "see what it says, and PostgreSQL's log",
            )
        return done.stdout.decode() if done.stdout else ""


@contextmanager
def _password_file(password: str, ids: tuple[int, int] | None) -> t.Iterator[str]:
    """libpq's own, for the account that asks: neither arguments nor environment of a process have the password."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="opswatch-") as file:  # 0600
        file.write("*:*:*:*:" + re.sub(r"([:\\])", r"\\\1", password) + "\n")
        file.flush()
        if ids:
            os.chown(file.name, *ids)
        yield file.name


def check(folder: str) -> None:
    """Raise where the copy in a folder is not whole."""
    if os.path.exists(f"{folder}/{DUMP}"):
        _check_dump(f"{folder}/{DUMP}")
        return
    with _opened(f"{folder}/{FILE}") as connection:
        said = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    if said != "ok":
        raise ComponentError("Grafana's database in the backup is damaged", said, "choose another restore_snapshot")


def _check_dump(path: str) -> None:
    with open(path, "rb") as handle:
        handle.seek(max(0, os.path.getsize(path) - 4096))
        if COMPLETE not in handle.read():
            raise ComponentError("the copy of Grafana's database ends in the middle", path, "see PostgreSQL's log")


def of(layout: Layout) -> Sqlite | Postgres | None:
    """The one that the configuration in force names; None for a kind that only its own tools can copy."""
    stated = _section(f"{layout.etc}/grafana.ini")
    kind = "" if stated.get("url") else stated.get("type", "sqlite3")  # an address goes over all the rest
    if kind == "sqlite3":
        path = f"{layout.data}/grafana.db"
        return Sqlite(path) if os.path.isfile(path) else None
    if kind != "postgres":
        return None
    host, port = _split(stated.get("host", ""))
    named = {
        "PGHOST": host,
        "PGPORT": port,
        "PGDATABASE": stated.get("name", "grafana"),
        "PGUSER": stated.get("user", "grafana"),
        "PGSSLMODE": stated.get("ssl_mode", ""),
        "PGSSLROOTCERT": stated.get("ca_cert_path") or _authorities(stated.get("ssl_mode", "")),
        "PGSSLCERT": stated.get("client_cert_path", ""),
        "PGSSLKEY": stated.get("client_key_path", ""),
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "20",
        "PGOPTIONS": "-c lock_timeout=60s",
    }
    return Postgres({name: value for name, value in named.items() if value}, stated.get("password", ""))


def _authorities(ssl_mode: str) -> str:
    """Those of the system, which Grafana takes where none are named, and libpq does not."""
    return next(filter(os.path.exists, AUTHORITIES), "") if ssl_mode.startswith("verify-") else ""


def _split(host: str) -> tuple[str, str]:
    """host:port, [address]:port, or the folder of a socket."""
    found = re.fullmatch(r"(?:\[(.+)\]|([^:/]*)):(\d+)", host)
    return (found[1] or found[2], found[3]) if found else (host.strip("[]"), "")


def _section(path: str) -> dict[str, str]:
    """What a grafana.ini says of the database, with what it reads from other files."""
    text = _files.read_bytes(path).decode(errors="replace")
    found = re.search(r"^\[database\][^\n]*\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#", ";"))
    try:
        parser.read_string("[database]\n" + (found[1] if found else ""))
    except configparser.Error as error:
        raise ComponentError(
            f"the section database of {path} cannot be read", str(error), "see grafana_config"
        ) from None
    return {name: _value(value) for name, value in parser.items("database")}


def _value(text: str) -> str:
    found = re.fullmatch(r"\$__file\{(.+)\}", text.strip())
    if found:
        return _files.read_bytes(found[1]).decode(errors="replace").strip()
    quoted = re.fullmatch(r'"""(.*)"""', text.strip(), re.DOTALL)
    return quoted[1] if quoted else text.strip()


def _opened(path: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)
