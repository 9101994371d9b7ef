# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database Metrics: does PostgreSQL answer, is there room for more, and what makes it slow."""

from __future__ import annotations

import typing as t

from . import uids
from .board import Row, board
from .database_tables import SEEN, SERVER, statements, tables
from .panels import GREEN, NONE_IS_GOOD, ORANGE, RED, Placed, bars_panel, series_panel, stat_panel
from .queries import Query
from .variables import labels

# Background workers are no clients.
CLIENTS = f'{SEEN}, backend_type=~"|client backend"'
NAME = "{{instance}} {{datname}}"


def build() -> dict[str, t.Any]:
    return board(
        uids.DATABASE,
        "PostgreSQL as postgres_exporter tells it: connections, transactions, sizes, tables, indexes, locks, "
        "replication.",
        [
            labels("instance", "Server", "pg_up"),
            labels("datname", "Database", f'pg_database_size_bytes{{{SERVER}, datname!~"template[01]"}}'),
        ],
        top(),
        [
            Row("Connections", connections()),
            Row("Work", work()),
            Row("Size", size()),
            Row("Tables and indexes", tables()),
            Row("Locks and long transactions", locks()),
            Row("Statements", statements(), folded=True),
            Row("Log, replication and checkpoints", log()),
        ],
        marks=SERVER,
    )


def rate(counter: str, seen: str = SEEN) -> str:
    return f"rate({counter}{{{seen}}}[$__rate_interval])"


