# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Periods of Loki's store, keys that are gone, log alerts, and who reaches it."""

from __future__ import annotations

import base64
import datetime
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki import (
    alertmanager_urls,
    build_config,
    inventory_problems,
    log_rules,
    plan_periods,
    shared_periods,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki_gone import GONE, gone_keys, gone_problems

ROOT = Path(__file__).resolve().parents[4]
RULES = ROOT / "roles/loki/files/rules/opswatch_logs.yml"
TODAY = datetime.date(2026, 11, 25)


def period(begins: str, store: str = "tsdb", schema: str = "v13", objects: str = "filesystem") -> dict[str, t.Any]:
    index = {"prefix": "index_", "period": "24h"}
    return {"from": begins, "store": store, "object_store": objects, "schema": schema, "index": index}


OURS = period("2024-04-01")
GUIDE = period("2020-10-24", "boltdb-shipper", "v11")
NEXT = period("2026-11-27")
S3 = period("2024-04-01", objects="s3")


def test_the_documentation_names_each_key_that_is_gone() -> None:
    section = (ROOT / "docs/loki.md").read_text().split("## Keys that are gone")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    for gone in GONE:
        last = gone.path.rpartition(".")[2]
        assert any(re.search(rf"\b{last}`", row) and f"| {gone.since} |" in row for row in rows), gone.path


@pytest.mark.parametrize(
    ("existing", "wanted", "planned"),
    [
        pytest.param([], [OURS], [OURS], id="a new store"),
        pytest.param([OURS], [OURS], [OURS], id="nothing new"),
        pytest.param([GUIDE], [OURS], [GUIDE, NEXT], id="an old form gets a new period behind it"),
        pytest.param([GUIDE, NEXT], [OURS], [GUIDE, NEXT], id="which stays on the day that it got"),
        pytest.param([GUIDE, period("2026-11-26")], [OURS], [GUIDE, period("2026-11-26")], id="tomorrow, too"),
        pytest.param([GUIDE, period("2026-11-25")], [OURS], [GUIDE, period("2026-11-25")], id="and once it has begun"),
        pytest.param([GUIDE, OURS], [OURS], [GUIDE, OURS], id="the last one counts"),
        pytest.param([OURS], [S3], [OURS, period("2026-11-27", objects="s3")], id="to S3"),
        pytest.param([OURS, period("2026-11-27", objects="s3")], [OURS], [OURS], id="and back before it began"),
        pytest.param(
            [OURS, period("2026-11-26", objects="s3")],
            [period("2024-04-01", schema="v14")],
            [OURS, period("2026-11-27", schema="v14")],
            id="another one before it began",
        ),
        pytest.param(
            [OURS, period("2026-11-25", objects="s3")],
            [OURS],
            [OURS, period("2026-11-25", objects="s3"), NEXT],
            id="and back after it began",
        ),
        pytest.param([period("2026-12-01")], [OURS], [period("2026-12-01")], id="nothing has begun"),
        pytest.param([period("2026-12-01", "boltdb-shipper")], [OURS], [OURS], id="nothing has begun, nothing is lost"),
        pytest.param([{**OURS, "from": datetime.date(2024, 4, 1)}], [OURS], [OURS], id="a day as YAML reads it"),
    ],
)
def test_planned_periods(existing: t.Any, wanted: t.Any, planned: t.Any) -> None:
    assert plan_periods(existing, wanted, False, TODAY) == planned
    assert plan_periods(planned, wanted, False, TODAY) == planned, "a second run changes nothing"


@pytest.mark.parametrize(
    ("existing", "stated"),
    [
        ([], [GUIDE]),
        ([GUIDE], [GUIDE, period("2027-01-01")]),
        ([GUIDE, NEXT], [GUIDE, period("2027-01-01")]),
        ([GUIDE, NEXT], [GUIDE]),
        ([GUIDE], [period("2019-01-01", "boltdb-shipper", "v9"), GUIDE]),
    ],
)
def test_periods_of_the_user_that_keep_what_has_begun(existing: t.Any, stated: t.Any) -> None:
    assert plan_periods(existing, stated, True, TODAY) == stated


@pytest.mark.parametrize(
    ("existing", "stated", "days"),
    [
        ([GUIDE], [OURS], "2020-10-24"),
        ([GUIDE], [{**GUIDE, "schema": "v13"}], "2020-10-24"),
        ([GUIDE], [{**GUIDE, "from": "2020-10-25"}], "2020-10-24"),
        ([GUIDE, OURS], [period("2027-01-01")], "2020-10-24, 2024-04-01"),
        ([OURS], [{**OURS, "index": {"prefix": "other_", "period": "24h"}}], "2024-04-01"),
    ],
)
def test_periods_that_have_begun_are_never_changed(existing: t.Any, stated: t.Any, days: str) -> None:
    with pytest.raises(AnsibleError, match=f"periods that began on {days}: what was written .* What to do: "):
        plan_periods(existing, stated, True, TODAY)


def test_a_period_needs_a_day() -> None:
    with pytest.raises(AnsibleError, match="begins on 'soon'"):
        plan_periods([{**OURS, "from": "soon"}], [OURS], False, TODAY)


BASE: dict[str, t.Any] = {
    "server": {"http_listen_port": 3100, "http_tls_config": None},
    "frontend": {"grpc_client_config": None},
    "schema_config": {"configs": [OURS]},
    "limits_config": {"retention_period": "744h"},
}


def in_force(text: str) -> dict[str, str]:
    """The answer of a host that has such a configuration, over a connection with a terminal; empty: it has none."""
    packed = base64.b64encode(text.encode()).decode()
    return {"stdout": f"sudo: unable to resolve host <mon1>\r\nopswatch<{packed if text else 'none'}>"}


def build(over: t.Any = None, existing: t.Any = None) -> dict[str, t.Any]:
    text = yaml.safe_dump({"schema_config": {"configs": existing}}) if existing else ""
    return build_config(BASE, over or {}, "3.6.15", in_force(text), TODAY)


def test_config_leaves_out_what_is_null() -> None:
    assert build() == {
        "server": {"http_listen_port": 3100},
        "schema_config": {"configs": [OURS]},
        "limits_config": {"retention_period": "744h"},
    }


def test_users_settings_go_over_ours() -> None:
    built = build({"limits_config": {"retention_period": "48h"}, "querier": {"max_concurrent": 4}, "x": {}})
    assert built["limits_config"] == {"retention_period": "48h"}
    assert built["querier"] == {"max_concurrent": 4}
    assert built["x"] == {}, "an empty map that somebody wrote stays"


@pytest.mark.parametrize(
    ("existing", "over", "allowed"),
    [
        ([GUIDE], {}, False),
        ([GUIDE, NEXT], {}, False),
        ([GUIDE, period("2026-11-25")], {}, None),
        ([period("2024-04-01", schema="v12")], {}, False),
        ([OURS], {}, None),
        ([GUIDE], {"limits_config": {"allow_structured_metadata": True}}, True),
    ],
)
def test_structured_metadata_waits_for_a_period_that_can(existing: t.Any, over: t.Any, allowed: bool | None) -> None:
    built = build(over, existing)
    assert built["limits_config"].get("allow_structured_metadata") is allowed
    assert ("runtime_config" in built) is (allowed is False), "lines that have some are taken all the same"


def test_overrides_of_the_users_own_stay_and_win() -> None:
    """Of several files the last one wins."""
    own = {"runtime_config": {"file": "/etc/own.yml", "period": "1m"}}
    assert build(own, [OURS])["runtime_config"] == own["runtime_config"]
    built = build(own, [GUIDE])["runtime_config"]
    assert built == {"file": "/etc/loki/overrides.yml,/etc/own.yml", "period": "1m"}


@pytest.mark.parametrize("text", ["- a list", "a: [", "schema_config: text"])
def test_configuration_that_cannot_be_read_is_not_taken_for_a_new_store(text: str) -> None:
    with pytest.raises(AnsibleError, match="periods of its store are not known"):
        build_config(BASE, {}, "3.6.15", in_force(text), TODAY)


@pytest.mark.parametrize("said", ["", "opswatch<", "opswatch<YTog", "bash: base64: command not found"])
def test_an_answer_that_is_none_is_not_taken_for_a_new_store(said: str) -> None:
    with pytest.raises(AnsibleError, match=r"the host says of Loki's configuration cannot be read.* What to do: "):
        build_config(BASE, {}, "3.6.15", {"stdout": said}, TODAY)


def test_an_answer_that_a_terminal_broke_into_lines() -> None:
    said = in_force(yaml.safe_dump({"schema_config": {"configs": [GUIDE]}}))["stdout"]
    broken = said[:60] + "\r\n" + said[60:]
    built = build_config(BASE, {}, "3.6.15", {"stdout": broken}, TODAY)
    assert built["schema_config"]["configs"][0]["from"] == GUIDE["from"]


# --- a cluster ---

TO_S3 = period("2026-11-26", objects="s3")


@pytest.mark.parametrize(
    ("own", "others", "wanted", "planned"),
    [
        pytest.param([], [[], []], OURS, [OURS], id="a new cluster"),
        pytest.param([OURS], [[OURS], []], OURS, [OURS], id="nothing new"),
        pytest.param([], [[GUIDE]], OURS, [GUIDE, NEXT], id="a new member has what the others have"),
        pytest.param([OURS], [[OURS, TO_S3]], S3, [OURS, TO_S3], id="the day of the first one counts"),
        pytest.param([OURS, TO_S3], [[OURS]], S3, [OURS, TO_S3], id="its own, where it was the first"),
        pytest.param([], [[OURS, TO_S3]], S3, [OURS, TO_S3], id="for a new member too"),
        pytest.param([OURS, TO_S3], [[OURS]], OURS, [OURS], id="and back before it began"),
        pytest.param([OURS], [[OURS, TO_S3]], OURS, [OURS], id="for the others too"),
        pytest.param([OURS, period("2026-11-26", schema="v14")], [[OURS, TO_S3]], S3, [OURS, TO_S3], id="another"),
    ],
)
def test_members_get_the_same_periods(own: t.Any, others: t.Any, wanted: t.Any, planned: t.Any) -> None:
    known = {f"mon{number}": periods for number, periods in enumerate(others)}
    assert plan_periods(shared_periods(own, known, wanted, TODAY), [wanted], False, TODAY) == planned


@pytest.mark.parametrize(
    ("own", "others"),
    [
        pytest.param([OURS], {"two": [GUIDE]}, id="another form"),
        pytest.param([OURS], {"two": [OURS, period("2026-11-25", objects="s3")]}, id="one that was away when it began"),
        pytest.param([], {"two": [GUIDE], "three": [OURS]}, id="the others do not agree"),
    ],
)
def test_members_that_differ_in_what_has_begun(own: t.Any, others: t.Any) -> None:
    with pytest.raises(
        AnsibleError, match=r"do not read the same periods: this host: .*; two: .* from 20.* What to do: "
    ):
        shared_periods(own, others, OURS, TODAY)


def answer(host: str, periods: t.Any) -> dict[str, t.Any]:
    """Of a member that was asked."""
    if periods is None:
        return {"item": host, "unreachable": True}
    return {"item": host, **in_force(yaml.safe_dump({"schema_config": {"configs": periods}}))}


def with_others(existing: t.Any, others: t.Mapping[str, t.Any], over: t.Any = None, left: bool = False) -> t.Any:
    text = yaml.safe_dump({"schema_config": {"configs": existing}}) if existing else ""
    answers = [answer(host, periods) for host, periods in others.items()]
    return build_config(BASE, over or {}, "3.6.15", in_force(text), TODAY, answers, left)["schema_config"]["configs"]


def test_a_member_that_is_away_holds_up_a_change_alone() -> None:
    assert with_others([OURS], {"two": None}) == [OURS]
    for existing in ([GUIDE], [OURS, TO_S3], []):
        with pytest.raises(AnsibleError, match=r"two could not be asked\. What to do: "):
            with_others(existing, {"two": None})
    stated = {"schema_config": {"configs": [GUIDE, NEXT]}}
    assert with_others([GUIDE], {"two": None}, stated) == [GUIDE, NEXT]


def test_periods_that_are_stated_hold_whatever_others_have() -> None:
    assert with_others([OURS], {"two": [GUIDE]}, {"schema_config": {"configs": [OURS]}}) == [OURS]


def test_lines_that_are_left_without_a_configuration() -> None:
    with pytest.raises(
        AnsibleError, match=r"no configuration that says how .* back to /etc/loki/config\.yml; or state"
    ):
        with_others([], {}, left=True)
    assert with_others([], {}, {"schema_config": {"configs": [GUIDE]}}, left=True) == [GUIDE]
    assert with_others([], {"two": [OURS]}, left=True) == [OURS]


def test_members_are_told_the_same_periods() -> None:
    stated = {"loki_config": {"schema_config": {"configs": [OURS]}}}
    shared = {"monitoring_tls": "selfsigned", "loki_s3": {"bucket": "lines"}}
    groups = {"loki": ["one", "two"]}
    (problem,) = inventory_problems(groups, {"one": {**shared, **stated}, "two": shared})
    assert problem.what == "loki_config of two states other periods of the store than that of one"
    assert inventory_problems(groups, {"one": {**shared, **stated}, "two": {**shared, **stated}}) == []


# --- keys that are gone ---


GUIDES_OWN = {
    "limits_config": {"enforce_metric_name": False, "reject_old_samples": True},
    "chunk_store_config": {"max_look_back_period": "0s"},
    "storage_config": {"boltdb_shipper": {"shared_store": "filesystem"}},
}


def test_gone_keys() -> None:
    assert [gone.path for gone in gone_keys(GUIDES_OWN, "3.6.15")] == [
        "limits_config.enforce_metric_name",
        "chunk_store_config.max_look_back_period",
        "storage_config.boltdb_shipper.shared_store",
    ]
    assert gone_keys(GUIDES_OWN, "2.9.4") == []
    assert gone_keys({"limits_config": None, "storage_config": {"boltdb_shipper": "text"}}, "3.6.15") == []


def test_gone_keys_are_a_problem_each() -> None:
    problems = gone_problems({"loki_config": GUIDES_OWN, "loki_version": "3.6.15"})
    assert problems[1] == (
        "loki_config has chunk_store_config.max_look_back_period, which Loki 3.6.15 refuses",
        "it is gone since 3.0",
        "use instead: limits_config.max_query_lookback",
    )
    assert len(problems) == 3
    with pytest.raises(AnsibleError, match=r"max_look_back_period: limits_config\.max_query_lookback"):
        build(GUIDES_OWN)


# --- log alerts ---


def rules(stated: t.Any) -> dict[str, dict[str, t.Any]]:
    groups = log_rules([str(RULES)], stated)["opswatch_logs.yml"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_thresholds_of_log_alerts() -> None:
    ours = rules({})
    assert ours == {
        rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    changed = rules({"LogErrorBurst": 7.5, "LogServiceSilent": None})
    assert changed["LogErrorBurst"]["expr"] == ours["LogErrorBurst"]["expr"].replace("> 20", "> 7.5")
    assert set(ours) - set(changed) == {"LogServiceSilent"}


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"LogErrorBurts": 3}, "no log alert LogErrorBurts. Did you mean LogErrorBurst?"),
        ({"LogErrorBurst": "many"}, "LogErrorBurst is 'many'. Use a number"),
        ({"LogErrorBurst": True}, "LogErrorBurst is True. Use a number"),
    ],
)
def test_thresholds_that_are_none(stated: t.Any, said: str) -> None:
    with pytest.raises(AnsibleError) as caught:
        rules(stated)
    assert said in str(caught.value)


