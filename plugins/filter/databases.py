# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter by which the role reaches what follows from C(postgres_exporter_databases)."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.databases import connections


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"database_connections": connections}
