# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routines of the second day, on the real programs. In order: the mirror installs the host, without a network."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import scenario
from tests.testbed.scenario import Alertmanager, Prometheus, Run, playbook

HOST = "opswatch-day"


class Upstream(http.server.SimpleHTTPRequestHandler):
    """The testbed's archives by HTTP; it counts, and may be told to serve no more than some."""

    asked = 0
    limit = 1000

    def do_GET(self) -> None:
        if self.path.endswith((".gz", ".zip")):
            type(self).asked += 1
            if self.asked > self.limit:
                self.send_error(503)
                return
        super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        """Not into the output of the tests."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    handler = functools.partial(Upstream, directory=str(scenario.mirror()))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mirror")


def mirror(upstream: str, folder: Path, *arguments: str) -> Run:
    wish = {"mirror_dir": str(folder), "mirror_from": upstream, "mirror_architectures": "amd64"}
    return playbook("playbooks/mirror.yml", *arguments, variables=wish)


def site(folder: Path, **more: Any) -> Run:
    return playbook("site.yml", variables={"monitoring_mirror": str(folder), **more})


def test_mirror_says_what_it_would_fetch(upstream: str, folder: Path) -> None:
    done = mirror(upstream, folder, "--check")
    assert done.rc == 0
    assert "would fetch prometheus 3.5.3 amd64: it is not there" in done.said
    assert "The whole stack is in" not in done.said
    assert list(folder.iterdir()) == []


def test_mirror_that_breaks_off_goes_on(upstream: str, folder: Path) -> None:
    Upstream.limit = 2
    done = mirror(upstream, folder)
    assert done.rc != 0
    assert "could not be fetched: HTTP Error 503" in done.said
    kept = sorted(path.name for path in folder.rglob("*.tar.gz"))
    assert len(kept) == 2
    Upstream.limit, Upstream.asked = 1000, 0
    done = mirror(upstream, folder)
    assert done.rc == 0
    assert Upstream.asked == 2  # the other two
    assert "fetched prometheus 3.5.3 amd64" in done.said
    assert "The whole stack is in" in done.said


def test_mirror_that_is_complete_asks_nobody(upstream: str, folder: Path) -> None:
    Upstream.asked = 0
    done = mirror(upstream, folder)
    assert done.rc == 0
    assert "changed=0" in done.output
    assert Upstream.asked == 0


def test_whole_stack_is_installed_without_a_network(folder: Path) -> None:
    """The host has nothing but its loopback meanwhile; Ansible reaches it through Docker."""
    client_network = scenario.docker.from_env().networks.get("opswatch")
    client_network.disconnect(HOST)
    try:
        assert scenario.host(HOST).run("ip -o -4 addr show scope global").stdout == ""
        done = site(folder)
    finally:
        client_network.connect(HOST)
    assert done.rc == 0
    scenario.wait_for("Prometheus answers", lambda: Prometheus(HOST).get("/-/ready").status_code == 200)


def reload(*arguments: str, **variables: Any) -> Run:
    return playbook("playbooks/reload.yml", *arguments, variables=variables)


def test_nothing_is_reloaded_without_a_change(folder: Path) -> None:
    done = reload()
    assert done.rc == 0
    assert "nothing to reload: everything has read its configuration as it is" in done.said
    assert "changed=0" in done.output


def test_what_somebody_changed_is_reloaded_and_proved(folder: Path) -> None:
    host = scenario.host(HOST)
    host.check_output("sed -i 's/scrape_interval: 15s/scrape_interval: 14s/' /etc/prometheus/prometheus.yml")
    predicted = reload("--check")
    assert "would reload prometheus (prometheus.yml changed)" in predicted.said
    done = reload()
    assert done.rc == 0
    assert "reloaded prometheus (prometheus.yml changed): it read its configuration at" in done.said
    assert "reloaded alertmanager" not in done.said
    assert "Somebody has edited prometheus.yml of prometheus" in done.said
    assert "scrape_interval: 14s" in Prometheus(HOST).get("/api/v1/status/config").json()["data"]["yaml"]


def test_all_are_reloaded_when_asked(folder: Path) -> None:
    done = reload(reload_all=True)
    assert done.rc == 0
    for name in ("prometheus", "alertmanager", "blackbox_exporter"):
        assert f"reloaded {name} (as asked for)" in done.said


def test_refusal_is_told_in_the_servers_own_words(folder: Path) -> None:
    host = scenario.host(HOST)
    host.check_output("sed -i 's/scrape_interval: 14s/scrape_interval: never/' /etc/prometheus/prometheus.yml")
    done = reload()
    assert done.rc != 0
    assert r"not a valid duration string: \"never\"" in done.said
    assert "prometheus goes on with what it read at" in done.said
    assert "scrape_interval: 14s" in Prometheus(HOST).get("/api/v1/status/config").json()["data"]["yaml"]
    assert site(folder).rc == 0  # puts it right


def silences() -> list[dict[str, Any]]:
    listed = Alertmanager(HOST).get("/api/v2/silences").json()
    return [one for one in listed if one["status"]["state"] == "active"]


def silence(*arguments: str, **variables: Any) -> Run:
    wish = {"silence_host": HOST, "silence_comment": "new kernel", **variables}
    return playbook("playbooks/silence.yml", *arguments, variables=wish)


def test_silence_is_made_extended_and_ended() -> None:
    assert "changed=1" in silence("--check").output
    assert silences() == []
    assert "changed=1" in silence().output
    (first,) = silences()
    assert first["comment"] == "new kernel"
    assert [one["value"] for one in first["matchers"]] == [HOST]
    assert "changed=0" in silence().output
    assert "changed=1" in silence(silence_for="5h").output
    (longer,) = silences()
    assert longer["endsAt"] > first["endsAt"]
    assert "changed=1" in silence(silence_state="absent").output
    assert silences() == []
    assert "changed=0" in silence(silence_state="absent").output


def test_misspelt_host_is_not_silenced() -> None:
    done = silence(silence_host="opswatch-dai")
    assert done.rc != 0
    assert HOST in done.said  # did you mean
    assert "filter plugin" not in done.said
    assert silences() == []
