# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Alertmanager's configuration from receivers as people state them: pure functions.

A receiver is native Alertmanager YAML with one more key, C(severities): the tree of routes follows from it.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from ansible.errors import AnsibleError
from ansible.utils.vars import merge_hash

from .render import plain

Map = t.Mapping[str, t.Any]

SEVERITIES = ("critical", "warning", "info", "none")
DEFAULT_SEVERITIES = ("critical", "warning")
NOBODY = "nobody"  # a receiver without integrations

# What each severity's branch of the tree matches, and how often it speaks. An alert without a severity, or with one
# that is not of ours, is a warning: it must not get lost.
BRANCHES: dict[str, dict[str, t.Any]] = {
    "critical": {"matchers": ['severity="critical"'], "repeat_interval": "1h"},
    "info": {"matchers": ['severity="info"'], "repeat_interval": "24h"},
    # The Watchdog: whoever gets it expects it all the time.
    "none": {"matchers": ['severity="none"'], "group_interval": "1m", "repeat_interval": "5m"},
    "warning": {},
}
ROUTE: dict[str, t.Any] = {
    "receiver": NOBODY,
    "group_by": ["alertname", "job", "service"],
    "group_wait": "30s",
    "group_interval": "5m",
    "repeat_interval": "4h",
}
INHIBIT_RULES: list[dict[str, t.Any]] = [
    {  # the same alert with two thresholds
        "source_matchers": ['severity="critical"'],
        "target_matchers": ['severity="warning"'],
        "equal": ["alertname", "job", "instance", "service"],
    },
    {  # A host that is gone is told once. Nothing else is silenced: it may have another cause.
        "source_matchers": ['alertname="HostDown"'],
        "target_matchers": ['alertname=~"ServiceDown|ProbeFailed"'],
        "equal": ["instance"],
    },
    {  # Of that instance alone: what a service tells as a whole may be about the instances that are still there.
        "source_matchers": ['alertname="ServiceDown"'],
        "target_matchers": ['severity="warning"'],
        "equal": ["job", "instance"],
    },
    {
        "source_matchers": ['alertname="DatabaseDown"'],
        "target_matchers": ['severity="warning"', 'job="postgres_exporter"'],
        "equal": ["instance"],
    },
]

TITLE, TEXT = '{{ template "opswatch.title" . }}', '{{ template "opswatch.text" . }}'
# How each integration speaks where its receiver does not say it.
SPEECH: dict[str, dict[str, t.Any]] = {
    "email_configs": {"send_resolved": True, "headers": {"Subject": TITLE}, "text": TEXT, "html": ""},
    "slack_configs": {"send_resolved": True, "title": TITLE, "text": TEXT},
    "telegram_configs": {"send_resolved": True, "message": TITLE + "\n" + TEXT, "parse_mode": ""},
    "pagerduty_configs": {"send_resolved": True, "description": TITLE},
}

# Secrets that Alertmanager also reads from a file, each under the key of this name with _file behind it. Measured with
# amtool 0.25, 0.28 and 0.33; what an older one does not take, it refuses before anything is changed.
GLOBAL_SECRETS = (
    "smtp_auth_password",
    "slack_api_url",
    "opsgenie_api_key",
    "victorops_api_key",
    "rocketchat_token",
    "telegram_bot_token",
    "wechat_api_secret",
    "mattermost_webhook_url",
)
RECEIVER_SECRETS = {
    "email_configs": ("auth_password",),
    "slack_configs": ("api_url", "app_token"),
    "pagerduty_configs": ("routing_key", "service_key"),
    "telegram_configs": ("bot_token",),
    "webhook_configs": ("url",),
    "opsgenie_configs": ("api_key",),
    "victorops_configs": ("api_key",),
    "pushover_configs": ("user_key", "token"),
    "discord_configs": ("webhook_url",),
    "msteams_configs": ("webhook_url",),
    "msteamsv2_configs": ("webhook_url",),
    "mattermost_configs": ("webhook_url",),
    "wechat_configs": ("api_secret",),
    "rocketchat_configs": ("token", "token_id"),
    "incidentio_configs": ("alert_source_token",),
}
HTTP_SECRETS = {"basic_auth": "password", "authorization": "credentials", "oauth2": "client_secret"}
# The address of a webhook may well hold a token. Before this version it can only stand in the configuration.
URL_FILES_SINCE = (0, 26)


