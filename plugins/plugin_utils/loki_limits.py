# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What agents send and the Loki of the inventory that they send to would refuse, for good: pure functions."""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from .logs import LABELS, present
from .loki import senders
from .preflight_report import Problem
from .quantities import seconds, size
from .role_facts import default
from .scrape import HostVars

LABEL_NAMES = 15  # that Loki takes, if it is told no other number

Map = t.Mapping[str, t.Any]


class Limit(t.NamedTuple):
    name: str  # the variable that states it
    value: t.Any


def limit_problems(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[Problem]:
    """Lines that are longer or older, or have more labels, than the Loki takes that they go to."""
    found = []
    for host in present("loki", groups, hostvars):
        agents = {one: hostvars[one] for one in senders(host, groups, hostvars)}
        loki = hostvars[host]
        longest, oldest = _limit(loki, "max_line_size"), _limit(loki, "reject_old_samples_max_age")
        most = size(longest.value)
        if most and not _stated_true(_config(loki).get("max_line_size_truncate")):
            # None at all is no limit.
            lengths = {one: _agents(settings, "logs_line_limit") for one, settings in agents.items()}
            longer = {
                one: value for one, value in lengths.items() if (length := size(value)) == 0 or (length or 0) > most
            }
            found += _problem(host, "monitoring_logs_line_limit", longest, longer, "longer")
        age = seconds(oldest.value)
        if age is not None and _stated_true(_limit(loki, "reject_old_samples").value):
            ages = {one: _agents(settings, "logs_max_age") for one, settings in agents.items()}
            older = {one: value for one, value in ages.items() if (seconds(value) or 0) > age}
            found += _problem(host, "monitoring_logs_max_age", oldest, older, "older")
        found += _label_problems(host, _config(loki).get("max_label_names_per_series", LABEL_NAMES), agents)
    return found


def _problem(host: str, name: str, limit: Limit, above: t.Mapping[str, t.Any], word: str) -> list[Problem]:
    """C(above): the agents' values that are above Loki's, by host."""
    values = list(dict.fromkeys(str(value) for value in above.values()))
    seen = [f"{value} on {', '.join(one for one in above if str(above[one]) == value)}" for value in values]
    return [
        Problem(
            f"{name} is above {limit.name} of {host}",
            f"{'; '.join(seen)}; there it is {limit.value}. Loki would refuse lines that are {word}, for good",
            f"lower {name}, or raise {limit.name} to it",
        )
    ] * bool(above)


def _label_problems(host: str, most: t.Any, agents: t.Mapping[str, Map]) -> list[Problem]:
    limit = size(most) or LABEL_NAMES
    counts = {
        f"{log.get('name')} of {one}": len({*LABELS, *log["labels"]})
        for one, settings in agents.items()
        for log in _agents(settings, "logs") or []
        if isinstance(log, t.Mapping) and isinstance(log.get("labels"), t.Mapping)
    }
    return [
        Problem(
            f"monitoring_logs: {entry} has {count} labels with {', '.join(LABELS)}",
            f"Loki on {host} takes {limit:g} (max_label_names_per_series) and would refuse each of its lines",
            "leave some labels out: what has many values belongs into metadata",
        )
        for entry, count in counts.items()
        if count > limit
    ]


def _limit(settings: Map, name: str) -> Limit:
    """As it is in force: C(loki_config) goes over the role's own variables."""
    if name in _config(settings):
        return Limit(f"loki_config (limits_config.{name})", _config(settings)[name])
    return Limit(f"loki_{name}", settings.get(f"loki_{name}", default("loki", name)))


def _config(settings: Map) -> Map:
    config = settings.get("loki_config")
    limits = config.get("limits_config") if isinstance(config, t.Mapping) else {}
    return limits if isinstance(limits, t.Mapping) else {}


def _agents(settings: Map, name: str) -> t.Any:
    return settings.get(f"monitoring_{name}", default("monitoring", name))


def _stated_true(value: t.Any) -> bool:
    return bool(boolean(value, strict=False))
