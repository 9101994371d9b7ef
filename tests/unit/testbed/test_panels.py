# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which panels have no data, and why: with a source that answers what it is told."""

from __future__ import annotations

import typing as t

import pytest

from tests.testbed.panels import chosen, gaps, problems, summary
from tests.testbed.queries import names_in, one_of, put_in


class Source:
    """Has data for the expressions that it holds; those in C(wrong) it refuses."""

    kinds = frozenset({"prometheus"})

    def __init__(self, *filled: str, wrong: dict[str, str] | None = None, jobs: t.Sequence[str] = ("shop",)) -> None:
        self.filled, self.wrong, self.jobs = filled, wrong or {}, list(jobs)
        self.asked: list[tuple[str, bool]] = []

    def has_data(self, expr: str, *, instant: bool, kind: str = "prometheus") -> bool | str:
        assert kind in self.kinds
        self.asked.append((expr, instant))
        return self.wrong.get(expr) or expr in self.filled

    def label_values(self, series: str, label: str) -> list[str]:
        return self.jobs if label == "job" else []


def dashboard(*targets: tuple[str, str], none: str = "No data", variables: t.Sequence[dict] = ()) -> dict[str, t.Any]:
    panel = {
        "id": 1,
        "type": "stat",
        "title": "One",
        "fieldConfig": {"defaults": {"noValue": none}},
        "targets": [{"refId": ref, "expr": expr, "instant": True} for ref, expr in targets],
    }
    return {"uid": "it", "title": "It", "panels": [panel], "templating": {"list": list(variables)}}


def found(source: Source, *targets: tuple[str, str], none: str = "No data") -> list[tuple[str, bool]]:
    _asked, result = gaps(source, [dashboard(*targets, none=none)])
    return [(str(gap), gap.explained) for gap in result]


def test_data_everywhere() -> None:
    assert found(Source("up", "x"), ("A", "up"), ("B", "x")) == []


@pytest.mark.parametrize(
    ("expr", "none", "reason", "explained"),
    [
        ("x", "No data", "no data", False),
        ("x", "Does anybody tell x?", "no data", False),
        ("x", "Nobody tells x", "the panel says: Nobody tells x", True),
        ("container_last_seen", "No data", "no cadvisor in this inventory", True),
        ('up{job="grafana"}', "No data", "no grafana in this inventory", True),
        ("instance:node_cpu_used:percent + pg_up", "x", "no node_exporter, postgres_exporter in this inventory", True),
    ],
)
def test_no_data_and_why(expr: str, none: str, reason: str, explained: bool) -> None:
    assert found(Source(), ("A", expr), none=none) == [(f"It / One [1] (A): {reason}", explained)]


def test_an_exporter_that_is_there_excuses_nothing() -> None:
    here = Source(jobs=["cadvisor"])
    assert found(here, ("A", "container_last_seen")) == [("It / One [1] (A): no data", False)]


def test_a_query_that_is_refused_is_wrong_whatever_the_panel_says() -> None:
    source = Source(wrong={"a / b": "many-to-many matching not allowed"})
    assert found(source, ("A", "a / b"), none="Fine") == [
        ("It / One [1] (A): many-to-many matching not allowed", False)
    ]


def test_one_of_two_sides_is_enough() -> None:
    assert found(Source("good"), ("normal", "good"), ("beyond", "bad")) == []
    assert [explained for _text, explained in found(Source(), ("normal", "good"), ("beyond", "bad"))] == [False, False]


def test_the_threshold_alone_is_no_data() -> None:
    assert found(Source("limit"), ("A", "x"), ("limit", "limit")) == [("It / One [1] (A): no data", False)]
    assert found(Source(), ("A", "x"), ("limit", "limit")) == [("It / One [1] (A): no data", False)]


def test_a_threshold_that_is_missing_is_wrong() -> None:
    assert found(Source("x"), ("A", "x"), ("limit", "limit"), none="Fine") == [("It / One [1] (limit): no data", False)]


def test_a_column_may_lack_data_only_where_it_has_a_condition() -> None:
    assert found(Source("x"), ("A", "x"), ("B", "y > 0"), none="Fine") == [
        ("It / One [1] (B): nothing meets its condition", True)
    ]
    assert found(Source("x"), ("A", "x"), ("B", 'y{z="> and"}'), none="Fine") == [("It / One [1] (B): no data", False)]


def test_variables_are_put_in() -> None:
    variables = [
        {"name": "datasource", "type": "datasource"},
        {"name": "job", "type": "query", "query": {"query": "label_values(up, job)"}},
        {"name": "host", "type": "query", "query": {"query": "label_values(up, instance)"}, "allValue": ".*"},
    ]
    source = Source(jobs=["a.b", "c-d"])
    assert chosen(source, dashboard(variables=variables)) == {"job": r"(a\\.b|c-d)", "host": ".*"}
    problems_of = dashboard(("A", 'rate(x{job=~"$job", h=~"${host}"}[$__rate_interval])'), variables=variables)
    gaps(source, [problems_of])
    assert source.asked == [(r'rate(x{job=~"(a\\.b|c-d)", h=~".*"}[2m])', True)]


def about_logs(none: str = "No data") -> dict[str, t.Any]:
    made = dashboard(
        ("A", '{x=~"$search.+"}'), none=none, variables=[{"name": "search", "type": "textbox", "query": ""}]
    )
    made["panels"][0]["targets"][0] |= {"datasource": {"type": "loki"}, "instant": False, "queryType": "instant"}
    return made


def test_logs_are_asked_of_who_has_them() -> None:
    assert gaps(Source(), [about_logs()]) == (0, [])

    class Both(Source):
        kinds = frozenset({"prometheus", "loki"})

    source = Both()
    asked, (gap,) = gaps(source, [about_logs()])
    assert (asked, gap.reason, gap.explained) == (1, "no loki in this inventory", True)
    assert source.asked == [('{x=~".+"}', True)]
    (gap,) = gaps(Both(jobs=["loki"]), [about_logs("Is there a loki in this inventory?")])[1]
    assert (gap.reason, gap.explained) == ("no data", False)
    assert gaps(Both('{x=~".+"}'), [about_logs()]) == (1, [])


def test_what_is_no_variable_stays() -> None:
    assert put_in('label_replace(x, "y", "${1}xx", "z", "(.).$") * $unknown', {}).endswith('"(.).$") * $unknown')
    assert names_in("$a ${b} ${c:queryparam} $1 ${1}xx ${__data.fields.d}") == {"a", "b", "c", "__data"}


def test_values_are_escaped_as_grafana_does() -> None:
    assert one_of(["db+1.example.com", "b|c"]) == r"(db\\+1\\.example\\.com|b\\|c)"


def test_problems_are_what_is_not_explained(tmp_path: t.Any) -> None:
    assert problems(Source(), tmp_path) == []
    asked, result = gaps(Source("up"), [dashboard(("A", "up"), ("B", "x"), ("C", "y > 0"))])
    assert summary(asked, result) == "3 queries: 1 with data, 1 rightly without, 1 wrong"
