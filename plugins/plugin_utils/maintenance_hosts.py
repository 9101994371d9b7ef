# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Monthly: versions behind the tested set, and what was removed, or could be."""

from __future__ import annotations

import re
import typing as t

from .maintenance_answers import size
from .report import Chart, Finding, Look, Row, counted, listed

VERSIONS, CLEAN = "versions", "clean-up"
Result = t.Mapping[str, t.Any]


def versions(host: str, installed: t.Iterable[Result], tested: t.Mapping[str, str]) -> Look:
    """C(tested): the version of each component that its role has by default."""
    known = {one["name"]: str(one["version"]) for one in installed if one["version"]}
    behind = {
        name: version for name, version in known.items() if name in tested and _order(version) < _order(tested[name])
    }
    if not behind:
        what = f"{counted(len(known), 'component')} of {host} are as new as the tested set"
        return Look([Finding(VERSIONS, "ok", host, "", what)]) if known else Look()
    to = ", ".join(f"{name}: {tested[name]}" for name in sorted(behind))
    return Look(
        [
            Finding(
                VERSIONS,
                "warning",
                host,
                listed(sorted(behind)),
                f"{counted(len(behind), 'component is', 'components are')} behind the tested set: "
                + listed(f"{name} {version} ({tested[name]})" for name, version in sorted(behind.items())),
                "",
                "",
                f"playbooks/upgrade.yml -e '{{upgrade_to: {{{to}}}}}'",
            )
        ]
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def cleaned(host: str, components: t.Iterable[Result], done: bool) -> Look:
    """What the engine left: C(remove) are paths with their sizes, C(busy) why a component was left alone."""
    known = list(components)
    findings = [
        Finding(
            CLEAN,
            "warning",
            host,
            one["name"],
            f"{one['name']} was not cleaned up: {one['busy']}",
            "",
            "",
            "run site.yml, which finishes or undoes it",
        )
        for one in known
        if one["busy"]
    ]
    gone = [(one["name"], entry) for one in known for entry in one["remove"]]
    freed = sum(entry["bytes"] for _name, entry in gone)
    if gone:
        verb = "freed" if done else "would free"
        what = f"Clean-up of {host} {verb} {size(freed)}: {listed(entry['what'] for _name, entry in gone)}"
        findings.append(Finding(CLEAN, "note", host, "", what, listed((entry["path"] for _name, entry in gone), 8)))
    elif not findings:
        findings.append(Finding(CLEAN, "ok", host, "", f"Nothing is left over on {host}"))
    rows = [Row(f"{one['name']} {one['version'] or ''}".strip(), size(one["bytes"]), one["bytes"]) for one in known]
    return Look(findings, [Chart(f"What is installed on {host}", rows, "programs and generations, without data")])


def tombstones(host: str, result: Result) -> Look:
    """C(result) of M(opswatch.monitoring.prometheus_clean_tombstones)."""
    if result.get("skipped_because"):
        what = f"Deleted series were not cleaned out of Prometheus' blocks: {result['skipped_because']}"
        fix = "prometheus_admin_api: true, if series are ever deleted by hand"
        return Look([Finding(CLEAN, "note", host, "prometheus", what, "", "", fix)])
    stones, blocks = int(result["tombstones"]), counted(int(result["blocks"]), "block")
    if not stones:
        return Look([Finding(CLEAN, "ok", host, "prometheus", f"No deleted series are left in the blocks of {host}")])
    if result["changed"] and not result.get("predicted"):
        what = f"Cleaning deleted series out of Prometheus' blocks freed {size(result['freed'])}"
    else:
        what = f"Deleted series are left in Prometheus' blocks: cleaning would rewrite {blocks}"
    return Look(
        [
            Finding(
                CLEAN,
                "note",
                host,
                "prometheus",
                what,
                f"{counted(stones, 'tombstone')} in {blocks}",
            )
        ]
    )
