# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Infrastructure Overview: are the hosts well, and if not, which of them and why."""

from __future__ import annotations

import typing as t

from . import host_disks, uids
from .board import Row, board
from .links import column, label, to_dashboard
from .panels import GREEN, NONE_IS_GOOD, ORANGE, Placed, series_panel, stat_panel
from .queries import Query, any_of, or_zero
from .rules import alerts_by_dashboard
from .tables import Column, Key, table_panel
from .variables import labels

# Interfaces that only pass on what another one has counted already.
REAL = 'instance=~"$instance", device!~"lo|veth.*|docker.*|br-.*|cni.*|flannel.*|virbr.*|cali.*"'
HOST = "{{instance}}"
# As in the alert NodeCollectorFailed.
NEEDED = "conntrack|cpu|filesystem|meminfo|systemd|textfile|time|timex|vmstat"
DISK = "{{instance}} {{device}}"


def build() -> dict[str, t.Any]:
    return board(
        uids.INFRASTRUCTURE,
        "Processors, memory, disks and network of the hosts, as node_exporter tells them.",
        [labels("instance", "Host", "node_uname_info")],
        [*top(), hosts()],
        [
            Row("Processors", processors()),
            Row("Memory", memory()),
            Row("Disks", host_disks.panels()),
            Row("Network", network()),
            Row("System", system()),
        ],
        marks='instance=~"$instance"',
    )


def top() -> list[Placed]:
    ours = any_of(alerts_by_dashboard()[uids.INFRASTRUCTURE])
    here = [to_dashboard(uids.INFRASTRUCTURE, "Only this host", instance=label("instance"))]
    return [
        stat_panel(
            "Hosts down",
            "Hosts whose node_exporter does not answer. Normal: 0. Else: is the host up, and its "
            "node_exporter.service?",
            Query(or_zero('count(up{job="node_exporter", instance=~"$instance"} == 0)', "node_exporter")),
            steps=NONE_IS_GOOD,
        ),
        stat_panel(
            "Alerts",
            "Alerts about these hosts that fire now. Normal: 0. Else: click to see which.",
            Query(
                or_zero(
                    f'count(ALERTS{{alertstate="firing", alertname=~"{ours}", instance=~"$instance"}})', "node_exporter"
                )
            ),
            steps=NONE_IS_GOOD,
            links=[to_dashboard(uids.ALERTS)],
        ),
        stat_panel(
            "CPU Usage",
            "The busiest host. Normal: green, below the threshold of HighCPUUsage. Else: look which mode takes the "
            "time.",
            Query('topk(1, instance:node_cpu_used:percent{instance=~"$instance"})', HOST),
            unit="percent",
            decimals=1,
            alert="HighCPUUsage",
            names=True,
            links=here,
        ),
        stat_panel(
            "Memory Usage",
            "The host with the least memory left. Normal: green, below the threshold of HighMemoryUsage. "
            "Else: see the row Memory, and what grows.",
            Query('topk(1, instance:node_memory_used:percent{instance=~"$instance"})', HOST),
            unit="percent",
            decimals=1,
            alert="HighMemoryUsage",
            names=True,
            links=here,
        ),
        stat_panel(
            "Disk Usage",
            "The fullest local file system. Normal: green, below the threshold of DiskSpaceLow. Else: make room, see "
            "the row Disks.",
            Query('topk(1, instance_device:node_filesystem_used:percent{instance=~"$instance"})', DISK),
            unit="percent",
            decimals=1,
            alert="DiskSpaceLow",
            names=True,
            links=here,
        ),
        stat_panel(
            "Latest start",
            "How long the host that was started last is up. Normal: days. Orange, within an hour: was it meant to "
            "restart?",
            Query('bottomk(1, time() - node_boot_time_seconds{instance=~"$instance"})', HOST),
            unit="s",
            decimals=1,
            steps=((None, ORANGE), (3600, GREEN)),
            names=True,
            links=here,
        ),
    ]


