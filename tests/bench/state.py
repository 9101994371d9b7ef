# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in force on a side's hosts, asked of the programs: a comparison of unequal results says nothing."""

import time
from dataclasses import dataclass
from typing import Any

import requests
import yaml

from tests.testbed import hosts
from tests.testbed.console import Failure

from .sides import USER, Side


@dataclass(frozen=True)
class State:
    """Equal on both sides, or one of them has done something else."""

    version: str
    retention: str
    scrape_interval: str
    job_intervals: tuple[tuple[str, str], ...]
    targets_up: frozenset[tuple[str, str]]  # job and instance


class Server:
    """The Prometheus of a side."""

    def __init__(self, side: Side) -> None:
        self.url = f"http://{hosts.address(side.server)}:9090"
        self.auth = (USER, side.passwords.server)

    def get(self, path: str) -> requests.Response:
        answer = requests.get(self.url + path, auth=self.auth, timeout=5)
        answer.raise_for_status()
        return answer

    def data(self, path: str) -> Any:
        return self.get(f"/api/v1/{path}").json()["data"]

    def configuration(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.data("status/config")["yaml"]))

    def scrape_interval(self) -> str:
        return str(self.configuration()["global"]["scrape_interval"])

    def started(self) -> str:
        """When its process began: a reload keeps it, a restart does not."""
        return str(self.data("status/runtimeinfo")["startTime"])


def prove_ready(side: Side) -> None:
    """Prometheus is ready, and neither it nor any node_exporter answers without a password."""
    server = Server(side)
    server.get("/-/ready")
    closed = [server.url, *(f"http://{hosts.address(host)}:9100" for host in side.nodes.values())]
    for url in closed:
        code = requests.get(f"{url}/metrics", timeout=5).status_code
        if code != 401:
            raise Failure(f"{side.name}: {url}/metrics answers {code} without a password", "it should be 401")


def prove_scraping(side: Side, limit: float = 90) -> State:
    """Every target is there and up; returns what is in force."""
    server = Server(side)
    first = next(iter(side.nodes))
    expected = {("prometheus", first), *(("node_exporter", node) for node in side.nodes)}
    end = time.monotonic() + limit
    while True:
        targets = server.data("targets?state=active")["activeTargets"]
        up = {(one["labels"]["job"], one["labels"]["instance"]) for one in targets if one["health"] == "up"}
        if up == expected and len(targets) == len(expected):
            break
        if time.monotonic() > end:
            raise Failure(f"{side.name}: up are {sorted(up)}", f"expected {sorted(expected)} within {limit:.0f} s")
        time.sleep(0.5)
    configuration = server.configuration()
    return State(
        server.data("status/buildinfo")["version"],
        server.data("status/flags")["storage.tsdb.retention.time"],
        configuration["global"]["scrape_interval"],
        tuple((job["job_name"], job["scrape_interval"]) for job in configuration["scrape_configs"]),
        frozenset(up),
    )
