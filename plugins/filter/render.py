# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter by which templates dump values of users."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.render import plain


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"plain": plain}
