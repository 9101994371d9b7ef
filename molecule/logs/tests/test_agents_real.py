# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the real programs can show: lines of every kind, files that change, restarts."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import requests

from tests.testbed import scenario
from tests.testbed.log_lines import line, numbers, path_of, reading, writer
from tests.testbed.paths import ROOT
from tests.testbed.scenario import LOG_AGENTS, Loki, append, wait_for

SERVER = "opswatch-logs"
TRACEBACK = [
    "2026-11-25 10:00:00 ERROR it broke",
    "Traceback (most recent call last):",
    '  File "/srv/app.py", line 7, in shop',
    "ValueError: no",
]
# The agents' ports, and what they count the lines by that they leave out.
LEFT_OUT = {
    "promtail": (9080, "logentry_dropped_lines_total"),
    "alloy": (12345, "loki_process_dropped_lines_total"),
}
# Behind the logs.py of the example services.
EXAMPLE = """
log = configure(sys.argv[1], file=sys.argv[2])
log.warning("profile %d: %s", 4, 'Zoë "x"', extra={"event_type": "profile_updated", "tags": ["a", None], "ratio": 0.5})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it broke")
"""


pytestmark = pytest.mark.usefixtures("real")


def test_time_level_context_and_the_whole_line(loki, agent, service):
    at = datetime.now(UTC).replace(microsecond=654321)
    context = {"context": {"profile_id": 4, "name": 'Zoë "x"', "ids": [1, 2.5, None, True]}, "logger": "shop"}
    text = line(service, at, message="grüß", **context)
    append(LOG_AGENTS[agent], path_of(service), text)
    ((stamp, found, known),) = loki.expect(f'{{service="{service}", level="info"}}', 1)
    assert stamp == int(at.timestamp()) * 10**9 + 654321000
    assert json.loads(found) == json.loads(text)
    assert known["logger"] == "shop"


def test_lines_of_the_example_services(loki, agent, service):
    """As their own code writes them: one with context, one with a traceback."""
    code = (ROOT / "examples/dating_app/dating_app/logs.py").read_text() + EXAMPLE
    command = ["docker", "exec", "-i", LOG_AGENTS[agent], "python3", "-", service, path_of(service)]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=True)
    written = done.stdout.splitlines()
    found = loki.expect(f'{{service="{service}"}}', 2)
    assert [text for _stamp, text, _known in found] == written
    for (stamp, text, known), level in zip(found, ["warn", "error"], strict=True):
        fields = json.loads(text)
        at = datetime.fromisoformat(fields["timestamp"])
        assert stamp == int(at.timestamp()) * 10**9 + at.microsecond * 1000
        assert known["level"] == level
        for name in ("module", "function", "event_type", "logger"):
            assert known.get(name) == fields.get(name)
    first, second = [json.loads(text) for text in written]
    assert first["event_type"] == "profile_updated"
    assert "\nZeroDivisionError: " in second["exception"]


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("%Y-%m-%dT%H:%M:%S.%f+00:00", 123456000),
        ("%Y-%m-%dT%H:%M:%S.%fZ", 123456000),
        ("%Y-%m-%dT%H:%M:%S.%f", 123456000),  # datetime.utcnow().isoformat()
        ("%Y-%m-%d %H:%M:%S,123", 123000000),  # the logging module's own
        ("%Y-%m-%dT%H:%M:%S", 0),
    ],
)
def test_ways_to_write_a_time(loki, agent, service, written, nanoseconds):
    at = datetime.now(UTC).replace(microsecond=123456)
    fields = {"timestamp": at.strftime(written), "level": "INFO", "service": service}
    append(LOG_AGENTS[agent], path_of(service), json.dumps(fields))
    ((stamp, _text, _known),) = loki.expect(f'{{service="{service}"}}', 1)
    assert stamp == int(at.timestamp()) * 10**9 + nanoseconds


