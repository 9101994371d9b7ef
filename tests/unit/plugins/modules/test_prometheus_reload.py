# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reloads of the real programs. Only systemd is a stand-in: its reload sends the signal of our units."""

from __future__ import annotations

import functools
import json
import os
import time
import typing as t
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins.module_utils._files import sha256
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.modules import prometheus_reload

from tests.testbed import programs

SYSTEMCTL = """#!/bin/sh
case $1 in
    show) cat @STATE@/shown ;;
    reload) echo reload >> @STATE@/calls; [ -e @STATE@/deaf ] || kill -HUP "$(cat @STATE@/pid)" ;;
esac
"""
PROMETHEUS = "global: {scrape_interval: 1h}\nrule_files: [rules/*.yml]\n"
ALERTMANAGER = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\ntemplates: [templates/*.tmpl]\n"
BLACKBOX = "modules: {http_2xx: {prober: http}}\n"
RULE = "groups: [{name: ours, rules: [{record: one, expr: '1'}]}]\n"
# name, its configuration, how it is reloaded, the text that breaks it, words of its refusal
KINDS = {
    "prometheus": (PROMETHEUS, "signal", "global: {scrape_interval: never}\n", "not a valid duration string"),
    "alertmanager": (ALERTMANAGER, "http", "route: {receiver: gone}\n", 'undefined receiver "gone"'),
    "blackbox_exporter": (BLACKBOX, "http", "modules: {x: {no_such: y}}\n", "field no_such not found"),
}


class Program:
    """A program that runs as a unit would, with its generation below a scratch root."""

    def __init__(self, name: str, binary: Path, folder: Path) -> None:
        self.name, self.binary = name, binary
        self.config, self.how, self.broken, self.refusal = KINDS[name]
        self.layout = Layout(name, str(folder / "root"))
        self.state, self.port = folder / "state", programs.free_port()
        self.folder = Path(self.layout.generation(1), "config")
        self.folder.mkdir(parents=True)
        self.file = self.folder / f"{name.split('_')[0]}.yml"
        self.file.write_text(self.config)
        for sub in ("rules", "templates"):
            (self.folder / sub).mkdir()
        os.symlink("generations/1", self.layout.current)
        os.makedirs(os.path.dirname(self.layout.etc))
        os.symlink(f"{self.layout.current}/config", self.layout.etc)
        self.url = f"http://127.0.0.1:{self.port}"
        self.note(self.config)
        self.running = ExitStack()
        (self.state / "bin").mkdir(parents=True)
        for command, script in {"systemctl": SYSTEMCTL, "journalctl": "#!/bin/sh\ncat @STATE@/log\n"}.items():
            (self.state / "bin" / command).write_text(script.replace("@STATE@", str(self.state)))
            (self.state / "bin" / command).chmod(0o755)

    def note(self, text: str) -> None:
        """The manifest, as a run of the role writes it."""
        manifest = {
            "version": "1",
            "unit": "",
            "committed": True,
            "files": [{"place": "config", "path": self.file.name, "sha256": sha256(text.encode())}],
            "ready": {"base": self.url, "path": "/-/ready", "user": "", "password": ""},
        }
        Path(self.layout.generation(1), "manifest.json").write_text(json.dumps(manifest))

    def start(self) -> None:
        flags = [f"--config.file={self.file}", f"--web.listen-address=127.0.0.1:{self.port}"]
        if self.name == "prometheus":
            flags.append(f"--storage.tsdb.path={self.state}/data")
        elif self.name == "alertmanager":
            flags += [f"--storage.path={self.state}/data", "--cluster.listen-address="]
        process = self.running.enter_context(programs.running(self.binary, *flags, port=self.port, cwd=self.state))
        while not self.answers():  # it listens before it has read its configuration
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.05)  # the kernel stamps files by a coarser clock: what is written now is to be later than the load
        (self.state / "pid").write_text(str(process.pid))
        shown = {
            "ActiveState": "active",
            "SubState": "running",
            "MainPID": process.pid,
            "NRestarts": 0,
            "ExecMainStartTimestampMonotonic": int(time.monotonic() * 1e6),
            "Result": "success",
        }
        (self.state / "shown").write_text("".join(f"{key}={value}\n" for key, value in shown.items()))

    def answers(self) -> bool:
        path = "/-/healthy" if self.name == "blackbox_exporter" else "/-/ready"
        return requests.get(self.url + path, timeout=30).status_code == 200


class Module:
    """Runs the module as Ansible does on the host, in this process."""

    def __init__(self, program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.program, self.capsys = program, capsys
        self.warnings: list[str] = []
        monkeypatch.setattr(prometheus_reload, "Layout", functools.partial(Layout, root=program.layout.root))
        monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: self.warnings.append(text))
        monkeypatch.setenv("PATH", f"{program.state}/bin:{os.environ['PATH']}")

    def __call__(self, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        arguments = {"name": self.program.name, "how": self.program.how, "timeout": 10, **options}
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            prometheus_reload.main()
        return dict(json.loads(self.capsys.readouterr().out))


RUNS = [
    (name, version)
    for name in KINDS
    for version in dict.fromkeys((programs.versions(name)[0], programs.versions(name)[-1]))
]


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> t.Callable[[str, str], Path]:
    """Unpacks a program once."""
    folder = tmp_path_factory.mktemp("programs")
    return functools.cache(lambda name, version: programs.unpack(name, version, folder) / name)


@pytest.fixture(params=RUNS, ids="-".join)
def program(
    request: pytest.FixtureRequest, binary: t.Callable[[str, str], Path], tmp_path: Path
) -> t.Iterator[Program]:
    name, version = request.param
    made = Program(name, binary(name, version), tmp_path)
    made.start()
    yield made
    made.running.close()


@pytest.fixture
def prometheus(binary: t.Callable[[str, str], Path], tmp_path: Path) -> t.Iterator[Program]:
    made = Program("prometheus", binary("prometheus", programs.versions("prometheus")[-1]), tmp_path)
    made.start()
    yield made
    made.running.close()


@pytest.fixture
def module(program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Module:
    return Module(program, capsys, monkeypatch)


@pytest.fixture
def reload(prometheus: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Module:
    return Module(prometheus, capsys, monkeypatch)


def test_only_what_changed_and_proven(program: Program, module: Module) -> None:
    first = module()
    assert (first["changed"], first["newer"], first["actions"]) == (False, [], [])

    # With the time that it had before, as a copy may give it back.
    before = program.file.stat()
    program.file.write_text(program.config + "# changed\n")
    os.utime(program.file, (before.st_atime, before.st_mtime))
    would = module(check=True)
    assert would["changed"]
    assert would["actions"] == [f"would reload {program.name} ({program.file.name} changed)"]
    assert module(check=True)["newer"] == [program.file.name], "check mode reloaded it"

    done = module()
    assert done["changed"]
    assert done["actions"][0].startswith(f"reloaded {program.name} ({program.file.name} changed): it read its conf")
    assert done["edited"] == [program.file.name]
    assert any(f"Somebody has edited {program.file.name}" in warning for warning in module.warnings)
    assert not module()["changed"]

    forced = module(force=True)
    assert forced["changed"]
    assert "(as asked for)" in forced["actions"][0]


def test_refusal_in_the_programs_own_words(program: Program, module: Module) -> None:
    program.file.write_text(program.broken)
    for attempt in ("first", "again"):
        begun = time.monotonic()
        done = module(timeout=60)
        assert done["failed"], attempt
        assert program.refusal in done["msg"], attempt
        assert f"{program.name} goes on with what it read at 20" in done["msg"], attempt
        assert time.monotonic() - begun < 30, f"{attempt}: it waited though the refusal was there"
    os.truncate(program.state / "log", 0)  # the journal would be asked for what comes from now on
    program.file.write_text(program.config)
    assert module()["changed"]
    assert not module()["changed"]


def test_rules_that_come_and_go(prometheus: Program, reload: Module) -> None:
    (prometheus.folder / "rules/ours.yml").write_text(RULE)
    assert reload()["newer"] == ["rules/ours.yml"]
    (prometheus.folder / "rules/ours.yml").unlink()
    assert reload()["newer"] == ["rules"]
    assert not reload()["changed"]


def test_switch_to_an_earlier_generation(prometheus: Program, reload: Module) -> None:
    """Whose files are older than the last reload."""
    layout = prometheus.layout
    os.rename(layout.generation(1), layout.generation(2))
    os.symlink("2", layout.generation(1))  # where the program looks
    os.unlink(layout.current)
    os.symlink("generations/2", layout.current)
    done = reload()
    assert done["newer"] == ["(the switch to generations/2)"]
    assert not reload()["changed"]


def test_files_that_a_reload_does_not_read(prometheus: Program, reload: Module) -> None:
    patterns = {"restart_files": ["*.tls"], "ignored_files": ["notes", "."]}
    for name in ("x.tls", "notes"):
        (prometheus.folder / name).touch()
    done = reload(**patterns)
    assert (done["changed"], done["unread"]) == (False, ["x.tls"])
    assert any("reads x.tls at its start alone" in warning for warning in reload.warnings)
    only = reload(how="restart", restart_files=["*.yml"], force=True)
    assert (only["changed"], only["unread"]) == (False, [])
    prometheus.file.touch()
    assert reload(how="restart", restart_files=["*.yml"])["unread"] == ["prometheus.yml"]


def test_program_without_metrics(prometheus: Program, reload: Module) -> None:
    """As Grafana: that it answers so is the proof, and when that was is noted."""
    # Prometheus takes this POST, and does not read anything.
    options = {"metrics": "", "how": "http", "http_paths": ["/api/v1/query?query=1"]}
    assert not reload(**options)["changed"]
    prometheus.file.touch()
    done = reload(**options)
    assert done["changed"]
    assert done["actions"][0].endswith("it answered so")
    assert not reload(**options)["changed"]


def test_signal_that_is_not_heard(prometheus: Program, reload: Module) -> None:
    (prometheus.state / "deaf").touch()
    done = reload(force=True, timeout=0.5)
    assert "prometheus.service did not take the new configuration within 0.5 s" in done["msg"]
    assert (
        "What to do: `journalctl -u prometheus.service -n 50` may say why. prometheus goes on with what it read at"
        in done["msg"]
    )


def test_http_without_the_lifecycle(prometheus: Program, reload: Module) -> None:
    done = reload(force=True, how="http")
    assert "/-/reload was answered with 403: Lifecycle API is not enabled" in done["msg"]
    assert "or reload it by signal" in done["msg"]


def test_one_that_does_not_run(prometheus: Program, reload: Module) -> None:
    (prometheus.state / "shown").write_text("ActiveState=failed\nSubState=failed\nResult=exit-code\n")
    assert "prometheus does not run, so there is nothing to reload" in reload()["msg"]


def test_killed_change(prometheus: Program, reload: Module) -> None:
    Path(prometheus.layout.journal).write_text("{}")
    done = reload(check=True)
    assert "a change of prometheus was killed on this host" in done["msg"]
    assert "run site.yml" in done["msg"]


def test_one_that_is_not_ours(prometheus: Program, reload: Module) -> None:
    os.unlink(prometheus.layout.current)
    assert "its address is not known" in reload()["msg"]
    done = reload(url=f"{prometheus.url}/", config=str(prometheus.folder))
    assert (done["changed"], done["edited"]) == (False, [])
    assert "/metrics was not answered" in reload(url="http://127.0.0.1:9", config=str(prometheus.folder))["msg"]
    assert "there is no configuration in /nowhere" in reload(url=prometheus.url, config="/nowhere")["msg"]
    other = reload(url=prometheus.url, config=str(prometheus.folder), metrics="loki")["msg"]
    assert "does not have loki_config_last_reload_success_timestamp_seconds" in other
