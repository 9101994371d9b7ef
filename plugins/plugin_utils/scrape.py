# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""From the inventory to scrape jobs: pure functions over groups and host variables."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from .addresses import is_ip, is_loopback, split_address
from .databases import with_databases
from .quantities import DURATION, is_a
from .role_facts import default
from .services import SERVICES, service_entries

HostVars = t.Mapping[str, t.Mapping[str, t.Any]]

# Components that expose metrics themselves, and those of them that the servers' password opens, not the exporters'.
COMPONENTS = (
    "prometheus",
    "alertmanager",
    "grafana",
    "loki",
    "promtail",
    "alloy",
    "node_exporter",
    "cadvisor",
    "postgres_exporter",
    "blackbox_exporter",
)
SERVERS = ("prometheus", "alertmanager")
# Those that cannot ask for a password, nor serve TLS.
OPEN = ("cadvisor", "promtail", "alloy")
# Those that know no passwords: they ask for a certificate of the inventory's authority, or serve the loopback alone.
MUTUAL = ("loki",)
PROBES = "probe"  # the job of what the blackbox exporters ask: probes.py

SERVICE_DEFAULTS: dict[str, t.Any] = {
    "scheme": "http",
    "path": "/metrics",
    "health": "/health",
    "interval": "30s",
    "labels": {},
    "auth": {},
    "objective": None,
}
SERVICE_KEYS = {"name", "port", "address", *SERVICE_DEFAULTS}


