# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's look at a host: what each answer of components_info means."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor_hosts as hosts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

NOW = 1_800_000_000.0
GIB = 1 << 30
RUNS = {
    "active": "active",
    "sub": "running",
    "result": "success",
    "running": True,
    "restarts": 0,
    "since": NOW - 9e5,
    "words": "",
    "remedy": "",
}
DEAD = {**RUNS, "active": "failed", "sub": "failed", "result": "exit-code", "running": False}
SPACE = {"path": "/", "bytes": 100 * GIB, "free": 60 * GIB, "inodes": 1000, "inodes_free": 900}
WANTED = [hosts.Wanted("node_exporter", "1.11.1")]


def seen(**other: t.Any) -> dict[str, t.Any]:
    return {
        "version": "1.11.1",
        "generation": 3,
        "needs": [],
        "warnings": [],
        "others": [],
        "unit": RUNS,
        "unfinished": False,
        **other,
    }


def look(
    component: dict[str, t.Any], wanted: t.Sequence[hosts.Wanted] = WANTED, off: float = 0, **space: t.Any
) -> list[Finding]:
    components = {one.name: component for one in wanted}
    found = {"components": components, "host": {"time": NOW + 0.5 + off, "spaces": [{**SPACE, **space}]}}
    return list(hosts.look("app1", wanted, found, NOW, NOW + 1, role_facts.thresholds()).findings)


def bad(findings: t.Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if one.severity != "ok"]


def test_one_that_is_well() -> None:
    assert [(one.check, one.severity, one.what, one.evidence) for one in look(seen())] == [
        ("components", "ok", "app1 runs what the inventory wants, as it was installed", "node_exporter 1.11.1"),
        ("disk", "ok", "There is room on the disks of app1", "/: 60.0 GiB of 100 GiB are free"),
        ("clock", "ok", "The clock of app1 is right", ""),
    ]


def test_one_that_is_not_installed() -> None:
    (found,) = bad(look(seen(version="", needs=["bring a generation into force"], unit=DEAD)))
    assert (found.severity, found.what) == ("broken", "node_exporter is not installed on app1")
    assert found.fix == "site.yml --limit app1 --tags node_exporter"


def test_a_host_where_nothing_is_installed_is_one_finding() -> None:
    wanted = [hosts.Wanted("node_exporter", "1.11.1"), hosts.Wanted("alloy", "1.12.2")]
    (found,) = bad(look(seen(version="", unit=DEAD), wanted))
    assert (found.component, found.what) == ("node_exporter, alloy", "node_exporter, alloy are not installed on app1")
    assert found.fix == "site.yml --limit app1 --tags node_exporter,alloy"


def test_a_unit_that_does_not_run() -> None:
    words = "listen tcp 0.0.0.0:9100: bind: address already in use"
    unit = {**DEAD, "restarts": 5, "words": words, "remedy": "another program has this port"}
    (found,) = bad(look(seen(unit=unit, needs=["start node_exporter.service", "prove that node_exporter is ready"])))
    assert (found.check, found.severity, found.what) == ("unit", "broken", "node_exporter does not run on app1")
    assert found.evidence == (f"node_exporter.service is failed (failed), result exit-code, restarted 5 times\n{words}")
    assert found.fix == (
        "another program has this port; then site.yml --limit app1 --tags node_exporter, which starts it"
    )


def test_one_that_somebody_stopped() -> None:
    (found,) = bad(look(seen(unit={**DEAD, "active": "inactive", "sub": "dead", "result": "success", "words": "bye"})))
    assert found.cause == "Somebody stopped it: it ended without an error."
    assert found.fix.startswith("journalctl -u node_exporter on app1 has all of it; then site.yml")


def test_one_that_systemd_keeps_starting() -> None:
    (found,) = bad(look(seen(unit={**DEAD, "active": "activating", "sub": "auto-restart", "restarts": 9})))
    assert found.what == "node_exporter does not run on app1, though systemd keeps starting it"


