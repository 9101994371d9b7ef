# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What is wrong with the values of a host's variables, as far as the control node can tell."""

from __future__ import annotations

import datetime
import functools
import os
import re
import typing as t
from collections import Counter
from collections.abc import Mapping

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.utils.path import unfrackpath

from . import role_facts
from .addresses import Listener, collide, split_address
from .databases import checked_databases
from .logs import checked_log, checked_logs, syslog_listeners
from .preflight_report import Problem, from_error, refused
from .probes import checked_target, listed_probes
from .release import of_version
from .scrape import address_of, checked_service, component_targets, service_jobs
from .services import SERVICES, service_entries, service_variables

Values = t.Mapping[str, t.Any]
Spec = t.Mapping[str, t.Mapping[str, t.Any]]

VERSION = re.compile(r"\d+(\.\d+)+([-+~]\w[\w.+~-]*)?")
# They are opened for other members of the group.
OF_MEMBERS = ("alertmanager_cluster_listen_address", "loki_memberlist_listen_address")


# --- types, choices, unknown keys ---


def spec_problems(role: str, options: Spec, values: Values) -> list[Problem]:
    """Every way in which the set variables of a role differ from its argument specs.

    A routine's may be given as a text on the command line, in the place of a list, which it takes.
    """
    if role in role_facts.routines():
        options = {name: _or_a_text(option, values.get(name)) for name, option in options.items()}
    remedy = f"correct it in the inventory; what is allowed: ansible-doc -t role opswatch.monitoring.{role}"
    return [Problem(message, "", remedy) for message in _messages(_without_entries(options), values)]


def _or_a_text(option: t.Mapping[str, t.Any], value: t.Any) -> t.Mapping[str, t.Any]:
    return {"type": "raw"} if option.get("type") == "list" and isinstance(value, str) else option


def wrong_names(options: Spec, values: Values) -> list[str]:
    """Variables that are not as their spec has it: nobody is to look into them any further."""
    plain = _without_entries(options)
    return [name for name, value in values.items() if _messages({name: plain[name]}, {name: value})]


def _without_entries(options: Spec) -> dict[str, t.Any]:
    return {name: {**option, "options": None} if _kind(name) else option for name, option in options.items()}


def _messages(options: Spec, values: Values) -> list[str]:
    strange = [f"{key!r} is no text, and so no name" for key in values if not isinstance(key, str)]
    values = {name: value for name, value in values.items() if isinstance(name, str)}
    shapes = {name: list(_shapes(name, options[name], value)) for name, value in values.items() if name in options}
    right = {name: value for name, value in values.items() if not shapes.get(name)}
    needed = {name: option for name, option in options.items() if name in right or not shapes.get(name)}
    result = ArgumentSpecValidator(needed).validate(right)
    said = [f"unknown: {error.msg}" if isinstance(error, UnsupportedError) else error.msg for error in result.errors]
    # Several of them quote the value that they refuse.
    said = [remove_values(message, result._no_log_values).strip().rstrip(".") for message in said]
    return strange + [message for found in shapes.values() for message in found] + said


def _shapes(name: str, option: t.Mapping[str, t.Any], value: t.Any) -> t.Iterator[str]:
    """What Ansible would convert for a module, but hands to a role as it is: a text for a list, nothing for a map."""
    kind = option.get("type", "str")
    if value is None:
        if kind in ("list", "dict") and option.get("default") is not None:
            yield f"{name} has to be a {kind}, and is empty"
    elif kind == "list" and not isinstance(value, (list, tuple)):
        yield f"{name} has to be a list, and is {_kind_of(value)}"
    elif kind == "dict" and not isinstance(value, Mapping):
        yield f"{name} has to be a dict, and is {_kind_of(value)}"
    elif kind in ("str", "path") and isinstance(value, (list, tuple, Mapping)):
        yield f"{name} has to be a text, and is {_kind_of(value)}"
    elif kind == "list":
        inner = {"type": option.get("elements", "raw"), "options": option.get("options")}
        for number, one in enumerate(value, 1):
            yield from _shapes(f"{name}, entry {number},", inner, one)
    elif kind == "dict":
        if option.get("options") and any(not isinstance(key, str) for key in value):
            yield f"{name} has a key that is no text"
        for key, inner in (option.get("options") or {}).items():
            if key in value:
                yield from _shapes(f"{name}.{key}", inner, value[key])


