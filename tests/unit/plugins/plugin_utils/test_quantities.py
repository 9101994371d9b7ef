# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import quantities, role_facts


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (
            quantities.DURATION,
            ["15s", "1d12h", "30d", "1y2w3d4h5m6s7ms", "0s"],
            ["5 days", "5", 15, "", "12h1d", "1.5h", "-5d", "30D", "d"],
        ),
        (quantities.HOURS, ["90s", "1.5h", "120h", "1h30m", "500ms"], ["5d", "120", "1 h", ""]),
        (quantities.SIZE, ["512MB", "10GB", "1.5TiB", "100B"], ["10 GB", "10G", "10gb", 1024, ""]),
    ],
)
def test_kinds(kind: quantities.Kind, right: list[t.Any], wrong: list[t.Any]) -> None:
    assert [value for value in right if not quantities.is_a(kind, value)] == []
    assert [value for value in wrong if quantities.is_a(kind, value)] == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("168h", 604800),
        ("7d", 604800),
        ("1w1d", 691200),
        ("1.5h", 5400),
        ("1m500ms", 60.5),
        ("0s", 0),
        ("500ms", 0.5),
        ("7 d", None),
        ("", None),
        (None, None),
    ],
)
def test_seconds(value: t.Any, expected: float | None) -> None:
    assert quantities.seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (256000, 256000),
        ("256000", 256000),
        ("256KB", 256 << 10),
        ("256 kb", 256 << 10),
        ("1MiB", 1 << 20),
        ("1M", 1 << 20),
        ("2GB", 2 << 30),
        ("1.5kB", 1536),
        ("0", 0),
        ("x", None),
        (None, None),
        ("-1", None),
    ],
)
def test_size(value: t.Any, expected: float | None) -> None:
    assert quantities.size(value) == expected


def test_problem_says_what_to_write() -> None:
    stated = {"prometheus_retention_time": "5 days", "prometheus_retention_size": "", "prometheus_scrape_interval": 15}
    first, second = quantities.quantity_problems("prometheus", stated)
    assert first == ("prometheus_scrape_interval is no duration", "15", second.remedy)
    assert second.what == "prometheus_retention_time is no duration"
    assert "'5 days'" in second.seen
    assert "30s, 90m or 15d" in second.remedy


@pytest.mark.parametrize("component", quantities.OPTIONS)
def test_defaults_are_right(component: str) -> None:
    """And each of the names is an option of its role."""
    for name in quantities.OPTIONS[component]:
        assert name in role_facts.options(component)
    names = [name.removeprefix(f"{component}_") for name in quantities.OPTIONS[component]]
    stated = {f"{component}_{name}": role_facts.default(component, name) for name in names}
    values = {name: value for name, value in stated.items() if "{{" not in str(value)}  # a template is none yet
    assert quantities.quantity_problems(component, values) == []
