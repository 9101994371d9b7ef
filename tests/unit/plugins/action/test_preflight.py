# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action on the control node, with Ansible's own classes around it and a connection that counts remote calls."""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

import pytest
from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.plugins.connection.local import Connection as LocalConnection
from ansible.plugins.loader import action_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.manager import VariableManager
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import in_order, role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_host import FOLDERS
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import ENDING

ROOT = Path(__file__).resolve().parents[4]
VERSION = {name: role_facts._read(name, "defaults", "main.yml")[f"{name}_version"] for name in role_facts.components()}
READY = ["prometheus", "node_exporter"]
PASSWORDS = ["monitoring_auth_password", "monitoring_exporter_password"]


def answer(releases: t.Iterable[str] = READY, **changes: str) -> str:
    """What the script says on a host that fits."""
    said = {
        "uid": "0",
        "machine": "x86_64",
        "booted": "yes",
        "systemd": "257 (257.7)",
        "python": "/usr/bin/python3 Python 3.13.5",
        "mount": "/ rw",
        **changes,
    }
    free = said.pop("free", "90000000")
    lines = [f"{key} {value}" for key, value in said.items()]
    lines += [f"release {name}" for name in releases]
    lines += [f"space overlay 99999999 0 {free} 1% /" for _folder in FOLDERS]
    return "\n".join([*lines, "complete", ""])


class Connection(LocalConnection):
    """Says what it is told to, and counts."""

    _load_name = "ansible.builtin.local"

    def __init__(self, said: str | Exception, info: t.Any) -> None:
        super().__init__(PlayContext())
        self.said = said
        self.info = info
        self.looks: list[str] = []
        self.modules = 0

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        if in_data is None:
            self.looks.append(cmd)
            if isinstance(self.said, Exception):
                raise self.said
            return (0, self.said.encode(), b"") if "complete" in self.said else (1, b"", self.said.encode())
        self.modules += 1
        assert self.info is not None, "a module was not expected"
        answer = self.info if isinstance(self.info, dict) else {"releases": self.info}
        return 0, json.dumps({"changed": False, **answer}).encode(), b""


