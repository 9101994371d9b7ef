# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Addresses to listen on, and to be reached at."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ansible.errors import AnsibleError


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a listen address such as C(0.0.0.0:9090), C(:9090) or C([::]:9090)."""
    try:
        parts = urlsplit(f"//{address}")
        port = parts.port
    except ValueError:
        port = None
    if not port:
        raise AnsibleError(f"{address!r} is not an address to listen on. Write it as host:port, such as 0.0.0.0:9090.")
    return parts.hostname or "", port


def is_ip(host: str) -> bool:
    """Whether this is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    return host == "localhost" or (is_ip(host) and ipaddress.ip_address(host).is_loopback)


def own_address(listen: str) -> str:
    """Where the host itself reaches a program that listens there: host:port."""
    host, port = split_address(listen)
    if host in ("", "0.0.0.0"):
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
