# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weekly checks: what each finds, and where it stays silent."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_logs as logs
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_panels as panels
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_queries as slow
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_rules as rules
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_queries import (
    Dashboard,
    Target,
    names_in,
    put_in,
    read,
    used,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_answers import Answers
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Look

ROOT = Path(__file__).resolve().parents[4]
NOW = 1_800_000_000.0
DAY = 86400


def vector(*series: tuple[dict[str, str], float]) -> dict[str, t.Any]:
    return {"data": {"resultType": "vector", "result": [{"metric": m, "value": [NOW, str(v)]} for m, v in series]}}


def said(look: Look, *severities: str) -> list[str]:
    return [one.what for one in look.findings if one.severity in (severities or ("broken", "warning", "note"))]


# --- queries of dashboards ---


def panel(
    *exprs: str, title: str = "One", none: str = "", kind: str | None = "prometheus", **more: t.Any
) -> dict[str, t.Any]:
    source = {"type": kind, "uid": "x"} if kind else None
    return {
        "type": "stat",
        "title": title,
        "datasource": source,
        "fieldConfig": {"defaults": {"noValue": none} if none else {}},
        "targets": [{"refId": "A", "expr": expr, "instant": True} for expr in exprs],
        **more,
    }


def model(
    *of: dict[str, t.Any], variables: t.Sequence[dict[str, t.Any]] = (), tags: t.Sequence[str] = ()
) -> dict[str, t.Any]:
    return {"uid": "it", "title": "It", "panels": list(of), "templating": {"list": list(variables)}, "tags": list(tags)}


def test_what_is_read_of_a_dashboard() -> None:
    board = read(
        model(
            panel("up", none="Nobody"),
            {"type": "row", "panels": [panel("folded", kind=None)]},
            panel('{job="x"}', kind="loki"),
            panel("hidden", targets=[{"expr": "hidden", "hide": True}]),
            {"type": "text", "title": "Words"},
        )
    )
    assert [(one.none, [target.expr for target in one.targets]) for one in board.panels] == [
        ("Nobody", ["up"]),
        ("", ["folded"]),
    ]
    assert board.others == 1


@pytest.mark.parametrize(
    "broken", [{}, {"panels": None, "templating": None}, {"panels": [{"type": "stat", "targets": None}]}]
)
def test_a_dashboard_with_nothing_in_it(broken: dict[str, t.Any]) -> None:
    assert read(broken).panels == []


def test_variables_are_put_in_as_grafana_does() -> None:
    values = {"job": "shop", "i": "a|b"}
    assert (
        put_in('x{j="$job", i=~"${i:regex}"}[$__rate_interval] [[job]] $1 $other', values)
        == 'x{j="shop", i=~"a|b"}[2m] shop $1 $other'
    )
    assert names_in("$a ${b} ${c:regex} [[d]] $1") == {"a", "b", "c", "d"}


VARIABLES = [
    {"name": "source", "type": "datasource"},
    {"name": "job", "type": "query", "query": {"query": "label_values(up, job)"}, "multi": True},
    {"name": "host", "type": "query", "query": 'label_values(up{job=~"$job"}, instance)'},
    {"name": "all", "type": "query", "query": "label_values(up, x)", "includeAll": True, "allValue": ".*"},
    {"name": "size", "type": "custom", "query": "1, 2", "current": {"value": "2"}},
    {"name": "free", "type": "textbox", "query": "words", "current": {}},
]


def test_variables_are_known_in_rounds() -> None:
    board = read(model(panel("x"), variables=VARIABLES))
    known = panels.known_values([board], {}, Answers({}))
    assert known == {"it": {"all": ".*", "size": "2", "free": "words"}}
    first = panels.variable_paths([board], known, NOW)
    assert list(first) == ["it job"]
    assert first["it job"].startswith("/api/v1/label/job/values?match%5B%5D=up&")
    known = panels.known_values([board], known, Answers({"it job": {"data": ["a.b", "c"]}}))
    assert known["it"]["job"] == r"(a\\.b|c)"
    second = panels.variable_paths([board], known, NOW)
    assert list(second) == ["it host"]
    known = panels.known_values([board], known, Answers({"it host": {"data": ["h1", "h2"]}}))
    assert known["it"]["host"] == "h1"
    assert panels.variable_paths([board], known, NOW) == {}


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("rate(http_total[5m]) / up", {"http_total", "up"}),
        ('sum by (job) (x{job="up"})', set()),
        ('{__name__="up"}', {"up"}),
        ('count({__name__=~"http_.*"})', {"http_total"}),
        ('{__name__=~"("}', set()),
    ],
)
def test_metrics_of_an_expression(expr: str, found: set[str]) -> None:
    assert used(expr, ["up", "http_total", "other"]) == found


