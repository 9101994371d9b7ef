# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Names of groups and variables that look like ours and are not: most likely misspelt."""

from __future__ import annotations

import difflib
import re
import typing as t

from .preflight_report import Problem
from .services import SERVICES, service_variables

GROUP_CUTOFF = 0.85  # promtheus is prometheus; prometheus_servers, dev_loki and mysqld_exporter are not ours
OPTION_CUTOFF = 0.75  # of what stands behind the component: retention is retention_time


def meant_group(group: str, known: t.Sequence[str]) -> str | None:
    """The group that was meant by a name which is close to it; None for a known group, and for any other name."""
    if group in known:
        return None
    bare = _bare(group)
    for name in known:
        if bare.rstrip("0123456789") == _bare(name) and bare != _bare(name):
            return None  # loki2 is a group of somebody's own
    close = difflib.get_close_matches(bare, [_bare(name) for name in known], 1, GROUP_CUTOFF)
    return next((name for name in known if close and _bare(name) == close[0]), None)


def group_problems(groups: t.Mapping[str, t.Sequence[str]], known: t.Sequence[str]) -> list[Problem]:
    """Misspelt groups. One whose hosts are all in the right group too is no mistake, only a name."""
    problems = []
    for group, hosts in groups.items():
        meant = meant_group(group, known)
        left_out = [host for host in hosts if host not in groups.get(meant, [])] if meant else []
        if left_out:
            problems.append(
                Problem(
                    f"the inventory's group {group} means nothing here",
                    f"hosts {', '.join(left_out)}. Did you mean {meant}?",
                    f"call it {meant}; or, if it is meant to be another group, give it a name less like it",
                )
            )
    return problems


def tag_warnings(tags: t.Iterable[str], known: t.Sequence[str]) -> list[str]:
    """Of a misspelt tag Ansible says nothing: no task of ours has it, none is run, and all looks well."""
    meant = {tag: meant_group(tag, known) for tag in tags}
    return [
        f"Nothing of this collection has the tag {tag}. Did you mean {name}?" for tag, name in meant.items() if name
    ]


def log_agent_problems(group_names: t.Collection[str]) -> list[Problem]:
    if {"promtail", "alloy"} <= set(group_names):
        return [
            Problem(
                "the host is in the groups promtail and alloy",
                "two log agents would send every line twice",
                "leave it in one of them; moving a host from promtail to alloy is the migration",
            )
        ]
    return []


def variable_findings(names: t.Iterable[str], known: t.Mapping[str, str]) -> tuple[list[Problem], list[str]]:
    """(misspelt variables, warnings about unknown ones). C(known): every variable, and its role."""
    problems, warnings = [], []
    roles = sorted(set(known.values()), key=len, reverse=True)
    names = {name for name in names if isinstance(name, str)}  # a key of YAML may be a number
    for name in sorted(names - set(known) - set(service_variables(names))):
        if name.startswith("__"):  # what roles, ours too, keep for themselves
            continue
        role = next((role for role in roles if name.startswith(f"{role}_")), None)
        if role is None:
            meant = _other_prefix(name, roles, known)
            if meant:
                warnings.append(f"The variable {name} has no effect here. Did you mean {meant}?")
            continue
        meant = _close_option(name, role, known)
        if meant:
            problems.append(_misspelt(name, meant))
        else:
            warnings.append(
                f"The variable {name} has no effect here: the role {role} does not know it. "
                f"See ansible-doc -t role opswatch.monitoring.{role}"
            )
    return problems, warnings


def misspelt_options(names: t.Iterable[str], role: str, options: t.Collection[str]) -> list[Problem]:
    """Misspelt options of a routine. Others begin names with such a word too: what is not close is theirs."""
    unknown = sorted({name for name in names if isinstance(name, str)} - set(options))
    meant = {name: _meant_option(name, role, options) for name in unknown}
    return [_misspelt(name, option) for name, option in meant.items() if option]


def _meant_option(name: str, role: str, options: t.Collection[str]) -> str | None:
    """Ansible takes -e restore-drill=true too."""
    prefix, *rest = re.split(r"[\W_]", name, maxsplit=1)
    # A longer word is another one, such as pgbackup.
    if not rest or (prefix != role and (len(prefix) > len(role) or not meant_group(prefix, [role]))):
        return None
    option, known = rest[0].lower(), [other.removeprefix(f"{role}_") for other in options]
    if any(re.fullmatch(rf"{one}(_.+|\d+)", option) for one in known):
        return None  # backup_password_file and backup_host2 are somebody's own
    close = difflib.get_close_matches(option, known, 1, OPTION_CUTOFF)
    return f"{role}_{close[0]}" if close else None


def _misspelt(name: str, meant: str) -> Problem:
    return Problem(f"the variable {name} is not known", f"did you mean {meant}?", f"call it {meant}, or remove it")


def _close_option(name: str, role: str, known: t.Mapping[str, str]) -> str | None:
    """The variable of the same role that was meant. Only what follows the role's name is compared."""
    options = [other[len(role) + 1 :] for other, owner in known.items() if owner == role]
    close = difflib.get_close_matches(name[len(role) + 1 :].lower(), options, 1, OPTION_CUTOFF)
    meant = f"{role}_{close[0]}" if close else None
    further = name.removeprefix("monitoring_service_")
    # Who gave the list a name of its own means one beside the first, which else would replace another.
    return f"{SERVICES}_{further}" if meant == SERVICES and further != name else meant


def _other_prefix(name: str, roles: t.Sequence[str], known: t.Mapping[str, str]) -> str | None:
    """The known variable that differs only in a misspelt component, as in nodeexporter_version."""
    for mark in re.finditer("_", name):
        prefix, option = name[: mark.start()], name[mark.end() :]
        for role in roles:
            if f"{role}_{option}" in known and meant_group(prefix, [role]):
                return f"{role}_{option}"
    return None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
