# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action on the control node, with Ansible's own classes around it and a connection that counts remote calls."""

from __future__ import annotations

import base64
import copy
import json
import os
import sys
import time
import typing as t
import zlib
from pathlib import Path

import pytest
import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.plugins.connection.local import Connection as LocalConnection
from ansible.plugins.loader import action_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.opswatch.monitoring.plugins.module_utils._arguments import ARGUMENT_SPEC, wanted
from ansible_collections.opswatch.monitoring.plugins.module_utils._fingerprint import fingerprint
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import in_order

AMD64 = "app/v1.2.3/app-1.2.3.linux-amd64.tar.gz"
DONE = {"changed": False, "actions": [], "generation": 3, "effect": "nothing"}
WISH: dict[str, t.Any] = {
    "name": "zz_unit_test",
    "version": "1.2.3",
    "release": {
        "path": "app/v{version}/app-{version}.linux-{arch}.tar.gz",
        "checksums": "app/v{version}/sha256sums.txt",
        "programs": ["app"],
    },
    "files": [
        {"path": "app.yml", "content": {"zebra": 1, "apple": "ä"}, "on_change": "reload"},
        {"path": "token", "place": "secret", "content": "hunter2", "on_change": "nothing"},
    ],
    "flags": {"web.listen-address": "0.0.0.0:9100", "debug": False, "left-out": None},
}

LEARNED = {"learned_checksum": {"path": AMD64, "sha256": "b" * 64}}
UNPUBLISHED = {**WISH["release"], "checksums": None, "unpublished_checksum": True, "names": {"app": "app-{arch}"}}


class Connection(LocalConnection):
    """The local connection, counting. C(answers): what the worker says, where it is not to run."""

    _load_name = "ansible.builtin.local"

    def __init__(self, *arguments: t.Any, **options: t.Any) -> None:
        super().__init__(*arguments, **options)
        self.answers: list[dict[str, t.Any]] = []
        self.worker_calls = 0
        self.other_calls: list[str] = []
        self.transfers: list[str] = []

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        if in_data is None and "AnsiballZ" not in cmd:
            self.other_calls.append(cmd)
        else:
            self.worker_calls += 1
            if self.answers:
                return 0, json.dumps(self.answers.pop(0)).encode(), b""
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        self.transfers.append(in_path)
        super().put_file(in_path, out_path)


