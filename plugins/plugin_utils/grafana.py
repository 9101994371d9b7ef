# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Grafana's grafana.ini and its provisioned datasources, with every secret in a file of its own: pure functions."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from .addresses import is_loopback, split_address
from .render import is_secret
from .role_facts import default
from .scrape import HostVars, component_targets

Map = t.Mapping[str, t.Any]

INI_HEADER = "; Managed by Ansible (opswatch.monitoring). Changes made here are replaced by the next run.\n"
LONGEST_UID = 40
PASSWORD_FILE = "datasource_password"
# In provisioning files Grafana replaces variables of its environment, also in what it read from a file. A dollar sign
# of a secret is one of them, which the unit sets.
DOLLAR = "${OPSWATCH_DOLLAR}"
TITLES = {"prometheus": "Prometheus", "alertmanager": "Alertmanager", "loki": "Loki"}


def build_files(settings: Map, sources: Map, folder: str) -> list[dict[str, t.Any]]:
    """The files of a component: grafana.ini, the provisioned datasources (JSON is YAML), and the secrets of both.

    C(sources): as build_datasources gives them.
    """
    ini = build_ini(settings, folder)
    provisioned = json.dumps(sources["file"], indent=4, default=lambda moment: moment.isoformat()) + "\n"
    return [
        {"path": "grafana.ini", "content": ini["text"]},
        {"path": "provisioning/datasources/opswatch.yml", "content": provisioned},
        {"path": "", "place": "secret", "contents": {**ini["secrets"], **sources["secrets"]}},
    ]


# --- grafana.ini ---


def build_ini(settings: Map, folder: str) -> dict[str, t.Any]:
    """C(text) of grafana.ini, and C(secrets): what of it goes into files of C(folder), by their names.

    A value that is no map stands before all sections. Null takes a setting out.
    """
    top = {key: value for key, value in settings.items() if not isinstance(value, t.Mapping)}
    sections = {"": top, **{key: value for key, value in settings.items() if isinstance(value, t.Mapping)}}
    lines, secrets = [], dict[str, str]()
    for section, keys in sections.items():
        shown = {}
        for key, value in keys.items():
            shown[key] = value
            if isinstance(value, str) and value and not value.startswith("$__") and is_secret(key, value):
                name = _file_name("config", section, key)
                secrets[name] = str(value)
                shown[key] = _from_file(folder, name)
        body = [f"{_word(key)} = {_ini_value(key, value)}\n" for key, value in shown.items() if value is not None]
        if body:
            lines += [f"\n[{_word(section)}]\n" if section else "\n", *body]
    return {"text": INI_HEADER + "".join(lines), "secrets": secrets}


def _word(name: t.Any) -> str:
    """The name of a section or of a key."""
    if not re.fullmatch(r"[^\s=\[\];#\"'`](?:[^\n=\[\];#\"'`]*[^\s=\[\];#\"'`])?", str(name)):
        raise AnsibleError(f"grafana_config: {name!r} cannot be the name of a section or of a setting of grafana.ini.")
    return str(name)


