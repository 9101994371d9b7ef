# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Weekly: dashboards whose panels have no data, or whose queries are refused."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlencode

from .dashboard_queries import Dashboard, Panel, Target, Variable, chosen, names_in, put_in, used
from .maintenance_answers import Answers, query
from .report import Chart, Finding, Look, Row, counted, listed

CHECK, COMPONENT = "dashboards", "grafana"
OWN = "opswatch"
# What is looked at: an hour, in steps of five minutes.
RANGE, STEP = 3600, 300
NAMES = "names"
PATHS = {NAMES: "/api/v1/label/__name__/values"}
# An expression that leaves series out, and so may rightly have none.
_CONDITION = re.compile(r"[<>]|==|!=|\b(?:and|unless|absent\w*|ALERTS\w*)\b")
_STRING = re.compile(r'"[^"]*"')

Values = dict[str, str]


# --- variables: one may ask with the value of another, so they are known in rounds ---


def variable_paths(dashboards: t.Sequence[Dashboard], known: t.Mapping[str, Values], now: float) -> dict[str, str]:
    """What can be asked now, by dashboard and variable."""
    paths = {}
    for board in dashboards:
        values, own = known.get(board.uid, {}), {one.name for one in board.variables}
        for one in board.variables:
            if one.name in values or not one.label or _fixed(one) or (names_in(one.series) & own) - set(values):
                continue
            asked = {"start": int(now - RANGE), "end": int(now)}
            match = {"match[]": put_in(one.series, values)} if one.series else {}
            paths[f"{board.uid} {one.name}"] = f"/api/v1/label/{one.label}/values?{urlencode({**match, **asked})}"
    return paths


def _fixed(variable: Variable) -> bool:
    return bool(variable.several and variable.everything)


def known_values(
    dashboards: t.Sequence[Dashboard], known: t.Mapping[str, Values], answers: Answers
) -> dict[str, Values]:
    """The values after a round."""
    found = {uid: dict(values) for uid, values in known.items()}
    for board in dashboards:
        values = found.setdefault(board.uid, {})
        for one in board.variables:
            offered = answers.data(f"{board.uid} {one.name}")
            if one.name in values:
                continue
            if offered is not None:
                values[one.name] = chosen(one, [str(value) for value in offered])
            elif not one.label or _fixed(one):
                values[one.name] = chosen(one, one.values)
    return found


# --- panels ---


def asked(dashboards: t.Sequence[Dashboard], known: t.Mapping[str, Values]) -> dict[Target, str]:
    """Every query once, whoever shows it, with the name of its answer."""
    targets = {
        _put(target, known.get(board.uid, {})): ""
        for board in dashboards
        for panel in board.panels
        for target in panel.targets
    }
    return {target: f"panel {number}" for number, target in enumerate(targets)}


def _put(target: Target, values: Values) -> Target:
    return target._replace(expr=put_in(target.expr, values))


def queries(targets: t.Mapping[Target, str]) -> list[dict[str, t.Any]]:
    return [
        query(name, one.expr, exists=True, since=0 if one.instant else RANGE, step=STEP)
        for one, name in targets.items()
    ]


class Outcome(t.NamedTuple):
    """Of one panel: the server's refusal, or empty without a good reason, or neither."""

    error: str = ""
    empty: bool = False


def outcome(
    panel: Panel,
    exprs: t.Sequence[str],
    answers: t.Sequence[t.Mapping[str, t.Any]],
    own: bool,
    names: t.Collection[str],
) -> Outcome:
    errors = [str(answer["error"]) for answer in answers if "error" in answer]
    if errors:
        return Outcome(error=errors[0])
    if any(answer.get("data") for answer in answers):
        return Outcome()
    # It says itself why it is empty; a text that only asks explains nothing.
    explained = bool(panel.none) and panel.none != "No data" and not panel.none.endswith("?")
    conditional = all(_CONDITION.search(_STRING.sub("", expr)) for expr in exprs)
    # Our dashboards are there whole, whichever components the inventory has.
    absent = own and not any(_measured(used(expr, names)) for expr in exprs)
    return Outcome(empty=not (explained or conditional or absent))


def _measured(metrics: t.Iterable[str]) -> bool:
    """Whether there is more than what the inventory says, as thresholds, and what every job has."""
    return any(name != "up" and not name.startswith("monitoring:") for name in metrics)


def look(
    host: str,
    dashboards: t.Sequence[Dashboard],
    known: t.Mapping[str, Values],
    targets: t.Mapping[Target, str],
    answers: Answers,
    names: t.Collection[str],
) -> Look:
    """C(targets): what was asked, by asked(). C(names): the metrics that Prometheus has."""
    findings: list[Finding] = []
    rows: list[Row] = []
    for board in dashboards:
        bad: dict[str, Outcome] = {}
        for panel in board.panels:
            put = [_put(target, known.get(board.uid, {})) for target in panel.targets]
            result = outcome(
                panel,
                [one.expr for one in put],
                [answers.answer(targets[one]) for one in put],
                OWN in board.owners,
                names,
            )
            if result.error or result.empty:
                bad[panel.title] = result
        findings += _of_board(host, board, bad)
        if board.panels:
            good = len(board.panels) - len(bad)
            share = 100 * good / len(board.panels)
            rows.append(Row(board.title, f"{good} of {len(board.panels)}", share, severity="warning" if bad else "ok"))
    if dashboards and not findings:
        what = f"Panels of {counted(len(dashboards), 'dashboard')} have data, or say why not"
        findings.append(Finding(CHECK, "ok", host, COMPONENT, what))
    findings += _not_asked(host, dashboards)
    rows.sort(key=lambda row: row.value or 0)
    return Look(findings, [Chart("Panels with data", rows[:12], "of each dashboard, within an hour", full=100)])


def _of_board(host: str, board: Dashboard, bad: t.Mapping[str, Outcome]) -> list[Finding]:
    errors = {title: one.error for title, one in bad.items() if one.error}
    empty = [title for title, one in bad.items() if one.empty]
    findings = []
    if errors:
        title, said = next(iter(errors.items()))
        findings.append(
            Finding(
                CHECK,
                "warning",
                host,
                COMPONENT,
                f"{board.title}: queries of {counted(len(errors), 'panel')} are refused: {listed(errors)}",
                f"{title}: {said}",
                "The query is wrong, or matches more series than it can join.",
                f"open the dashboard (/d/{board.uid}), edit the panel, and correct its query",
            )
        )
    if empty:
        findings.append(
            Finding(
                CHECK,
                "warning",
                host,
                COMPONENT,
                f"{board.title}: {counted(len(empty), 'panel has', 'panels have')} no data: {listed(empty)}",
                "",
                "What they show is not scraped any more, or was renamed; or the value of a variable is gone.",
                f"open the dashboard (/d/{board.uid}): correct the query, or remove the panel",
            )
        )
    return findings


def _not_asked(host: str, dashboards: t.Sequence[Dashboard]) -> list[Finding]:
    others = {board.title: board.others for board in dashboards if board.others}
    if not others:
        return []
    count = counted(sum(others.values()), "panel was", "panels were")
    what = f"{count} not looked at: what they ask is not Prometheus"
    return [Finding(CHECK, "note", host, COMPONENT, what, f"in {listed(others)}")]


def without_grafana() -> Look:
    what = "The inventory has no Grafana: no dashboard was looked at"
    return Look(
        [Finding(CHECK, "note", "", COMPONENT, what, "", "", "put a host into the group grafana to have dashboards")]
    )
