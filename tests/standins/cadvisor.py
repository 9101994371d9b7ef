#!/usr/bin/python3
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for cAdvisor, for tests where the real one is out of reach. It is not cAdvisor, and says so.

It takes the flags of the real one and refuses others as it does. It serves /healthz and the metrics that the real one
was recorded to expose: names, types, labels, time stamps. The numbers are those of real cgroups. No container engine is
asked: beside the cgroups that it is told to report it makes up some containers, whose numbers are those of services.
"""

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

VERSION = "0.60.5"
SAYS = f"cAdvisor version v{VERSION} (stand-in of opswatch.monitoring, not the real program)"
CGROUPS = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
BEGAN = time.time()

# The flags of the real one, but for those of its storage drivers, by the type of their value.
FLAGS = {
    "bool": """
        add_dir_header allow_dynamic_housekeeping alsologtostderr disable_root_cgroup_stats docker-tls docker_only
        enable_load_reader log_cadvisor_usage logtostderr one_output profiling skip_headers skip_log_headers
        store_container_labels version""",
    "int": "application_metrics_count_limit log_file_max_size max_procs port referenced_reset_interval v",
    "float": "initial_splay_factor jitter_factor",
    "duration": """
        crio_client_timeout global_housekeeping_interval housekeeping_interval max_housekeeping_interval
        resctrl_interval storage_duration update_machine_info_interval""",
    "metrics": "disable_metrics enable_metrics",
    "text": """
        boot_id_file collector_cert collector_key container_hints containerd containerd-namespace
        containerd_env_metadata_whitelist docker docker-tls-ca docker-tls-cert docker-tls-key
        docker_env_metadata_whitelist docker_root env_metadata_whitelist event_storage_age_limit
        event_storage_event_limit http_auth_file http_auth_realm http_digest_file http_digest_realm listen_ip
        log_backtrace_at log_dir log_file machine_id_file perf_events_config podman prometheus_endpoint
        raw_cgroup_prefix_whitelist stderrthreshold url_base_prefix vmodule whitelisted_container_labels""",
}
KIND_OF = {name: kind for kind, names in FLAGS.items() for name in names.split()}
FORMS = {
    "bool": re.compile(r"1|t|T|TRUE|true|True|0|f|F|FALSE|false|False"),
    "int": re.compile(r"[-+]?\d+"),
    "float": re.compile(r"[-+]?\d+(\.\d+)?"),
    "duration": re.compile(r"0|(\d+(\.\d+)?(ns|us|ms|s|m|h))+"),
}
# Kinds of metrics: those that are on by default, and the others.
ON = "app,cpu,cpuLoad,disk,diskIO,memory,network,oom_event,percpu,perf_event,pressure"
OFF = "advtcp,cpu_topology,cpuset,hugetlb,memory_numa,process,referenced_memory,resctrl,sched,tcp,udp"
KINDS = f"{ON},{OFF}".split(",")

# Metrics with one value for each container: kind, name, type, and where it is from: file, key in it, factor.
SINGLE = """
    cpu container_cpu_user_seconds_total counter cpu.stat user_usec 1e-6
    cpu container_cpu_system_seconds_total counter cpu.stat system_usec 1e-6
    quota container_cpu_cfs_burst_periods_total counter cpu.stat nr_bursts 1
    quota container_cpu_cfs_burst_seconds_total counter cpu.stat burst_usec 1e-6
    quota container_cpu_cfs_periods_total counter cpu.stat nr_periods 1
    quota container_cpu_cfs_throttled_periods_total counter cpu.stat nr_throttled 1
    quota container_cpu_cfs_throttled_seconds_total counter cpu.stat throttled_usec 1e-6
    cpuLoad container_cpu_load_average_10s gauge - - 0
    cpuLoad container_cpu_load_d_average_10s gauge - - 0
    memory container_memory_cache gauge memory.stat file 1
    memory container_memory_rss gauge memory.stat anon 1
    memory container_memory_kernel_usage gauge memory.stat kernel 1
    memory container_memory_mapped_file gauge memory.stat file_mapped 1
    memory container_memory_swap gauge memory.swap.current - 1
    memory container_memory_failcnt counter - - 0
    memory container_memory_usage_bytes gauge memory.current - 1
    memory container_memory_max_usage_bytes gauge memory.peak - 1
    memory container_memory_total_active_file_bytes gauge memory.stat active_file 1
    memory container_memory_total_inactive_file_bytes gauge memory.stat inactive_file 1
    memory container_memory_events_high_total counter memory.events high 1
    memory container_memory_events_max_total counter memory.events max 1
    memory container_memory_file_dirty_bytes gauge memory.stat file_dirty 1
    memory container_memory_file_writeback_bytes gauge memory.stat file_writeback 1
    memory container_memory_pgscan_total counter memory.stat pgscan 1
    memory container_memory_pgsteal_total counter memory.stat pgsteal 1
    memory container_memory_workingset_refault_anon_total counter memory.stat workingset_refault_anon 1
    memory container_memory_workingset_refault_file_total counter memory.stat workingset_refault_file 1
    oom_event container_oom_events_total counter memory.events oom_kill 1
    pressure container_pressure_cpu_stalled_seconds_total counter cpu.pressure full 1e-6
    pressure container_pressure_cpu_waiting_seconds_total counter cpu.pressure some 1e-6
    pressure container_pressure_io_stalled_seconds_total counter io.pressure full 1e-6
    pressure container_pressure_io_waiting_seconds_total counter io.pressure some 1e-6
    pressure container_pressure_memory_stalled_seconds_total counter memory.pressure full 1e-6
    pressure container_pressure_memory_waiting_seconds_total counter memory.pressure some 1e-6
