# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All dashboards, and the files that they are written to: below the folder's title, called by the UID."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from . import alerts, containers, database, infrastructure, logs, monitoring, services

FOLDER = Path(__file__).resolve().parents[1] / "roles/grafana/files/dashboards"
TITLE = "Monitoring"

BOARDS = (infrastructure, services, database, containers, logs, alerts, monitoring)


def boards() -> list[dict[str, t.Any]]:
    return [module.build() for module in BOARDS]


def files() -> dict[Path, str]:
    """The content of every file, by its path."""
    return {FOLDER / TITLE / f"{made['uid']}.json": json.dumps(made, indent=2) + "\n" for made in boards()}
