# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Which questions a routine asks of which service, and which checks judge the answers."""

from __future__ import annotations

import time
import typing as t

from . import doctor
from . import maintenance_alerts as alerts
from . import maintenance_hosts as hosts
from . import maintenance_logs as logs
from . import maintenance_panels as panels
from . import maintenance_queries as slow
from . import maintenance_resources as resources
from . import maintenance_rules as rules
from . import maintenance_series as series
from . import maintenance_thresholds as thresholds
from .dashboard_queries import Dashboard
from .dashboard_queries import read as read_dashboard
from .maintenance_answers import Answers
from .quantities import seconds
from .report import Finding, Look, Report
from .report_page import earlier

# What a look is registered as, by its service and its routine.
REGISTERED = "__maintenance_{component}_{routine}"
COMPONENTS = ("prometheus", "loki", "grafana", "host")

Args = t.Mapping[str, t.Any]
# The name of a module and its options, to its result.
Ask = t.Callable[[str, dict[str, t.Any]], t.Mapping[str, t.Any]]


def look(host: str, args: Args, ask: Ask) -> Look:
    return LOOKS[args["component"], args["routine"]](host, args, ask)


def _prometheus(
    args: Args, ask: Ask, paths: t.Mapping[str, str], queries: t.Sequence[t.Mapping[str, t.Any]]
) -> Answers:
    found = ask("prometheus_info", {**args["api"], "paths": dict(paths), "queries": list(queries)})
    return Answers(found["answers"], found["time"])


def prometheus_daily(host: str, args: Args, ask: Ask) -> Look:
    answers = _prometheus(args, ask, alerts.PATHS, [*alerts.QUERIES, *resources.queries()])
    found = alerts.look(host, answers, args["muted"]) + resources.look(host, answers)
    return found + Look(answers.problems("daily", host))


def loki_daily(host: str, args: Args, ask: Ask) -> Look:
    # The end of the last whole minute, so that every hour of the answer is one of ours.
    now = time.time() // 60 * 60
    found = ask("loki_query_info", {**args["api"], **logs.error_question(), "end": str(int(now))})
    return logs.error_look(host, found["result"], now)


def prometheus_weekly(host: str, args: Args, ask: Ask) -> Look:
    dashboards = _dashboards(args)
    paths = {**rules.PATHS, **slow.PATHS, **panels.PATHS}
    first = _prometheus(args, ask, paths, [*rules.queries(host), *slow.queries(host)])
    known = _known_values(args, ask, dashboards, first.now)
    targets = panels.asked(dashboards, known)
    unclear = rules.unclear(args["rules"], rules.in_force(rules.served(first)))
    second = _prometheus(args, ask, unclear, panels.queries(targets)) if unclear or targets else Answers({})
    found = rules.slow_look(host, first) + rules.drift_look(host, args["rules"], first, second) + slow.look(host, first)
    found += panels.look(host, dashboards, known, targets, second, first.data(panels.NAMES) or [])
    return found + Look(first.problems("weekly", host))


def _dashboards(args: Args) -> list[Dashboard]:
    return [read_dashboard(model) for model in args["dashboards"]]


def _known_values(args: Args, ask: Ask, dashboards: t.Sequence[Dashboard], now: float) -> dict[str, panels.Values]:
    """A round for each level of variables that ask with each other's values; more than three nobody has."""
    known = panels.known_values(dashboards, {}, Answers({}))
    for _round in range(3):
        paths = panels.variable_paths(dashboards, known, now)
        if not paths:
            break
        known = panels.known_values(dashboards, known, _prometheus(args, ask, paths, []))
    return known


def loki_weekly(host: str, args: Args, ask: Ask) -> Look:
    now, retention = time.time(), seconds(args["retention"]) or 0
    lines = {
        name: ask("loki_query_info", {**args["api"], **question})["lines"]
        for name, question in logs.retention_questions(retention, now).items()
    }
    return logs.retention_look(host, retention, lines, now)