def hosts() -> Placed:
    seen = 'instance=~"$instance"'
    known = f'up{{job="node_exporter", {seen}}}'
    firing = f'count by (instance) (ALERTS{{alertstate="firing", {seen}}})'
    traffic = "sum by (instance) (rate(node_network_{}_bytes_total{{{}}}[$__rate_interval])) * 8"
    return table_panel(
        "Hosts",
        "One line for each host, the busiest first. Normal: no alert, no bar that is red. Click a host to see only it.",
        [
            Key(
                "instance",
                "Host",
                links=[
                    to_dashboard(uids.INFRASTRUCTURE, "Only this host", instance=column("instance")),
                    to_dashboard(uids.CONTAINERS, "Its containers", instance=column("instance")),
                ],
            )
        ],
        [
            Column(
                "Alerts",
                f"({firing} or 0 * {known}) and on (instance) {known}",
                steps=NONE_IS_GOOD,
                width=70,
                links=[to_dashboard(uids.ALERTS, "Its alerts", instance=column("instance"))],
            ),
            Column("CPU", f"instance:node_cpu_used:percent{{{seen}}}", "percent", 1, gauge=True, most=100),
            Column("Memory", f"instance:node_memory_used:percent{{{seen}}}", "percent", 1, gauge=True, most=100),
            Column(
                "Fullest disk",
                f"instance_device:node_filesystem_used:percent{{{seen}}}",
                "percent",
                1,
                gauge=True,
                most=100,
            ),
            Column("CPUs", f'count by (instance) (node_cpu_seconds_total{{mode="idle", {seen}}})', width=70),
            Column("Load (5 min)", f"node_load5{{{seen}}}", decimals=2, width=100),
            Column("RAM", f"node_memory_MemTotal_bytes{{{seen}}}", "bytes", width=100),
            Column("Received", traffic.format("receive", REAL), "bps", width=110),
            Column("Sent", traffic.format("transmit", REAL), "bps", width=110),
            Column("Up for", f"time() - node_boot_time_seconds{{{seen}}}", "s", 1, width=100),
        ],
        sort="CPU",
        height=7,
    )


def processors() -> list[Placed]:
    waiting = 'max(100 * rate(node_pressure_{}_waiting_seconds_total{{instance=~"$instance"}}[$__rate_interval]))'
    return [
        series_panel(
            "CPU usage by host",
            "Share of all processors' time that is not idle. Normal: below the dashed line, the threshold of "
            "HighCPUUsage. Above it for long: find the process with top, or give the host more processors.",
            Query('instance:node_cpu_used:percent{instance=~"$instance"}', HOST),
            unit="percent",
            most=100,
            alert="HighCPUUsage",
        ),
        series_panel(
            "CPU time by mode",
            "What the processors do, on average over the hosts. Normal: mostly user. Much iowait: the disks are too "
            "slow. Much steal: the host's own host is too busy. Much system: see network and disks.",
            Query(
                "100 * avg by (mode) "
                '(rate(node_cpu_seconds_total{instance=~"$instance", mode!="idle"}[$__rate_interval]))',
                "{{mode}}",
            ),
            unit="percent",
            stack=True,
        ),
        series_panel(
            "Load per processor",
            "Processes that run or want to, over five minutes, for each processor. Normal: below 1. Above: they wait "
            "for each other, or for disks.",
            Query(
                'node_load5{instance=~"$instance"} / on (instance) '
                'count by (instance) (node_cpu_seconds_total{mode="idle", instance=~"$instance"})',
                HOST,
            ),
        ),
        series_panel(
            "Time lost waiting",
            "Share of the time in which some process had to wait for a processor, a disk or memory (pressure stall "
            "information), of the worst host. Normal: a few per cent. Memory above 0: it swaps, or is about to.",
            *(Query(waiting.format(what), what) for what in ("cpu", "io", "memory")),
            unit="percent",
            none="No data. Kernels before 4.20, and some virtual machines, do not tell pressure.",
        ),
    ]


def memory() -> list[Placed]:
    total = 'sum(node_memory_{}_bytes{{instance=~"$instance"}})'.format
    return [
        series_panel(
            "Memory usage by host",
            "Share of the memory that is not available to programs. Normal: below the dashed line, the threshold of "
            "HighMemoryUsage, and level. Rising for hours: something leaks.",
            Query('instance:node_memory_used:percent{instance=~"$instance"}', HOST),
            unit="percent",
            most=100,
            alert="HighMemoryUsage",
        ),
        series_panel(
            "Where memory is",
            "The memory of all hosts shown. Normal: little is free and much is cache, which the kernel gives back when "
            "programs ask.",
            Query(f"{total('MemTotal')} - {total('MemAvailable')}", "in use"),
            Query(f"{total('MemAvailable')} - {total('MemFree')}", "cache, given back when asked for"),
            Query(total("MemFree"), "free"),
            unit="bytes",
            stack=True,
        ),
        series_panel(
            "Swapping",
            "Pages moved to and from the swap space. Normal: 0, or a short peak. Lasting: memory is short, "
            "everything is slow.",
            Query('rate(node_vmstat_pswpin{instance=~"$instance"}[$__rate_interval])', f"{HOST} in"),
            Query('rate(node_vmstat_pswpout{instance=~"$instance"}[$__rate_interval])', f"{HOST} out"),
            width=8,
            soft=1,
            downwards=".* out",
        ),
        series_panel(
            "Swap used",
            "Swap space in use. Normal: little, or none where there is no swap. Growing: memory has been short.",
            Query(
                'node_memory_SwapTotal_bytes{instance=~"$instance"} '
                '- node_memory_SwapFree_bytes{instance=~"$instance"}',
                HOST,
            ),
            unit="bytes",
            width=8,
        ),
        series_panel(
            "Processes killed for want of memory",
            "What the kernel killed. Normal: 0. Else: OutOfMemoryKill fires; journalctl -k names the process.",
            Query('increase(node_vmstat_oom_kill{instance=~"$instance"}[$__rate_interval])', HOST),
            width=8,
            bars=True,
        ),
    ]


