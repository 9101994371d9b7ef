# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promtail and Alloy: what they read comes back from Loki as it was written, and one may follow the other."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import yaml

from tests.testbed import scenario
from tests.testbed.scenario import LOG_AGENTS as HOSTS
from tests.testbed.scenario import append, wait_for

# As many as Loki gives at once, which is five minutes: a run on a busy machine takes two. Plain lines have no time of
# their own, so that Loki keeps one that was sent twice as two.
WRITER = """
import datetime, json, os, socket, time
os.makedirs("/var/log/app", exist_ok=True)
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
number = 0
with open("/var/log/app/SERVICE.log", "a") as file, open("/var/log/app/SERVICE-plain.log", "a") as plain:
    while number < 5000 and not os.path.exists("/run/SERVICE.end"):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
        file.write(json.dumps({"timestamp": now, "level": "INFO", "service": "SERVICE", "number": number}) + "\\n")
        plain.write(f"number {number}\\n")
        journal.sendto(f"<14>SERVICE-journal: number {number}".encode(), "/dev/log")
        file.flush(), plain.flush()
        number += 1
        time.sleep(0.06)
print(number)
"""
# What systemd says of a unit, by the number of the message.
STOPPED = ("9d1aaa27d60140bd96365438aad20286",)
STARTS = ("7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf")