class Controller:
    """Runs one task that stands in a playbook file in C(folder), as ansible-playbook would."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.variables: dict[str, t.Any] = {
            "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": str(folder / "remote"),
            "ansible_pipelining": True,
        }
        self.delegate_to = ""
        self.connection: Connection
        self.sent: list[dict[str, t.Any]] = []
        real = ActionBase._execute_module

        def execute(action: ActionBase, module_name: str, module_args: dict[str, t.Any], **options: t.Any) -> t.Any:
            self.sent.append(copy.deepcopy(module_args))
            return real(action, module_name, module_args, **options)

        monkeypatch.setattr(ActionBase, "_execute_module", execute)

    def run(self, *answers: dict[str, t.Any], check: bool = False, diff: bool = False, **wishes: t.Any) -> t.Any:
        """The result of the task. With answers, the worker is not run: it says them, one after the other."""
        task_of_it = {"opswatch.monitoring.component": {**WISH, **wishes}}
        if self.delegate_to:
            task_of_it["delegate_to"] = self.delegate_to
        play = {"hosts": "all", "check_mode": check, "diff": diff, "tasks": [task_of_it]}
        path = self.folder / "play.yml"
        path.write_text(yaml.safe_dump([play], sort_keys=False))
        loader = DataLoader()
        loader.set_basedir(str(self.folder))
        (block,) = Play.load(loader.load_from_file(str(path), trusted_as_template=True)[0], loader=loader).tasks
        (task,) = block.block
        templar = Templar(loader=loader, variables=self.variables)
        task.post_validate(templar=templar._engine)
        self.connection = Connection(PlayContext())
        self.connection.set_options(var_options=self.variables)
        self.connection._shell.set_options(var_options=self.variables)
        self.connection._connect()
        self.connection.answers = list(copy.deepcopy(answers))
        action = action_loader.get(
            "opswatch.monitoring.component",
            task=task,
            connection=self.connection,
            play_context=PlayContext(),
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        try:
            return action.run(task_vars=self.variables)
        finally:
            action.cleanup()  # as Ansible does at the end of every task

    def files(self, *answers: dict[str, t.Any], **wishes: t.Any) -> dict[str, str]:
        """The contents that a run sends to the host."""
        self.run(*(answers or (DONE,)), **wishes)
        return {f"{file['place']}/{file['path']}": decoded(file["content"]) for file in self.sent[-1]["files"]}

    def write(self, path: str, text: str) -> str:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)
        return str(self.folder / path)


def decoded(content: str) -> str:
    return base64.b64decode(content).decode()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def packed(text: str) -> str:
    """As the worker sends the earlier content of a file."""
    return base64.b64encode(zlib.compress(text.encode())).decode()


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    return Controller(tmp_path, monkeypatch)


# --- what all roles share ---


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("monitoring_tls", "sefsigned", "value of monitoring_tls must be one of: off, own, selfsigned, got: sefsigned"),
        ("monitoring_allow_downgrade", "{{ 'perhaps' }}", "monitoring_allow_downgrade"),
        (
            "monitoring_services_shop",
            "{{ {'name': 'shop'} }}",
            "monitoring_services_shop has to be a list, and is a dict",
        ),
    ],
)
def test_a_wrong_shared_variable_is_refused_before_the_host_is_called(
    controller: Controller, variable: str, value: str, said: str
) -> None:
    controller.variables[variable] = trust_as_template(value)
    with pytest.raises(AnsibleActionFail, match=said) as caught:
        controller.run(DONE)
    assert "What to do: " in str(caught.value)
    assert controller.sent == []


def test_a_right_shared_variable_is_taken(controller: Controller) -> None:
    controller.variables["monitoring_tls"] = trust_as_template("{{ 'selfsigned' }}")
    controller.run(DONE)
    assert controller.connection.worker_calls == 1


# --- remote calls ---


@pytest.mark.parametrize("check", [True, False])
def test_one_round_trip(controller: Controller, check: bool) -> None:
    result = controller.run(DONE, check=check)
    assert result["changed"] is False
    assert controller.connection.worker_calls == 1
    assert controller.connection.other_calls == []
    assert controller.connection.transfers == []


# --- what the preflight of the run has seen ---


HOST = "app1"


@pytest.fixture
def seen(controller: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preflight saw that everything is as C(WISH) says."""
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    controller.run(DONE)
    sent = controller.sent.pop()
    desired, _contents = wanted({**{name: one.get("default") for name, one in ARGUMENT_SPEC.items()}, **sent})
    mark = fingerprint(desired, sent["release"]["programs"], sent["packages"])
    state = {"in_order": True, "fingerprint": mark, "generation": 3, "others": ["other"], "warnings": ["a file"]}
    state["architecture"] = "amd64"
    in_order.remember(HOST, {WISH["name"]: state, "other": state})
    controller.variables["inventory_hostname"] = HOST


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("check", [True, False])
def test_no_call_where_the_preflight_saw_what_is_wanted(controller: Controller, check: bool) -> None:
    result = controller.run(check=check)
    assert controller.connection.worker_calls == 0
    assert result == {**DONE, "others": ["other"], "warnings": ["a file"]}


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize(
    "wishes",
    [
        {"version": "1.2.4"},
        {"flags": {"debug": True}},
        {"unit": [{"Service": {"PrivateTmp": None}}]},
        {"files": []},
        {"files": [*WISH["files"][:1], {**WISH["files"][1], "content": "hunter3"}]},
        {"files": [*WISH["files"][:1], {**WISH["files"][1], "mode": "0600"}]},
        {"generations": 5},
        {"packages": ["app.service"]},
        {"release": {**WISH["release"], "programs": ["app", "apptool"]}},
        {"state": "absent"},
        {"release": UNPUBLISHED, "lock": "/nonexistent/releases.lock.yml"},
    ],
)
def test_whatever_else_is_wanted_asks_the_host(controller: Controller, wishes: dict[str, t.Any]) -> None:
    controller.run(DONE, **wishes)
    assert controller.connection.worker_calls == 1


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_checksum_of_this_architecture_is_still_learned(controller: Controller, arch: str) -> None:
    lock = controller.write("releases.lock.yml", f"{AMD64.replace('amd64', arch)}: {'b' * 64}\n")
    controller.run(DONE, release=UNPUBLISHED, lock=lock)
    assert controller.connection.worker_calls == (0 if arch == "amd64" else 1)


