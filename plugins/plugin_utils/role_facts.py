# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the roles of this collection state of themselves, read from where they state it."""

from __future__ import annotations

import functools
import os
import typing as t

import yaml
from ansible.errors import AnsibleError

from .component_spec import ARGUMENT_SPEC
from .services import SERVICES, service_variables

SHARED = "monitoring"  # the role that all components depend on
ROLES = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "roles"))

# The names of groups that the collection gives a meaning, with or without a role of that name yet.
GROUPS = (
    "prometheus",
    "alertmanager",
    "grafana",
    "loki",
    "promtail",
    "alloy",
    "cadvisor",
    "node_exporter",
    "postgres_exporter",
    "blackbox_exporter",
)
# Those with data that is nowhere else; the configuration of all of them comes from the inventory.
WITH_DATA = ("prometheus", "alertmanager", "grafana", "loki")


@functools.cache
def components() -> tuple[str, ...]:
    """Components that have a role, in the order of the groups."""
    return tuple(name for name in GROUPS if os.path.isdir(role_path(name)))


@functools.cache
def routines() -> tuple[str, ...]:
    """The other roles, whose variables stand in the same inventory."""
    return tuple(sorted(name for name in os.listdir(ROLES) if name not in (SHARED, *components())))


def role_path(role: str, *parts: str) -> str:
    return os.path.join(ROLES, role, *parts)


@functools.cache
def options(role: str) -> dict[str, t.Any]:
    """The typed variables of a role, from its argument specs, which have one entry point."""
    (specs,) = _read(role, "meta", "argument_specs.yml")["argument_specs"].values()
    return dict(specs.get("options") or {})


def typed(role: str, names: t.Iterable[str]) -> dict[str, t.Any]:
    """The typed variables of a role, and those of a host's variables that are typed like one: its lists of services."""
    known = options(role)
    return known | dict.fromkeys(service_variables(names), known[SERVICES]) if SERVICES in known else known


@functools.cache
def known_variables() -> dict[str, str]:
    """Every variable that a user may set, and its role."""
    return {name: role for role in (SHARED, *components()) for name in options(role)}


def stated(role: str, variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Those of a role's typed variables that somebody has set, as they are set."""
    below = _read(role, "defaults", "main.yml")
    set_here = {name: variables[name] for name in typed(role, variables) if name in variables}
    return {name: value for name, value in set_here.items() if name not in below or value != below[name]}


def default(role: str, option: str) -> t.Any:
    """A role's own default of an option: other hosts' role defaults are not among their variables."""
    return _read(role, "defaults", "main.yml")[f"{role}_{option}"]


def release(component: str) -> dict[str, t.Any]:
    """Where the releases of a component come from, with the defaults of C(release)."""
    stated = _fact(component, "release")
    if stated is None:
        raise AnsibleError(f"The role {component} states no __{component}_release in its vars/main.yml.")
    defaults = {name: option.get("default") for name, option in ARGUMENT_SPEC["release"]["options"].items()}
    return {**defaults, **stated}


def packages(component: str) -> list[str]:
    """Units that packages of the operating system use for the same program."""
    return list(_fact(component, "packages") or [])


def thresholds() -> dict[str, t.Any]:
    """What our alerts compare with, by their names."""
    return dict(_fact("prometheus", "thresholds"))


def prometheus_rules() -> list[dict[str, t.Any]]:
    """The groups of the rule files that come with Prometheus' role."""
    folder = role_path("prometheus", "files", "rules")
    return [
        group for name in sorted(os.listdir(folder)) for group in _read("prometheus", "files", "rules", name)["groups"]
    ]


def log_alerts() -> list[str]:
    """The alerts of Loki's ruler, by their names."""
    files = [_read("loki", "files", "rules", name) for name in sorted(os.listdir(role_path("loki", "files", "rules")))]
    return [rule["alert"] for file in files for group in file["groups"] for rule in group["rules"]]


def _fact(component: str, name: str) -> t.Any:
    return _read(component, "vars", "main.yml").get(f"__{component}_{name}")


@functools.cache
def _read(role: str, *parts: str) -> dict[str, t.Any]:
    with open(role_path(role, *parts), "rb") as handle:
        loaded = yaml.load(handle, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # plain data, as in safe_load
    return loaded or {}