@pytest.mark.parametrize(("ago", "severities"), [(60, ["warning"]), (7200, [])])
def test_one_that_was_started_again_by_itself(ago: float, severities: list[str]) -> None:
    found = bad(look(seen(unit={**RUNS, "restarts": 2, "since": NOW - ago, "words": "panic"})))
    assert [one.severity for one in found] == severities
    if found:
        assert found[0].what == "node_exporter was restarted by systemd 2 times, last at 2027-01-15 07:59 UTC"


def test_another_version() -> None:
    (found,) = bad(look(seen(version="1.9.0")))
    assert (found.severity, found.what) == (
        "warning",
        "node_exporter is 1.9.0, and the inventory says 1.11.1",
    )


def test_an_unfinished_change_is_said_once() -> None:
    (found,) = bad(look(seen(unfinished=True, needs=["restart node_exporter.service"])))
    assert (found.severity, found.what) == ("warning", "A change of node_exporter is not finished")
    assert "finishes or undoes it" in found.fix


def test_what_somebody_changed_by_hand() -> None:
    (found,) = bad(look(seen(needs=["update secrets/web.yml", "restart node_exporter.service"])))
    assert found.evidence == "site.yml would update secrets/web.yml, restart node_exporter.service"


def test_files_of_somebody_else() -> None:
    said = "/etc/node_exporter holds files of somebody else, which stay as they are: x"
    (found,) = bad(look(seen(warnings=[said])))
    assert (found.severity, found.evidence) == ("warning", said)


def test_one_that_is_to_be_absent() -> None:
    absent = [hosts.Wanted("node_exporter", "1.11.1", False)]
    (found,) = bad(look(seen(), absent))
    assert found.what == "node_exporter is still there"
    assert bad(look(seen(version=""), absent)) == []


def test_components_that_left_their_groups() -> None:
    (found,) = bad(look(seen(others=["loki", "node_exporter"])))
    assert found.what == "app1 still runs loki, but is not in the group loki"
    # The role of the one agent removes the other.
    assert bad(look(seen(others=["promtail"]), [hosts.Wanted("alloy", "1.11.1")])) == []


@pytest.mark.parametrize(
    ("space", "severity", "what"),
    [
        ({"free": 9 * GIB}, "warning", "/ of app1 is nearly full: 91 % of its space are used"),
        ({"free": GIB}, "broken", "/ of app1 is nearly full: 99 % of its space are used"),
        ({"inodes_free": 50}, "warning", "/ of app1 is nearly full: 95 % of its inodes are used"),
        ({"inodes": 0, "inodes_free": 0}, "", ""),
    ],
)
def test_room(space: dict[str, int], severity: str, what: str) -> None:
    assert [(one.severity, one.what) for one in bad(look(seen(), **space))] == ([(severity, what)] if what else [])


@pytest.mark.parametrize(
    ("off", "what"),
    [
        (3, ""),
        (90, "The clock of app1 is 90 s ahead of that of this machine"),
        (-90, "The clock of app1 is 88 s behind that of this machine"),
    ],
)
def test_clock(off: float, what: str) -> None:
    assert [one.what for one in bad(look(seen(), off=off))] == ([what] if what else [])


def test_without_its_alert_only_a_full_disk_is_said() -> None:
    full = {**SPACE, "free": 5 * GIB}
    assert hosts.disk("app1", [full], {})[0].severity == "ok"
    assert hosts.disk("app1", [{**full, "free": GIB}], {})[0].severity == "broken"
    assert hosts.clock("app1", NOW + 90, NOW, NOW, {}) == []


def test_a_host_that_cannot_be_reached() -> None:
    (found,) = hosts.unreachable("app1", "ssh: connect to host app1 port 22: No route to host").findings
    assert (found.check, found.severity, found.host) == ("reached", "broken", "app1")
    assert isinstance(hosts.unreachable("app1", ""), Look)
