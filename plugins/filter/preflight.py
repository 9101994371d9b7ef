# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that a play over all components is for."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.role_facts import components


def component_groups(groups: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """The inventory's groups of components; all hosts where it has none, as they may all be misspelt."""
    return [name for name in components() if name in groups] or ["all"]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"component_groups": component_groups}
