# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers: which of them run, what they use, and which start again and again."""

from __future__ import annotations

import typing as t

from . import uids
from .board import Row, board
from .links import column, to_dashboard
from .panels import NONE_IS_GOOD, Placed, series_panel, stat_panel
from .queries import Query, largest
from .tables import Column, Key, table_panel
from .variables import labels

# Without a name it is a control group, no container.
SEEN = 'instance=~"$instance", name=~"$name", name!=""'
NAME = "{{instance}} {{name}}"
BY = "sum by (instance, name)"
NONE = "No container here tells it, or there is no cadvisor in this inventory"
NONE_IN_SHORT = "no container"
# Of very many containers, so many are drawn.
MANY = 10


def build() -> dict[str, t.Any]:
    return board(
        uids.CONTAINERS,
        "Containers of Docker, containerd and Podman, as cAdvisor sees them.",
        [
            labels("instance", "Host", "container_last_seen"),
            labels("name", "Container", 'container_last_seen{instance=~"$instance", name!=""}'),
        ],
        [*top(), containers()],
        [
            Row("Processors", processors()),
            Row("Memory", memory()),
            Row("Network", network()),
            Row("Disks", disks()),
            Row("Starts", starts()),
        ],
        marks='instance=~"$instance"',
    )


def rate(counter: str, more: str = "") -> str:
    return f"{BY} (rate({counter}{{{SEEN}{more}}}[$__rate_interval]))"


def top() -> list[Placed]:
    return [
        stat_panel(
            "Running",
            "Containers that run. Normal: as many as you started. Fewer: see which one is missing in the table.",
            Query(f"count(time() - container_last_seen{{{SEEN}}} < 60)"),
            none=NONE_IN_SHORT,
        ),
        stat_panel(
            "cAdvisors down",
            "Hosts whose cAdvisor does not answer. Normal: 0. Else: cadvisor.service on that host.",
            Query('count(up{job="cadvisor", instance=~"$instance"} == 0) or 0 * max(up{job="cadvisor"})'),
            steps=NONE_IS_GOOD,
            none="no cadvisor?",
        ),
        stat_panel(
            "Processors used",
            "Processors that all containers together keep busy. Normal: fewer than the hosts have.",
            Query(f"sum(rate(container_cpu_usage_seconds_total{{{SEEN}}}[$__rate_interval]))"),
            decimals=2,
            none=NONE_IN_SHORT,
        ),
        stat_panel(
            "Memory used",
            "Memory that containers cannot give back (the working set). Normal: level, and less than the hosts have.",
            Query(f"sum(container_memory_working_set_bytes{{{SEEN}}})"),
            unit="bytes",
            decimals=1,
            none=NONE_IN_SHORT,
        ),
        stat_panel(
            "Restarts",
            "Starts of containers in the time shown, the first one left out. Normal: 0, or those of a release. Else: "
            "see the row Starts.",
            Query(f"sum(changes(container_start_time_seconds{{{SEEN}}}[$__range]))"),
            decimals=0,
            steps=NONE_IS_GOOD,
            none=NONE_IN_SHORT,
        ),
        stat_panel(
            "Killed for want of memory",
            "Processes in containers that the kernel killed in the time shown. Normal: 0. Else: raise the limit of the "
            "container, or find its leak.",
            Query(f"sum(increase(container_oom_events_total{{{SEEN}}}[$__range]))"),
            decimals=0,
            steps=NONE_IS_GOOD,
            none=NONE_IN_SHORT,
        ),
    ]


def containers() -> Placed:
    limit = f"{BY} (container_spec_memory_limit_bytes{{{SEEN}}} > 0)"
    return table_panel(
        "Containers",
        "One line for each container, the largest first. Normal: below its limit, up for days. No limit: it may use "
        "the whole host. Click a container to see only it.",
        [
            Key(
                "instance",
                "Host",
                links=[to_dashboard(uids.INFRASTRUCTURE, "Its host", instance=column("instance"))],
            ),
            Key(
                "name",
                "Container",
                links=[
                    to_dashboard(
                        uids.CONTAINERS, "Only this container", instance=column("instance"), name=column("name")
                    )
                ],
            ),
        ],
        [
            Column("Memory", f"container_memory_working_set_bytes{{{SEEN}}}", "bytes"),
            Column("Limit", limit, "bytes"),
            Column("Of limit", f"container:memory_used:percent{{{SEEN}}}", "percent", 1, gauge=True, most=100),
            Column("Processors", rate("container_cpu_usage_seconds_total"), decimals=3),
            Column("Received", f"8 * {rate('container_network_receive_bytes_total')}", "bps"),
            Column("Sent", f"8 * {rate('container_network_transmit_bytes_total')}", "bps"),
            Column("Up for", f"time() - container_start_time_seconds{{{SEEN}}}", "s", 1),
        ],
        sort="Memory",
        none=NONE,
    )


