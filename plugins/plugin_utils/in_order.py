# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the preflight saw of a host's components, for those of the same run that come to their turn after it."""

from __future__ import annotations

import os
import time
import typing as t

FACT = "opswatch_in_order"
GOOD_FOR = 300.0  # seconds; whoever waits longer for its turn looks for itself
FEWEST = 2  # components for which one look at all of them costs less than a look at each

Seen = t.Mapping[str, t.Any]


def fact(components: t.Mapping[str, Seen]) -> dict[str, t.Any]:
    """Those that are in order, as a fact of the host.

    C(components): the answer of M(opswatch.monitoring.components_info).
    """
    good = {name: dict(seen) for name, seen in components.items() if seen["in_order"]}
    # All workers of a run have one parent; where facts are cached, those of another run are told by it.
    return {FACT: {"run": os.getppid(), "until": time.monotonic() + GOOD_FOR, "components": good}}


def forgotten() -> dict[str, t.Any]:
    """The fact once something on the host has changed: one component may have to do with another."""
    return fact({})


def seen(name: str, variables: t.Mapping[str, t.Any]) -> Seen | None:
    """What was seen of a component that was in order; None where nothing is known that still holds."""
    stated = variables.get("ansible_facts", {}).get(FACT)
    if not stated or stated["run"] != os.getppid() or stated["until"] < time.monotonic():
        return None
    found: Seen | None = stated["components"].get(name)
    return found


def asked_for(names: t.Iterable[str], tags: t.Collection[str], skipped: t.Collection[str]) -> list[str]:
    """The components that come to their turn in a run with these tags."""
    return [name for name in names if name not in skipped and (not tags or {"all", name} & set(tags))]


def result(found: Seen) -> dict[str, t.Any]:
    """What the worker would have answered."""
    return {
        "changed": False,
        "actions": [],
        "generation": found["generation"],
        "effect": "nothing",
        "others": found["others"],
        **({"warnings": list(found["warnings"])} if found["warnings"] else {}),
    }