# --- who reaches whom ---


def test_ruler_sends_to_every_alertmanager() -> None:
    hostvars: dict[str, dict[str, t.Any]] = {
        "one": {"monitoring_tls": "selfsigned", "alertmanager_external_url": "https://example.com/alerts/"},
        "two": {"monitoring_address": "10.0.0.2"},
        "three": {"alertmanager_state": "absent"},
    }
    assert alertmanager_urls({"alertmanager": list(hostvars)}, hostvars) == [
        "https://one:9093/alerts",
        "http://10.0.0.2:9093",
    ]
    assert alertmanager_urls({}, {}) == []


GROUPS = {"loki": ["mon1"], "prometheus": ["mon1"], "promtail": ["mon1", "app1"]}


@pytest.mark.parametrize(
    ("groups", "settings", "said"),
    [
        (GROUPS, {}, "serves the loopback alone"),
        (GROUPS, {"monitoring_tls": "own"}, "serves the loopback alone"),
        (
            GROUPS,
            {"loki_listen_address": "127.0.0.1:3100", "monitoring_tls": "selfsigned"},
            "serves the loopback alone",
        ),
        (GROUPS, {"monitoring_tls": "selfsigned"}, ""),
        (GROUPS, {"monitoring_tls": "own", "monitoring_tls_ca": "/ca.crt"}, ""),
        (GROUPS, {"loki_listen_address": "10.0.0.1:3100"}, ""),
        (GROUPS, {"loki_state": "absent"}, ""),
        ({**GROUPS, "promtail": ["mon1"]}, {}, ""),
    ],
)
def test_loopback_that_others_cannot_reach(groups: t.Any, settings: t.Any, said: str) -> None:
    problems = inventory_problems(groups, {"mon1": settings, "app1": {}})
    assert [said in problem.what for problem in problems] == ([True] if said else [])
    assert all("app1 cannot reach it" in problem.seen and "mon1" not in problem.seen for problem in problems)


