# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monthly checks: what each finds, and where it stays silent; and how looks become a report."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_hosts as hosts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_series as series
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance_thresholds as thresholds
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_queries import read
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_answers import Answers, Compared
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

NOW = 1_800_000_000.0


def vector(*of: tuple[dict[str, str], float]) -> dict[str, t.Any]:
    return {"data": {"resultType": "vector", "result": [{"metric": m, "value": [NOW, str(v)]} for m, v in of]}}


def said(look: Look, *severities: str) -> list[str]:
    return [one.what for one in look.findings if one.severity in (severities or ("broken", "warning", "note"))]


# --- thresholds ---


def month(alert: str, threshold: float, **of: tuple[float, float, float]) -> dict[str, t.Any]:
    """C(of): by host, what was usual, rare and extreme."""
    numbers = [
        ({"instance": host, "seen": name}, value)
        for host, three in of.items()
        for name, value in zip(("usual", "rare", "extreme"), three, strict=True)
    ]
    return {"hours": vector(({}, 720)), "thresholds": vector(({"alert": alert}, threshold)), alert: vector(*numbers)}


def test_a_threshold_that_is_crossed_in_usual_times() -> None:
    look = thresholds.look("mon1", Answers(month("HighCPUUsage", 80, app1=(91, 96.2, 99), app2=(10, 20, 30))))
    (found,) = [one for one in look.findings if one.severity == "warning"]
    assert (found.host, found.what) == (
        "app1",
        "HighCPUUsage: app1 is above its threshold of 80 for over 5 % of the time",
    )
    assert found.evidence == "p95 91, p99 96.2, most 99"
    assert found.fix == "if it is usual: prometheus_thresholds: {HighCPUUsage: 97}, which is its p99, rounded"
    assert [(row.label, row.text, row.severity) for row in look.charts[0].rows] == [
        ("HighCPUUsage", "p95 91, p99 96.2 of 80", "warning")
    ]


def test_a_threshold_below_which_is_bad() -> None:
    look = thresholds.look("mon1", Answers(month("CertificateExpiresSoon", 21, app1=(12, 8.7, 8), app2=(40, 30, 29))))
    (found,) = [one for one in look.findings if one.severity == "warning"]
    assert found.what == "CertificateExpiresSoon: app1 is below its threshold of 21 for over 5 % of the time"
    assert found.fix == "if it is usual: prometheus_thresholds: {CertificateExpiresSoon: 8.7}, which is its p1, rounded"


def test_thresholds_far_from_what_is_seen() -> None:
    look = thresholds.look("mon1", Answers(month("HighResponseTime", 2, shop=(0.1, 0.2, 0.5))))
    assert said(look) == ["1 threshold is more than twice what was ever seen"]
    assert "HighResponseTime 0.4 (now 2, p99 0.2)" in look.findings[0].evidence
    assert said(look, "ok") == ["No threshold of 1 is crossed in usual times"]


def test_a_threshold_that_fits() -> None:
    look = thresholds.look("mon1", Answers(month("HighCPUUsage", 80, app1=(50, 70, 85))))
    assert said(look) == []


def test_before_a_day_is_known_nothing_is_proposed() -> None:
    told = {**month("HighCPUUsage", 80, app1=(91, 96, 99)), "hours": vector(({}, 3))}
    assert said(thresholds.look("mon1", Answers(told))) == [
        "Less than a day is known: thresholds and alerts were not looked at"
    ]


@pytest.mark.parametrize(
    ("value", "down", "rounded"),
    [
        (96.2, False, 97),
        (96.2, True, 96),
        (0.0123, False, 0.013),
        (1234, False, 1300),
        (0, False, 0),
        (50, False, 50),
        (8.7, True, 8.7),
    ],
)
def test_two_digits(value: float, down: bool, rounded: float) -> None:
    assert thresholds.nice(value, down) == pytest.approx(rounded)


def test_quantiles_of_either_side() -> None:
    above, below = (thresholds.quantiles(Compared("x", side)) for side in (False, True))
    assert 'label_replace(quantile_over_time(0.99, (x)[30d:1h]), "seen", "rare", "", "")' in above
    assert "quantile_over_time(0.01, (x)" in below
    assert "min_over_time((x)" in below


