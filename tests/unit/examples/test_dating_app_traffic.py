# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic generator: where it may send, how much, and for how long."""

import argparse
import asyncio
import random
import sys
import types
from pathlib import Path

import pytest
from aiohttp import test_utils, web

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "dating_app"))

from dating_app import traffic
from dating_app.routes import SERVICES


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("webapp=8090", "http://127.0.0.1:8090"),
        ("webapp=127.9.9.9:80", "http://127.9.9.9:80"),
        ("webapp=10.1.2.3:8090", "http://10.1.2.3:8090"),
        ("webapp=172.17.0.2:8090", "http://172.17.0.2:8090"),
        ("webapp=192.168.1.1:8090", "http://192.168.1.1:8090"),
        ("webapp=[::1]:8090", "http://[::1]:8090"),
        ("webapp=[fd00::2]:8090", "http://[fd00::2]:8090"),
    ],
)
def test_targets_nearby(text, url):
    assert traffic.target(text) == ("webapp", url)


@pytest.mark.parametrize(
    "text",
    [
        "webapp=8.8.8.8:80",
        "webapp=0.0.0.0:80",
        "webapp=169.254.169.254:80",
        "webapp=172.32.0.1:80",
        "webapp=[2001:db8::1]:80",
        "webapp=[::ffff:8.8.8.8]:80",
        "webapp=example.com:80",
        "webapp=localhost:80",
        "webapp=127.0.0.1@example.com:80",
        "webapp=127.0.0.1:80/x",
        "webapp=127.0.0.1:0",
        "webapp=127.0.0.1:65536",
        "webapp=²",
        "webapp",
        "shop=8090",
        "=8090",
    ],
)
def test_targets_that_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        traffic.target(text)


def test_defaults_are_finite():
    chosen = traffic.settings(["webapp=8090"])
    assert (chosen.rate, chosen.duration, chosen.wait) == (2.0, 60.0, 0.0)
    chosen = traffic.settings(["--rate", "50", "--duration", "3600", "webapp=8090"])
    assert (chosen.rate, chosen.duration) == (traffic.MAX_RATE, traffic.MAX_DURATION)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--rate", "51", "webapp=1"],
        ["--rate", "0", "webapp=1"],
        ["--rate", "nan", "webapp=1"],
        ["--duration", "3601", "webapp=1"],
        ["--duration", "inf", "webapp=1"],
        ["--duration", "-1", "webapp=1"],
        ["--wait", "301", "webapp=1"],
        ["--rate", "fast", "webapp=1"],
        ["webapp=8.8.8.8:80"],
    ],
)
@pytest.mark.usefixtures("capsys")
def test_more_is_refused(arguments):
    with pytest.raises(SystemExit) as stop:
        traffic.settings(arguments)
    assert stop.value.code == 2


def test_visitors_ask_only_the_given_services_and_use_what_they_learned():
    visitors = traffic.Visitors(frozenset({"profile-service", "webapp"}), random.Random(1))
    for number in range(2000):
        visitors.learn(traffic.Step("profile-service", "POST", "/profiles"), 201, {"id": 1000 + number})
    visitors.learn(traffic.Step("profile-service", "POST", "/profiles"), 500, {"id": -1})
    visitors.learn(traffic.Step("profile-service", "POST", "/profiles"), 201, "nonsense")
    assert len(visitors.profiles) == 500
    steps = [visitors.next() for _ in range(500)]
    assert {step.service for step in steps} == {"profile-service", "webapp"}
    viewed = {step.path for step in steps if step.path.endswith("/views")}
    assert viewed
    assert all(2500 <= int(path.split("/")[2]) < 3000 for path in viewed)


def test_every_service_gets_requests_that_it_has_routes_for():
    visitors = traffic.Visitors(frozenset(SERVICES), random.Random(2))
    assert {step.service for _, step in visitors._steps()} == set(SERVICES)
    for _, step in visitors._steps():
        shape = "/".join("1" if part.isdigit() else part for part in step.path.partition("?")[0].split("/"))
        assert (step.method, shape) in {
            (method, path.replace(r"{id:\d{1,9}}", "1")) for method, path, _ in SERVICES[step.service]
        }


async def serve(handler):
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    server = test_utils.TestServer(application)
    await server.start_server()
    return server


class Clock:
    """In the place of the loop's: time passes only while somebody sleeps, however busy this machine is."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        self.slept = []
        loop = types.SimpleNamespace(time=lambda: self.now)
        stand_in = {**vars(asyncio), "get_running_loop": lambda: loop, "sleep": self.sleep}
        monkeypatch.setattr(traffic, "asyncio", types.SimpleNamespace(**stand_in))

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += max(seconds, 0)
        await asyncio.sleep(0)


def test_requests_are_sent_at_the_rate_for_the_duration(monkeypatch):
    seen = []
    clock = Clock(monkeypatch)

    async def handler(request):
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "http://192.0.2.1/"})

    async def visit():
        server = await serve(handler)
        visitors = traffic.Visitors(frozenset({"webapp"}), random.Random(3))
        answers = await traffic.send({"webapp": str(server.make_url(""))}, 40, 0.5, visitors)
        await server.close()
        return answers

    assert asyncio.run(visit()) == {"webapp 302": 20}
    assert len(seen) == 20
    assert clock.slept == pytest.approx([0, *[1 / 40] * 19])


def test_no_request_is_sent_after_the_duration(monkeypatch):
    """By a machine that was busy with other things meanwhile."""
    clock = Clock(monkeypatch)
    real = clock.sleep

    async def late(seconds):
        await real(max(seconds, 0) + 0.3)

    monkeypatch.setattr(traffic.asyncio, "sleep", late)

    async def handler(_request):
        return web.Response()

    async def visit():
        server = await serve(handler)
        visitors = traffic.Visitors(frozenset({"webapp"}), random.Random(3))
        answers = await traffic.send({"webapp": str(server.make_url(""))}, 40, 0.5, visitors)
        await server.close()
        return answers

    assert asyncio.run(visit()) == {"webapp 200": 1}


def test_unanswered_requests_are_bounded(monkeypatch):
    monkeypatch.setattr(traffic, "MAX_CONCURRENT", 3)
    monkeypatch.setattr(traffic, "REQUEST_SECONDS", 2)
    Clock(monkeypatch)
    running = most = 0

    async def visit():
        over = asyncio.Event()

        async def handler(_request):
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await over.wait()
            finally:
                running -= 1
            return web.Response()

        server = await serve(handler)
        visitors = traffic.Visitors(frozenset({"webapp"}), random.Random(4))
        answers = await traffic.send({"webapp": str(server.make_url(""))}, 50, 0.3, visitors)
        over.set()
        await server.close()
        return answers

    answers = asyncio.run(visit())
    assert most == 3
    assert answers == {"webapp TimeoutError": 3, "skipped, as too many are unanswered": 12}


def test_wait_for_health():
    answers = iter([503, 503])

    async def handler(_request):
        return web.json_response({"reasons": ["database"]}, status=next(answers, 200))

    async def visit():
        server = await serve(handler)
        url = str(server.make_url("")).rstrip("/")
        ill = await traffic.healthy({"webapp": url}, 0)
        assert ill == {"webapp": '503 {"reasons": ["database"]}'}
        assert await traffic.healthy({"webapp": url}, 10) == {}
        await server.close()
        ill = await traffic.healthy({"webapp": url}, 0)
        assert "Connect" in ill["webapp"]

    asyncio.run(visit())
