# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Data sources of Grafana: what differs, and whether secrets do, which nobody can read back. All pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import typing as t

# In the JSON of a data source, beside what the plugin reads: a digest of the secrets that were set last.
MARK = "opswatchSecrets"
# An option of the module, and its name in the API.
FIELDS = {
    "name": "name",
    "type": "type",
    "url": "url",
    "access": "access",
    "is_default": "isDefault",
    "user": "user",
    "database": "database",
    "basic_auth_user": "basicAuthUser",
    "with_credentials": "withCredentials",
}


def body_of(wish: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options as the API has them, without secrets and mark."""
    body = {api: wish[option] for option, api in FIELDS.items()}
    body.update(uid=wish["uid"], jsonData=dict(wish["json_data"]), basicAuth=bool(wish["basic_auth_user"]))
    return body


def comparable(source: t.Mapping[str, t.Any], keys: t.Iterable[str]) -> dict[str, t.Any]:
    """What the server has, with nothing but what is compared."""
    found = {key: source.get(key) for key in keys}
    found["jsonData"] = {key: value for key, value in (source.get("jsonData") or {}).items() if key != MARK}
    return found


def make_mark(key: str, values: t.Mapping[str, str], version: int, salt: str = "") -> str:
    """A digest of the secrets that only whoever has C(key), a login of Grafana's, can check, and slowly.

    The mark can be read by everybody who sees the data source. It holds for one version: whoever saves the data source
    in the browser, perhaps with another secret, makes the next one.
    """
    salt = salt or secrets.token_hex(8)
    text = json.dumps([key, dict(values)], sort_keys=True).encode()
    digest = hashlib.scrypt(text, salt=salt.encode(), n=2**14, r=8, p=1, dklen=20)
    return f"{version}.{salt}.{digest.hex()}"


def is_mark(mark: t.Any, key: str, values: t.Mapping[str, str], version: int) -> bool:
    """Whether the secrets were set in this version to these values."""
    salt = str(mark).split(".")[1] if str(mark).count(".") == 2 else ""
    return bool(salt) and hmac.compare_digest(str(mark), make_mark(key, values, version, salt))


def secrets_differ(source: t.Mapping[str, t.Any], values: t.Mapping[str, str] | None, key: str) -> bool:
    """C(values): None where the secrets are nobody's business here."""
    if values is None:
        return False
    if set(values) - set(source.get("secureJsonFields") or {}):
        return True
    mark = (source.get("jsonData") or {}).get(MARK)
    return bool(values) and not is_mark(mark, key, values, source["version"])
