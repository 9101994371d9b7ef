# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that a play over all components is for, or over those with data."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.role_facts import WITH_DATA, components


def component_groups(groups: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """The inventory's groups of components; all hosts where it has none, as they may all be misspelt."""
    return [name for name in components() if name in groups] or ["all"]


def data_groups(groups: t.Mapping[str, t.Sequence[str]], named: str | t.Sequence[str] = ()) -> list[str]:
    """The groups with data, and those of C(named), in which the command line may name others.

    Never all hosts: those with an exporter alone would get restic, and the password of all backups.
    """
    wanted = {*WITH_DATA, *(named.split(",") if isinstance(named, str) else named)}
    return [name for name in components() if name in groups and name in wanted] or list(WITH_DATA)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"component_groups": component_groups, "data_groups": data_groups}