class Controller:
    """Runs the action for a host of an inventory, as ansible-playbook would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.groups: dict[str, list[str]] = {"all": ["app1"], "prometheus": ["app1"], "node_exporter": ["app1"]}
        self.hosts: dict[str, dict[str, t.Any]] = {}
        self.play_hosts = ["app1"]
        self.any_errors_fatal = True
        self.connection: Connection

    def keep(self, *secrets: str) -> None:
        """The folder of secrets, as an earlier run left it."""
        (self.folder / "secrets").mkdir(exist_ok=True)
        for name in secrets:
            (self.folder / "secrets" / f"{name}{ENDING}").write_text("kept\n")

    def run(
        self, said: str | Exception = "", info: t.Any = None, host: str = "app1", **given: t.Any
    ) -> dict[str, t.Any]:
        variables: dict[str, t.Any] = {
            "ansible_python_interpreter": sys.executable,
            "ansible_pipelining": True,
            "ansible_remote_tmp": str(self.folder / "remote"),
            "inventory_hostname": host,
            "inventory_dir": str(self.folder),
            "playbook_dir": str(self.folder),
            "group_names": [group for group, hosts in self.groups.items() if host in hosts and group != "all"],
            "groups": self.groups,
            "hostvars": {name: self.hosts.get(name, {}) for name in self.groups["all"]},
            "ansible_play_hosts_all": self.play_hosts,
            **self.hosts.get(host, {}),
            **given,
        }
        variables["hostvars"][host] = {**variables}
        loader = DataLoader()
        loader.set_basedir(str(self.folder))
        play = {
            "hosts": "all",
            "any_errors_fatal": self.any_errors_fatal,
            "tasks": [{"opswatch.monitoring.preflight": None}],
        }
        (block,) = Play.load(play, loader=loader).tasks
        (task,) = block.block
        templar = Templar(loader=loader, variables=variables)
        task.post_validate(templar=templar._engine)
        self.connection = Connection(said or answer(), info)
        self.connection.set_options(var_options=variables)
        self.connection._shell.set_options(var_options=variables)
        action = action_loader.get(
            "opswatch.monitoring.preflight",
            task=task,
            connection=self.connection,
            play_context=PlayContext(),
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        try:
            return dict(action.run(task_vars=variables))
        finally:
            action.cleanup()


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def problems(result: dict[str, t.Any]) -> list[str]:
    """The first line of each problem."""
    if "msg" not in result:
        return []
    assert result["msg"].startswith("Preflight found ")
    return [line.split(". ", 1)[1] for line in result["msg"].splitlines()[1:] if line[0].isdigit()]


# --- remote calls ---


def test_one_call_when_all_is_well(controller: Controller) -> None:
    assert controller.run() == {"changed": False}
    assert (len(controller.connection.looks), controller.connection.modules) == (1, 0)


def test_host_without_a_component_is_not_asked(controller: Controller) -> None:
    controller.groups = {"all": ["app1", "app2"], "prometheus": ["app1"]}
    assert controller.run(host="app2") == {"changed": False}
    assert controller.connection.looks == []


@pytest.mark.parametrize("mirror", ["http://mirror.example.com", ""])
def test_two_calls_when_a_release_has_to_be_fetched(controller: Controller, mirror: str) -> None:
    info = [{"name": "prometheus", "size": 1 << 20, "problems": []}]
    assert controller.run(answer(["node_exporter"]), info, monitoring_mirror=mirror) == {"changed": False}
    assert (len(controller.connection.looks), controller.connection.modules) == (1, 1)


def test_one_call_when_the_mirror_is_a_folder(controller: Controller) -> None:
    result = controller.run(answer(["prometheus"]), monitoring_mirror=str(controller.folder))
    (problem,) = problems(result)
    assert f"node_exporter {VERSION['node_exporter']}: The mirror lacks {controller.folder}/prometheus/" in problem
    assert (len(controller.connection.looks), controller.connection.modules) == (1, 0)


def test_release_that_is_there_is_not_asked_for(controller: Controller) -> None:
    assert controller.run(monitoring_mirror="http://127.0.0.1:9") == {"changed": False}


def test_absent_component_needs_nothing(controller: Controller) -> None:
    given = {
        "prometheus_state": "absent",
        "node_exporter_state": "absent",
        "node_exporter_listen_address": "0.0.0.0:9090",
    }
    assert controller.run(answer([], free="0"), **given) == {"changed": False}
    assert "release" not in controller.connection.looks[0].replace("releases", "")


def test_misspelt_option_of_a_routine_is_a_problem(controller: Controller) -> None:
    result = controller.run(backup_repositry="/srv/backup", backup_dir="/srv", restore_drill=True)
    assert problems(result) == ["the variable backup_repositry is not known: did you mean backup_repository?"]


# --- components that are there already ---


def there(*names: str) -> str:
    """The answer of a host on which these are installed, in the version that is wanted."""
    lines = [line for name in names for line in (f"installed {name} {VERSION[name]}", f"proven {name}")]
    return answer().replace("complete", "\n".join([*lines, "complete"]))


def state(in_order: bool) -> dict[str, t.Any]:
    return {"in_order": in_order, "fingerprint": "f", "generation": 1, "others": [], "warnings": []}


@pytest.fixture(autouse=True)
def _folder_of_the_run(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path_factory.mktemp("run")))


def test_components_that_are_there_are_looked_at_in_one_call(controller: Controller) -> None:
    controller.keep(*PASSWORDS)
    seen = {"prometheus": state(True), "node_exporter": state(False)}
    result = controller.run(there(*READY), {"components": seen, "ansible_facts": {"a": 1}})
    assert (len(controller.connection.looks), controller.connection.modules) == (1, 1)
    assert result == {"changed": False, "ansible_facts": {"a": 1}}
    assert in_order.seen("app1", "prometheus") == state(True)
    assert in_order.seen("app1", "node_exporter") is None
    controller.run(answer([]), monitoring_mirror="http://127.0.0.1:9", info=[])
    assert in_order.seen("app1", "prometheus") is None, "the host has changed since"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, True),
        ({"grafana_database": {"host": "db1:5432"}}, False),
        ({"grafana_config": {"database": {"type": "mysql"}}}, False),
        ({"grafana_config": {"smtp": {"host": "mx1"}}}, True),
    ],
)
def test_a_login_is_tried_where_nobody_shares_the_database(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, given: dict[str, t.Any], asked: bool
) -> None:
    """Else all hosts would try a password that one of them has changed, and lock the account."""
    questions: list[dict[str, t.Any]] = []

    def execute(_action: t.Any, _name: str, args: dict[str, t.Any], **_more: t.Any) -> dict[str, t.Any]:
        questions.append(args)
        return {"components": {}}

    monkeypatch.setattr(ActionBase, "_execute_module", execute)
    controller.groups["grafana"] = ["app1"]
    controller.keep(*PASSWORDS, "grafana_secret_key")
    said = there(*READY, "grafana").replace("complete", "release grafana\ncomplete")
    controller.run(said, grafana_admin_password="s3cret", **given)
    (question,) = questions
    assert {one["name"]: one["inside"] for one in question["components"]} == {
        "prometheus": False,
        "node_exporter": False,
        "grafana": asked,
    }


@pytest.mark.parametrize(
    ("said", "given"),
    [
        (there("prometheus"), {}),
        (there(*READY).replace("proven node_exporter", ""), {}),
        (there(*READY), {"node_exporter_state": "absent"}),
        (there(*READY), {"ansible_run_tags": ["prometheus"]}),
        (there(*READY), {"ansible_run_tags": ["all"], "ansible_skip_tags": ["prometheus"]}),
        (there(*READY), {"prometheus_listen_address": "0.0.0.0:9100"}),
    ],
    ids=["one alone", "one unproven", "one to be removed", "one by its tag", "one left out", "a problem"],
)
def test_a_component_alone_is_looked_at_when_its_turn_comes(
    controller: Controller, said: str, given: dict[str, t.Any]
) -> None:
    controller.keep(*PASSWORDS)
    controller.run(said, **given)
    assert controller.connection.modules == 0


def test_a_look_that_fails_leaves_it_to_the_components(controller: Controller) -> None:
    controller.keep(*PASSWORDS)
    assert controller.run(there(*READY), {"failed": True, "msg": "no"}) == {"changed": False}
    assert in_order.seen("app1", "prometheus") is None


def test_no_host_gets_other_secrets_without_a_word(controller: Controller) -> None:
    """As for a second admin who has the inventory and not what is kept beside it."""
    result = controller.run(there("prometheus"))
    told = result["msg"].replace(f"{controller.folder}/", "").splitlines()
    assert told == [
        "Preflight found 1 problem on app1. Nothing was changed on any host.",
        "1. app1 runs prometheus with secrets that are not in secrets, a folder that is not there, so this run would "
        "make others:",
        "       monitoring_auth_password.txt: Prometheus and Alertmanager refuse the password that people and scripts "
        "have",
        "       monitoring_exporter_password.txt: what this run leaves out answers Prometheus with 401",
        "   What to do: bring back the folder of the control node that made them, or set monitoring_secrets_dir to it; "
        "or set monitoring_auth_password and monitoring_exporter_password to what the host has; or, where others are "
        "meant, run once with -e monitoring_new_secrets=true",
    ]
    assert (len(controller.connection.looks), controller.connection.modules) == (1, 0)
    assert not (controller.folder / "secrets").exists()
    assert "failed" not in controller.run(there("prometheus"), **dict.fromkeys(PASSWORDS, "given"))
    meant = controller.run(there("prometheus"), monitoring_new_secrets="true")
    assert "failed" not in meant
    assert meant["warnings"][0].startswith("monitoring_new_secrets is true")


@pytest.mark.parametrize("stated", ["{{ nope }}", "{{ vaulted }}"])
def test_a_secret_that_is_given_is_as_its_expression_says(controller: Controller, stated: str) -> None:
    given = {"monitoring_exporter_password": trust_as_template(stated), "monitoring_auth_password": "x", "vaulted": "y"}
    found = problems(controller.run(there("prometheus"), **given))
    assert [problem.split(":")[0] for problem in found] == (
        ["monitoring_exporter_password cannot be resolved"] if "nope" in stated else []
    )


# --- what the host says ---


def test_release_that_cannot_be_fetched(controller: Controller) -> None:
    found = {"what": "http://x could not be fetched", "seen": "refused", "remedy": "open the way"}
    info = [{"name": "prometheus", "size": 0, "problems": [found]}]
    result = controller.run(answer(["node_exporter"], free="1000"), info)
    assert result["failed"] is True
    first, second = problems(result)
    assert first == f"prometheus {VERSION['prometheus']}: http://x could not be fetched: refused"
    assert second == "no space on / for prometheus: 272 MiB needed, 0 MiB free"


def test_all_that_is_wrong_with_a_host(controller: Controller) -> None:
    said = answer(uid="1000", machine="s390x", systemd="249", python="python3 Python 3.8.1", mount="/ ro", free="0")
    result = controller.run(said)
    assert len(problems(result)) == 6
    assert "prometheus and node_exporter can only be changed by root" in result["msg"]


def test_an_unreachable_host_does_not_stop_the_others(controller: Controller) -> None:
    result = controller.run(AnsibleConnectionFailure("no route"))
    assert "failed" not in result
    (warning,) = result["warnings"]
    assert warning == "app1 cannot be reached, so nothing of it is known, nor changed: no route"
    wrong = controller.run(AnsibleConnectionFailure("no route"), prometheus_generations="many")
    assert len(problems(wrong)) == 1


@pytest.mark.parametrize("said", ["Sorry, a password is required", AnsibleError("Sorry, a password is required")])
def test_host_where_sudo_wants_a_password(controller: Controller, said: str | Exception) -> None:
    result = controller.run(said)
    assert result["failed"] is True
    (problem,) = problems(result)
    assert problem == "the host did not let itself be looked at: Sorry, a password is required"
    assert "ansible app1 -m raw -a id --become" in result["msg"]


def test_host_that_cannot_be_asked_for_its_releases(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_arguments: t.Any, **_options: t.Any) -> t.NoReturn:
        raise AnsibleConnectionFailure("lost")

    monkeypatch.setattr(ActionBase, "_execute_module", lost)
    (problem,) = problems(controller.run(answer([])))
    assert problem == "it could not be asked whether the host reaches its releases: lost"


@pytest.mark.parametrize(("everywhere", "where"), [(True, "on any host"), (False, "here")])
def test_what_was_not_changed(controller: Controller, everywhere: bool, where: str) -> None:
    """Only where one host's problem stops all of them it may speak for the others."""
    controller.any_errors_fatal = everywhere
    result = controller.run(prometheus_generations="many")
    assert result["msg"].splitlines()[0] == f"Preflight found 1 problem on app1. Nothing was changed {where}."


