# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What an upgrade changes on a host, said before it begins: a pure function of wish, inventory and host."""

from __future__ import annotations

import difflib
import typing as t

from ansible.errors import AnsibleError

from ..module_utils._plan import older
from . import role_facts
from .preflight_values import is_version

TESTED = "latest-tested"
# In which order the components of a host change: what is watched, what is told, what stores, what asks.
ORDER = (
    "node_exporter",
    "cadvisor",
    "blackbox_exporter",
    "postgres_exporter",
    "promtail",
    "alloy",
    "alertmanager",
    "loki",
    "prometheus",
    "grafana",
)
# Hosts with one of these change one at a time; the others in batches.
SERVERS = ("alertmanager", "loki", "prometheus", "grafana")


class Border(t.NamedTuple):
    """A version whose data earlier ones cannot read. Empty: every one."""

    version: str
    why: str


BORDERS = {
    "prometheus": [Border("2.55", "its index has another format from 2.55 on")],
    "grafana": [Border("", "it changes the tables of its database")],
}

# (component, versions below, versions from, what to do between): steps that must not be one step.
TOGETHER = {
    "grafana": ("9.0", "11.0", "9.5 or 10.4, which still know the alerting of before"),
    "loki": ("2.8", "3.0", "2.9, whose schema v13 Loki 3 wants"),
}


def wanted_versions(wish: t.Any) -> dict[str, str]:
    """The wish as a map. As given on the command line, C(-e upgrade_to=prometheus=3.5.3,loki=3.6.15) is a text."""
    if wish == TESTED:
        return {name: str(role_facts.default(name, "version")) for name in role_facts.components()}
    if isinstance(wish, str) and wish:
        pairs = [entry.partition("=") for entry in wish.split(",")]
        wish = {name.strip(): version.strip() for name, _sign, version in pairs}
    if not isinstance(wish, t.Mapping) or not wish:
        raise AnsibleError(
            "Nothing says what to upgrade. What to do: state upgrade_to, as a map of components to versions, as "
            f"-e upgrade_to=prometheus=3.5.3,alertmanager=0.33.1, or as {TESTED} for the versions that this collection "
            "was tested with."
        )
    problems = []
    for name, version in wish.items():
        if name not in role_facts.components():
            near = difflib.get_close_matches(str(name), role_facts.components(), 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            problems.append(f"{name or 'an empty name'} is no component{meant}")
        elif not is_version(str(version)):
            problems.append(f"{version!r} is no version of {name}: write it like {role_facts.default(name, 'version')}")
    if problems:
        raise AnsibleError("upgrade_to is wrong: " + "; ".join(problems) + ". What to do: correct it.")
    return {str(name): str(version) for name, version in wish.items()}


def upgrade_plan(*given: t.Any, **options: t.Any) -> dict[str, t.Any]:
    """C(steps) as C(upgrade_steps) makes them, and C(refused): why there are none, or empty.

    Ansible tells an error of a filter for each host, and amid words about itself; so the role tells this one.
    """
    try:
        return {"steps": upgrade_steps(*given, **options), "refused": ""}
    except AnsibleError as error:
        return {"steps": [], "refused": str(error)}


def upgrade_steps(
    host: str,
    wish: t.Any,
    groups: t.Sequence[str],
    installed: t.Mapping[str, str],
    unfinished: t.Collection[str] = (),
) -> list[dict[str, t.Any]]:
    """The steps of a host, in their order; none where it has nothing of what is wished.

    C(groups): those that the host is in. C(installed): version by component. Each step has C(component), C(before),
    C(after) and C(border), which is why the way back needs a copy of the data; empty where it does not.
    """
    wanted = wanted_versions(wish)
    here = [name for name in ORDER if name in wanted and name in groups]
    problems, steps = [], []
    for name in here:
        before, after = installed.get(name, ""), wanted[name]
        if not before:
            problems.append(f"{name} is not installed on {host}. What to do: run site.yml first")
        elif older(after, before):
            if wish != TESTED:
                problems.append(
                    f"{host} has {name} {before}, and {after} is older. What to do: correct upgrade_to; or "
                    "playbooks/rollback.yml, which goes back to an earlier generation; or site.yml with "
                    "monitoring_allow_downgrade: true"
                )
        elif after != before or name in unfinished:  # killed before it was proved: the same step again
            if between := _together(name, before, after):
                problems.append(f"{name} {before} to {after} is too much for one step. What to do: {between} first")
            steps.append({"component": name, "before": before, "after": after, "border": _border(name, before, after)})
    if problems:
        raise AnsibleError("; ".join(problems) + ".")
    return steps


def inventory_lines(steps: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """What the inventory has to say from now on, or the next run of site.yml refuses to go below what is installed."""
    return sorted({f"{one['component']}_version: {one['after']}" for one in steps})


def data_borders(component: str) -> list[str]:
    """Versions from which on earlier ones cannot read the data; an empty text is every version."""
    return [border.version for border in BORDERS.get(component, [])]


def _border(name: str, before: str, after: str) -> str:
    for border in BORDERS.get(name, []):
        if not border.version or (older(before, border.version) and not older(after, border.version)):
            return border.why
    return ""


def _together(name: str, before: str, after: str) -> str:
    if name not in TOGETHER:
        return ""
    below, since, what = TOGETHER[name]
    return what if older(before, below) and not older(after, since) else ""