@pytest.mark.usefixtures("seen")
def test_what_was_seen_is_of_one_host(controller: Controller) -> None:
    controller.variables["inventory_hostname"] = "app2"
    controller.run(DONE)
    assert controller.connection.worker_calls == 1


@pytest.mark.usefixtures("seen")
def test_a_task_that_is_delegated_goes_by_what_was_seen_there(controller: Controller) -> None:
    controller.delegate_to = "app2"
    controller.variables["ansible_delegated_vars"] = {"app2": dict(controller.variables)}
    controller.run({**DONE, "changed": True})
    assert controller.connection.worker_calls == 1
    assert in_order.seen(HOST, WISH["name"]), "it is another host that has changed"
    controller.variables["inventory_hostname"], controller.delegate_to = "app2", HOST
    controller.run()
    assert controller.connection.worker_calls == 0


@pytest.mark.usefixtures("seen")
def test_what_was_seen_long_ago_is_not_believed(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.monotonic() + in_order.GOOD_FOR
    monkeypatch.setattr(in_order.time, "monotonic", lambda: later)
    controller.run(DONE)
    assert controller.connection.worker_calls == 1


FAILED = {"failed": True, "msg": "no"}


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize(
    ("answer", "check", "left"),
    [
        ({**DONE, "changed": True}, False, []),
        (FAILED, False, []),
        (DONE, False, ["other"]),
        ({**DONE, "changed": True}, True, ["other"]),
    ],
)
def test_a_change_on_the_host_ends_what_was_seen(
    controller: Controller, answer: dict[str, t.Any], check: bool, left: list[str]
) -> None:
    controller.run(answer, check=check, version="1.2.4")
    assert [name for name in (WISH["name"], "other") if in_order.seen(HOST, name)] == left


def test_what_was_started_is_a_fact_beside_those_of_the_worker(controller: Controller) -> None:
    answer = {**DONE, "changed": True, "effect": "restart", "ansible_facts": {"a": 1}}
    assert controller.run(answer)["ansible_facts"] == {"a": 1, "opswatch_started": True}


def make_mirror(folder: Path, sums: str = "") -> str:
    archive = folder / "mirror" / AMD64
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"archive")
    if sums:
        (archive.parent / "sha256sums.txt").write_text(f"{sums}  {archive.name}\n")
    return str(folder / "mirror")


WANTED = {"changed": False, "actions": [], "archive_wanted": {"path": AMD64, "checksums": "app/v1.2.3/sha256sums.txt"}}


