# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which database Grafana has, and what is read from a file of SQLite; molecule/backup has PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _grafana_database as database
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("grafana", str(tmp_path))
    Path(made.data).mkdir(parents=True)
    Path(made.etc).mkdir(parents=True)
    return made


def write(layout: Layout, *lines: str) -> None:
    Path(layout.etc, "grafana.ini").write_text("\n".join(["; Managed", "app_mode = production", *lines, ""]))


def test_sqlite(layout: Layout) -> None:
    write(layout, "[database]", "wal = true")
    assert database.of(layout) is None  # no file yet
    path = f"{layout.data}/grafana.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x INT)")
    found = database.of(layout)
    assert found == database.Sqlite(path)
    assert found.dashboards() == []
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE dashboard (uid TEXT, data BLOB, is_folder INT)")
        rows = [("a", b'{"title": "A"}', 0), ("b", '{"title": "B"}', 0), ("f", "{}", 1)]
        connection.executemany("INSERT INTO dashboard VALUES (?, ?, ?)", rows)
    assert found.dashboards() == [("a", '{"title": "A"}'), ("b", '{"title": "B"}')]
    assert found.copy(f"{layout.data}/copy.db") == found.dashboards()
    assert database.Sqlite(f"{layout.data}/copy.db").dashboards() == found.dashboards()
    database.check(layout.data)


def test_damaged_file(layout: Layout) -> None:
    path = Path(layout.data, "grafana.db")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,)] * 20)
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises((ComponentError, sqlite3.DatabaseError)):
        database.check(layout.data)


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("db1:5433", {"PGHOST": "db1", "PGPORT": "5433"}),
        ("db1", {"PGHOST": "db1"}),
        ("[2001:db8::1]:5432", {"PGHOST": "2001:db8::1", "PGPORT": "5432"}),
        ("[2001:db8::1]", {"PGHOST": "2001:db8::1"}),
        ("/run/postgresql", {"PGHOST": "/run/postgresql"}),
    ],
)
def test_postgresql(layout: Layout, host: str, seen: dict[str, str]) -> None:
    secret = Path(layout.etc, "secret")
    secret.write_text("pass % word")
    write(
        layout, "[database]", "type = postgres", f"host = {host}", f"password = $__file{{{secret}}}", 'user = """a#b"""'
    )
    found = database.of(layout)
    assert isinstance(found, database.Postgres)
    names = ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")
    assert {name: found.environment[name] for name in names if name in found.environment} == {
        "PGDATABASE": "grafana",
        "PGUSER": "a#b",
        **seen,
    }
    assert found.password == "pass % word"
    assert "pass" not in repr(found)


@pytest.mark.parametrize(
    ("mode", "stated", "known"), [("require", "", ""), ("verify-full", "", "system"), ("verify-ca", "own", "own")]
)
def test_authorities(layout: Layout, monkeypatch: pytest.MonkeyPatch, mode: str, stated: str, known: str) -> None:
    """Grafana takes those of the system where none are named."""
    system = Path(layout.etc, "system")
    system.touch()
    monkeypatch.setattr(database, "AUTHORITIES", ("/nowhere", str(system)))
    write(layout, "[database]", "type = postgres", "host = db1", f"ssl_mode = {mode}", f"ca_cert_path = {stated}")
    found = database.of(layout)
    assert isinstance(found, database.Postgres)
    assert found.environment.get("PGSSLROOTCERT", "") == (str(system) if known == "system" else known)


def test_password_file() -> None:
    with database._password_file(r"a:b\c", None) as path:
        assert Path(path).read_text() == r"*:*:*:*:a\:b\\c" + "\n"
        assert Path(path).stat().st_mode & 0o777 == 0o600
    assert not Path(path).exists()


def test_other_sections_do_not_matter(layout: Layout) -> None:
    write(layout, "[auth]", 'text = """a', 'b"""', "[database]", "type = postgres", "host = db1", "[other]", "host = x")
    found = database.of(layout)
    assert isinstance(found, database.Postgres)
    assert found.environment["PGHOST"] == "db1"
    write(layout, "[database]", 'name = """a', 'b"""')
    with pytest.raises(ComponentError, match="cannot be read"):
        database.of(layout)


@pytest.mark.parametrize(
    "lines", [["type = mysql"], ["type = postgres", "url = postgres://x"], ["type = sqlite3", "url = postgres://x"]]
)
def test_others_are_copied_where_they_are(layout: Layout, lines: list[str]) -> None:
    """A file of SQLite that is there as from before is not taken for it."""
    Path(layout.data, "grafana.db").touch()
    write(layout, "[database]", *lines)
    assert database.of(layout) is None


def test_dump_that_ends_in_the_middle(layout: Layout) -> None:
    path = Path(layout.data, "grafana.sql")
    path.write_text("CREATE TABLE x (y int);\n" * 1000)
    with pytest.raises(ComponentError, match="ends in the middle"):
        database.check(layout.data)
    with path.open("a") as handle:
        handle.write("--\n-- PostgreSQL database dump complete\n--\n")
    database.check(layout.data)


def test_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ComponentError, match="psql is not installed") as raised:
        database.Postgres({"PGDATABASE": "grafana"}).dashboards()
    assert "postgresql-client" in raised.value.remedy