def test_our_dashboards_can_be_read() -> None:
    files = sorted(ROOT.glob("roles/grafana/files/dashboards/*/*.json"))
    boards = [read(json.loads(path.read_text())) for path in files]
    assert boards
    for board in boards:
        assert board.panels, board.title
        assert panels.OWN in board.owners
        own = {variable.name for variable in board.variables}
        for one in board.panels:
            left = {name for target in one.targets for name in names_in(put_in(target.expr, dict.fromkeys(own, "x")))}
            assert left == set(), one.title


# --- panels ---


def looked(
    board: dict[str, t.Any], answers: dict[str, dict[str, t.Any]], names: t.Sequence[str] = ("up", "x", "y")
) -> Look:
    """C(answers): by expression."""
    boards: list[Dashboard] = [read(board)]
    targets = panels.asked(boards, {})
    found = {name: answers[target.expr] for target, name in targets.items()}
    return panels.look("mon1", boards, {}, targets, Answers(found), names)


def test_a_query_is_asked_once_whoever_shows_it() -> None:
    boards = [read(model(panel("x"), panel("x"), panel("y")))]
    asked = panels.queries(panels.asked(boards, {}))
    assert [(one["expr"], one["since"], one["exists"]) for one in asked] == [("x", 0, True), ("y", 0, True)]
    assert panels.queries({Target("x", False): "a"})[0]["since"] == panels.RANGE


def test_panels_without_data_are_found() -> None:
    look = looked(
        model(panel("x", title="A"), panel("y", title="B"), panel("up", title="C")),
        {"x": {"data": False}, "y": {"error": "bad"}, "up": {"data": True}},
    )
    assert said(look) == ["It: queries of 1 panel are refused: B", "It: 1 panel has no data: A"]
    assert [one.severity for one in look.findings] == ["warning", "warning"]
    assert look.findings[0].evidence == "B: bad"
    assert [(row.text, row.severity) for row in look.charts[0].rows] == [("1 of 3", "warning")]


@pytest.mark.parametrize(
    ("of", "answers"),
    [
        (panel("x"), {"x": {"data": True}}),
        (panel("x", "y"), {"x": {"data": True}, "y": {"data": False}}),
        (panel("x", none="Nobody waits"), {"x": {"data": False}}),
        (panel("x > 0"), {"x > 0": {"data": False}}),
        (panel('ALERTS{alertstate="firing"}'), {'ALERTS{alertstate="firing"}': {"data": False}}),
    ],
)
def test_panels_that_are_right(of: dict[str, t.Any], answers: dict[str, dict[str, t.Any]]) -> None:
    look = looked(model(of), answers)
    assert said(look) == []
    assert said(look, "ok") == ["Panels of 1 dashboard have data, or say why not"]


@pytest.mark.parametrize("none", ["No data", "Is it scraped?"])
def test_a_text_that_explains_nothing(none: str) -> None:
    assert said(looked(model(panel("x", none=none)), {"x": {"data": False}})) == ["It: 1 panel has no data: One"]


@pytest.mark.parametrize(("tags", "found"), [(["opswatch"], 0), ([], 1)])
def test_our_dashboards_are_there_whatever_is_scraped(tags: list[str], found: int) -> None:
    exprs = ("pg_up", "monitoring:threshold and on () (pg_up)")
    look = looked(
        model(panel(*exprs), tags=tags), {expr: {"data": False} for expr in exprs}, ["up", "monitoring:threshold"]
    )
    assert len(said(look)) == found


def test_panels_that_ask_something_else_are_said() -> None:
    look = looked(model(panel("up"), panel("{}", kind="loki")), {"up": {"data": True}})
    assert said(look, "note") == ["1 panel was not looked at: what they ask is not Prometheus"]


# --- slow rules ---