# --- alerts of a month ---


def alerts(**fired: float) -> Answers:
    names = [
        {"name": "A", "labels": {"severity": "warning"}},
        {"name": "B", "labels": {}},
        {"name": "Watchdog", "labels": {"severity": "none"}},
    ]
    told = [({"alertname": name}, hours) for name, hours in fired.items()]
    return Answers(
        {"hours": vector(({}, 100)), "fired": vector(*told), "rules": {"data": {"groups": [{"rules": names}]}}}
    )


def test_alerts_that_fired_always() -> None:
    look = thresholds.look("mon1", alerts(A=95, B=89, Watchdog=100))
    assert said(look) == ["A fired in 95 % of all hours: nobody looks at it any more"]


def test_alerts_that_never_fired() -> None:
    look = thresholds.look("mon1", alerts(A=5, Watchdog=100))
    assert said(look) == ["1 of 3 alerts never fired in 4.17 days"]
    assert look.findings[0].evidence == "B"


def test_alerts_that_fire_now_and_then() -> None:
    assert said(thresholds.look("mon1", alerts(A=5, B=1, Watchdog=100))) == []


# --- series ---


def tsdb(total: int, **metrics: int) -> dict[str, t.Any]:
    return {
        "tsdb": {
            "data": {
                "headStats": {"numSeries": total},
                "seriesCountByMetricName": [{"name": name, "value": count} for name, count in metrics.items()],
                "labelValueCountByLabelName": [{"name": "path", "value": 10}],
            }
        },
        "names": {"data": ["up", "ALERTS", "scrape_duration_seconds", *metrics]},
        "all_rules": {"data": {"groups": [{"rules": [{"query": "rate(used_total[5m]) > 0"}]}]}},
    }


BEFORE = {"series mon1": {"total": 4000, "metrics": {"a": 100}, "labels": {"path": 4}}}


def test_the_first_report_has_nothing_to_compare_with() -> None:
    look = series.look("mon1", Answers(tsdb(100, a=60)), {}, [])
    assert said(look)[0] == "100 series; the next report will say what grew"
    assert look.state == {"series mon1": {"total": 100, "metrics": {"a": 60}, "labels": {"path": 10}}}


@pytest.mark.parametrize(("total", "severity"), [(5001, "warning"), (4900, "ok"), (3000, "ok")])
def test_series_that_grew(total: int, severity: str) -> None:
    look = series.look("mon1", Answers(tsdb(total, a=150, b=7)), BEFORE, [])
    (found,) = [one for one in look.findings if one.check == series.GROWTH]
    assert (found.severity, found.evidence) == (severity, "most: a +50, b +7; labels: path +6")
    assert look.charts[0].rows[0].text == "150 (+50 %)"


def test_few_series_may_double() -> None:
    before = {"series mon1": {"total": 100, "metrics": {}, "labels": {}}}
    assert "warning" not in {one.severity for one in series.look("mon1", Answers(tsdb(300, a=1)), before, []).findings}


def test_metrics_that_nobody_asks_for() -> None:
    panel = {"type": "stat", "title": "x", "targets": [{"expr": "sum(shown)"}]}
    board = read({"uid": "x", "title": "x", "panels": [panel]})
    look = series.look("mon1", Answers(tsdb(100, used_total=10, shown=5, idle=30, less=20)), BEFORE, [board])
    (found,) = [one for one in look.findings if one.check == series.UNUSED]
    assert found.what == "2 of 7 metrics are in no rule and none of 1 dashboard: at least 50 % of all series"
    assert found.evidence == "most series: idle (30), less (20)"


def test_all_metrics_are_asked_for() -> None:
    look = series.look("mon1", Answers(tsdb(100, used_total=10)), BEFORE, [])
    assert said(look, "ok")[-1] == "Every metric is in a rule or a dashboard"


# --- hosts ---


def installed(version: str = "3.5.3", busy: str = "", *remove: tuple[str, int]) -> list[dict[str, t.Any]]:
    gone = [{"what": what, "path": f"/opt/{what}", "bytes": size} for what, size in remove]
    return [{"name": "prometheus", "version": version, "bytes": 100, "busy": busy, "remove": gone}]