class Stream:
    """Numbered lines of a service, which its host writes until it is told to end."""

    def __init__(self, host: str, service: str) -> None:
        self.host, self.service = host, service
        command = ["docker", "exec", host, "python3", "-c", WRITER.replace("SERVICE", service)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        file = f"/var/log/app/{service}.log"
        wait_for("the first line", lambda: scenario.host(host).run("test -s %s", file).rc == 0)

    def end(self) -> int:
        """How many they were."""
        scenario.host(self.host).check_output(f"touch /run/{self.service}.end")
        output, _ = self.process.communicate(timeout=300)
        return int(output)

    def expect(self, loki: scenario.Loki, count: int) -> list[int]:
        """The times of the lines, each of which is there once."""
        found = loki.expect(f'{{service="{self.service}"}}', count)
        assert Counter(json.loads(line)["number"] for _stamp, line, _known in found) == Counter(range(count))
        return [stamp for stamp, _line, _known in found]

    def expect_more(self, loki: scenario.Loki, count: int, again: bool) -> None:
        """The other two. C(again): plain lines may be there twice."""
        wanted = Counter(f"number {number}" for number in range(count))
        for kind in ("journal", "plain"):
            query = f'{{service="{self.service}-{kind}"}}'
            # By the lines and not by their number, as some may come twice before the last has come.
            wait_for(
                f"all lines of {query}", lambda query=query: wanted.keys() <= {one[1] for one in loki.lines(query)}
            )
            found = Counter(line for _, line, _ in loki.lines(query))
            assert set(found) == set(wanted), kind
            assert found == wanted or (again and kind == "plain"), kind


def told(host: str, unit: str, since: float, messages: tuple[str, ...]) -> list[int]:
    """When systemd said so of a unit, in nanoseconds."""
    matches = " ".join(f"MESSAGE_ID={one}" for one in messages)
    command = f"journalctl --quiet --output json --since @{int(since)} UNIT={unit}.service {matches}"
    lines = scenario.host(host).check_output(command).splitlines()
    return [int(json.loads(line)["__REALTIME_TIMESTAMP"]) * 1000 for line in lines]


def test_a_line_keeps_its_time_its_context_and_its_level(loki, agent, service):
    at = datetime.now(UTC).replace(microsecond=123456)
    fields = {"level": "WARNING", "service": service, "message": "grüß {}", "module": "routes", "context": {"ids": [1]}}
    line = json.dumps({"timestamp": at.isoformat(), **fields})
    append(HOSTS[agent], f"/var/log/app/{service}.log", line)
    ((stamp, text, known),) = loki.expect(f'{{service="{service}", level="warn"}}', 1)
    assert (int(stamp), text) == (int(at.timestamp()) * 10**9 + 123456000, line)
    assert (known["instance"], known["module"]) == (HOSTS[agent], "routes")


def test_a_line_that_is_no_json_has_its_file_for_a_service(loki, agent, service):
    before = time.time_ns()
    append(HOSTS[agent], f"/var/log/app/{service}.log", "plain text")
    ((stamp, text, _known),) = loki.expect(f'{{service="{service}"}}', 1)
    assert text == "plain text"
    assert before < int(stamp) < time.time_ns()


def test_the_journal_is_read(loki, agent, service):
    scenario.host(HOSTS[agent]).check_output(f"echo 'it said so' | systemd-cat -t {service} -p warning")
    ((_stamp, text, _known),) = loki.expect(f'{{service="{service}"}}', 1)
    assert text == "it said so"


def test_they_read_as_members_and_not_as_root(agent):
    host = scenario.host(HOSTS[agent])
    security = host.check_output(f"systemd-analyze security {agent} --no-pager")
    assert float(re.findall(r"exposure level for \w+.service: ([\d.]+)", security)[0]) <= 2.0
    status = host.check_output(f"cat /proc/$(systemctl show --property MainPID --value {agent})/status")
    assert "Uid:\t0" not in status
    assert re.search(r"CapEff:\t0+\n", status)
    groups = host.check_output("getent group adm systemd-journal | cut -d: -f3").split()
    assert set(groups) <= set(re.findall(r"Groups:\t(.*)", status)[0].split())


@pytest.mark.parametrize(
    ("agent", "variables", "said"),
    [
        ("promtail", {"promtail_flags": {"no.such": 1}}, "flag provided but not defined: -no.such"),
        ("alloy", {"alloy_config": 'loki.wright "x" {\n}'}, "cannot find the definition of component name"),
        # One of each agent is enough for every run.
        pytest.param(
            "promtail", {"promtail_config": {"no_such": 1}}, "field no_such not found", marks=pytest.mark.slow
        ),
        pytest.param("alloy", {"alloy_flags": {"no.such": 1}}, "unknown flag: --no.such", marks=pytest.mark.slow),
    ],
)
def test_what_they_refuse_leaves_the_old_one_reading(loki, service, agent, variables, said):
    before = scenario.in_force(HOSTS[agent], agent)
    run = scenario.playbook("site.yml", "--tags", agent, variables=variables)
    assert run.rc != 0
    assert said in run.said
    assert scenario.in_force(HOSTS[agent], agent) == before
    append(HOSTS[agent], f"/var/log/app/{service}.log", "still read")
    loki.expect(f'{{service="{service}"}}', 1)


def test_alloy_reloads(loki, service):
    """What is to be read changes without a restart, and nothing is read twice."""
    host = HOSTS["alloy"]
    append(host, f"/var/log/app/{service}.log", "first")
    loki.expect(f'{{service="{service}"}}', 1)
    before = scenario.in_force(host, "alloy")
    logs = [{"name": "app", "kind": "files", "paths": ["/var/log/app/*.log", "/var/log/more/*.log"]}]
    run = scenario.playbook("site.yml", "-v", "--tags", "alloy", variables={"monitoring_logs": logs})
    assert run.rc == 0
    assert "reloaded alloy.service" in run.said
    assert scenario.in_force(host, "alloy").pid == before.pid
    append(host, f"/var/log/more/{service}.log", "second")
    assert [line for _stamp, line, _known in loki.expect(f'{{service="{service}"}}', 2)] == ["first", "second"]
    assert scenario.playbook("site.yml", "--tags", "alloy").rc == 0


# Promtail is restarted, which is more to survive than Alloy's reload.
@pytest.mark.parametrize("agent", ["promtail", pytest.param("alloy", marks=pytest.mark.slow)])
def test_what_is_read_may_change_while_loki_is_away(loki, agent, service):
    """What the agent could not send yet holds up nothing, and is not lost."""
    server, host = scenario.host(loki.name), HOSTS[agent]
    server.check_output("systemctl stop loki")
    try:
        append(host, f"/var/log/app/{service}.log", "waits")
        time.sleep(3)
        logs = [{"name": "app", "kind": "files", "paths": ["/var/log/app/*.log", "/var/log/more/*.log"]}]
        run = scenario.playbook("site.yml", "--tags", agent, variables={"monitoring_logs": logs})
    finally:
        server.check_output("systemctl start loki")
    assert run.rc == 0
    wait_for("Loki is back", lambda: scenario.quietly(lambda: loki.get("/ready").status_code == 200))
    append(host, f"/var/log/more/{service}.log", "later")
    found = [line for _stamp, line, _known in loki.expect(f'{{service="{service}"}}', 2)]
    assert set(found) == {"waits", "later"}
    assert scenario.playbook("site.yml", "--tags", agent).rc == 0


def moved(host: str, group: str, folder: Path) -> Path:
    """The inventory with a host in another group, and everything beside it."""
    known = yaml.safe_load((scenario.inventory() / "ansible_inventory.yml").read_text())
    for name in HOSTS:
        known[name]["hosts"].pop(host, None)
    known[group]["hosts"][host] = known["all"]["hosts"][host]
    folder.mkdir()
    for name in ("group_vars", "secrets"):
        (folder / name).symlink_to(scenario.inventory() / name)
    (folder / "hosts.yml").write_text(yaml.safe_dump(known))
    return folder


def entries_read(host: str, agent: str) -> float:
    """Of the journal, since the agent's start; a stand-in does not count them."""
    port, name = {"alloy": (12345, "loki_source_journal"), "promtail": (9080, "promtail_journal")}[agent]
    text = requests.get(f"http://{scenario.address(host)}:{port}/metrics", timeout=30).text
    return sum(
        float(value) for value in re.findall(rf"^{name}_target_lines_total(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    )


@pytest.mark.parametrize("group", ["alloy", "promtail"])
def test_a_host_changes_its_agent_in_the_middle_of_a_stream(loki, service, group, tmp_path):
    """Promtail to Alloy, and back: none is missing, none is there twice, and never do both run."""
    host, other, began = HOSTS["promtail"], "promtail" if group == "alloy" else "alloy", time.time()
    stream = Stream(host, service)
    try:
        run = scenario.playbook("site.yml", "-v", "--tags", group, inventories=[moved(host, group, tmp_path / "inv")])
    finally:
        count = stream.end()
    assert run.rc == 0
    assert f"removed {other}: unit, links, generations and releases" in run.said
    stamps = stream.expect(loki, count)
    # Alloy ends without noting what it has read in the last seconds, so who goes on reads that again.
    stream.expect_more(loki, count, again=other == "alloy")
    stopped, starts = min(told(host, other, began, STOPPED)), min(told(host, group, began, STARTS))
    assert stopped <= starts, "never do both read"
    assert stamps[0] < stopped
    assert stamps[-1] > starts
    units = scenario.host(host).run("systemctl is-active promtail alloy").stdout.split()
    assert units == (["inactive", "active"] if group == "alloy" else ["active", "inactive"])
    # Entries that came twice would be stored once: that none did is told by the agent alone.
    read = entries_read(host, group)
    assert read < sum(stamp > stopped for stamp in stamps) + 300, "what others wrote meanwhile"
    assert read > 0 or loki.is_stand_in


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"alloy_config": 'loki.wright "x" {\n}'}, id="its configuration is refused"),
        pytest.param({"alloy_unit": {"Service": {"ExecStartPre": "/bin/false"}}}, id="it does not start"),
    ],
)
def test_promtail_reads_on_where_alloy_does_not_come_up(loki, service, variables, tmp_path):
    """Whether Promtail was stopped for it already or not."""
    host = HOSTS["promtail"]
    stream = Stream(host, service)
    try:
        inventory = moved(host, "alloy", tmp_path / "inv")
        run = scenario.playbook(
            "site.yml", "--tags", "alloy", "--limit", host, inventories=[inventory], variables=variables
        )
        units = scenario.host(host).run("systemctl is-active promtail alloy").stdout.split()
    finally:
        count = stream.end()
    assert run.rc != 0
    assert units[0] == "active", run.said
    assert units[1] != "active"
    stream.expect(loki, count)


