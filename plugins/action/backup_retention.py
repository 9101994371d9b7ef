# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-node side of M(opswatch.monitoring.backup_retention): how far it is."""

from __future__ import annotations

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.long_module import LongModule


class ActionModule(LongModule):
    """Nothing of its own."""
