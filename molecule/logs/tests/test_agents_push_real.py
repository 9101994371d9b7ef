# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Loki that the inventory does not have, by its address: how real agents log in there, and what is seen of it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.testbed import scenario
from tests.testbed.log_lines import path_of
from tests.testbed.scenario import LOG_AGENTS, append, wait_for

pytestmark = pytest.mark.usefixtures("real")

PASSWORD = "p@ss: word"


@contextmanager
def pushing(agent: str, *to: Any) -> Iterator[scenario.Run]:
    """To these in place of the inventory's Loki, for a while."""
    run = scenario.playbook("site.yml", "--diff", "-vv", "--tags", agent, variables={"monitoring_logs_push": list(to)})
    assert run.rc == 0, run.said
    try:
        yield run
    finally:
        assert scenario.playbook("site.yml", "--tags", agent).rc == 0


@pytest.fixture
def foreign() -> Iterator[tuple[str, list[Any]]]:
    """Something on this machine that takes what is pushed: its address, and the headers of what came."""
    came: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            came.append(self.headers)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer((scenario.gateway("opswatch-logs"), 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{server.server_address[0]}:{server.server_port}", came
    server.shutdown()
    server.server_close()


def test_login_and_tenant(agent, service, foreign):
    url, came = foreign
    name = LOG_AGENTS[agent]
    with pushing(agent, {"url": url, "user": "shop", "password": PASSWORD, "tenant": "web"}) as run:
        append(name, path_of(service), "arrives")
        wait_for("it is pushed", lambda: came)
        seen = scenario.host(name).check_output(
            f"cat /etc/{agent}/*.* /etc/systemd/system/{agent}.service; journalctl -u {agent} --no-pager;"
            f"cat /proc/$(systemctl show -PMainPID {agent})/cmdline | tr '\\0' ' '"
        )
        modes = scenario.host(name).check_output(f"stat -Lc '%a %U:%G' /etc/{agent}/secrets/push1_password")
    login = base64.b64encode(f"shop:{PASSWORD}".encode()).decode()
    assert came[0]["Authorization"] == f"Basic {login}"
    assert came[0]["X-Scope-OrgID"] == "web"
    assert PASSWORD not in seen
    assert login not in seen
    assert PASSWORD not in run.output
    assert modes == f"640 root:{agent}"


def test_our_own_loki_by_another_name(loki, agent, service):
    """As agents behind a load balancer have it: the host's certificate is shown, and the name is stated."""
    entry = {"url": f"https://{scenario.address(loki.name)}:3100", "certificate": True, "server_name": loki.name}
    with pushing(agent, entry):
        append(LOG_AGENTS[agent], path_of(service), "arrives")
        ((_stamp, text, _known),) = loki.expect(f'{{service="{service}"}}', 1)
    assert text == "arrives"
