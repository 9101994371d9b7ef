# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the modules of backups are told."""

from __future__ import annotations

import typing as t

from ._errors import ComponentError
from ._layout import Layout, installed_components

# Both documented in plugins/doc_fragments/backup.py.
REPOSITORY: dict[str, t.Any] = {
    "repository": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "host": {"type": "str", "required": True},
    "textfile": {"type": "path", "default": "/var/lib/node_exporter/textfile/opswatch_backup.static.prom"},
    "timeout": {"type": "float", "default": 21600.0},
    "progress": {"type": "float", "default": 0.0},  # the control node's side sees to it
}
OPTIONS: dict[str, t.Any] = {
    **REPOSITORY,
    "components": {"type": "list", "elements": "str", "default": []},
    "server_password": {"type": "str", "no_log": True},
}


def wanted(stated: t.Sequence[str]) -> list[str]:
    """The components of this host that are asked for; all of them, if none is named."""
    there = [name for name in installed_components() if _is_in_force(name)]
    missing = [name for name in stated if name not in there]
    if missing:
        raise ComponentError(
            f"{', '.join(missing)} is not installed here",
            f"what is: {', '.join(there) or 'nothing'}",
            "correct backup_components, or run site.yml first",
        )
    return [name for name in there if name in stated] if stated else there


def _is_in_force(name: str) -> bool:
    from ._generations import current_number

    return current_number(Layout(name)) is not None
