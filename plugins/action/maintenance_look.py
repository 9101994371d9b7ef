# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-node side of M(opswatch.monitoring.maintenance_look): asks a service, and judges here."""

from __future__ import annotations

import typing as t

import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import maintenance, role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_spec import LOOK_SPEC
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

Variables = dict[str, t.Any]


class ActionModule(ActionBase):
    """What cannot be asked is a finding, and not the end of the run: the report is about the others, too."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Variables:
        super().run(tmp, task_vars)
        _result, args = self.validate_argument_spec(argument_spec=LOOK_SPEC)
        self.variables = task_vars or {}
        self.host = str(self.variables["inventory_hostname"])
        self.changed = False
        self.component = str(args["component"])
        result: Variables = {}
        try:
            if self.component == "grafana":
                found, result["dashboards"] = Look(), self._dashboards(args["api"])
            else:
                found = maintenance.look(self.host, self._completed(args), self._ask)
        except Refused as error:
            found = self._cannot(error.said)
        except AnsibleConnectionFailure as error:
            found = self._cannot(f"{self.host} does not answer: {error}")
        return {"changed": self.changed, "look": found.as_data(), **result}

    def _completed(self, args: Variables) -> Variables:
        """With what the roles and the inventory say of every component."""
        known = role_facts.components()
        keep = {
            name: self._templar.template(
                self.variables.get(f"{name}_generations", role_facts.default(name, "generations"))
            )
            for name in known
        }
        return {
            **args,
            "rules": [*args["rules"], *self._rules(args)],
            "dir": self._loader.path_dwim(args["dir"]) if args["dir"] else "",
            "keep": keep,
            "versions": {name: role_facts.default(name, "version") for name in known},
            "predicted": self._task.check_mode,
        }

    def _rules(self, args: Variables) -> list[Variables]:
        found = role_facts.prometheus_rules() if args["builtin_rules"] else []
        for name in args["rule_files"]:
            text = self._loader.get_text_file_contents(self._find_needle("files", name))
            found += (yaml.safe_load(text) or {}).get("groups", [])
        return found

    def _dashboards(self, api: Variables) -> list[Variables]:
        """All that Grafana has, whoever made them; those in its newest schema are left out."""
        found = self._ask("grafana_dashboards_info", {**api, "content": True})["dashboards"]
        return [{**one["model"], "uid": one["uid"], "title": one["title"]} for one in found if one.get("model")]

    def _ask(self, module: str, args: Variables) -> Variables:
        """One call of the host."""
        result = self._execute_module(f"opswatch.monitoring.{module}", args, task_vars=self.variables)
        if result.get("failed") or result.get("unreachable"):
            raise Refused(str(result.get("msg", "the module failed")))
        self.changed = self.changed or bool(result.get("changed"))
        return dict(result)

    def _cannot(self, said: str) -> Look:
        what, _mark, remedy = said.partition("What to do: ")
        return Look(
            [
                Finding(
                    "access",
                    "broken",
                    self.host,
                    self.component,
                    f"{self.component} could not be asked",
                    what.strip().rstrip("."),
                    "",
                    remedy or f"look at it with systemctl status {self.component} on {self.host}",
                )
            ]
        )


class Refused(Exception):
    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said