"""
# Those of each block device of io.stat.
DEVICE = """
    container_fs_io_current gauge - 0
    container_fs_io_time_seconds_total counter - 0
    container_fs_io_time_weighted_seconds_total counter - 0
    container_fs_read_seconds_total counter - 0
    container_fs_reads_merged_total counter - 0
    container_fs_reads_total counter rios 1
    container_fs_sector_reads_total counter rbytes 0.001953125
    container_fs_sector_writes_total counter wbytes 0.001953125
    container_fs_write_seconds_total counter - 0
    container_fs_writes_merged_total counter - 0
    container_fs_writes_total counter wios 1
"""
# Those of each interface, by the column in /proc/<pid>/net/dev.
INTERFACE = """
    receive_bytes 0 receive_packets 1 receive_errors 2 receive_packets_dropped 3
    transmit_bytes 8 transmit_packets 9 transmit_errors 10 transmit_packets_dropped 11
"""
# Of the program itself, and of the machine: what nobody asks a stand-in for is 0.
ITSELF = """
    container_scrape_error machine_scrape_error process_max_fds process_open_fds process_virtual_memory_bytes
    process_virtual_memory_max_bytes go_gc_gogc_percent go_gc_gomemlimit_bytes go_goroutines go_threads
    go_sched_gomaxprocs_threads go_memstats_alloc_bytes go_memstats_buck_hash_sys_bytes go_memstats_gc_sys_bytes
    go_memstats_heap_alloc_bytes go_memstats_heap_idle_bytes go_memstats_heap_inuse_bytes go_memstats_heap_objects
    go_memstats_heap_released_bytes go_memstats_heap_sys_bytes go_memstats_last_gc_time_seconds
    go_memstats_mcache_inuse_bytes go_memstats_mcache_sys_bytes go_memstats_mspan_inuse_bytes
    go_memstats_mspan_sys_bytes go_memstats_next_gc_bytes go_memstats_other_sys_bytes go_memstats_stack_inuse_bytes
    go_memstats_stack_sys_bytes go_memstats_sys_bytes
"""
ITSELF_TOTAL = """
    go_memstats_alloc_bytes_total go_memstats_frees_total go_memstats_mallocs_total process_network_receive_bytes_total
    process_network_transmit_bytes_total
"""
MACHINE = """
    machine_cpu_books machine_cpu_drawers machine_cpu_physical_cores machine_cpu_sockets machine_swap_bytes
    machine_nvm_avg_power_budget_watts