def test_how_to_go_on_without_a_host(controller: Controller) -> None:
    """Where the others could: not what is wrong in the inventory, and not where no host is left."""
    controller.groups |= {"all": ["app1", "app2", "app3"], "node_exporter": ["app1", "app2", "app3"]}
    controller.play_hosts = ["app1", "app2", "app3"]
    said = answer(uid="1000")

    def end(host: str, **given: t.Any) -> str:
        return str(controller.run(said, host=host, **given)["msg"]).splitlines()[-1]

    assert end("app1", node_exporter_generations="many").startswith("   What to do: ")
    assert end("app2") == "To go on without it: --limit 'all:!app2'"
    reported = "To go on without the 2 hosts that have reported so far: --limit"
    assert end("app1", ansible_limit="web,db") == f"{reported} 'web,db,!app2,!app1'"
    assert end("app3").startswith("   What to do: ")
    controller.any_errors_fatal = False
    controller.play_hosts.append("app4")
    assert end("app1").startswith("   What to do: ")


def test_clock_that_is_off_is_a_warning(controller: Controller) -> None:
    result = controller.run(answer(clock="1000"))
    assert "failed" not in result
    (warning,) = result["warnings"]
    assert warning.startswith("app1: Its clock is ")


@pytest.mark.parametrize(
    ("interpreter", "asked"),
    [
        ("/opt/python", ["/opt/python"]),
        ("{{ mine }}", ["/mine/python"]),
        ("auto_silent", ["python3.13", "/usr/bin/python3"]),
    ],
)
def test_python_that_ansible_would_use(controller: Controller, interpreter: str, asked: list[str]) -> None:
    controller.run(ansible_python_interpreter=trust_as_template(interpreter), mine="/mine/python")
    for python in asked:
        assert f"{python} -V" in controller.connection.looks[0]


