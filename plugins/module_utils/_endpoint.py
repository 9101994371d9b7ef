# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Where a component of this host answers, as its generation in force says."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from . import _generations
from ._layout import Layout
from ._ready import Endpoint


def endpoint_of(layout: Layout, params: t.Mapping[str, t.Any]) -> Endpoint | None:
    """Where it answers: what the generation in force says, and over it what the task states."""
    number = _generations.current_number(layout)
    known = (_generations.manifest(layout, number) or {}).get("ready") if number else None
    if not known and not params.get("url"):
        return None
    names = {"base": "url", "user": "user", "ca": "ca_path", "server_name": "server_name"}
    stated = {key: params.get(option) for key, option in names.items()}
    endpoint = Endpoint(**(known or {"base": ""}))
    endpoint = replace(endpoint, **{key: value for key, value in stated.items() if value is not None})
    return replace(endpoint, base=endpoint.base.rstrip("/"), password=params["password"] or "")
