# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""From the inventory to probes: what the blackbox exporters ask when Prometheus scrapes them. Pure functions."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError

from .scrape import PROBES, HostVars, checked_service, service_address
from .services import service_entries

TARGET_DEFAULTS: dict[str, t.Any] = {"module": "http_2xx", "labels": {}}
TARGET_KEYS = {"name", "target", *TARGET_DEFAULTS}


class Probe(t.NamedTuple):
    """One question to one target, whoever asks it."""

    instance: str
    service: str
    module: str
    target: str
    labels: dict[str, str]


def probe_jobs(
    jobs: t.Iterable[dict[str, t.Any]], hosts: t.Sequence[str], hostvars: HostVars
) -> list[dict[str, t.Any]]:
    """The job of all probes; none where nobody probes or nothing is to be probed.

    C(jobs) are the other ones: where the blackbox exporters answer, and which components serve TLS. Each exporter asks
    everything, so two of them see it from two places, and what its own host lists.
    """
    components = [job for job in jobs if job["kind"] != "service"]
    everywhere = [*service_probes(hosts, hostvars), *certificate_probes(components)]
    targets = []
    for exporter in (target for job in components if job["name"] == "blackbox_exporter" for target in job["targets"]):
        host = exporter["labels"]["instance"]
        probes = everywhere + listed_probes(host, hostvars[host].get("blackbox_exporter_targets") or [])
        targets += [probe_target(exporter, probe) for probe in probes]
    if not targets:
        return []
    return [
        {
            "name": PROBES,
            "kind": "exporter",
            "interval": "",
            "scheme": "http",
            "path": "/probe",
            "auth": {},
            "objective": None,
            "targets": targets,
        }
    ]


def service_probes(hosts: t.Sequence[str], hostvars: HostVars) -> list[Probe]:
    """The health check of every service that has one."""
    probes = []
    for host in hosts:
        settings = hostvars[host]
        for variable, stated in service_entries(host, settings):
            service = checked_service(stated, host, variable)
            if service["health"]:
                target = f"{service['scheme']}://{service_address(service, host, settings)}{service['health']}"
                probes.append(Probe(host, service["name"], "http_2xx", target, service["labels"]))
    return probes


def certificate_probes(components: t.Iterable[dict[str, t.Any]]) -> list[Probe]:
    """The certificate of every component that serves TLS."""
    return [
        Probe(target["labels"]["instance"], job["name"], "tls_connect", target["targets"][0], {})
        for job in components
        for target in job["targets"]
        # What an exporter asks on behalf of others is at the same address.
        if target["labels"].get("__scheme__") == "https" and "__param_target" not in target["labels"]
    ]


def listed_probes(host: str, stated: t.Iterable[t.Any]) -> list[Probe]:
    """The blackbox_exporter_targets of one exporter's host."""
    probes = [checked_target(one, host) for one in stated]
    for number, probe in enumerate(probes):
        if probe in probes[:number]:
            raise AnsibleError(
                f"blackbox_exporter_targets of {host}: {probe.service} is there twice, with the same module and "
                "target. What to do: remove one, or tell them apart by a label (labels: {...})."
            )
    return probes


def checked_target(stated: t.Any, host: str) -> Probe:
    """An entry of blackbox_exporter_targets. Raises AnsibleError with the host and what to change."""
    where = f"blackbox_exporter_targets of {host}"
    if not isinstance(stated, dict):
        raise AnsibleError(f"{where}: an entry is not a map with name and target.")
    unknown = sorted(set(stated) - TARGET_KEYS)
    if unknown:
        raise AnsibleError(f"{where}: unknown key {', '.join(unknown)}. Known are {', '.join(sorted(TARGET_KEYS))}.")
    missing = [key for key in ("name", "target") if not stated.get(key)]
    if missing:
        keys = ", ".join(map(str, stated))  # not the values: an address may hold a password
        raise AnsibleError(f"{where}: an entry with {keys or 'nothing'} lacks {' and '.join(missing)}.")
    target = {**TARGET_DEFAULTS, **{key: value for key, value in stated.items() if value is not None}}
    if not isinstance(target["labels"], dict):
        raise AnsibleError(f"{where}: the labels of {target['name']} are not a map.")
    name = str(target["name"])
    return Probe(name, name, str(target["module"]), str(target["target"]), target["labels"])


def probe_target(exporter: dict[str, t.Any], probe: Probe) -> dict[str, t.Any]:
    """The target as file_sd has it. Prometheus takes the parameters of a request from the target's own labels."""
    labels = {
        "instance": probe.instance,
        **{str(key): str(value) for key, value in probe.labels.items()},
        "service": probe.service,
        "module": probe.module,
        "target": probe.target,
        "prober": exporter["labels"]["instance"],
        "__param_module": probe.module,
        "__param_target": probe.target,
    }
    if "__scheme__" in exporter["labels"]:
        labels["__scheme__"] = exporter["labels"]["__scheme__"]
    return {"targets": exporter["targets"], "labels": labels}