def test_what_others_have_where_a_component_belongs(controller: Controller) -> None:
    lines = ["occupied node_exporter /etc/node_exporter", "listens prometheus 00000000:2382", "complete"]
    said = answer().replace("complete", "\n".join(lines))
    folder, port = problems(controller.run(said))
    assert folder == "/etc/node_exporter exists and was not made by this collection"
    assert port.startswith("another program listens on port 9090, which prometheus is to have: 0.0.0.0:9090")
    (script,) = controller.connection.looks
    for words in ("held prometheus 9090 2382", "foreign prometheus /usr/local/bin/promtool "):
        assert words in script
    assert len(problems(controller.run(said, node_exporter_adopt=True))) == 1


@pytest.mark.parametrize(
    ("tags", "asked"),
    [(["all"], True), (["prometheus"], True), (["preflight"], True), (["grafana"], False), ([], True)],
)
def test_what_stands_in_the_way_of_others_does_not_stop_a_run(
    controller: Controller, tags: list[str], asked: bool
) -> None:
    """An urgent run for one component goes on while another one's port is taken."""
    controller.run(ansible_run_tags=tags)
    (script,) = controller.connection.looks
    assert ("held prometheus 9090" in script) == asked


@pytest.mark.parametrize(("members", "asked"), [(["app1"], False), (["app1", "app2"], True)])
def test_port_of_a_member_that_is_alone_stays_free(controller: Controller, members: list[str], asked: bool) -> None:
    controller.groups |= {"all": members, "alertmanager": members}
    controller.run(answer([*READY, "alertmanager"]))
    assert ("held alertmanager 9094 " in controller.connection.looks[0]) == asked


# --- variables ---


def test_every_problem_in_one_list(controller: Controller) -> None:
    result = controller.run(
        answer(["node_exporter"]),
        prometheus_versoin="3",
        prometheus_version="latest",
        prometheus_state="running",
        prometheus_rule_files=["/no/rules.yml", "rules.yml"],
        prometheus_external_labels=trust_as_template("{{ nope }}"),
        node_exporter_listen_address="127.0.0.1:9090",
        monitoring_services=[{"name": "shop", "port": 9090}, {"name": "shop"}],
        monitoring_tls="own",
        monitoring_secrets_dir="/dev/null/secrets",
    )
    found = problems(result)
    wanted = [
        "prometheus_versoin is not known: did you mean prometheus_version?",
        "prometheus_external_labels cannot be resolved: 'nope' is undefined",
        "prometheus_state must be one of",
        "monitoring_services of app1, entry 2 (shop): missing required arguments: port",
        "prometheus_version is not a version: 'latest'",
        "names a file that is not there: /no/rules.yml",
        "names a file that is not there: rules.yml",
        "wanted twice on this host: prometheus_listen_address 0.0.0.0:9090 and node_exporter_listen_address 127.0.0.1",
        "wanted twice on this host: prometheus_listen_address 0.0.0.0:9090 and monitoring_services (shop)",
        "wanted twice on this host: node_exporter_listen_address 127.0.0.1:9090 and monitoring_services (shop)",
        "monitoring_tls_cert is not set",
        "monitoring_tls_key is not set",
        "prometheus_rule_files has several files of one name: rules.yml",
        "monitoring_secrets_dir is no folder: /dev/null",
    ]
    for words in wanted:
        assert [words in problem for problem in found].count(True) == 1, (words, found)
    assert len(found) == len(wanted), found
    assert result["msg"].count("What to do: ") == len(wanted)
    assert not (controller.folder / "secrets").exists()


def test_further_lists_of_services(controller: Controller) -> None:
    """Each list and each entry of it, under the name of the variable that has to be corrected."""
    result = controller.run(
        monitoring_services=[{"name": "cart", "port": 8000}],
        monitoring_services_failing=trust_as_template("{{ nope }}"),
        monitoring_services_map={"name": "web", "port": 80},
        monitoring_services_shop=trust_as_template("{{ shop + [{'name': 'orders', 'port': 9090}] }}"),
        monitoring_services_twin=[{"name": "cart", "port": 8001}],
        shop=[{"name": "api"}],
    )
    found = problems(result)
    wanted = [
        "monitoring_services_failing cannot be resolved: 'nope' is undefined",
        "monitoring_services_map has to be a list, and is a dict",
        "monitoring_services_shop of app1, entry 1 (api): missing required arguments: port",
        "prometheus_listen_address 0.0.0.0:9090 and monitoring_services_shop (orders)",
    ]
    for words in wanted:
        assert [words in problem for problem in found].count(True) == 1, (words, found)
    assert "warnings" not in result
    (twins,) = [problem for problem in found if "cart has two targets (app1:8000, app1:8001)" in problem]
    assert twins.startswith("monitoring_services of app1 and monitoring_services_twin of app1: ")


