# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What is wrong with the values of a host's variables, as far as the control node can tell."""

from __future__ import annotations

import datetime
import os
import re
import typing as t
from collections import Counter

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError

from . import role_facts
from .addresses import split_address
from .databases import checked_databases
from .logs import checked_log, checked_logs
from .preflight_report import Problem, from_error, refused
from .probes import checked_target, listed_probes
from .release import of_version
from .scrape import address_of, checked_service, component_targets, service_jobs

Values = t.Mapping[str, t.Any]
Spec = t.Mapping[str, t.Mapping[str, t.Any]]

VERSION = re.compile(r"\d+(\.\d+)+([-+~]\w[\w.+~-]*)?")
SERVICES = "monitoring_services"
ANY = ("", "0.0.0.0", "::")


class Listener(t.NamedTuple):
    """Who wants which port of a host. C(address): one of C(ANY) for all of them."""

    owner: str
    address: str
    port: int


# --- types, choices, unknown keys ---


def spec_problems(role: str, options: Spec, values: Values) -> list[Problem]:
    """Every way in which the set variables of a role differ from its argument specs."""
    plain = {name: {**option, "options": None} if name in ENTRIES else option for name, option in options.items()}
    remedy = f"correct it in the inventory; what is allowed: ansible-doc -t role opswatch.monitoring.{role}"
    return [Problem(message, "", remedy) for message in _messages(plain, values)]


def _messages(options: Spec, values: Values) -> list[str]:
    result = ArgumentSpecValidator(dict(options)).validate(dict(values))
    said = [f"unknown: {error.msg}" if isinstance(error, UnsupportedError) else error.msg for error in result.errors]
    # Several of them quote the value that they refuse.
    return [remove_values(message, result._no_log_values).strip().rstrip(".") for message in said]


def unresolved(name: str, error: Exception) -> Problem:
    return Problem(f"{name} cannot be resolved", str(error), "correct the expression, or define what it uses")


def is_version(version: str) -> bool:
    return bool(VERSION.fullmatch(version))


def version_problems(component: str, version: str) -> list[Problem]:
    name = f"{component}_version"
    if is_version(version):
        try:
            for theirs in role_facts.release(component)["names"].values():
                of_version(theirs, version)
        except AnsibleError as error:
            return [from_error(f"{name}: {error}")]
        return []
    remedy = f"set {name} to a version that was released, such as 1.2.3; there is no latest here, on purpose"
    if is_version(version.lstrip("vV")):
        remedy = f"set {name} to {version.lstrip('vV')}: a v is not part of it"
    return [Problem(f"{name} is not a version", repr(version), remedy)]


# --- lists of which each entry says something of its own ---


class Entries(t.NamedTuple):
    """How such a list is checked: by what the roles call in their turn. Both raise AnsibleError."""

    title: str  # the key by which an entry is called
    each: t.Callable[[t.Any, str], object]  # an entry, the host
    together: t.Callable[[list[t.Any], str], object]  # those that are right by themselves, the host


ENTRIES = {
    SERVICES: Entries("name", checked_service, lambda _entries, _host: None),  # together they are jobs: jobs_problems()
    "monitoring_logs": Entries("name", checked_log, checked_logs),
    "postgres_exporter_databases": Entries(
        "database", lambda entry, _host: checked_databases([entry]), lambda entries, _host: checked_databases(entries)
    ),
    "blackbox_exporter_targets": Entries("name", checked_target, lambda entries, host: listed_probes(host, entries)),
}


def checked_entries(host: str, options: Spec, values: Values) -> tuple[list[Problem], dict[str, t.Any]]:
    """Every entry that is wrong, and all that is wrong with it; and the values, with the entries that are right."""
    problems, right = [], dict(values)
    for name in ENTRIES:
        if name in options and name in values:
            found, right[name] = _checked_list(name, host, options[name]["options"], values[name])
            problems += found
    return problems, right


