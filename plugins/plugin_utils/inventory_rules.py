# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the inventory says, as series: alerts compare with them and dashboards draw them, so both stay plain files."""

from __future__ import annotations

import difflib
import typing as t

from ansible.errors import AnsibleError


def inventory_rules(
    jobs: t.Iterable[t.Mapping[str, t.Any]], thresholds: t.Mapping[str, t.Any], stated: t.Mapping[str, t.Any]
) -> dict[str, list[dict[str, t.Any]]]:
    """A file of recording rules. C(stated) are the user's thresholds, over ours.

    - C(monitoring:threshold{alert}): one for each alert that has a threshold; null leaves it out, and the alert is off.
    - C(monitoring:expected_job{job}): 1 for each scrape job.
    - C(monitoring:objective{job}): the share of requests that have to succeed, from 0 to 1.
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
    return {"groups": [{"name": "opswatch_inventory", "rules": rules}]}


def _constant(record: str, labels: dict[str, str], value: float) -> dict[str, t.Any]:
    return {"record": record, "labels": labels, "expr": f"vector({value})"}


def _number(name: str, value: t.Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AnsibleError(
            f"prometheus_thresholds: {name} is {value!r}. Use a number, or null to switch the alert off."
        )
    return value