def test_right_further_lists_of_services(controller: Controller) -> None:
    given = {"monitoring_services_shop": [{"name": "shop", "port": 1}], "monitoring_services_none": []}
    assert controller.run(monitoring_services=[{"name": "cart", "port": 2}], **given) == {"changed": False}


def test_variable_may_use_defaults_of_the_roles(controller: Controller) -> None:
    flags = {"web.listen-address": trust_as_template("{{ prometheus_listen_address }}")}
    assert controller.run(prometheus_flags=flags) == {"changed": False}
    version = trust_as_template("{{ '1.2.3' if prometheus_agent else prometheus_generations ~ '.9' }}")
    controller.run(answer(READY), prometheus_version=version)
    assert "prometheus/releases/3.9/" in controller.connection.looks[0]


def test_port_of_a_default_that_follows_from_the_inventory(controller: Controller) -> None:
    """cAdvisor listens where Prometheus is, here on the same host; its port counts as any other."""
    controller.groups |= {"cadvisor": ["app1"]}
    services = [{"name": "shop", "port": 4194}]
    (problem,) = problems(controller.run(answer([*READY, "cadvisor"]), monitoring_services=services))
    assert "port 4194 is wanted twice on this host: cadvisor_listen_address 127.0.0.1:4194" in problem


def test_release_without_a_published_checksum_is_no_problem(controller: Controller, tmp_path: Path) -> None:
    """Of a mirror that is a folder: what is there is taken, and its sum recorded, by the installation."""
    controller.groups |= {"cadvisor": ["app1"]}
    name = f"cadvisor-v{VERSION['cadvisor']}-linux-amd64"
    archive = tmp_path / f"google/cadvisor/releases/download/v{VERSION['cadvisor']}/{name}"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"program")
    assert controller.run(monitoring_mirror=str(tmp_path)) == {"changed": False}
    assert len(problems(controller.run(monitoring_mirror=str(tmp_path), monitoring_releases_lock=""))) == 1


def test_nothing_is_written(controller: Controller) -> None:
    """Not even the password that a variable asks for."""
    lookup = "{{ {'a': lookup('opswatch.monitoring.secret', 'mine', dir=inventory_dir ~ '/secrets')} }}"
    controller.run(prometheus_external_labels=trust_as_template(lookup))
    assert list(controller.folder.iterdir()) == []


def test_secret_is_not_said(controller: Controller) -> None:
    result = controller.run(
        monitoring_auth_password={"a": "hunter2"},
        monitoring_services=[{"name": "x", "port": "y", "auth": {"password": "hunter3", "usr": "z"}}],
    )
    assert result["failed"] is True
    assert "hunter" not in json.dumps(result)


def test_rule_file_is_looked_for_where_the_role_looks(controller: Controller) -> None:
    (controller.folder / "files").mkdir()
    (controller.folder / "files" / "a.yml").touch()
    (controller.folder / "b.yml").touch()
    absolute = str(controller.folder / "b.yml")
    assert controller.run(prometheus_rule_files=["a.yml", absolute]) == {"changed": False}


def test_unknown_variable_is_a_warning(controller: Controller) -> None:
    result = controller.run(prometheus_contact="me")
    assert "failed" not in result
    assert "prometheus_contact has no effect here" in result["warnings"][0]


def test_downgrades_that_stay_allowed_are_a_warning(controller: Controller) -> None:
    result = controller.run(monitoring_allow_downgrade=True)
    assert "failed" not in result
    (warning,) = result["warnings"]
    assert warning.startswith("monitoring_allow_downgrade is true")
    assert "app1" not in warning, "Ansible shows what is the same for many hosts once"


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({}, True),
        ({"alertmanager_receivers": []}, True),
        ({"alertmanager_config": {"global": {}}}, True),
        ({"alertmanager_receivers": [{"name": "mail", "email_configs": [{"to": "a@example.com"}]}]}, False),
        ({"alertmanager_config": {"receivers": [{"name": "nobody"}]}}, False),
        ({"alertmanager_state": "absent"}, False),
        ({"alertmanager_receivers": "a text"}, False),
    ],
)
def test_alerts_that_nobody_is_told_of_are_a_warning(
    controller: Controller, given: dict[str, t.Any], warned: bool
) -> None:
    controller.groups |= {"alertmanager": ["app1"]}
    warnings = controller.run(answer([*READY, "alertmanager"]), **given).get("warnings", [])
    assert [warning.split(".")[0] for warning in warnings] == [
        "alertmanager_receivers is empty, so nobody is told of any alert"
    ] * warned
    assert "app1" not in "".join(warnings), "Ansible shows what is the same for many hosts once"


