# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The means of the fault tests: a proven generation, a watch on it, and a mirror that can be spoilt."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.testbed import scenario

HOST = "opswatch-faults"
# The role alone, without the second look at the end of site.yml: the tests have eyes of their own.
PLAYBOOK = "molecule/faults/prometheus.yml"


class Site:
    """Runs of the role with some variables over the good ones."""

    def start(self, **extra: Any) -> subprocess.Popen[str]:
        base = {"monitoring_mirror": str(scenario.mirror()), "prometheus_version": "2.53.3"}
        return scenario.start_playbook(PLAYBOOK, variables=base | extra)

    def run(self, **extra: Any) -> scenario.Run:
        return scenario.finish(self.start(**extra))

    def good(self, **extra: Any) -> scenario.Run:
        run = self.run(**extra)
        assert run.rc == 0, run.output
        return run


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def host() -> Any:
    return scenario.host(HOST)


@pytest.fixture(autouse=True)
def installed(site: Site) -> None:
    """A proven generation is in force before each test."""
    site.good()


@pytest.fixture
def watch(installed: None) -> scenario.Watch:
    return scenario.Watch(scenario.Prometheus(HOST))


@pytest.fixture
def in_force() -> Callable[[], scenario.InForce]:
    return functools.partial(scenario.in_force, HOST)


class Mirror(NamedTuple):
    """A mirror over HTTP on the bridge of the test hosts, to be spoilt at will."""

    url: str
    root: Path
    release: Path
    asked: list[str]  # the paths of all requests

    @property
    def archive(self) -> Path:
        return self.release / "prometheus-3.5.3.linux-amd64.tar.gz"


@pytest.fixture
def http_mirror(tmp_path: Path) -> Iterator[Mirror]:
    folder = tmp_path / "mirror"
    path = "prometheus/prometheus/releases/download/v3.5.3"
    shutil.copytree(scenario.mirror() / path, folder / path)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments: Any) -> None:
            pass

    gateway = scenario.gateway(HOST)
    server = http.server.ThreadingHTTPServer((gateway, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Mirror(f"http://{gateway}:{server.server_port}", folder, folder / path, asked)
    server.shutdown()
    server.server_close()