def processors() -> list[Placed]:
    return [
        series_panel(
            "Processors by container",
            "Processors that each container keeps busy, the ten busiest: 1 is one whole. Normal: goes with its work.",
            Query(largest(MANY, rate("container_cpu_usage_seconds_total")), NAME),
            width=8,
            none=NONE,
        ),
        series_panel(
            "Stopped by its own limit",
            "Share of the periods in which the container wanted a processor and had used up its limit. Normal: 0. "
            "Above the dashed line ContainerCPUThrottled fires: raise the limit, or find what takes so much.",
            Query(largest(MANY, f"container:cpu_throttled:percent_rate5m{{{SEEN}}}"), NAME),
            unit="percent",
            width=8,
            most=100,
            alert="ContainerCPUThrottled",
            none="No container here has a limit of processors, or there is no cadvisor in this inventory",
        ),
        series_panel(
            "Time lost waiting for a processor",
            "Share of the time in which something in the container wanted a processor and got none. Normal: a few "
            "per cent. More: the host is full, or the container's own limit holds it back.",
            Query(largest(MANY, f"100 * {rate('container_pressure_cpu_waiting_seconds_total')}"), NAME),
            unit="percent",
            width=8,
            soft=1,
            none=NONE,
        ),
    ]


def memory() -> list[Placed]:
    return [
        series_panel(
            "Memory by container",
            "What each container cannot give back, the ten largest. Normal: level. Rising for hours: it leaks, "
            "and ends at its limit.",
            Query(largest(MANY, f"{BY} (container_memory_working_set_bytes{{{SEEN}}})"), NAME),
            unit="bytes",
            none=NONE,
        ),
        series_panel(
            "Share of the limit",
            "Memory of those containers that have a limit, without what they have read from files. Normal: below the "
            "dashed line, the threshold of ContainerMemoryNearLimit. At 100 % the kernel kills a process of it.",
            Query(largest(MANY, f"container:memory_used:percent{{{SEEN}}}"), NAME),
            unit="percent",
            most=100,
            alert="ContainerMemoryNearLimit",
            none="No container here has a limit of memory, or there is no cadvisor in this inventory",
        ),
    ]


def network() -> list[Placed]:
    lost = " + ".join(
        rate(f"container_network_{way}_{what}_total")
        for way in ("receive", "transmit")
        for what in ("errors", "packets_dropped")
    )
    return [
        series_panel(
            "Traffic by container",
            "Bits received (above zero) and sent (below), the ten busiest. Normal: goes with the requests.",
            Query(largest(MANY, f"8 * {rate('container_network_receive_bytes_total')}"), f"{NAME} received"),
            Query(largest(MANY, f"8 * {rate('container_network_transmit_bytes_total')}"), f"{NAME} sent"),
            unit="bps",
            downwards=".* sent",
            none=NONE,
        ),
        series_panel(
            "Packets lost",
            "Errors and drops, both ways. Normal: 0. Else: the container does not keep up, or its network is wrong.",
            Query(largest(MANY, f"({lost})"), NAME),
            unit="pps",
            soft=1,
            none=NONE,
        ),
    ]


def disks() -> list[Placed]:
    return [
        series_panel(
            "Operations by container",
            "Reads (above zero) and writes (below) in a second, the ten busiest. Normal: what is usual. What is "
            "only in the kernel's cache is not counted.",
            Query(largest(MANY, rate("container_fs_reads_total")), f"{NAME} reads"),
            Query(largest(MANY, rate("container_fs_writes_total")), f"{NAME} writes"),
            unit="iops",
            downwards=".* writes",
            none=NONE,
        ),
        series_panel(
            "Time lost waiting for a disk",
            "Share of the time in which something in the container waited for a disk. Normal: a few per cent. More: "
            "see the disks of the host.",
            Query(largest(MANY, f"100 * {rate('container_pressure_io_waiting_seconds_total')}"), NAME),
            unit="percent",
            soft=1,
            none=NONE,
        ),
    ]


def starts() -> list[Placed]:
    return [
        series_panel(
            "Container restarts",
            "Starts within an hour, of containers that have any. Normal: none, or those of a release. Above the "
            "dashed line ContainerRestarting fires: docker logs tells why it ends.",
            Query(f"max by (instance, name) (changes(container_start_time_seconds{{{SEEN}}}[1h])) > 0", NAME),
            alert="ContainerRestarting",
            none="No container has restarted, or there is no cadvisor in this inventory",
        ),
        series_panel(
            "Processes killed for want of memory",
            "In containers, by the kernel. Normal: 0. Else: the container is at its limit of memory.",
            Query(f"{BY} (increase(container_oom_events_total{{{SEEN}}}[$__rate_interval]))", NAME),
            bars=True,
            none=NONE,
        ),
    ]