@pytest.mark.parametrize(
    ("more", "route", "warned"),
    [
        ([], {}, True),
        ([{"name": "mail", "email_configs": [{"to": "a@example.com"}]}], {}, False),
        ([], {"receiver": "deadman"}, False),
    ],
)
def test_so_is_a_dead_mans_switch_alone(
    controller: Controller, more: list[dict[str, t.Any]], route: dict[str, t.Any], warned: bool
) -> None:
    controller.groups |= {"alertmanager": ["app1"]}
    switch = {"name": "deadman", "severities": ["none"], "webhook_configs": [{"url": "https://x.example/"}]}
    given = {"alertmanager_receivers": [switch, *more], "alertmanager_route": route}
    warnings = controller.run(answer([*READY, "alertmanager"]), **given).get("warnings", [])
    assert ["asks for no severity but none, so nobody is told" in one for one in warnings] == [True] * warned


def test_mirror_that_is_not_there_but_not_needed(controller: Controller) -> None:
    result = controller.run(monitoring_mirror="/nowhere")
    assert "failed" not in result
    assert "monitoring_mirror is no folder" in result["warnings"][0]


def test_what_the_roles_would_refuse(controller: Controller) -> None:
    """All of it at once, of entries that are right by their type too."""
    roles = ("alertmanager", "postgres_exporter", "blackbox_exporter")
    controller.groups |= {role: ["app1"] for role in roles}
    result = controller.run(
        answer([*READY, *roles]),
        prometheus_thresholds={"HighCpuUsage": 95, "InodesLow": "many"},
        alertmanager_receivers=[{"name": "a", "email": {"password": "hunter2"}}, {"name": "b", "slack_configs": {}}],
        postgres_exporter_databases=[{"port": 0}, {"password": "hunter2"}, {"prot": 1}],
        blackbox_exporter_targets=[{"name": "x", "target": "y"}, {"name": "x", "target": "y"}, {"name": "z"}],
    )
    wanted = [
        "postgres_exporter_databases of app1, entry 3: unknown: prot.",
        "postgres_exporter_databases: postgres has the port 0",
        "postgres_exporter_databases: postgres has a password and the socket folder /run/postgresql",
        "blackbox_exporter_targets of app1, entry 3 (z): missing required arguments: target",
        "blackbox_exporter_targets of app1: x is there twice, with the same module and target",
        "prometheus_thresholds: no alert with a threshold is called HighCpuUsage",
        "prometheus_thresholds: InodesLow is 'many'",
        "alertmanager_receivers: a has email",
        "alertmanager_receivers: b has slack_configs",
    ]
    found = problems(result)
    for words in wanted:
        assert [problem.startswith(words) for problem in found].count(True) == 1, (words, found)
    assert len(found) == len(wanted), found
    assert "hunter2" not in json.dumps(result)


# --- the inventory ---


def test_misspelt_group_is_reported_by_the_first_host(controller: Controller) -> None:
    controller.groups = {"all": ["app1", "app2"], "node_exporter": ["app1", "app2"], "Prometheus": ["app1"]}
    controller.play_hosts = ["app1", "app2"]
    (problem,) = problems(controller.run())
    assert problem == "the inventory's group Prometheus means nothing here: hosts app1. Did you mean prometheus?"
    assert controller.run(host="app2") == {"changed": False}


def test_inventory_without_any_component(controller: Controller) -> None:
    controller.groups = {"all": ["app1"], "web": ["app1"]}
    result = controller.run()
    assert "failed" not in result
    assert "there is nothing to do" in result["warnings"][0]
    assert controller.connection.looks == []


def test_two_log_agents(controller: Controller) -> None:
    controller.groups |= {"promtail": ["app1"], "alloy": ["app1"]}
    (problem,) = problems(controller.run(promtail_state="absent", alloy_state="absent"))
    assert problem.startswith("the host is in the groups promtail and alloy")


def test_loki_that_others_cannot_reach(controller: Controller) -> None:
    """Reported once, with what the role would refuse of the host itself."""
    controller.groups |= {"all": ["app1", "app2"], "loki": ["app1"], "grafana": ["app2"]}
    controller.play_hosts = ["app1", "app2"]
    found = problems(
        controller.run(
            answer([*READY, "loki"]),
            loki_config={"limits_config": {"enforce_metric_name": False}},
            loki_thresholds={"LogErrorBursts": 3},
        )
    )
    assert [problem.split(",")[0] for problem in found] == [
        "Loki on app1 serves the loopback alone",
        "loki_config has limits_config.enforce_metric_name",
        "loki_thresholds: there is no log alert LogErrorBursts. Did you mean LogErrorBurst? There are LogErrorBurst",
    ]
    controller.hosts = {"app1": {"loki_listen_address": "nine"}}
    assert any(
        "'nine' is not an address to listen on" in one for one in problems(controller.run(answer([*READY, "loki"])))
    )


@pytest.mark.parametrize(("state", "count"), [("present", 1), ("absent", 0)])
def test_rule_files_of_loki_are_looked_into(controller: Controller, state: str, count: int) -> None:
    controller.groups |= {"loki": ["app1"]}
    (controller.folder / "shop.yml").write_text("# nothing yet\n")
    given = {"loki_rule_files": [str(controller.folder / "shop.yml")], "loki_state": state}
    found = problems(controller.run(answer([*READY, "loki"]), monitoring_tls="selfsigned", **given))
    assert ["shop.yml: it has no list of groups" in one for one in found] == [True] * count


