# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-node side of M(opswatch.monitoring.maintenance_look): asks a service, and judges here."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.validation import check_type_list
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import (
    doctor,
    doctor_hosts,
    doctor_inventory,
    doctor_loki,
    grafana,
    logs,
    maintenance,
    role_facts,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_tree import right_tree
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_answers import Refused
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_spec import LOOK_SPEC
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import PLACEHOLDER

Variables = dict[str, t.Any]
# A variable of the doctor's tasks: options that are resolved here, where what cannot be is a finding.
OPTIONS = "__doctor_options"


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
        self.is_doctor = args["routine"] == doctor.ROUTINE
        if self.is_doctor:
            # Lookups that keep secrets make none in check mode, and the doctor makes none in any.
            looking = {**self.variables, "ansible_check_mode": True}
            self._templar = self._templar.copy_with_new_env(available_variables=looking)
        self.beside = Look()  # what is known without asking anybody
        if self.is_doctor:
            return self._examined(args)
        result: Variables = {}
        try:
            if self.component == "grafana":
                found, result["dashboards"] = Look(), self._dashboards(args["api"])
            else:
                found = maintenance.look(self.host, self._completed(args), self._ask)
        except Refused as error:
            found = self._cannot(error)
        except AnsibleConnectionFailure as error:
            found = self._away(str(error))
        return {"changed": self.changed, "look": found.as_data(), **result}

    def _examined(self, args: Variables) -> Variables:
        """What the doctor finds; nothing where the inventory does not want the service.

        No failure is left to Ansible: its words, and the lines of the inventory that it shows around them, may hold
        secrets. Without these is what is registered, which -v shows, and those keep that run playbooks for others.
        """
        try:
            if self.component != "host" and self._option(self.component, "state") != "present":
                return {"changed": False, "skipped": True}
            complete = self._doctors(args)
        except Refused as error:
            found = self._cannot(error)
        except Exception as error:
            found = doctor.failed(self.host, self.component, said(error))
        else:
            found = self._asked(complete)
        return {"changed": self.changed, "look": doctor.shown(self.beside + found).as_data()}

    def _asked(self, args: Variables) -> Look:
        try:
            return maintenance.look(self.host, args, self._ask)
        except Refused as error:
            return self._cannot(error)
        except AnsibleConnectionFailure as error:
            return self._away(str(error))
        except AnsibleError as error:
            return self._cannot(Refused(str(error)))
        except Exception as error:  # an answer that no look expects
            return doctor.failed(self.host, self.component, said(error))

    def _completed(self, args: Variables) -> Variables:
        """With what the roles and the inventory say of every component."""
        known = role_facts.components()
        return {
            **args,
            "rules": [*args["rules"], *self._rules(args)],
            "dir": self._loader.path_dwim(args["dir"]) if args["dir"] else "",
            "keep": {name: self._option(name, "generations") for name in known},
            "versions": {name: role_facts.default(name, "version") for name in known},
            "predicted": self._task.check_mode,
        }

    def _option(self, role: str, option: str) -> t.Any:
        """As the inventory has it for this host, else the role's own default."""
        stated = self.variables.get(f"{role}_{option}", role_facts.default(role, option))
        return self._templar.template(stated)

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

    # --- what the doctor has to know ---

    def _doctors(self, args: Variables) -> Variables:
        """With what the inventory wants of this host's component, and of those that it has to do with."""
        args = {**args, **self._templar.template(self.variables.get(OPTIONS) or {})}
        if args["api"].get("password") == PLACEHOLDER:
            # In the same words for each: it is one folder that lacks them.
            raise Refused(
                "This machine does not have the password, and the doctor makes none. What to do: run it where site.yml "
                "is run, or set monitoring_secrets_dir; on a new inventory run site.yml first"
            )
        common = {"timeout": float(self._option(doctor.ROUTINE, "timeout")), "predicted": self._task.check_mode}
        return {**args, **common, **getattr(self, f"_doctors_{self.component}")(args)}

    def _doctors_host(self, _args: Variables) -> Variables:
        mine = [name for name in role_facts.components() if name in self.variables["group_names"]]
        wanted = [
            {
                "name": name,
                "version": str(self._option(name, "version")),
                "present": self._option(name, "state") != "absent",
            }
            for name in mine
        ]
        stated = {**role_facts.thresholds(), **(self._of_prometheus("thresholds") or {})}
        limits = {alert: limit for alert, limit in stated.items() if limit is not None}  # null: the alert is off
        return {"wanted": wanted, "packages": {name: role_facts.packages(name) for name in mine}, "limits": limits}

    def _of_prometheus(self, option: str) -> t.Any:
        """What the inventory says of the first Prometheus, for which a limit counts that is for all hosts."""
        servers = self.variables["groups"].get("prometheus") or [self.host]
        return self.variables["hostvars"][servers[0]].get(f"prometheus_{option}")

    def _doctors_prometheus(self, _args: Variables) -> Variables:
        agent = boolean(self._option("prometheus", "agent"))
        excepted = check_type_list(self._option(doctor.ROUTINE, "unscraped"))
        try:
            inventory = doctor_inventory.inventory(self.variables["groups"], self.variables["hostvars"], excepted)
        except AnsibleError as error:
            self.beside += doctor.unresolved(str(error))
            inventory = None
        return {"inventory": inventory, "agent": agent}

    def _doctors_alertmanager(self, _args: Variables) -> Variables:
        return {"members": logs.present("alertmanager", self.variables["groups"], self.variables["hostvars"])}

    def _doctors_loki(self, _args: Variables) -> Variables:
        return {
            "canary": boolean(self._option(doctor.ROUTINE, "canary")),
            "logs_since": int(self._option(doctor.ROUTINE, "logs_since")),
            "senders": doctor_loki.senders(self.host, self.variables["groups"], self.variables["hostvars"]),
        }

    def _doctors_grafana(self, args: Variables) -> Variables:
        trees = [right_tree(Path(self._find_needle("files", one["path"]))) for one in args.get("trees") or []]
        models = [one["model"] for tree in trees for one in tree.dashboards]
        return {
            "dashboards_wanted": {str(one["uid"]): str(one["title"]) for one in models},
            "servers": self._servers(),
        }

    def _servers(self) -> dict[str, str]:
        """What is behind Grafana's datasources. Where a variable is wrong they are looked at nevertheless."""
        try:
            return grafana.servers(self.variables["groups"], self.variables["hostvars"], self.host)
        except AnsibleError:
            return {}

    # --- the host ---

    def _ask(self, module: str, args: Variables) -> Variables:
        """One call of the host."""
        result = self._execute_module(f"opswatch.monitoring.{module}", args, task_vars=self.variables)
        if result.get("failed") or result.get("unreachable"):
            raise Refused(str(result.get("msg", "the module failed")), str(result.get("missing_library", "")))
        self.changed = self.changed or bool(result.get("changed"))
        return dict(result)

    def _away(self, said: str) -> Look:
        host = doctor_hosts.unreachable(self.host, said)
        if self.is_doctor and self.component == "host":
            return host
        found = self._cannot(Refused(f"{self.host} does not answer: {said}"))
        if not self.is_doctor:
            return found
        return Look([one._replace(check=doctor.AWAY, fix=host.findings[0].fix) for one in found.findings])

    def _cannot(self, error: Refused) -> Look:
        what = f"{self.component if self.component != 'host' else self.host} could not be asked"
        unit = f"look at it with systemctl status {self.component} on {self.host}"
        root = f"see that Ansible may become root there, and finds Python: ansible {self.host} -m ping --become"
        finding = Finding(
            "access",
            "broken",
            self.host,
            "" if self.component == "host" and self.is_doctor else self.component,
            what if self.is_doctor else f"{self.component} could not be asked",
            error.what,
            "",
            error.remedy or (root if self.is_doctor and self.component == "host" else unit),
        )
        return Look([finding])


def said(error: Exception) -> str:
    return str(error) if isinstance(error, AnsibleError) else f"{type(error).__name__}: {error}"