def group(seconds: float, missed: float = 0) -> Answers:
    labels = {"rule_group": "/etc/prometheus/rules/a.yml;shop"}
    return Answers(
        {
            "rule_duration": vector((labels, seconds)),
            "rule_interval": vector((labels, 15)),
            "rule_missed": vector((labels, missed)) if missed else vector(),
            "rules": {"data": {"groups": [{"name": "shop", "rules": [{"name": "R", "evaluationTime": 0.5}]}]}},
        }
    )


@pytest.mark.parametrize(
    ("seconds", "missed", "what"),
    [
        (8, 0, ["1 group of rules took half of the interval or more: shop"]),
        (0.02, 3, ["1 group of rules missed evaluations in the last week: shop"]),
        (7, 0, []),
    ],
)
def test_slow_rules(seconds: float, missed: float, what: list[str]) -> None:
    look = rules.slow_look("mon1", group(seconds, missed))
    assert said(look) == what
    assert bool(said(look, "ok")) == (not what)
    if seconds == 8:
        assert look.findings[0].evidence == "shop: 8 s of 15 s. Slowest rules: R (500 ms)"


# --- rules of the inventory ---

FILE = [
    {
        "name": "g",
        "rules": [
            {"record": "a:b", "expr": "sum(x) by (job) # why\n / 1e3"},
            {
                "alert": "A",
                "expr": "up  ==\n0",
                "for": "5m",
                "labels": {"severity": "warning"},
                "annotations": {"summary": "S\n"},
            },
        ],
    }
]


def server(**changes: t.Any) -> list[dict[str, t.Any]]:
    record = {"type": "recording", "name": "a:b", "query": "sum by (job) (x) / 1000", "labels": None}
    one = {
        "type": "alerting",
        "name": "A",
        "query": "up == 0",
        "duration": 300,
        "labels": {"severity": "warning"},
        "annotations": {"summary": "S"},
    }
    return [{"name": "g", "rules": [record, {**one, **changes}]}]


PRINTED = {"format sum(x)by(job)/1e3": {"data": "sum by (job) (x)\n/\n  1000"}}


def drift(
    groups: list[dict[str, t.Any]], wanted: list[dict[str, t.Any]] = FILE, printed: dict[str, t.Any] = PRINTED
) -> Look:
    return rules.drift_look("mon1", wanted, Answers({"rules": {"data": {"groups": groups}}}), Answers(printed))


def test_rules_that_are_the_same_whatever_they_look_like() -> None:
    unclear = rules.unclear(FILE, rules.in_force(server()))
    assert list(unclear) == list(PRINTED)
    assert unclear["format sum(x)by(job)/1e3"].startswith("/api/v1/format_query?query=sum%28x%29")
    assert said(drift(server())) == []
    assert said(drift(server()), "ok") == ["All 2 rules are those of the inventory"]


@pytest.mark.parametrize(
    ("change", "evidence"),
    [
        ({"query": "up == 1"}, "A has another expr"),
        ({"duration": 60}, "A has another for"),
        ({"labels": {"severity": "critical"}, "annotations": {}}, "A has another labels and annotations"),
    ],
)
def test_a_rule_that_was_changed(change: dict[str, t.Any], evidence: str) -> None:
    (found,) = drift(server(**change)).findings
    assert (found.severity, found.what, found.evidence) == (
        "warning",
        "1 rule differs from the inventory: A (g)",
        evidence,
    )


def test_rules_that_are_missing_or_more() -> None:
    more = [*server(), {"name": "hand", "rules": [{"type": "recording", "name": "z", "query": "1"}]}]
    assert said(drift(more)) == ["1 rule is in force, and is not in the inventory: z (hand)"]
    assert said(drift([{"name": "g", "rules": server()[0]["rules"][:1]}])) == [
        "1 rule is missing, and is in the inventory: A (g)"
    ]


def test_white_space_in_strings_is_kept() -> None:
    assert rules.squeezed('x{a="b  c"} # d\n + y') == 'x{a="b  c"}+y'


def test_our_rules_are_equal_to_themselves() -> None:
    wanted = rules.wanted(role_facts.prometheus_rules())
    assert len(wanted) > 80
    assert all(rule.expr and rule.name for rule in wanted)


# --- slow queries, retention ---


