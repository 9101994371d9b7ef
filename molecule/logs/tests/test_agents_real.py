# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the real programs can show: lines of every kind, files that change, restarts."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.testbed import scenario
from tests.testbed.scenario import LOG_AGENTS, Loki, append, wait_for

SERVER = "opswatch-logs"
TRACEBACK = [
    "2026-11-25 10:00:00 ERROR it broke",
    "Traceback (most recent call last):",
    '  File "/srv/app.py", line 7, in shop',
    "ValueError: no",
]
# Writes numbered lines; renames or cuts its file now and then, or removes it.
WRITER = """
import datetime, json, os, sys, time
path, count, change = "/var/log/app/SERVICE.log", COUNT, "CHANGE"
os.makedirs("/var/log/app", exist_ok=True)
file = open(path, "a")
for number in range(count):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
    file.write(json.dumps({"timestamp": now, "level": "INFO", "service": "SERVICE", "number": number}) + "\\n")
    file.flush()
    time.sleep(0.002)
    if change and number in (count // 3, 2 * count // 3):
        time.sleep(5)  # as long as an agent may need until it has read what is there
        if change == "renamed":
            os.rename(path, f"{path}.{number}")
            file = open(path, "a")
        elif change == "removed":
            os.unlink(path)
            file = open(path, "a")
        elif change == "cut":
            os.truncate(path, 0)
"""


@pytest.fixture(autouse=True)
def real(loki: Loki, request: pytest.FixtureRequest) -> None:
    if loki.is_stand_in:
        pytest.skip("Loki is a stand-in")
    agent = request.getfixturevalue("agent")
    if "stand-in" in scenario.host(LOG_AGENTS[agent]).run(f"{agent} --version").stdout:
        pytest.skip(f"{agent} is a stand-in")


def path_of(service: str) -> str:
    return f"/var/log/app/{service}.log"


def line(service: str, at: datetime, **fields: Any) -> str:
    return json.dumps({"timestamp": at.isoformat(), "level": "INFO", "service": service, **fields})


def writer(host: str, service: str, count: int, change: str = "") -> subprocess.Popen[bytes]:
    script = WRITER.replace("SERVICE", service).replace("COUNT", str(count)).replace("CHANGE", change)
    return subprocess.Popen(["docker", "exec", host, "python3", "-c", script])


def numbers(loki: Loki, service: str, count: int, seconds: float) -> Counter[int]:
    """How often each line is there. More than Loki gives at once are asked for level by level of their numbers."""
    found: Counter[int] = Counter()

    def complete() -> bool:
        found.clear()
        for digit in range(10):
            query = f'{{service="{service}"}} |~ `"number": [0-9]*{digit}}}`'
            found.update(json.loads(text)["number"] for _stamp, text, _known in loki.lines(query))
        return len(found) >= count

    wait_for(f"{count} lines of {service}", complete, seconds)
    time.sleep(3)  # for what would come twice
    complete()
    return found


def test_time_level_context_and_the_whole_line(loki, agent, service):
    at = datetime.now(UTC).replace(microsecond=654321)
    context = {"context": {"profile_id": 4, "name": 'Zoë "x"', "ids": [1, 2.5, None, True]}, "logger": "shop"}
    text = line(service, at, message="grüß", **context)
    append(LOG_AGENTS[agent], path_of(service), text)
    ((stamp, found, known),) = loki.expect(f'{{service="{service}", level="info"}}', 1)
    assert stamp == int(at.timestamp()) * 10**9 + 654321000
    assert json.loads(found) == json.loads(text)
    assert known["logger"] == "shop"


def test_line_over_the_limit_is_cut(loki, agent, service):
    text = line(service, datetime.now(UTC), message="x" * 300_000)
    append(LOG_AGENTS[agent], path_of(service), text, line(service, datetime.now(UTC), message="after"))
    found = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 2, 60)]
    assert len(found[0].encode()) <= 256_000
    assert json.loads(found[1])["message"] == "after"


def test_line_of_last_year_is_left_out_and_counted(loki, agent, service):
    now = datetime.now(UTC)
    old = line(service, now - timedelta(days=365), message="old")
    append(LOG_AGENTS[agent], path_of(service), old, line(service, now, message="new"))
    ((_stamp, text, _known),) = loki.expect(f'{{service="{service}"}}', 1)
    assert json.loads(text)["message"] == "new"


