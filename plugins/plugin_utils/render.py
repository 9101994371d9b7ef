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
# A word whose value is a secret, at the end of a name: smtp_auth_password, --remote.token, DB_PASSWORD.
_WORDS = (
    "password|passwd|passphrase|secrets?|secret_key|token|credentials|api_key|routing_key|service_key|authorization"
)
_NAME = rf"""["']?[\w.-]*(?:{_WORDS})["']?"""
# The rest of such a line, whatever it is: it may hold spaces, quotes or braces.
_SECRET = re.compile(rf"(?i)(?P<key>{_NAME}[ \t]*[:=][ \t]*)(?P<value>\S.*)$")
# A private key in PEM, whatever it is called and however it is quoted; without an end, all that follows.
_PRIVATE_KEY = re.compile(
    r"(?s)(?P<begin>-----BEGIN[^-]*PRIVATE[^-]*KEY[^-]*-----).*?(?P<end>-----END[^-]*KEY[^-]*-----|\Z)"
)
# Whose url may well hold a token. Alertmanager's configuration, as we write it.
_WEBHOOKS = re.compile(r"(?P<lead>[ ]*(?:-[ ]+)?)webhook_configs:")
_URL = re.compile(r"""(?P<key>(?<![\w-])["']?url["']?[ \t]*:[ \t]*)(?P<value>\S.*)$""")
_SECRET_NAME = re.compile(rf"(?i)[\w.-]*(?:{_WORDS})")
_SECRET_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://[^\s/:@]+:)[^\s/@]+@")


def plain(value: t.Any) -> t.Any:
    """A value as a program reads it. A string that came out of a vault would be dumped as what it was in there."""
    if isinstance(value, t.Mapping):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, str) or hasattr(value, "_decrypt") else value


def to_yaml(value: t.Any) -> str:
    """Readable YAML, keys in the order in which they were stated."""
    text = yaml.dump(
        plain(value), Dumper=AnsibleDumper, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=False
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


def is_secret(name: str, value: str) -> bool:
    """Whether a setting is a secret: by its name, or as an address with a password in it."""
    return bool(_SECRET_NAME.fullmatch(name) or _SECRET_URL.search(value))


def masked(text: str) -> str:
    """A text for a diff without secrets: what follows the name of one, on its line and on deeper ones, private keys,
    addresses of webhooks, and passwords in URLs.

    It rather hides too much than too little: a diff is to read, the file is on the host.
    """
    lines = []
    hidden_below = -1  # the indentation of the secret whose value goes on
    webhooks = -1  # that of a list of webhooks which goes on
    for line in _PRIVATE_KEY.sub(rf"\g<begin> {HIDDEN} \g<end>", text).splitlines(keepends=True):
        bare = line.rstrip("\n")
        indent = len(bare) - len(bare.lstrip())
        if hidden_below >= 0 and (indent > hidden_below or not bare.strip()):
            continue
        hidden_below = -1
        if begun := _WEBHOOKS.match(bare):
            webhooks = len(begun["lead"])
        elif bare.strip() and (indent < webhooks or (indent == webhooks and bare[indent] != "-")):
            webhooks = -1
        found = _SECRET.search(bare) or (_URL.search(bare) if webhooks >= 0 else None)
        if found and not bare.lstrip().startswith("#"):
            if not _is_whole(found["value"]):
                hidden_below = indent
            bare = f"{bare[: found.start('value')]}{HIDDEN}"
        lines.append(_SECRET_URL.sub(rf"\g<scheme>{HIDDEN}@", bare) + ("\n" if line.endswith("\n") else ""))
    return "".join(lines)


def _is_whole(value: str) -> bool:
    """False where a value goes on in the lines below: a block, or a quote that is not closed."""
    return value[0] not in "|>&" and not (value[0] in "\"'" and value.count(value[0]) < 2)


def file_diff(path: str, before: str | None, after: str | None) -> dict[str, str]:
    """One entry of Ansible's diff. None: the file does not exist on that side."""
    return {
        "before_header": path if before is not None else f"{path} (does not exist)",
        "after_header": path if after is not None else f"{path} (removed)",
        "before": masked(before or ""),
        "after": masked(after or ""),
    }
