# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on request, to see alerts, dashboards and logs react. Every fault ends by itself.

The addresses exist only when the program was started with ``--faults``:

    POST   /faults/errors?share=0.5&seconds=60            that share of requests is answered with 500
    POST   /faults/latency?milliseconds=800&seconds=60    every request waits that long first
    POST   /faults/queries?milliseconds=800&seconds=60    every database query takes that much longer
    POST   /faults/exit?code=3                            the process exits with that code, as in a crash
    GET    /faults                                        what is active, and for how many seconds
    DELETE /faults                                        end all of them
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

#: Longest fault in seconds, and longest delay in milliseconds.
MAX_SECONDS = 3600.0
MAX_MILLISECONDS = 30_000.0

#: Routes that faults leave alone: what observes the service, and what ends the fault.
SPARED = ("/metrics", "/health", "/faults")


class InjectedError(Exception):
    """Stands for a programming error: the service answers 500 and logs the traceback."""


@dataclass
class Faults:
    """The active faults of one process: for each kind its strength and when it ends."""

    log: logging.Logger
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    end_process: Callable[[int], object] = os._exit
    _active: dict[str, tuple[float, float]] = field(default_factory=dict)

    def start(self, kind: str, strength: float, seconds: float) -> None:
        """Begin a fault, or change the one of that kind."""
        self._active[kind] = (strength, self.clock() + seconds)
        self.log.warning("Fault started", extra={"fault": kind, "strength": strength, "seconds": seconds})

    def strength(self, kind: str) -> float:
        """Give the strength of a fault (share or milliseconds), 0 when it is not active."""
        strength, end = self._active.get(kind, (0.0, 0.0))
        return strength if self.clock() < end else 0.0

    async def before_request(self, route: str) -> None:
        """Delay the request, or fail it."""
        if route.startswith(SPARED):
            return
        if milliseconds := self.strength("latency"):
            await asyncio.sleep(milliseconds / 1000)
        if self.chance() < self.strength("errors"):
            raise InjectedError("an error was asked for at /faults/errors")

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Make the faults reachable over HTTP."""
        router.add_post("/faults/errors", self._post_errors)
        router.add_post("/faults/latency", self._post_delay)
        router.add_post("/faults/queries", self._post_delay)
        router.add_post("/faults/exit", self._post_exit)
        router.add_get("/faults", self._get)
        router.add_delete("/faults", self._delete)

    async def _post_errors(self, request: web.Request) -> web.Response:
        share = number(request, "share", default=1.0, lowest=0.0, highest=1.0)
        self.start("errors", share, number(request, "seconds", default=60.0, lowest=0.0, highest=MAX_SECONDS))
        return await self._get(request)

    async def _post_delay(self, request: web.Request) -> web.Response:
        delay = number(request, "milliseconds", default=1000.0, lowest=0.0, highest=MAX_MILLISECONDS)
        seconds = number(request, "seconds", default=60.0, lowest=0.0, highest=MAX_SECONDS)
        self.start(request.path.rpartition("/")[2], delay, seconds)
        return await self._get(request)

    async def _post_exit(self, request: web.Request) -> web.Response:
        code = int(number(request, "code", default=1.0, lowest=0.0, highest=255.0))
        self.log.critical("Exiting on request", extra={"fault": "exit", "code": code})
        asyncio.get_running_loop().call_later(0.1, self.end_process, code)
        return web.json_response({"exit": code}, status=202)

    async def _get(self, _request: web.Request) -> web.Response:
        now = self.clock()
        active = {
            kind: {"strength": strength, "seconds_left": round(end - now, 1)}
            for kind, (strength, end) in self._active.items()
            if strength and now < end
        }
        return web.json_response({"active": active})

    async def _delete(self, request: web.Request) -> web.Response:
        self._active.clear()
        self.log.warning("Faults ended")
        return await self._get(request)


def number(request: web.Request, name: str, *, default: float, lowest: float, highest: float) -> float:
    """Read a number from the query, or refuse the request and say which values are allowed."""
    text = request.query.get(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:
        raise web.HTTPBadRequest(text=f"{name} is a number from {lowest:g} to {highest:g}")
    return value