def test_line_of_a_file_and_of_the_journal_is_stored_once(loki, agent, service):
    """As the example services write theirs."""
    host, text = LOG_AGENTS[agent], line(service, datetime.now(UTC), message="twice")
    append(host, path_of(service), text)
    scenario.host(host).check_output(f"echo {shlex.quote(text)} | systemd-cat -t other")
    scenario.host(host).check_output(f"echo after | systemd-cat -t {service}-after")
    loki.expect(f'{{service="{service}-after"}}', 1)  # so the journal is read up to there
    time.sleep(3)
    assert [text for _stamp, text, _known in loki.lines(f'{{service="{service}"}}')] == [text]


def test_line_over_the_limit_is_cut(loki, agent, service):
    """When everything is known of it."""
    at = datetime.now(UTC)
    text = json.dumps({"message": "x" * 300_000, **json.loads(line(service, at)), "level": "ERROR", "logger": "shop"})
    append(LOG_AGENTS[agent], path_of(service), text, line(service, at + timedelta(seconds=1), message="after"))
    (stamp, cut, known), (_, after, _) = loki.expect(f'{{service="{service}"}}', 2)
    assert text.startswith(cut)
    assert 255_000 < len(cut) <= 256_000
    assert (stamp // 1000, known["level"], known["logger"]) == (int(at.timestamp() * 10**6), "error", "shop")
    assert json.loads(after)["message"] == "after"


def left_out(agent: str, reason: str) -> float:
    """How many lines the agent says that it has left out, of all entries."""
    port, name = LEFT_OUT[agent]
    text = requests.get(f"http://{scenario.address(LOG_AGENTS[agent])}:{port}/metrics", timeout=30).text
    return sum(float(value) for value in re.findall(rf'^{name}{{.*reason="{reason}".*}} (\S+)$', text, re.MULTILINE))


def test_line_of_last_year_is_left_out_and_counted(loki, agent, service):
    now = datetime.now(UTC)
    old = line(service, now - timedelta(days=365), message="old")
    before = left_out(agent, "too_old")
    append(LOG_AGENTS[agent], path_of(service), old, line(service, now, message="new"))
    ((_stamp, text, _known),) = loki.expect(f'{{service="{service}"}}', 1)
    assert json.loads(text)["message"] == "new"
    assert left_out(agent, "too_old") == before + 1


def test_invalid_utf_8(loki, agent, service):
    append(LOG_AGENTS[agent], path_of(service), b"bad \xff\xfe bytes", b"after")
    found = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 2)]
    assert found == ["bad \ufffd\ufffd bytes", "after"]


def test_invalid_utf_8_in_a_json_line(loki, agent, service):
    at = datetime.now(UTC)
    text = line(service, at, message="bad @ byte", logger="shop").encode().replace(b"@", b"\xff")
    append(LOG_AGENTS[agent], path_of(service), text)
    ((stamp, found, known),) = loki.expect(f'{{service="{service}", level="info"}}', 1)
    assert found == text.decode(errors="replace")
    assert (stamp // 1000, known["logger"]) == (int(at.timestamp() * 10**6), "shop")


def test_ten_megabytes_without_an_end(loki, agent, service):
    """Nothing is sent until the end is there; the agent goes on with other files, and with this one afterwards."""
    host, other = LOG_AGENTS[agent], f"{service}-other"
    command = f"mkdir -p /var/log/app; head -c 10000000 /dev/zero | tr '\\0' x >> {path_of(service)}"
    scenario.host(host).check_output(command)
    append(host, path_of(other), "still read")
    loki.expect(f'{{service="{other}"}}', 1)
    append(host, path_of(service), "", "after")
    found = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 2)]
    assert found[-1] == "after"
    assert len(found[0]) <= 256_000


@pytest.mark.parametrize("change", ["renamed", "removed", "cut"])
def test_file_that_changes_under_the_agent(loki, agent, service, change):
    count = 900
    with writer(LOG_AGENTS[agent], service, count, change) as process:
        assert process.wait(300) == 0
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
        assert process.wait(300) == 0
    found = numbers(loki, service, count, 180)
    print(f"{agent}: {len(found)} of {count} lines, {sum(found.values()) - len(found)} twice")
    assert found == Counter(range(count))


