# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Loki: the periods of its store, its rules, and who has to reach it. Pure functions."""

from __future__ import annotations

import base64
import datetime
import difflib
import json
import os
import re
import typing as t

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.vars import merge_hash

from .addresses import is_loopback, split_address
from .logs import AGENTS, chosen_member, present
from .loki_gone import gone_keys
from .preflight_report import Problem
from .render import plain
from .scrape import HostVars, alert_targets, component_job, has_authority, mutual_address

Map = t.Mapping[str, t.Any]
Period = dict[str, t.Any]

# What makes two periods of a store the same, beside the day that they begin.
FORM = ("store", "object_store", "schema", "index")
LEAD = datetime.timedelta(days=2)  # a period begins at midnight UTC, and every member has to know of it by then
ASKERS = ("prometheus", "grafana")
OVERRIDES = "/etc/loki/overrides.yml"
THRESHOLD = re.compile(r"> *(\d+(?:\.\d+)?)")


# --- the periods of the store ---


def plan_periods(
    existing: t.Sequence[Map], wanted: t.Sequence[Map], stated: bool, today: datetime.date
) -> list[Period]:
    """What C(schema_config.configs) has to be.

    A period that has begun never changes: what was written in it is read by what it says. So a new form of the store
    begins in the future. C(stated): the user wrote C(wanted) as a whole, so that it is only checked.
    """
    there = [_with_day(period) for period in existing]
    wished = [_with_day(period) for period in wanted]
    begun = [period for period in there if _day(period) <= today]
    if stated:
        lost = [period for period in begun if period not in wished]
        if lost:
            raise AnsibleError(
                f"loki_config changes the store's periods that began on {', '.join(one['from'] for one in lost)}: what "
                "was written in them could not be read any more. What to do: state them as they are in the "
                "configuration on the host (/etc/loki/config.yml), and a new one that begins in the future below them."
            )
        return wished
    if not begun:
        return there if there and same_form(there[-1], wished[-1]) else wished
    if same_form(there[-1], wished[-1]):
        return there
    if same_form(begun[-1], wished[-1]):
        return begun
    return [*begun, {**wished[-1], "from": (today + LEAD).isoformat()}]


def shared_periods(
    own: t.Sequence[Map], others: t.Mapping[str, t.Sequence[Map]], wanted: Map, today: datetime.date
) -> list[Period]:
    """The periods from which a member of a cluster plans its own: all have to get the same ones, on the same day.

    Of those that have begun there is one list only. A host without any takes the others'. Of what begins later it takes
    what another member planned already, so that the day of the first one that was changed holds for all.
    """
    lists = {host: [_with_day(period) for period in periods] for host, periods in others.items() if periods}
    mine = [_with_day(period) for period in own]
    known = [*([mine] if mine else []), *lists.values()]
    if not known:
        return []
    begun = [[period for period in periods if _day(period) <= today] for periods in known]
    if any(periods != begun[0] for periods in begun):
        seen = {"this host": mine, **lists}
        listed = "; ".join(f"{host}: {', '.join(map(_shown, periods)) or 'none'}" for host, periods in seen.items())
        raise AnsibleError(
            f"The members of Loki's cluster do not read the same periods: {listed}. What to do: state "
            "schema_config.configs in loki_config of the group loki, as a whole. What a member wrote in a period that "
            "has another form there, or none, cannot be read any more."
        )
    return next((periods for periods in known if same_form(periods[-1], wanted)), known[0])


def _shown(period: Map) -> str:
    return f"{period.get('store')} {period.get('schema')} on {period.get('object_store')} from {period['from']}"


def same_form(one: Map, other: Map) -> bool:
    return all(one.get(key) == other.get(key) for key in FORM)


def active_period(periods: t.Sequence[Map], today: datetime.date) -> Map:
    """The one in which lines are written now."""
    return next((one for one in reversed(periods) if _day(one) <= today), periods[0])


def keeps_metadata(period: Map) -> bool:
    """Whether structured metadata can be stored in a period."""
    return period.get("store") == "tsdb" and int(re.sub(r"\D", "", str(period.get("schema"))) or 0) >= 13


def _with_day(period: Map) -> Period:
    """YAML takes a day that is not quoted for a date."""
    return {**period, "from": str(period.get("from", ""))[:10]}