def _kind_of(value: t.Any) -> str:
    """In words, without the value: it may be a secret."""
    if isinstance(value, Mapping):
        return "a dict"
    if isinstance(value, (list, tuple)):
        return "a list"
    return (
        "a text"
        if isinstance(value, str)
        else f"a value of type {type(value).__name__.replace('_AnsibleTagged', '').lower()}"
    )


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


def _kind(name: str) -> Entries | None:
    """How a variable is checked, if it is such a list. A further list of services is one of services."""
    if name not in ENTRIES and service_variables([name]):
        return ENTRIES[SERVICES]._replace(each=functools.partial(checked_service, variable=name))
    return ENTRIES.get(name)


def checked_entries(host: str, options: Spec, values: Values) -> tuple[list[Problem], dict[str, t.Any]]:
    """Every entry that is wrong, and all that is wrong with it; and the values, with the entries that are right."""
    problems, right = [], dict(values)
    for name, value in values.items():
        kind = _kind(name) if name in options else None
        if kind:
            found, right[name] = _checked_list(name, kind, host, options[name]["options"], value)
            problems += found
    return problems, right


def said_of(host: str, problem: Problem) -> Problem:
    """A problem as another host reports it."""
    return problem if f" of {host}" in problem.what else problem._replace(what=f"{host}: {problem.what}")


def _checked_list(
    name: str, kind: Entries, host: str, options: Spec, stated: t.Any
) -> tuple[list[Problem], list[t.Any]]:
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
    jobs: dict[str, dict[str, dict[str, list[t.Any]]]] = {}
    for host, stated in settings.items():
        for variable, entry in _services(host, stated):
            lists = jobs.setdefault(entry["name"], {}).setdefault(host, {})
            lists.setdefault(variable, []).append(entry)
    problems = []
    for by_host in jobs.values():
        # The lists of this job, and what else a target takes from its host.
        hostvars = {
            host: {"monitoring_address": address_of(host, settings[host]), **lists} for host, lists in by_host.items()
        }
        try:
            service_jobs(list(by_host), hostvars)
        except AnsibleError as error:
            problems.append(from_error(error))
    return problems


def _services(host: str, settings: Values) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """The entries that are right, with their defaults, and the variable that holds each."""
    lists = {name: settings[name] for name in service_variables(settings) if isinstance(settings[name], list)}
    for variable, entry in service_entries(host, lists):
        try:
            yield variable, checked_service(entry, host, variable)
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


def listeners(component: str, values: Values, alone: bool) -> tuple[list[Listener], list[Problem]]:
    """What a component listens on, by each of its variables that ends in listen_address. C(alone) in its group."""
    found, problems = [], []
    for name, value in values.items():
        if not (name.startswith(f"{component}_") and name.endswith("listen_address") and value):
            continue
        try:
            address, port = split_address(str(value))
        except AnsibleError as error:
            problems.append(from_error(f"{name}: {error}"))
            continue
        if not (alone and name in OF_MEMBERS):
            found.append(Listener(name, address, port))
    return found, problems


def service_listeners(host: str, values: Values) -> list[Listener]:
    """Ports of the services that run on the host itself, and not behind an address of their own."""
    found: dict[int, Listener] = {}
    own = address_of(host, values)
    for variable, service in _services(host, values):
        if (service.get("address") or own) == own:
            # One program may be several jobs, with a path each.
            found.setdefault(service["port"], Listener(f"{variable} ({service['name']})", "", service["port"]))
    return list(found.values())


def log_listeners(host: str, values: Values) -> list[Listener]:
    """Where the log agent waits for those that send syslog. Entries that are wrong are reported already."""
    stated = values.get("monitoring_logs")
    listening = syslog_listeners([checked_log(entry, host) for entry in stated] if isinstance(stated, list) else [])
    return [one._replace(owner=f"listen_address of {one.owner} (monitoring_logs)") for one in listening]


def port_problems(wanted: t.Sequence[Listener]) -> list[Problem]:
    """Each pair that cannot listen side by side."""
    return [
        Problem(
            f"port {one.port} is wanted twice on this host",
            f"{shown(one)} and {shown(other)}",
            "give one of them another port",
        )
        for number, one in enumerate(wanted)
        for other in wanted[number + 1 :]
        if collide(one, other)
    ]


def shown(listener: Listener) -> str:
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
    nearest = unfrackpath(folder, follow=False)
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    if not os.path.isdir(nearest):
        return [Problem("monitoring_secrets_dir is no folder", nearest, remedy)]
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return [Problem("monitoring_secrets_dir cannot be written", nearest, remedy)]
    return []
