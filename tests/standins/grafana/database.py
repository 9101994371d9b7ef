# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's grafana.db. Users, attempts to log in and their hashes as Grafana has them: a reset on disk works."""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import secrets
import sqlite3
import threading
import time
import typing as t
import zlib

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
  id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER DEFAULT 0, login TEXT UNIQUE, email TEXT, name TEXT DEFAULT '',
  password TEXT, salt TEXT, rands TEXT, role TEXT DEFAULT 'Admin', is_admin INTEGER DEFAULT 0,
  is_disabled INTEGER DEFAULT 0, is_service_account INTEGER DEFAULT 0, last_seen_at TEXT, updated TEXT);
CREATE TABLE IF NOT EXISTS login_attempt (
  id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT, ip_address TEXT DEFAULT '', created INTEGER);
CREATE TABLE IF NOT EXISTS api_key (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, key TEXT, service_account_id INTEGER, created TEXT,
  UNIQUE (service_account_id, name));
CREATE TABLE IF NOT EXISTS dashboard (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT UNIQUE, title TEXT, slug TEXT, is_folder INTEGER, folder_uid TEXT,
  version INTEGER, data TEXT, created TEXT, updated TEXT, created_by TEXT, updated_by TEXT,
  provisioned TEXT DEFAULT '');
CREATE TABLE IF NOT EXISTS dashboard_version (
  id INTEGER PRIMARY KEY AUTOINCREMENT, dashboard_id INTEGER, parent_version INTEGER, version INTEGER, created TEXT,
  created_by TEXT, message TEXT, data TEXT);
CREATE TABLE IF NOT EXISTS data_source (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT UNIQUE, name TEXT UNIQUE, version INTEGER, is_default INTEGER,
  read_only INTEGER, data TEXT, secure TEXT);
"""
MOST_ATTEMPTS = 5
ATTEMPTS_WINDOW = 300


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@functools.lru_cache(maxsize=32)  # slow on purpose, and asked for with each request
def password_hash(password: str, salt: str) -> str:
    """Grafana's own."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10000, 50).hex()


def new_token() -> str:
    secret = secrets.token_urlsafe(24)
    return f"glsa_{secret}_{zlib.crc32(secret.encode()):08x}"


def is_token(word: str) -> bool:
    """Whether it could be one: its end is the checksum of what is before it."""
    found = re.fullmatch(r"glsa_([\w-]{32})_([0-9a-f]{8})", word)
    return found is not None and f"{zlib.crc32(found[1].encode()):08x}" == found[2]


class Database:
    """One connection, one user of it at a time."""

    def __init__(self, path: str) -> None:
        self.lock = threading.RLock()
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.executescript(SCHEMA)
        # Survives the death of this program, and need not survive that of the machine.
        self.connection.execute("PRAGMA synchronous = OFF")

    def rows(self, query: str, *values: t.Any) -> list[sqlite3.Row]:
        with self.lock:
            return self.connection.execute(query, values).fetchall()

    def row(self, query: str, *values: t.Any) -> sqlite3.Row | None:
        found = self.rows(query, *values)
        return found[0] if found else None

    def count(self, table: str, where: str = "1") -> int:
        return int(self.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])  # names of ours

    def insert(self, table: str, **columns: t.Any) -> int:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self.lock:
            query = f"INSERT INTO {table} ({names}) VALUES ({marks})"
            return int(self.connection.execute(query, tuple(columns.values())).lastrowid or 0)

    def update(self, table: str, number: int, **columns: t.Any) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        self.rows(f"UPDATE {table} SET {names} WHERE id = ?", *columns.values(), number)

    def delete(self, table: str, number: int) -> None:
        self.rows(f"DELETE FROM {table} WHERE id = ?", number)

    # --- who asks ---

    def ensure_admin(self, login: str, password: str) -> None:
        if self.count("user"):
            return
        salt = secrets.token_hex(5)
        self.insert(
            "user",
            login=login,
            email=f"{login}@localhost",
            password=password_hash(password, salt),
            salt=salt,
            rands=secrets.token_hex(5),
            is_admin=1,
            last_seen_at=now(),
        )

    def set_password(self, number: int, password: str) -> None:
        salt = str(self.rows("SELECT salt FROM user WHERE id = ?", number)[0]["salt"])
        self.update("user", number, password=password_hash(password, salt), updated=now())

    def is_password(self, user: sqlite3.Row, password: str) -> bool:
        return hmac.compare_digest(password_hash(password, str(user["salt"])), str(user["password"]))

    def log_in(self, login: str, password: str) -> sqlite3.Row | None:
        """After five failures in five minutes the right password fails too."""
        since = int(time.time()) - ATTEMPTS_WINDOW
        query = "SELECT count(*) FROM login_attempt WHERE username = ? AND created >= ?"
        if int(self.rows(query, login, since)[0][0]) >= MOST_ATTEMPTS or not password:
            return None
        user = self.row("SELECT * FROM user WHERE ? IN (login, email) AND is_service_account = 0", login)
        if user is None or user["is_disabled"]:
            return None
        if self.is_password(user, password):
            return user
        self.insert("login_attempt", username=login, created=int(time.time()))
        return None

    def add_token(self, account: int, name: str) -> tuple[int, str]:
        key = new_token()
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.insert("api_key", name=name, key=digest, service_account_id=account, created=now()), key

    def log_in_by_token(self, token: str) -> sqlite3.Row | None:
        digest = hashlib.sha256(token.encode()).hexdigest()
        return self.row(
            "SELECT user.* FROM user JOIN api_key ON api_key.service_account_id = user.id WHERE api_key.key = ?", digest
        )