def network() -> list[Placed]:
    sums = f"sum by (instance) (rate(node_network_{{}}_total{{{{{REAL}}}}}[$__rate_interval]))".format
    stats = 'rate(node_netstat_{}{{instance=~"$instance"}}[$__rate_interval])'.format
    return [
        series_panel(
            "Traffic",
            "Bits received (above zero) and sent (below), without loopback and the interfaces of containers. Normal: "
            "what is usual for the host, and below the speed of its line.",
            Query(f"8 * {sums('receive_bytes')}", f"{HOST} received"),
            Query(f"8 * {sums('transmit_bytes')}", f"{HOST} sent"),
            unit="bps",
            downwards=".* sent",
        ),
        series_panel(
            "Packets lost on the interface",
            "Errors and drops, both ways. Normal: 0, or now and then one. Lasting errors: cable, port or driver. "
            "Lasting drops: the host does not keep up.",
            Query(f"{sums('receive_errs')} + {sums('transmit_errs')}", f"{HOST} errors"),
            Query(f"{sums('receive_drop')} + {sums('transmit_drop')}", f"{HOST} drops"),
            unit="pps",
            soft=1,
        ),
        series_panel(
            "TCP connections",
            "Connections that are established. Normal: what is usual. A steep rise: clients that do not close, or an "
            "attack.",
            Query('node_netstat_Tcp_CurrEstab{instance=~"$instance"}', HOST),
            width=8,
        ),
        series_panel(
            "TCP segments sent again",
            "Share of the segments that had to be repeated. Normal: below 1 %. More: packets get lost on the way.",
            Query(f"100 * {stats('Tcp_RetransSegs')} / ({stats('Tcp_OutSegs')} > 0)", HOST),
            unit="percent",
            width=8,
        ),
        series_panel(
            "Connection table",
            "Share of the kernel's table of tracked connections. Normal: below the dashed line, the threshold of "
            "HighConntrackUsage. Full: new connections are dropped without a word.",
            Query(
                '100 * node_nf_conntrack_entries{instance=~"$instance"} '
                '/ (node_nf_conntrack_entries_limit{instance=~"$instance"} > 0)',
                HOST,
            ),
            unit="percent",
            width=8,
            most=100,
            alert="HighConntrackUsage",
            none="No data. No host here tracks connections, or it does not say so.",
        ),
    ]


def system() -> list[Placed]:
    return [
        table_panel(
            "Units that have failed",
            "Services and mounts that systemd has given up on. Normal: none. Else: systemctl status and journalctl "
            "-u with that name, on that host.",
            [Key("instance", "Host"), Key("name", "Unit")],
            [
                Column(
                    "State",
                    'node_systemd_unit_state{instance=~"$instance", state="failed"} == 1',
                    texts={"1": ("failed", "red")},
                    width=90,
                )
            ],
            sort="Host",
            ascending=True,
            width=12,
            none="No unit has failed",
        ),
        table_panel(
            "Collectors that fail",
            "Parts of node_exporter that alerts need and that fail; others fail wherever the host lacks the "
            "hardware. Normal: none. Else: NodeCollectorFailed fires; the log of node_exporter says why.",
            [Key("instance", "Host"), Key("collector", "Collector")],
            [
                Column(
                    "State",
                    f'node_scrape_collector_success{{instance=~"$instance", collector=~"{NEEDED}"}} == 0',
                    texts={"0": ("fails", "red")},
                    width=90,
                )
            ],
            sort="Host",
            ascending=True,
            width=12,
            none="All collectors that alerts need succeed",
        ),
        series_panel(
            "Clock",
            "How far the host's clock is from that of Prometheus. Normal: below a second, and below the dashed line, "
            "the threshold of ClockSkew. Else: is there a time service, such as chrony?",
            Query(
                'abs(node_time_seconds{instance=~"$instance"} - timestamp(node_time_seconds{instance=~"$instance"}))',
                HOST,
            ),
            unit="s",
            width=8,
            alert="ClockSkew",
        ),
        series_panel(
            "Open files",
            "Share of the files that the kernel allows. Normal: a few per cent. Growing without end: a program does "
            "not close.",
            Query(
                '100 * node_filefd_allocated{instance=~"$instance"} / node_filefd_maximum{instance=~"$instance"}', HOST
            ),
            unit="percent",
            width=8,
        ),
        series_panel(
            "Age of metrics files",
            "Hours since each *.prom file was written, by a backup for example. Normal: below the dashed line, the "
            "threshold of TextfileStale. Above: what writes it has stopped.",
            Query(
                '(time() - node_textfile_mtime_seconds{instance=~"$instance", file!~".*[.]static[.]prom"}) / 3600',
                f"{HOST} {{{{file}}}}",
            ),
            unit="h",
            width=8,
            alert="TextfileStale",
            none="No data. No host here has metrics files.",
        ),
    ]
