# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service: its routes, ``/health``, ``/metrics``, and a middleware that counts and logs every request."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from dating_app import logs, metrics, routes
from dating_app.database import Database, DatabaseUnavailable, UnacceptableValue, UnknownReference
from dating_app.faults import Faults
from dating_app.metrics import Metrics

#: Seconds until ``/health`` gives up on the database. Shorter than what a scrape or a probe waits.
HEALTH_SECONDS = 2.0

#: Seconds that running requests have left when the service is told to stop.
SHUTDOWN_SECONDS = 5.0

#: Logged as status of requests whose client went away before the answer.
CLIENT_CLOSED = 499

DEFAULT_DATABASE = "postgresql:///dating_app?host=/run/postgresql"

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware


def create_app(service: str, database: Database, measured: Metrics, faults: Faults | None = None) -> web.Application:
    """Put one service together. The addresses of faults exist only when ``faults`` is given."""
    log = logging.getLogger(service)
    app = web.Application(middlewares=[observe(measured, faults, log)], client_max_size=routes.MAX_BODY_BYTES)

    async def look_at_database() -> list[str]:
        try:
            await database.ping()
        except DatabaseUnavailable as error:
            return [f"database: {error}"]
        return []

    look: asyncio.Task[list[str]] | None = None

    async def health(_request: web.Request) -> web.Response:
        nonlocal look
        if look is None or look.done():  # one at a time, however many ask
            look = asyncio.create_task(look_at_database())
        await asyncio.wait({look}, timeout=HEALTH_SECONDS)
        reasons = look.result() if look.done() else [f"database: no answer within {HEALTH_SECONDS:g} s"]
        if reasons:
            log.error("Service is unhealthy", extra={"reasons": reasons})
        answer = {"service": service, "status": "unhealthy" if reasons else "healthy", "reasons": reasons}
        return web.json_response(answer, status=503 if reasons else 200)

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=measured.render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def keep_database(_app: web.Application) -> AsyncIterator[None]:
        await database.open()
        yield
        await database.close()

    app.cleanup_ctx.append(keep_database)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", exposition)
    routes.add_routes(app.router, service, routes.Context(database, measured, log))
    if faults:
        faults.add_routes(app.router)
    return app


def observe(measured: Metrics, faults: Faults | None, log: logging.Logger) -> Middleware:
    """Make the middleware that answers every error as JSON, and counts and logs every request."""

    async def answer(request: web.Request, route: str, handler: Handler) -> web.StreamResponse:
        try:
            if faults:
                await faults.before_request(route)
            return await handler(request)
        except web.HTTPException as error:
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            return _refusal(error.status, error.text or error.reason, headers=allowed)
        except UnacceptableValue as error:
            return _refusal(400, str(error))
        except UnknownReference as error:
            return _refusal(404, str(error))
        except DatabaseUnavailable as error:
            log.error("Database unavailable", extra={"route": route, "reason": str(error)})
            return _refusal(503, f"database: {error}")
        except Exception:
            log.exception("Request failed", extra={"method": request.method, "route": route})
            return _refusal(500, "internal error")

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        resource = request.match_info.route.resource
        route = resource.canonical if resource else metrics.UNMATCHED_ROUTE
        response: web.StreamResponse | None = None
        try:
            response = await answer(request, route, handler)
            return response
        finally:
            # aiohttp 3.8 calls an answer false that holds no items of its own, hence no "or" here.
            status = CLIENT_CLOSED if response is None else response.status
            seconds = time.perf_counter() - started
            sent = 0 if response is None or request.method == "HEAD" else response.content_length or 0
            measured.observe_request(
                method=request.method,
                route=route,
                status=status,
                seconds=seconds,
                received_bytes=request.content.total_bytes,
                sent_bytes=sent,
            )
            quiet = route in ("/health", "/metrics")
            log.log(
                logging.DEBUG if quiet else logging.ERROR if status >= 500 else logging.INFO,
                "Request answered",
                extra={
                    "method": request.method,
                    "path": request.path,
                    "route": route,
                    "status": status,
                    "duration_ms": round(seconds * 1000, 3),
                },
            )

    return middleware


