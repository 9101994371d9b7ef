# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Secrets that a host works with already, and that this control node does not have: a run would make others."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.path import unfrackpath

from .preflight_host import Look, listed
from .preflight_report import Problem
from .secrets_dir import AUTHORITY, ENDING, VARIABLE, SecretsDir

MEANT = "monitoring_new_secrets"


class Secret(t.NamedTuple):
    """One that is made where it is neither kept nor given by the variable of its name."""

    name: str
    users: t.Collection[str]  # the components that cannot be in force without it
    traces: t.Sequence[str]  # what stays in the folder when somebody removes it to have a new one made
    anew: str  # what another one means


AUTH = "monitoring_auth_password"
# Nobody removes the hashes: they are of the runs that were made with this folder.
_HASHES = ("monitoring_auth_password.bcrypt", "monitoring_exporter_password.bcrypt")
SECRETS = (
    Secret(
        AUTH,
        ("prometheus", "alertmanager", "grafana"),
        _HASHES[:1],
        "Prometheus and Alertmanager refuse the password that people and scripts have",
    ),
    Secret(
        "monitoring_exporter_password",
        ("prometheus", "grafana", "node_exporter", "postgres_exporter", "blackbox_exporter"),
        _HASHES[1:],
        "what this run leaves out answers Prometheus with 401",
    ),
    Secret("grafana_admin_password", ("grafana",), _HASHES, "Grafana refuses the password that its administrator has"),
    # No trace tells that this is meant.
    Secret("grafana_secret_key", ("grafana",), (), "what Grafana's database holds encrypted cannot be read any more"),
)
_AUTHORITY = Secret(
    AUTHORITY, (), _HASHES, "every host gets a certificate that nobody trusts who has the old authority"
)


def lost_problems(host: str, look: Look, present: t.Iterable[str], values: t.Mapping[str, t.Any]) -> list[Problem]:
    """What the components that are in force and stay, C(present), need of the folder, and it lacks."""
    in_force = [name for name in present if name in look.installed]
    if not (in_force and values.get(VARIABLE)) or is_meant(values):
        return []
    folder = SecretsDir(unfrackpath(str(values[VARIABLE]), follow=False))
    lost = [one for one in _needed(in_force, look, values) if not any(map(folder.has, (one.name, *one.traces)))]
    if not lost:
        return []
    where = folder.path if os.path.isdir(folder.path) else f"{folder.path}, a folder that is not there"
    what = f"{host} runs {listed(in_force)} with secrets that are not in {where}, so this run would make others"
    variables = [one.name for one in lost if one is not _AUTHORITY]
    given = f"; or set {listed(variables)} to what the host has" if variables else ""
    remedy = (
        f"bring back the folder of the control node that made them, or set {VARIABLE} to it{given}; "
        f"or, where others are meant, run once with -e {MEANT}=true"
    )
    return [Problem(what, "\n".join(f"{one.name}{ENDING}: {one.anew}" for one in lost), remedy)]


def is_meant(values: t.Mapping[str, t.Any]) -> bool:
    return bool(boolean(values.get(MEANT, False), strict=False))


def _needed(in_force: t.Collection[str], look: Look, values: t.Mapping[str, t.Any]) -> list[Secret]:
    """What is in force needs, and no variable gives. One that cannot be resolved is another problem."""
    needed = [one for one in SECRETS if not values.get(one.name, True) and _users(one, look) & set(in_force)]
    # Without a certificate there, TLS is only now turned on.
    issued = values.get("monitoring_tls") == "selfsigned" and look.certified & set(in_force)
    return [*needed, _AUTHORITY] if issued else needed


def _users(one: Secret, look: Look) -> set[str]:
    """Loki is one too where it tells Alertmanager of alerts."""
    return {*one.users, *(look.notifiers if one.name == AUTH else ())}


def shared_warnings(
    present: t.Collection[str],
    look: Look,
    values: t.Mapping[str, t.Any],
    groups: t.Mapping[str, t.Collection[str]],
    others: t.Collection[str],
) -> list[str]:
    """What a run with C(--limit) makes, although C(others), hosts outside of it, may work with another one already."""
    if not values.get(VARIABLE) or is_meant(values):
        return []
    folder = SecretsDir(unfrackpath(str(values[VARIABLE]), follow=False))
    made = [one for one in SECRETS if not values.get(one.name, True) and _users(one, look) & set(present)]
    warnings = []
    for one in made:
        who = sorted({host for user in one.users for host in groups.get(user, ())} & set(others))
        if who and not any(map(folder.has, (one.name, *one.traces))):
            warnings.append(
                f"{one.name} is not in {folder.path}, so this run makes one, which hosts that --limit leaves out are "
                f"to have too, such as {who[0]}. What to do: if they were set up from another machine, bring back its "
                "folder first, as the next run without --limit gives all of them this one."
            )
    return warnings
