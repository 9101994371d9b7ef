# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The row about the disks of hosts."""

from __future__ import annotations

from .panels import Placed, bars_panel, series_panel
from .queries import Query
from .tables import Column, Key, table_panel

DISK = "{{instance}} {{device}}"


def panels() -> list[Placed]:
    seen = 'instance=~"$instance", device!~"dm-.*|md.*"'
    rate = f"rate(node_disk_{{}}{{{{{seen}}}}}[$__rate_interval])".format
    busy = f"({rate('reads_completed_total')} + {rate('writes_completed_total')} > 0)"
    return [
        bars_panel(
            "Disk usage",
            "Share of each local, writable file system that is used. Normal: green, below the threshold of "
            "DiskSpaceLow. Red: remove what is not needed, or grow it.",
            Query('sort_desc(instance_device:node_filesystem_used:percent{instance=~"$instance"})', DISK),
            alert="DiskSpaceLow",
        ),
        series_panel(
            "Disk usage over time",
            "The same over time. Normal: level, or a slow rise. A steep one reaches the dashed line soon: what "
            "writes there?",
            Query('instance_device:node_filesystem_used:percent{instance=~"$instance"}', DISK),
            unit="percent",
            most=100,
            alert="DiskSpaceLow",
        ),
        file_systems(),
        series_panel(
            "Read and written",
            "Bytes read (above zero) and written (below). Normal: what is usual for the host. A new plateau: a "
            "backup, a compaction, or a query without an index.",
            Query(rate("read_bytes_total"), f"{DISK} read"),
            Query(rate("written_bytes_total"), f"{DISK} written"),
            unit="Bps",
            downwards=".* written",
        ),
        series_panel(
            "Operations",
            "Reads (above zero) and writes (below) in a second. Normal: below what the disk can do; cloud disks have "
            "a limit.",
            Query(rate("reads_completed_total"), f"{DISK} reads"),
            Query(rate("writes_completed_total"), f"{DISK} writes"),
            unit="iops",
            downwards=".* writes",
        ),
        series_panel(
            "Time busy",
            "Share of the time in which the disk had something to do. Normal: below 80 %. At 100 % for long a single "
            "disk is the bottleneck; several disks behind one name can do more.",
            Query(f"100 * {rate('io_time_seconds_total')}", DISK),
            unit="percent",
            most=100,
        ),
        series_panel(
            "Time for one operation",
            "Mean time of a read or a write, waiting included. Normal: below 10 ms, on SSDs below 1 ms. Much more: "
            "the disk is overloaded or about to fail.",
            Query(f"({rate('read_time_seconds_total')} + {rate('write_time_seconds_total')}) / {busy}", DISK),
            unit="s",
        ),
    ]


def file_systems() -> Placed:
    available = 'instance_device:node_filesystem_avail:bytes{instance=~"$instance"}'
    return table_panel(
        "File systems",
        "Every local, writable file system. Normal: room on all of them. 'Full in' goes by the last six hours and is "
        "empty where nothing grows; DiskWillFill fires below its threshold.",
        [Key("instance", "Host"), Key("device", "Device")],
        [
            Column(
                "Used",
                'instance_device:node_filesystem_used:percent{instance=~"$instance"}',
                "percent",
                1,
                gauge=True,
                most=100,
            ),
            Column("Available", available, "bytes"),
            Column(
                "Size",
                'node_filesystem_size_bytes{instance=~"$instance"} and on (instance, device) ' + available,
                "bytes",
            ),
            Column(
                "Inodes used",
                'instance_device:node_filesystem_inodes_used:percent{instance=~"$instance"}',
                "percent",
                1,
                gauge=True,
                most=100,
            ),
            Column("Full in", f"{available} / -(deriv({available}[6h]) < 0)", "s", 1),
        ],
        sort="Used",
        height=7,
    )
