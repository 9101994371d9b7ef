# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services' PostgreSQL database: three small tables, and every query counted and timed by operation.

Connections are made when they are needed, so a service starts without its database and finds it again by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from dating_app.metrics import Metrics

#: Connections of one process at most; ten services stay well below PostgreSQL's default of 100.
MAX_CONNECTIONS = 4

#: Seconds to wait for a connection, and for a query.
CONNECT_SECONDS = 3.0
QUERY_SECONDS = 5.0

#: The operation that only looks whether the database answers; it is never slowed down on purpose.
PING = "ping"

#: Any number, the same in all services: one of them creates the tables while the others wait.
SCHEMA_LOCK = 2026_11_23

SCHEMA = """
CREATE TABLE IF NOT EXISTS profiles (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    age integer NOT NULL CHECK (age BETWEEN 18 AND 120),
    photo_bytes integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS matches (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_profile integer NOT NULL REFERENCES profiles ON DELETE CASCADE,
    second_profile integer NOT NULL REFERENCES profiles ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (first_profile < second_profile),
    UNIQUE (first_profile, second_profile)
);
CREATE INDEX IF NOT EXISTS matches_second_profile ON matches (second_profile);
CREATE TABLE IF NOT EXISTS messages (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    match integer NOT NULL REFERENCES matches ON DELETE CASCADE,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS messages_match ON messages (match);
"""

#: How a lost or refusing server shows itself, besides any error while a connection is made.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
)


class DatabaseUnavailable(Exception):
    """The database cannot be reached or does not answer; the text says why."""


class UnknownReference(Exception):
    """A value names a row that is not there."""


class UnacceptableValue(Exception):
    """A value that PostgreSQL cannot hold, such as a number that is too large."""