"""


class Container(NamedTuple):
    """What is reported, and the cgroup that its numbers are of."""

    folder: str
    id: str
    name: str = ""
    image: str = ""
    limit: int = 0  # of memory, where the cgroup itself has none
    quota: int = 0  # of processor time, likewise


MADE_UP = ("web", "worker", "cache")


# --- flags ---


def refuse(message: str) -> None:
    """As Go's package flag does."""
    print(f"{message}\nUsage of cadvisor ({SAYS}):", file=sys.stderr)
    sys.exit(2)


def read_flags(arguments: list[str]) -> dict[str, str]:
    """Values by name; -name=value, --name=value and, but for switches, -name value."""
    found: dict[str, str] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        match = re.fullmatch(r"--?([^-=][^=]*)(?:=(.*))?", word, re.DOTALL)
        if not match:
            break  # the first that is no flag ends them
        name, value = match.groups()
        kind = KIND_OF.get(name)
        if kind is None:
            refuse(f"flag provided but not defined: -{name}")
        if value is None and kind == "bool":
            value = "true"
        elif value is None:
            if not words:
                refuse(f"flag needs an argument: -{name}")
            value = words.pop(0)
        if kind in FORMS and not FORMS[kind].fullmatch(value):
            refuse(f'invalid value "{value}" for flag -{name}: parse error')
        unknown = [one for one in value.split(",") if one not in KINDS] if kind == "metrics" and value else []
        if unknown:
            refuse(f'invalid value "{value}" for flag -{name}: unsupported metric "{unknown[0]}" specified')
        found[name] = value
    return found


def chosen_kinds(flags: dict[str, str]) -> list[str]:
    if flags.get("enable_metrics"):
        return flags["enable_metrics"].split(",")
    without = flags.get("disable_metrics", OFF)
    return [kind for kind in KINDS if kind not in without.split(",")]


# --- what the kernel says ---


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def number(text: str) -> float:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text.strip()) else 0.0


def keyed(text: str) -> dict[str, float]:
    """Of files such as cpu.stat (key and value) and cpu.pressure (key, and total= at the end)."""
    lines = [line.split() for line in text.splitlines()]
    return {words[0]: number(words[-1].rpartition("=")[2]) for words in lines if len(words) > 1}


def memory_files(folder: str) -> dict[str, str]:
    """Where the memory of a cgroup is not counted: what its processes have."""
    if os.path.exists(f"{folder}/memory.current"):
        return {}
    pages = [read(f"/proc/{pid}/statm").split() for pid in read(f"{folder}/cgroup.procs").split()]
    size = sum(int(words[1]) for words in pages if words) * os.sysconf("SC_PAGE_SIZE")
    return {"memory.current": str(size), "memory.stat": f"anon {size}"}


def devices(text: str) -> dict[str, dict[str, float]]:
    """Of io.stat: keys and values by device; one device where there is none, so that each metric shows itself."""
    found = {}
    for line in text.splitlines():
        name, *pairs = line.split()
        block = os.path.basename(os.path.realpath(f"/sys/dev/block/{name}"))
        found[f"/dev/{block}"] = {key: number(value) for key, _, value in (pair.partition("=") for pair in pairs)}
    return found or {"/dev/none": {}}


def interfaces(folder: str) -> dict[str, list[float]]:
    pid = (read(f"{folder}/cgroup.procs").split() or ["self"])[0]
    lines = [line.split(":", 1) for line in read(f"/proc/{pid}/net/dev").splitlines() if ":" in line]
    return {name.strip(): [number(word) for word in columns.split()] for name, columns in lines}


