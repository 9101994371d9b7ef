# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-node side of M(opswatch.monitoring.grafana_admin): reads the dashboards that it brings along."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_wanted import OPTIONS, mark
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import in_order
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_tree import packed_tree, right_tree


class ActionModule(ActionBase):
    """One remote round trip, whatever is to be done; none where the preflight of this run has seen that nothing is."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, args = self.validate_argument_spec(argument_spec=OPTIONS)
        trees = [
            {**one, "tree": packed_tree(right_tree(Path(self._find_needle("files", one["path"]))))}
            for one in args["dashboards"]
        ]
        host = str(self._task.delegate_to or (task_vars or {}).get("inventory_hostname", ""))
        there = (in_order.seen(host, "grafana") or {}).get("inside")
        if there and there["mark"] == mark({**args, "dashboards": trees}, there["salt"]):
            return {"changed": False, "actions": there["actions"], "token_file": there["token_file"], "ready": True}
        in_order.forget(host, "grafana")
        payload = {**self._task.args, "dashboards": trees}
        result: dict[str, t.Any] = self._execute_module(module_args=payload, task_vars=task_vars)
        result.pop("invocation", None)
        return result