@pytest.mark.parametrize(
    ("lokis", "loki_state", "alloy_state", "refused"),
    [
        ([], "present", "present", True),
        ([], "present", "absent", False),
        (["app1"], "absent", "present", True),
        (["app1"], "absent", "absent", False),
    ],
)
def test_a_log_agent_without_loki(
    lokis: list[str], loki_state: str, alloy_state: str, refused: bool, controller: Controller
) -> None:
    """An agent that goes asks for none, or it could not go with it."""
    controller.groups |= {"alloy": ["app1"], "loki": lokis}
    found = problems(controller.run(answer([*READY, "alloy"]), loki_state=loki_state, alloy_state=alloy_state))
    assert [problem.split(", but")[0] for problem in found] == ["app1 reads logs"] * refused


def test_a_log_agent_that_is_sent_to_nobody(controller: Controller) -> None:
    controller.groups |= {"alloy": ["app1"], "loki": ["app1"]}
    programs = answer([*READY, "alloy", "loki"])
    (problem,) = problems(controller.run(programs, monitoring_logs_push=["mon9"]))
    assert problem.startswith("monitoring_logs_push of app1: mon9 is no host that runs Loki (app1)")
    assert "failed" not in controller.run(programs, monitoring_logs_push=["https://logs.example.com"])


def test_lines_that_loki_would_refuse(controller: Controller) -> None:
    controller.groups |= {"alloy": ["app1"], "loki": ["app1"]}
    stated = {"monitoring_logs_max_age": "8d", "monitoring_logs_line_limit": 300000}
    found = problems(controller.run(answer([*READY, "alloy", "loki"]), **stated))
    assert [problem.split(":")[0] for problem in found] == [
        "monitoring_logs_line_limit is above loki_max_line_size of app1",
        "monitoring_logs_max_age is above loki_reject_old_samples_max_age of app1",
        "monitoring_logs_max_age is no duration",
    ]


def test_ports_of_syslog(controller: Controller) -> None:
    controller.groups |= {"alloy": ["app1"], "loki": ["app1"]}
    logs = [
        {"name": "network", "kind": "syslog", "listen_address": "0.0.0.0:9100"},
        {"name": "switches", "kind": "syslog", "listen_address": "0.0.0.0:9100", "protocol": "udp"},
    ]
    (problem,) = problems(controller.run(answer([*READY, "alloy", "loki"]), monitoring_logs=logs))
    assert problem.startswith("port 9100 is wanted twice on this host: ")
    assert "listen_address of network (monitoring_logs) 0.0.0.0:9100" in problem
    assert "held alloy 9100 238C" in controller.connection.looks[0], "by others, too"


def test_hosts_beside_the_play_are_scraped_too(controller: Controller) -> None:
    controller.groups["all"] = ["app1", "app2", "app3"]
    controller.groups["node_exporter"] = ["app1", "app2"]
    controller.hosts = {
        "app2": {"monitoring_services": [{"name": "shop", "port": 0}], "node_exporter_listen_address": "nine"},
        "app3": {"monitoring_services": [{"name": "web", "port": 80, "interval": "5s"}]},
    }
    result = controller.run(monitoring_services=[{"name": "web", "port": 80}])
    assert [problem.split(":")[0] for problem in problems(result)] == [
        "monitoring_services of app2",
        "node_exporter of app2",
        "monitoring_services of app3",
    ]


def test_further_lists_of_hosts_beside_the_play(controller: Controller) -> None:
    controller.groups["all"] = ["app1", "app2", "app3"]
    controller.hosts = {
        "app2": {
            "monitoring_services_map": {"name": "web", "port": 80},
            "monitoring_services_shop": [{"name": "shop", "port": 0}, "api"],
        },
        "app3": {"monitoring_services_shop": [{"name": "web", "port": 80, "interval": "5s"}]},
    }
    found = problems(controller.run(monitoring_services_web=[{"name": "web", "port": 80}]))
    wanted = [
        "app2: monitoring_services_map has to be a list, and is a dict",
        "app2: monitoring_services_shop, entry 2, has to be a dict, and is a text",
        "monitoring_services_shop of app2: shop needs a port",
        "monitoring_services_shop of app3: web has another interval than an earlier entry in monitoring_services_web",
    ]
    assert len(found) == len(wanted), found
    assert all(problem.startswith(words) for words, problem in zip(wanted, found, strict=True)), found


def test_failing_further_list_of_a_host_beside_the_play(controller: Controller) -> None:
    class Failing(dict[str, t.Any]):
        def __getitem__(self, name: str) -> t.Any:
            raise AnsibleError(f"'{name[-4:]}' is undefined")

    controller.groups["all"] = ["app1", "app2"]
    controller.hosts = {"app2": Failing(monitoring_services_shop="{{ shop }}")}
    assert problems(controller.run()) == [
        "monitoring_services_shop of app2 cannot be resolved: 'shop' is undefined",
    ]


def test_databases_and_probes_of_hosts_beside_the_play(controller: Controller) -> None:
    controller.groups["all"] = ["app1", "app2", "app3"]
    controller.groups |= {"postgres_exporter": ["app2", "app3"], "blackbox_exporter": ["app2"]}
    shared = {"host": "db", "database": "crm"}
    controller.hosts = {
        "app2": {
            "postgres_exporter_databases": [{}, shared, {"port": -1}],
            "blackbox_exporter_targets": [{"name": "a", "target": "b", "labels": "c"}],
        },
        "app3": {"postgres_exporter_databases": [{}, shared]},
    }
    databases, probes, twins = problems(controller.run())
    assert databases == "app2: postgres_exporter_databases: postgres has the port -1"
    assert probes.startswith("blackbox_exporter_targets of app2, entry 1 (a): labels has to be a dict, and is a text")
    assert twins == "postgres_exporter_databases: db:5432 is watched by two exporters, app2:9187 and app3:9187"


