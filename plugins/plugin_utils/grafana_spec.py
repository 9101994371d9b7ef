# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The options of M(opswatch.monitoring.grafana_dashboards), which the control node checks."""

from __future__ import annotations

import typing as t

from ..module_utils._grafana_api import ARGUMENT_SPEC as CONNECTION
from ..module_utils._grafana_api import MUTUALLY_EXCLUSIVE, REQUIRED_TOGETHER

# token_file and ca_path are files on the host: only there `~` is known.
ARGUMENT_SPEC: dict[str, t.Any] = {
    **CONNECTION,
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "exported"], "default": "present"},
    "folder": {"type": "str", "default": ""},
    "owner": {"type": "str", "default": ""},
    "prune": {"type": "bool", "default": False},
}
CONDITIONS = {"mutually_exclusive": MUTUALLY_EXCLUSIVE, "required_together": REQUIRED_TOGETHER}
