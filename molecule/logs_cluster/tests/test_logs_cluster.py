# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three members of one Loki whose lines are in a bucket: one is lost, all are changed in turn, no line is lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tests.testbed import scenario
from tests.testbed.bucket import Bucket, bucket
from tests.testbed.log_lines import numbers, writer
from tests.testbed.scenario import Loki, quietly, tls_answer, wait_for

MEMBERS = ("opswatch-member1", "opswatch-member2", "opswatch-member3")
ONE, TWO, THREE = MEMBERS


@pytest.fixture
def service() -> str:
    """One of this test's own."""
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module", name="lines")
def bucket_of_lines() -> Iterator[Bucket]:
    with bucket(scenario.gateway(ONE)) as found:
        yield found


@pytest.fixture(scope="module")
def variables(lines: Bucket) -> dict[str, Any]:
    return {
        "monitoring_mirror": str(scenario.mirror()),
        "monitoring_tls": "selfsigned",
        "loki_s3": lines.settings,
        "prometheus_job_scrape_interval": "5s",
    }


@pytest.fixture(scope="module")
def site(variables: dict[str, Any]) -> Any:
    """Runs site.yml; the keyword arguments are variables."""

    def run(*arguments: str, **extra: Any) -> scenario.Run:
        done = scenario.playbook("site.yml", *arguments, variables={**variables, **extra})
        assert done.rc == 0
        return done

    run()
    return run


@pytest.fixture(scope="module")
def members(site: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Loki]:
    return [Loki(name, tmp_path_factory.mktemp(name)) for name in MEMBERS]


@pytest.fixture(autouse=True)
def real(members: list[Loki]) -> None:
    if members[0].is_stand_in:
        # It has no members and asks no bucket: whatever it did would prove nothing. ./dev test-real has the program,
        # and names each test that it skips.
        pytest.skip("Loki is a stand-in")


def is_ready(member: Loki) -> bool:
    return quietly(lambda: member.get("/ready").status_code == 200)


def active(member: Loki) -> list[str]:
    """Who takes lines, as this member knows it: names of hosts."""
    ring = member.session.get(
        f"{member.url}/ring", headers={"Accept": "application/json"}, verify=member.verify, timeout=5
    )
    return sorted(one["id"] for one in ring.json()["shards"] if one["state"] == "ACTIVE")


def texts(member: Loki, query: str) -> list[str]:
    return [text for _stamp, text, _known in member.lines(query)]


@contextmanager
def fewest(members: list[Loki]) -> Iterator[list[int]]:
    """How many of them were ready, at the worst moment; asked several times a second."""
    seen, ended = [len(members)], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen[0] = min(seen[0], sum(is_ready(member) for member in members))
            ended.wait(0.2)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def warned() -> bool:
    """Whether the condition of LokiRingMembersMissing holds, as Prometheus says; it tells after ten minutes of that."""
    query = quote('ALERTS{alertname="LokiRingMembersMissing"}')
    return bool(tls_answer(ONE, f"9090/api/v1/query?query={query}")["data"]["result"])


def test_members_find_each_other(members: list[Loki]) -> None:
    for member in members:
        wait_for(f"{member.name} knows all", lambda member=member: len(active(member)) == 3, 60)


def test_second_run_changes_nothing(site: Any) -> None:
    assert site().output.count("changed=0") == 3


def test_line_that_one_takes_is_found_by_each(members: list[Loki], service: str) -> None:
    labels = {"service": service}
    assert members[0].push(labels, (time.time_ns(), "taken by one", {"trace_id": "t1"})).status_code == 204
    for member in members:
        ((_stamp, text, known),) = member.lines(f'{{service="{service}"}}')
        assert (text, known["trace_id"]) == ("taken by one", "t1")


def test_lines_go_to_the_bucket_and_not_to_the_disk(members: list[Loki], lines: Bucket, service: str) -> None:
    assert members[1].push({"service": service}, (time.time_ns(), "to the bucket")).status_code == 204
    before = set(lines.objects("fake/"))
    for member in members:
        member.post("/flush", {})
    wait_for("it is in the bucket", lambda: set(lines.objects("fake/")) - before, 60)
    for name in MEMBERS:
        assert scenario.host(name).run("find /var/lib/loki/chunks -type f").stdout == ""
    assert texts(members[2], f'{{service="{service}"}}') == ["to the bucket"]


def test_the_key_is_in_its_file_alone(lines: Bucket) -> None:
    key = lines.settings["secret_key"]
    for name in MEMBERS:
        host = scenario.host(name)
        seen = host.check_output(
            "cat /etc/loki/config.yml /etc/systemd/system/loki.service; journalctl -u loki --no-pager;"
            "tr '\\0' ' ' </proc/$(systemctl show -PMainPID loki)/cmdline;"
            "tr '\\0' ' ' </proc/$(systemctl show -PMainPID loki)/environ"
        )
        assert key not in seen
        assert key in host.check_output("cat /etc/loki/secrets/s3_credentials")
        assert host.check_output("stat -Lc '%a %U:%G' /etc/loki/secrets/s3_credentials") == "640 root:loki"


def test_a_member_is_lost_and_comes_back(members: list[Loki], service: str) -> None:
    """Agents of the others send on; that of the lost one waits for it. Nothing is missing, nothing is there twice."""
    count = 4000
    streams = {name: f"{service}-{number}" for number, name in enumerate(MEMBERS)}
    writers = [writer(name, stream, count) for name, stream in streams.items()]
    time.sleep(2)
    scenario.host(THREE).check_output("systemctl kill -s KILL loki; systemctl stop loki")
    assert [process.wait(120) for process in writers] == [0, 0, 0]
    wait_for("it is missed", warned, 180)
    for name in (ONE, TWO):
        assert numbers(members[0], streams[name], count, 60) == Counter(range(count))
    scenario.host(THREE).check_output("systemctl start loki")
    wait_for("it is back", lambda: is_ready(members[2]), 120)
    for member in members:
        assert numbers(member, streams[THREE], count, 120) == Counter(range(count))
    wait_for("nobody is missed", lambda: not warned(), 180)


def test_one_changes_after_the_other(members: list[Loki], site: Any, service: str) -> None:
    """A change of the configuration is a restart: two of three serve all the time, and no line is lost."""
    count = 10_000
    with writer(TWO, service, count) as process:
        with fewest(members) as seen:
            changed = site("--tags", "loki", loki_config={"limits_config": {"max_entries_limit_per_query": 5001}})
        assert process.wait(120) == 0
    assert changed.output.count("changed=1") == 3
    assert seen == [2]
    assert numbers(members[0], service, count, 120) == Counter(range(count))
    site()


def test_a_member_that_lost_its_disk_finds_all_lines(members: list[Loki], service: str) -> None:
    assert members[2].push({"service": service}, (time.time_ns(), "outlives a disk")).status_code == 204
    host = scenario.host(THREE)
    host.check_output("systemctl kill -s KILL loki; systemctl stop loki; find /var/lib/loki -mindepth 1 -delete")
    assert texts(members[0], f'{{service="{service}"}}') == ["outlives a disk"]
    host.check_output("systemctl start loki")
    wait_for("it is back", lambda: is_ready(members[2]), 120)
    assert texts(members[2], f'{{service="{service}"}}') == ["outlives a disk"]