def _refusal(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


def settings(arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    """Read the command line; each option's default comes from the environment variable that its help names."""
    parser = argparse.ArgumentParser(prog="dating_app", description="Run one service of the Dating application.")

    def option(name: str, text: str, **more: object) -> None:
        variable = "DATING_APP_" + name.upper().replace("-", "_")
        default = environment.get(variable, more.pop("default", None))
        parser.add_argument(f"--{name}", default=default, help=f"{text} ({variable})", **more)  # type: ignore[arg-type]

    option("service", "which service to be: " + ", ".join(routes.SERVICES), metavar="NAME")
    option("ports", "the ports of all services: NAME=PORT NAME=PORT ...", default="")
    option("port", "the port of this service, if --ports does not tell", type=int)
    option("listen", "address to listen on, default: 127.0.0.1", default="127.0.0.1", metavar="ADDRESS")
    option("database", f"default: {DEFAULT_DATABASE}", default=DEFAULT_DATABASE, metavar="URL")
    option("database-password-file", "file with the password, where the server wants one", type=Path, metavar="FILE")
    option("log-file", "write the log to this file as well as to standard output", metavar="FILE")
    option("log-level", "DEBUG, INFO, WARNING, ERROR or CRITICAL, default: INFO", default="INFO", metavar="LEVEL")
    parser.add_argument(
        "--faults",
        action="store_true",
        default=environment.get("DATING_APP_FAULTS", "").lower() in ("1", "true", "yes"),
        help="accept faults at /faults, for tests only (DATING_APP_FAULTS=true)",
    )
    chosen = parser.parse_args(arguments)

    if chosen.service not in routes.SERVICES:
        parser.error(f"--service is one of {', '.join(routes.SERVICES)}, not {chosen.service}")
    if chosen.port is None:
        ports = dict(pair.partition("=")[::2] for pair in chosen.ports.split())
        if not ports.get(chosen.service, "").isdigit():
            parser.error(f"no port for {chosen.service}: give --port or name it in --ports")
        chosen.port = int(ports[chosen.service])
    if not 0 <= chosen.port <= 65535:
        parser.error(f"{chosen.port} is not a port")
    if chosen.log_level not in logging.getLevelNamesMapping():
        parser.error(f"unknown --log-level {chosen.log_level}")
    address = urlsplit(chosen.database)
    if address.scheme not in ("postgresql", "postgres"):
        parser.error("--database is a URL like " + DEFAULT_DATABASE)
    if address.password or "password" in parse_qs(address.query):
        parser.error("--database holds a password, which every user of the host can read: use --database-password-file")
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one service until it is told to stop. Wrong options exit with 2, a port or a file that is taken with 1."""
    chosen = settings(sys.argv[1:] if arguments is None else arguments, os.environ)
    try:
        log = logs.configure(chosen.service, level=chosen.log_level, file=chosen.log_file)
    except OSError as error:
        raise SystemExit(f"dating_app: cannot write the log: {error}") from error
    measured = Metrics(chosen.service)
    faults = Faults(log) if chosen.faults else None
    database = Database(
        chosen.database,
        measured,
        password_file=chosen.database_password_file,
        delay=(lambda: faults.strength("queries")) if faults else (lambda: 0.0),
    )
    app = create_app(chosen.service, database, measured, faults)
    log.info("Service starts", extra={"address": chosen.listen, "port": chosen.port, "faults": chosen.faults})
    try:
        web.run_app(
            app,
            host=chosen.listen,
            port=chosen.port,
            access_log=None,
            print=lambda *_: None,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
    except OSError as error:
        log.critical("Service cannot start", extra={"reason": str(error)})
        raise SystemExit(1) from error
    log.info("Service stopped")
