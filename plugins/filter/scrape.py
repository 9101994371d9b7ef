# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over what the lookup scrape_jobs returns."""

from __future__ import annotations

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import file_sd, service_passwords


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"file_sd": file_sd, "service_passwords": service_passwords}
