# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook doctor where no host answers: every look takes place, and the report has them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = """
all:
  vars: {{ansible_connection: ssh, ansible_ssh_executable: "{ssh}"{variables}}}
  children:
    prometheus: {{hosts: {{mon1: {{}}}}}}
    alertmanager: {{hosts: {{mon1: {{}}}}}}
    grafana: {{hosts: {{mon1: {{}}}}}}
    loki: {{hosts: {{mon1: {{}}}}}}
    alloy: {{hosts: {{mon1: {{}}}}}}
    node_exporter: {{hosts: {{mon1: {{}}, app1: {{}}}}}}
"""
PASSWORDS = ", monitoring_auth_password: a, monitoring_exporter_password: b, grafana_admin_password: c"
SERVERS = ("prometheus", "alertmanager", "loki", "grafana")
REFUSES = "#!/bin/sh\necho 'ssh: connect to host nowhere port 22: Connection refused' >&2\nexit 255\n"


class Run(t.NamedTuple):
    rc: int
    output: str
    folder: Path

    @property
    def report(self) -> dict[str, t.Any]:
        return dict(json.loads((self.folder / "doctor/doctor.json").read_text()))


def play(folder: Path, variables: str, *arguments: str) -> Run:
    (folder / "inventory").mkdir()
    ssh = folder / "ssh"
    ssh.write_text(REFUSES)
    ssh.chmod(0o755)
    hosts = folder / "inventory/hosts.yml"
    hosts.write_text(INVENTORY.format(ssh=ssh, variables=variables))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_HOME": str(folder / "ansible"), "NO_COLOR": "1"}
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", hosts, "playbooks/doctor.yml", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    return Run(done.returncode, done.stdout, hosts.parent)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return play(tmp_path_factory.mktemp("doctor"), PASSWORDS)


def test_it_fails_and_says_what_is_broken(run: Run) -> None:
    assert run.rc == 2, run.output
    assert "broken   mon1 cannot be reached from here" in run.output
    assert "Report: " in run.output


def test_a_host_that_is_away_ends_nothing(run: Run) -> None:
    found = {one["host"]: one for one in run.report["findings"]}
    assert set(found) == {"mon1", "app1"}, run.output
    assert {one["check"] for one in found.values()} == {"reached"}
    assert "Connection refused" in found["app1"]["evidence"]
    assert found["mon1"]["follows"].splitlines() == [f"mon1: {name} could not be asked" for name in SERVERS]
    assert run.report["summary"] == {"ok": 0, "warnings": 0, "broken": 2}


def test_nothing_is_made_but_the_report(run: Run) -> None:
    assert sorted(path.name for path in run.folder.iterdir()) == ["doctor", "hosts.yml"]


def test_where_no_password_is_known_it_makes_none(tmp_path: Path) -> None:
    run = play(tmp_path, "")
    (found,) = [one for one in run.report["findings"] if one["check"] == "access"]
    assert found["evidence"] == "This machine does not have the password, and the doctor makes none"
    assert [found["what"], *found["follows"].splitlines()] == [
        "prometheus could not be asked",
        "mon1: alertmanager could not be asked",
        "mon1: grafana could not be asked",
    ], run.output
    assert sorted(path.name for path in run.folder.iterdir()) == ["doctor", "hosts.yml"]


def test_a_state_that_cannot_be_resolved_leaves_the_report(tmp_path: Path) -> None:
    run = play(tmp_path, PASSWORDS + ', loki_state: "{{ of_nobody }}"')
    # A state is asked of all that a host runs, of all that is scraped, and of the service that is to be asked.
    (found,) = [one for one in run.report["findings"] if "of_nobody" in one["evidence"]]
    assert (found["check"], found["host"]) == ("access", "mon1"), run.output
    assert found["follows"].splitlines() == [
        "The inventory does not tell what Prometheus is to scrape",
        "mon1: loki could not be asked",
    ]
    # Its host was not found to be away, as it was not asked; the services were, and are.
    (away,) = [one for one in run.report["findings"] if one["check"] == "away"]
    assert away["fix"].endswith("see that the host runs")
    assert len(away["follows"].splitlines()) == 2


def test_variables_that_cannot_be_resolved_are_findings(tmp_path: Path) -> None:
    run = play(tmp_path, PASSWORDS + ', monitoring_services: "{{ of_nobody }}", grafana_admin_user: "{{ nowhere }}"')
    said = [one for one in run.report["findings"] if one["check"] in ("access", "inventory")]
    found = {one["component"]: one["evidence"] for one in said}
    assert set(found) == {"prometheus", "grafana"}, run.output
    assert "of_nobody" in found["prometheus"]
    assert "nowhere" in found["grafana"]


def test_a_look_that_fails_shows_no_secret(tmp_path: Path) -> None:
    """Nor the lines of the inventory that Ansible shows around what it cannot resolve."""
    told = ', grafana_admin_user: "{{ undef(hint=\'password=hunter2\') }}", loki_state: "{{ of_nobody }}"'
    run = play(tmp_path, PASSWORDS.replace(": a", ": hunter3") + told, "-vv")
    found = {one["component"]: one for one in run.report["findings"] if one["check"] == "access"}
    assert "password=***" in found["grafana"]["evidence"], run.output
    assert found["grafana"]["fix"].startswith("correct what is said")
    looks = run.output.partition("Doctor, ")[0]
    assert "password=***" in looks, "what a look found is shown by -v"
    assert "of_nobody" in looks
    assert "Origin: " not in looks
    assert not {secret for secret in ("hunter2", "hunter3") if secret in run.output}