def prometheus_monthly(host: str, args: Args, ask: Ask) -> Look:
    answers = _prometheus(args, ask, {**thresholds.PATHS, **series.PATHS}, thresholds.queries())
    before = earlier(args["dir"], "monthly", _day(answers.now)).get("state", {}) if args["dir"] else {}
    found = thresholds.look(host, answers) + series.look(host, answers, before, _dashboards(args))
    stones = ask("prometheus_clean_tombstones", {**args["api"], "clean": args["clean"]})
    return found + hosts.tombstones(host, stones) + Look(answers.problems("monthly", host))


def host_monthly(host: str, args: Args, ask: Ask) -> Look:
    found = ask("component_clean", {"keep": args["keep"], "clean": args["clean"]})
    done = bool(found["changed"]) and not args["predicted"]
    return hosts.versions(host, found["components"], args["versions"]) + hosts.cleaned(host, found["components"], done)


def _day(now: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(now))


LOOKS: dict[tuple[str, str], t.Callable[[str, Args, Ask], Look]] = {
    ("prometheus", "daily"): prometheus_daily,
    ("prometheus", "weekly"): prometheus_weekly,
    ("prometheus", "monthly"): prometheus_monthly,
    ("loki", "daily"): loki_daily,
    ("loki", "weekly"): loki_weekly,
    ("host", "monthly"): host_monthly,
    **{(component, doctor.ROUTINE): look for component, look in doctor.LOOKS.items()},
}


# --- the report ---


def gathered(
    routine: str,
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    hosts: t.Iterable[str],
    groups: t.Mapping[str, t.Sequence[str]] | None = None,
    limited: bool = False,
) -> Look:
    """All looks of a routine, service by service. C(groups), C(limited): whom the doctor was to look at."""
    found = Look()
    known = list(hosts)
    hostvars = {host: hostvars[host] for host in known}  # Ansible puts those of a host together at each look
    for component in doctor.LOOKS if routine == doctor.ROUTINE else COMPONENTS:
        name = REGISTERED.format(component=component, routine=routine)
        for host in known:
            result = hostvars[host].get(name) or {}
            if "look" in result:
                found += Look.from_data(result["look"])
            elif result.get("failed") and routine == doctor.ROUTINE:
                found += doctor.failed(host, component, str(result.get("msg", "")))
    if routine == doctor.ROUTINE:
        seen = {component: _seen(component, routine, hostvars, known) for component in doctor.LOOKS}
        return doctor.settled(found + doctor.left_out(seen, doctor.patients(groups or {}, hostvars), limited))
    return found + left_out(routine, hostvars, known)


def _seen(
    component: str, routine: str, hostvars: t.Mapping[str, t.Mapping[str, t.Any]], hosts: t.Iterable[str]
) -> list[str]:
    name = REGISTERED.format(component=component, routine=routine)
    results = {host: hostvars[host].get(name) or {} for host in hosts}
    return [host for host, result in results.items() if "look" in result or result.get("failed")]


def left_out(routine: str, hostvars: t.Mapping[str, t.Mapping[str, t.Any]], hosts: t.Iterable[str]) -> Look:
    """What could not be looked at, in words: a check that did not take place must not read like one that is fine."""
    known = list(hosts)
    seen = {component for component in COMPONENTS if _seen(component, routine, hostvars, known)}
    findings = []
    if "prometheus" not in seen:
        findings.append(
            Finding(
                "access",
                "broken",
                "",
                "prometheus",
                "No Prometheus was looked at",
                "",
                "The inventory has none, or the limit of this run leaves it out.",
                "put a host into the group prometheus, and run without --limit",
            )
        )
    found = Look(findings)
    if routine in ("daily", "weekly") and "loki" not in seen:
        found += logs.without_loki(routine)
    if routine == "weekly" and not any(_dashboards_of(routine, hostvars, host) for host in known):
        found += panels.without_grafana()
    return found


def _dashboards_of(routine: str, hostvars: t.Mapping[str, t.Mapping[str, t.Any]], host: str) -> t.Any:
    return (hostvars[host].get(REGISTERED.format(component="grafana", routine=routine)) or {}).get("dashboards")


def report(routine: str, looks: Look, now: float) -> Report:
    made = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(now))
    if routine == doctor.ROUTINE:
        return Report("Doctor", made, looks, doctor.SEVERITIES)
    return Report(f"{routine.capitalize()} maintenance", made, looks)
