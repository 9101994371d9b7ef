# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the preflight saw of a host's components, for those of the same run that come to their turn after it.

Beside what else Ansible keeps for one run on the control node, and not as a fact: a fact is shown by C(-v), is cached
across runs, and cannot be taken back by a task that fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import typing as t

from ansible import constants as C

GOOD_FOR = 300.0  # seconds; whoever waits longer for its turn looks for itself
FEWEST = 2  # components for which one look at all of them costs less than a look at each

Seen = t.Mapping[str, t.Any]


def remember(host: str, components: t.Mapping[str, Seen]) -> None:
    """C(components): the answer of M(opswatch.monitoring.components_info); those that are in order are kept."""
    good = {name: dict(seen) for name, seen in components.items() if seen["in_order"]}
    _write(host, {"until": time.monotonic() + GOOD_FOR, "components": good})


def forget(host: str, name: str = "") -> None:
    """One component, or all of a host: one may have to do with another."""
    if kept := _read(host):
        others = {other: seen for other, seen in kept["components"].items() if name and other != name}
        _write(host, {**kept, "components": others})


def seen(host: str, name: str) -> Seen | None:
    """What was seen of a component that was in order; None where nothing is known that still holds."""
    kept = _read(host)
    if kept is None or kept["until"] < time.monotonic():
        return None
    found: Seen | None = kept["components"].get(name)
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


def _path(host: str) -> str:
    """Its folder is this run's alone, has a random name, and goes at its end."""
    return os.path.join(C.DEFAULT_LOCAL_TMP, f"opswatch-{hashlib.sha256(host.encode()).hexdigest()[:16]}.json")


def _read(host: str) -> dict[str, t.Any] | None:
    with contextlib.suppress(FileNotFoundError), open(_path(host), encoding="utf-8") as file:
        kept: dict[str, t.Any] = json.load(file)
        return kept
    return None


def _write(host: str, kept: t.Mapping[str, t.Any]) -> None:
    path = _path(host)
    with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(kept, file)
    os.replace(f"{path}.new", path)