@pytest.mark.parametrize(
    ("agent", "seen"),
    [
        ({}, ["app1 cannot reach it"]),
        ({"alloy_state": "absent"}, []),
        # Also if it were this Loki: that the agent cannot reach it is said where its addresses are checked.
        ({"monitoring_logs_push": ["https://logs.example.com"]}, []),
    ],
)
def test_an_agent_that_is_absent_or_sends_elsewhere_needs_no_loki(agent: t.Any, seen: list[str]) -> None:
    problems = inventory_problems({"loki": ["mon1"], "alloy": ["app1"]}, {"mon1": {}, "app1": agent})
    assert [problem.seen for problem in problems] == seen


def test_an_agent_sends_to_one_member() -> None:
    groups = {"loki": ["mon1", "mon2"], "alloy": ["mon2"]}
    hostvars = {"mon1": {"monitoring_tls": "off"}, "mon2": {"monitoring_tls": "off"}}
    assert not any("cannot reach it" in problem.seen for problem in inventory_problems(groups, hostvars))


FORBIDS = {"monitoring_tls": "selfsigned", "loki_config": {"limits_config": {"allow_structured_metadata": False}}}


@pytest.mark.parametrize(
    ("agent", "seen"),
    [
        ({}, ["Loki would refuse every line of app1, for good"]),
        ({"monitoring_logs_push": ["mon1"]}, ["Loki would refuse every line of app1, for good"]),
        ({"monitoring_logs_push": ["https://logs.example.com"]}, []),
        ({"monitoring_logs_metadata": False}, []),
        ({"monitoring_logs_metadata": "no"}, []),
        ({"alloy_state": "absent"}, []),
    ],
)
def test_a_loki_that_forbids_structured_metadata_would_refuse_every_line(agent: t.Any, seen: list[str]) -> None:
    groups = {"loki": ["mon1"], "alloy": ["app1"]}
    assert [problem.seen for problem in inventory_problems(groups, {"mon1": FORBIDS, "app1": agent})] == seen


