# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at what Prometheus scrapes: is it what the inventory has, does it answer, and who is left out?"""

from __future__ import annotations

import typing as t
from urllib.parse import unquote

from ..module_utils._health import without_secrets
from .doctor_faults import explained
from .doctor_inventory import Inventory
from .maintenance_answers import Answers
from .probes import PROBES
from .report import Finding, counted, listed
from .scrape import COMPONENTS

TARGETS = "targets"
NAME = "prometheus"
# Brings it what the inventory has.
BRINGS = "site.yml --limit {} --tags prometheus; targets follow within 30 s"

Map = t.Mapping[str, t.Any]


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
