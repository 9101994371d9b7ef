# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Addresses to listen on, and to be reached at."""

from __future__ import annotations

import ipaddress
import typing as t
from urllib.parse import urlsplit

from ansible.errors import AnsibleError

ANY = ("", "::")  # IPv6 too


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


class Listener(t.NamedTuple):
    """Who wants, or has, which port of a host."""

    owner: str
    address: str
    port: int
    protocol: str = "tcp"


def collide(one: Listener, other: Listener) -> bool:
    """Whether they cannot listen side by side. Whoever listens on C(::) may have left IPv4 to others; few do."""
    addresses = {one.address, other.address}
    everywhere = addresses & set(ANY) or ("0.0.0.0" in addresses and not any(":" in address for address in addresses))
    same = (one.port, one.protocol) == (other.port, other.protocol)
    return same and (len(addresses) == 1 or bool(everywhere))


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
