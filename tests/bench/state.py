# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in force on a side's hosts, asked of the programs: a comparison of unequal results says nothing."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.testbed import hosts
from tests.testbed.console import Failure
from tests.testbed.paths import ROOT

from .sides import PORTS, RECEIVER, SERVERS, USER, Side

RULES = ROOT / "roles/prometheus/files/rules"


@dataclass(frozen=True)
class State:
    """Equal on both sides, or one of them has done something else. What is a map in the programs is JSON here."""

    versions: frozenset[tuple[str, str, str]]  # job, instance and version
    retention: str
    scrape_interval: str
    jobs: str
    alerting: str
    alertmanagers: int  # that Prometheus sends to
    rule_files: frozenset[str]  # of those in the role
    notifications: str  # Alertmanager's whole configuration
    modules: str  # of blackbox_exporter
    databases_up: frozenset[str]
    targets_up: frozenset[tuple[str, str]]  # job and instance


def url(component: str, host: str) -> str:
    return f"http://{hosts.address(host)}:{PORTS[component]}"


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class Program:
    """A component on the first host of a side."""

    def __init__(self, side: Side, component: str) -> None:
        self.url = url(component, side.server)
        self.auth = (USER, side.password(component))

    def get(self, path: str, **parameters: str) -> requests.Response:
        answer = requests.get(self.url + path, params=parameters, auth=self.auth, timeout=5)
        answer.raise_for_status()
        return answer


class Server(Program):
    """The Prometheus of a side."""

    def __init__(self, side: Side) -> None:
        super().__init__(side, "prometheus")

    def data(self, path: str, **parameters: str) -> Any:
        return self.get(f"/api/v1/{path}", **parameters).json()["data"]

    def labels(self, query: str) -> list[dict[str, str]]:
        """The labels of every series that a query answers with."""
        return [found["metric"] for found in self.data("query", query=query)["result"]]

    def configuration(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.data("status/config")["yaml"]))

    def scrape_interval(self) -> str:
        return str(self.configuration()["global"]["scrape_interval"])

    def started(self) -> str:
        """When its process began: a reload keeps it, a restart does not."""
        return str(self.data("status/runtimeinfo")["startTime"])


def prove_ready(side: Side) -> None:
    """The servers are ready, and no component answers without a password on any host."""
    for server in SERVERS:
        Program(side, server).get("/-/ready")
    for component in PORTS:
        for node in side.nodes_of(component):
            closed = f"{url(component, side.nodes[node])}/metrics"
            code = requests.get(closed, timeout=5).status_code
            if code != 401:
                raise Failure(f"{side.name}: {closed} answers {code} without a password", "it should be 401")


def prove_scraping(side: Side, limit: float = 90) -> State:
    """Every target is there and up; returns what is in force."""
    server = Server(side)
    expected = {(component, node) for component in PORTS for node in side.nodes_of(component)}
    end = time.monotonic() + limit
    while True:
        targets = server.data("targets?state=active")["activeTargets"]
        up = {(one["labels"]["job"], one["labels"]["instance"]) for one in targets if one["health"] == "up"}
        if up == expected and len(targets) == len(expected):
            return state(side, frozenset(up))
        if time.monotonic() > end:
            raise Failure(f"{side.name}: up are {sorted(up)}", f"expected {sorted(expected)} within {limit:.0f} s")
        time.sleep(0.5)


def state(side: Side, up: frozenset[tuple[str, str]]) -> State:
    """Asked after the first scrapes, as the programs' metrics tell versions and whether the database answers."""
    server = Server(side)
    configuration = server.configuration()
    builds = server.labels(f'{{__name__=~"({"|".join(PORTS)})_build_info"}}')
    status = Program(side, "alertmanager").get("/api/v2/status").json()
    own_rules = {path.name for path in RULES.glob("*.yml")}
    in_force = {Path(group["file"]).name for group in server.data("rules")["groups"]}
    return State(
        # Debian's builds have a suffix: 3.5.3+ds1.
        versions=frozenset((build["job"], build["instance"], build["version"].split("+")[0]) for build in builds),
        retention=server.data("status/flags")["storage.tsdb.retention.time"],
        scrape_interval=configuration["global"]["scrape_interval"],
        jobs=canonical(configuration["scrape_configs"]),
        alerting=canonical(configuration["alerting"]),
        alertmanagers=len(server.data("alertmanagers")["activeAlertmanagers"]),
        rule_files=frozenset(own_rules & in_force),
        notifications=canonical(yaml.safe_load(status["config"]["original"])),
        modules=canonical(yaml.safe_load(Program(side, "blackbox_exporter").get("/config").text)),
        databases_up=frozenset(found["instance"] for found in server.labels("pg_up == 1")),
        targets_up=up,
    )


def prove_whole(found: State, side: Side, versions: Mapping[str, str]) -> None:
    """Both sides could lack the same: what has to be there, by name."""
    expected = frozenset(
        (component, node, versions[f"{component}_version"]) for component in PORTS for node in side.nodes_of(component)
    )
    checks = {
        "versions": found.versions == expected,
        "alertmanagers": found.alertmanagers == 1,
        "rule_files": found.rule_files == {path.name for path in RULES.glob("*.yml")},
        "notifications": RECEIVER["email_configs"][0]["to"] in found.notifications,
        "databases_up": found.databases_up == frozenset(side.nodes_of("postgres_exporter")),
    }
    wrong = [f"{name}: {getattr(found, name)}" for name, met in checks.items() if not met]
    if wrong:
        raise Failure(
            f"{side.name} on {side.size}: what the inventory asks for is not there", "compare", "\n".join(wrong)
        )


def differences(one: State, other: State) -> str:
    """The fields in which two states differ, a paragraph for each."""
    pairs = [(field.name, getattr(one, field.name), getattr(other, field.name)) for field in fields(State)]
    return "\n".join(f"{name}:\n  {mine}\n  {theirs}" for name, mine, theirs in pairs if mine != theirs)