def test_two_round_trips_and_a_transfer_when_an_archive_is_pushed(controller: Controller) -> None:
    mirror = make_mirror(controller.folder, "a" * 64)
    result = controller.run(WANTED, {**DONE, "changed": True}, mirror=mirror)
    connection = controller.connection
    assert result["changed"] is True
    assert "archive_wanted" not in result
    assert connection.worker_calls == 2
    assert connection.transfers == [f"{mirror}/{AMD64}"]
    assert len(connection.other_calls) == 2, "a folder for the archive, and its removal"
    first, second = controller.sent
    assert "archive" not in first["release"]
    assert os.path.basename(second["release"]["archive"]) == os.path.basename(AMD64)
    assert second["release"]["checksums"]["amd64"] == "a" * 64
    assert not os.path.exists(second["release"]["archive"])


def test_archive_is_pushed_without_pipelining_too(controller: Controller) -> None:
    controller.variables["ansible_pipelining"] = False
    mirror = make_mirror(controller.folder, "a" * 64)
    controller.run(WANTED, {**DONE, "changed": True}, mirror=mirror)
    assert controller.connection.worker_calls == 2
    assert f"{mirror}/{AMD64}" in controller.connection.transfers
    assert os.listdir(controller.folder / "remote") == []


def test_what_was_put_right_before_the_push_is_told_too(controller: Controller) -> None:
    first = {**WANTED, "changed": True, "actions": ["repaired the link"]}
    second = {**DONE, "changed": True, "actions": ["installed release 1.2.3"]}
    result = controller.run(first, second, mirror=make_mirror(controller.folder, "a" * 64))
    assert result["actions"] == ["repaired the link", "installed release 1.2.3"]


@pytest.mark.parametrize("failed", [False, True])
def test_checksum_that_upstream_does_not_publish_is_recorded(controller: Controller, failed: bool) -> None:
    """Also by a run that failed later, as the release is there from now on."""
    lock = controller.folder / "releases.lock.yml"
    answer = {**DONE, **LEARNED, **({"failed": True, "msg": "no"} if failed else {})}
    result = controller.run(answer, release=UNPUBLISHED, lock=str(lock))
    assert result["actions"] == [f"recorded the checksum of {AMD64} in {lock}"]
    assert "learned_checksum" not in result
    assert yaml.safe_load(lock.read_text()) == {AMD64: "b" * 64}
    sent = controller.sent[0]["release"]
    assert sent["unpublished"] is True
    assert sent["names"] == {"amd64": {"app": "app-amd64"}, "arm64": {"app": "app-arm64"}}

    controller.run(DONE, release=UNPUBLISHED, lock=str(lock))
    assert controller.sent[1]["release"]["checksums"] == {"amd64": "b" * 64}


def test_without_a_lock_nothing_can_be_recorded(controller: Controller) -> None:
    controller.run(DONE, release=UNPUBLISHED)
    assert controller.sent[0]["release"]["unpublished"] is False


def test_folder_mirror_with_nothing_to_install_pushes_nothing(controller: Controller) -> None:
    controller.run(DONE, mirror=make_mirror(controller.folder))
    assert (controller.connection.worker_calls, controller.connection.transfers) == (1, [])
    assert controller.sent[0]["release"]["base"] == "none"


def test_lock_is_stronger_than_the_checksum_file_beside_the_archive(controller: Controller) -> None:
    lock = controller.write("releases.lock.yml", f"{AMD64}: {'b' * 64}\n")
    controller.run(WANTED, DONE, mirror=make_mirror(controller.folder, "a" * 64), lock=lock)
    assert controller.sent[1]["release"]["checksums"]["amd64"] == "b" * 64


def test_mirror_that_lacks_the_archive(controller: Controller) -> None:
    with pytest.raises(AnsibleActionFail, match=r"The mirror lacks .*amd64\.tar\.gz"):
        controller.run(WANTED, mirror=str(controller.folder))
    assert controller.connection.transfers == []


def test_failed_push_leaves_nothing_on_the_host(controller: Controller) -> None:
    failed = {"failed": True, "msg": "no space left"}
    result = controller.run(WANTED, failed, mirror=make_mirror(controller.folder, "a" * 64))
    assert result["failed"] is True
    assert not os.path.exists(controller.sent[1]["release"]["archive"])


