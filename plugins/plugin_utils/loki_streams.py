# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""How many streams each Loki of the inventory takes. Pure functions."""

from __future__ import annotations

import typing as t

from .logs import present
from .scrape import HostVars


def stream_limits(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars, default: int) -> dict[str, int]:
    """By host, where there is a limit: Loki tells how many streams it has, and not how many it may have.

    C(default): of C(loki_max_global_streams_per_user), as other hosts' role defaults are not among their variables.
    """
    members = present("loki", groups, hostvars)
    limits = {host: _limit(hostvars[host], len(members), default) for host in members}
    return {host: limit for host, limit in limits.items() if limit}


def _limit(settings: t.Mapping[str, t.Any], members: int, default: int) -> int:
    """As Loki works it out: of what all take together each member has its share, and zero is no limit."""
    native = _map(_map(settings.get("loki_config")).get("limits_config"))
    together = _whole(native, settings, "max_global_streams_per_user", default)
    own = _whole(native, settings, "max_streams_per_user", together)
    copies = _number(settings.get("loki_replication_factor")) or (3 if members > 2 else 1)
    return min((limit for limit in (own, together * copies // members) if limit > 0), default=0)


def _whole(native: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any], name: str, default: int) -> int:
    value = native.get(name)
    return _number(settings.get(f"loki_{name}", default) if value is None else value)


def _number(value: t.Any) -> int:
    """As the role's templates read it: what is none is zero."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _map(value: t.Any) -> t.Mapping[str, t.Any]:
    return value if isinstance(value, t.Mapping) else {}