def test_nobody_scrapes(controller: Controller) -> None:
    controller.groups = {"all": ["app1", "app2"], "node_exporter": ["app1"]}
    controller.hosts = {"app2": {"monitoring_services": [{"name": "shop", "port": 0}]}}
    assert controller.run() == {"changed": False}


def test_a_grafana_is_asked_for_its_dashboards_and_datasources(controller: Controller) -> None:
    """Where the role looks: a folder beside the playbook is found, and what is wrong in it is told."""
    controller.groups = {"all": ["app1"], "grafana": ["app1"], "prometheus": ["app1"]}
    (controller.folder / "shop").mkdir()
    (controller.folder / "shop" / "a.json").write_text("[]")
    twin = {"name": "Prometheus", "type": "prometheus"}
    result = controller.run(answer(["grafana", "prometheus"]), grafana_dashboards=["shop"], grafana_datasources=[twin])
    assert "shop/a.json: a dashboard is an object, and this is a list" in result["msg"]
    assert "Prometheus and Prometheus have the same name" in result["msg"]
    assert controller.run(answer(["grafana", "prometheus"]), grafana_state="absent", grafana_dashboards=["shop"]) == {
        "changed": False
    }


def test_texts_of_routines_are_not_resolved(controller: Controller, tmp_path: Path) -> None:
    """A lookup behind one may ask a vault, or write a file."""
    secret = trust_as_template(f"{{{{ lookup('ansible.builtin.password', '{tmp_path}/made') }}}}")
    assert controller.run(backup_password=secret, backup_keep={"daily": 3}) == {"changed": False}
    assert not (tmp_path / "made").exists()


# --- values of any kind ---

MAPS_AND_LISTS = [
    (role, name, kind)
    for role in (role_facts.SHARED, *role_facts.components(), "backup")
    for name, option in role_facts.options(role).items()
    for kind in [option.get("type", "str")]
    if kind in ("list", "dict")
]


@pytest.mark.parametrize(
    "wrong", ["a text", 5, True, None, ["a"], {"a": 1}, [None], {"a": {"b": ["c"]}}, {1: 2}, [{1: 2}]], ids=repr
)
@pytest.mark.parametrize(("role", "name", "kind"), MAPS_AND_LISTS, ids=lambda value: str(value))
def test_no_value_ends_the_checks(controller: Controller, role: str, name: str, kind: str, wrong: t.Any) -> None:
    """Whatever it is, the answer is a report, in which what else is wrong is too."""
    host = role if role in role_facts.components() else "prometheus"
    controller.groups = {"all": ["app1"], host: ["app1"]}
    found = problems(controller.run(answer([host]), **{name: wrong, f"{host}_generations": "many"}))
    assert any(f"{host}_generations" in problem for problem in found)
    # A routine takes a text for a list, as the command line gives it; null is right where nothing is the default.
    right = {"list": (list, str) if role == "backup" else list, "dict": dict}[kind]
    if wrong is not None and not isinstance(wrong, right):
        assert any(name in problem for problem in found), found
    assert not any("could not be checked" in problem for problem in found), found


# --- the inventories of the checkout ---


def copied_from_the_readme(folder: Path) -> Path:
    """The example of the README, as somebody would copy it: each block behind the name of its file."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("hosts.yml", "group_vars/all.yml", "group_vars/shop.yml"):
        (block,) = re.findall(rf"`inventories/production/{name}`:\n\n```yaml\n(.*?)```", text, re.DOTALL)
        path = folder / "production" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.replace("{{ vault_shop_admin }}", "hush"), encoding="utf-8")
    return folder / "production"


@pytest.mark.parametrize("name", ["README", "dating_app", "demo", "local"])
def test_inventories_that_people_start_from(controller: Controller, tmp_path: Path, name: str) -> None:
    """Nothing is wrong with any host, nor with the inventory as a whole: scrape jobs, who reaches Loki, ports."""
    source = copied_from_the_readme(tmp_path) if name == "README" else ROOT / "inventories" / name
    loader = DataLoader()
    inventory = InventoryManager(loader, sources=[str(source)])
    stated = VariableManager(loader, inventory)
    controller.groups = {group: [one.name for one in its.get_hosts()] for group, its in inventory.groups.items()}
    controller.play_hosts = controller.groups["all"]
    magic = {"inventory_file", "inventory_dir", "playbook_dir", "groups", "group_names", "omit", "ansible_version"}
    for host in inventory.get_hosts():
        known = stated.get_vars(host=host, include_hostvars=False)
        controller.hosts[host.name] = {key: value for key, value in known.items() if key not in magic}
    assert controller.play_hosts
    for host in controller.play_hosts:
        result = controller.run(answer(role_facts.components()), host=host)
        warned = result.pop("warnings", [])
        assert result == {"changed": False}, host
        # Whom to tell only the user knows.
        assert [one for one in warned if "alertmanager_receivers is empty" not in one] == [], host
