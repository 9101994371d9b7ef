# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily checks: what each finds, and where it stays silent."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_alerts as alerts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_logs as logs
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_resources as resources
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_answers import (
    Answers,
    compared,
    compared_in,
    named,
    plain,
    size,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

NOW = 1_800_000_000.0


def ranges(*series: tuple[dict[str, str], list[float]]) -> dict[str, t.Any]:
    """As Prometheus answers a query over a range."""
    result = [
        {"metric": labels, "values": [[NOW + index, str(value)] for index, value in enumerate(points)]}
        for labels, points in series
    ]
    return {"data": {"resultType": "matrix", "result": result}}


def vector(*series: tuple[dict[str, str], float]) -> dict[str, t.Any]:
    return {"data": {"resultType": "vector", "result": [{"metric": m, "value": [NOW, str(v)]} for m, v in series]}}


def said(look: Look, *severities: str) -> list[str]:
    return [one.what for one in look.findings if one.severity in (severities or ("broken", "warning", "note"))]


# --- answers ---


def test_what_is_no_number_is_left_out() -> None:
    answers = Answers({"a": ranges(({}, [1, float("nan"), 2]), ({"x": "y"}, [float("inf")]))})
    assert [(one.labels, one.points) for one in answers.series("a")] == [({}, [1.0, 2.0])]
    assert answers.number("a") == 2.0
    assert answers.number("none") is None


def test_refused_questions_are_said_once() -> None:
    (found,) = Answers({"a": {"error": "parse error"}, "b": {"error": "x"}, "c": {"data": 1}}).problems("daily", "mon1")
    assert (found.severity, found.what) == ("warning", "2 of 3 questions were not answered by Prometheus")
    assert found.evidence == "a, b; of a it says: parse error"
    assert Answers({"c": {"data": 1}}).problems("daily", "mon1") == []


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (4.0, "4"), (3.14159, "3.14"), (93.26, "93.3"), (1234.5, "1234"), (0.0004, "4.0e-04")]
)
def test_plain_numbers(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (200 << 20, "200 MiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes(value: int, text: str) -> None:
    assert size(value) == text


def test_series_in_words() -> None:
    assert named({"__name__": "x", "job": "node", "instance": "app1", "device": "/dev/sda"}) == "app1 /dev/sda"
    assert named({}) == "all"


# --- what alerts compare ---


def test_left_side_of_a_comparison() -> None:
    expr = '# why\n100 * a / b\n  > on () group_left () monitoring:threshold{alert="X"}\n  and c > 0'
    assert compared_in(expr, "X") == ("100 * a / b", False)
    assert compared_in('a < on () group_left () monitoring:threshold{alert="X"}', "X") == ("a", True)


@pytest.mark.parametrize(
    "expr",
    [
        "up == 0",
        'a > on () group_left () monitoring:threshold{alert="Other"}',
        'a and b > on () group_left () monitoring:threshold{alert="X"}',  # b is what is compared
        'sum(a > on () group_left () monitoring:threshold{alert="X"})',
    ],
)
def test_no_left_side_of_its_own(expr: str) -> None:
    assert compared_in(expr, "X") is None


def test_set_operators_inside_parentheses_are_whole() -> None:
    assert compared_in('max((a or b)) > on () monitoring:threshold{alert="X"}', "X") == ("max((a or b))", False)


def test_every_threshold_of_the_collection_is_understood() -> None:
    assert set(compared()) == set(role_facts.thresholds())
    assert {one.alert for one in resources.RESOURCES} <= set(compared())


# --- alerts ---


def alert(
    state: str = "firing", severity: str = "critical", instance: str = "app1", **annotations: str
) -> dict[str, t.Any]:
    labels = {"alertname": "X", "severity": severity, "instance": instance, "job": "shop"}
    return {"state": state, "labels": labels, "annotations": annotations, "activeAt": "2026-11-25T03:00:00.5Z"}


def rules(*of: dict[str, t.Any], name: str = "ShopDown", **more: t.Any) -> dict[str, t.Any]:
    rule = {"type": "alerting", "name": name, "health": "ok", "alerts": list(of), **more}
    return {"rules": {"data": {"groups": [{"name": "g", "rules": [rule]}]}}}


@pytest.mark.parametrize(
    ("severity", "expected"),
    [("critical", "broken"), ("warning", "warning"), ("info", "note"), ("", "warning"), ("page", "warning")],
)
def test_a_firing_alert(severity: str, expected: str) -> None:
    one = alert(severity=severity, summary="The shop is down", description="Since long.", runbook_url="https://r")
    (found,) = [
        f for f in alerts.look("mon1", Answers(rules(one))).findings if f.check == "alerts" and f.severity != "ok"
    ]
    assert found == Finding(
        "alerts",
        expected,
        "app1",
        "shop",
        "ShopDown: The shop is down",
        "since 2026-11-25 03:00: app1",
        "Since long.",
        "https://r",
    )


def test_alerts_of_one_name_are_one_finding() -> None:
    look = alerts.look("mon1", Answers(rules(alert(), alert(instance="app2"))))
    assert said(look, "broken") == ["ShopDown: it fires (2 alerts)"]
    assert look.findings[1].host == "app1, app2"


def test_pending_alerts_are_a_note() -> None:
    look = alerts.look("mon1", Answers(rules(alert(state="pending"), alert(state="pending"))))
    assert said(look) == ["2 alerts are pending: ShopDown (2)"]
    assert said(look, "ok") == ["Every rule can be evaluated", "No alert fires that asks for somebody"]


def test_muted_alerts_are_not_said_to_come() -> None:
    assert said(alerts.look("mon1", Answers(rules(alert(state="pending"))), ["ShopDown"])) == []
    assert said(alerts.look("mon1", Answers(rules(alert())), ["ShopDown"])) == ["ShopDown: it fires"]


def test_silence_of_the_watchdog_is_heard() -> None:
    assert said(alerts.look("m", Answers(rules(name="Watchdog")))) == [
        "Watchdog does not fire: rules are not evaluated, so no alert comes"
    ]
    assert said(alerts.look("m", Answers(rules(alert(severity="none"), name="Watchdog")))) == []


def test_a_rule_that_fails_is_broken() -> None:
    look = alerts.look("mon1", Answers(rules(health="err", lastError="many-to-many")))
    assert said(look, "broken") == ["1 rule cannot be evaluated: ShopDown"]
    assert look.findings[0].evidence == "ShopDown: many-to-many"


def test_alerts_of_the_day_are_drawn() -> None:
    chart = alerts.look(
        "m", Answers({"firing_critical": ranges(({}, [0, 2, 1])), "firing_warning": ranges(({}, [0, 0]))})
    ).charts[0]
    assert [(row.label, row.text, row.severity) for row in chart.rows] == [
        ("critical", "1 now, 2 at most", "broken"),
        ("warning", "0 now, 0 at most", "ok"),
    ]


# --- resources ---

DISK = {"instance": "app1", "device": "/dev/sda1", "job": "node_exporter"}
LIMITS = {"thresholds": vector(({"alert": "DiskSpaceLow"}, 90), ({"alert": "HighCPUUsage"}, 80))}


def disk(points: list[float], ahead: float | None = None) -> Look:
    told = {} if ahead is None else {"DiskSpaceLow_ahead": vector((DISK, ahead))}
    named_points = ({"__name__": "instance_device:node_filesystem_used:percent", **DISK}, points)
    return resources.look("mon1", Answers({**LIMITS, "DiskSpaceLow": ranges(named_points), **told}))


@pytest.mark.parametrize(
    ("points", "ahead", "severity", "what"),
    [
        ([92, 93], None, "warning", "Disk of app1 /dev/sda1: 93 %, above its threshold"),
        ([70, 80], 100.0, "warning", "Disk of app1 /dev/sda1: 80 %, and at its threshold in 3.5 days"),
        ([95, 80], 60.0, "note", "Disk of app1 /dev/sda1: 80 % now, but above its threshold within the last day"),
    ],
)
def test_a_disk(points: list[float], ahead: float | None, severity: str, what: str) -> None:
    assert said(disk(points, ahead), severity) == [what]


@pytest.mark.parametrize(("points", "ahead"), [([70, 80], None), ([70, 80], 89.0), ([80, 70], 20.0)])
def test_a_disk_that_is_fine(points: list[float], ahead: float | None) -> None:
    look = disk(points, ahead)
    assert said(look) == []
    assert said(look, "ok") == ["Resources are below their thresholds"]
    assert f"{points[-1]} %" in look.findings[0].evidence


def test_the_runbook_is_that_of_the_alert() -> None:
    (found,) = [one for one in disk([92, 93]).findings if one.severity == "warning"]
    rules = [rule for group in role_facts.prometheus_rules() for rule in group["rules"]]
    assert found.fix in [r["annotations"]["runbook_url"] for r in rules if r.get("alert") == "DiskSpaceLow"]


def test_a_threshold_that_is_off() -> None:
    assert said(resources.look("m", Answers({"DiskSpaceLow": ranges((DISK, [99]))}))) == []


def test_no_host_tells_anything() -> None:
    assert said(resources.look("m", Answers(LIMITS)), "warning") == ["There is no data about the resources of any host"]


def test_the_chart_begins_with_what_is_closest_to_its_threshold() -> None:
    cpu = ranges(({"instance": "app1"}, [79]), ({"instance": "app2"}, [10]))
    (chart,) = resources.look(
        "m", Answers({**LIMITS, "DiskSpaceLow": ranges((DISK, [85])), "HighCPUUsage": cpu})
    ).charts
    assert [row.label for row in chart.rows] == ["CPU of app1", "Disk of app1 /dev/sda1", "CPU of app2"]


def test_only_what_adds_up_is_forecast() -> None:
    names = {one["name"] for one in resources.queries()}
    assert {"DiskSpaceLow_ahead", "HighCPUUsage"} <= names
    assert "HighCPUUsage_ahead" not in names


# --- logs ---


def hours(service: str, counts: dict[int, int]) -> dict[str, t.Any]:
    """C(counts): lines by how many hours ago."""
    return {"metric": {"service": service}, "values": [[NOW - 3600 * ago, str(count)] for ago, count in counts.items()]}


def test_many_more_errors_than_the_day_before() -> None:
    look = logs.error_look("mon1", [hours("shop", {1: 25, 30: 5}), hours("auth", {2: 3, 26: 4})], NOW)
    assert said(look, "warning") == ["shop wrote 25 error lines in the last day, 5 in the day before"]
    assert said(look, "note") == ["1 service wrote errors, no more than usual: auth (3)"]
    assert [row.text for row in look.charts[0].rows] == ["25 lines", "3 lines"]
    assert look.charts[0].rows[0].points[22] == 25


@pytest.mark.parametrize("counts", [{1: 19}, {1: 100, 30: 50}, {0: 19, 23: 0}])
def test_errors_as_usual(counts: dict[int, int]) -> None:
    assert said(logs.error_look("mon1", [hours("shop", counts)], NOW), "warning") == []


@pytest.mark.parametrize("result", [[], [hours("shop", {30: 5})]])
def test_no_errors(result: list[dict[str, t.Any]]) -> None:
    look = logs.error_look("mon1", result, NOW)
    assert said(look) == []
    assert said(look, "ok") == ["No service wrote an error in the last day"]


def test_the_question_covers_both_days() -> None:
    asked = logs.error_question()
    assert (asked["since"], asked["step"]) == (47 * 3600, "1h")
