# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The doctor's look at a host: is it reached, are its components as the inventory wants them, its disk, its clock."""

from __future__ import annotations

import typing as t

from .logs import AGENTS
from .maintenance_answers import size, when
from .preflight_host import clock_off
from .report import Finding, Look, counted, listed

REACHED, COMPONENTS, UNIT, DISK, CLOCK = "reached", "components", "unit", "disk", "clock"
RECENT = 3600  # seconds for which a unit that was started again by itself is worth a word
NO_ROOM = 98  # percent of a file system: whatever writes next fails
# What the engine would do anyhow about a unit that does not run; that it does not is a finding of its own.
FOLLOWS = ("start ", "restart ", "prove ", "commit ")

Seen = t.Mapping[str, t.Any]


class Wanted(t.NamedTuple):
    """A component of the host's groups."""

    name: str
    version: str
    present: bool = True


def unreachable(host: str, said: str) -> Look:
    return Look(
        [
            Finding(
                REACHED,
                "broken",
                host,
                "",
                f"{host} cannot be reached from here",
                said,
                "It is off, its name or address (ansible_host) is wrong, or SSH does not let this account in.",
                f"ansible -i <inventory> {host} -m ansible.builtin.ping says it again; see that the host runs",
            )
        ]
    )


def look(
    host: str, wanted: t.Sequence[Wanted], found: Seen, before: float, after: float, limits: t.Mapping[str, float]
) -> Look:
    """C(found): what M(opswatch.monitoring.components_info) says; C(limits): thresholds by the names of the alerts.

    Of an alert that is switched off there is none.
    """
    components = found["components"]
    findings = lacking(host, [one for one in wanted if one.present and not _version(components, one)], components)
    findings += [
        finding
        for one in wanted
        if _version(components, one)
        for finding in component(host, one, components[one.name], found["host"])
    ]
    findings += forgotten(host, wanted, components)
    if not findings:
        names = listed((f"{one.name} {components[one.name]['version']}" for one in wanted if one.present), 12)
        findings.append(
            Finding(COMPONENTS, "ok", host, "", f"{host} runs what the inventory wants, as it was installed", names)
        )
    findings += disk(host, found["host"]["spaces"], limits)
    return Look(findings + clock(host, found["host"]["time"], before, after, limits))


def _version(components: t.Mapping[str, Seen], wanted: Wanted) -> str:
    return str((components.get(wanted.name) or {}).get("version") or "")


def lacking(host: str, wanted: t.Sequence[Wanted], components: t.Mapping[str, Seen]) -> list[Finding]:
    """One finding for all that is not installed: of a new host that is everything."""
    if not wanted:
        return []
    names = [one.name for one in wanted]
    what = f"{listed(names, 12)} {'is' if len(names) == 1 else 'are'} not installed on {host}"
    needs = listed(need for name in names for need in (components.get(name) or {}).get("needs") or [])
    cause = "site.yml has not run here, or it failed."
    fix = f"site.yml --limit {host} --tags {','.join(names)}"
    return [Finding(COMPONENTS, "broken", host, ", ".join(names), what, needs, cause, fix)]


def component(host: str, wanted: Wanted, seen: Seen, machine: Seen) -> list[Finding]:
    """What is wrong with one component that is installed; nothing where nothing is."""
    name, again = wanted.name, f"site.yml --limit {host} --tags {wanted.name}"
    version = str(seen["version"])

    def finding(check: str, severity: str, what: str, evidence: str, cause: str, fix: str) -> Finding:
        return Finding(check, severity, host, name, what, evidence, cause, fix)

    if not wanted.present:
        gone = "The inventory says absent, and site.yml has not run since."
        return [finding(COMPONENTS, "warning", f"{name} is still there", f"version {version}", gone, again)]
    findings = unit(host, name, seen["unit"], machine["time"])
    if version != wanted.version:
        what = f"{name} is {version}, and the inventory says {wanted.version}"
        cause = "The inventory was changed and site.yml has not run since, or it went back to the earlier version."
        findings.append(finding(COMPONENTS, "warning", what, "", cause, again))
    runs = seen["unit"]["running"]
    needs = [need for need in seen["needs"] if runs or not need.startswith(FOLLOWS)]
    if seen["unfinished"]:
        cause = "A run was killed, its connection was cut, or it goes on just now."
        fix = f"wait for it if it runs; else {again}, which finishes or undoes it"
        findings.append(
            finding(COMPONENTS, "warning", f"A change of {name} is not finished", listed(needs), cause, fix)
        )
    elif needs:
        what = f"{name} is not as it was installed"
        cause = "Somebody changed it by hand, or the last run did not come to its end."
        findings.append(
            finding(COMPONENTS, "warning", what, f"site.yml would {listed(needs)}", cause, f"{again} puts it right")
        )
    what, cause = (
        f"There are files of somebody else among those of {name}",
        "This collection neither changes nor removes them.",
    )
    fix = "remove them if you do not want them, or bring them by the inventory"
    findings += [finding(COMPONENTS, "warning", what, said, cause, fix) for said in seen["warnings"]]
    return findings


