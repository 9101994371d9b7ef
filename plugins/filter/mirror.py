# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of an inventory, for the role mirror."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.mirror import mirror_releases


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"mirror_releases": mirror_releases}
