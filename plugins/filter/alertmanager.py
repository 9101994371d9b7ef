# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that makes Alertmanager's configuration."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.alertmanager import build


def alertmanager_config(
    receivers: t.Sequence[t.Mapping[str, t.Any]],
    route: t.Mapping[str, t.Any],
    over: t.Mapping[str, t.Any],
    version: str,
    folder: str,
) -> dict[str, t.Any]:
    return build(receivers, route, over, str(version), folder)._asdict()


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"alertmanager_config": alertmanager_config}