def containers(flags: dict[str, str]) -> Iterator[Container]:
    """The root, the cgroups below the prefixes that are asked for, and what is made up."""
    yield Container(CGROUPS, "/")
    prefixes = [prefix for prefix in flags.get("raw_cgroup_prefix_whitelist", "").split(",") if prefix]
    if flags.get("docker_only", "false")[0] not in "1tT":
        prefixes = prefixes or ["/"]
    services = []
    for folder, below, _files in os.walk(CGROUPS):
        below.sort()
        path = folder[len(CGROUPS) :]
        if path.endswith(".service"):
            services.append(folder)
        if path and path.startswith(tuple(prefixes)) and not path.endswith(".mount"):
            yield Container(folder, path)
    for name, folder in zip(MADE_UP, [*services, *[CGROUPS] * len(MADE_UP)], strict=False):
        scope = f"/system.slice/docker-{hashlib.sha256(name.encode()).hexdigest()}.scope"
        yield Container(folder, scope, name, f"stand-in/{name}:1", 2 << 30, 200000)


# --- metrics ---


class Page:
    """A text with all samples of a metric in one place, as the format wants it."""

    def __init__(self) -> None:
        self.metrics: dict[str, tuple[str, list[str]]] = {}

    def add(self, name: str, kind: str, value: float, stamp: int = 0, /, **labels: str) -> None:
        said = ",".join(f'{key}="{text}"' for key, text in sorted(labels.items()))
        line = f"{name}{{{said}}} {value:.10g}" if said else f"{name} {value:.10g}"
        self.metrics.setdefault(name, (kind, []))[1].append(f"{line} {stamp}" if stamp else line)

    def text(self) -> str:
        return "".join(
            f"# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in lines)
            for name, (kind, lines) in sorted(self.metrics.items())
        )


def quota_of(one: Container) -> float:
    return number((read(f"{one.folder}/cpu.max").split() or [""])[0]) or one.quota


def add_spec(page: Page, one: Container, labels: dict[str, str]) -> None:
    if quota_of(one):
        page.add("container_spec_cpu_quota", "gauge", quota_of(one), **labels)
    seen = [path for path in (f"{one.folder}/cgroup.events", one.folder) if os.path.exists(path)]
    born = os.stat(seen[0]).st_mtime if seen else BEGAN
    period = number((read(f"{one.folder}/cpu.max").split() or ["", "100000"])[-1])
    for name, value in {
        "container_creation_time_seconds": born,
        "container_start_time_seconds": born,
        "container_spec_cpu_period": period,
        "container_spec_cpu_shares": 1024,
        "container_spec_memory_limit_bytes": number(read(f"{one.folder}/memory.max")) or one.limit,
        "container_spec_memory_reservation_limit_bytes": number(read(f"{one.folder}/memory.min")),
        "container_spec_memory_swap_limit_bytes": number(read(f"{one.folder}/memory.swap.max")),
    }.items():
        page.add(name, "gauge", value, **labels)


def add_container(page: Page, one: Container, kinds: list[str]) -> None:
    labels = {"id": one.id, "name": one.name, "image": one.image}
    stamp = int(time.time() * 1000)
    files = memory_files(one.folder)
    if "cpu" in kinds and quota_of(one):
        kinds = [*kinds, "quota"]

    def file(name: str) -> str:
        return files.setdefault(name, read(f"{one.folder}/{name}"))

    add_spec(page, one, labels)
    page.add("container_last_seen", "gauge", int(time.time()), stamp, **labels)
    page.add("container_health_state", "gauge", 1 if one.name else 0, stamp, **labels)
    for kind, name, sort, source, key, factor in filter(None, map(str.split, SINGLE.split("\n"))):
        if kind in kinds:
            value = number(file(source)) if key == "-" else keyed(file(source)).get(key, 0)
            page.add(name, sort, value * float(factor), stamp, **labels)
    if "cpu" in kinds:
        used = keyed(file("cpu.stat")).get("usage_usec", 0) / 1e6
        page.add("container_cpu_usage_seconds_total", "counter", used, stamp, cpu="total", **labels)
    if "cpuLoad" in kinds:
        for state in ("iowaiting", "running", "sleeping", "stopped", "uninterruptible"):
            page.add("container_tasks_state", "gauge", 0, stamp, state=state, **labels)
    if "memory" in kinds:
        stat = keyed(file("memory.stat"))
        working = max(0.0, number(file("memory.current")) - stat.get("inactive_file", 0))
        page.add("container_memory_working_set_bytes", "gauge", working, stamp, **labels)
        for failure in ("pgfault", "pgmajfault"):
            for scope in ("container", "hierarchy"):
                full = {"failure_type": failure, "scope": scope, **labels}
                page.add("container_memory_failures_total", "counter", stat.get(failure, 0), stamp, **full)
    if "disk" in kinds:
        add_disk(page, stamp, labels)
    if "diskIO" in kinds:
        for device, values in devices(file("io.stat")).items():
            for name, sort, key, factor in filter(None, map(str.split, DEVICE.split("\n"))):
                page.add(name, sort, values.get(key, 0) * float(factor), stamp, device=device, **labels)
    if "network" in kinds and (one.name or one.id == "/"):
        for interface, columns in interfaces(one.folder).items():
            words = INTERFACE.split()
            for name, column in zip(words[::2], words[1::2], strict=True):
                full, value = f"container_network_{name}_total", columns[int(column)]
                page.add(full, "counter", value, stamp, interface=interface, **labels)


