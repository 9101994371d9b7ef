# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role grafana."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.addresses import own_address
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_tree import tree_owners
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.grafana import build_files, grafana_url


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "dashboard_owners": tree_owners,
            "grafana_files": build_files,
            "grafana_url": grafana_url,
            "own_address": own_address,
        }
