# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about the programs that monitor: versions, configurations, certificates, backups, remote write."""

from __future__ import annotations

from . import uids
from .links import to_dashboard
from .panels import Placed, series_panel, stat_panel
from .queries import STACK, Query
from .tables import OK_OR_NOT, Column, Key, table_panel

SEEN = 'instance=~"$prometheus"'
JOB = 'job=~"$job"'
HOST = "{{instance}}"
PROGRAMS = ("prometheus", "alertmanager", "node_exporter", "postgres_exporter", "blackbox_exporter", "grafana")


def rate(counter: str) -> str:
    return f"rate({counter}{{{SEEN}}}[$__rate_interval])"


def programs() -> list[Placed]:
    versions = " or ".join(f"{name}_build_info" for name in PROGRAMS)
    memory = "max by (job, instance) (process_resident_memory_bytes)"
    stack = f'{JOB}, job=~"{STACK}"'
    who = "{{job}} {{instance}}"
    return [
        table_panel(
            "Versions",
            "Which version runs where. Normal: the same of each program everywhere. Different: an upgrade that did "
            "not reach all hosts.",
            [Key("job", "Program"), Key("instance", "Host"), Key("version", "Version")],
            [
                Column(
                    "Memory",
                    f"({versions}) * 0 + on (job, instance) group_left () {memory}",
                    "bytes",
                )
            ],
            sort="Program",
            ascending=True,
            width=14,
        ),
        table_panel(
            "Configuration taken",
            "Whether the last reload was taken. Normal: ok. Failed: the program runs with what it read before; its "
            "log says why.",
            [Key("job", "Program"), Key("instance", "Host")],
            [Column("Reload", reloads(), texts=OK_OR_NOT, width=90)],
            sort="Program",
            ascending=True,
            width=10,
        ),
        series_panel(
            "Memory of the programs",
            "Normal: level. Prometheus follows its series; the others need little. Rising for days: a leak, tell its "
            "makers.",
            Query(f"process_resident_memory_bytes{{{stack}}}", who),
            unit="bytes",
        ),
        series_panel(
            "Processors of the programs",
            "Processors that each program keeps busy. Normal: a small part of one.",
            Query(f"rate(process_cpu_seconds_total{{{stack}}}[$__rate_interval])", who),
        ),
    ]


def reloads() -> str:
    """Whether each program took its configuration, of those that say so."""
    names = ("prometheus", "alertmanager", "blackbox_exporter")  # postgres_exporter says 0 where it has no file
    return " or ".join(f"{name}_config_last_reload_successful" for name in names)


def dates() -> list[Placed]:
    return [
        stat_panel(
            "Next certificate",
            "Days until the first certificate that a probe has seen expires. Normal: green, above the threshold of "
            "CertificateExpiresSoon. Else: Application Services lists them.",
            Query("min(probe:ssl_expiry:days)"),
            unit="d",
            width=6,
            decimals=1,
            alert="CertificateExpiresSoon",
            below=True,
            links=[to_dashboard(uids.SERVICES)],
            none="none was seen",
        ),
        stat_panel(
            "Oldest backup",
            "Time since the last good backup, of the host for which it is longest ago. Normal: green, a day or less. "
            "Else: BackupMissing and BackupFailed name the host.",
            Query("max(time() - opswatch_backup_last_success_timestamp_seconds) / 3600"),
            unit="h",
            width=6,
            decimals=1,
            alert="BackupMissing",
            none="no host here has backups",
        ),
        table_panel(
            "Backups",
            "What the last backup of each host was like. Normal: well, as young as backups are frequent, tried within "
            "weeks. Else: the runbooks of BackupFailed, BackupMissing and RestoreDrillMissing.",
            [Key("instance", "Host")],
            [
                Column("Age", "time() - opswatch_backup_last_success_timestamp_seconds", "s", 1),
                Column("Well", "opswatch_backup_last_run_success", "bool_yes_no"),
                Column("Size", "opswatch_backup_bytes", "bytes", 1),
                Column("New", "opswatch_backup_added_bytes", "bytes", 1),
                Column("Took", "opswatch_backup_duration_seconds", "s", 1),
                Column("Kept", "opswatch_backup_snapshots", "none"),
                Column("Last tried", "time() - opswatch_restore_drill_last_success_timestamp_seconds", "s", 1),
            ],
            sort="Age",
            width=24,
            height=5,
            none="No host here has backups (playbooks/backup.yml)",
        ),
        table_panel(
            "Metrics files",
            "Files that jobs on the hosts leave for node_exporter, the oldest first. Normal: each as young as its "
            "job is frequent. Else: the job has stopped.",
            [Key("instance", "Host"), Key("file", "File")],
            [Column("Written", "time() - node_textfile_mtime_seconds", "s", 1)],
            sort="Written",
            width=12,
            height=4,
            none="No host here has metrics files",
        ),
    ]


def remote_write() -> list[Placed]:
    none = "No Prometheus here writes to another place (prometheus_remote_write)"
    where = HOST + " {{remote_name}}"
    sent = f"prometheus_remote_storage_queue_highest_sent_timestamp_seconds{{{SEEN}}}"
    return [
        series_panel(
            "Behind",
            "How far the other side is behind. Normal: seconds. Above the dashed line PrometheusRemoteWriteBehind "
            "fires: is the other side slow, or the line?",
            Query(
                f"prometheus_remote_storage_highest_timestamp_in_seconds{{{SEEN}}} "
                f"- ignoring (remote_name, url) group_right () {sent}",
                where,
            ),
            unit="s",
            width=8,
            alert="PrometheusRemoteWriteBehind",
            none=none,
        ),
        series_panel(
            "Samples sent",
            "In a second. Normal: about as many as are stored.",
            Query(rate("prometheus_remote_storage_samples_total"), where),
            unit="cps",
            width=8,
            none=none,
        ),
        series_panel(
            "Samples lost or sent again",
            "Normal: 0. Lost: the other side refuses them (PrometheusRemoteWriteFailing). Again: it is overloaded.",
            Query(rate("prometheus_remote_storage_samples_failed_total"), f"{where} lost"),
            Query(rate("prometheus_remote_storage_samples_retried_total"), f"{where} again"),
            unit="cps",
            width=8,
            none=none,
        ),
    ]
