# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that make the log agents' configuration and unit of C(monitoring_logs)."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils import logs_alloy, logs_promtail
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import capabilities, checked_logs, pushes
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import journal_begin as begin_of
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_push import push_files
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.render import plain
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import HostVars

Groups = t.Mapping[str, t.Sequence[str]]


def promtail_config(
    logs: t.Any, host: str, groups: Groups, hostvars: HostVars, settings: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    return logs_promtail.promtail_config(checked_logs(plain(logs), host), pushes(host, groups, hostvars), settings)


def alloy_config(logs: t.Any, host: str, groups: Groups, hostvars: HostVars, settings: t.Mapping[str, t.Any]) -> str:
    return logs_alloy.alloy_config(checked_logs(plain(logs), host), pushes(host, groups, hostvars), settings)


def journal_begin(logs: t.Any, host: str) -> str:
    return begin_of(checked_logs(plain(logs), host))


def log_capabilities(logs: t.Any, host: str) -> str:
    return capabilities(checked_logs(plain(logs), host))


def log_push_files(entries: t.Any, authorities: t.Sequence[str]) -> dict[str, str]:
    return push_files(plain(entries), plain(authorities))


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "promtail_config": promtail_config,
            "alloy_config": alloy_config,
            "journal_begin": journal_begin,
            "log_capabilities": log_capabilities,
            "log_push_files": log_push_files,
        }