def said_of(host: str, problem: Problem) -> Problem:
    """A problem as another host reports it."""
    return problem if f" of {host}" in problem.what else problem._replace(what=f"{host}: {problem.what}")


def _checked_list(name: str, host: str, options: Spec, stated: t.Any) -> tuple[list[Problem], list[t.Any]]:
    kind = ENTRIES[name]
    problems, right = [], []
    for number, entry in enumerate(stated if isinstance(stated, list) else [], 1):
        if not isinstance(entry, dict):
            continue  # the type of the whole list says so already
        title = entry.get(kind.title)
        where = f"{name} of {host}, entry {number}" + (f" ({title})" if isinstance(title, str) else "")
        messages = _messages(options, entry)
        found = [Problem(f"{where}: {message}", "", "correct the entry") for message in messages]
        found = found or refused(kind.each, entry, host)
        problems += found
        right += [] if found else [entry]
    if right or stated == []:
        found = refused(kind.together, right, host)
        problems += found
        right = [] if found else right
    return problems, right


# --- the jobs of the whole inventory ---


def jobs_problems(settings: t.Mapping[str, Values]) -> list[Problem]:
    """What is wrong with the jobs of the whole inventory, each of which may have targets on several hosts.

    Entries that are wrong by themselves are left out here.
    """
    jobs: dict[str, dict[str, list[t.Any]]] = {}
    for host, stated in settings.items():
        for entry in _services(host, stated):
            jobs.setdefault(entry["name"], {}).setdefault(host, []).append(entry)
    problems = []
    for by_host in jobs.values():
        hostvars = {host: {**settings[host], SERVICES: entries} for host, entries in by_host.items()}
        try:
            service_jobs(list(by_host), hostvars)
        except AnsibleError as error:
            problems.append(from_error(error))
    return problems


def _services(host: str, settings: Values) -> t.Iterator[dict[str, t.Any]]:
    """The entries that are right, with their defaults."""
    stated = settings.get(SERVICES)
    for entry in stated if isinstance(stated, list) else []:
        try:
            yield checked_service(entry, host)
        except AnsibleError:
            continue


def target_problems(component: str, host: str, settings: Values) -> list[Problem]:
    """Whether Prometheus can be told where a host's component is."""
    try:
        component_targets(component, [host], {host: settings})
    except AnsibleError as error:
        return [from_error(f"{component} of {host}: {error}")]
    return []


def database_twins(hosts: t.Iterable[str], settings: t.Mapping[str, Values]) -> list[Problem]:
    """A database that two hosts' exporters watch. Hosts of which something else is wrong are left out here."""
    component = "postgres_exporter"
    right = [host for host in hosts if not target_problems(component, host, settings[host])]
    return refused(component_targets, component, right, settings)


# --- ports ---


def listeners(component: str, values: Values) -> tuple[list[Listener], list[Problem]]:
    """What a component listens on, by each of its variables that ends in listen_address."""
    found, problems = [], []
    for name, value in values.items():
        if not (name.startswith(f"{component}_") and name.endswith("listen_address") and value):
            continue
        try:
            address, port = split_address(str(value))
        except AnsibleError as error:
            problems.append(from_error(f"{name}: {error}"))
            continue
        found.append(Listener(name, address, port))
    return found, problems


def service_listeners(host: str, values: Values) -> list[Listener]:
    """Ports of the services that run on the host itself, and not behind an address of their own."""
    found: dict[int, Listener] = {}
    own = address_of(host, values)
    for service in _services(host, values):
        if (service.get("address") or own) == own:
            # One program may be several jobs, with a path each.
            found.setdefault(service["port"], Listener(f"{SERVICES} ({service['name']})", "", service["port"]))
    return list(found.values())