def unit(host: str, name: str, seen: Seen, now: float) -> list[Finding]:
    """One that does not run, or that systemd had to start again a short time ago."""
    state = f"{name}.service is {seen['active']} ({seen['sub']}), result {seen['result']}"
    stopped = seen["active"] == "inactive" and seen["result"] == "success"
    # What it said before somebody stopped it has nothing to do with that.
    last = "" if stopped else seen["words"]
    words = f"{state}, restarted {counted(seen['restarts'], 'time')}\n{last}".strip()
    look_there = f"journalctl -u {name} on {host} has all of it"
    start = f"site.yml --limit {host} --tags {name}"
    if not seen["running"]:
        keeps = seen["sub"] == "auto-restart" or seen["active"] == "activating"
        what = f"{name} does not run on {host}" + (", though systemd keeps starting it" if keeps else "")
        cause = "It ended with an error; its last words are beside." if seen["words"] else "It was stopped."
        if stopped:
            cause = "Somebody stopped it: it ended without an error."
        fix = f"{seen['remedy'] or look_there}; then {start}, which starts it"
        return [Finding(UNIT, "broken", host, name, what, words, cause, fix)]
    if seen["restarts"] and now - seen["since"] < RECENT:
        what = f"{name} was restarted by systemd {counted(seen['restarts'], 'time')}, last at {when(seen['since'])} UTC"
        return [Finding(UNIT, "warning", host, name, what, words, "It ended by itself.", seen["remedy"] or look_there)]
    return []


def forgotten(host: str, wanted: t.Sequence[Wanted], components: t.Mapping[str, Seen]) -> list[Finding]:
    """Components of ours on a host that has left their group."""
    known = {one.name for one in wanted}
    agents = AGENTS if known & set(AGENTS) else ()
    others = {name for seen in components.values() for name in seen["others"]} | set(components)
    return [
        Finding(
            COMPONENTS,
            "warning",
            host,
            name,
            f"{host} still runs {name}, but is not in the group {name}",
            "",
            "It was taken out of the group without removing it first; nobody scrapes or changes it any more.",
            f"put the host back into the group with {name}_state: absent and run site.yml; after that take it out",
        )
        for name in sorted(others - known - set(agents))
    ]


def disk(host: str, spaces: t.Sequence[Seen], limits: t.Mapping[str, float]) -> list[Finding]:
    findings = []
    for one in spaces:
        for what, total, free in (("space", "bytes", "free"), ("inodes", "inodes", "inodes_free")):
            if not one[total]:  # some file systems count no inodes
                continue
            used = 100 * (1 - one[free] / one[total])
            limit = limits.get("DiskSpaceLow" if what == "space" else "InodesLow", NO_ROOM)
            if used < min(limit, NO_ROOM):
                continue
            left = f"{size(one[free])} of {size(one[total])}" if what == "space" else f"{one[free]} of {one[total]}"
            findings.append(
                Finding(
                    DISK,
                    "broken" if used >= NO_ROOM else "warning",
                    host,
                    "",
                    f"{one['path']} of {host} is nearly full: {used:.0f} % of its {what} are used",
                    f"{left} {'are free' if what == 'space' else 'inodes are free'}",
                    "Data, logs or something else has grown. Without room nothing can be written, nor changed.",
                    f"du -xhd1 {one['path']} on {host} shows what takes it; free some, add some, or keep less "
                    "(prometheus_retention_size, loki_retention)",
                )
            )
    if not findings and spaces:
        least = max(spaces, key=lambda one: 1 - one["free"] / one["bytes"] if one["bytes"] else 0)
        said = f"{least['path']}: {size(least['free'])} of {size(least['bytes'])} are free"
        findings.append(Finding(DISK, "ok", host, "", f"There is room on the disks of {host}", said))
    return findings


def clock(host: str, told: float, before: float, after: float, limits: t.Mapping[str, float]) -> list[Finding]:
    """C(before), C(after): the control node's clock around the look."""
    if "ClockSkew" not in limits:
        return []
    off = clock_off(told, before, after)
    if abs(off) <= limits["ClockSkew"]:
        return [Finding(CLOCK, "ok", host, "", f"The clock of {host} is right")]
    way = "ahead of" if off > 0 else "behind"
    return [
        Finding(
            CLOCK,
            "warning",
            host,
            "",
            f"The clock of {host} is {abs(off):.0f} s {way} that of this machine",
            "",
            "One of the two does not keep time. Samples and lines get wrong times, and certificates may not be valid.",
            f"timedatectl set-ntp true on {host}, or here",
        )
    ]
