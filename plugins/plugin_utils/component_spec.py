# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The options of the action C(component). A test holds them equal to the module's documentation."""

from __future__ import annotations

import typing as t

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "version": {"type": "str", "required": True},
    "release": {
        "type": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "default": "https://github.com"},
            "path": {"type": "str", "required": True},
            "checksums": {"type": "str"},
            "programs": {"type": "list", "elements": "str", "required": True},
            "names": {"type": "dict", "default": {}},
            "unpublished_checksum": {"type": "bool", "default": False},
        },
    },
    "mirror": {"type": "str"},
    "lock": {"type": "path"},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "place": {"type": "str", "choices": ["config", "live", "secret"], "default": "config"},
            "template": {"type": "str"},
            "content": {"type": "raw"},
            "contents": {"type": "dict"},
            "copy": {"type": "list", "elements": "path"},
            "merge": {"type": "dict", "default": {}},
            "mode": {"type": "str", "default": "0640"},
            "on_change": {"type": "str", "choices": ["nothing", "reload", "restart"], "default": "restart"},
        },
        "mutually_exclusive": [["template", "content", "contents", "copy"]],
        "required_one_of": [["template", "content", "contents", "copy"]],
    },
    "arguments": {"type": "list", "elements": "str", "default": []},
    "flags": {"type": "dict", "default": {}},
    "flag_style": {"type": "str", "choices": ["kingpin", "go"], "default": "kingpin"},
    "version_flag": {"type": "str", "default": "--version"},
    "unit": {"type": "list", "elements": "dict", "default": []},
    "validate": {"type": "list", "elements": "list", "default": []},
    "reload_metrics": {"type": "str"},
    "ready": {
        "type": "dict",
        "options": {
            "address": {"type": "str", "required": True},
            "scheme": {"type": "str", "choices": ["http", "https"], "default": "http"},
            "prefix": {"type": "str", "default": ""},
            "path": {"type": "str", "default": "/-/ready"},
            "expect": {"type": "str", "default": ""},
            "progress": {"type": "str", "default": ""},
            "progress_lines": {"type": "str", "default": ""},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "ca": {"type": "str", "default": ""},
            "server_name": {"type": "str", "default": ""},
            "cert": {"type": "str", "default": ""},
            "key": {"type": "str", "default": "", "no_log": False},
        },
    },
    "ready_timeout": {"type": "int", "default": 600},
    "data": {
        "type": "dict",
        "options": {
            "immutable": {"type": "list", "elements": "str", "default": []},
            "breaking_versions": {"type": "list", "elements": "str", "default": []},
        },
    },
    "packages": {"type": "list", "elements": "str", "default": []},
    "generations": {"type": "int", "default": 3},
    "adopt": {"type": "bool", "default": False},
    "allow_downgrade": {"type": "bool", "default": False},
    "remove_data": {"type": "bool", "default": False},
}