@pytest.mark.parametrize(("worst", "severity"), [(0.2, "ok"), (7, "warning")])
def test_slow_queries(worst: float, severity: str) -> None:
    (found,) = slow.slow("mon1", Answers({"query_p99": vector(({}, worst)), "query_log": vector(({}, 0))})).findings
    assert found.severity == severity
    assert ("log is off" in found.evidence) == (severity == "warning")


def test_queries_that_nobody_asks() -> None:
    assert slow.slow("mon1", Answers({})).findings == ()


STATEMENT = {"datname": "shop", "queryid": "42", "user": "shop"}


@pytest.mark.parametrize(("mean", "what"), [(6, ["A statement takes 6 s in the mean: shop 42 shop"]), (1, [])])
def test_statements(mean: float, what: list[str]) -> None:
    answers = {
        "statements_spent": vector((STATEMENT, 60)),
        "statements_mean": vector((STATEMENT, mean)),
        "statements_limit": vector(({}, 5)),
    }
    look = slow.statements(Answers(answers))
    assert said(look) == what
    assert bool(said(look, "ok")) == (not what)
    assert look.charts[0].rows[0].text == f"60 s, mean {mean * 1000} ms"


def test_statements_that_are_not_told() -> None:
    assert said(slow.statements(Answers({"databases": vector(({}, 1))}))) == [
        "PostgreSQL tells no statements: slow ones were not looked at"
    ]
    assert slow.statements(Answers({})).findings == ()


@pytest.mark.parametrize(
    ("days", "retentions", "severity"),
    [(5, 0, "ok"), (30, 0, "ok"), (33, 0, "ok"), (40, 0, "warning"), (12, 3, "warning"), (29, 3, "ok")],
)
def test_retention_of_series(days: float, retentions: float, severity: str) -> None:
    told = {
        "flags": {"data": {"storage.tsdb.retention.time": "30d"}},
        "lowest": vector(({}, NOW - days * DAY)),
        "size_retentions": vector(({}, retentions)),
    }
    (found,) = slow.retention("mon1", Answers(told, NOW)).findings
    assert found.severity == severity


def line(days: float) -> list[dict[str, t.Any]]:
    return [{"timestamp": str(int((NOW - days * DAY) * 1e9)), "line": "x"}]


@pytest.mark.parametrize(
    ("lines", "severity", "what"),
    [
        ({"kept": line(20), "gone": []}, "ok", "Log lines are kept as long as they should be, and no longer"),
        ({"kept": line(29), "gone": line(40)}, "warning", "Lines are 40 days old, and should be gone after 31"),
        ({"kept": [], "gone": []}, "note", "Loki has no line of any service"),
    ],
)
def test_retention_of_logs(lines: dict[str, t.Any], severity: str, what: str) -> None:
    (found,) = logs.retention_look("mon1", 31 * DAY, lines, NOW).findings
    assert (found.severity, found.what) == (severity, what)


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({}, "744h"),
        ({"limits_config": None}, "744h"),
        ({"limits_config": {"retention_period": "48h"}}, "48h"),
        ({"limits_config": {"retention_stream": [{"period": "24h"}, {"period": "8760h"}]}}, "8760h"),
        ({"limits_config": {"retention_stream": [{"period": "24h"}]}}, "744h"),
        ({"limits_config": {"retention_period": "0s", "retention_stream": [{"period": "8760h"}]}}, "0s"),
        ({"limits_config": {"retention_stream": [{"priority": 1}, {"period": None}, "x", {"period": "900h"}]}}, "900h"),
        ({"limits_config": {"retention_stream": {"period": "8760h"}}}, "744h"),
        ({"limits_config": {"retention_stream": 5}}, "744h"),
        ("no map", "744h"),
    ],
)
def test_lines_may_be_as_old_as_the_longest_period(config: t.Any, longest: str) -> None:
    assert logs.longest_retention("744h", config) == longest


def test_retention_questions_stay_below_what_loki_refuses() -> None:
    for retention in (DAY, 31 * DAY, 365 * DAY):
        asked = logs.retention_questions(retention, NOW)
        for one in asked.values():
            assert 0 < int(one["end"]) - int(one["start"]) < 30 * DAY
        assert int(asked["gone"]["end"]) < NOW - retention
    assert list(logs.retention_questions(0, NOW)) == ["kept"]