class Database:
    """A pool of connections and the queries of the application."""

    def __init__(
        self,
        address: str,
        metrics: Metrics,
        *,
        password_file: Path | None = None,
        delay: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Take an address such as ``postgresql:///dating_app?host=/run/postgresql``.

        The password, if one is needed, is read anew for each connection. ``delay`` gives the milliseconds by which
        each query is made slower.
        """
        self._address = address
        self._metrics = metrics
        self._password_file = password_file
        self._delay = delay
        self._pool: asyncpg.Pool
        self._has_tables = False

    async def open(self) -> None:
        """Prepare the pool. This does not connect yet."""
        file = self._password_file
        self._pool = await asyncpg.create_pool(
            self._address,
            password=file and (lambda: file.read_text(encoding="utf-8").strip()),
            min_size=0,
            max_size=MAX_CONNECTIONS,
            timeout=CONNECT_SECONDS,
            command_timeout=QUERY_SECONDS,
        )

    async def close(self) -> None:
        """Close all connections, in the middle of a query if need be."""
        self._pool.terminate()

    async def _query(self, operation: str, run: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        """Run one operation on a connection of the pool; only the query itself is timed, not the way to it."""
        connection = await self._connect()
        try:
            await self._make_tables(connection)
            self._metrics.db_queries.labels(operation).inc()
            with self._metrics.db_query_duration.labels(operation).time():
                seconds = 0.0 if operation == PING else self._delay() / 1000
                if seconds:
                    await connection.execute("SELECT pg_sleep($1)", seconds, timeout=seconds + QUERY_SECONDS)
                return await run(connection)
        except asyncpg.UndefinedTableError as error:
            self._has_tables = False
            raise DatabaseUnavailable(f"tables were missing and are made again: {_words(error)}") from error
        except asyncpg.ForeignKeyViolationError as error:
            raise UnknownReference(error.detail or str(error)) from error
        except (asyncpg.DataError, ValueError) as error:
            raise UnacceptableValue(str(error)) from error
        except CONNECTION_ERRORS as error:
            raise DatabaseUnavailable(f"connection lost: {_words(error)}") from error
        finally:
            with suppress(*CONNECTION_ERRORS):  # the server may be gone, and the connection with it
                await self._pool.release(connection)

    async def _connect(self) -> asyncpg.Connection:
        try:
            return await self._pool.acquire(timeout=CONNECT_SECONDS)
        except (ValueError, asyncpg.PostgresError, *CONNECTION_ERRORS) as error:
            raise DatabaseUnavailable(f"no connection: {_words(error)}") from error

    async def _make_tables(self, connection: asyncpg.Connection) -> None:
        if not self._has_tables:
            async with connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
                await connection.execute(SCHEMA)
            self._has_tables = True

    async def ping(self) -> None:
        """Ask the database for nothing, to see that it answers."""
        await self._query(PING, lambda connection: connection.fetchval("SELECT 1"))

    async def create_profile(self, name: str, age: int) -> int:
        """Add a profile and give its number."""
        sql = "INSERT INTO profiles (name, age) VALUES ($1, $2) RETURNING id"
        return await self._query("create_profile", lambda connection: connection.fetchval(sql, name, age))

    async def get_profile(self, profile: int) -> dict[str, Any] | None:
        """Give a profile."""
        sql = "SELECT id, name, age, photo_bytes FROM profiles WHERE id = $1"
        row = await self._query("get_profile", lambda connection: connection.fetchrow(sql, profile))
        return dict(row) if row else None

    async def delete_profile(self, profile: int) -> bool:
        """Remove a profile with its matches and messages; tell whether there was one."""
        sql = "DELETE FROM profiles WHERE id = $1 RETURNING id"
        return bool(await self._query("delete_profile", lambda connection: connection.fetchval(sql, profile)))

    async def store_photo(self, profile: int, size_bytes: int) -> bool:
        """Note the size of a profile's photo; tell whether there is such a profile."""
        sql = "UPDATE profiles SET photo_bytes = $2 WHERE id = $1 RETURNING id"
        return bool(await self._query("store_photo", lambda connection: connection.fetchval(sql, profile, size_bytes)))

    async def discover(self, profile: int, limit: int) -> list[dict[str, Any]]:
        """Give the newest profiles that this one has no match with yet."""
        sql = """
            SELECT id, name, age FROM profiles AS candidate
            WHERE id <> $1 AND NOT EXISTS (
                SELECT FROM matches
                WHERE first_profile = least(candidate.id, $1) AND second_profile = greatest(candidate.id, $1)
            )
            ORDER BY id DESC LIMIT $2
        """
        rows = await self._query("discover", lambda connection: connection.fetch(sql, profile, limit))
        return [dict(row) for row in rows]

    async def create_match(self, one: int, other: int) -> tuple[int, bool]:
        """Match two profiles; give the match's number and whether it is new."""
        pair = (min(one, other), max(one, other))
        insert = """
            INSERT INTO matches (first_profile, second_profile) VALUES ($1, $2)
            ON CONFLICT DO NOTHING RETURNING id
        """
        created = await self._query("create_match", lambda connection: connection.fetchval(insert, *pair))
        if created:
            return created, True
        select = "SELECT id FROM matches WHERE first_profile = $1 AND second_profile = $2"
        return await self._query("get_match", lambda connection: connection.fetchval(select, *pair)), False

    async def create_message(self, match: int, text: str) -> int:
        """Add a message to a match and give its number."""
        sql = "INSERT INTO messages (match, text) VALUES ($1, $2) RETURNING id"
        return await self._query("create_message", lambda connection: connection.fetchval(sql, match, text))

    async def list_messages(self, match: int, limit: int) -> list[dict[str, Any]]:
        """Give the newest messages of a match."""
        sql = "SELECT id, text, created_at::text AS created_at FROM messages WHERE match = $1 ORDER BY id DESC LIMIT $2"
        return [dict(row) for row in await self._query("list_messages", lambda c: c.fetch(sql, match, limit))]

    async def statistics(self) -> dict[str, int]:
        """Count the rows of each table."""
        sql = """
            SELECT (SELECT count(*) FROM profiles) AS profiles,
                   (SELECT count(*) FROM matches) AS matches,
                   (SELECT count(*) FROM messages) AS messages
        """
        return dict(await self._query("statistics", lambda connection: connection.fetchrow(sql)))

    async def keep_newest(self, profiles: int) -> int:
        """Remove all but the newest profiles, with their matches and messages; give how many were removed."""
        sql = """
            WITH removed AS (
                DELETE FROM profiles WHERE id IN (SELECT id FROM profiles ORDER BY id DESC OFFSET $1) RETURNING 1
            ) SELECT count(*) FROM removed
        """
        return await self._query("keep_newest", lambda connection: connection.fetchval(sql, profiles))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