class Built(t.NamedTuple):
    """A configuration without secrets, and the secrets by the name of their file."""

    config: dict[str, t.Any]
    secrets: dict[str, str]


def build(receivers: t.Sequence[Map], route: Map, over: Map, version: str, folder: str) -> Built:
    """The whole of C(alertmanager.yml): C(over) is native configuration, merged over ours; C(folder) holds secrets."""
    stated = [checked(receiver) for receiver in receivers]
    refuse_twins(stated)
    config: dict[str, t.Any] = {
        "route": merge_hash(tree(stated), dict(route), list_merge="replace"),
        "receivers": [{"name": NOBODY}, *(native(receiver) for receiver in stated)],
        "inhibit_rules": INHIBIT_RULES,
        "templates": ["templates/*"],
    }
    config = merge_hash(config, dict(over), list_merge="replace")
    refuse_unknown(config)
    return without_secrets(config, version, folder)


def checked(receiver: t.Any) -> dict[str, t.Any]:
    """A receiver with its severities. Raises AnsibleError where it cannot be one."""
    if not isinstance(receiver, dict) or not isinstance(receiver.get("name"), str):
        raise AnsibleError(f"alertmanager_receivers: {shown(receiver)} is not a map with a name.")
    name = receiver["name"]
    if name == NOBODY:
        raise AnsibleError(f"alertmanager_receivers: the name {NOBODY} is taken. Give that receiver another one.")
    kinds = [key for key in receiver if key not in ("name", "severities")]
    odd = [key for key in kinds if not key.endswith("_configs") or not isinstance(receiver[key], list)]
    if odd or not kinds:
        raise AnsibleError(
            f"alertmanager_receivers: {name} has {', '.join(odd) or 'no integration'}. "
            "What to do: state lists such as email_configs or slack_configs, as Alertmanager's documentation has them."
        )
    if not all(isinstance(one, dict) for kind in kinds for one in receiver[kind]):
        raise AnsibleError(f"alertmanager_receivers: {name} has an entry in {', '.join(kinds)} that is not a map.")
    _check_addresses(name, {kind: receiver[kind] for kind in kinds})
    severities = receiver.get("severities", list(DEFAULT_SEVERITIES))
    if not isinstance(severities, list) or not all(severity in SEVERITIES for severity in severities):
        raise AnsibleError(
            f"alertmanager_receivers: {name} asks for the severities {severities!r}. Use a list of "
            + ", ".join(SEVERITIES)
            + "."
        )
    return {**receiver, "severities": severities}


# Addresses that Alertmanager calls; it would take a text without a scheme, and then reach nobody.
ADDRESSES = ("url", "api_url", "webhook_url")


def _check_addresses(name: str, entries: t.Mapping[str, t.Sequence[Map]]) -> None:
    """Not the address itself in the message: that of a webhook is a secret."""
    for kind, several in entries.items():
        for entry in several:
            for key in ADDRESSES:
                if isinstance(entry.get(key), str) and not entry[key].startswith(("http://", "https://")):
                    raise AnsibleError(
                        f"alertmanager_receivers: {key} in {kind} of {name} is no address of HTTP. "
                        "What to do: begin it with https:// or http://."
                    )


def shown(receiver: t.Any) -> str:
    """What may be said of a wrong receiver: its keys, as values may be secrets."""
    return f"a map of {', '.join(map(str, receiver)) or 'nothing'}" if isinstance(receiver, dict) else "an entry"


