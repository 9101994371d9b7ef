# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a request of the stand-in's API finds what answers it."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

from database import Database


class Refusal(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str, /, **more: t.Any) -> None:
        super().__init__(message)
        self.status = status
        self.data = {"message": message, **more}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    params: t.Mapping[str, str]
    body: bytes = b""
    user: str = ""
    password: str = ""
    token: str = ""

    @property
    def json(self) -> dict[str, t.Any]:
        try:
            data = json.loads(self.body)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise Refusal(400, "bad request data", traceID="")
        return data


@dataclass(frozen=True)
class Call:
    """A request that has a right to be answered."""

    database: Database
    request: Request
    user: t.Mapping[str, t.Any]
    provisioning: str
    found: re.Match[str]

    @property
    def name(self) -> str:
        """What stands for the ``*`` of the route."""
        return self.found[1]


Handler = t.Callable[[Call], t.Any]
ROUTES: dict[tuple[str, str], Handler] = {}


def route(method: str, path: str) -> t.Callable[[Handler], Handler]:
    """The address of a handler; ``*`` is one part of it."""

    def add(handler: Handler) -> Handler:
        ROUTES[method, path.replace("*", "([^/]+)")] = handler
        return handler

    return add
