# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an upgrade and the words of its way back, for the roles upgrade and rollback."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.upgrade import (
    data_borders,
    inventory_lines,
    upgrade_plan,
)


def generation_words(*arguments: t.Any) -> str:
    # With the engine, for which a playbook that goes back nowhere has no use: all filters are read together.
    from ansible_collections.opswatch.monitoring.plugins.module_utils._rollback import words

    return words(*arguments)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "upgrade_plan": upgrade_plan,
            "inventory_lines": inventory_lines,
            "data_borders": data_borders,
            "generation_words": generation_words,
        }