def test_a_reboot_loses_nothing_and_repeats_nothing(loki, agent, service):
    host, now = scenario.container(HOSTS[agent]), datetime.now(UTC).isoformat()
    lines = [
        json.dumps({"timestamp": now, "level": "INFO", "service": service, "number": number}) for number in range(3)
    ]
    append(HOSTS[agent], f"/var/log/app/{service}.log", *lines[:2])
    loki.expect(f'{{service="{service}"}}', 2)
    host.exec_run(["systemctl", "poweroff"])  # as Docker itself would end it, it would be a power cut
    host.wait(timeout=300)
    host.start()
    wait_for("systemd answers", lambda: host.exec_run(["systemctl", "show"]).exit_code == 0)
    append(HOSTS[agent], f"/var/log/app/{service}.log", lines[2])
    assert sorted(line for _stamp, line, _known in loki.expect(f'{{service="{service}"}}', 3)) == lines


def test_tls_is_turned_on_under_a_stream(loki, service):
    """The agents speak it before Loki does, and wait; the other way round Loki would refuse their lines for good."""
    off = {"monitoring_tls": "off", "loki_listen_address": "0.0.0.0:3100"}
    assert scenario.playbook("site.yml", variables=off).rc == 0
    streams = [Stream(host, f"{service}-{agent}") for agent, host in HOSTS.items()]
    try:
        run = scenario.playbook("site.yml")
    finally:
        counts = [stream.end() for stream in streams]
    assert run.rc == 0
    for stream, count in zip(streams, counts, strict=True):
        stream.expect(loki, count)