def refuse_twins(receivers: t.Sequence[Map]) -> None:
    names = [receiver["name"] for receiver in receivers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AnsibleError(f"alertmanager_receivers: {', '.join(twice)} is there twice. Give each a name of its own.")


def refuse_unknown(config: Map) -> None:
    """amtool would refuse it too, but on the host, and when others are changed already."""
    receivers, route = config["receivers"], config["route"]
    if not (isinstance(receivers, list) and all(isinstance(one, dict) for one in receivers)):
        raise AnsibleError(
            "alertmanager_config: receivers is not a list of maps. What to do: leave it out, and use "
            "alertmanager_receivers."
        )
    if not isinstance(route, dict):
        raise AnsibleError(
            "alertmanager_config: route is not a map. What to do: leave it out, and use alertmanager_route."
        )
    known = [str(receiver.get("name")) for receiver in receivers]
    unknown = sorted(set(routed(route)) - set(known))
    if unknown:
        quoted = ", ".join(f'"{name}"' for name in unknown)
        raise AnsibleError(
            f"alertmanager_route: undefined receiver {quoted}. What to do: name one that there is, {', '.join(known)}, "
            "or add it to alertmanager_receivers."
        )


def routed(route: Map) -> t.Iterator[str]:
    """The receivers that a route and those below it name."""
    if route.get("receiver"):
        yield str(route["receiver"])
    below = route.get("routes")
    for child in below if isinstance(below, list) else []:
        if isinstance(child, dict):
            yield from routed(child)


def native(receiver: Map) -> dict[str, t.Any]:
    """A receiver as Alertmanager has it, with our way of speaking where it has none."""
    made = {key: value for key, value in receiver.items() if key != "severities"}
    for kind, speech in SPEECH.items():
        if kind in made:
            made[kind] = [merge_hash(speech, dict(one)) for one in made[kind]]
    return made


def tree(receivers: t.Sequence[Map]) -> dict[str, t.Any]:
    """One branch for each severity; in it, one route for each receiver that asks for it."""
    routes = []
    for severity, settings in BRANCHES.items():
        names = [receiver["name"] for receiver in receivers if severity in receiver["severities"]]
        branch: dict[str, t.Any] = {**settings, "receiver": names[0] if len(names) == 1 else NOBODY}
        if len(names) > 1:
            branch["routes"] = [{"receiver": name, "continue": True} for name in names]
        routes.append(branch)
    return {**ROUTE, "routes": routes}


def without_secrets(config: dict[str, t.Any], version: str, folder: str) -> Built:
    """Every known secret moved into a file of its own, which the configuration names."""
    secrets: dict[str, str] = {}

    def lifted(settings: t.Any, keys: t.Iterable[str], name: str) -> t.Any:
        """A copy of a map in which each of the keys is the name of a file."""
        if not isinstance(settings, dict):
            return settings
        made = dict(settings)
        for key in keys:
            if made.get(key) not in (None, ""):
                file = file_name(f"{name}_{key}")
                secrets[file] = str(made.pop(key))
                made[f"{key}_file"] = f"{folder}/{file}"
        if isinstance(made.get("http_config"), dict):
            http = dict(made["http_config"])
            for part, key in HTTP_SECRETS.items():
                http[part] = lifted(http.get(part), [key], f"{name}_{part}")
            made["http_config"] = {part: value for part, value in http.items() if value is not None}
        return made

    made = dict(config)
    if "global" in made:
        made["global"] = lifted(made["global"], GLOBAL_SECRETS, "global")
    receivers = []
    for receiver in made.get("receivers") or []:
        copy = dict(receiver)
        for kind, settings in copy.items():
            if isinstance(settings, list):
                keys = RECEIVER_SECRETS.get(kind, ())
                if kind == "webhook_configs" and release(version) < URL_FILES_SINCE:
                    keys = ()
                name = f"{receiver.get('name')}_{kind.removesuffix('_configs')}"
                digests = told_apart(settings, keys)
                copy[kind] = [lifted(one, keys, f"{name}_{own}") for one, own in zip(settings, digests, strict=True)]
        receivers.append(copy)
    made["receivers"] = receivers
    return Built(made, secrets)


def told_apart(integrations: t.Sequence[t.Any], keys: t.Collection[str]) -> list[str]:
    """A digest for each: of what it says beside its secrets, and of all of it where another one says the same.

    So whoever goes back finds each secret where it was, though others came before it; and a new secret is no new name.
    """
    open_parts = [digest(without_values(one, keys)) for one in integrations]
    return [
        own if open_parts.count(own) == 1 else digest(one) for own, one in zip(open_parts, integrations, strict=True)
    ]


def without_values(settings: t.Any, keys: t.Collection[str]) -> t.Any:
    """What an integration says, secrets left out."""
    if not isinstance(settings, dict):
        return settings
    made = {key: value for key, value in settings.items() if key not in keys}
    if isinstance(made.get("http_config"), dict):
        made["http_config"] = {
            part: without_values(value, [HTTP_SECRETS[part]]) if part in HTTP_SECRETS else value
            for part, value in made["http_config"].items()
        }
    return made


def digest(value: t.Any) -> str:
    text = json.dumps(plain(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def file_name(name: str) -> str:
    """A name that any file may have. One that had to be changed keeps apart from others by a digest of itself."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return safe if safe == name else f"{safe}_{digest(name)}"


def release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
