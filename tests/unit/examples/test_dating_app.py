# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example services over HTTP on the loopback interface, with a stand-in for the pool of connections."""

import asyncio
import json
import logging
import random
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from aiohttp import test_utils

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "dating_app"))

from dating_app import app, faults, routes
from dating_app.database import Database
from dating_app.metrics import Metrics


class Connection:
    """Answers every query with the same value, or fails it; keeps what was asked."""

    def __init__(self, value=None, error=None):
        self.value = value
        self.error = error
        self.asked = []

    async def _answer(self, sql, *arguments, timeout=None):
        self.asked.append((sql, *arguments))
        if self.error and "pg_advisory" not in sql and "CREATE TABLE" not in sql:
            raise self.error
        return self.value

    execute = fetch = fetchrow = fetchval = _answer

    @asynccontextmanager
    async def transaction(self):
        yield


class Pool:
    def __init__(self, connection):
        self.connection = connection

    async def acquire(self, timeout):
        if isinstance(self.connection, BaseException):
            raise self.connection
        return self.connection

    async def release(self, connection):
        pass

    def terminate(self):
        pass


@asynccontextmanager
async def running(service="profile-service", *, connection=None, with_faults=None):
    """Serve one service; gives a client and the service's metrics."""
    measured = Metrics(service, process=False)
    delay = (lambda: with_faults.strength("queries")) if with_faults else (lambda: 0.0)
    database = Database("postgresql:///?host=/nonexistent", measured, delay=delay)
    application = app.create_app(service, database, measured, with_faults)
    async with test_utils.TestClient(test_utils.TestServer(application)) as client:
        if connection is not None:
            database._pool = Pool(connection)
        yield client, measured


def requests_seen(measured):
    """Give (method, route, status) to the number of requests."""
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in measured.registry.collect()
        for sample in family.samples
        if sample.name == "http_requests_total"
    }


def value(measured, name, **labels):
    return measured.registry.get_sample_value(name, labels)


def test_ten_services_with_routes_of_their_own():
    assert list(routes.SERVICES) == [
        "auth-service",
        "profile-service",
        "discovery-service",
        "media-service",
        "chat-service",
        "notification-service",
        "admin-service",
        "data-service",
        "telegram-bot",
        "webapp",
    ]

    async def visit():
        for service, paths in routes.SERVICES.items():
            async with running(service) as (client, _):
                assert (await client.get("/metrics")).status == 200
                for method, path, _ in paths:
                    answer = await client.request(method, path.replace(routes.ID, "1"), data=b"{}")
                    assert answer.status in (200, 400, 503), path

    asyncio.run(visit())


def test_labels_stay_finite_under_a_scan():
    async def visit():
        async with running(connection=Connection({"id": 1})) as (client, measured):
            for number in range(200):
                await client.get(f"/{number}/.env")
                await client.get(f"/profiles/{number}")
                await client.get(f"/profiles/{number}?{number}")
            await client.delete("/profiles/1")
            await client.get("/profiles/../../etc/passwd")
            await client.get("/profiles/12345678901234567890")
            await client.request("PROPFIND", "/")
            return requests_seen(measured)

    seen = asyncio.run(visit())
    assert seen == {
        ("GET", "/profiles/{id}", "200"): 400,
        ("GET", "unmatched", "404"): 202,
        ("DELETE", "unmatched", "405"): 1,
        ("OTHER", "unmatched", "404"): 1,
    }


def test_sizes_are_those_of_the_bodies():
    async def visit():
        async with running(connection=Connection(5)) as (client, measured):
            body = json.dumps({"name": "Ada", "age": 36})
            answer = await client.post("/profiles", data=body)
            labels = {"service": "profile-service", "method": "POST", "route": "/profiles", "status": "201"}
            assert answer.status == 201
            assert value(measured, "http_request_size_bytes_sum", **labels) == len(body)
            assert value(measured, "http_response_size_bytes_sum", **labels) == len(await answer.read())

            async def chunks():
                yield b"x" * 1000
                yield b"x" * 500

            labels["status"] = "400"
            assert (await client.post("/profiles", data=chunks())).status == 400
            assert value(measured, "http_request_size_bytes_sum", **labels) == 1500

    asyncio.run(visit())


def test_head_has_no_body():
    async def visit():
        async with running(connection=Connection({"id": 1})) as (client, measured):
            assert (await client.head("/profiles/1")).status == 200
            labels = {"service": "profile-service", "method": "HEAD", "route": "/profiles/{id}", "status": "200"}
            assert value(measured, "http_response_size_bytes_sum", **labels) == 0

    asyncio.run(visit())