@pytest.mark.parametrize(
    ("config", "agent", "found"),
    [
        ({"auth_enabled": True}, {}, True),
        ({"auth_enabled": "yes"}, {"monitoring_logs_push": ["mon1"]}, True),
        ({"auth_enabled": True}, {"monitoring_logs_push": ["https://logs.example.com"]}, False),
        ({"auth_enabled": True}, {"monitoring_logs_push": [{"to": "mon1", "tenant": "shop"}]}, False),
        ({"auth_enabled": True}, {"alloy_state": "absent"}, False),
        ({"auth_enabled": False}, {}, False),
        ({}, {}, False),
    ],
)
def test_a_loki_that_asks_for_tenants_would_lose_what_names_none(config: t.Any, agent: t.Any, found: bool) -> None:
    groups = {"loki": ["mon1"], "alloy": ["app1"]}
    hostvars = {"mon1": {"monitoring_tls": "selfsigned", "loki_config": config}, "app1": agent}
    problems = inventory_problems(groups, hostvars)
    assert [one.seen for one in problems] == (
        ["Loki would answer 401 to app1, whose lines would be lost"] if found else []
    )
    assert all("auth_enabled" in one.what and "take auth_enabled out" in one.remedy for one in problems)


NATIVE = {"promtail_config": {"clients": [{"url": "https://mon1:3100/loki/api/v1/push", "tenant_id": "shop"}]}}


