# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example services' metrics: the guide's names, and labels that stay finite."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "dating_app"))

import dating_app
from dating_app.metrics import BUSINESS, ActiveUsers, Metrics

HTTP = {
    "http_requests_total": "counter",
    "http_request_duration_seconds": "histogram",
    "http_request_size_bytes": "histogram",
    "http_response_size_bytes": "histogram",
}


def samples(metrics):
    """Give (name, labels) to value for all that a scrape would see."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def observe(metrics, **changes):
    request = {"method": "GET", "route": "/profiles/{id}", "status": 200, "seconds": 0.3}
    metrics.observe_request(**{**request, "received_bytes": 0, "sent_bytes": 100, **changes})


def test_names_and_labels_of_http_metrics():
    metrics = Metrics("webapp", process=False)
    observe(metrics)
    text = metrics.render().decode()
    for name, kind in HTTP.items():
        assert f"# TYPE {name} {kind}\n" in text
    labels = (("method", "GET"), ("route", "/profiles/{id}"), ("service", "webapp"), ("status", "200"))
    seen = samples(metrics)
    assert seen["http_requests_total", labels] == 1
    assert seen["http_request_duration_seconds_sum", labels] == pytest.approx(0.3)
    assert seen["http_response_size_bytes_sum", labels] == 100
    assert seen["http_request_size_bytes_count", labels] == 1


def test_the_alert_threshold_is_a_bound_of_the_histogram():
    metrics = Metrics("webapp", process=False)
    observe(metrics)
    assert 'http_request_duration_seconds_bucket{le="2.0"' in metrics.render().decode()


def test_unknown_methods_are_one_label_value():
    metrics = Metrics("webapp", process=False)
    for number in range(1000):
        observe(metrics, method=f"M{number}", route="unmatched", status=404)
    series = [labels for name, labels in samples(metrics) if name == "http_requests_total"]
    assert [dict(labels)["method"] for labels in series] == ["OTHER"]


def test_database_metrics_have_the_operation_only():
    metrics = Metrics("webapp", process=False)
    metrics.db_queries.labels("get_profile").inc()
    with metrics.db_query_duration.labels("get_profile").time():
        pass
    seen = samples(metrics)
    assert seen["db_queries_total", (("operation", "get_profile"),)] == 1
    assert seen["db_query_duration_seconds_count", (("operation", "get_profile"),)] == 1


def test_business_metrics_are_where_the_work_is_and_start_at_zero():
    everywhere = set()
    for service in {*BUSINESS.values(), "webapp"}:
        names = {name for name, _ in samples(Metrics(service, process=False))}
        mine = {name for name in BUSINESS if name in names or f"{name}_count" in names}
        assert mine == {name for name, owner in BUSINESS.items() if owner == service}
        everywhere |= mine
    assert everywhere == {
        "profiles_created_total",
        "matches_created_total",
        "active_users_current",
        "profile_view_duration_seconds",
    }


def test_no_series_of_creation_times():
    # The client library reads this setting once in a process: ask a fresh one.
    program = "from dating_app.metrics import Metrics; print(Metrics('profile-service').render().decode())"
    run = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=Path(dating_app.__file__).parents[1],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "profiles_created_total 0.0" in run.stdout
    assert "profiles_created_created" not in run.stdout


def test_active_users_leave_after_the_window_and_are_bounded():
    now = 0.0
    users = ActiveUsers(window=10, limit=3, clock=lambda: now)
    for user in (1, 2, 3, 4, 4):
        users.add(user)
    assert users.count() == 3
    users.remove(4)
    users.remove(1)
    assert users.count() == 2
    now = 8.0
    users.add(2)
    now = 11.0
    assert users.count() == 1
    now = 19.0
    assert users.count() == 0