@pytest.mark.parametrize(("how", "times"), [("kill -s KILL", 3), ("restart", 4)], ids=["killed", "restarted"])
def test_agent_ends_and_begins_again(loki, agent, service, how, times):
    count, host = 6000, scenario.host(LOG_AGENTS[agent])
    with writer(LOG_AGENTS[agent], service, count) as process:
        for _ in range(times):
            time.sleep(3)
            host.check_output(f"systemctl {how} {agent}")
        assert process.wait(120) == 0
    assert numbers(loki, service, count, 120) == Counter(range(count))


def test_many_lines_wait_for_a_loki_that_is_away(loki, agent, service):
    count, server = 30_000, scenario.host(SERVER)
    with writer(LOG_AGENTS[agent], service, count) as process:
        time.sleep(5)
        server.check_output("systemctl stop loki")
        time.sleep(25)
        server.check_output("systemctl start loki")
        assert process.wait(240) == 0
    assert numbers(loki, service, count, 180) == Counter(range(count))


def test_lines_wait_while_loki_is_away(loki, agent, service):
    """Also in an agent that is restarted meanwhile."""
    count, now = 3000, datetime.now(UTC)
    host, server = scenario.host(LOG_AGENTS[agent]), scenario.host(SERVER)
    lines = [line(service, now + timedelta(microseconds=number), number=number) for number in range(count)]
    server.check_output("systemctl stop loki")
    try:
        append(LOG_AGENTS[agent], path_of(service), *lines)
        time.sleep(5)  # until they are read
        host.check_output(f"systemctl restart {agent}")
    finally:
        server.check_output("systemctl start loki")
    wait_for("Loki is back", lambda: scenario.quietly(lambda: loki.get("/ready").status_code == 200))
    assert numbers(loki, service, count, 90) == Counter(range(count))


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


@pytest.mark.parametrize("services", [10, 100, 1000])
def test_streams_that_services_cost(loki, agent, service, services):
    """Five levels each: one stream for each of them, and none for anything else."""
    now, levels = datetime.now(UTC), ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    lines = [
        json.dumps({"timestamp": now.isoformat(), "level": level, "service": f"{service}-{number}", "user": number})
        for number in range(services)
        for level in levels
    ]
    append(LOG_AGENTS[agent], path_of(service), *lines)

    def streams() -> list[dict[str, str]]:
        found = loki.get("/loki/api/v1/series", **{"match[]": f'{{service=~"{service}-.+"}}'})
        return list(found.json()["data"])

    wait_for(f"streams of {services} services", lambda: len(streams()) >= 5 * services)
    found = streams()
    assert len(found) == 5 * services
    # The last is Loki's own copy of the service's name, which makes no stream of its own.
    assert {name for one in found for name in one} == {"instance", "service", "level", "service_name"}
    assert all(one["service_name"] == one["service"] for one in found)


@contextmanager
def without_loki(loki: Loki) -> Iterator[None]:
    server = scenario.host(SERVER)
    server.check_output("systemctl stop loki")
    try:
        yield
    finally:
        server.check_output("systemctl start loki")
    wait_for("Loki is back", lambda: scenario.quietly(lambda: loki.get("/ready").status_code == 200))


def killed_twice(agent: str) -> None:
    """Each time when it has noted how far it is."""
    for _ in range(2):
        time.sleep(12)
        scenario.host(LOG_AGENTS[agent]).check_output(f"systemctl kill -s KILL {agent}")


def test_journal_waits_for_an_agent_that_is_killed(loki, agent, service):
    """More entries than it sends at once."""
    count, now, host = 9000, datetime.now(UTC), scenario.host(LOG_AGENTS[agent])
    lines = [line(service, now + timedelta(microseconds=number), number=number) for number in range(count)]
    append(LOG_AGENTS[agent], "/root/lines", *lines)  # nobody reads that file
    with without_loki(loki):
        host.check_output("systemd-cat -t anybody cat /root/lines && rm /root/lines")
        killed_twice(agent)
    assert numbers(loki, service, count, 90) == Counter(range(count))


