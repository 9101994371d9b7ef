# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about the tables, indexes and statements of databases."""

from __future__ import annotations

from .panels import GREEN, ORANGE, RED, Placed, series_panel
from .queries import Query, largest, smallest
from .tables import Column, Key, table_panel

SERVER = 'instance=~"$instance"'
# Templates are copied from, and nobody works in them.
SEEN = f'{SERVER}, datname=~"$datname", datname!~"template[01]"'
TABLE = [Key("instance", "Server", 110), Key("datname", "Database", 130), Key("relname", "Table")]


def tables() -> list[Placed]:
    def of(metric: str) -> str:
        return f"pg_stat_user_tables_{metric}{{{SEEN}}}"

    def blocks(how: str) -> str:
        return f"rate(pg_statio_user_tables_heap_blocks_{how}{{{SEEN}}}[$__rate_interval])"

    live, dead = of("n_live_tup"), of("n_dead_tup")
    scans = f"(increase({of('seq_scan')}[$__range]) + increase({of('idx_scan')}[$__range]) > 0)"
    none = "No data. Tables are told of databases in postgres_exporter_databases."
    return [
        table_panel(
            "Tables",
            "The tables of the databases that the inventory names, the largest first. Normal: few dead rows. Above "
            "20 %: autovacuum does not keep up; a long transaction may hold it.",
            TABLE,
            [
                Column("Size", of("table_size_bytes"), "bytes"),
                Column("Indexes", of("index_size_bytes"), "bytes"),
                Column("Rows", live, "short"),
                Column(
                    "Dead rows",
                    f"100 * {dead} / ({live} + {dead} > 0)",
                    "percent",
                    1,
                    steps=((None, GREEN), (20, ORANGE), (50, RED)),
                ),
                Column(
                    "Last autovacuum", f"(time() - {of('last_autovacuum')}) and {of('last_autovacuum')} > 0", "s", 1
                ),
                Column("Last analyze", f"(time() - {of('last_autoanalyze')}) and {of('last_autoanalyze')} > 0", "s", 1),
            ],
            sort="Size",
            none=none,
        ),
        table_panel(
            "Index usage by table",
            "How tables were read in the time shown, those read whole most often first. Normal: large tables by an "
            "index. Many whole reads of many rows: an index is missing.",
            TABLE,
            [
                Column(
                    "By index",
                    f"100 * increase({of('idx_scan')}[$__range]) / {scans}",
                    "percent",
                    1,
                    gauge=True,
                    full_is_good=True,
                    most=100,
                ),
                Column("Whole reads", f"increase({of('seq_scan')}[$__range])", decimals=0),
                Column("Rows read so", f"increase({of('seq_tup_read')}[$__range])", decimals=0),
            ],
            sort="Rows read so",
            width=14,
            none=none,
        ),
        table_panel(
            "Index blocks",
            "Blocks of each index that were used in the time shown, the least used first. Normal: all are used. 0 "
            "over weeks: the index costs writes and helps nobody, unless it is a constraint.",
            [Key("instance", "Server", 110), Key("relname", "Table"), Key("indexrelname", "Index")],
            [
                Column(
                    "Blocks used",
                    f"increase(pg_statio_user_indexes_idx_blks_hit_total{{{SERVER}}}[$__range]) "
                    f"+ increase(pg_statio_user_indexes_idx_blks_read_total{{{SERVER}}}[$__range])",
                    decimals=0,
                    width=110,
                )
            ],
            sort="Blocks used",
            ascending=True,
            width=10,
            none=none,
        ),
        series_panel(
            "Rows changed by table",
            "Rows inserted, updated and deleted in a second, the six busiest tables. Normal: what is usual.",
            Query(
                largest(
                    6,
                    f"sum by (datname, relname) (rate({of('n_tup_ins')}[$__rate_interval]) "
                    f"+ rate({of('n_tup_upd')}[$__rate_interval]) + rate({of('n_tup_del')}[$__rate_interval]))",
                ),
                "{{datname}} {{relname}}",
            ),
            unit="ops",
            none=none,
        ),
        series_panel(
            "Table blocks found in memory",
            "Share of each table's blocks that were in PostgreSQL's cache, the six worst. Normal: above 95 %. Lower: "
            "the table is larger than the memory for it.",
            Query(
                smallest(6, f"100 * {blocks('hit')} / ({blocks('hit')} + {blocks('read')} > 0)"),
                "{{datname}} {{relname}}",
            ),
            unit="percent",
            most=100,
            none=none,
        ),
    ]


def statements() -> list[Placed]:
    none = "No data. pg_stat_statements or its collector is off (docs/postgresql.md)."
    keys = [Key("datname", "Database", 120), Key("user", "User", 120), Key("queryid", "Statement")]
    calls, seconds = (f"increase(pg_stat_statements_{what}_total{{{SEEN}}}[$__range])" for what in ("calls", "seconds"))
    return [
        table_panel(
            "Statements by time",
            "The statements that took most of the server's time in the time shown. Normal: those that people use. "
            "The text belongs to the number in the view pg_stat_statements. SlowStatements fires by the mean.",
            keys,
            [
                Column("Time", f"topk(20, {seconds})", "s", 1),
                Column("Calls", calls, decimals=0),
                Column("Mean", f"{seconds} / ({calls} > 0)", "s", 2),
            ],
            sort="Time",
            none=none,
        ),
    ]