def _day(period: Map) -> datetime.date:
    try:
        return datetime.date.fromisoformat(str(period["from"])[:10])
    except ValueError as error:
        raise AnsibleError(
            f"A period of Loki's store begins on {period['from']!r}. What to do: write a day, such as 2026-01-31."
        ) from error


# --- the configuration ---


def build_config(
    base: Map,
    over: Map,
    version: str,
    existing: Map | None = None,
    today: datetime.date | None = None,
    others: t.Sequence[Map] = (),
    left: bool = False,
) -> dict[str, t.Any]:
    """Ours with the user's over it, and the periods of a store that is there.

    C(existing) is what the host answered when it was asked for the configuration in force, C(others) what the other
    members of the cluster did; C(left) says that there are lines without a configuration.
    """
    gone = gone_keys(over, version)
    if gone:
        listed = "; ".join(f"{one.path}: {one.successor}" for one in gone)
        raise AnsibleError(f"loki_config has keys that Loki {version} refuses. What to do: use instead: {listed}")
    today = today or datetime.datetime.now(datetime.UTC).date()
    config = merge_hash(plain(base), plain(over), list_merge="replace")
    schema = config["schema_config"]
    stated = "configs" in (over.get("schema_config") or {})
    there = _periods_of(existing, "the host") if existing else []
    if stated:
        schema["configs"] = plan_periods(there, schema["configs"], True, today)
    else:
        schema["configs"] = _planned_with_others(there, others, left, schema["configs"], today)
    _refuse_lost_bucket(schema["configs"], config)
    if "allow_structured_metadata" not in (over.get("limits_config") or {}) and not keeps_metadata(
        active_period(schema["configs"], today)
    ):
        # It would not start otherwise. But then it refuses lines that have some: the role's file allows them again, and
        # they are stored without, until a period begins that can.
        config["limits_config"]["allow_structured_metadata"] = False
        runtime = _map(config.get("runtime_config"))
        files = [one for one in (OVERRIDES, runtime.get("file")) if one]
        config["runtime_config"] = {**runtime, "file": ",".join(files)}
    return t.cast("dict[str, t.Any]", _stated(config))


def config_files(base: Map, *arguments: t.Any, **options: t.Any) -> list[dict[str, t.Any]]:
    """The files of C(build_config)'s configuration, for M(opswatch.monitoring.component)."""
    config = build_config(base, *arguments, **options)
    files: list[dict[str, t.Any]] = [{"path": "config.yml", "content": config}]
    if OVERRIDES in str(_map(config.get("runtime_config")).get("file")).split(","):
        allowed = {"overrides": {"fake": {"allow_structured_metadata": True}}}
        # It is read every ten seconds.
        files.append({"path": os.path.basename(OVERRIDES), "content": allowed, "on_change": "nothing"})
    return files


def _planned_with_others(
    there: t.Sequence[Map], others: t.Sequence[Map], left: bool, wanted: t.Sequence[Map], today: datetime.date
) -> list[Period]:
    """Nothing is guessed: neither what a member has that did not answer, nor how lines were written that are left."""
    asked = {str(one["item"]): one for one in others}
    away = [host for host, one in asked.items() if one.get("unreachable")]
    known = {host: _periods_of(one, host) for host, one in asked.items()}
    shared = shared_periods(there, known, wanted[-1], today)
    if left and not shared:
        raise AnsibleError(
            "There are lines of Loki in /var/lib/loki/chunks, but no configuration that says how to read them. What to "
            "do: put the one that they were written with back to /etc/loki/config.yml; or state its "
            f"schema_config.configs in loki_config (a new store has {json.dumps(plain(list(wanted)))}); or move the "
            "folder away, if nobody wants to read them."
        )
    planned = plan_periods(shared, wanted, False, today)
    if away and planned != [_with_day(period) for period in there]:
        raise AnsibleError(
            f"The periods of Loki's store change, and all members of the cluster have to get the same ones, but "
            f"{', '.join(away)} could not be asked. What to do: run again when all answer, or state "
            "schema_config.configs in loki_config of the group loki."
        )
    return planned


