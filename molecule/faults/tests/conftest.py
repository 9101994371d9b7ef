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
from typing import Any

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


@pytest.fixture
def spoilt_mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A mirror over HTTP on the bridge of the test hosts: (URL, the folder of the release in it)."""
    folder = tmp_path / "mirror"
    path = "prometheus/prometheus/releases/download/v3.5.3"
    shutil.copytree(scenario.mirror() / path, folder / path)
    gateway = scenario.gateway(HOST)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer((gateway, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{gateway}:{server.server_port}", folder / path
    server.shutdown()
    server.server_close()
