# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real upgrades of Prometheus and Alertmanager, and the ways back: samples and silences are counted each time."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.testbed import hosts, scenario
from tests.testbed.scenario import Alertmanager, Prometheus, wait_for

HOST = "opswatch-upgrade"
OLDEST, MIDDLE, NEWEST = ("2.42.0", "0.25.0"), ("2.53.3", "0.28.1"), ("3.5.3", "0.33.1")
# The way back has as many seconds to answer, on a busy machine too.
NOT_READY = {"prometheus_flags": {"web.listen-address": "127.0.0.1:9999"}, "prometheus_ready_timeout": 15}
LOSES_A_TARGET = {"prometheus_config": {"scrape_configs": [{"job_name": "other"}]}, "upgrade_patience": 20}
SLOW = {"prometheus_unit": {"Service": {"ExecStartPost": "/bin/sleep 15"}}}


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The scenario's, and one beside it with what a user's would say: upgrade.yml goes over an inventory's versions."""
    more = tmp_path_factory.mktemp("inventory") / "more.yml"
    variables = {
        "monitoring_mirror": str(scenario.mirror()),
        "prometheus_version": OLDEST[0],
        "alertmanager_version": OLDEST[1],
        "prometheus_job_scrape_interval": "1s",
        "prometheus_evaluation_interval": "5s",  # an upgrade waits for the first one
        # Without an address in it, which 0.25 could not keep in a file.
        "alertmanager_receivers": [{"name": "mail", "email_configs": [{"to": "a@example.com"}]}],
        "alertmanager_config": {"global": {"smtp_smarthost": "127.0.0.1:25", "smtp_from": "b@example.com"}},
    }
    more.write_text(json.dumps({"all": {"vars": variables}}))
    return [scenario.inventory() / "ansible_inventory.yml", more]


@pytest.fixture(scope="module")
def play(inventories: list[Path]) -> Any:
    def run(name: str, *arguments: str, **variables: Any) -> scenario.Run:
        return scenario.playbook(name, *arguments, variables=variables, inventories=inventories)

    return run


@pytest.fixture(scope="module")
def servers(play: Any) -> tuple[Prometheus, Alertmanager]:
    assert play("site.yml").rc == 0
    return Prometheus(HOST), Alertmanager(HOST)


def site(play: Any, versions: tuple[str, str], **extra: Any) -> scenario.Run:
    done: scenario.Run = play("site.yml", prometheus_version=versions[0], alertmanager_version=versions[1], **extra)
    return done


def upgrade(play: Any, versions: tuple[str, str], *arguments: str, **extra: Any) -> scenario.Run:
    wish = f"prometheus={versions[0]},alertmanager={versions[1]}"
    done: scenario.Run = play("playbooks/upgrade.yml", *arguments, upgrade_to=wish, **extra)
    return done


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
    """Comments of those in force."""
    listed = alertmanager.get("/api/v2/silences").json()
    return {one["comment"] for one in listed if one["status"]["state"] == "active"}


