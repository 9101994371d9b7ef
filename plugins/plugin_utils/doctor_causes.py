# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Findings of one cause become one finding, with the remedy of the cause: which those are, as a table of rules.

A rule looks at two findings, so each says whom it is about in its fields: its own service, or C(peer) where it is a
matter of another one. What is folded is named beneath its cause; nothing is lost but a remedy that would not help.
"""

from __future__ import annotations

import typing as t

from ..module_utils._component_api import SAME_PASSWORD
from .doctor_faults import UNKNOWN
from .doctor_hosts import CLOCK
from .report import SEVERITIES, Finding, listed, titled

LIMITED = "run without --limit"

# Words of programs, in small letters. No packet came back:
SILENT = (
    "no route to host",
    "network is unreachable",
    "timeout",
    "timed out",
    "deadline exceeded",
    "no such host",
    "server misbehaving",
)
REFUSED = ("connection refused",)
# Something answered, so the host is not off: it does not let us in.
ANSWERED = ("refused", "denied", "host key", "authentication", "closed by", "reset by")
# A service itself that does not answer, or is not there, as its modules say it; and one that answers others alike.
UNHEARD = ("does not answer at", "was not installed here", "no connection, or it was cut", "was not answered within")
UNKIND = (*UNHEARD, "refuses the password")
FULL = ("no space left",)
# Why an agent gave up lines: Loki was not there, or failed. Others are about the lines.
GAVE_UP = ("ingester_error",)
LIBRARY = ("requests",)


class Rule(t.NamedTuple):
    """A finding of one of the checks C(effects) follows from one of C(causes) where C(when) holds, cause first.

    It is about a service or a host of the cause, or about any service of that name.
    """

    causes: tuple[str, ...]
    effects: tuple[str, ...]
    when: t.Callable[[Finding, Finding], bool]


class Twins(t.NamedTuple):
    """Findings of one of C(checks) are of one cause where C(key) gives the same text for them, and not nothing."""

    checks: tuple[str, ...]
    key: t.Callable[[Finding], str]


# --- what rules ask ---


def says(one: Finding, words: t.Iterable[str]) -> bool:
    said = one.evidence.lower()
    return any(word in said for word in words)


def services(one: Finding) -> list[str]:
    return [f"{name} of {one.host}" for name in one.component.split(", ")]


def about(one: Finding) -> list[str]:
    return one.peer.split(", ") if one.peer else services(one)


def served(cause: Finding, effect: Finding) -> bool:
    """It is the service of the cause that the effect is about."""
    return not set(services(cause)).isdisjoint(about(effect))


def housed(cause: Finding, effect: Finding) -> bool:
    """It is a service on the host of the cause."""
    return any(one.endswith(f" of {cause.host}") for one in about(effect))


def off(cause: Finding, effect: Finding) -> bool:
    """A host that is away for everybody, and not only for this machine's SSH."""
    return housed(cause, effect) and not says(cause, ANSWERED)


def of_loki(cause: Finding, effect: Finding) -> bool:
    return cause.component == "loki" == effect.peer and says(effect, GAVE_UP)


# --- what twins have in common ---


def words(one: Finding) -> str:
    return one.evidence


def title(one: Finding) -> str:
    return one.what


def service(one: Finding) -> str:
    return services(one)[0]


def fix(one: Finding) -> str:
    """To do it once mends all, as it names what it is about. Of what nobody knows the advice is the same, too."""
    return "" if one.fix == UNKNOWN.fix else one.fix


def common_fix(one: Finding) -> str:
    return one.fix if one.fix in (SAME_PASSWORD, LIMITED) else ""


# What one finding brings about. The cause is broken; the first rule that fits counts.
CAUSES = (
    # A host that is away: it was not asked, and where it is off, neither did others get an answer of it.
    Rule(("reached",), ("away",), housed),
    Rule(("reached",), ("targets", "datasources"), lambda cause, effect: off(cause, effect) and says(effect, SILENT)),
    Rule(("reached",), ("probes", "databases", "alerting", "cluster", "logs"), off),
    # A component that does not run, or is not there. What was seen of it is from before, or from another program.
    Rule(("unit", "components"), ("access",), lambda cause, effect: served(cause, effect) and says(effect, UNHEARD)),
    Rule(("unit", "components"), ("targets", "datasources", "alerting", "cluster", "logs"), served),
    # One that runs, and answers nobody.
    Rule(
        ("access",),
        ("targets", "datasources", "alerting"),
        lambda cause, effect: served(cause, effect) and says(cause, UNKIND),
    ),
    Rule(("ready",), ("logs", "canary", "datasources"), served),
    Rule(("unit", "components", "ready"), ("logs",), of_loki),
    Rule(("access",), ("logs",), lambda cause, effect: of_loki(cause, effect) and says(cause, UNHEARD)),
    Rule(("away",), ("logs",), lambda cause, effect: of_loki(cause, effect) and not says(cause, ANSWERED)),
    # A service of the users' own: its probe asks what Prometheus asks.
    Rule(
        ("targets",),
        ("probes",),
        lambda cause, effect: served(cause, effect) and says(cause, (*SILENT, *REFUSED)),
    ),
    # What a configuration would have brought has the Prometheus for its peer.
    Rule(
        ("configuration",),
        ("targets", "alerting"),
        lambda cause, effect: bool(effect.peer) and served(cause, effect),
    ),
    Rule(("disk",), ("canary",), lambda cause, effect: housed(cause, effect) and says(effect, FULL)),
    # The library that this host lacks for two looks.
    Rule(
        ("access",),
        ("canary",),
        lambda cause, effect: housed(cause, effect) and says(cause, LIBRARY) and says(effect, LIBRARY),
    ),
)

