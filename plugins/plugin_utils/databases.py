# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""PostgreSQL databases of C(postgres_exporter_databases): connections, passwords, scrape targets. Pure functions."""

from __future__ import annotations

import typing as t
from urllib.parse import quote, urlencode

from ansible.errors import AnsibleError

Database = t.Mapping[str, t.Any]

ROLE = "postgres_exporter"  # of the database; called like the account, as peer authentication wants it
DEFAULTS: dict[str, t.Any] = {
    "database": "postgres",
    "host": "/run/postgresql",
    "port": 5432,
    "user": ROLE,
    "password": "",
    "sslmode": "",
    "sslrootcert": "",
}
SSL_MODES = ("", "disable", "require", "verify-ca", "verify-full")  # all that the exporter's driver knows


def checked_databases(stated: t.Any) -> list[dict[str, t.Any]]:
    """Every entry with its defaults. Raises AnsibleError with what to change."""
    if not isinstance(stated, (list, tuple)) or not stated:
        raise _refused("this is no list of databases", "state at least one: [{database: postgres}]")
    databases = [_checked(database, number) for number, database in enumerate(stated, start=1)]
    seen = set()
    for database in databases:
        key = (*_server(database), database["database"])
        if key in seen:
            raise _refused(f"{database['database']} on {database['host']} is there twice", "leave one of them out")
        seen.add(key)
    return databases


def _checked(stated: t.Any, number: int) -> dict[str, t.Any]:
    if not isinstance(stated, t.Mapping):  # not shown: it may be an address with a password in it
        raise _refused(f"entry {number} is no map", "write it as {database: shop}")
    unknown = sorted(set(stated) - set(DEFAULTS))
    if unknown:
        raise _refused(f"unknown key {', '.join(unknown)}", f"known are {', '.join(sorted(DEFAULTS))}")
    database = {key: default if stated.get(key) is None else stated[key] for key, default in DEFAULTS.items()}
    name = database["database"]
    for key in ("database", "host", "user", "password", "sslmode", "sslrootcert"):
        database[key] = str(database[key])
        if "\n" in database[key]:  # the file of passwords has one line for each
            raise _refused(f"{key} of {name} has a line break", "write it as one line")
    if database["sslmode"] not in SSL_MODES:
        raise _refused(f"{name} has the sslmode {database['sslmode']!r}", f"use one of{', '.join(SSL_MODES)[1:]}")
    try:
        database["port"] = int(database["port"])
    except (TypeError, ValueError):
        database["port"] = 0
    if not 0 < database["port"] < 65536:
        raise _refused(f"{name} has the port {stated['port']!r}", "use a number from 1 to 65535")
    if database["password"] and _is_socket(database):
        raise _refused(
            f"{name} has a password and the socket folder {database['host']}",
            "leave the password out, as the socket asks for none, or name a host to connect to over TCP",
        )
    return database


def _refused(what: str, remedy: str) -> AnsibleError:
    return AnsibleError(f"postgres_exporter_databases: {what}. What to do: {remedy}.")


def _is_socket(database: Database) -> bool:
    return str(database["host"]).startswith("/")


def _server(database: Database) -> tuple[str, int]:
    return (database["host"], database["port"])


def url(database: Database) -> str:
    """How the exporter connects, without the password."""
    options = {key: database[key] for key in ("sslmode", "sslrootcert") if database[key]}
    host = f"[{database['host']}]" if ":" in database["host"] else database["host"]
    if _is_socket(database):
        options, host = {"host": database["host"], **options}, ""
    asked = "?" + urlencode(options, safe="/") if options else ""
    name, user = quote(database["database"], safe=""), quote(database["user"], safe="")
    return f"postgresql://{user}@{host}:{database['port']}/{name}{asked}"


def pgpass(databases: t.Iterable[Database]) -> str:
    """PostgreSQL's own file of passwords. Each belongs to one server, and is sent to no other."""

    def escaped(value: t.Any) -> str:
        return str(value).replace("\\", "\\\\").replace(":", "\\:")

    keys = ("host", "port", "database", "user", "password")
    return "".join(":".join(escaped(one[key]) for key in keys) + "\n" for one in databases if one["password"])


def managed_servers(databases: t.Iterable[Database]) -> list[dict[str, t.Any]]:
    """The host's own servers, with the databases that the role has to reach: what the socket leads to."""
    servers: dict[tuple[str, int], list[str]] = {}
    for database in databases:
        if _is_socket(database) and database["user"] == ROLE:
            servers.setdefault(_server(database), []).append(database["database"])
    return [{"host": host, "port": port, "databases": names} for (host, port), names in servers.items()]


def connections(stated: t.Any) -> dict[str, t.Any]:
    """All that the role needs to know of C(postgres_exporter_databases)."""
    databases = checked_databases(stated)
    return {"url": url(databases[0]), "pgpass": pgpass(databases), "managed": managed_servers(databases)}


def with_databases(targets: t.Iterable[dict[str, t.Any]], hostvars: t.Mapping[str, Database]) -> list[dict[str, t.Any]]:
    """The targets of the exporters themselves, and after each of them one for every further database.

    C(/metrics) is the first database. Every other one is asked for at C(/probe). Of a further database of the same
    server only what is its own is kept, by the label C(database). Another server is an instance of its own.
    """
    result: list[dict[str, t.Any]] = []
    for target in targets:
        host = target["labels"]["instance"]
        result.append(target)
        stated = hostvars[host].get("postgres_exporter_databases")
        if not stated:
            continue
        first, *more = checked_databases(stated)
        instances = {_server(first): host}
        for database in more:
            labels = {**target["labels"], "__metrics_path__": "/probe", "__param_target": url(database)}
            if _server(database) in instances:
                labels["database"] = database["database"]
            else:
                instances[_server(database)] = f"{database['host']}:{database['port']}"
            labels["instance"] = instances[_server(database)]
            result.append({"targets": target["targets"], "labels": labels})
    _refuse_twins(result)
    return result


def _refuse_twins(targets: t.Iterable[dict[str, t.Any]]) -> None:
    """Two exporters that watch the same database of a third host would write into the same series."""
    seen: dict[tuple[str, str], str] = {}
    for target in targets:
        key = (target["labels"]["instance"], target["labels"].get("database", ""))
        if key in seen:
            raise _refused(
                f"{' '.join(key).strip()} is watched by two exporters, {seen[key]} and {target['targets'][0]}",
                "state it on one host only",
            )
        seen[key] = target["targets"][0]
