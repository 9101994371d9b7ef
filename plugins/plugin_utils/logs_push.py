# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""A Loki that C(monitoring_logs_push) names by its address, with or without a login: pure functions.

No error quotes a value that may be a secret.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import SplitResult, urlsplit

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from .scrape import has_authority, has_tls

PATH = "/loki/api/v1/push"
KEYS = ("url", "user", "password", "tenant", "ca", "certificate", "server_name")

Settings = t.Mapping[str, t.Any]


class Push(t.NamedTuple):
    """A Loki that lines are sent to. Files are in the folder of the agent's secrets."""

    url: str
    server_name: str = ""  # in its certificate, if it is not the name in the url
    ca: str = ""  # file: who has to have signed it; the host's own trust if it is empty
    certificate: bool = False  # whether it is shown the host's
    user: str = ""
    password: str = ""  # file
    tenant: str = ""


def outside_push(host: str, number: int, entry: t.Any, members: t.Sequence[str], settings: Settings) -> Push:
    """An entry that is no host of the inventory.

    C(number) is its place in the list, C(settings) are the host's variables.
    """
    if not isinstance(entry, t.Mapping):
        return Push(_address(host, str(entry), members)[0])
    where = f"monitoring_logs_push of {host}, entry {number}"
    unknown = [str(key) for key in entry if key not in KEYS]
    if unknown:
        raise AnsibleError(f"{where} has {', '.join(unknown)}, which is not known. Known are {', '.join(KEYS)}.")
    wrong = [key for key, value in entry.items() if not isinstance(value, (str, int, type(None)))]
    if wrong:
        raise AnsibleError(f"{where}: {', '.join(wrong)} is no text. What to do: write one value.")
    texts = {key: str(entry[key]) for key in KEYS if entry.get(key) not in (None, "")}
    url, parts = _address(host, texts.get("url", ""), members)
    if ("user" in texts) != ("password" in texts):
        raise AnsibleError(f"{where} ({parts.hostname}) has one of user and password. What to do: state both.")
    try:
        certificate = boolean(texts.get("certificate", False))
    except TypeError as error:
        raise AnsibleError(f"{where}: certificate is neither true nor false.") from error
    for_tls = [key for key in ("ca", "server_name") if key in texts] + ["certificate"] * certificate
    if parts.scheme == "http" and for_tls:
        raise AnsibleError(f"{where} ({parts.hostname}): {for_tls[0]} is for https, and its url begins with http.")
    if certificate and not (has_authority(settings) or ("ca" in texts and has_tls(settings))):
        raise AnsibleError(
            f"{where} ({parts.hostname}): {host} has no certificate of the inventory's authority that it could show. "
            "What to do: turn TLS on (monitoring_tls: selfsigned), or take certificate out."
        )
    authority = authority_file(number) if "ca" in texts else "ca.crt" if certificate else ""
    return Push(
        url,
        texts.get("server_name", (parts.hostname or "") if certificate else ""),
        authority,
        certificate,
        texts.get("user", ""),
        password_file(number) if "password" in texts else "",
        texts.get("tenant", ""),
    )


def _address(host: str, address: str, members: t.Sequence[str]) -> tuple[str, SplitResult]:
    """Where lines are pushed to, and its parts."""
    try:
        parts = urlsplit(address)
        _port = parts.port  # it refuses what is no number only now
    except ValueError:
        parts = urlsplit("")
    if "@" in parts.netloc:
        raise AnsibleError(
            f"monitoring_logs_push of {host}: the address of {parts.hostname} has a login in it, which would stand in "
            "the configuration and in diffs. What to do: write {url: https://..., user: ..., password: ...}."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        known = f" ({', '.join(members)})" if members else ""
        shown = re.sub(r".*@", "...@", address) or "an entry without url"
        raise AnsibleError(
            f"monitoring_logs_push of {host}: {shown} is no host that runs Loki{known} and no address. What to do: "
            "correct it, or write an address such as https://logs.example.com:3100."
        )
    return address if parts.path.strip("/") else address.rstrip("/") + PATH, parts


def push_files(entries: t.Sequence[t.Any], authorities: t.Sequence[str]) -> dict[str, str]:
    """What of the entries stands in files. C(authorities): what is in the files that C(ca) names, in their order."""
    rest = list(authorities)
    found = {}
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, t.Mapping):
            if entry.get("password") not in (None, ""):
                found[password_file(number)] = str(entry["password"])
            if entry.get("ca"):
                found[authority_file(number)] = rest.pop(0)
    return found


def password_file(number: int) -> str:
    return f"push{number}_password"


def authority_file(number: int) -> str:
    return f"push{number}_ca.crt"


def authorities(entries: t.Any) -> list[str]:
    """The files on the control node that C(ca) names."""
    stated = entries if isinstance(entries, (list, tuple)) else []
    return [str(entry["ca"]) for entry in stated if isinstance(entry, t.Mapping) and entry.get("ca")]