@pytest.mark.parametrize(
    ("groups", "agent", "found"),
    [
        ({"promtail": ["app1"]}, NATIVE, False),
        ({"promtail": ["app1"], "alloy": ["app1"]}, NATIVE, True),  # of which Alloy names none
        ({"promtail": ["app1"], "alloy": ["app1"]}, {**NATIVE, "alloy_state": "absent"}, False),
        ({"promtail": ["app1"]}, {"promtail_config": {"clients": []}}, True),
        ({"promtail": ["app1"]}, {"promtail_config": "no map"}, True),
        ({"alloy": ["app1"]}, {"alloy_config": 'loki.write "x" { endpoint { tenant_id = "shop" } }'}, True),
    ],
)
def test_an_agent_may_state_its_tenant_natively(groups: t.Any, agent: t.Any, found: bool) -> None:
    hostvars = {"mon1": {"monitoring_tls": "selfsigned", "loki_config": {"auth_enabled": True}}, "app1": agent}
    problems = inventory_problems({"loki": ["mon1"], **groups}, hostvars)
    assert ["auth_enabled" in one.what for one in problems] == [True] * found


LISTEN = {"loki_grpc_listen_address": "10.0.0.1:9096", "loki_memberlist_listen_address": "10.0.0.1:7946"}


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({}, "loki_grpc_listen_address and loki_memberlist_listen_address would be open"),
        ({"monitoring_tls": "own"}, "loki_grpc_listen_address and loki_memberlist_listen_address would be open"),
        ({"loki_grpc_listen_address": "10.0.0.1:9096"}, "loki_memberlist_listen_address would be open"),
        (LISTEN, ""),
        ({"monitoring_tls": "selfsigned"}, ""),
        ({"monitoring_tls": "own", "monitoring_tls_ca": "/ca.crt"}, ""),
    ],
)
def test_members_without_certificates_need_a_network_of_their_own(settings: t.Any, seen: str) -> None:
    shared = {"loki_s3": {"bucket": "lines"}, "loki_listen_address": "10.0.0.1:3100"}
    hostvars = {"one": {**shared, **settings}, "two": {**shared, **LISTEN}}
    problems = inventory_problems({"loki": ["one", "two"]}, hostvars)
    assert [problem.seen.startswith(seen) for problem in problems] == ([True] if seen else [])
    assert inventory_problems({"loki": ["one"]}, hostvars) == [], "alone it has no members"


def test_members_need_a_store_that_they_share() -> None:
    groups = {"loki": ["one", "two"]}
    secure = {"monitoring_tls": "selfsigned"}
    (first, second) = inventory_problems(groups, {"one": secure, "two": secure})
    assert first.what == "Loki on one keeps lines on its own disk, but 2 hosts are in the group loki"
    assert "two" in second.what
    shared = {**secure, "loki_s3": {"bucket": "lines"}}
    native = {**secure, "loki_config": {"common": {"storage": {"gcs": {"bucket_name": "lines"}}}}}
    assert inventory_problems(groups, {"one": shared, "two": native}) == []