def scrape_jobs(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[dict[str, t.Any]]:
    """Every job that the inventory asks for: components first, then services by name."""
    servers = groups.get("prometheus", [])
    jobs = [
        component_job(component, groups[component], hostvars, servers)
        for component in COMPONENTS
        if groups.get(component)
    ]
    return jobs + service_jobs(groups.get("all", []), hostvars)


def component_job(
    component: str, hosts: t.Sequence[str], hostvars: HostVars, servers: t.Sequence[str] = ()
) -> dict[str, t.Any]:
    """C(servers) are the hosts that scrape."""
    return {
        "name": component,
        "kind": _kind(component),
        "interval": "",
        "scheme": "http",
        "path": "",
        "auth": {},
        "objective": None,
        "targets": component_targets(component, hosts, hostvars, servers),
    }


def _kind(component: str) -> str:
    kinds = {"server": SERVERS, "open": OPEN, "mutual": MUTUAL}
    return next((kind for kind, names in kinds.items() if component in names), "exporter")


def component_targets(
    component: str, hosts: t.Sequence[str], hostvars: HostVars, servers: t.Sequence[str] = ()
) -> list[dict[str, t.Any]]:
    """Where each host of a component's group answers, as file_sd has it; hosts on which it is absent are left out."""
    targets = []
    for host in hosts:
        settings = hostvars[host]
        if settings.get(f"{component}_state", "present") == "absent":
            continue
        stated = settings.get(f"{component}_listen_address")
        port = port_of(component, "listen_address", stated)
        address = address_of(host, settings)
        labels = {"instance": host}
        if stated:
            listens = split_address(str(stated))[0]
        else:
            listens = open_address(host, servers, address) if component in OPEN else ""
            listens = mutual_address(settings) if component in MUTUAL else listens
        # On the loopback it is found by a Prometheus of the same host.
        address = listens if list(servers) == [host] and is_loopback(listens) else address
        if has_authority(settings) if component in MUTUAL else component not in OPEN and has_tls(settings):
            labels["__scheme__"] = "https"
        if prefix := path_prefix(component, settings):
            labels["__metrics_path__"] = f"{prefix}/metrics"
        targets.append({"targets": [join(address, port)], "labels": labels})
    return with_databases(targets, hostvars) if component == "postgres_exporter" else targets


def open_address(host: str, servers: t.Sequence[str], address: str) -> str:
    """Where a component that asks for no password listens, and no further than Prometheus needs.

    C(servers) are the hosts that scrape, C(address) is where others reach this one.
    """
    if list(servers) == [host]:
        return "127.0.0.1"
    return address if is_ip(address) else "0.0.0.0"


def has_tls(settings: t.Mapping[str, t.Any]) -> bool:
    return settings.get("monitoring_tls") in ("own", "selfsigned")


def has_authority(settings: t.Mapping[str, t.Any]) -> bool:
    """Whether an authority is known whose certificates a component can ask for."""
    tls = settings.get("monitoring_tls")
    return tls == "selfsigned" or (tls == "own" and bool(settings.get("monitoring_tls_ca")))


def mutual_address(settings: t.Mapping[str, t.Any]) -> str:
    """Where a component listens that asks for certificates, if it can."""
    return "0.0.0.0" if has_authority(settings) else "127.0.0.1"


def members(
    component: str, option: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars, but: str = ""
) -> list[str]:
    """host:port of every host that runs a component, but one; C(option) of the role says which port."""
    found = []
    for host in groups.get(component, []):
        settings = hostvars[host]
        if host != but and settings.get(f"{component}_state", "present") != "absent":
            port = port_of(component, option, settings.get(f"{component}_{option}"))
            found.append(join(address_of(host, settings), port))
    return found


def port_of(component: str, option: str, stated: t.Any) -> int:
    """Of what the user stated, else of the role's default: its address may be a template, its port is none."""
    return split_address(str(stated))[1] if stated else int(default(component, option).rpartition(":")[2])


def path_prefix(component: str, settings: t.Mapping[str, t.Any]) -> str:
    """What the paths of a host's component begin with."""
    if component == "grafana":
        # Where its own is not set, a proxy in front takes the path away.
        keeps = boolean(settings.get("grafana_serve_from_sub_path", default("grafana", "serve_from_sub_path")))
        return route_prefix(settings.get("grafana_root_url") if keeps else "", None)
    return route_prefix(settings.get(f"{component}_external_url"), settings.get(f"{component}_flags"))


def route_prefix(external_url: str | None, flags: t.Mapping[str, t.Any] | None) -> str:
    """What the paths of a server begin with: its flag, else the path of its external address; no slash behind."""
    stated = {str(name).lstrip("-"): value for name, value in (flags or {}).items()}.get("web.route-prefix")
    return str(stated or urlsplit(external_url or "").path).rstrip("/")


def service_jobs(hosts: t.Sequence[str], hostvars: HostVars) -> list[dict[str, t.Any]]:
    jobs: dict[str, dict[str, t.Any]] = {}
    places: dict[str, list[str]] = {}  # where each of a job's targets is stated
    for host in hosts:
        settings = hostvars[host]
        for variable, stated in service_entries(host, settings):
            service = checked_service(stated, host, variable)
            job = jobs.setdefault(
                service["name"],
                {
                    "name": service["name"],
                    "kind": "service",
                    "targets": [],
                    **{key: service[key] for key in ("interval", "scheme", "path", "auth", "objective")},
                },
            )
            stated_at = places.setdefault(service["name"], [])
            stated_at.append(where := f"{variable} of {host}")
            for key in ("interval", "auth", "objective"):
                if job[key] != service[key]:
                    raise AnsibleError(
                        f"{where}: {service['name']} has another {key} than an earlier entry in {stated_at[0]}, but "
                        "both are one scrape job. What to do: state the same, or give one of them another name."
                    )
            job["targets"].append(service_target(service, job, host, settings))
    for job in jobs.values():
        refuse_twins(job, places[job["name"]])
    return [jobs[name] for name in sorted(jobs)]


def service_target(
    service: dict[str, t.Any], job: dict[str, t.Any], host: str, settings: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    labels = {"instance": host, **{str(key): str(value) for key, value in service["labels"].items()}}
    for key, label in (("scheme", "__scheme__"), ("path", "__metrics_path__")):
        if service[key] != job[key]:
            labels[label] = service[key]
    return {"targets": [service_address(service, host, settings)], "labels": labels}


def service_address(service: dict[str, t.Any], host: str, settings: t.Mapping[str, t.Any]) -> str:
    return join(service.get("address") or address_of(host, settings), service["port"])


def checked_service(stated: t.Any, host: str, variable: str = SERVICES) -> dict[str, t.Any]:
    """An entry of a list of services with its defaults. Raises AnsibleError with the host and what to change."""
    where = f"{variable} of {host}"
    if not isinstance(stated, dict):
        raise AnsibleError(f"{where}: an entry is not a map with name and port.")
    unknown = sorted(set(stated) - SERVICE_KEYS)
    if unknown:
        raise AnsibleError(f"{where}: unknown key {', '.join(unknown)}. Known are {', '.join(sorted(SERVICE_KEYS))}.")
    missing = [key for key in ("name", "port") if key not in stated]
    if missing:
        keys = ", ".join(map(str, stated))  # not the values: there may be a password among them
        raise AnsibleError(f"{where}: an entry with {keys or 'nothing'} lacks {' and '.join(missing)}.")
    # A probe sends no password, so a service that asks for one has no health check unless it is said to have.
    service = {**SERVICE_DEFAULTS, **({"health": ""} if stated.get("auth") else {}), **stated}
    # Null is what was not stated; for health it says that there is none.
    unstated = [key for key in SERVICE_DEFAULTS if service[key] is None and key != "health"]
    service.update({key: SERVICE_DEFAULTS[key] for key in unstated})
    if not isinstance(service["name"], str):
        raise AnsibleError(f"{where}: the name {service['name']!r} is not a text.")
    if service["scheme"] not in ("http", "https"):
        raise AnsibleError(f"{where}: {service['name']} has the scheme {service['scheme']!r}. Use http or https.")
    if service["health"] and not str(service["health"]).startswith("/"):
        raise AnsibleError(
            f"{where}: {service['name']} has the health check {service['health']!r}. Write a path that begins with /, "
            'or "" if it has none.'
        )
    if not is_a(DURATION, service["interval"]):
        raise AnsibleError(
            f"{where}: {service['name']} has the interval {service['interval']!r}. Write it like {DURATION.examples}."
        )
    if not isinstance(service["labels"], dict):
        raise AnsibleError(f"{where}: the labels of {service['name']} are not a map.")
    if service["auth"] and not {"password"} <= set(service["auth"]) <= {"user", "password"}:
        raise AnsibleError(f"{where}: the auth of {service['name']} needs a password, may have a user, and no more.")
    if not _is_objective(service["objective"]):
        raise AnsibleError(
            f"{where}: {service['name']} has the objective {service['objective']!r}. Use the percentage of requests "
            "that have to succeed, such as 99.9, or leave it out."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", service["name"]):
        raise AnsibleError(
            f"{where}: {service['name']!r} cannot be the name of a job. Use letters, digits, _, . and -."
        )
    if service["name"] in (*COMPONENTS, PROBES):
        raise AnsibleError(f"{where}: {service['name']} is the job of a component already. Give it another name.")
    try:
        service["port"] = 0 if isinstance(service["port"], bool) else int(service["port"])
    except (TypeError, ValueError):
        service["port"] = 0
    if not 0 < service["port"] < 65536:
        raise AnsibleError(f"{where}: {service['name']} needs a port from 1 to 65535, not {stated['port']!r}.")
    return service


def _is_objective(value: t.Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 100)


def refuse_twins(job: dict[str, t.Any], places: t.Sequence[str]) -> None:
    """Two targets with the same labels would write into the same series. C(places): where each of them is stated."""
    seen: dict[str, tuple[str, str]] = {}
    for target, place in zip(job["targets"], places, strict=True):
        labels = {key: value for key, value in target["labels"].items() if not key.startswith("__")}
        key, (address,) = repr(sorted(labels.items())), target["targets"]
        if key in seen:
            earlier, first = seen[key]
            where = " and ".join(dict.fromkeys([first, place]))
            raise AnsibleError(
                f"{where}: {job['name']} has two targets ({earlier}, {address}) with the same labels {labels}. "
                "What to do: tell them apart by a label of their own (labels: {...})."
            )
        seen[key] = (address, place)


def address_of(host: str, settings: t.Mapping[str, t.Any]) -> str:
    """Where others reach a host."""
    return str(settings.get("monitoring_address") or settings.get("ansible_host") or host)


def join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def file_sd(jobs: t.Iterable[dict[str, t.Any]]) -> dict[str, list[dict[str, t.Any]]]:
    """The content of each job's file of targets, by file name."""
    return {f"{job['name']}.yml": list(job["targets"]) for job in jobs}


def alert_targets(jobs: t.Iterable[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Where Prometheus sends alerts: the Alertmanagers that it scrapes, with the path that takes alerts."""
    found = []
    for target in (target for job in jobs if job["name"] == "alertmanager" for target in job["targets"]):
        labels = {key: value for key, value in target["labels"].items() if key != "__metrics_path__"}
        prefix = target["labels"].get("__metrics_path__", "/metrics").removesuffix("/metrics")
        found.append({**target, "labels": {**labels, "__alerts_path__": f"{prefix}/api/v2/alerts"}})
    return found


def service_passwords(jobs: t.Iterable[dict[str, t.Any]]) -> dict[str, str]:
    """The password of each service that asks for one, by the name of its secret file."""
    return {
        f"service_{job['name']}_password": str(job["auth"]["password"]) for job in jobs if job["auth"].get("password")
    }
