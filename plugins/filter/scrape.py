# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over what the lookup scrape_jobs returns, and the prefix of a server's paths."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.inventory_rules import inventory_rules
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import (
    alert_targets,
    file_sd,
    route_prefix,
    service_passwords,
)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "alert_targets": alert_targets,
            "file_sd": file_sd,
            "inventory_rules": inventory_rules,
            "route_prefix": route_prefix,
            "service_passwords": service_passwords,
        }
