# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The means of the fault tests: a proven generation, a watch on it, and a mirror that can be spoilt.

Of each kind of fault the most telling cases are in every run. What has the mark slow is more of that kind (and most of
the killing), and runs with ./dev test --all and ./dev test-real.
"""

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

    interval = "21s"  # of the good state that is in force, for all tests; none of them asks for it or for 22s itself

    def start(self, **extra: Any) -> subprocess.Popen[str]:
        base = {
            "monitoring_mirror": str(scenario.mirror()),
            "prometheus_version": "2.53.3",
            "prometheus_scrape_interval": Site.interval,
        }
        return scenario.start_playbook(PLAYBOOK, "-v", variables=base | extra)  # -v shows what was done, in words

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


# After a test that failed half-way, so that it takes no other one along.
CLEAN = """
systemctl disable --now prometheus; umount -R /opt/opswatch /var/lib/opswatch /etc/systemd/system
rm -rf /etc/prometheus* /etc/systemd/system/prometheus.service /usr/lib/systemd/system/prometheus.service \\
    /usr/local/bin/prom* /var/lib/opswatch /var/lib/prometheus /opt/opswatch
systemctl daemon-reload; systemctl reset-failed
"""


_good: list[scenario.InForce] = []  # what was in force when a good run had last made sure of it


@pytest.fixture(autouse=True)
def installed(site: Site, host: Any, in_force: Callable[[], scenario.InForce]) -> None:
    """A proven generation is in force before each test; where the last test left it untouched, no run is needed."""
    if host.run("test -e /var/lib/opswatch/prometheus/current").rc == 0 and [in_force()] == _good:
        return
    if site.run().rc != 0:
        host.run("sh -c %s", CLEAN)
        site.good()
    _good[:] = [in_force()]


@pytest.fixture
def renew(site: Site, in_force: Callable[[], scenario.InForce]) -> Callable[[], None]:
    """A good run that changes something. The next test begins with what it made, and needs no run back."""

    def change() -> None:
        interval = "22s" if Site.interval == "21s" else "21s"
        site.good(prometheus_scrape_interval=interval)
        Site.interval = interval  # only now: after a failure the earlier state is still the good one
        _good[:] = [in_force()]

    return change


@pytest.fixture
def watch(installed: None) -> scenario.Watch:
    return scenario.Watch(scenario.Prometheus(HOST))


@pytest.fixture
def in_force() -> Callable[[], scenario.InForce]:
    return functools.partial(scenario.in_force, HOST)


@pytest.fixture
def tampered(host: Any) -> Callable[..., dict[str, str]]:
    """Variables with which the worker runs under faults of sitecustomize.py, by their names."""
    script = Path(__file__).with_name("sitecustomize.py")
    host.check_output("mkdir -p /opt/faults")
    subprocess.run(["docker", "cp", str(script), f"{HOST}:/opt/faults/sitecustomize.py"], check=True)

    def interpreter(**faults: Any) -> dict[str, str]:
        settings = " ".join(f"{name}={value}" for name, value in faults.items())
        text = f'#!/bin/sh\nexec env PYTHONPATH=/opt/faults {settings} /usr/bin/python3 "$@"\n'
        host.check_output("printf %%s %s > /opt/faults/python && chmod 755 /opt/faults/python", text)
        return {"ansible_python_interpreter": "/opt/faults/python"}

    return interpreter


class Mirror(NamedTuple):
    """A mirror over HTTP on the bridge of the test hosts, to be spoilt at will."""

    url: str
    root: Path
    release: Path
    asked: list[str]  # the paths of all requests
    spoilt: dict[str, Callable[[Any], None]]  # by the name of a file, what answers for it

    @property
    def archive(self) -> Path:
        return self.release / "prometheus-3.5.3.linux-amd64.tar.gz"


@pytest.fixture
def http_mirror(tmp_path: Path) -> Iterator[Mirror]:
    folder = tmp_path / "mirror"
    path = "prometheus/prometheus/releases/download/v3.5.3"
    # Without what no host here asks for. No links: tests write into the files.
    shutil.copytree(scenario.mirror() / path, folder / path, ignore=shutil.ignore_patterns("*arm64*"))
    asked: list[str] = []
    spoilt: dict[str, Callable[[Any], None]] = {}

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            asked.append(self.path)
            spoil = spoilt.get(self.path.rsplit("/")[-1])
            spoil(self) if spoil else super().do_GET()

        def log_message(self, *arguments: Any) -> None:
            pass

    gateway = scenario.gateway(HOST)
    server = http.server.ThreadingHTTPServer((gateway, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Mirror(f"http://{gateway}:{server.server_port}", folder, folder / path, asked, spoilt)
    server.shutdown()
    server.server_close()
