# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""From names of the inventory to silences, and where Alertmanager is asked: pure functions."""

from __future__ import annotations

import difflib
import json
import re
import typing as t

from ansible.errors import AnsibleError

from ..module_utils._errors import sentence
from .addresses import own_address
from .loki import alertmanager_urls
from .role_facts import default
from .scrape import COMPONENTS, HostVars, address_of, has_authority, has_tls, path_prefix
from .services import service_entries

# Variables of hosts that, beside their services, give names to what is watched, and the key that holds the name.
NAMED = {"blackbox_exporter_targets": "name", "prometheus_scrape_configs": "job_name"}

Groups = t.Mapping[str, t.Sequence[str]]


def wanted_silences(*given: t.Any, **options: t.Any) -> dict[str, t.Any]:
    """C(silences) as C(silence_matchers) makes them, and C(refused): why there are none, or empty.

    Ansible tells an error of a filter amid words about itself, so the role tells this one.
    """
    try:
        return {"silences": silence_matchers(*given, **options), "refused": ""}
    except AnsibleError as error:
        return {"silences": [], "refused": str(error)}


def silence_matchers(
    groups: Groups,
    hostvars: HostVars,
    hosts: t.Sequence[str],
    services: t.Sequence[str],
    matchers: t.Sequence[str],
) -> list[list[str]]:
    """The matchers of each silence that is needed.

    The alerts of a service have its name as their job, those of its probes and its logs as a label C(service). One
    silence cannot say "or" of two labels, so it takes two.
    """
    if not (hosts or services or matchers):
        raise AnsibleError(
            "Nothing says what to silence. What to do: state silence_host, silence_service or silence_matchers, "
            "such as -e silence_host=app1"
        )
    _refuse_unknown("host", hosts, groups.get("all", []))
    _refuse_unknown("service", services, services_of(groups, hostvars))
    shared = [*([_one_of("instance", hosts)] if hosts else []), *matchers]
    if not services:
        return [shared]
    return [[_one_of(label, services), *shared] for label in ("job", "service")]


def services_of(groups: Groups, hostvars: HostVars) -> set[str]:
    """Every name that a service, a component or something that is probed has."""
    names = {component for component in COMPONENTS if groups.get(component)}
    for host in groups.get("all", []):
        settings = hostvars[host]
        stated = [("name", one) for _variable, one in service_entries(host, settings)]
        stated += [(key, one) for variable, key in NAMED.items() for one in settings.get(variable) or []]
        names |= {str(one[key]) for key, one in stated if isinstance(one, t.Mapping) and one.get(key)}
    return names


def alertmanager_api(groups: Groups, hostvars: HostVars, host: str) -> dict[str, t.Any]:
    """How a host of Alertmanager's asks itself, and then the other members of its cluster."""
    settings = hostvars[host]
    listens = str(settings.get("alertmanager_listen_address") or default("alertmanager", "listen_address"))
    scheme = "https" if has_tls(settings) else "http"
    others = [one for one in groups.get("alertmanager", []) if one != host]
    return {
        "urls": [
            f"{scheme}://{own_address(listens)}{path_prefix('alertmanager', settings)}",
            *alertmanager_urls({**groups, "alertmanager": others}, hostvars),
        ],
        "server_name": address_of(host, settings) if scheme == "https" else "",
        "ca_path": "/etc/alertmanager/secrets/ca.crt" if has_authority(settings) else "",
    }


def _one_of(label: str, values: t.Sequence[str]) -> str:
    if len(values) == 1:
        return f"{label}={json.dumps(str(values[0]))}"
    return f"{label}=~{json.dumps('|'.join(re.escape(str(value)) for value in values))}"


def _refuse_unknown(kind: str, names: t.Sequence[str], known: t.Collection[str]) -> None:
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(str(name), [str(one) for one in known], 1)
        seen = f"the nearest is {close[0]}" if close else f"known are {', '.join(sorted(map(str, known))) or 'none'}"
        remedy = f"correct silence_{kind}, or state the labels of the alerts by silence_matchers"
        raise AnsibleError(sentence(f"The inventory has no {kind} {name}", seen, remedy))
