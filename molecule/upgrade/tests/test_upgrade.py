# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real upgrades of Prometheus and Alertmanager: samples and silences are counted before and after each step."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.testbed import scenario
from tests.testbed.scenario import Alertmanager, Prometheus, wait_for

HOST = "opswatch-upgrade"
STEPS = [("2.42.0", "0.25.0"), ("2.53.3", "0.28.1"), ("3.5.3", "0.33.1")]


def site(prometheus: str, alertmanager: str, **extra: Any) -> scenario.Run:
    variables = {
        "monitoring_mirror": str(scenario.mirror()),
        "prometheus_version": prometheus,
        "alertmanager_version": alertmanager,
        "prometheus_job_scrape_interval": "1s",
        # Without an address in it, which 0.25 could not keep in a file.
        "alertmanager_receivers": [{"name": "mail", "email_configs": [{"to": "a@example.com"}]}],
        "alertmanager_config": {"global": {"smtp_smarthost": "127.0.0.1:25", "smtp_from": "b@example.com"}},
        **extra,
    }
    return scenario.playbook("site.yml", variables=variables)


def version(server: Prometheus | Alertmanager) -> str:
    """What it says itself; Debian marks its builds behind a plus."""
    if isinstance(server, Prometheus):
        said = server.get("/api/v1/status/buildinfo").json()["data"]["version"]
    else:
        said = server.get("/api/v2/status").json()["versionInfo"]["version"]
    return str(said).partition("+")[0]


def samples(prometheus: Prometheus, at: float) -> int:
    """How many samples of all series there are up to a moment."""
    answer = prometheus.get("/api/v1/query", query='{__name__=~".+"}[1h]', time=at)
    return sum(len(series["values"]) for series in answer.json()["data"]["result"])


def now(prometheus: Prometheus) -> float:
    return float(prometheus.query("vector(time())")[0]["value"][1])


def silences(alertmanager: Alertmanager) -> set[str]:
    return {one["comment"] for one in alertmanager.get("/api/v2/silences").json()}


@pytest.fixture(scope="module")
def servers() -> tuple[Prometheus, Alertmanager]:
    assert site(*STEPS[0]).rc == 0
    return Prometheus(HOST), Alertmanager(HOST)


@pytest.mark.parametrize(("before", "after"), list(itertools.pairwise(STEPS)), ids=["oldest", "newest"])
def test_upgrade_by_the_version_alone(servers, before, after):
    prometheus, alertmanager = servers
    assert (version(prometheus), version(alertmanager)) == before
    silence = {
        "matchers": [{"name": "alertname", "value": "X", "isRegex": False, "isEqual": True}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "test",
        "comment": f"made under {before[1]}",
    }
    assert alertmanager.post("/api/v2/silences", silence).status_code == 200
    wait_for("some samples are there", lambda: samples(prometheus, now(prometheus)) > 5000, 60)
    at, known = now(prometheus) - 2, silences(alertmanager)
    counted = samples(prometheus, at)

    assert site(*after).rc == 0
    assert (version(prometheus), version(alertmanager)) == after
    assert samples(prometheus, at) == counted
    assert silences(alertmanager) == known
    assert f"made under {before[1]}" in known
    wait_for("new samples come", lambda: samples(prometheus, now(prometheus)) > counted, 60)
    assert site(*after).output.count("changed=0") == 1
    assert not scenario.host(HOST).run("ls -d /var/lib/prometheus/.opswatch-*").stdout


def test_a_newest_version_that_never_gets_ready_goes_back_with_its_data(servers):
    """From the middle version anew: 3.5 writes what 2.53 cannot read."""
    prometheus, _alertmanager = servers
    for name in ("prometheus", "alertmanager"):
        scenario.host(HOST).check_output(f"systemctl stop {name}; rm -rf /var/lib/{name}/*")
    assert site(*STEPS[1], monitoring_allow_downgrade=True).rc == 0
    wait_for("some samples are there", lambda: samples(prometheus, now(prometheus)) > 5000, 60)
    at = now(prometheus) - 2
    counted = samples(prometheus, at)
    deaf = {"web.listen-address": "127.0.0.1:9999"}
    failed = site(STEPS[2][0], STEPS[1][1], prometheus_flags=deaf, prometheus_ready_timeout=5)
    assert failed.rc != 0
    assert "which answers" in failed.said
    assert version(prometheus) == STEPS[1][0]
    assert samples(prometheus, at) == counted
    wait_for("new samples come", lambda: samples(prometheus, now(prometheus)) > counted, 60)
