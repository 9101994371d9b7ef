# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps in lanes: all of them or up to the first failure, and no output that mixes or is lost."""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

import pytest

from tests.testbed import lanes
from tests.testbed.console import Failure


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lanes, "LOG", tmp_path)
    return tmp_path


def job(name: str, script: str) -> lanes.Job:
    return lanes.Job(name, ("sh", "-c", script), dict(os.environ))


def run(jobs: list[lanes.Job], count: int) -> dict[str, int]:
    told: list[lanes.Ended] = []
    assert lanes.run(jobs, count, told.append) == told
    return {one.job.name: one.code for one in told}


@pytest.mark.parametrize("count", [1, 2])
def test_all_are_run(count: int) -> None:
    assert run([job(name, "true") for name in "abc"], count) == {"a": 0, "b": 0, "c": 0}


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_begins_after_a_failure(count: int) -> None:
    jobs = [job("bad", "exit 3"), *(job(f"slow{number}", "sleep 2") for number in range(9))]
    found = run(jobs, count)
    assert found["bad"] == 3
    assert len(found) < 4


def test_what_runs_beside_a_failure_comes_to_its_end(logs: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    bad = f"for i in $(seq 600); do [ -e {begun} ] && exit 1; sleep 0.1; done; exit 2"
    other = f"touch {begun}; sleep 0.3; echo cleaned up"
    assert run([job("bad", bad), job("other", other)], 2) == {"bad": 1, "other": 0}
    assert (logs / "test-other.log").read_text() == "cleaned up\n"


def test_two_at_a_time_meet(tmp_path: Path) -> None:
    """Each waits for the other, which one by one would never end."""
    meet = "touch {mine}; for i in $(seq 600); do [ -e {other} ] && exit 0; sleep 0.1; done; exit 1"
    files = {"mine": tmp_path / "one", "other": tmp_path / "two"}
    swapped = {"mine": files["other"], "other": files["mine"]}
    assert run([job("one", meet.format(**files)), job("two", meet.format(**swapped))], 2) == {"one": 0, "two": 0}


def test_outputs_do_not_mix(capfd: t.Any) -> None:
    script = "for i in 1 2 3 4 5; do echo {0}; echo {0} >&2; sleep 0.02; done"
    lanes.run([job(name, script.format(name)) for name in ("left", "right")], 2, lambda one: lanes.show(one, True))
    lines = [line for line in capfd.readouterr().out.splitlines() if line in ("left", "right")]
    assert lines in (["left"] * 10 + ["right"] * 10, ["right"] * 10 + ["left"] * 10)


def test_of_a_failed_scenario_its_tests_own_words_are_told() -> None:
    framed = (
        "\x1b[2m\x1b[33m│\x1b[0m \x1b[31mE       assert 3 < 2\x1b[0m\n"
        "  │ FAILED test_a.py::test_b - assert 3 < 2\n"
        "  │ FAILED - RETRYING: [localhost]: Wait\n"
        "  │ FAILED \n  │ tests/test_a.py::test_with_a_long_name[and a case] - \n"
    )
    told = [
        "E       assert 3 < 2",
        "FAILED test_a.py::test_b - assert 3 < 2",
        "tests/test_a.py::test_with_a_long_name[and a case] -",
    ]
    assert lanes.reasons(framed).splitlines() == told


def test_of_any_other_failed_step_its_last_words_are_told() -> None:
    assert lanes.reasons("".join(f"{number}\n" for number in range(9)), limit=2) == "7\n8"


def test_what_is_aside_does_not_wait_for_what_the_others_need(tmp_path: Path) -> None:
    begun, prepared = tmp_path / "begun", tmp_path / "prepared"
    wait = "for i in $(seq 600); do [ -e {0} ] && exit 0; sleep 0.1; done; exit 1"
    aside = [job("first", f"touch {begun}; {wait.format(prepared)}"), job("second", "true")]

    def prepare() -> None:
        for _turn in range(600):
            if begun.exists():
                break
            time.sleep(0.1)
        prepared.touch()

    told: list[lanes.Ended] = []
    jobs = [job("other", f"[ -e {prepared} ]")]
    lanes.run(jobs, 2, told.append, aside, prepare)
    assert {one.job.name: one.code for one in told} == {"first": 0, "second": 0, "other": 0}


def test_nothing_begins_after_a_preparation_that_failed(tmp_path: Path) -> None:
    def prepare() -> None:
        raise Failure("no disk", "get one")

    def ended(one: lanes.Ended) -> None:
        raise AssertionError(one)

    with pytest.raises(Failure, match="no disk"):
        lanes.run([job("x", f"touch {tmp_path}/x")], 2, ended, [job("a", f"touch {tmp_path}/a; sleep 1")] * 2, prepare)
    assert not (tmp_path / "x").exists()