def test_business_and_database_metrics_move():
    async def visit():
        async with running(connection=Connection({"id": 1, "name": "Ada"})) as (client, measured):
            await client.post("/profiles/1/views", json={"seconds": 12.5})
            assert value(measured, "profile_view_duration_seconds_sum") == 12.5
            await client.post("/profiles", json={"name": "Ada", "age": 36})
            await client.post("/profiles", json={"name": "Ada", "age": 6})
            assert value(measured, "profiles_created_total") == 1
            assert value(measured, "db_queries_total", operation="create_profile") == 1
            assert value(measured, "db_query_duration_seconds_count", operation="get_profile") == 1
        async with running("discovery-service", connection=Connection(3)) as (client, measured):
            assert (await client.post("/matches", json={"profile_id": 1, "other_id": 2})).status == 201
            assert (await client.post("/matches", json={"profile_id": 1, "other_id": 1})).status == 400
            assert value(measured, "matches_created_total") == 1
        async with running("auth-service", connection=Connection({"id": 1})) as (client, measured):
            await client.post("/login", json={"profile_id": 1})
            assert value(measured, "active_users_current") == 1
            await client.post("/logout", json={"profile_id": 1})
            assert value(measured, "active_users_current") == 0

    asyncio.run(visit())


@pytest.mark.parametrize("body", ["", "[]", "{", '{"name": 3, "age": 30}', '{"name": "x", "age": true}', "{}"])
def test_bodies_that_are_refused(body):
    async def visit():
        async with running(connection=Connection(1)) as (client, _):
            answer = await client.post("/profiles", data=body)
            return answer.status, await answer.json()

    status, answer = asyncio.run(visit())
    assert status == 400
    assert answer["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (asyncpg.ConnectionDoesNotExistError("gone"), 503),
        (asyncpg.exceptions.AdminShutdownError("bye"), 503),
        (ConnectionResetError(), 503),
        (TimeoutError(), 503),
        (asyncpg.UndefinedTableError("no table"), 503),
        (asyncpg.ForeignKeyViolationError("no such profile"), 404),
        (asyncpg.DataError("too large"), 400),
        (asyncpg.exceptions._base.DataError("not a number"), 400),
        (asyncpg.UndefinedColumnError("a bug"), 500),
        (KeyError("a bug"), 500),
    ],
)
def test_database_errors_become_answers(error, status, caplog):
    async def visit():
        async with running(connection=Connection(error=error)) as (client, measured):
            answer = await client.get("/profiles/1")
            assert list(await answer.json()) == ["error"]
            assert requests_seen(measured) == {("GET", "/profiles/{id}", str(status)): 1}
            return answer.status

    assert asyncio.run(visit()) == status
    assert bool([record for record in caplog.records if record.exc_info]) == (status == 500)


def test_health_without_a_database_and_when_it_is_back():
    async def visit():
        async with running() as (client, measured):
            answer = await client.get("/health")
            assert answer.status == 503
            body = await answer.json()
            assert body["status"] == "unhealthy"
            assert "database: no connection: FileNotFoundError" in body["reasons"][0]
            assert (await client.get("/profiles/1")).status == 503
            assert value(measured, "db_queries_total", operation="ping") is None
        connection = Connection(1)
        async with running(connection=connection) as (client, _):
            answer = await client.get("/health")
            assert (answer.status, await answer.json()) == (
                200,
                {"service": "profile-service", "status": "healthy", "reasons": []},
            )
            await client.get("/health")
            assert sum("CREATE TABLE" in sql for sql, *_ in connection.asked) == 1

    asyncio.run(visit())


def test_health_answers_in_time_when_the_database_does_not(monkeypatch):
    monkeypatch.setattr(app, "HEALTH_SECONDS", 0.05)

    class Slow(Connection):
        async def fetchval(self, *_):
            self.asked.append("ping")
            await asyncio.sleep(5)  # longer than the ten take to ask

    async def visit():
        connection = Slow()
        async with running(connection=connection) as (client, _):
            answers = await asyncio.gather(*(client.get("/health") for _ in range(10)))
            assert {answer.status for answer in answers} == {503}
            assert "no answer within" in (await answers[0].json())["reasons"][0]
            assert connection.asked.count("ping") == 1

    asyncio.run(visit())


def test_every_request_is_logged_with_its_context(caplog):
    caplog.set_level(logging.INFO)

    async def visit():
        async with running(connection=Connection({"id": 1})) as (client, _):
            await client.get("/profiles/1?token=secret")
            await client.get("/metrics")

    asyncio.run(visit())
    (record,) = [record for record in caplog.records if record.name == "profile-service"]
    assert (record.method, record.path, record.route, record.status) == ("GET", "/profiles/1", "/profiles/{id}", 200)
    assert record.duration_ms >= 0


