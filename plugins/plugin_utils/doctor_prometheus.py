# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at Prometheus: does it scrape what the inventory has, evaluate its rules, and tell Alertmanager?

Also what it knows of others: notifications that fail, lines that agents gave up, databases and probes that fail.
"""

from __future__ import annotations

import time
import typing as t
from datetime import datetime
from urllib.parse import quote, unquote, urlsplit

from ..module_utils._component_api import SAME_PASSWORD
from ..module_utils._health import without_secrets
from . import maintenance_alerts as alerts
from .doctor_inventory import Inventory
from .maintenance_answers import Answers
from .probes import PROBES
from .report import Finding, Look, counted, listed
from .scrape import COMPONENTS

ACCESS, TARGETS, RULES, CONFIG, ALERTING = "access", "targets", "rules", "configuration", "alerting"
NAME = "prometheus"
RUNTIME = {"runtime": "/api/v1/status/runtimeinfo"}
SCRAPES = {**RUNTIME, "targets": "/api/v1/targets?state=active"}
PATHS = {**SCRAPES, **alerts.PATHS, "alertmanagers": "/api/v1/alertmanagers"}
QUERIES = {
    # A Prometheus knows this of all others, too.
    "untold": "sum by (instance, alertmanager)"
    ' (increase(prometheus_notifications_errors_total{job="prometheus"}[5m])) > 0',
    "failed": "sum by (instance, integration, reason) (increase(alertmanager_notifications_failed_total[1h])) > 0",
    "dropped": "sum by (instance, job, reason) (increase(promtail_dropped_entries_total[1h])"
    " or increase(loki_write_dropped_entries_total[1h])) > 0",
    "databases": "pg_up == 0",
    "probes": "probe_success == 0",
}

YOUNG = 60.0  # seconds
Map = t.Mapping[str, t.Any]


class Fault(t.NamedTuple):
    """Why a target is not scraped. C(signs): words of its error; C(fix) may name its C({host}) and its C({job})."""

    signs: tuple[str, ...]
    cause: str
    fix: str


AGAIN = "site.yml --limit {host} --tags {job}"
# What the inventory has for Prometheus.
BRINGS = "site.yml --limit {} --tags prometheus; targets follow within 30 s"
# The first that fits. Of a job that is no component of ours the fix is that of its kind in SERVICE.
FAULTS = (
    Fault(
        ("connection refused",),
        "Nothing listens there: it does not run, listens on another address, or a firewall rejects it.",
        "systemctl status {job} on {host}; " + AGAIN + " starts it",
    ),
    Fault(
        ("401", "403"),
        "It expects another password than Prometheus sends.",
        SAME_PASSWORD,
    ),
    Fault(
        ("http response to https", "malformed http response", "does not look like a tls handshake"),
        "One side speaks TLS, and the other does not.",
        "run site.yml without --limit: monitoring_tls was changed for one side only",
    ),
    Fault(
        ("x509", "certificate", "tls:"),
        "Its certificate has ended, does not name this address, or is of an authority that Prometheus does not trust.",
        "run site.yml without --limit, which renews certificates; with monitoring_tls: own see docs/security.md",
    ),
    Fault(
        ("no such host", "server misbehaving"),
        "The Prometheus host does not find the name of this host.",
        "set monitoring_address of {host} to an address that the Prometheus host reaches, and run site.yml",
    ),
    Fault(
        ("no route to host", "network is unreachable", "i/o timeout"),
        "No packet comes back: the host is off, its address is wrong, or a firewall drops them.",
        "see that {host} runs and that monitoring_address is right; open the port for the Prometheus host",
    ),
    Fault(
        ("deadline exceeded", "timeout"),
        "It did not answer within the time of a scrape: the host is off, a firewall drops packets, or it is too slow.",
        "see that {host} runs and what its load is; open the port for the Prometheus host",
    ),
    Fault(
        ("limit", "body size"),
        "It exposes more than prometheus_limits allows, so that nothing of it is kept.",
        "find out which metric has so many series; if they are wanted: prometheus_job_limits: {{{job}: {{...}}}}",
    ),
    Fault(
        ("404",),
        "There is no such page: it serves its metrics elsewhere.",
        "correct path in monitoring_services; of a component: " + AGAIN,
    ),
    Fault(
        ("unsupported content-type", "start token", "unmarshal", "parse error", "data does not end"),
        "What answers there serves no metrics: another program has this port.",
        "see with ss -ltnp on {host} who has the port, and correct port or path in the inventory",
    ),
    Fault(("5",), "It fails by itself.", "journalctl -u {job} on {host}"),
)
UNKNOWN = Fault((), "", "ask that address from the Prometheus host with curl; docs/troubleshooting.md has more")
SERVICE = {
    "connection refused": "see on {host} that the service {job} runs, and that port in monitoring_services is right",
    "5": "look into the log of {job} on {host}",
    "401": "correct auth of {job} in monitoring_services of {host}, and run site.yml",
}


def paths(agent: bool) -> dict[str, str]:
    """C(agent): it evaluates nothing, and has no API for that."""
    if agent:
        return SCRAPES
    return {**PATHS, **{name: f"/api/v1/query?query={quote(expr)}" for name, expr in QUERIES.items()}}


def look(host: str, answers: Answers, wanted: Inventory | None, agent: bool, now: float | None = None) -> Look:
    """Without C(wanted) nothing is compared with it. C(now): seconds since 1970."""
    findings = [*configuration(host, answers), *(early := started(host, answers, now or time.time()))]
    known = None if early else wanted
    findings += targets(host, answers, known)
    if not agent:
        findings += told(host, answers, known) + ([] if early else rules(host, answers))
        findings += notifications(answers) + dropped(answers) + databases(answers, wanted) + probes(answers)
    findings += nobodys(wanted.unscraped) if wanted else []
    return Look(findings + answers.problems(ACCESS, host))


# --- what it scrapes ---


def identity(target: Map) -> dict[str, str]:
    """The labels by which Prometheus knows a target before it relabels it. It drops those that are empty."""
    labels = {key: str(value) for key, value in target["labels"].items() if str(value) != ""}
    return {**labels, "__address__": target["targets"][0]}


def matched(jobs: t.Sequence[Map], active: t.Sequence[Map]) -> tuple[list[tuple[str, Map, Map | None]], list[Map]]:
    """(job, target, how it is seen or None) for each target of the inventory; and those that it does not have.

    The one with more labels takes its own first: a database of an exporter is the exporter itself, and more.
    """
    free: dict[tuple[str, str], list[Map]] = {}
    for one in active:
        free.setdefault((one["scrapePool"], one["discoveredLabels"].get("__address__", "")), []).append(one)
    wanted = [(job["name"], target, identity(target)) for job in jobs for target in job["targets"]]
    found = []
    for job, target, known in sorted(wanted, key=lambda one: -len(one[2])):
        there = free.get((job, known["__address__"]), [])
        fits = [one for one in there if known.items() <= one["discoveredLabels"].items()]
        if fits:
            there.remove(fits[0])
        found.append((job, target, fits[0] if fits else None))
    ours = {job["name"] for job in jobs} | {*COMPONENTS, PROBES}
    foreign = [one for there in free.values() for one in there if one["scrapePool"] in ours]
    return found, foreign


def targets(host: str, answers: Answers, wanted: Inventory | None) -> list[Finding]:
    if answers.data("targets") is None:
        return []
    active = answers.data("targets")["activeTargets"]
    found, foreign = matched(wanted.jobs, active) if wanted else ([], [])
    left = elsewhere(foreign, [(job, target["targets"][0]) for job, target, _seen in found])
    findings = [down(one, wanted) for one in active if one["health"] == "down" and one not in left]
    findings += missing(host, [(job, target) for job, target, seen in found if seen is None])
    if foreign:
        names = listed(
            f"{one['scrapePool']} {one['labels'].get('instance') or readable(one['scrapeUrl'])}"
            + (" (down)" if one in left and one["health"] == "down" else "")
            for one in foreign
        )
        cause = "They were taken out of the inventory, or have another address or label now."
        what = f"{counted(len(foreign), 'target')} of {host} the inventory does not have"
        findings.append(
            Finding(TARGETS, "warning", host, NAME, what, names, cause, BRINGS.format(host), f"{NAME} of {host}")
        )
    waiting = sum(one["health"] == "unknown" for one in active)
    if not findings:
        said = counted(len(active), "target") + (f", {waiting} of them not scraped yet" if waiting else "")
        what = f"Every target of {host} is {'there and ' if wanted else ''}up"
        findings.append(Finding(TARGETS, "ok", host, NAME, what, said))
    return findings


def elsewhere(foreign: t.Sequence[Map], wanted: t.Collection[tuple[str, str]]) -> list[Map]:
    """Those at an address that the inventory does not have: that nothing answers there any more is no fault."""
    return [one for one in foreign if (one["scrapePool"], one["discoveredLabels"].get("__address__", "")) not in wanted]


def missing(host: str, gone: t.Sequence[tuple[str, Map]]) -> list[Finding]:
    """One finding for each host: a new one lacks all of its targets at once."""
    hosts: dict[str, list[str]] = {}
    for job, target in gone:
        hosts.setdefault(str(target["labels"].get("instance", target["targets"][0])), []).append(job)
    return [
        Finding(
            TARGETS,
            "broken",
            instance,
            ", ".join(sorted(set(names))),
            f"{host} does not scrape {listed(sorted(set(names)))} of {instance}",
            "in the inventory, and not among its active targets at that address",
            f"site.yml has not run on {host} since {instance} or its address came into the inventory.",
            BRINGS.format(host),
            f"{NAME} of {host}",
        )
        for instance, names in hosts.items()
    ]


def down(target: Map, wanted: Inventory | None = None) -> Finding:
    """One that is scraped and does not answer as it should."""
    labels, said = target["labels"], readable(str(target.get("lastError", "")))
    url = readable(str(target["scrapeUrl"]))
    job, instance = str(target["scrapePool"]), str(labels.get("instance", ""))
    # What a probe is about is not the host that is asked: that is the exporter's.
    address = str(target.get("discoveredLabels", {}).get("__address__", ""))
    asked = str(labels.get("prober") or (wanted.host(job, address, instance) if wanted else instance))
    name = "blackbox_exporter" if job == PROBES else job
    cause, fix = explained(said, name)
    more = "".join(f" {labels[key]}" for key in ("database", "target") if labels.get(key))
    return Finding(
        TARGETS,
        "broken",
        asked,
        name,
        f"{job} of {instance}{more} is down",
        f"{url}: {said}" if said else url,
        cause,
        fix.format(host=asked, job=name),
    )


def readable(said: str) -> str:
    """With the parameters of addresses as people write them, so that a secret among them is known for one.

    What is a password before that, may have a slash in it afterwards.
    """
    return unquote(without_secrets(said))


def explained(said: str, job: str) -> tuple[str, str]:
    """Cause and fix of what Prometheus says of a target that it could not scrape."""
    lowered = said.lower()
    if lowered.startswith("server returned http status "):
        lowered = lowered.removeprefix("server returned http status ")
        status = lowered[:3]
        fault = next(
            (one for one in FAULTS if status in one.signs or (status[:1] == "5" and "5" in one.signs)), UNKNOWN
        )
    else:
        fault = next((one for one in FAULTS if any(len(s) > 3 and s in lowered for s in one.signs)), UNKNOWN)
    service = SERVICE.get(fault.signs[0]) if fault.signs and job not in COMPONENTS else None
    return fault.cause, service or fault.fix


# --- its configuration, rules and alerts ---


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


# --- what it knows of others ---


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


def nobodys(lost: t.Sequence[str]) -> list[Finding]:
    """One finding for all hosts that nobody scrapes."""
    if not lost:
        return []
    return [
        Finding(
            TARGETS,
            "warning",
            listed(lost, 3),
            NAME,
            f"{counted(len(lost), 'host')} of the inventory nobody scrapes: {listed(lost)}",
            "no component and no service of theirs is a target",
            "They are in no group of a component, and state no monitoring_services.",
            "put them into the group node_exporter and run site.yml; or, if it is meant so, into doctor_unscraped",
        )
    ]
