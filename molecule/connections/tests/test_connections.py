# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as others use it: built and installed, over ssh with sudo, without pipelining, on later cores."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.testbed import scenario
from tests.testbed.cores import VERSIONS
from tests.testbed.paths import ROOT

CONTROL, MANAGED, PYTHON39 = "opswatch-control", "opswatch-managed", "opswatch-python39"
INVENTORY = {
    "prometheus": {"hosts": {"managed": None}},
    "node_exporter": {"hosts": {"managed": None, "control": None}},
    "all": {
        "vars": {"monitoring_mirror": "/opt/mirror", "ansible_python_interpreter": "/usr/bin/python3"},
        "hosts": {
            "managed": {"ansible_host": MANAGED, "ansible_user": "deploy"},
            # The control node itself, over the local connection.
            "control": {"ansible_connection": "local", "monitoring_address": CONTROL},
        },
    },
}


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """A control node that has the collection installed, and a key for an account that may use sudo."""
    folder: Path = tmp_path_factory.mktemp("collection")
    build = ["ansible-galaxy", "collection", "build", "--output-path", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    (folder / "hosts.yml").write_text(yaml.safe_dump(INVENTORY))
    host, managed = scenario.host(CONTROL), scenario.host(MANAGED)
    host.check_output("mkdir -p /root/inventory")
    for name, target in ((archive, "/root/collection.tar.gz"), (folder / "hosts.yml", "/root/inventory/hosts.yml")):
        subprocess.run(["docker", "cp", str(name), f"{CONTROL}:{target}"], check=True)
    ansible(host, VERSIONS[-1], "galaxy collection install /root/collection.tar.gz --offline")
    key = host.check_output("test -f /root/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519;"
                            "cat /root/.ssh/id_ed25519.pub")  # fmt: skip
    managed.check_output(
        "id deploy >/dev/null 2>&1 || useradd -m deploy; mkdir -p -m 700 ~deploy/.ssh;"
        f"echo '{key}' > ~deploy/.ssh/authorized_keys; chown -R deploy: ~deploy/.ssh;"
        "echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy; systemctl start ssh"
    )
    return host


def ansible(host, version: str, words: str, **environment: str) -> str:
    """The output of an Ansible command on the control node; fails when it does."""
    settings = {"PYTHONPATH": f"/opt/cores/{version}", "ANSIBLE_HOST_KEY_CHECKING": "false", "HOME": "/root"}
    settings |= {"ANSIBLE_HOST_PATTERN_MISMATCH": "ignore"} | environment
    exports = " ".join(f"{name}={value}" for name, value in settings.items())
    done = host.run(f"cd /root && env {exports} python3 -m ansible {words} 2>&1")
    print(done.stdout)
    assert done.rc == 0, done.stdout
    assert "WARNING" not in done.stdout
    return str(done.stdout)


def changed(output: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


# In every run each core and each way to pass a module on; the other two pairs are slow.
@pytest.mark.parametrize(
    ("version", "pipelining"),
    [
        (VERSIONS[0], True),
        (VERSIONS[1], False),
        pytest.param(VERSIONS[0], False, marks=pytest.mark.slow),
        pytest.param(VERSIONS[1], True, marks=pytest.mark.slow),
    ],
)
def test_ssh_with_sudo_and_local(control, version, pipelining):
    """From an empty host: checked, installed, unchanged; archives are pushed by an account without rights."""
    site = "playbook -i inventory/hosts.yml opswatch.monitoring.site"
    settings = {"ANSIBLE_PIPELINING": str(pipelining)}
    managed = scenario.host(MANAGED)
    if managed.file("/etc/prometheus").exists:  # from the pair before
        remove = "-e prometheus_state=absent -e node_exporter_state=absent"
        ansible(control, version, f"{site} {remove}", **settings)
    assert set(changed(ansible(control, version, f"{site} --check --diff", **settings))) == {"managed", "control"}
    assert not managed.file("/etc/prometheus").exists
    first = changed(ansible(control, version, site, **settings))
    assert first == {"managed": 2, "control": 1}
    assert changed(ansible(control, version, site, **settings)) == {"managed": 0, "control": 0}
    assert managed.service("prometheus").is_running
    assert control.service("node_exporter").is_running
    assert control.run(f"ssh deploy@{MANAGED} 'ls -A ~/.ansible/tmp'").stdout == ""


def test_every_target_is_up(control):
    password = control.check_output("cat /root/inventory/secrets/monitoring_auth_password.txt")
    query = f"curl -s -u monitoring:{password} http://{MANAGED}:9090/api/v1/query?query=up"

    def up() -> list[str]:
        result = json.loads(control.check_output(query))["data"]["result"]
        return sorted(f"{one['metric']['job']} {one['metric']['instance']} {one['value'][1]}" for one in result)

    wanted = ["node_exporter control 1", "node_exporter managed 1", "prometheus managed 1"]
    scenario.wait_for("every target is up", lambda: up() == wanted)


def test_without_rights_it_says_so(control):
    """No become: a clear word instead of a traceback, and nothing is changed."""
    untouched = scenario.tree(MANAGED)
    done = control.run(
        "cd /root && env PYTHONPATH=/opt/cores/%s ANSIBLE_HOST_KEY_CHECKING=false python3 -m ansible playbook"
        " -i inventory/hosts.yml -e ansible_become=false --limit managed opswatch.monitoring.site 2>&1",
        VERSIONS[-1],
    )
    assert done.rc != 0
    assert "node_exporter can only be changed by root" in " ".join(done.stdout.split())
    assert "become: true" in " ".join(done.stdout.split())
    assert scenario.tree(MANAGED) == untouched


PROGRAM = """#!/usr/bin/python3
import http.server, sys
if sys.argv[-1] != "--version":
    http.server.test(http.server.SimpleHTTPRequestHandler, port=9555)
"""


# Debian 11 stands in for RHEL 9, which has the same Python and a later systemd. Nothing here needs more of systemd.
SYSTEMCTL = """#!/bin/sh
if [ "$1" = --version ]; then echo "systemd 252 (as RHEL 9 has it)"; else exec /bin/systemctl "$@"; fi
"""


def test_python_39_on_the_host(tmp_path):
    """The oldest Python of the targets; and a component of one's own. Debian's programs do not run on that host."""
    host = scenario.host(PYTHON39)
    host.check_output("printf %%s %s > /usr/local/sbin/systemctl; chmod +x /usr/local/sbin/systemctl", SYSTEMCTL)
    assert host.check_output("python3 -c 'import sys; print(sys.version_info[:2])'") == "(3, 9)"
    release = tmp_path / "echo/v1"
    release.mkdir(parents=True)
    (tmp_path / "echo_server").write_text(PROGRAM)
    (tmp_path / "echo_server").chmod(0o755)
    with tarfile.open(release / "echo.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "echo_server", "echo/echo_server")
    digest = hashlib.sha256((release / "echo.tar.gz").read_bytes()).hexdigest()
    (tmp_path / "releases.lock.yml").write_text(f"echo/v1/echo.tar.gz: {digest}\n")

    def run(text: str, *arguments: str) -> scenario.Run:
        variables = {"mirror": str(tmp_path), "text": text}
        return scenario.playbook("molecule/connections/python39.yml", *arguments, variables=variables)

    for text, arguments, changes in (("a", ["--check"], 1), ("a", [], 1), ("a", [], 0), ("b", ["--diff"], 1)):
        done = run(text, *arguments)
        assert done.rc == 0
        assert changed(done.output) == {PYTHON39: changes}
    assert scenario.in_force(PYTHON39, "echo_server").generation == 2
    assert host.service("echo_server").is_running
    broken = run('"broken')
    assert broken.rc != 0
    assert "(generation 2 is untouched)" in broken.said