@pytest.mark.parametrize(
    ("version", "what"),
    [
        ("2.53.3", ["1 component is behind the tested set: prometheus 2.53.3 (3.5.3)"]),
        ("3.5.3", []),
        ("3.10.0", []),
        ("", []),
    ],
)
def test_versions(version: str, what: list[str]) -> None:
    look = hosts.versions("mon1", installed(version), {"prometheus": "3.5.3"})
    assert said(look) == what
    if what:
        assert look.findings[0].fix == "playbooks/upgrade.yml -e '{upgrade_to: {prometheus: 3.5.3}}'"


@pytest.mark.parametrize(("done", "word"), [(True, "freed"), (False, "would free")])
def test_clean_up(done: bool, word: str) -> None:
    look = hosts.cleaned(
        "mon1", installed("3.5.3", "", ("prometheus 2.42.0", 3 << 20), ("generation 1", 1 << 20)), done
    )
    assert said(look) == [f"Clean-up of mon1 {word} 4.0 MiB: prometheus 2.42.0, generation 1"]


def test_nothing_to_clean_up() -> None:
    assert said(hosts.cleaned("mon1", installed(), True), "ok") == ["Nothing is left over on mon1"]


def test_a_component_that_is_busy() -> None:
    look = hosts.cleaned("mon1", installed("3.5.3", "a change that was begun is not finished"), True)
    assert said(look, "warning") == ["prometheus was not cleaned up: a change that was begun is not finished"]


@pytest.mark.parametrize(
    ("result", "what"),
    [
        ({"tombstones": 0, "blocks": 0}, "No deleted series are left in the blocks of mon1"),
        (
            {"tombstones": 3, "blocks": 2, "changed": True, "freed": 2048},
            "Cleaning deleted series out of Prometheus' blocks freed 2.0 KiB",
        ),
        (
            {"tombstones": 3, "blocks": 2, "changed": True, "predicted": True, "freed": 0},
            "Deleted series are left in Prometheus' blocks: cleaning would rewrite 2 blocks",
        ),
        (
            {"tombstones": 3, "blocks": 2, "skipped_because": "its API for that is off"},
            "Deleted series were not cleaned out of Prometheus' blocks: its API for that is off",
        ),
    ],
)
def test_tombstones(result: dict[str, t.Any], what: str) -> None:
    assert [one.what for one in hosts.tombstones("mon1", result).findings] == [what]


# --- the report ---


def registered(component: str, routine: str, *findings: Finding, **more: t.Any) -> dict[str, t.Any]:
    return {f"__maintenance_{component}_{routine}": {"look": Look(findings).as_data(), **more}}


OK = Finding("x", "ok", "mon1", "prometheus", "Fine")


def test_looks_of_all_hosts_come_together() -> None:
    hostvars = {
        "mon1": {
            **registered("prometheus", "daily", OK),
            **registered("prometheus", "weekly", OK._replace(what="Other")),
        },
        "log1": registered("loki", "daily", OK._replace(host="log1")),
        "app1": {},
    }
    look = maintenance.gathered("daily", hostvars, hostvars)
    assert [one.host for one in look.findings] == ["mon1", "log1"]


def test_what_was_not_looked_at_is_said() -> None:
    assert said(maintenance.gathered("daily", {"app1": {}}, ["app1"])) == [
        "No Prometheus was looked at",
        "The inventory has no Loki: error logs were not looked at",
    ]
    weekly = maintenance.gathered("weekly", {"mon1": registered("prometheus", "weekly", OK)}, ["mon1"])
    assert said(weekly) == [
        "The inventory has no Loki: the retention of logs was not looked at",
        "The inventory has no Grafana: no dashboard was looked at",
    ]
    assert said(maintenance.gathered("monthly", {"mon1": registered("prometheus", "monthly", OK)}, ["mon1"])) == []


def test_a_look_that_was_skipped_is_none() -> None:
    skipped = {"mon1": {"__maintenance_prometheus_daily": {"skipped": True, "changed": False}}}
    assert "No Prometheus was looked at" in said(maintenance.gathered("daily", skipped, ["mon1"]))