def test_what_is_left_out_does_not_hide_what_was_not_sent(loki, agent, service):
    """Nine of ten lines are dropped, so that an agent has read ten times what it sends at once."""
    count, now = 4000, datetime.now(UTC)
    log = {"name": "busy", "kind": "files", "paths": ["/var/log/busy/*.log"]}
    with reading(agent, {**log, "drop": [{"field": "level", "matches": "debug"}]}):
        lines = []
        for number in range(count):
            at = now + timedelta(microseconds=number)
            lines += [line(service, at, number=number)] + [line(service, at, level="DEBUG")] * 9
        with without_loki(loki):
            append(LOG_AGENTS[agent], f"/var/log/busy/{service}.log", *lines)
            killed_twice(agent)
        assert numbers(loki, service, count, 120) == Counter(range(count))


def test_how_far_back_the_journal_is_read(loki, agent, service):
    """At its first start so far as its entry says; later from where it was, however long ago that is."""
    host, log = scenario.host(LOG_AGENTS[agent]), {"name": f"j{service[5:]}", "kind": "journal", "max_age": "5s"}

    def say(*words: str) -> None:
        for word in words:
            host.check_output(f"echo {word} | systemd-cat -t {service}")

    host.check_output(f"systemctl stop {agent}")
    # As if it had never read the journal: an entry that is only renamed goes on.
    host.check_output("rm -rf /var/lib/alloy/data/loki.source.journal.*")
    host.check_output("sed -i /cursor-/d /var/lib/promtail/positions.yaml 2>/dev/null || true")
    say("old")
    time.sleep(8)
    with reading(agent, log):
        say("new")
        loki.expect(f'{{service="{service}"}}', 1)
        host.check_output(f"systemctl stop {agent}")
        say("meanwhile")
        time.sleep(8)
        host.check_output(f"systemctl start {agent}")
        say("afterwards")
        found = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 3)]
    assert found == ["new", "meanwhile", "afterwards"]


def test_file_that_was_rotated_while_nobody_read(loki, agent, service):
    """The new one is read from its beginning, though it is longer than the place in the old one."""
    host, now = scenario.host(LOG_AGENTS[agent]), datetime.now(UTC)
    lines = [line(service, now + timedelta(microseconds=number), number=number) for number in range(300)]
    append(LOG_AGENTS[agent], path_of(service), *lines[:100])
    loki.expect(f'{{service="{service}"}}', 100)
    host.check_output(f"systemctl stop {agent}; mv {path_of(service)} {path_of(service)}.1")
    append(LOG_AGENTS[agent], path_of(service), *lines[100:])
    host.check_output(f"systemctl start {agent}")
    assert numbers(loki, service, 300, 60) == Counter(range(300))


def test_containers_of_docker(loki, agent, service):
    """Its files are written here as its json-file driver does it; for it to run, the host would have to be another."""
    host, number = LOG_AGENTS[agent], uuid.uuid4().hex * 2
    folder = f"/var/lib/docker/containers/{number}"
    scenario.host(host).check_output(f"install -d -m 710 /var/lib/docker && install -d -m 700 {folder}")
    now = datetime.now(UTC).replace(microsecond=250000)
    about = {"stream": "stderr", "attrs": {"com.example.team": "shop", "tag": service}}
    own = line(service, now - timedelta(seconds=30), message="with a time of its own")
    texts = {own: now, "plain": now + timedelta(seconds=1)}
    lines = [
        json.dumps({"log": f"{text}\n", **about, "time": at.isoformat().replace("+00:00", "Z")})
        for text, at in texts.items()
    ]
    with reading(agent, {"name": "containers", "kind": "docker", "container_labels": ["com.example.team"]}):
        append(host, f"{folder}/{number}-json.log", *lines)
        (first, text, known), (second, plain, _known) = loki.expect(f'{{service="{service}"}}', 2)
    assert (text, plain) == (own, "plain")
    assert first == int(now.timestamp() - 30) * 10**9 + 250000000
    assert second == int(now.timestamp() + 1) * 10**9 + 250000000
    assert known["level"] == "info"
    assert known["stream"] == "stderr"
    assert known["container"].startswith(number[:12])
    assert known["com_example_team"] == "shop"


