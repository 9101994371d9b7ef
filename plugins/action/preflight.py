# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-node side of M(opswatch.monitoring.preflight): every check, one look at the host, one list of problems."""

from __future__ import annotations

import contextlib
import time
import traceback
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._release import architecture
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import in_order, loki, role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_artifacts as artifacts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_host as host_look
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_names as names
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_secrets as secrets
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_values as values
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.addresses import Listener
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import AGENTS, present, pushes
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_push import authorities
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki_limits import limit_problems
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki_rules import rule_file_problems
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_report import (
    Problem,
    from_error,
    refused,
    report,
    told,
    without,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_roles import (
    grafana_problems,
    receiver_warnings,
    role_problems,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.quantities import quantity_problems
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.release import mirror_folder
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.services import service_variables

RELEASE_INFO = "opswatch.monitoring.release_info"
COMPONENTS_INFO = "opswatch.monitoring.components_info"
Variables = dict[str, t.Any]

display = Display()


class ActionModule(ActionBase):
    """One remote call for a host that has its releases, two where one is missing that the host fetches itself."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Variables:
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        self.host = str(variables["inventory_hostname"])
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.facts: Variables = {}
        self.listeners: dict[str, list[Listener]] = {}  # by component
        self.way = ""
        self.alone = True  # what is wrong with this host concerns no other
        in_order.forget(self.host)
        self._check_names(variables)
        if variables["ansible_play_hosts_all"][0] == self.host:
            self._check_inventory(variables)
        mine = [name for name in role_facts.components() if name in variables["group_names"]]
        if mine:
            settings = self._check_types(mine, self._settings(mine, variables), variables)
            self._check_settings(mine, settings, variables)
            stated = len(self.problems)
            self._check_host(mine, settings, variables)
            if self.problems and not stated and self.alone:
                self.way = self._way_on(variables)
        return self._result()

    def _way_on(self, variables: Variables) -> str:
        """For the other hosts. Not where something is stated wrong: it is soon corrected, and may concern them."""
        hosts = told(self.host)
        some = self._task.any_errors_fatal and len(hosts) < len(variables["ansible_play_hosts_all"])
        return without(hosts, variables.get("ansible_limit", "")) if some else ""

    def _result(self) -> Variables:
        result: Variables = {"changed": False}
        if self.facts:
            result["ansible_facts"] = self.facts
        if self.warnings:
            result["warnings"] = self.warnings
        if self.problems:
            result["failed"] = True
            result["msg"] = report(self.host, self.problems, bool(self._task.any_errors_fatal), self.way)
        return result

    def _check_names(self, variables: Variables) -> None:
        problems, warnings = names.variable_findings(variables, role_facts.known_variables())
        self.problems += problems + names.log_agent_problems(variables["group_names"])
        unknown = [name for name in variables if name not in role_facts.known_variables()]
        for role in role_facts.routines():
            self.problems += names.misspelt_options(unknown, role, role_facts.options(role))
        self.warnings += warnings

    # --- the inventory as a whole ---

    def _check_inventory(self, variables: Variables) -> None:
        """What no single host is to blame for. The first host of the play reports it."""
        groups = variables["groups"]
        self.problems += names.group_problems(groups, role_facts.GROUPS)
        tags = [*variables.get("ansible_run_tags", []), *variables.get("ansible_skip_tags", [])]
        self.warnings += names.tag_warnings(tags, role_facts.components())
        if not any(groups.get(name) for name in role_facts.components()):
            self.warnings.append(
                "No group of the inventory is called like a component and has hosts, so there is nothing to do. "
                f"Components: {', '.join(role_facts.components())}"
            )
        if groups.get("prometheus"):
            self._whatever_it_is_given("scrape jobs", self._check_jobs, groups, variables)
        if groups.get("loki"):
            self._whatever_it_is_given("who reaches Loki", self._check_loki, groups, variables["hostvars"])
        self._whatever_it_is_given("log agents", self._check_log_agents, groups, variables["hostvars"])

    def _whatever_it_is_given(self, what: str, check: t.Callable[..., None], *arguments: t.Any) -> None:
        """A check that goes by values of many hosts or deep inside of one. What it cannot work with hides no other
        problem."""
        try:
            check(*arguments)
        except AnsibleError as error:  # an expression that cannot be resolved, or an address that is none
            self.problems.append(from_error(error))
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            display.vvv(traceback.format_exc(), host=self.host)
            remedy = (
                "mend the other problems first, those of other hosts too; if there are none, this is a fault of the "
                "collection: please report it, with what -vvv says"
            )
            self.problems.append(Problem(f"{what}: could not be checked", f"{type(error).__name__}: {error}", remedy))

    def _check_loki(self, groups: t.Mapping[str, t.Sequence[str]], hostvars: t.Mapping[str, Variables]) -> None:
        """Who cannot reach it, what it would refuse, and members that share nothing."""
        self.problems += loki.inventory_problems(groups, hostvars) + limit_problems(groups, hostvars)

    def _check_log_agents(self, groups: t.Mapping[str, t.Sequence[str]], hostvars: t.Mapping[str, Variables]) -> None:
        """Those that nobody takes lines from. Who cannot reach a Loki that it chose by itself is Loki's check."""
        lokis = present("loki", groups, hostvars)
        for host in [host for agent in AGENTS for host in present(agent, groups, hostvars)]:
            if not lokis or hostvars[host].get("monitoring_logs_push"):
                self.problems += refused(pushes, host, groups, hostvars)

    def _check_jobs(self, groups: t.Mapping[str, t.Sequence[str]], variables: Variables) -> None:
        """Scrape jobs come from every host of the inventory, in this play or not."""
        settings = {}
        for host in groups["all"]:
            its = [component for component in role_facts.components() if host in groups.get(component, [])]
            seen = self._seen_by_others(host, variables["hostvars"][host])
            problems, settings[host] = values.checked_entries(host, _typed([role_facts.SHARED, *its], seen), seen)
            if host not in variables["ansible_play_hosts_all"]:  # those in the play report theirs
                shared = {name: option for name, option in _typed([role_facts.SHARED], seen).items() if name in seen}
                types = values.spec_problems(role_facts.SHARED, shared, {name: seen[name] for name in shared})
                self.problems += [values.said_of(host, problem) for problem in types + problems]
                for component in its:
                    self.problems += values.target_problems(component, host, settings[host])
        self.problems += values.jobs_problems(settings)
        self.problems += values.database_twins(groups.get("postgres_exporter", []), settings)

    def _seen_by_others(self, host: str, hostvars: t.Mapping[str, t.Any]) -> Variables:
        """The variables by which other hosts find this one."""
        settings = {}
        lists = dict.fromkeys([*values.ENTRIES, *service_variables(hostvars)])
        wanted = [*lists, "monitoring_address", "monitoring_tls", "ansible_host"]
        wanted += [f"{name}_{option}" for name in role_facts.components() for option in ("state", "listen_address")]
        for name in wanted:
            if name in hostvars:
                try:
                    settings[name] = hostvars[name]
                except AnsibleError as error:
                    self.problems.append(values.unresolved(f"{name} of {host}", error))
        return settings

    # --- the variables of this host ---

    def _settings(self, mine: list[str], variables: Variables) -> Variables:
        """What the roles of this host will see: the variables that are in their specs, with the roles' defaults."""
        roles = [role_facts.SHARED, *mine]
        # Lookups that keep secrets write none in check mode, and the preflight never writes.
        below = self._stated(roles, "defaults") | self._stated(roles, "vars")
        seen = {**below, **variables, "ansible_check_mode": True}
        templar = self._templar.copy_with_new_env(available_variables=seen)
        settings = {}
        for name in (*_typed(roles, seen), "ansible_host"):
            if name in seen:
                try:
                    settings[name] = templar.template(seen[name])
                except AnsibleError as error:
                    self.problems.append(values.unresolved(name, error))
        for role in role_facts.routines():
            for name, option in role_facts.options(role).items():
                # Not the texts: anything is one, and a lookup behind it is none of our business until its turn.
                if name in variables and option.get("type", "str") not in ("str", "path", "raw"):
                    with contextlib.suppress(AnsibleError):  # it may use what is known at its turn only
                        settings[name] = templar.template(variables[name])
        return settings

    def _stated(self, roles: list[str], kind: str) -> Variables:
        stated: Variables = {}
        for role in roles:
            path = role_facts.role_path(role, kind, "main.yml")
            stated |= self._loader.load_from_file(path, cache="none", unsafe=True, trusted_as_template=True) or {}
        return stated

    def _check_settings(self, mine: list[str], settings: Variables, variables: Variables) -> None:
        wanted: list[Listener] = []
        problems, settings = values.checked_entries(self.host, _typed([role_facts.SHARED, *mine], settings), settings)
        self.problems += problems
        for component in mine:
            self._whatever_it_is_given(component, self._check_role, component, settings, variables)
        for component in _present(mine, settings):
            self.problems += values.version_problems(component, str(settings.get(f"{component}_version", "")))
            alone = len(variables["groups"][component]) < 2
            self.listeners[component], problems = values.listeners(component, settings, alone)
            wanted += self.listeners[component]
            self.problems += problems
            if component in AGENTS:
                find = self._finder(component)
                for path in authorities(settings.get("monitoring_logs_push")):
                    self.problems += values.file_problems("monitoring_logs_push (ca)", [path], find)
                syslog = values.log_listeners(self.host, settings)
                wanted += syslog
                # The look at the host sees no others.
                self.listeners[component] += [one for one in syslog if one.protocol == "tcp"]
            self._check_files(component, settings)
        wanted += values.service_listeners(self.host, settings)
        self.problems += values.port_problems(wanted)
        self.problems += values.tls_problems(settings) + quantity_problems(role_facts.SHARED, settings)
        if settings.get("monitoring_secrets_dir"):
            self.problems += values.secrets_problems(str(settings["monitoring_secrets_dir"]))
        self.problems += artifacts.lock_problems(artifacts.locks(*_mirror_and_lock(settings)))
        if "alertmanager" in _present(mine, settings) and not self.problems:  # what is wrong stands as its default here
            self.warnings += receiver_warnings(settings)

    def _check_role(self, component: str, settings: Variables, variables: Variables) -> None:
        self.problems += role_problems(component, settings)
        if component in _present(["loki"], settings):
            self.problems += rule_file_problems(settings, self._finder(component))
        if component in _present(["grafana"], settings):
            find = self._finder(component)
            self.problems += grafana_problems(settings, variables["groups"], variables["hostvars"], find)

    def _check_types(self, mine: list[str], settings: Variables, variables: Variables) -> Variables:
        """The settings, with the default in the place of each that is wrong, so that all else can be checked."""
        right = dict(settings)
        for role in (role_facts.SHARED, *mine, *role_facts.routines()):
            options = role_facts.typed(role, settings)
            given = {name: value for name, value in settings.items() if name in options and name in variables}
            if role in role_facts.routines():
                options = {name: options[name] for name in given}  # what it needs is asked at its turn
            found = values.spec_problems(role, options, given)
            self.problems += found
            if found:
                right |= {name: options[name].get("default") for name in values.wrong_names(options, given)}
        return right

    def _check_files(self, component: str, settings: Variables) -> None:
        """Files on the control node that the role will copy."""
        for name, option in role_facts.options(component).items():
            paths = settings.get(name)
            if name.endswith("_files") and option.get("elements") == "path" and isinstance(paths, list):
                self.problems += values.file_problems(name, [str(path) for path in paths], self._finder(component))

    def _finder(self, role: str) -> t.Callable[[str], str]:
        """Looks for files and folders on the control node where the role will look; raises AnsibleError."""
        return lambda path: str(self._loader.path_dwim_relative_stack([role_facts.role_path(role)], "files", path))

    # --- the host itself ---

    def _check_host(self, mine: list[str], settings: Variables, variables: Variables) -> None:
        tags = (variables.get("ansible_run_tags", []), variables.get("ansible_skip_tags", []))
        # What stands in the way of others does not matter to this run, unless it is to find out what does.
        touched = mine if "preflight" in tags[0] else in_order.asked_for(mine, *tags)
        wanted = [
            host_look.Wanted(
                component,
                str(settings.get(f"{component}_version", "")),
                role_facts.packages(component),
                role_facts.release(component)["programs"] if component in touched else [],
                self.listeners[component] if component in touched else [],
                boolean(settings.get(f"{component}_adopt", False), strict=False),
                boolean(settings.get("monitoring_allow_downgrade", False), strict=False),
            )
            for component in _present(mine, settings)
        ]
        before = time.time()
        look = self._look(host_look.script(wanted, self._pythons(variables), role_facts.components()))
        if look is None:
            return
        skew = host_look.skew_warning(look, before, time.time())
        if skew:
            self.warnings.append(f"{self.host}: {skew}")
        if any(one.downgrade for one in wanted):
            self.warnings.append(
                "monitoring_allow_downgrade is true, so no version is refused for being older than the installed one. "
                "What to do: take it out of the inventory once the older version runs."
            )
        if wanted and secrets.is_meant(settings):
            self.warnings.append(
                "monitoring_new_secrets is true, so secrets that monitoring_secrets_dir lacks are made, also in the "
                "place of those that hosts work with. What to do: take it out of the inventory once they are made."
            )
        self.warnings += host_look.forgotten_warnings(look, self.host, mine)
        self.problems += host_look.host_problems(look, mine, wanted)
        self._check_secrets([one.name for one in wanted], look, settings, variables)
        self.problems += host_look.listening_problems(look, wanted, mine)
        missing = [one for one in wanted if one.name not in look.releases and values.is_version(one.version)]
        sizes = self._check_artifacts(missing, look, settings, variables) if missing else {}
        if wanted:
            self.problems += host_look.space_problems(look, sizes)
        if not self.problems:
            self._look_at_components(wanted, look, settings, variables)
        if not missing:
            warning = artifacts.folder_warning(_mirror_and_lock(settings)[0])
            self.warnings += [warning] if warning else []

    def _check_secrets(
        self, present: list[str], look: host_look.Look, settings: Variables, variables: Variables
    ) -> None:
        lost = secrets.lost_problems(self.host, look, present, settings)
        self.problems += lost
        self.alone = not lost  # without this host the others would get other secrets all the same
        if not lost and variables.get("ansible_limit"):
            others = set(variables["groups"]["all"]) - set(variables["ansible_play_hosts_all"])
            self.warnings += secrets.shared_warnings(present, look, settings, variables["groups"], others)

    def _look_at_components(
        self, wanted: list[host_look.Wanted], look: host_look.Look, settings: Variables, variables: Variables
    ) -> None:
        """All components that may be in order, seen in one call instead of one for each at its turn."""
        there = [one for one in wanted if one.name in look.proven and look.installed.get(one.name) == one.version]
        tags = (variables.get("ansible_run_tags", []), variables.get("ansible_skip_tags", []))
        names = in_order.asked_for([one.name for one in there], *tags)
        if len(names) < in_order.FEWEST:
            return
        asked = [
            {
                "name": one.name,
                "packages": one.packages,
                "generations": settings[f"{one.name}_generations"],
                "inside": one.name == "grafana" and not _may_share_a_database(settings),
            }
            for one in there
            if one.name in names
        ]
        try:
            answer = self._execute_module(COMPONENTS_INFO, {"components": asked}, task_vars=variables)
        except AnsibleError:  # whatever it is, the components say it at their turn
            return
        self.facts = dict(answer.get("ansible_facts", {}))  # which Python was found
        in_order.remember(self.host, answer.get("components", {}))

    def _look(self, script: str) -> host_look.Look | None:
        try:
            answer = self._low_level_execute_command(script)
        except AnsibleConnectionFailure as error:
            # No reason to leave the others as they are: among many hosts one is always away.
            self.warnings.append(f"{self.host} cannot be reached, so nothing of it is known, nor changed: {error}")
            return None
        except AnsibleError as error:  # a wrong password for sudo, for example
            answer = {"stdout": "", "stderr": str(error), "rc": 1}
        look = host_look.read(answer["stdout"])
        if not look.complete:
            seen = (answer["stderr"] or answer["stdout"]).strip() or f"exit code {answer['rc']}"
            remedy = f"see that Ansible may become root there: ansible {self.host} -m raw -a id --become"
            self.problems.append(Problem("the host did not let itself be looked at", seen, remedy))
            return None
        return look

    def _pythons(self, variables: Variables) -> list[str]:
        """The interpreters that Ansible would try, in its order."""
        stated = C.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
        python = str(self._templar.template(stated))
        if not python.startswith("auto"):
            return [python]
        return list(C.config.get_config_value("INTERPRETER_PYTHON_FALLBACK", variables=variables))

    def _check_artifacts(
        self, missing: list[host_look.Wanted], look: host_look.Look, settings: Variables, variables: Variables
    ) -> dict[str, int]:
        """Whether releases that are not there can be had; returns the size of each archive, 0 where unknown."""
        sizes = {one.name: 0 for one in missing}
        mirror, lock = _mirror_and_lock(settings)
        try:
            arch = architecture(look.machine)
            wished = [
                artifacts.artifact(one.name, role_facts.release(one.name), one.version, arch, mirror, lock)
                for one in missing
            ]
        except (ComponentError, AnsibleError):  # reported already: the architecture, or a lock
            return sizes
        folder = mirror_folder(mirror)
        if folder:
            sizes, problems = artifacts.pushed(folder, wished)
            self.problems += problems
            return sizes
        questions = [one.question() for one in wished]
        try:
            answer = self._execute_module(RELEASE_INFO, {"releases": questions}, task_vars=variables)
        except AnsibleError as error:
            answer = {"msg": str(error)}
        if "releases" not in answer:
            remedy = "see what the host says with -vvv"
            seen = str(answer.get("msg", "no answer"))
            self.problems.append(Problem("it could not be asked whether the host reaches its releases", seen, remedy))
            return sizes
        sizes, problems = artifacts.fetched(wished, answer["releases"])
        self.problems += problems
        return sizes


def _typed(roles: t.Iterable[str], names: t.Collection[str]) -> Variables:
    """The typed variables of several roles. C(names): a host's variables, which may be further lists of services."""
    return {name: option for role in roles for name, option in role_facts.typed(role, names).items()}


def _present(mine: list[str], settings: Variables) -> list[str]:
    return [name for name in mine if settings.get(f"{name}_state") != "absent"]


def _may_share_a_database(settings: Variables) -> bool:
    """Grafanas that do would try a password that one of them has changed, all at once."""
    stated = settings.get("grafana_database") or {}
    over = settings.get("grafana_config") or {}
    return bool(stated.get("host") or over.get("database"))


def _mirror_and_lock(settings: Variables) -> tuple[str, str]:
    return str(settings.get("monitoring_mirror") or ""), str(settings.get("monitoring_releases_lock") or "")