def add_disk(page: Page, stamp: int, labels: dict[str, str]) -> None:
    disk = os.statvfs("/")
    for name, value in {
        "container_fs_inodes_free": disk.f_ffree,
        "container_fs_inodes_total": disk.f_files,
        "container_fs_limit_bytes": disk.f_blocks * disk.f_frsize,
        "container_fs_usage_bytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
    }.items():
        page.add(name, "gauge", value, stamp, device="/dev/root", **labels)


def add_machine(page: Page) -> None:
    identity = {
        "boot_id": read("/proc/sys/kernel/random/boot_id").strip(),
        "machine_id": read("/etc/machine-id").strip(),
        "system_uuid": "stand-in",
    }
    memory = re.search(r"MemTotal: +(\d+)", read("/proc/meminfo"))
    page.add("machine_cpu_cores", "gauge", os.cpu_count() or 0, **identity)
    page.add("machine_memory_bytes", "gauge", int(memory[1]) * 1024 if memory else 0, **identity)
    page.add("machine_nvm_capacity", "gauge", 0, mode="memory_mode", **identity)
    for name in MACHINE.split():
        page.add(name, "gauge", 0, **identity)


def add_itself(page: Page) -> None:
    versions = {"cadvisorVersion": f"v{VERSION}", "cadvisorRevision": "stand-in", "dockerVersion": "", "osVersion": ""}
    page.add("cadvisor_version_info", "gauge", 1, kernelVersion=os.uname().release, **versions)
    page.add("go_info", "gauge", 1, version="stand-in")
    page.add("go_gc_duration_seconds", "summary", 0, quantile="1")
    page.add("process_start_time_seconds", "gauge", BEGAN)
    page.add("process_cpu_seconds_total", "counter", time.process_time())
    resident = re.search(r"VmRSS:\s+(\d+)", read("/proc/self/status"))
    page.add("process_resident_memory_bytes", "gauge", int(resident[1]) * 1024 if resident else 0)
    for names, kind in ((ITSELF, "gauge"), (ITSELF_TOTAL, "counter")):
        for name in names.split():
            page.add(name, kind, 0)


def metrics(flags: dict[str, str]) -> str:
    page, kinds = Page(), chosen_kinds(flags)
    for one in containers(flags):
        add_container(page, one, kinds)
    add_machine(page)
    add_itself(page)
    return page.text()


# --- the server ---


def main() -> None:
    flags = read_flags(sys.argv[1:])
    if flags.get("version", "false")[0] in "1tT":
        print(SAYS)
        return
    prefix = flags.get("url_base_prefix", "")
    pages = {
        f"{prefix}/healthz": lambda: "ok",
        prefix + flags.get("prometheus_endpoint", "/metrics"): lambda: metrics(flags),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            body = (page() if page else f"no such page: {SAYS}\n").encode()
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet, as the real one is."""

    address = (flags.get("listen_ip", ""), int(flags.get("port", "8080")))
    sys.stderr.write(f"{SAYS}: listens on {address[0]}:{address[1]}\n")
    ThreadingHTTPServer(address, Handler).serve_forever()


if __name__ == "__main__":
    main()