def _refuse_lost_bucket(periods: t.Sequence[Map], config: Map) -> None:
    """Loki does not start with a period in a bucket of which it is not told."""
    told = _map(_map(config.get("common")).get("storage")).get("s3") or _map(config.get("storage_config")).get("aws")
    lost = [str(period["from"]) for period in periods if period.get("object_store") in ("s3", "aws") and not told]
    if lost:
        raise AnsibleError(
            f"The lines since {lost[0]} are in S3, and nothing says where that is. What to do: put loki_s3 back; to go "
            "back to the disk, with retired: true in it, for as long as loki_retention keeps what is in the bucket."
        )


def _periods_of(answer: Map, host: str) -> list[Map]:
    """Of C(opswatch<base64>), or C(opswatch<none>), in an answer, beside which a terminal may have put warnings."""
    packed = re.search(r"opswatch<([^<>]*)>", answer.get("stdout") or "")
    if packed is None and not answer.get("unreachable"):
        raise AnsibleError(
            f"What {host} says of Loki's configuration cannot be read, so the periods of its store are not known. "
            f"What to do: see what stands around it: ansible {host} -b -m raw -a 'cat /etc/loki/config.yml'"
        )
    text = "".join(packed[1].split()) if packed else "none"
    try:
        config = yaml.safe_load("" if text == "none" else base64.b64decode(text, validate=True).decode()) or {}
        return list((config.get("schema_config") or {}).get("configs") or [])
    except (yaml.YAMLError, AttributeError, ValueError) as error:
        raise AnsibleError(
            "The configuration of Loki that is in force cannot be read, so the periods of its store are not known: "
            f"{error}. What to do: mend /etc/loki/config.yml on {host}, or state schema_config in loki_config and "
            "move that file away."
        ) from error


def _map(value: t.Any) -> Map:
    return value if isinstance(value, t.Mapping) else {}


def _stated(value: t.Any) -> t.Any:
    """Without what is null, and without maps that are empty then."""
    if not isinstance(value, dict):
        return value
    kept = {key: _stated(one) for key, one in value.items() if one is not None}
    return {key: one for key, one in kept.items() if one != {} or value[key] == {}}


# --- rules ---


def log_rules(paths: t.Iterable[str], stated: Map) -> dict[str, dict[str, t.Any]]:
    """Rule files by their names, with the user's thresholds in them. Null takes an alert out."""
    files = {os.path.basename(path): _read(path) for path in paths}
    check_thresholds(
        stated, [rule["alert"] for file in files.values() for group in file["groups"] for rule in group["rules"]]
    )
    for file in files.values():
        for group in file["groups"]:
            rules = [rule for rule in group["rules"] if stated.get(rule["alert"], 0) is not None]
            group["rules"] = [_with_threshold(rule, stated) for rule in rules]
    return files


