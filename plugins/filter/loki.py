# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role loki."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.flags import render_flags
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki import (
    alertmanager_urls,
    config_files,
    log_rules,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki_streams import stream_limits
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_logs import longest_retention


def go_flags(flags: t.Mapping[str, t.Any]) -> list[str]:
    return render_flags(flags, "go")


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "alertmanager_urls": alertmanager_urls,
            "go_flags": go_flags,
            "log_rules": log_rules,
            "loki_files": config_files,
            "longest_retention": longest_retention,
            "loki_stream_limits": stream_limits,
        }
