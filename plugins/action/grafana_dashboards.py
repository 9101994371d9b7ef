# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-node side of M(opswatch.monitoring.grafana_dashboards): the files, and one call of the host."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboards import difference, unpacked
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_tree import (
    Export,
    Tree,
    packed_tree,
    plan_export,
    right_tree,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.grafana_spec import ARGUMENT_SPEC, CONDITIONS

WORKER = "opswatch.monitoring.grafana_dashboards_apply"
# What is decided here, and not on the host.
OURS = ("path", "state")


class ActionModule(ActionBase):
    """One remote round trip, whatever the number of dashboards."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        given = dict(self._task.args)
        _result, args = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC, **CONDITIONS)
        if args["prune"] and not args["owner"]:
            raise AnsibleActionFail("prune needs an owner: it removes nothing but what has the mark of this owner.")
        # The options as they were given: the host fills in the rest, and knows its own home directory.
        payload = {name: value for name, value in given.items() if name not in OURS}
        if args["state"] == "exported":
            return self._export(Path(self._loader.path_dwim(args["path"])), payload, task_vars)
        root = Path(self._find_needle("files", args["path"]))
        tree = right_tree(root)
        if not tree.dashboards and not args["prune"]:
            raise AnsibleActionFail(f"There is no dashboard in {root}. What to do: put files there that end in .json.")
        payload["tree"] = packed_tree(tree)
        result = self._execute_module(WORKER, payload, task_vars=task_vars)
        result.pop("invocation", None)
        return result

    def _export(self, root: Path, payload: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        tree = right_tree(root) if root.exists() else Tree()
        payload.pop("prune", None)
        result = self._execute_module(WORKER, payload, task_vars=task_vars)
        result.pop("invocation", None)
        if "exported" not in result:
            return result
        found = unpacked(result.pop("exported"))
        skipped = result.pop("skipped")
        if skipped:
            result["warnings"] = [
                "Grafana keeps these in its newer schema, so they were not exported: "
                f"{', '.join(skipped)}. What to do: export them in the browser as classic JSON."
            ]
        files = plan_export(tree, found)
        if not self._task.check_mode:
            for file in files:
                _write(root / file.file, file.text)
        result["changed"] = bool(files)
        result["unchanged"] = len(found) - len(files)
        result["actions"] = [f"{'wrote' if file.before is None else 'updated'} {root / file.file}" for file in files]
        if self._task.diff:
            result["diff"] = [_shown(root, file) for file in files]
        return result


def _write(path: Path, text: str) -> None:
    """Whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


def _shown(root: Path, file: Export) -> dict[str, str]:
    before, after = difference(file.before, file.after)
    name = str(root / file.file)
    return {"before_header": name, "after_header": name, "before": before, "after": after}