# --- what is sent ---


def test_description_becomes_text(controller: Controller) -> None:
    files = controller.files()
    assert files["config/app.yml"].endswith("\nzebra: 1\napple: ä\n")
    assert files["secret/token"] == "hunter2"
    sent = controller.sent[-1]
    assert sent["flag_check"] == ["--web.listen-address=0.0.0.0:9100", "--no-debug", "--version"]
    unit = decoded(sent["unit"])
    assert "ExecStart=/usr/local/bin/app --web.listen-address=0.0.0.0:9100 --no-debug\n" in unit
    assert sent["release"]["base"] == "https://github.com"
    assert sent["release"]["paths"]["amd64"] == AMD64
    assert (sent["can_reload"], sent["ready"]) == (False, None)


def test_unit_layers_and_reload(controller: Controller) -> None:
    controller.run(
        DONE, unit=[{"Service": {"ExecReload": "/bin/kill -HUP $MAINPID"}}, {"Service": {"PrivateTmp": None}}]
    )
    assert controller.sent[-1]["can_reload"] is True
    assert "PrivateTmp" not in decoded(controller.sent[-1]["unit"])


@pytest.mark.parametrize(
    ("ready", "base"),
    [
        ({"address": "0.0.0.0:9090"}, "http://127.0.0.1:9090"),
        ({"address": "10.0.0.1:9090", "scheme": "https"}, "https://10.0.0.1:9090"),
        ({"address": "[::]:9090", "prefix": "/prom/"}, "http://[::1]:9090/prom"),
    ],
)
def test_ready_address(controller: Controller, ready: dict[str, str], base: str) -> None:
    controller.run(DONE, ready=ready)
    assert controller.sent[-1]["ready"]["base"] == base


def test_absent_renders_no_file(controller: Controller) -> None:
    missing = [{"path": "app.yml", "template": "missing.j2"}]
    controller.run(DONE, state="absent", files=missing)
    assert controller.sent[-1]["files"] == []
    assert controller.sent[-1]["state"] == "absent"


# --- templates and files ---


def test_template(controller: Controller) -> None:
    controller.variables["level"] = "debug"
    controller.write("templates/app.j2", "{% if level %}\nlevel: {{ level }}\n{% endif %}\nexpr: '\\d+'\n")
    files = controller.files(files=[{"path": "app.yml", "template": "app.j2"}])
    assert files == {"config/app.yml": "level: debug\nexpr: '\\d+'\n"}


def test_template_with_settings_over_it(controller: Controller) -> None:
    controller.write("templates/app.j2", "a: {{ 1 }}\nb: {c: 2}\n")
    file = {"path": "app.yml", "template": "app.j2", "merge": {"b": {"d": 3}}}
    text = controller.files(files=[file])["config/app.yml"]
    assert yaml.safe_load(text) == {"a": 1, "b": {"c": 2, "d": 3}}


@pytest.mark.parametrize("text", ["{{ {'a': 1} }}", "{{ [1, 2] }}", "{{ 42 }}", "{{ true }}"])
def test_template_that_gives_no_text(controller: Controller, text: str) -> None:
    controller.write("templates/app.j2", text)
    with pytest.raises(AnsibleActionFail, match=r"templates/app\.j2 gave a \w+ and not a text\. What to do"):
        controller.run(DONE, files=[{"path": "app.yml", "template": "app.j2"}])


def test_template_that_uses_what_is_undefined(controller: Controller) -> None:
    controller.write("templates/app.j2", "a: {{ no_such_variable }}\n")
    with pytest.raises(AnsibleError, match="no_such_variable"):
        controller.run(DONE, files=[{"path": "app.yml", "template": "app.j2"}])