def _ini_value(key: str, value: t.Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        raise AnsibleError(
            f"grafana_config: {key} is a {type(value).__name__}. Write settings as {{section: {{key: value}}}}."
        )
    text = str(value)
    plain = text == text.strip() and not re.search(r"[#;`\n\r]|\\$", text) and text[:1] not in ("'", '"')
    if plain:
        return text
    if '"""' in text or text.endswith('"'):
        raise AnsibleError(f'grafana_config: the value of {key} holds quotes (""") that grafana.ini cannot hold.')
    return f'"""{text}"""'


# --- datasources ---


def build_datasources(
    groups: t.Mapping[str, t.Sequence[str]],
    hostvars: HostVars,
    user: str,
    ca: bool,
    own: t.Sequence[Map],
    folder: str,
    host: str = "",
) -> dict[str, t.Any]:
    """C(file) for the provisioning, C(secrets) that it names, and C(names) of all that are wanted.

    C(ca): the host has an authority to trust; C(own): the users' datasources, in Grafana's own form; C(host): that on
    which Grafana runs.
    """
    secrets: dict[str, str] = {}
    theirs = [_checked(stated, folder, secrets) for stated in own]
    ours = from_groups(groups, hostvars, user, ca, folder, host)
    if any(one.get("isDefault") for one in theirs):
        ours = [{**one, "isDefault": False} for one in ours]  # an organisation has one
    everything = ours + theirs
    for key in ("name", "uid"):
        _refuse_twins(everything, key)
    return {
        # Grafana 9.3 does not know prune; what has to go there is removed by the module grafana_admin.
        "file": {"apiVersion": 1, "prune": True, "datasources": everything},
        "secrets": secrets,
        "names": [one["name"] for one in everything if one.get("orgId", 1) == 1],
    }


def grafana_url(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> str:
    """Where people open the first Grafana of the inventory; empty if there is none that anybody else reaches."""
    for target in component_targets("grafana", groups.get("grafana", []), hostvars):
        settings = hostvars[target["labels"]["instance"]]
        if stated := str(settings.get("grafana_root_url") or ""):
            return stated.rstrip("/")
        listens = settings.get("grafana_listen_address") or default("grafana", "listen_address")
        if not is_loopback(split_address(str(listens))[0]):
            return f"{target['labels'].get('__scheme__', 'http')}://{target['targets'][0]}"
    return ""


def from_groups(
    groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars, user: str, ca: bool, folder: str, here: str = ""
) -> list[dict[str, t.Any]]:
    """The servers of the inventory that can be asked: the first of each kind has the UID of the kind."""
    return [
        _datasource(kind, host if number else "", hostvars[host], target, user, ca, folder)
        for kind, number, host, target in _servers(groups, hostvars, here)
    ]


def servers(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars, here: str = "") -> dict[str, str]:
    """What is behind each of these datasources, as 'loki of mon1', by their UIDs."""
    found = _servers(groups, hostvars, here)
    return {_uid(kind, host if number else ""): f"{kind} of {host}" for kind, number, host, _target in found}


def _servers(
    groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars, here: str
) -> t.Iterator[tuple[str, int, str, Map]]:
    """Kind, number among its kind, host and target."""
    for kind in TITLES:
        number = 0
        for host in groups.get(kind, []):
            settings = hostvars[host]
            if kind == "prometheus" and boolean(settings.get("prometheus_agent", False)):
                continue  # an agent has nothing to ask
            # A Loki that serves the loopback alone is asked there.
            for target in component_targets(kind, [host], {host: settings}, servers=[here]):
                yield kind, number, host, target
                number += 1


def _uid(kind: str, host: str) -> str:
    return uid_of(f"{kind}-{host}" if host else kind)


def _datasource(kind: str, host: str, settings: Map, target: Map, user: str, ca: bool, folder: str) -> dict[str, t.Any]:
    scheme = target["labels"].get("__scheme__", "http")
    prefix = target["labels"].get("__metrics_path__", "/metrics").removesuffix("/metrics")
    data: dict[str, t.Any] = {}
    secure: dict[str, str] = {}
    made: dict[str, t.Any] = {
        "name": f"{TITLES[kind]} {host}".strip(),
        "uid": _uid(kind, host),
        "type": kind,
        "access": "proxy",
        "orgId": 1,
        "url": f"{scheme}://{target['targets'][0]}{prefix}",
        "isDefault": kind == "prometheus" and not host,
        "editable": False,
    }
    if kind == "prometheus":
        interval = settings.get("prometheus_job_scrape_interval", default("prometheus", "job_scrape_interval"))
        data = {"httpMethod": "POST", "timeInterval": str(interval), "prometheusType": "Prometheus"}
    elif kind == "alertmanager":
        data = {"implementation": "prometheus", "handleGrafanaManagedAlerts": False}
    if kind != "loki":
        made |= {"basicAuth": True, "basicAuthUser": user}
        secure["basicAuthPassword"] = _from_file(folder, PASSWORD_FILE)
    if scheme == "https" and ca:
        data["tlsAuthWithCACert"] = True
        secure["tlsCACert"] = _from_file(folder, "ca.crt")
    if scheme == "https" and kind == "loki":
        # It knows no passwords, and asks for a certificate.
        data["tlsAuth"] = True
        secure |= {"tlsClientCert": _from_file(folder, "tls.crt"), "tlsClientKey": _from_file(folder, "tls.key")}
    return {**made, "jsonData": data, **({"secureJsonData": secure} if secure else {})}


def uid_of(text: str) -> str:
    """A UID that Grafana takes: letters, digits, - and _, and not more than 40."""
    uid = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    if len(uid) > LONGEST_UID or not uid:
        uid = f"{uid[: LONGEST_UID - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".strip("-")
    return uid


def escaped(secret: str) -> str:
    """A secret as its file has to hold it, for a provisioning file that names it."""
    return secret.replace("$", DOLLAR)


def _checked(stated: t.Any, folder: str, secrets: dict[str, str]) -> dict[str, t.Any]:
    """A datasource of the user's: named, with a UID that stays, its secrets noted in C(secrets)."""
    if not isinstance(stated, t.Mapping) or not stated.get("name") or not stated.get("type"):
        raise AnsibleError(
            "grafana_datasources: an entry is no map with name and type. What to do: write it as Grafana's own "
            "documentation of provisioning has it."
        )
    made = {"access": "proxy", "orgId": 1, "editable": False, **stated}
    made["uid"] = str(stated.get("uid") or uid_of(str(stated["name"]).lower()))
    if made["uid"] != uid_of(made["uid"]):
        raise AnsibleError(
            f"grafana_datasources: {made['name']} has the UID {made['uid']!r}. Use at most {LONGEST_UID} letters, "
            "digits, - and _."
        )
    for place in (made, *([secure] if (secure := dict(made.get("secureJsonData") or {})) else [])):
        for key, value in place.items():
            hidden = place is not made or key in ("password", "basicAuthPassword")
            if hidden and isinstance(value, str) and value and not value.startswith("$__"):
                name = _file_name("datasource", made["uid"], key)
                secrets[name] = escaped(str(value))
                place[key] = _from_file(folder, name)
        if place is not made:
            made["secureJsonData"] = place
    return made


def _refuse_twins(datasources: t.Iterable[Map], key: str) -> None:
    seen: dict[tuple[t.Any, str], str] = {}
    for one in datasources:
        mark = (one.get("orgId", 1), str(one[key]))
        if mark in seen:
            raise AnsibleError(
                f"grafana_datasources: {one['name']} and {seen[mark]} have the same {key}, {one[key]!r}. "
                "What to do: give yours another one. The servers of the inventory are datasources already."
            )
        seen[mark] = str(one["name"])


def _file_name(*parts: str) -> str:
    return ".".join(re.sub(r"[^A-Za-z0-9_-]+", "_", part) for part in parts if part)


def _from_file(folder: str, name: str) -> str:
    return f"$__file{{{folder}/{name}}}"