def port_problems(wanted: t.Sequence[Listener]) -> list[Problem]:
    """Each pair that cannot listen side by side."""
    return [
        Problem(
            f"port {one.port} is wanted twice on this host",
            f"{_shown(one)} and {_shown(other)}",
            "give one of them another port",
        )
        for number, one in enumerate(wanted)
        for other in wanted[number + 1 :]
        if one.port == other.port and (one.address in ANY or other.address in ANY or one.address == other.address)
    ]


def _shown(listener: Listener) -> str:
    return f"{listener.owner} {listener.address}:{listener.port}" if listener.address else listener.owner


# --- files and folders on the control node ---


def file_problems(name: str, paths: t.Sequence[str], find: t.Callable[[str], str]) -> list[Problem]:
    """Files that the control node lacks. C(find) looks where the role will look, and raises AnsibleError."""
    problems = []
    for path in paths:
        try:
            found = find(path)
        except AnsibleError:
            remedy = "correct the path: an absolute one, or one that begins with {{ inventory_dir }}"
            problems.append(Problem(f"{name} names a file that is not there", path, remedy))
            continue
        if not os.path.isfile(found):
            problems.append(Problem(f"{name} names something that is no file", found, "name files, one by one"))
    twice = [path for path, count in Counter(map(os.path.basename, paths)).items() if count > 1]
    if twice:
        remedy = "rename one of them: they share one folder on the host"
        problems.append(Problem(f"{name} has several files of one name", ", ".join(twice), remedy))
    return problems


def tls_problems(values: Values) -> list[Problem]:
    """With certificates of the user's own: whether they are there, last, and belong to their key."""
    if values.get("monitoring_tls") != "own":
        return []
    names = ("monitoring_tls_cert", "monitoring_tls_key", "monitoring_tls_ca")
    problems, texts = [], {}
    for name in names:
        path = values.get(name)
        if not path:
            if name != "monitoring_tls_ca":
                remedy = f"set {name} to a PEM file on the control node"
                problems.append(Problem(f"monitoring_tls is own, but {name} is not set", "", remedy))
            continue
        try:
            with open(os.path.expanduser(str(path)), "rb") as handle:
                texts[name] = handle.read()
        except OSError as error:
            problems.append(Problem(f"{name} cannot be read", str(error), f"correct {name}, or put the file there"))
    return problems + _certificate_problems(texts)


def _certificate_problems(texts: t.Mapping[str, bytes]) -> list[Problem]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    def load_key(text: bytes) -> t.Any:
        return load_pem_private_key(text, password=None)

    problems, loaded = [], {}
    for name, text in texts.items():
        load = load_key if name == "monitoring_tls_key" else x509.load_pem_x509_certificate
        try:
            loaded[name] = load(text)
        except (ValueError, TypeError) as error:
            kind = "a private key without a passphrase" if load is load_key else "a certificate"
            problems.append(Problem(f"{name} is not {kind} in PEM", str(error), f"correct {name}"))
            continue
        end = getattr(loaded[name], "not_valid_after_utc", None)
        if end and end < datetime.datetime.now(datetime.UTC):
            problems.append(Problem(f"{name} has ended", f"valid until {end:%Y-%m-%d}", "renew the certificate"))
    certificate, key = loaded.get("monitoring_tls_cert"), loaded.get("monitoring_tls_key")
    if certificate and key and certificate.public_key() != key.public_key():
        remedy = "name the key with which this certificate was made"
        problems.append(Problem("monitoring_tls_cert and monitoring_tls_key do not belong together", "", remedy))
    return problems


def secrets_problems(folder: str) -> list[Problem]:
    """Whether passwords can be kept."""
    remedy = "make it writable for the account that runs Ansible, or set monitoring_secrets_dir to another folder"
    nearest = os.path.abspath(os.path.expanduser(folder))
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    if not os.path.isdir(nearest):
        return [Problem("monitoring_secrets_dir is no folder", nearest, remedy)]
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return [Problem("monitoring_secrets_dir cannot be written", nearest, remedy)]
    return []