@pytest.mark.parametrize("file", [{"template": "missing.j2"}, {"copy": ["missing.yml"]}])
def test_source_that_is_missing(controller: Controller, file: dict[str, t.Any]) -> None:
    with pytest.raises(AnsibleError, match="missing"):
        controller.run(DONE, files=[{"path": "app.yml", **file}])


ALERTS = "summary: '{{ $labels.instance }} is down, {{ undefined_here }} {% raw %}'\n"


def test_copied_files_are_never_templates(controller: Controller) -> None:
    controller.write("files/alerts.yml", ALERTS)
    absolute = controller.write("elsewhere/more.yml", ALERTS)
    files = controller.files(files=[{"path": "rules/", "copy": ["alerts.yml", absolute]}])
    assert files == {"config/rules/alerts.yml": ALERTS, "config/rules/more.yml": ALERTS}


def test_several_contents(controller: Controller) -> None:
    contents = {"a.yml": [{"targets": ["x:1"]}], "password": "p\n"}
    files = controller.files(files=[{"path": "", "place": "live", "contents": contents}])
    assert files["live/password"] == "p\n"
    assert yaml.safe_load(files["live/a.yml"]) == [{"targets": ["x:1"]}]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param([{"path": "a", "content": "1"}, {"path": "a", "content": "2"}], id="stated twice"),
        pytest.param([{"path": "r/", "copy": ["one/a", "two/a"]}], id="copied from two folders"),
    ],
)
def test_two_files_of_one_name(controller: Controller, files: list[dict[str, t.Any]]) -> None:
    for name in ("one/a", "two/a"):
        controller.write(f"files/{name}", "x")
    with pytest.raises(AnsibleActionFail, match=r"Two files have the same name: config/(r/)?a\."):
        controller.run(DONE, files=files)


