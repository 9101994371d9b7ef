# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Which services a host states: C(monitoring_services), and further lists beside it, as Ansible adds no lists up."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError

SERVICES = "monitoring_services"
_FURTHER = f"{SERVICES}_"


def service_variables(names: t.Iterable[str]) -> list[str]:
    """Those of a host's variables that list services, in the order in which they add up."""
    # A key of YAML, and so a name here, may be a number.
    return sorted(name for name in names if name == SERVICES or (isinstance(name, str) and name.startswith(_FURTHER)))


def service_entries(host: str, settings: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, t.Any]]:
    """Every entry of every list of a host, unchecked, and the variable that holds it."""
    for variable in service_variables(settings):
        stated = settings[variable] or []  # null states none
        if not isinstance(stated, (list, tuple)):  # not shown: there may be a password in it
            raise AnsibleError(f"{variable} of {host} is not a list of services. What to do: write it as a list.")
        yield from ((variable, entry) for entry in stated)
