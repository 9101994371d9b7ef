# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role silence."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.silence import alertmanager_api, wanted_silences


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"alertmanager_api": alertmanager_api, "silence_matchers": wanted_silences}
