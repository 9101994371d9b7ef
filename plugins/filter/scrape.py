# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over what the lookup scrape_jobs returns, and over addresses."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.inventory_rules import inventory_rules
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import (
    HostVars,
    address_of,
    alert_targets,
    file_sd,
    route_prefix,
    service_passwords,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import open_address as _open_address


def open_address(host: str, groups: t.Mapping[str, t.Sequence[str]], hostvars: HostVars) -> str:
    """In brackets where it is IPv6, so that a port can follow."""
    address = _open_address(host, groups.get("prometheus", []), address_of(host, hostvars[host]))
    return f"[{address}]" if ":" in address else address


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "alert_targets": alert_targets,
            "file_sd": file_sd,
            "inventory_rules": inventory_rules,
            "open_address": open_address,
            "route_prefix": route_prefix,
            "service_passwords": service_passwords,
        }
