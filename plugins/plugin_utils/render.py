# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Texts: what a file will hold, and how two of them differ without telling a secret."""

from __future__ import annotations

import base64
import re
import typing as t

import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.yaml.dumper import AnsibleDumper
from ansible.utils.vars import merge_hash

YAML_HEADER = "# Managed by Ansible (opswatch.monitoring). Changes made here are replaced by the next run.\n"
HIDDEN = "********"
_SECRET_WORDS = "password|passwd|secret|secret_key|token|credentials|api_key|routing_key|service_key|authorization"
_SECRET_LINE = re.compile(rf"""(?im)^(?P<key>[\s-]*["']?[\w.-]*(?:{_SECRET_WORDS})["']?\s*[:=]\s*)(?P<value>\S.*)$""")
_SECRET_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://[^\s/:@]+:)[^\s/@]+@")


def to_yaml(value: t.Any) -> str:
    """Readable YAML, keys in the order in which they were stated."""
    text = yaml.dump(
        value, Dumper=AnsibleDumper, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=False
    )
    return YAML_HEADER + text


def merged(text: str, over: t.Mapping[str, t.Any], path: str) -> str:
    """YAML text with the user's own settings over it: maps are merged, everything else is replaced."""
    if not over:
        return text
    base = yaml.safe_load(text)
    if not isinstance(base, dict):
        raise AnsibleActionFail(f"{path} is not a YAML map, so nothing can be merged over it.")
    return to_yaml(merge_hash(base, dict(over), recursive=True, list_merge="replace"))


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def masked(text: str) -> str:
    """A text for a diff: values of keys that hold secrets, and passwords in addresses, are hidden."""
    return _SECRET_URL.sub(rf"\g<scheme>{HIDDEN}@", _SECRET_LINE.sub(rf"\g<key>{HIDDEN}", text))


def file_diff(path: str, before: str | None, after: str | None) -> dict[str, str]:
    """One entry of Ansible's diff. None: the file does not exist on that side."""
    return {
        "before_header": path if before is not None else f"{path} (does not exist)",
        "after_header": path if after is not None else f"{path} (removed)",
        "before": masked(before or ""),
        "after": masked(after or ""),
    }