# What is said twice of one cause that has no finding of its own: the first of the worst stays.
TWINS = (
    # Of variables, of folders without passwords, of hosts where nobody becomes root: each service says the same.
    Twins(("access", "away", "inventory"), words),
    Twins(("access",), common_fix),
    # Passwords and certificates of many targets, and what site.yml has to bring to one Prometheus.
    Twins(("targets", "alerting"), fix),
    # What members of a cluster have in common, and several Prometheus their rules.
    Twins(("receivers",), fix),
    Twins(("cluster",), fix),
    Twins(("rules",), title),
    Twins(("probes",), service),
    # A Grafana with another database knows neither the password nor the token.
    Twins(("login",), service),
)


def folded(findings: t.Sequence[Finding]) -> list[Finding]:
    """Without those that belong to another one, which names them."""
    above = _causes(findings)
    for twins in TWINS:  # what has its cause stands for nobody else
        above |= _firsts(findings, [one for one in range(len(findings)) if one not in above], twins)
    beneath: dict[int, list[str]] = {}
    for number in sorted(above):
        top = above[number]
        while top in above:
            top = above[top]
        beneath.setdefault(top, []).append(titled(findings[number]))
    return [
        one._replace(follows="\n".join(beneath.get(number, ())))
        for number, one in enumerate(findings)
        if number not in above
    ]


def _causes(findings: t.Sequence[Finding]) -> dict[int, int]:
    """The number of the cause by that of the effect. By places, as of many hosts there are many findings."""
    by_place: dict[tuple[str, str], list[int]] = {}
    for number, one in enumerate(findings):
        for place in (one.host, one.component) if one.severity == "broken" else ():
            by_place.setdefault((one.check, place), []).append(number)

    def cause_of(effect: Finding) -> int | None:
        places = [one.rpartition(" of ")[2] for one in about(effect)]
        fitting = (
            cause
            for rule in CAUSES
            if effect.check in rule.effects
            for check in rule.causes
            for place in places
            for cause in by_place.get((check, place), ())
            if rule.when(findings[cause], effect)
        )
        return next(fitting, None)

    found = {number: cause_of(one) for number, one in enumerate(findings) if one.severity != "ok"}
    return {effect: cause for effect, cause in found.items() if cause is not None}


def _firsts(findings: t.Sequence[Finding], alone: t.Iterable[int], twins: Twins) -> dict[int, int]:
    """The number of the first by those of the others."""
    known = [one for one in alone if findings[one].check in twins.checks and findings[one].severity != "ok"]
    known.sort(key=lambda one: SEVERITIES.index(findings[one].severity))
    firsts: dict[str, int] = {}
    for one in known:
        if key := twins.key(findings[one]):
            firsts.setdefault(key, one)
    return {one: first for one in known if (first := firsts.get(twins.key(findings[one]), one)) != one}


def own_clock(findings: t.Sequence[Finding]) -> list[Finding]:
    """Where every host's clock is off, and in the same way, it is that of this machine."""
    clocks = [one for one in findings if one.check == CLOCK]
    ways = {" ahead of " in one.what for one in clocks}
    if len(clocks) < 2 or len(ways) > 1 or any(one.severity == "ok" for one in clocks):
        return list(findings)
    what = f"The clock of this machine is not that of {listed((one.host for one in clocks), 3)}"
    said = listed(one.what for one in clocks)
    cause = "All of them are off in the same way, and none is right, so it is the one that they are compared with."
    own = Finding(CLOCK, "warning", "", "", what, said, cause, "timedatectl set-ntp true on this machine")
    return [*(one for one in findings if one.check != CLOCK), own]
