# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_report import (
    Problem,
    from_error,
    report,
    without,
)


def test_report_is_numbered_and_says_each_problem_once() -> None:
    problems = [
        Problem("one is wrong", "it is 1", "make it 2"),
        Problem("two is wrong", "first line\nsecond line"),
        Problem("one is wrong", "it is 1", "make it 2"),
    ]
    assert report("app1", problems, everywhere=True) == (
        "Preflight found 2 problems on app1. Nothing was changed on any host.\n"
        "1. one is wrong: it is 1\n"
        "   What to do: make it 2\n"
        "2. two is wrong:\n"
        "       first line\n"
        "       second line"
    )


def test_report_of_one_problem() -> None:
    assert report("app1", [Problem("it")]) == "Preflight found 1 problem on app1. Nothing was changed here.\n1. it"


@pytest.mark.parametrize(
    ("hosts", "limit", "pattern"),
    [
        (["app1"], "", "'all:!app1'"),
        (["app1", "app2"], "web", "'web:!app1:!app2'"),
        (["app1"], "web,db", "'web,db,!app1'"),
        (["app1"], "@failed.retry", "'@failed.retry:!app1'"),
        (["fd00::1"], "", "'all,!fd00::1'"),
        ([f"app{number}" for number in range(1, 6)], "", "'all:!app1:!app2:!app3:!app4:!app5'"),
        ([f"app{number}" for number in range(1, 7)], "", "'all:!app1:!app2:!app3:!app4:!app5:!app6'"),
    ],
)
def test_way_on_without_hosts(hosts: list[str], limit: str, pattern: str) -> None:
    way = without(hosts, limit)
    assert way.endswith(f": --limit {pattern}")
    assert report("app1", [Problem("it")], way=way).splitlines()[-1] == way


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("It failed. What to do: repair it.", Problem("It failed", "", "repair it")),
        ("It failed: 'x' is no y.", Problem("It failed: 'x' is no y")),
    ],
)
def test_error_of_the_collection_becomes_a_problem(text: str, problem: Problem) -> None:
    assert from_error(AnsibleError(text)) == problem
