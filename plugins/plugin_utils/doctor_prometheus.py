# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at Prometheus: its configuration, its rules, and whether it tells Alertmanager.

What it scrapes is in doctor_targets, what it knows of others in doctor_others.
"""

from __future__ import annotations

import time
from datetime import datetime
from urllib.parse import quote, urlsplit

from . import doctor_others as others
from . import doctor_targets as targets
from . import maintenance_alerts as alerts
from .doctor_inventory import Inventory
from .doctor_targets import BRINGS, NAME
from .maintenance_answers import Answers
from .report import Finding, Look, counted, listed

ACCESS, CONFIG, ALERTING = "access", "configuration", "alerting"
RUNTIME = {"runtime": "/api/v1/status/runtimeinfo"}
SCRAPES = {**RUNTIME, "targets": "/api/v1/targets?state=active"}
PATHS = {**SCRAPES, **alerts.PATHS, "alertmanagers": "/api/v1/alertmanagers"}
QUERIES = {
    # A Prometheus knows this of all others, too.
    "untold": "sum by (instance, alertmanager)"
    ' (increase(prometheus_notifications_errors_total{job="prometheus"}[5m])) > 0',
    **others.QUERIES,
}

YOUNG = 60.0  # seconds


def paths(agent: bool) -> dict[str, str]:
    """C(agent): it evaluates nothing, and has no API for that."""
    if agent:
        return SCRAPES
    return {**PATHS, **{name: f"/api/v1/query?query={quote(expr)}" for name, expr in QUERIES.items()}}


def look(host: str, answers: Answers, wanted: Inventory | None, agent: bool, now: float | None = None) -> Look:
    """Without C(wanted) nothing is compared with it. C(now): seconds since 1970."""
    findings = [*configuration(host, answers), *(early := started(host, answers, now or time.time()))]
    known = None if early else wanted
    findings += targets.targets(host, answers, known)
    if not agent:
        findings += told(host, answers, known) + ([] if early else rules(host, answers))
        findings += others.findings(answers, wanted)
    findings += targets.nobodys(wanted.unscraped) if wanted else []
    return Look(findings + answers.problems(ACCESS, host))


def started(host: str, answers: Answers, now: float) -> list[Finding]:
    """One that was just started has no targets for some seconds, and has evaluated nothing."""
    begun = str((answers.data("runtime") or {}).get("startTime", ""))[:19]
    age = now - datetime.fromisoformat(f"{begun}+00:00").timestamp() if begun else YOUNG
    if abs(age) >= YOUNG:  # its clock may be ahead
        return []
    what = f"Prometheus was started {max(age, 0):.0f} s ago"
    seen = "whether its targets, Alertmanagers and rules are those of the inventory is not known yet"
    return [Finding(CONFIG, "warning", host, NAME, what, seen, fix="run the doctor again in a minute")]


def configuration(host: str, answers: Answers) -> list[Finding]:
    runtime = answers.data("runtime")
    if runtime is None:
        return []
    loaded = str(runtime.get("lastConfigTime", "")).partition(".")[0].rstrip("Z").replace("T", " ")
    if runtime.get("reloadConfigSuccess"):
        what = "Prometheus answers, and runs with its newest configuration"
        return [Finding(CONFIG, "ok", host, NAME, what, f"read at {loaded} UTC")]
    return [
        Finding(
            CONFIG,
            "broken",
            host,
            NAME,
            "Prometheus refused its configuration, and runs with an earlier one",
            f"reloadConfigSuccess is false; what it runs with was read at {loaded} UTC",
            "The files were changed by hand, or something that they name is gone.",
            f"promtool check config /etc/prometheus/prometheus.yml on {host} says what; "
            f"site.yml --limit {host} --tags prometheus brings the inventory's",
        )
    ]


def rules(host: str, answers: Answers) -> list[Finding]:
    if answers.data("rules") is None:
        return []
    known = [rule for group in alerts.groups(answers) for rule in group["rules"]]
    return alerts.failing(host, known) + alerts.watchdog(host, [one for one in known if one["type"] == "alerting"])


def told(host: str, answers: Answers, wanted: Inventory | None) -> list[Finding]:
    """Whether the Alertmanagers of the inventory get its alerts."""
    if answers.data("alertmanagers") is None:
        return []
    expected = wanted.alertmanagers if wanted else []
    known = [_netloc(one["url"]) for one in answers.data("alertmanagers")["activeAlertmanagers"]]
    findings = [
        Finding(
            ALERTING,
            "broken",
            host,
            NAME,
            f"Prometheus does not send alerts to {address}",
            f"it sends to {listed(known) or 'nobody'}",
            f"site.yml has not run on {host} since that Alertmanager came into the inventory.",
            BRINGS.format(host),
            f"{NAME} of {host}",
        )
        for address in expected
        if address not in known
    ]
    findings += [
        Finding(
            ALERTING,
            "warning",  # one error is enough, such as that of an Alertmanager that was restarted
            host,
            NAME,
            f"Prometheus could not hand alerts to {address}",
            f"about {counted(max(1, round(one.last)), 'alert')} within 5 minutes",
            "Alertmanager did not answer, as while it is restarted, or refused the password.",
            f"look again in five minutes; then site.yml --tags alertmanager,prometheus, and journalctl -u prometheus "
            f"on {host} has the reason",
            f"alertmanager of {wanted.host('alertmanager', address, address) if wanted else address}",
        )
        for one in answers.series("untold")
        if one.labels.get("instance") == host and (address := _netloc(one.labels.get("alertmanager", "")))
    ]
    if not known and not expected and wanted:
        what = "Alerts go nowhere: the inventory has no Alertmanager"
        fix = "put a host into the group alertmanager, and run site.yml"
        return [Finding(ALERTING, "warning", host, NAME, what, "", "", fix)]
    what = f"Prometheus hands its alerts to {listed(known) or 'nobody'}"
    return findings or [Finding(ALERTING, "ok" if known else "warning", host, NAME, what)]


def _netloc(url: str) -> str:
    return urlsplit(url).netloc or url
