# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at what Prometheus knows of others: notifications, lines, databases and probes that fail."""

from __future__ import annotations

from .doctor_inventory import Inventory
from .maintenance_answers import Answers
from .report import Finding, counted

QUERIES = {
    "failed": "sum by (instance, integration, reason) (increase(alertmanager_notifications_failed_total[1h])) > 0",
    "dropped": "sum by (instance, job, reason) (increase(promtail_dropped_entries_total[1h])"
    " or increase(loki_write_dropped_entries_total[1h])) > 0",
    "databases": "pg_up == 0",
    "probes": "probe_success == 0",
}


def findings(answers: Answers, wanted: Inventory | None) -> list[Finding]:
    return notifications(answers) + dropped(answers) + databases(answers, wanted) + probes(answers)


def notifications(answers: Answers) -> list[Finding]:
    return [
        Finding(
            "notifications",
            "broken",
            one.labels.get("instance", ""),
            "alertmanager",
            f"Notifications by {one.labels.get('integration', '?')} fail",
            f"about {counted(max(1, round(one.last)), 'notification')} in the last hour"
            + (f", reason: {one.labels['reason']}" if one.labels.get("reason") else ""),
            "The receiver's server does not answer, or refuses what Alertmanager sends.",
            f"journalctl -u alertmanager on {one.labels.get('instance', 'its host')} has the server's words; "
            "docs/runbooks/AlertmanagerNotificationsFailing.md",
        )
        for one in answers.series("failed")
    ]


def dropped(answers: Answers) -> list[Finding]:
    return [
        Finding(
            "logs",
            "warning",
            one.labels.get("instance", ""),
            one.labels.get("job", ""),
            f"Lines of {one.labels.get('instance', '?')} were given up",
            f"about {counted(max(1, round(one.last)), 'line')} in the last hour: {one.labels.get('reason', '?')}",
            "Loki refused them, or the agent could not send them for too long.",
            "docs/runbooks/LogLinesRefused.md",
            "loki",  # which one it knows not
        )
        for one in answers.series("dropped")
    ]


def databases(answers: Answers, wanted: Inventory | None) -> list[Finding]:
    name = "postgres_exporter"
    targets = [target for job in (wanted.jobs if wanted else ()) if job["name"] == name for target in job["targets"]]
    addresses = {str(target["labels"].get("instance")): target["targets"][0] for target in targets}

    def asker(instance: str) -> str:
        return wanted.host(name, addresses.get(instance, ""), instance) if wanted else instance

    return [
        Finding(
            "databases",
            "broken",
            asker(one.labels.get("instance", "")),
            name,
            f"PostgreSQL of {one.labels.get('instance', '?')} does not let the exporter in",
            "pg_up is 0",
            "PostgreSQL does not run, or refuses the exporter's account.",
            f"journalctl -u {name} on {asker(one.labels.get('instance', 'its host'))} has PostgreSQL's own words",
            f"postgresql of {one.labels.get('instance', '').partition(':')[0]}",
        )
        for one in answers.series("databases")
    ]


def probes(answers: Answers) -> list[Finding]:
    findings = []
    for one in answers.series("probes"):
        host, service, module = (one.labels.get(name, "?") for name in ("instance", "service", "module"))
        what = f"{service} of {host} does not pass its probe {module}"
        cause, fix = "It does not run, or says itself that it is not well.", "docs/runbooks/ProbeFailed.md"
        asked = one.labels.get("target", "")
        findings.append(Finding("probes", "broken", host, service, what, asked, cause, fix))
    return findings