def make_faults(**changes):
    return faults.Faults(logging.getLogger("profile-service"), **changes)


def test_faults_exist_only_on_demand():
    async def visit():
        async with running() as (client, _):
            assert (await client.post("/faults/exit")).status == 404
            assert (await client.get("/faults")).status == 404
        async with running(with_faults=make_faults()) as (client, _):
            assert await (await client.get("/faults")).json() == {"active": {}}

    asyncio.run(visit())


def test_errors_hit_their_share_until_they_end():
    now = 100.0
    chance = random.Random(1)
    injected = make_faults(clock=lambda: now, chance=chance.random)

    async def visit():
        nonlocal now
        async with running(connection=Connection({"id": 1}), with_faults=injected) as (client, _):

            async def failures():
                answers = [await client.get("/profiles/1") for _ in range(200)]
                return sum(answer.status == 500 for answer in answers)

            assert await failures() == 0
            assert (await client.post("/faults/errors?share=0.3&seconds=60")).status == 200
            assert 40 < await failures() < 80
            assert (await client.get("/health")).status == 200
            assert (await client.get("/metrics")).status == 200
            now += 61
            assert await failures() == 0
            await client.post("/faults/errors")
            assert await failures() == 200
            await client.delete("/faults")
            assert await failures() == 0

    asyncio.run(visit())


def test_latency_and_slow_queries():
    connection = Connection({"id": 1})

    async def visit():
        clock = asyncio.get_running_loop().time
        async with running(connection=connection, with_faults=make_faults()) as (client, _):
            await client.post("/faults/latency?milliseconds=80")
            begin = clock()
            await client.get("/profiles/1")
            assert clock() - begin >= 0.08
            await client.delete("/faults")
            await client.post("/faults/queries?milliseconds=80")
            await client.get("/profiles/1")
            assert ("SELECT pg_sleep($1)", 0.08) in connection.asked
            connection.asked.clear()
            await client.get("/health")
            assert connection.asked == [("SELECT 1",)]

    asyncio.run(visit())


def test_exit():
    async def visit():
        codes = asyncio.Queue()
        async with running(with_faults=make_faults(end_process=codes.put_nowait)) as (client, _):
            assert (await client.post("/faults/exit?code=3")).status == 202
            assert await asyncio.wait_for(codes.get(), 5) == 3

    asyncio.run(visit())


@pytest.mark.parametrize(
    "fault",
    [
        "errors?share=1.1",
        "errors?share=nan",
        "errors?share=x",
        "errors?seconds=3601",
        "errors?seconds=inf",
        "latency?milliseconds=30001",
        "latency?milliseconds=-1",
        "exit?code=256",
    ],
)
def test_faults_are_bounded(fault):
    injected = make_faults(end_process=pytest.fail)

    async def visit():
        async with running(with_faults=injected) as (client, _):
            answer = await client.post(f"/faults/{fault}")
            assert answer.status == 400
            assert "is a number from" in (await answer.json())["error"]
            assert await (await client.get("/faults")).json() == {"active": {}}

    asyncio.run(visit())


def test_settings_from_command_line_and_environment():
    environment = {
        "DATING_APP_PORTS": "auth-service=8081 webapp=8090",
        "DATING_APP_LISTEN": "0.0.0.0",
        "DATING_APP_FAULTS": "true",
    }
    chosen = app.settings(["--service", "webapp"], environment)
    assert (chosen.service, chosen.port, chosen.listen, chosen.faults) == ("webapp", 8090, "0.0.0.0", True)
    chosen = app.settings(["--service", "webapp", "--port", "1234"], {})
    assert (chosen.port, chosen.listen, chosen.faults, chosen.log_file) == (1234, "127.0.0.1", False, None)
    assert app.settings([], {"DATING_APP_SERVICE": "webapp", "DATING_APP_PORT": "1"}).port == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "1"], "--service is one of"),
        (["--service", "shop", "--port", "1"], "not shop"),
        (["--service", "webapp"], "no port for webapp"),
        (["--service", "webapp", "--ports", "webapp"], "no port for webapp"),
        (["--service", "webapp", "--port", "70000"], "not a port"),
        (["--service", "webapp", "--port", "1", "--log-level", "LOUD"], "--log-level"),
        (["--service", "webapp", "--port", "1", "--database", "dating_app"], "--database is a URL like postgresql://"),
        (["--service", "webapp", "--port", "1", "--database", "postgresql://me:pw@db/x"], "--database-password-file"),
        (
            ["--service", "webapp", "--port", "1", "--database", "postgresql:///x?password=pw"],
            "--database-password-file",
        ),
    ],
)
def test_settings_that_are_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        app.settings(arguments, {})
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert "pw" not in error.replace("password", "")