def test_invalid_utf_8(loki, agent, service):
    append(LOG_AGENTS[agent], path_of(service), b"bad \xff\xfe bytes", b"after")
    found = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 2)]
    assert found[0].startswith("bad ")
    assert found[1] == "after"


def test_ten_megabytes_without_an_end(loki, agent, service):
    """Nothing is sent until the end is there; the agent goes on with other files, and with this one afterwards."""
    host, other = LOG_AGENTS[agent], f"{service}-other"
    command = f"mkdir -p /var/log/app; head -c 10000000 /dev/zero | tr '\\0' x >> {path_of(service)}"
    scenario.host(host).check_output(command)
    append(host, path_of(other), "still read")
    loki.expect(f'{{service="{other}"}}', 1)
    append(host, path_of(service), "", "after")
    found = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 2, 60)]
    assert found[-1] == "after"
    assert len(found[0]) <= 256_000


@pytest.mark.parametrize("change", ["renamed", "removed", "cut"])
def test_file_that_changes_under_the_agent(loki, agent, service, change):
    count = 900
    with writer(LOG_AGENTS[agent], service, count, change) as process:
        assert process.wait(60) == 0
    assert numbers(loki, service, count, 60) == Counter(range(count))


def test_ten_thousand_lines_through_restarts(loki, agent, service):
    """Loki is restarted twice and the agent killed once meanwhile."""
    count, host, server = 10_000, scenario.host(LOG_AGENTS[agent]), scenario.host(SERVER)
    with writer(LOG_AGENTS[agent], service, count) as process:
        time.sleep(4)
        server.check_output("systemctl restart loki")
        time.sleep(4)
        host.check_output(f"systemctl kill -s KILL {agent}")
        time.sleep(4)
        server.check_output("systemctl restart loki")
        assert process.wait(120) == 0
    found = numbers(loki, service, count, 180)
    print(f"{agent}: {len(found)} of {count} lines, {sum(found.values()) - len(found)} twice")
    assert found == Counter(range(count))


def test_full_disk_under_the_positions(loki, agent, service):
    """It reads on; what it could not note it reads again after a restart, and Loki keeps it once."""
    host, folder = scenario.host(LOG_AGENTS[agent]), f"/var/lib/{agent}"
    append(LOG_AGENTS[agent], path_of(service), line(service, datetime.now(UTC), number=0))
    loki.expect(f'{{service="{service}"}}', 1)
    host.check_output(f"systemctl stop {agent}; mkdir /root/kept; cp -a {folder}/. /root/kept")
    host.check_output(f"mount -t tmpfs -o size=16m tmpfs {folder} && cp -a /root/kept/. {folder}")
    host.check_output(f"chown {agent}: {folder}; systemctl start {agent}; sleep 2")
    host.run(f"dd if=/dev/zero of={folder}/full bs=4k")  # until there is no space
    try:
        lines = [line(service, datetime.now(UTC), number=number) for number in range(1, 50)]
        append(LOG_AGENTS[agent], path_of(service), *lines)
        assert numbers(loki, service, 50, 60) == Counter(range(50))
    finally:
        host.check_output(f"systemctl stop {agent}; umount {folder}; rm -r /root/kept; systemctl start {agent}")
    append(LOG_AGENTS[agent], path_of(service), line(service, datetime.now(UTC), number=50))
    assert numbers(loki, service, 51, 60) == Counter(range(51))


def test_traceback_is_one_entry(loki, agent, service):
    own = {"name": "trace", "kind": "files", "paths": ["/var/log/trace/*.log"], "format": "plain"}
    logs = [
        {"name": "app", "kind": "files", "paths": ["/var/log/app/*.log"]},
        {**own, "multiline": {"first_line": r"^\d{4}-"}},
    ]
    run = scenario.playbook("site.yml", "--tags", agent, variables={"monitoring_logs": logs})
    assert run.rc == 0
    try:
        append(LOG_AGENTS[agent], f"/var/log/trace/{service}.log", *TRACEBACK, "2026-11-25 10:00:01 INFO it goes on")
        first, second = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 2)]
    finally:
        assert scenario.playbook("site.yml", "--tags", agent).rc == 0
    assert first == "\n".join(TRACEBACK)
    assert second.endswith("it goes on")
