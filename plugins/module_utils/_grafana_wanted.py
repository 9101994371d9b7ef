# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What is wanted inside of Grafana: the options of M(opswatch.monitoring.grafana_admin), and a mark of them.

Without what talks to Grafana, for which the control node has no use.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

ROUNDS = 20000  # a password is part of it: guessing is slow

# Documented in plugins/modules/grafana_admin.py.
OPTIONS: dict[str, t.Any] = {
    "url": {"type": "str", "default": "http://127.0.0.1:3000"},
    "ca_path": {"type": "path"},
    "server_name": {"type": "str"},
    "timeout": {"type": "float", "default": 30.0},
    "user": {"type": "str", "default": "admin"},
    "password": {"type": "str", "required": True, "no_log": True},
    "token_name": {"type": "str", "default": "opswatch", "no_log": False},
    "datasources": {"type": "list", "elements": "str"},
    "plugins": {"type": "path"},
    "dashboards": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            # Not secret, but hundreds of kilobytes: the log of the host is to have none of them.
            "tree": {"type": "str", "no_log": True},
        },
    },
}


def mark(wanted: t.Mapping[str, t.Any], salt: str) -> str:
    """By it the control node knows what a host has. C(wanted): every option, with the trees filled in."""
    text = json.dumps({name: wanted[name] for name in OPTIONS}, sort_keys=True)
    return hashlib.pbkdf2_hmac("sha256", text.encode(), salt.encode(), ROUNDS).hex()