def top() -> list[Placed]:
    commits = f"{rate('pg_stat_database_xact_commit')} + {rate('pg_stat_database_xact_rollback')}"
    hits = f"sum({rate('pg_stat_database_blks_hit')})"
    return [
        stat_panel(
            "Servers down",
            "PostgreSQL servers that do not answer postgres_exporter. Normal: 0. Else: is postgresql.service "
            "running, and may the exporter log in?",
            Query(f"count(pg_up{{{SERVER}}} == 0) or 0 * max(pg_up{{{SERVER}}})"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Active Connections",
            "Connections to the databases shown, idle ones included. Normal: what is usual; see beside it how many "
            "are allowed.",
            Query(f"sum(pg_stat_database_numbackends{{{SEEN}}})"),
            width=3,
        ),
        stat_panel(
            "Connections used",
            "Share of max_connections in use, of the fullest server. Normal: green, below the threshold of "
            "HighDatabaseConnections. Else: who holds them? A pool in front helps.",
            Query(f"max(server:pg_connections_used:percent{{{SERVER}}})"),
            unit="percent",
            width=3,
            decimals=1,
            alert="HighDatabaseConnections",
        ),
        stat_panel(
            "Transactions",
            "Commits and rollbacks in a second. Normal: the curve of the day. Nothing: does anybody reach the "
            "database?",
            Query(f"sum({commits})"),
            unit="ops",
            width=3,
            decimals=1,
        ),
        stat_panel(
            "Found in memory",
            "Share of the blocks that were in PostgreSQL's own cache. Normal: above 99 % for a busy application. "
            "Lower: more shared_buffers, or a query that reads whole tables.",
            Query(f"100 * {hits} / ({hits} + sum({rate('pg_stat_database_blks_read')}) > 0)"),
            unit="percent",
            width=3,
            decimals=2,
            steps=((None, RED), (90, ORANGE), (99, GREEN)),
        ),
        stat_panel(
            "Oldest transaction",
            "How long the oldest transaction of a client is open. Normal: seconds, below the threshold of "
            "DatabaseLongTransaction. Else: it keeps dead rows alive; end it, or mend the program.",
            Query(f"max(pg_stat_activity_max_tx_duration{{{CLIENTS}}})"),
            unit="s",
            width=3,
            decimals=1,
            alert="DatabaseLongTransaction",
        ),
        stat_panel(
            "Size",
            "All databases shown. Normal: a slow rise. See the row Size for what grows.",
            Query(f"sum(pg_database_size_bytes{{{SEEN}}})"),
            unit="bytes",
            width=3,
            decimals=1,
        ),
        stat_panel(
            "Deadlocks",
            "Transactions broken off in the time shown, as they waited for each other. Normal: 0. Else: programs "
            "lock in different orders; the server's log names the statements.",
            Query(f"sum(increase(pg_stat_database_deadlocks{{{SEEN}}}[$__range]))"),
            width=3,
            decimals=0,
            steps=NONE_IS_GOOD,
        ),
    ]


def connections() -> list[Placed]:
    return [
        series_panel(
            "Connections used",
            "Share of max_connections in use. Normal: below the dashed line, the threshold of "
            "HighDatabaseConnections. At 100 % nobody else can connect.",
            Query(f"server:pg_connections_used:percent{{{SERVER}}}", "{{instance}}"),
            unit="percent",
            width=8,
            most=100,
            alert="HighDatabaseConnections",
        ),
        series_panel(
            "Connections by state",
            "What clients do. Normal: mostly idle, some active. Many idle in transaction: a program forgets to "
            "commit, and keeps locks.",
            Query(f"sum by (state) (pg_stat_activity_count{{{CLIENTS}}})", "{{state}}"),
            width=8,
            stack=True,
        ),
        series_panel(
            "Connections by database",
            "Normal: what is usual. One that grows alone: its program does not give connections back.",
            Query(f"pg_stat_database_numbackends{{{SEEN}}}", NAME),
            width=8,
        ),
    ]


def work() -> list[Placed]:
    rows = (
        ("returned", "read"),
        ("fetched", "fetched"),
        ("inserted", "inserted"),
        ("updated", "updated"),
        ("deleted", "deleted"),
    )
    return [
        series_panel(
            "Query Rate",
            "Transactions in a second, as PostgreSQL counts no queries: commits and rollbacks. A query outside of a "
            "transaction is one by itself. Normal: the curve of the day.",
            Query(f"sum by (instance, datname) ({rate('pg_stat_database_xact_commit')})", f"{NAME} commits"),
            Query(f"sum by (instance, datname) ({rate('pg_stat_database_xact_rollback')})", f"{NAME} rollbacks"),
            unit="ops",
        ),
        series_panel(
            "Rolled back",
            "Share of the transactions that were rolled back. Normal: below 1 %. More: constraint errors, timeouts "
            "or a program that gives up.",
            Query(
                f"100 * {rate('pg_stat_database_xact_rollback')} / "
                f"({rate('pg_stat_database_xact_commit')} + {rate('pg_stat_database_xact_rollback')} > 0)",
                NAME,
            ),
            unit="percent",
            soft=1,
        ),
        series_panel(
            "Rows",
            "Rows in a second, of all databases shown; the scale is logarithmic. Normal: goes with the transactions. "
            "Read far above fetched: tables are read whole.",
            *(Query(f"sum({rate(f'pg_stat_database_tup_{name}')})", title) for name, title in rows),
            unit="ops",
            log=True,
        ),
        series_panel(
            "Blocks",
            "Blocks found in memory and read from disk or the kernel's cache, in a second; the scale is logarithmic. "
            "Normal: few are read.",
            Query(f"sum({rate('pg_stat_database_blks_hit')})", "found in memory"),
            Query(f"sum({rate('pg_stat_database_blks_read')})", "read"),
            unit="ops",
            log=True,
        ),
        series_panel(
            "Temporary files",
            "Bytes that sorts and joins write to disk as work_mem is too small for them. Normal: 0, or rare. "
            "Lasting: more work_mem, or an index.",
            Query(rate("pg_stat_database_temp_bytes"), NAME),
            unit="Bps",
        ),
        series_panel(
            "Deadlocks and conflicts",
            "Deadlocks, and queries on a replica that were cancelled in favour of the replication. Normal: 0.",
            Query(f"increase(pg_stat_database_deadlocks{{{SEEN}}}[$__rate_interval])", f"{NAME} deadlocks"),
            Query(f"increase(pg_stat_database_conflicts{{{SEEN}}}[$__rate_interval])", f"{NAME} conflicts"),
            bars=True,
        ),
    ]


def size() -> list[Placed]:
    return [
        series_panel(
            "Database Size",
            "Bytes on disk. Normal: a slow rise. A steep one: a table without a limit, or dead rows that vacuum does "
            "not get at.",
            Query(f"pg_database_size_bytes{{{SEEN}}}", NAME),
            unit="bytes",
            width=8,
        ),
        series_panel(
            "Write-ahead log",
            "Bytes of the log on disk. Normal: about max_wal_size at most. Growing: archiving fails, or a "
            "replication slot is not read.",
            Query(f"pg_wal_size_bytes{{{SERVER}}}", "{{instance}}"),
            unit="bytes",
            width=8,
        ),
        bars_panel(
            "Transaction numbers used",
            "Share of the 2^31 transaction numbers since the oldest row was frozen. Normal: below 10 %, green below "
            "the threshold of DatabaseWraparound. At 100 % PostgreSQL refuses to write: vacuum now.",
            Query(f"100 * pg_database_wraparound_age_datfrozenxid_seconds{{{SEEN}}} / 2^31", NAME),
            width=8,
            alert="DatabaseWraparound",
            none="No data. Exporters before 0.17 do not tell it.",
        ),
    ]


def locks() -> list[Placed]:
    return [
        series_panel(
            "Locks by mode",
            "Locks that are held. Normal: what is usual, mostly accesssharelock. accessexclusivelock for long: a "
            "change of a table keeps everybody waiting.",
            Query(f"sum by (mode) (pg_locks_count{{{SEEN}}}) > 0", "{{mode}}"),
        ),
        series_panel(
            "Oldest transaction",
            "How long the oldest transaction of a client has been open, by database and state; the scale is "
            "logarithmic. Normal: seconds. Above the dashed line DatabaseLongTransaction fires.",
            Query(
                f"max by (instance, datname, state) (clamp_min(pg_stat_activity_max_tx_duration{{{CLIENTS}}}, 0.001))",
                NAME + " {{state}}",
            ),
            unit="s",
            log=True,
            alert="DatabaseLongTransaction",
        ),
    ]


def log() -> list[Placed]:
    written = 'rate(pg_stat_bgwriter_{}_total{{instance=~"$instance"}}[$__rate_interval])'.format
    return [
        series_panel(
            "Replication lag",
            "How far each replica is behind. Normal: below a second, and 0 on a primary. Above the dashed line "
            "DatabaseReplicationLag fires: network, disk, or a long query on the replica.",
            Query(f"pg_replication_lag_seconds{{{SERVER}}}", "{{instance}}"),
            unit="s",
            width=8,
            alert="DatabaseReplicationLag",
        ),
        series_panel(
            "Archived segments",
            "Segments of the log that were archived, and attempts that failed. Normal: none fail; none at all where "
            "nothing is archived. Failures: DatabaseArchivingFailing fires.",
            Query(f"increase(pg_stat_archiver_archived_count{{{SERVER}}}[$__rate_interval])", "{{instance}} archived"),
            Query(f"increase(pg_stat_archiver_failed_count{{{SERVER}}}[$__rate_interval])", "{{instance}} failed"),
            width=8,
            bars=True,
        ),
        series_panel(
            "Checkpoints",
            "Checkpoints in a minute, by the clock and asked for. Normal: by the clock. Many asked for: max_wal_size "
            "is too small for what is written.",
            Query(f"60 * {written('checkpoints_timed')}", "{{instance}} by the clock"),
            Query(f"60 * {written('checkpoints_req')}", "{{instance}} asked for"),
            unit="cpm",
            width=8,
            none="No data. PostgreSQL 17 and later tell checkpoints elsewhere.",
        ),
    ]
