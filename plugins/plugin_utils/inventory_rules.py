# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the inventory says, as series: alerts compare with them and dashboards draw them, so both stay plain files."""

from __future__ import annotations

import difflib
import typing as t

from ansible.errors import AnsibleError

from .role_facts import WITH_DATA
from .scrape import HostVars


def inventory_rules(
    jobs: t.Iterable[t.Mapping[str, t.Any]],
    thresholds: t.Mapping[str, t.Any],
    stated: t.Mapping[str, t.Any],
    backups: bool = False,
    hostvars: HostVars | None = None,
    streams: t.Mapping[str, int] | None = None,
) -> dict[str, list[dict[str, t.Any]]]:
    """A file of recording rules. C(stated) are the user's thresholds, over ours.

    - C(monitoring:threshold{alert}): one for each alert that has a threshold; null leaves it out, and the alert is off.
    - C(monitoring:expected_job{job}): 1 for each scrape job.
    - C(monitoring:objective{job}): the share of requests that have to succeed, from 0 to 1.
    - C(monitoring:expected_backups): 1 where the inventory says where backups go.
    - C(monitoring:expected_backup{instance}): 1 for each host that is backed up, and can tell of it by node_exporter.
    - C(monitoring:loki_streams{instance}): how many streams each Loki takes.
    """
    unknown = sorted(map(str, set(stated) - set(thresholds)))
    if unknown:
        close = difflib.get_close_matches(unknown[0], thresholds, 1)
        raise AnsibleError(
            f"prometheus_thresholds: no alert with a threshold is called {', '.join(unknown)}. What to do: "
            + (f"write {close[0]}." if close else f"choose from {', '.join(sorted(thresholds))}.")
        )
    known = list(jobs)
    rules = [
        _constant("monitoring:threshold", {"alert": name}, _number(name, value))
        for name, value in {**thresholds, **stated}.items()
        if value is not None
    ]
    rules += [_constant("monitoring:expected_job", {"job": job["name"]}, 1) for job in known if job["targets"]]
    rules += [
        _constant("monitoring:objective", {"job": job["name"]}, round(job["objective"] / 100, 9))
        for job in known
        if job["objective"] is not None
    ]
    if backups:
        rules.append(_constant("monitoring:expected_backups", {}, 1))
    rules += [
        _constant("monitoring:expected_backup", {"instance": host}, 1) for host in _backed_up(known, hostvars or {})
    ]
    rules += [
        _constant("monitoring:loki_streams", {"instance": host}, limit) for host, limit in (streams or {}).items()
    ]
    return {"groups": [{"name": "opswatch_inventory", "rules": rules}]}


def _backed_up(jobs: t.Iterable[t.Mapping[str, t.Any]], hostvars: HostVars) -> list[str]:
    targets = [target for job in jobs if job["name"] == "node_exporter" for target in job["targets"]]
    hosts = [target.get("labels", {}).get("instance") for target in targets]
    return [host for host in hosts if host in hostvars and _has_backups(hostvars[host])]


def _has_backups(known: t.Mapping[str, t.Any]) -> bool:
    """As playbooks/backup.yml goes by it: data, a place for it, and one of the components that it is told, if it is."""
    wanted = known.get("backup_components") or WITH_DATA
    if isinstance(wanted, str):
        wanted = wanted.split(",")
    return bool(known.get("backup_repository")) and all(
        not names.isdisjoint(known["group_names"]) for names in ({*WITH_DATA}, {*wanted})
    )


def _constant(record: str, labels: dict[str, str], value: float) -> dict[str, t.Any]:
    return {"record": record, **({"labels": labels} if labels else {}), "expr": f"vector({value})"}


def _number(name: str, value: t.Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AnsibleError(
            f"prometheus_thresholds: {name} is {value!r}. Use a number, or null to switch the alert off."
        )
    return value