def add_silence(alertmanager: Alertmanager, comment: str) -> None:
    silence = {
        "matchers": [{"name": "alertname", "value": "X", "isRegex": False, "isEqual": True}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "test",
        "comment": comment,
    }
    assert alertmanager.post("/api/v2/silences", silence).status_code == 200


def some_samples(prometheus: Prometheus) -> tuple[float, int]:
    """(a moment, how many samples there are up to it), once there are many. What a slow scrape or a late evaluation
    stamps with an earlier moment is in by then."""
    wait_for("some samples are there", lambda: samples(prometheus, now(prometheus) - 10) > 5000)
    at = now(prometheus) - 10
    return at, samples(prometheus, at)


def expect_new_samples(prometheus: Prometheus) -> None:
    since = now(prometheus)

    def came() -> bool:
        return any(float(one["value"][1]) > since for one in prometheus.query("timestamp(up)"))

    wait_for("new samples come", came)


@contextmanager
def watched(prometheus: Prometheus, alertmanager: Alertmanager) -> Iterator[dict[str, Any]]:
    """Ask ten times a second meanwhile: the longest time without an answer, and the silences that were seen."""
    seen: dict[str, Any] = {"gap": 0.0, "silences": set()}
    ended = threading.Event()

    def ask() -> None:
        last = time.monotonic()
        while not ended.is_set():
            try:
                well = prometheus.get("/api/v1/query", query="up").status_code == 200
            except requests.RequestException:
                well = False
            if well:
                seen["gap"] = max(seen["gap"], time.monotonic() - last)
                last = time.monotonic()
            with suppress(requests.RequestException, ValueError, TypeError):  # nor what it says while it starts
                seen["silences"] |= silences(alertmanager)
            ended.wait(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def longest_scrape_gap(prometheus: Prometheus, seconds: float) -> float:
    found = prometheus.query(f'up{{job="prometheus"}}[{int(seconds) + 1}s]')
    stamps = [float(stamp) for stamp, _value in found[0]["values"]]
    return max(later - earlier for earlier, later in itertools.pairwise(stamps))


def test_check_mode_prints_the_plan(servers, play):
    done = upgrade(play, MIDDLE, "--check")
    assert done.rc == 0
    assert "alertmanager 0.25.0 to 0.28.1" in done.said
    assert "prometheus 2.42.0 to 2.53.3" in done.said
    assert "no backup of" not in done.said  # both versions read the same data
    assert "nothing to do: it is as wanted" not in done.said  # of the end of a silence that was not made
    assert version(servers[0]) == OLDEST[0]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        pytest.param({"upgrade_to": "prometeus=3.5.3"}, "did you mean prometheus?", id="misspelt"),
        pytest.param(
            {"upgrade_to": "prometheus=2.53.3", "prometheus_version": OLDEST[0]},
            "prometheus_version is 2.42.0 by an extra variable (-e), which goes over upgrade_to",
            id="not seen by the role",
        ),
        # Other words of the same refusal, which the plan's unit test has too.
        pytest.param({"upgrade_to": ""}, "Nothing says what to upgrade", id="none", marks=pytest.mark.slow),
        pytest.param(
            {"upgrade_to": "prometheus=new"},
            "'new' is no version of prometheus",
            id="no version",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"upgrade_to": "prometheus=2.41.0"},
            f"{HOST} has prometheus 2.42.0, and 2.41.0 is older",
            id="older",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"upgrade_to": "prometheus=2.41.0", "monitoring_allow_downgrade": True},
            "2.41.0 is older",
            id="older, allowed to the roles",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_wish_that_cannot_be(servers, play, variables, words):
    done = play("playbooks/upgrade.yml", **variables)
    assert done.rc != 0
    assert words in done.said
    assert "filter plugin" not in done.said
    assert version(servers[0]) == OLDEST[0]


@pytest.mark.parametrize(("before", "after"), [(OLDEST, MIDDLE), (MIDDLE, NEWEST)], ids=["middle", "newest"])
def test_upgrade(servers, play, before, after):
    prometheus, alertmanager = servers
    assert (version(prometheus), version(alertmanager)) == before
    add_silence(alertmanager, f"made under {before[1]}")
    at, counted = some_samples(prometheus)
    known, begun = silences(alertmanager), time.monotonic()

    with watched(prometheus, alertmanager) as seen:
        done = upgrade(play, after)
    assert done.rc == 0
    assert f"prometheus_version: {after[0]}" in done.said
    assert "or site.yml refuses to go below what is installed" in done.said
    assert ("no backup of prometheus is made before" in done.said) == (after == NEWEST)
    assert (version(prometheus), version(alertmanager)) == after
    assert samples(prometheus, at) == counted
    assert silences(alertmanager) == known
    assert "Upgrade" in seen["silences"]  # while it lasted
    gap = longest_scrape_gap(prometheus, time.monotonic() - begun)
    print(f"{counted} samples kept; longest gap: scrapes {gap:.1f} s, answers {seen['gap']:.1f} s")
    # Up to eleven of them until Prometheus scrapes what it has found, wherever that is; the rest is the machine's.
    assert gap < 60
    assert site(play, after).output.count("changed=0") == 1
    assert not scenario.host(HOST).run("ls -d /var/lib/prometheus/.opswatch-*").stdout


def test_rollback_lists_and_goes_back(servers, play):
    """Alertmanager, whose earlier version reads its data; the silences of today stay."""
    _prometheus, alertmanager = servers
    add_silence(alertmanager, "made under the newest")
    listed = play("playbooks/rollback.yml", rollback_component="alertmanager")
    assert listed.rc == 0
    assert "0.33.1, in force" in listed.said
    assert "version 0.28.1, then 0.33.1" in listed.said
    done = play("playbooks/rollback.yml", rollback_component="alertmanager", rollback_generation=0)
    assert done.rc == 0
    assert "alertmanager_version: 0.28.1" in done.said
    assert "0.33.1, was in force" in done.said
    assert version(alertmanager) == "0.28.1"
    assert "made under the newest" in silences(alertmanager)


def test_rollback_refuses_what_could_not_read_the_data(servers, play):
    prometheus, _alertmanager = servers
    done = play("playbooks/rollback.yml", rollback_component="prometheus", rollback_generation=0)
    assert done.rc != 0
    assert "prometheus 2.53.3 cannot read the data that 3.5.3 has written, and no copy of before is kept" in done.said
    assert version(prometheus) == NEWEST[0]


@pytest.fixture(scope="module")
def middle(servers, play) -> tuple[float, int]:
    """From the middle version anew, on empty data: (a moment, how many samples there are up to it)."""
    for name in ("prometheus", "alertmanager"):
        scenario.host(HOST).check_output(f"systemctl stop {name}; rm -rf /var/lib/{name}/*")
    assert site(play, MIDDLE, monitoring_allow_downgrade=True).rc == 0
    return some_samples(servers[0])


@pytest.mark.parametrize("fault", ["loses a target", pytest.param("does not start", marks=pytest.mark.slow)])
def test_a_faulty_newest_version_goes_back_with_its_data(servers, play, middle, fault):
    """3.5 writes what 2.53 cannot read. One that is never ready follows below."""
    prometheus, alertmanager = servers
    at, counted = middle
    if fault == "loses a target":
        # What a server that has just started was still to scrape counts as well.
        scenario.host(HOST).check_output("systemctl restart prometheus")
        extra = LOSES_A_TARGET
    else:
        extra = {"prometheus_flags": {"query.timeout": "5 days"}}
    done = upgrade(play, (NEWEST[0], MIDDLE[1]), **extra)
    assert done.rc != 0, done.said
    assert "prometheus was not upgraded to 3.5.3; 2.53.3 is in force" in done.said
    if fault == "loses a target":
        assert "targets that were up are not" in done.said
    assert version(prometheus) == MIDDLE[0]
    assert samples(prometheus, at) == counted
    assert "Upgrade" not in silences(alertmanager)
    assert not scenario.host(HOST).run("ls -d /var/lib/prometheus/.opswatch-*").stdout
    expect_new_samples(prometheus)


def test_what_was_upgraded_before_a_component_that_fails(servers, play, middle):
    """Alertmanager comes first. It stays upgraded, is settled, and the inventory is told of it alone. Prometheus, whose
    new version is never ready, goes back with its data."""
    prometheus, alertmanager = servers
    at, counted = middle
    done = upgrade(play, NEWEST, **NOT_READY)
    assert done.rc != 0
    assert "prometheus was not upgraded to 3.5.3; 2.53.3 is in force" in done.said
    assert "alertmanager 0.28.1 to 0.33.1: all is well again" in done.said
    assert "alertmanager_version: 0.33.1" in done.said
    assert "prometheus_version: 3.5.3" not in done.said
    assert (version(prometheus), version(alertmanager)) == (MIDDLE[0], NEWEST[1])
    assert samples(prometheus, at) == counted
    assert "Upgrade" not in silences(alertmanager)
    assert not scenario.host(HOST).file("/var/lib/opswatch/alertmanager/unsettled.json").exists
    assert not scenario.host(HOST).run("ls -d /var/lib/prometheus/.opswatch-*").stdout
    expect_new_samples(prometheus)


def lose_power(inventories: list[Path], until: Callable[[], bool], **extra: Any) -> None:
    """The host goes away in the middle of the upgrade to the newest version, and comes back."""
    begun = scenario.start_playbook(
        "playbooks/upgrade.yml", variables={"upgrade_to": f"prometheus={NEWEST[0]}", **extra}, inventories=inventories
    )
    wait_for("the upgrade has come so far", until, 300)
    scenario.container(HOST).kill()
    assert scenario.finish(begun).rc != 0
    scenario.container(HOST).start()
    hosts.wait_until_booted(scenario.container(HOST), 300)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(NOT_READY, NOT_READY, id="never ready", marks=pytest.mark.slow),
        pytest.param(SLOW, NOT_READY, id="goes back by itself"),
        pytest.param(SLOW, LOSES_A_TARGET, id="loses a target", marks=pytest.mark.slow),
    ],
)
def test_power_loss_in_the_middle_and_then_a_fault(servers, play, middle, inventories, first, then):
    """The unproven version is no place to go back to; the one of before is, with its data."""
    prometheus, alertmanager = servers
    at, counted = middle
    current = "readlink /var/lib/opswatch/prometheus/current"
    before = scenario.host(HOST).check_output(current)
    lose_power(inventories, lambda: scenario.host(HOST).check_output(current) != before, **first)
    assert scenario.in_force(HOST).journal
    done = play("playbooks/upgrade.yml", upgrade_to=f"prometheus={NEWEST[0]}", **then)
    assert done.rc != 0
    assert "prometheus 2.53.3 to 3.5.3" in done.said
    assert "prometheus was not upgraded to 3.5.3; 2.53.3 is in force" in done.said
    if then is LOSES_A_TARGET:
        assert "targets that were up are not" in done.said
    assert scenario.host(HOST).check_output(current) == before
    assert version(prometheus) == MIDDLE[0]
    assert samples(prometheus, at) == counted
    assert "Upgrade" not in silences(alertmanager)
    assert not scenario.in_force(HOST).journal
    assert not scenario.host(HOST).run("ls -d /var/lib/prometheus/.opswatch-*").stdout


def test_power_loss_in_the_middle(servers, play, middle, inventories):
    """The host goes away while the new version starts; the same command completes the upgrade."""
    prometheus, _alertmanager = servers
    at, counted = middle
    kept = "ls -d /var/lib/prometheus/.opswatch-before-* 2>/dev/null"
    lose_power(inventories, lambda: scenario.host(HOST).run(kept).rc == 0)
    done = play("playbooks/upgrade.yml", upgrade_to=f"prometheus={NEWEST[0]}")
    assert done.rc == 0
    assert version(prometheus) == NEWEST[0]
    assert samples(prometheus, at) == counted
