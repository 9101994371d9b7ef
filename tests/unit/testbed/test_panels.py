# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which panels have no data, and why: with a source that answers what it is told."""

from __future__ import annotations

import typing as t
from fnmatch import fnmatchcase

import pytest

from tests.testbed import panels
from tests.testbed.panels import MAY_BE_EMPTY, Grafana, Prometheus, as_people_see, chosen, gaps, settled, summary, wrong
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
        ("x", "Nobody tells x", "no data, and it is not in MAY_BE_EMPTY; the panel says: Nobody tells x", False),
        ("container_last_seen", "No data", "no cadvisor in this inventory", True),
        ('up{job="grafana"}', "No data", "no grafana in this inventory", True),
        ('up{job=~"loki|alloy"}', "No data", "no loki or alloy in this inventory", True),
        ('up{job=~"loki|shop"}', "No data", "no data", False),
        ("instance:node_cpu_used:percent + pg_up", "x", "no node_exporter, postgres_exporter in this inventory", True),
    ],
)
def test_no_data_and_why(expr: str, none: str, reason: str, explained: bool) -> None:
    assert found(Source(), ("A", expr), none=none) == [(f"It / One [1] (A): {reason}", explained)]


def test_what_may_be_empty_has_to_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "MAY_BE_EMPTY", ("It / One",))
    assert found(Source(), ("A", "x"), none="Fine") == [("It / One [1] (A): the panel says: Fine", True)]
    assert found(Source(), ("A", "x"), none="Fine?") == [("It / One [1] (A): no data", False)]
    assert found(Source("y"), ("A", "x"), ("B", "y"), none="Fine") == [("It / One [1] (A): no data", False)]
    monkeypatch.setattr(panels, "MAY_BE_EMPTY", ("It / On", "it / *"))
    assert [explained for _text, explained in found(Source(), ("A", "x"), none="Fine")] == [False]


@pytest.mark.parametrize("pattern", MAY_BE_EMPTY)
def test_each_that_may_be_empty_is_a_panel_of_ours_that_says_why(pattern: str) -> None:
    texts = [
        target.none
        for board in panels.read()
        for panel in panels.panels(board)
        for target in panels.targets(board, panel)
        if fnmatchcase(target.panel.rpartition(" [")[0], pattern)
    ]
    assert any(text != "No data" and not text.endswith("?") for text in texts)


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
    for expr in ('y{z="> and"}', 'label_replace(y, "a", ">", "b", "")', 'y{z!="", a="}>"}', "(y) and topk(3, y)"):
        assert found(Source("x"), ("A", "x"), ("B", expr), none="Fine") == [("It / One [1] (B): no data", False)]


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
    assert source.asked == [], "Grafana would not know the datasource"
    (gap,) = gaps(Both(jobs=["loki"]), [about_logs("Is there a loki in this inventory?")])[1]
    assert (gap.reason, gap.explained) == ("no data", False)
    there = Both('{x=~".+"}', jobs=["loki"])
    assert gaps(there, [about_logs()]) == (1, [])
    assert there.asked == [('{x=~".+"}', True)]


def test_what_is_no_variable_stays() -> None:
    assert put_in('label_replace(x, "y", "${1}xx", "z", "(.).$") * $unknown', {}).endswith('"(.).$") * $unknown')
    assert names_in("$a ${b} ${c:queryparam} $1 ${1}xx ${__data.fields.d}") == {"a", "b", "c", "__data"}


def test_values_are_escaped_as_grafana_does() -> None:
    assert one_of(["db+1.example.com", "b|c"]) == r"(db\\+1\\.example\\.com|b\\|c)"


def test_wrong_is_what_is_not_explained() -> None:
    asked, result = gaps(Source("up"), [dashboard(("A", "up"), ("B", "x"), ("C", "y > 0"))])
    assert wrong(result) == ["It / One [1] (B): no data"]
    assert summary(asked, result) == "3 queries: 1 with data, 1 rightly without, 1 wrong"


def test_it_waits_until_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    monkeypatch.setattr(panels, "read", lambda: [dashboard(("A", "up"))])
    monkeypatch.setattr(panels.time, "sleep", lambda _seconds: setattr(source, "filled", ("up",)))
    assert len(settled(source, limit=0)[1]) == 1
    assert settled(source) == (1, [])
    assert len(source.asked) == 3


def test_the_stand_in_of_grafana_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    grafana, prometheus = Grafana("http://grafana", ("a", "b")), Prometheus("http://prometheus", ("a", "b"))
    for stand_in, source in ((True, prometheus), (False, grafana)):
        monkeypatch.setattr(Grafana, "is_stand_in", stand_in)
        assert as_people_see(grafana, prometheus) is source
