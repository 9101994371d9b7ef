# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two sides that are compared: their hosts, their inventories, and a playbook run with a stopwatch."""

import io
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from tests.testbed import hosts
from tests.testbed.console import Failure, run
from tests.testbed.demo import first_failure, tool
from tests.testbed.paths import DEV, HOST_FILES, ROOT

HERE = Path(__file__).parent
SCRATCH = DEV / "bench"
USER = "monitoring"
# Component -> port.
PORTS = {
    "prometheus": 9090,
    "alertmanager": 9093,
    "node_exporter": 9100,
    "postgres_exporter": 9187,
    "blackbox_exporter": 9115,
}
SERVERS = ("prometheus", "alertmanager")
FIRST_IMAGE = "opswatch/app:bookworm"  # with PostgreSQL
OTHER_IMAGE = "opswatch/host:trixie"
# Nothing listens there: no alert is waited for.
RECEIVER: dict[str, Any] = {
    "name": "mail",
    "email_configs": [
        {
            "to": "oncall@example.com",
            "from": "alerts@example.com",
            "smarthost": "127.0.0.1:2525",
            "require_tls": False,
        }
    ],
}
EMPTY = HERE / "empty.yml"
# Playbooks by side.
SIDES = {"ours": ROOT / "site.yml", "ordinary": HERE / "ordinary/site.yml"}


def placed(size: int) -> int:
    """Components on so many hosts: all of them on the first, node_exporter alone on the others."""
    return len(PORTS) + size - 1


@dataclass(frozen=True)
class Run:
    """What one ansible-playbook took and did."""

    seconds: float
    calls: int  # remote calls: every docker exec
    changed: Mapping[str, int]  # changed tasks by host


@dataclass(frozen=True)
class Passwords:
    """Made for one measurement and given to both sides."""

    server: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    exporter: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def variables(self) -> dict[str, str]:
        """The ordinary tasks get the hashes too: someone would keep them in a vault."""
        return {
            "monitoring_auth_user": USER,
            "monitoring_auth_password": self.server,
            "monitoring_exporter_password": self.exporter,
            "auth_password_hash": _hash(self.server),
            "exporter_password_hash": _hash(self.exporter),
        }


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()


@dataclass(frozen=True)
class Side:
    """One way to do the work, with hosts of its own."""

    name: str
    size: int
    passwords: Passwords
    components: Sequence[str] = tuple(PORTS)

    @property
    def nodes(self) -> dict[str, str]:
        """Name in the inventory (equal on both sides) -> name of the host."""
        return {f"node{number}": f"bench-{self.name}{number}" for number in range(1, self.size + 1)}

    @property
    def server(self) -> str:
        return next(iter(self.nodes.values()))

    def nodes_of(self, component: str) -> list[str]:
        first, *others = self.nodes
        return [first, *others] if component == "node_exporter" else [first]

    def password(self, component: str) -> str:
        return self.passwords.server if component in SERVERS else self.passwords.exporter

    @property
    def inventory(self) -> Path:
        return SCRATCH / f"{self.name}-{self.size}"

    def prepare(self, variables: Mapping[str, Any]) -> None:
        """Fresh hosts, and an inventory without secrets of an earlier run."""
        self.destroy()
        # One line for each host would hide the measurements.
        with redirect_stdout(io.StringIO()), ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(self._boot, self.nodes.values()))
        self.inventory.mkdir(parents=True, mode=0o700)
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "community.docker.docker",
                    "ansible_python_interpreter": "/usr/bin/python3",
                    "alertmanager_receivers": [RECEIVER],
                    **self.passwords.variables(),
                    **variables,
                },
                "hosts": {node: {"ansible_host": hosts.container_name(host)} for node, host in self.nodes.items()},
                "children": {
                    component: {"hosts": dict.fromkeys(self.nodes_of(component))} for component in self.components
                },
            }
        }
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def _boot(self, host: str) -> None:
        first = host == self.server
        booted = hosts.boot(host, FIRST_IMAGE if first else OTHER_IMAGE)
        if first and HOST_FILES.exists():
            hosts.put_files(booted, HOST_FILES)

    def destroy(self) -> None:
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(hosts.destroy, self.nodes.values()))
        shutil.rmtree(self.inventory, ignore_errors=True)

    def play(self, *arguments: str) -> Run:
        return self._run(SIDES[self.name], *arguments)

    def play_nothing(self) -> Run:
        return self._run(EMPTY)

    def _run(self, playbook: Path, *arguments: str) -> Run:
        calls = SCRATCH / "calls"
        calls.write_text("")
        client = shutil.which("docker")
        if client is None:
            raise Failure("there is no docker client", "start this with ./dev bench, which installs it")
        environment = os.environ | {
            "PATH": f"{HERE / 'bin'}:{os.environ['PATH']}",
            "BENCH_CALLS": str(calls),
            "BENCH_DOCKER": client,
            "ANSIBLE_NOCOLOR": "1",
        }
        begun = time.monotonic()
        output = run(
            [tool("ansible-playbook"), "-i", self.inventory, playbook, *arguments],
            log=f"bench-{self.name}-{self.size}",
            remedy="mend what the failed task says, then ./dev bench again",
            env=environment,
            excerpt=first_failure,
        )
        seconds = time.monotonic() - begun
        recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)
        changed = {node: int(count) for node, count in recap}
        return Run(seconds, calls.read_text().split().count("exec"), changed)