def check_thresholds(stated: Map, alerts: t.Collection[str]) -> None:
    for name, value in stated.items():
        if name not in alerts:
            close = difflib.get_close_matches(str(name), alerts, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise AnsibleError(f"loki_thresholds: there is no log alert {name}.{hint} There are {', '.join(alerts)}.")
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise AnsibleError(f"loki_thresholds: {name} is {value!r}. Use a number, or null to switch it off.")


def _with_threshold(rule: Map, stated: Map) -> dict[str, t.Any]:
    if rule["alert"] not in stated:
        return dict(rule)
    return {**rule, "expr": THRESHOLD.sub(f"> {stated[rule['alert']]}", rule["expr"], count=1)}


def _read(path: str) -> dict[str, t.Any]:
    with open(path, encoding="utf-8") as handle:
        return t.cast("dict[str, t.Any]", yaml.safe_load(handle))


# --- who has to reach whom ---


def alertmanager_urls(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[str]:
    """Where the ruler sends alerts: every Alertmanager of the inventory."""
    job = component_job("alertmanager", groups.get("alertmanager", []), hostvars)
    return [
        f"{one['labels'].get('__scheme__', 'http')}://{one['targets'][0]}"
        + one["labels"]["__alerts_path__"].removesuffix("/api/v2/alerts")
        for one in alert_targets([job])
    ]


def clients_of(host: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[str]:
    """Who asks this Loki, or sends to it unasked: where C(monitoring_logs_push) leads is the agents' check."""
    members = present("loki", groups, hostvars)
    asking = {one for component in ASKERS for one in present(component, groups, hostvars)}
    sending = {one for one in _agents(groups, hostvars) if not hostvars[one].get("monitoring_logs_push")}
    return sorted(asking | {one for one in sending if chosen_member(one, members) == host})


def senders(host: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[str]:
    """The agents that send to this Loki: by themselves, or as C(monitoring_logs_push) has its name and no more."""
    members = present("loki", groups, hostvars)
    return [
        agent
        for agent in _agents(groups, hostvars)
        if host in (hostvars[agent].get("monitoring_logs_push") or [chosen_member(agent, members)])
    ]


def _agents(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[str]:
    return sorted({one for component in AGENTS for one in present(component, groups, hostvars)})


def _states_clients(agent: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> bool:
    """Whether clients of the user's own stand in the place of ours. Alloy's native text cannot change ours."""
    if agent in present("alloy", groups, hostvars):
        return False
    return bool(_map(hostvars[agent].get("promtail_config")).get("clients"))


def inventory_problems(groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> list[Problem]:
    """What no single host shows: who cannot reach Loki, and members that share nothing."""
    hosts = present("loki", groups, hostvars)
    problems = []
    # What is no map is told with the types of its host.
    configs = {host: _map(hostvars[host].get("loki_config")) for host in hosts}
    periods = {host: _map(config.get("schema_config")).get("configs") for host, config in configs.items()}
    for host in hosts:
        settings = hostvars[host]
        if periods[host] != periods[hosts[0]]:
            problems.append(
                Problem(
                    f"loki_config of {host} states other periods of the store than that of {hosts[0]}",
                    "both are members of one cluster, which has one store",
                    "state schema_config.configs for the group loki, and not for a host",
                )
            )
        stated = settings.get("loki_listen_address")
        listens = split_address(str(stated))[0] if stated else mutual_address(settings)
        others = [client for client in clients_of(host, groups, hostvars) if client != host]
        if is_loopback(listens) and others:
            problems.append(
                Problem(
                    f"Loki on {host} serves the loopback alone, as it knows no passwords",
                    f"{', '.join(others)} cannot reach it",
                    "set monitoring_tls: selfsigned, so that it asks for certificates; or set loki_listen_address to "
                    "an address that nobody but these hosts reaches",
                )
            )
        sending = senders(host, groups, hostvars)
        nameless = [one for one in sending if not _states_clients(one, groups, hostvars)]
        if nameless and boolean(configs[host].get("auth_enabled", False), strict=False):
            problems.append(
                Problem(
                    f"loki_config of {host} asks for tenants (auth_enabled), and the roles use one, without a name",
                    f"Loki would answer 401 to {', '.join(nameless)}, whose lines would be lost",
                    "take auth_enabled out. With tenants of your own, what sends, Grafana's data source and the log "
                    "alerts have to state theirs",
                )
            )
        rich = [one for one in sending if boolean(hostvars[one].get("monitoring_logs_metadata", True), strict=False)]
        if _map(configs[host].get("limits_config")).get("allow_structured_metadata") is False and rich:
            problems.append(
                Problem(
                    f"loki_config of {host} forbids structured metadata",
                    f"Loki would refuse every line of {', '.join(rich)}, for good",
                    "take allow_structured_metadata out (where the store cannot keep it, lines are stored without), or "
                    "set monitoring_logs_metadata: false for the agents",
                )
            )
        members = [f"loki_{name}_listen_address" for name in ("grpc", "memberlist")]
        unstated = [name for name in members if not settings.get(name)]
        if len(hosts) > 1 and unstated and not has_authority(settings):
            problems.append(
                Problem(
                    f"Loki on {host} asks the other members of its cluster for no certificate",
                    f"{' and '.join(unstated)} would be open to whoever reaches the host",
                    "set monitoring_tls: selfsigned (or own, with monitoring_tls_ca); or state an address of a network "
                    "that nobody but the members reaches",
                )
            )
        own_storage = _map(configs[host].get("common")).get("storage")
        bucket = _map(settings.get("loki_s3"))
        if len(hosts) > 1 and (not bucket or bucket.get("retired")) and not own_storage:
            problems.append(
                Problem(
                    f"Loki on {host} keeps lines on its own disk, but {len(hosts)} hosts are in the group loki",
                    "each would find only what was sent to it",
                    "state loki_s3, which they all reach, or leave one host in the group",
                )
            )
    return problems
