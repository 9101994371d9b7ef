# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The queries of anybody's dashboards, with their variables put in as Grafana does it at first."""

from __future__ import annotations

import re
import typing as t

# What Grafana works out itself. The rate interval is four times a scrape interval of 30 s.
BUILT_IN = {
    "__rate_interval": "2m",
    "__interval": "1m",
    "__interval_ms": "60000",
    "__range": "1h",
    "__range_s": "3600",
    "__range_ms": "3600000",
}
VARIABLE = re.compile(r"\$(?:\{(\w+)(?:[.:][^}]*)?\}|(\w+))|\[\[(\w+)(?::\w+)?\]\]")
LABEL_VALUES = re.compile(r"label_values\((?:(.*),)?\s*(\w+)\s*\)", re.DOTALL)
ALL = "$__all"
Model = t.Mapping[str, t.Any]


class Target(t.NamedTuple):
    """One query of one panel."""

    expr: str
    instant: bool


class Panel(t.NamedTuple):
    """A panel that asks Prometheus. C(none): what it says where there is nothing."""

    title: str
    none: str
    targets: t.Sequence[Target]


class Variable(t.NamedTuple):
    """C(values) are known, or come from the values of C(label) in C(series), which may name other variables."""

    name: str
    values: t.Sequence[str] = ()
    label: str = ""
    series: str = ""
    everything: str = ""  # stands for all of them
    several: bool = False


class Dashboard(t.NamedTuple):
    """C(others): panels that ask something else than Prometheus."""

    uid: str
    title: str
    owners: t.Sequence[str]
    panels: t.Sequence[Panel]
    variables: t.Sequence[Variable]
    others: int


def read(model: Model) -> Dashboard:
    """What matters here of a dashboard's JSON, whichever Grafana wrote it."""
    panels, others = [], 0
    for panel in _panels(model):
        targets = [one for one in panel.get("targets") or [] if not one.get("hide")]
        asked = [Target(str(one["expr"]), bool(one.get("instant"))) for one in targets if _asks(one, panel)]
        others += bool(targets) and not asked
        if asked:
            none = (panel.get("fieldConfig") or {}).get("defaults", {}).get("noValue") or ""
            panels.append(Panel(str(panel.get("title") or f"panel {panel.get('id')}"), str(none), asked))
    variables = [_variable(one) for one in (model.get("templating") or {}).get("list") or []]
    tags = [str(tag) for tag in model.get("tags") or []]
    return Dashboard(
        str(model.get("uid")), str(model.get("title")), tags, panels, [one for one in variables if one], others
    )


def _panels(model: Model) -> t.Iterator[Model]:
    """Those of folded rows too."""
    for panel in model.get("panels") or []:
        if panel.get("type") == "row":
            yield from panel.get("panels") or []
        else:
            yield panel


def _asks(target: Model, panel: Model) -> bool:
    """Whether it is a query for Prometheus. Without a type it is one for the default source, which is Prometheus."""
    source = target.get("datasource") or panel.get("datasource")
    kind = source.get("type") if isinstance(source, dict) else None
    return bool(target.get("expr")) and kind in (None, "prometheus")


def _variable(stated: Model) -> Variable | None:
    """None for what is put in nowhere, as a datasource or a filter."""
    name, kind = str(stated.get("name")), stated.get("type")
    if kind in ("datasource", "adhoc"):
        return None
    everything, several = str(stated.get("allValue") or ""), bool(stated.get("multi") or stated.get("includeAll"))
    if kind == "query":
        query = stated.get("query")
        text = query.get("query", "") if isinstance(query, dict) else str(query or "")
        found = LABEL_VALUES.fullmatch(text.strip())
        if found:
            return Variable(name, (), found[2], (found[1] or "").strip(), everything, several)
    return Variable(name, _current(stated), everything=everything, several=several)


def _current(stated: Model) -> list[str]:
    """What it stands at; all of its choices where it stands at all."""
    value = (stated.get("current") or {}).get("value")
    values = [str(one) for one in (value if isinstance(value, list) else [value]) if one not in (None, "")]
    if values and values != [ALL]:
        return values
    options = [str(one.get("value")) for one in stated.get("options") or [] if one.get("value") != ALL]
    return options or [part.strip() for part in str(stated.get("query") or "").split(",") if part.strip()]


def names_in(text: str) -> set[str]:
    """The variables that a text names; $1 of label_replace is none."""
    found = {next(filter(None, match)) for match in VARIABLE.findall(text)}
    return {name for name in found if not name.isdigit()}


def put_in(text: str, values: t.Mapping[str, str]) -> str:
    """The text with values for its variables; what is not known stays."""

    def value(match: re.Match[str]) -> str:
        return {**BUILT_IN, **values}.get(match[1] or match[2] or match[3], match[0])

    return VARIABLE.sub(value, text)


def chosen(variable: Variable, offered: t.Sequence[str]) -> str:
    """The value that it has at first: all of them as a regular expression, or the first."""
    if variable.several and variable.everything:
        return variable.everything
    if variable.several and len(offered) != 1:
        return f"({'|'.join(map(_escaped, offered))})" if offered else ".*"
    return offered[0] if offered else ""


def _escaped(value: str) -> str:
    """As Grafana does it for Prometheus."""
    return re.sub(r"[$^*{}\[\]'+?.()|\\]", r"\\\\\g<0>", value)


# --- metrics ---

_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_NAME_MATCHER = re.compile(r'__name__\s*(=~?)\s*"((?:\\.|[^"\\])*)"')
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def used(expr: str, names: t.Collection[str]) -> set[str]:
    """The metrics that an expression names, of those that there are. A label of the same name counts too."""
    found = set(_WORD.findall(_STRINGS.sub(" ", expr))) & set(names)
    for operator, pattern in _NAME_MATCHER.findall(expr):
        if operator == "=":
            found |= {pattern} & set(names)
        else:
            found |= {name for name in names if _matches(pattern, name)}
    return found


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error:
        return False
