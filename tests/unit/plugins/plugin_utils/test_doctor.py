# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from all the doctor's looks together, and whom it was to look at."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor, maintenance
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import Finding, Look

AWAY = Finding("reached", "broken", "app1", "", "app1 cannot be reached from here")
DEAD = Finding("unit", "broken", "mon1", "node_exporter", "node_exporter does not run on mon1")
DOWN = Finding("targets", "broken", "app1", "node_exporter", "node_exporter of app1 is down", "timeout", "A firewall.")
FINE = Finding("disk", "ok", "mon1", "", "There is room")

GROUPS = {
    "all": ["mon1", "app1"],
    "prometheus": ["mon1"],
    "loki": ["mon1"],
    "node_exporter": ["mon1", "app1"],
    "shop": ["app1"],
}
HOSTVARS: dict[str, dict[str, t.Any]] = {"mon1": {}, "app1": {}}


def test_what_follows_from_something_else_is_named_beneath_it() -> None:
    other = DOWN._replace(host="mon1", what="node_exporter of mon1 is down")
    found = doctor.settled(Look([AWAY, DEAD, DOWN, other])).findings
    assert found == [AWAY._replace(follows=DOWN.what), DEAD._replace(follows=other.what)]
    assert doctor.settled(Look([DOWN])).findings == [DOWN]


def test_a_host_that_is_away_is_one_finding() -> None:
    unasked = [Finding("away", "broken", "app1", name, f"{name} could not be asked") for name in ("loki", "grafana")]
    (found,) = doctor.settled(Look([AWAY._replace(cause="It is off."), *unasked])).findings
    assert (found.cause, found.follows) == (
        "It is off.",
        "app1: loki could not be asked\napp1: grafana could not be asked",
    )
    # One that went away meanwhile.
    assert doctor.settled(Look(unasked)).findings == unasked


def test_an_address_is_shown_without_its_secret() -> None:
    asked = DOWN._replace(evidence="http://app1:8080/metrics?token=abcdef: timeout")
    (found,) = doctor.settled(Look([asked])).findings
    assert found.evidence == "http://app1:8080/metrics?token=*** timeout"


def test_what_two_servers_say_is_there_once() -> None:
    assert doctor.settled(Look([DOWN, DOWN._replace(evidence="seen by the other"), FINE])).findings == [DOWN, FINE]


def test_whom_it_looks_at() -> None:
    hostvars = {**HOSTVARS, "mon1": {"loki_state": "absent"}}
    assert doctor.patients(GROUPS, hostvars) == {
        "host": ["mon1", "app1"],
        "prometheus": ["mon1"],
        "alertmanager": [],
        "loki": [],
        "grafana": [],
    }


class Undefined(dict[str, t.Any]):
    """Variables of a host among which is a template that cannot be resolved."""

    def get(self, key: str, default: t.Any = None) -> t.Any:
        if key == "loki_state":
            raise AnsibleError("'of_nobody' is undefined")
        return super().get(key, default)


def test_a_host_whose_state_is_unknown_is_one_to_look_at() -> None:
    hostvars = {**HOSTVARS, "mon1": Undefined()}
    assert doctor.patients(GROUPS, hostvars)["loki"] == ["mon1"]
    found = maintenance.gathered("doctor", hostvars, GROUPS["all"], GROUPS).findings
    (one,) = [one for one in found if one.host == "mon1"]
    assert one.what == "prometheus of 1 host was not asked"
    assert one.follows == "mon1: loki of 1 host was not asked"


@pytest.mark.parametrize(("limited", "severity"), [(True, "warning"), (False, "broken")])
def test_who_was_not_looked_at(limited: bool, severity: str) -> None:
    found = doctor.left_out({"host": ["mon1"]}, doctor.patients(GROUPS, HOSTVARS), limited).findings
    assert [(one.severity, one.host, one.what) for one in found] == [
        (severity, "app1", "1 host was not looked at"),
        (severity, "mon1", "prometheus of 1 host was not asked"),
        (severity, "mon1", "loki of 1 host was not asked"),
    ]


def test_an_inventory_without_prometheus() -> None:
    (found,) = doctor.left_out({}, doctor.patients({}, {}), False).findings
    assert (found.severity, found.what) == ("broken", "The inventory has no Prometheus, so nothing is watched")


def test_looks_become_one_report() -> None:
    hostvars = {
        "mon1": {
            "__maintenance_host_doctor": {"look": Look([FINE]).as_data()},
            "__maintenance_prometheus_doctor": {"look": Look([DOWN]).as_data()},
            "__maintenance_loki_doctor": {"failed": True, "msg": "'loki_x' is undefined"},
        },
        "app1": {"__maintenance_host_doctor": {"look": Look([AWAY]).as_data()}},
    }
    look = maintenance.gathered("doctor", hostvars, GROUPS["all"], GROUPS)
    data = maintenance.report("doctor", look, 1_800_000_000).as_data()
    assert data["title"] == "Doctor"
    assert data["summary"] == {"ok": 1, "warnings": 0, "broken": 2}
    assert [(one["severity"], one["what"], one.get("follows")) for one in data["findings"]] == [
        ("broken", "app1 cannot be reached from here", "node_exporter of app1 is down"),
        ("broken", "loki could not be asked", None),
        ("ok", "There is room", None),
    ]
    assert set(data["findings"][1]) == {"check", "severity", "host", "component", "what", "evidence", "cause", "fix"}