def test_pieces_of_a_containers_long_line_are_joined(loki, agent, service):
    """Docker cuts a line at 16 kB; those of its two streams come in between."""
    host, number = LOG_AGENTS[agent], uuid.uuid4().hex * 2
    folder = f"/var/lib/docker/containers/{number}"
    scenario.host(host).check_output(f"install -d -m 710 /var/lib/docker && install -d -m 700 {folder}")
    at = datetime.now(UTC).replace(microsecond=250000)
    long = line(service, at, message="x" * 40_000, logger="shop")
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")

    def pieces(text: str, stream: str) -> list[str]:
        parts = [text[start : start + 16384] for start in range(0, len(text), 16384)]
        about = {"stream": stream, "attrs": {"tag": service}, "time": now}
        return [json.dumps({"log": part, **about}) for part in parts]

    first, other = pieces(f"{long}\n", "stdout"), pieces("y" * 20_000 + "\n", "stderr")
    full = "z" * 16384  # behind it Docker writes an empty piece
    with reading(agent, {"name": "containers", "kind": "docker"}):
        lines = [first[0], other[0], first[1], other[1], first[2], *pieces(f"{full}\n", "stderr")]
        lines += [*pieces("\n", "stderr"), *pieces("panic: no end", "stderr")]
        append(host, f"{folder}/{number}-json.log", *lines)
        found = loki.expect(f'{{service="{service}"}}', 4)
        security = scenario.host(host).check_output(f"systemd-analyze security {agent} --no-pager")
    by_stream = {(known["stream"], text): (stamp, known) for stamp, text, known in found}
    others = {("stderr", "y" * 20_000), ("stderr", full), ("stderr", "panic: no end")}
    assert set(by_stream) == {("stdout", long), *others}
    stamp, known = by_stream["stdout", long]
    assert stamp == int(at.timestamp()) * 10**9 + 250000000
    assert (known["level"], known["logger"], known["container"]) == ("info", "shop", number[:12])
    assert float(re.findall(r"exposure level for \w+.service: ([\d.]+)", security)[0]) <= 2.0, "with Docker's files too"


