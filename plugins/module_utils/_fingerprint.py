# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""A mark of what is wanted of a component, by which the control node knows that a host has it."""

from __future__ import annotations

import json
import typing as t

from . import _files
from ._plan import Desired


def fingerprint(desired: Desired, programs: t.Sequence[str], packages: t.Sequence[str]) -> str:
    """A SHA-256 over all by which the planner decides whether there is something to do where everything is in order."""
    wanted = {
        "state": desired.state,
        "version": desired.version,
        "unit": desired.unit,
        "files": sorted([file.place, file.path, file.sha256, file.mode] for file in desired.files),
        "programs": list(programs),
        "packages": list(packages),
        "keep": desired.keep,
    }
    return _files.sha256(json.dumps(wanted, sort_keys=True).encode())