def test_same_name_in_two_places_is_fine(controller: Controller) -> None:
    files = [{"path": "a", "content": "1"}, {"path": "a", "place": "secret", "content": "2"}]
    assert controller.files(files=files) == {"config/a": "1", "secret/a": "2"}


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        pytest.param({"files": [{"path": "a"}]}, "one of the following is required", id="no content"),
        pytest.param({"files": [{"path": "a", "content": "x", "template": "y"}]}, "mutually exclusive", id="two"),
        pytest.param({"state": "started"}, "state", id="unknown state"),
        pytest.param({"flag": {}}, "flag", id="unknown option"),
        pytest.param({"flags": {"a b": 1}}, "is not the name of a flag", id="bad flag"),
        pytest.param({"ready": {"address": "9090"}}, "is not an address to listen on", id="bad address"),
    ],
)
def test_wrong_arguments_reach_no_host(controller: Controller, wishes: dict[str, t.Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        controller.run(DONE, **wishes)
    assert controller.sent == []


# --- results ---

CHANGED = {
    **DONE,
    "changed": True,
    "changed_files": [["config", "app.yml", True], ["secret", "token", True], ["live", "a.yml", False]],
    "removed_files": [["config", "old.yml"], ["secret", "old_token"]],
    "version_before": "1.2.2",
    "before": [
        {"place": "config", "path": "app.yml", "content": packed("zebra: 0\npassword: hunter0\n")},
        {"place": "config", "path": "old.yml", "content": packed("old: 1\n")},
        {"place": "unit", "path": "zz_unit_test.service", "content": packed("[Service]\nOld=1\n")},
    ],
    "invocation": {"module_args": {"files": [{"content": "hunter2"}]}},
}
FILES = [*WISH["files"], {"path": "a.yml", "place": "live", "content": [{"targets": ["x:1"]}]}]


def test_diff_shows_files_unit_and_version(controller: Controller) -> None:
    result = controller.run(CHANGED, diff=True, files=FILES)
    diffs = {(entry["before_header"], entry["after_header"]): entry for entry in result["diff"]}
    etc, unit = "/etc/zz_unit_test", "/etc/systemd/system/zz_unit_test.service"
    assert set(diffs) == {
        ("zz_unit_test release", "zz_unit_test release"),
        (f"{etc}/app.yml", f"{etc}/app.yml"),
        (f"{etc}/secrets/token", f"{etc}/secrets/token"),
        (f"{etc}/live/a.yml (does not exist)", f"{etc}/live/a.yml"),
        (f"{etc}/old.yml", f"{etc}/old.yml (removed)"),
        (f"{etc}/secrets/old_token", f"{etc}/secrets/old_token (removed)"),
        (unit, unit),
    }
    release = diffs["zz_unit_test release", "zz_unit_test release"]
    assert (release["before"], release["after"]) == ("1.2.2\n", "1.2.3\n")
    config = diffs[f"{etc}/app.yml", f"{etc}/app.yml"]
    assert "zebra: 0\n" in config["before"]
    assert "zebra: 1\n" in config["after"]
    assert "Old=1\n" in diffs[unit, unit]["before"]
    assert "ExecStart=" in diffs[unit, unit]["after"]
    token = diffs[f"{etc}/secrets/token", f"{etc}/secrets/token"]
    assert (token["before"], token["after"]) == ("(secret)\n", "(secret, new)\n")
    old_token = diffs[f"{etc}/secrets/old_token", f"{etc}/secrets/old_token (removed)"]
    assert (old_token["before"], old_token["after"]) == ("(not shown)\n", "")
    assert diffs[f"{etc}/old.yml", f"{etc}/old.yml (removed)"]["before"] == "old: 1\n"


@pytest.mark.parametrize("diff", [True, False])
def test_result_tells_no_secret(controller: Controller, diff: bool) -> None:
    result = controller.run(
        CHANGED, diff=diff, files=FILES, ready={"address": ":1", "user": "u", "password": "hunter3"}
    )
    text = json.dumps(result)
    assert "hunter" not in text
    assert encoded("hunter2") not in text
    assert packed("hunter2") not in text
    assert CHANGED["before"][0]["content"] not in text
    assert not set(result) & {"before", "invocation", "changed_files", "removed_files"}


def test_no_diff_without_a_change(controller: Controller) -> None:
    unchanged = {**CHANGED, "changed": False, "changed_files": [], "removed_files": [], "version_before": "1.2.3"}
    assert "diff" not in controller.run(unchanged, diff=True)
    assert "diff" not in controller.run(CHANGED, files=FILES)


def test_diff_on_an_empty_host(controller: Controller) -> None:
    first = {
        **CHANGED,
        "changed_files": [["config", "app.yml", False], ["secret", "token", False]],
        "removed_files": [],
        "version_before": "",
        "before": [],
    }
    result = controller.run(first, diff=True, check=True)
    headers = [entry["before_header"] for entry in result["diff"]]
    assert headers == [
        "zz_unit_test release",
        "/etc/zz_unit_test/app.yml (does not exist)",
        "/etc/zz_unit_test/secrets/token (does not exist)",
        "/etc/systemd/system/zz_unit_test.service (does not exist)",
    ]
    assert [entry["before"] for entry in result["diff"]] == ["none\n", "", "", ""]
    token = result["diff"][2]
    assert (token["after_header"], token["after"]) == ("/etc/zz_unit_test/secrets/token", "(secret, new)\n")


@pytest.mark.parametrize(
    ("existed", "header", "before"),
    [(True, "", "(secret)\n"), (False, " (does not exist)", "")],
)
def test_diff_of_a_secret(controller: Controller, existed: bool, header: str, before: str) -> None:
    """It tells whether there was one, and that there is another; nothing of either."""
    changed = {
        **CHANGED,
        "changed_files": [["secret", "token", existed]],
        "removed_files": [],
        "version_before": "1.2.3",
        "before": [],
    }
    first, _unit = controller.run(changed, diff=True)["diff"]
    path = "/etc/zz_unit_test/secrets/token"
    assert first == {
        "before_header": f"{path}{header}",
        "before": before,
        "after_header": path,
        "after": "(secret, new)\n",
    }
    assert first["before"] != first["after"]  # else Ansible shows no diff at all


@pytest.mark.parametrize("text", ["", "ä ✓\n", "a: 1\n" * 9999])
def test_earlier_content_comes_through(controller: Controller, text: str) -> None:
    entry = {"place": "config", "path": "old.yml", "content": packed(text)}
    gone = {**CHANGED, "changed_files": [], "removed_files": [["config", "old.yml"]], "before": [entry]}
    diffs = {entry["before_header"]: entry for entry in controller.run(gone, diff=True)["diff"]}
    assert diffs["/etc/zz_unit_test/old.yml"]["before"] == text


def test_diff_of_a_removal(controller: Controller) -> None:
    removed = [["config", "app.yml"]]
    gone = {**CHANGED, "changed_files": [], "removed_files": removed, "version_before": "1.2.3"}
    result = controller.run(gone, diff=True, state="absent")
    assert [entry["after_header"] for entry in result["diff"]] == [
        "/etc/zz_unit_test/app.yml (removed)",
        "/etc/systemd/system/zz_unit_test.service (removed)",
    ]


def test_failure_comes_through(controller: Controller) -> None:
    failed = {"failed": True, "msg": "`promtool` refuses it", "actions": ["wrote app.yml"]}
    result = controller.run(failed, diff=True)
    assert (result["failed"], result["msg"], result["actions"]) == (True, "`promtool` refuses it", ["wrote app.yml"])


# --- the worker itself ---


@pytest.fixture
def _scratch_systemctl(systemd: t.Any) -> t.Any:
    return systemd


def named_in(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if "zz_unit_test" in name] if os.path.isdir(folder) else []


@pytest.mark.skipif(os.geteuid() != 0, reason="the worker wants to be root")
@pytest.mark.usefixtures("_scratch_systemctl")
@pytest.mark.parametrize("pipelining", [True, False])
def test_worker_in_check_mode(controller: Controller, pipelining: bool) -> None:
    """Over the real local connection, on this very machine, of which it changes nothing."""
    controller.variables["ansible_pipelining"] = pipelining
    result = controller.run(check=True, diff=True)
    assert result.get("failed") is None, result
    assert result["changed"] is True
    assert result["generation"] == 1
    assert result["actions"] == [
        "would create the account zz_unit_test",
        "would install release 1.2.3",
        "would write app.yml, zz_unit_test.service",
        "would check the flags with app",
        "would update secrets/token",
        "would activate generation 1",
        "would enable zz_unit_test.service",
        "would start zz_unit_test.service",
        "would prove that zz_unit_test is ready",
        "would commit generation 1",
    ]
    assert "hunter2" not in json.dumps(result)
    assert [(entry["before_header"], entry["after_header"]) for entry in result["diff"]] == [
        ("zz_unit_test release", "zz_unit_test release"),
        ("/etc/zz_unit_test/app.yml (does not exist)", "/etc/zz_unit_test/app.yml"),
        ("/etc/zz_unit_test/secrets/token (does not exist)", "/etc/zz_unit_test/secrets/token"),
        (
            "/etc/systemd/system/zz_unit_test.service (does not exist)",
            "/etc/systemd/system/zz_unit_test.service",
        ),
    ]
    assert controller.connection.worker_calls == 1
    if pipelining:
        assert controller.connection.other_calls == []
    for folder in ("/etc", "/etc/systemd/system", "/var/lib", "/var/lib/opswatch", "/opt/opswatch", "/run/lock"):
        assert named_in(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the worker wants to be root")
@pytest.mark.usefixtures("_scratch_systemctl")
def test_absent_worker_has_nothing_to_do(controller: Controller) -> None:
    result = controller.run(check=True, state="absent")
    assert (result["changed"], result["actions"]) == (False, [])
