# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the doctor compares Prometheus' targets with, and which host is behind each. Pure functions."""

from __future__ import annotations

import typing as t

from .probes import probe_jobs
from .scrape import COMPONENTS, HostVars, alert_targets, checked_service, scrape_jobs, service_address
from .services import service_entries

Map = t.Mapping[str, t.Any]
Address = tuple[str, str]  # a job, and host:port


class Inventory(t.NamedTuple):
    """What is to be scraped, who is to be told (C(alertmanagers) as host:port), and which hosts are left out.

    C(owners): the host behind an address. What instance says may be no host: an exporter of PostgreSQL asks
    further servers, and a service may have a label of that name.
    """

    jobs: t.Sequence[Map]
    alertmanagers: t.Sequence[str] = ()
    unscraped: t.Sequence[str] = ()
    owners: t.Mapping[Address, str] = {}
    hosts: t.Collection[str] = ()

    def host(self, job: str, address: str, instance: str) -> str:
        """Whom to look at. Several hosts may state one address, so an instance that is a host is believed."""
        return instance if instance in self.hosts else self.owners.get((job, address), instance)


def inventory(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars, excepted: t.Collection[str]) -> Inventory:
    """Raises AnsibleError where a variable is wrong. C(excepted): hosts that nobody is to scrape."""
    hosts = groups["all"]
    jobs = scrape_jobs(groups, hostvars)
    jobs += probe_jobs(jobs, hosts, hostvars)
    told = [target["targets"][0] for target in alert_targets(jobs)]
    owned = [*owned_components(jobs), *owned_services(hosts, hostvars)]
    known = {host for _address, host in owned}
    lost = [one for one in hosts if one not in known and one not in excepted]
    return Inventory(jobs, told, lost, dict(owned), hosts)


def owned_components(jobs: t.Iterable[Map]) -> t.Iterator[tuple[Address, str]]:
    """Of what is asked on behalf of others the exporter's own target tells the host."""
    for job in jobs:
        for target in job["targets"] if job["name"] in COMPONENTS else ():
            if "__param_target" not in target["labels"]:
                yield (job["name"], target["targets"][0]), str(target["labels"]["instance"])


def owned_services(hosts: t.Iterable[str], hostvars: HostVars) -> t.Iterator[tuple[Address, str]]:
    for host in hosts:
        for variable, stated in service_entries(host, hostvars[host]):
            service = checked_service(stated, host, variable)
            yield (service["name"], service_address(service, host, hostvars[host])), host
