# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Which questions the doctor asks of which component, and what follows from all answers together."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleError

from ..module_utils._health import without_secrets
from . import doctor_alertmanager as alertmanager
from . import doctor_causes as causes
from . import doctor_grafana as grafana
from . import doctor_hosts as hosts
from . import doctor_loki as loki
from . import doctor_prometheus as prometheus
from . import role_facts
from .logs import present
from .maintenance_answers import Answers, Refused
from .report import Finding, Look, counted, listed

ROUTINE = "doctor"
# It proposes nothing.
SEVERITIES = ("broken", "warning", "ok")
AWAY = "away"  # the check of a service whose host does not answer

Args = t.Mapping[str, t.Any]
Ask = t.Callable[[str, dict[str, t.Any]], t.Mapping[str, t.Any]]


def host_look(host: str, args: Args, ask: Ask) -> Look:
    wanted = [hosts.Wanted(**one) for one in args["wanted"]]
    asked = [{"name": one.name, "packages": args["packages"][one.name]} for one in wanted]
    before = time.time()
    found = ask("components_info", {"components": asked, "health": True})
    return hosts.look(host, wanted, found, before, time.time(), args["limits"])


def _answers(name: str, args: Args, ask: Ask, paths: t.Mapping[str, str]) -> Answers:
    api = {"password": args["api"].get("password") or "", "timeout": args["timeout"]}
    found = ask("component_api_info", {"name": name, "paths": dict(paths), **api})
    return Answers(found["answers"], found["time"])


def prometheus_look(host: str, args: Args, ask: Ask) -> Look:
    answers = _answers("prometheus", args, ask, prometheus.paths(args["agent"]))
    return prometheus.look(host, answers, args["inventory"], args["agent"])


def alertmanager_look(host: str, args: Args, ask: Ask) -> Look:
    answers = _answers("alertmanager", args, ask, alertmanager.PATHS)
    return alertmanager.look(host, answers, args["members"])


def loki_look(host: str, args: Args, ask: Ask) -> Look:
    since = args["logs_since"]
    found = loki.look(host, _answers("loki", args, ask, loki.paths(since)), args["senders"], since)
    if not args["canary"] or args["predicted"]:
        return found
    line = {"lines": [f"{ROUTINE} of opswatch.monitoring"], "labels": loki.LABELS, "read_back": loki.PATIENCE}
    try:
        return found + loki.canary(
            host, ask("loki_push", {**args["api"], "timeout": args["timeout"], **line})["seconds"]
        )
    except Refused as refused:
        return found + loki.no_canary(host, refused)


def grafana_look(host: str, args: Args, ask: Ask) -> Look:
    api = {key: value for key, value in args["api"].items() if key not in ("user", "password", "token_file")}
    api = {**api, "timeout": args["timeout"]}
    user, token = str(args["api"]["user"]), {"token_file": args["api"]["token_file"]}
    login = {"user": user, "password": args["api"]["password"]}
    found = Look()
    try:
        health = ask("grafana_health_info", {**api, **login, "datasources": True})
        if health.get("database") != "ok":  # it then lets nobody in, and was asked no more
            return grafana.database(host, health)
        found += grafana.login(host, user, health)
    except Refused as refused:
        if grafana.REFUSES not in refused.what:
            raise
        found += grafana.no_login(host, user, refused)
        health = {}
    try:
        health = health or ask("grafana_health_info", {**api, **token, "datasources": True})
        found += grafana.datasources(host, health["datasources"], args["servers"])
        there = ask("grafana_dashboards_info", {**api, **token})["dashboards"]
        return found + grafana.dashboards(host, there, args["dashboards_wanted"])
    except Refused as refused:
        return found + grafana.no_token(host, refused)


LOOKS: dict[str, t.Callable[[str, Args, Ask], Look]] = {
    "host": host_look,
    "prometheus": prometheus_look,
    "alertmanager": alertmanager_look,
    "loki": loki_look,
    "grafana": grafana_look,
}


# --- all together ---


def patients(
    groups: t.Mapping[str, t.Sequence[str]], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, list[str]]:
    """The hosts that are to be looked at, by the look. A Prometheus agent is asked, too."""
    known = [name for name in role_facts.components() if groups.get(name)]
    found = {"host": list(dict.fromkeys(host for name in known for host in groups[name]))}
    return found | {name: _present(name, groups, hostvars) for name in LOOKS if name != "host"}


def _present(
    name: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]
) -> list[str]:
    """Also a host whose state cannot be resolved: that nobody looked there must be told."""
    found: list[str] = []
    for host in groups.get(name, []):
        try:
            found += present(name, {name: [host]}, hostvars)
        except AnsibleError:
            found.append(host)
    return found


CORRECT = "correct what is said; site.yml --tags preflight names all that is wrong with the variables"


def failed(host: str, component: str, said: str) -> Look:
    """Of a look that did not take place: what it takes could not be worked out from the inventory."""
    what = f"{host if component == 'host' else component} could not be asked"
    cause = "A variable of this host cannot be resolved, or the answer is one that the doctor does not understand."
    name = "" if component == "host" else component
    return Look([Finding("access", "broken", host, name, what, said, cause, CORRECT)])


def unresolved(said: str) -> Look:
    """Of an inventory that does not tell what is to be scraped. What else the doctor asks, it asks nevertheless."""
    what = "The inventory does not tell what Prometheus is to scrape"
    cause = "Something is wrong with the variables of a host, so site.yml would fail; targets were not compared."
    return Look([Finding("inventory", "broken", "", "prometheus", what, said, cause, CORRECT)])


def left_out(seen: t.Mapping[str, t.Collection[str]], wanted: t.Mapping[str, t.Collection[str]], limited: bool) -> Look:
    """Who was not looked at: a check that did not take place must not read like one that is fine.

    C(seen), C(wanted): hosts by component; C(limited): whether the run was told to leave hosts out.
    """
    findings = []
    for component, names in wanted.items():
        gone = [name for name in names if name not in seen.get(component, ())]
        if not gone:
            continue
        what = (
            f"{counted(len(gone), 'host was', 'hosts were')} not looked at"
            if component == "host"
            else f"{component} of {counted(len(gone), 'host')} was not asked"
        )
        cause = "--limit leaves them out." if limited else "A task before this one failed."
        fix = causes.LIMITED if limited else "correct what the failed task says, and run again"
        severity = "warning" if limited else "broken"
        name = "" if component == "host" else component
        findings.append(Finding("access", severity, listed(gone, 3), name, what, listed(gone), cause, fix))
    if not wanted.get("prometheus"):
        what, fix = "The inventory has no Prometheus, so nothing is watched", "put a host into the group prometheus"
        findings.append(Finding("access", "broken", "", "prometheus", what, "", "", f"{fix}, and run site.yml"))
    return Look(findings)


def settled(look: Look) -> Look:
    """What several servers say of the same is there once, and what comes of one cause is one finding."""
    found: dict[tuple[str, ...], Finding] = {}
    for one in shown(look).findings:
        found.setdefault((one.check, one.severity, one.host, one.component, one.what), one)
    return look._replace(findings=causes.folded(causes.own_clock(list(found.values()))))


def shown(look: Look) -> Look:
    """Without secrets: an address that is scraped or probed may hold one."""
    return look._replace(
        findings=[
            one._replace(what=without_secrets(one.what), evidence=without_secrets(one.evidence))
            for one in look.findings
        ]
    )