@pytest.mark.parametrize("syslog_format", ["rfc5424", "rfc3164"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_syslog(loki, agent, service, protocol, syslog_format):
    """As logger of util-linux sends it, with its own time and names; that of RFC 3164 lacks the year."""
    log = {"name": "network", "kind": "syslog", "listen_address": "127.0.0.1:1514", "protocol": protocol}
    log["syslog_format"] = syslog_format
    with reading(agent, {**log, "format": "plain"}):
        send = (
            f"logger --{syslog_format} --server 127.0.0.1 --port 1514 --{protocol} --tag {service} --priority user.err"
        )
        before = time.time_ns()
        octets = "--octet-count" if protocol == "tcp" else ""
        scenario.host(LOG_AGENTS[agent]).check_output(f"{send} {octets} 'a link went down'")
        ((stamp, text, known),) = loki.expect(f'{{service="{service}", level="error"}}', 1)
    assert text == "a link went down"
    assert before - 10**6 < stamp < time.time_ns()
    assert known["host"]


def test_switch_that_sends_to_port_514(loki, agent, service):
    """Which needs a power of root's: the agent has it as long as an entry asks for it, and no other."""
    host, log = (
        scenario.host(LOG_AGENTS[agent]),
        {"name": "network", "kind": "syslog", "listen_address": "127.0.0.1:514"},
    )

    def powers() -> str:
        return str(host.check_output(f"grep CapEff /proc/$(systemctl show -PMainPID {agent})/status").split()[1])

    with reading(agent, {**log, "protocol": "udp", "syslog_format": "rfc3164", "format": "plain", "service": service}):
        host.check_output("logger --rfc3164 --server 127.0.0.1 --port 514 --udp 'a link went down'")
        ((_stamp, text, _known),) = loki.expect(f'{{service="{service}"}}', 1)
        assert int(powers(), 16) == 1 << 10, "CAP_NET_BIND_SERVICE"
        security = host.check_output(f"systemd-analyze security {agent} --no-pager")
    assert text == "a link went down"
    assert float(re.findall(r"exposure level for \w+.service: ([\d.]+)", security)[0]) <= 2.0
    assert int(powers(), 16) == 0


def test_container_that_logs_to_the_journal(loki, agent, service):
    """As Docker's driver journald and Podman write: the identifier is the container's number."""
    fields = ["MESSAGE=hello", "SYSLOG_IDENTIFIER=0123456789ab", f"CONTAINER_NAME={service}", "PRIORITY=3"]
    command = "printf '%s\\n' " + " ".join(shlex.quote(field) for field in fields)
    scenario.host(LOG_AGENTS[agent]).check_output(f"{command} | logger --journald")
    ((_stamp, text, known),) = loki.expect(f'{{service="{service}"}}', 1)
    assert (text, known["level"]) == ("hello", "error")


def test_what_an_entry_may_say(loki, agent, service):
    """A regular expression with a time of Berlin, what is kept, dropped and not read; logfmt; a limit."""
    host, at = LOG_AGENTS[agent], datetime.now(UTC).replace(microsecond=250000)
    local = f"{at.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M:%S},250"
    shop = {
        "format": "regex",
        "expression": r"^(?P<timestamp>\S+ \S+) (?P<level>\w+) (?P<message>.*)",
        "time_zone": "Europe/Berlin",
        "keep": "message",
        "exclude": ["/var/log/shop/*-old.log"],
        "drop": [{"field": "level", "matches": "debug"}, {"matches": "GET /health"}],
    }
    logs = [
        {"name": name, "kind": "files", "paths": [f"/var/log/{name}/*.log"], **more}
        for name, more in {
            "shop": shop,
            "proxy": {"format": "logfmt"},
            "chatty": {"format": "plain", "limit": {"rate": 1, "burst": 5, "drop": True}},
        }.items()
    ]
    pairs = f'timestamp={at.isoformat()} level=error service={service}-proxy message="no way"'
    with reading(agent, *logs):
        before = left_out(agent, "asked_for")
        append(host, f"/var/log/shop/{service}-old.log", f"{local} ERROR not read")
        texts = ["DEBUG no", "INFO GET /health 200", "WARNING it is late"]
        append(host, f"/var/log/shop/{service}.log", *(f"{local} {text}" for text in texts))
        append(host, "/var/log/proxy/any.log", pairs)
        append(host, f"/var/log/chatty/{service}-chatty.log", *(f"number {number}" for number in range(100)))
        ((stamp, text, known),) = loki.expect(f'{{service="{service}"}}', 1)
        ((proxy_stamp, proxy_text, proxy_known),) = loki.expect(f'{{service="{service}-proxy"}}', 1)
        chatty = loki.expect(f'{{service="{service}-chatty"}}', 5)
        assert left_out(agent, "asked_for") == before + 2
    moment = int(at.timestamp()) * 10**9 + 250000000
    assert (stamp, text, known["level"]) == (moment, "it is late", "warn")
    assert (proxy_stamp, proxy_text, proxy_known["level"]) == (moment, pairs, "error")
    assert 5 <= len(chatty) < 20
    assert loki.lines(f'{{service="{service}-old"}}') == []


def test_traceback_is_one_entry(loki, agent, service):
    trace = {"name": "trace", "kind": "files", "paths": ["/var/log/trace/*.log"], "format": "plain"}
    with reading(agent, {**trace, "multiline": {"first_line": r"^\d{4}-"}}):
        append(LOG_AGENTS[agent], f"/var/log/trace/{service}.log", *TRACEBACK, "2026-11-25 10:00:01 INFO it goes on")
        first, second = [text for _stamp, text, _known in loki.expect(f'{{service="{service}"}}', 2)]
    assert first == "\n".join(TRACEBACK)
    assert second.endswith("it goes on")
