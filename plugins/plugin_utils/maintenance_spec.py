# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The typed options of C(maintenance_look) and C(maintenance_report)."""

from __future__ import annotations

import typing as t

ROUTINES = ["daily", "weekly", "monthly", "doctor"]

LOOK_SPEC: dict[str, t.Any] = {
    "routine": {"type": "str", "choices": ROUTINES, "required": True},
    "component": {
        "type": "str",
        "choices": ["prometheus", "alertmanager", "loki", "grafana", "host"],
        "required": True,
    },
    "api": {"type": "dict", "default": {}, "no_log": False},
    "builtin_rules": {"type": "bool", "default": True},
    "rules": {"type": "list", "elements": "dict", "default": []},
    "rule_files": {"type": "list", "elements": "path", "default": []},
    "muted": {"type": "list", "elements": "str", "default": []},
    "dashboards": {"type": "list", "elements": "dict", "default": []},
    "retention": {"type": "str", "default": ""},
    "clean": {"type": "bool", "default": False},
    "dir": {"type": "path"},
}

REPORT_SPEC: dict[str, t.Any] = {
    "routines": {"type": "list", "elements": "str", "choices": ROUTINES, "default": []},
    "dir": {"type": "path", "required": True},
    "fail_on": {"type": "str", "choices": ["broken", "warning", "never"], "default": "broken"},
    "keep": {"type": "int", "default": 14},
}
