# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the role prometheus: promtool's verdict, what each alert owes its reader, and what it is made of."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.alertmanager import INHIBIT_RULES
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.inventory_rules import inventory_rules
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import LABELS
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_stages import LEVELS
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki import THRESHOLD, log_rules

from dashboards import uids
from tests.fixtures.known import (
    ALERTS,
    ALL,
    DOCUMENTED,
    METRICS,
    RECORDS,
    ROOT,
    RULES,
    TARGET_LABELS,
    known_metrics,
    labels_within,
    load,
    nodes,
    selectors,
    thresholds,
    unknown_metrics,
    wrong_labels,
)
from tests.testbed import programs

# Those of Loki's ruler: LogQL, which promtool does not know. Their threshold stands in the expression.
LOG_RULES = ROOT / "roles/loki/files/rules/opswatch_logs.yml"
LOG_ALERTS = {rule["alert"]: rule for group in load(LOG_RULES)["groups"] for rule in group["rules"]}
EVERY = {**ALERTS, **LOG_ALERTS}
CASES = sorted((ROOT / "tests/rules").glob("*_test.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK_URL = "https://github.com/opswatch/monitoring/blob/main/docs/runbooks/"
SEVERITIES = {"critical", "warning", "info", "none"}
# It is on by design, so there is nothing in which it is silent.
ALWAYS_ON = {"Watchdog"}

# What the unit tests of promtool take for the inventory.
JOBS = [
    {"name": name, "objective": objective, "targets": [{"targets": ["host:1"]}]}
    for name, objective in [("prometheus", None), ("alertmanager", None), ("node_exporter", None), ("shop", 99.9)]
]


# --- promtool ---


@pytest.fixture(scope="module", params=programs.versions("prometheus"))
def promtool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.unpack("prometheus", request.param, tmp_path_factory.mktemp("promtool")) / "promtool"


@pytest.fixture(scope="module")
def newest_promtool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the versions at hand. How annotations are rendered differs between them, so the cases hold for one."""
    newest = programs.versions("prometheus")[-1]
    return programs.unpack("prometheus", newest, tmp_path_factory.mktemp("newest")) / "promtool"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cases, and below them the rules with what the inventory adds."""
    rules = tmp_path / "rules"
    rules.mkdir()
    for path in RULES:
        shutil.copy(path, rules)
    for path in CASES:
        shutil.copy(path, tmp_path)
    (rules / "opswatch_inventory.yml").write_text(yaml.safe_dump(inventory_rules(JOBS, thresholds(), {}, backups=True)))
    return tmp_path


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False
    )


def test_promtool_accepts_the_rules(promtool: Path, folder: Path) -> None:
    done = run(folder, promtool, "check", "rules", *sorted((folder / "rules").iterdir()))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", [path.name for path in CASES])
def test_rules_fire_and_are_silent(case: str, newest_promtool: Path, folder: Path) -> None:
    done = run(folder, newest_promtool, "test", "rules", case)
    assert done.returncode == 0, done.stdout


def test_each_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    fires, silent = set(), set()
    for path in CASES:
        for test in load(path)["tests"]:
            for case in test["alert_rule_test"]:
                (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    assert fires | silent <= set(ALERTS), "an alert that is not there is silent, whatever the case"
    assert fires == set(ALERTS)
    assert silent == set(ALERTS) - ALWAYS_ON


# --- what an alert owes its reader ---


def test_names_are_used_once() -> None:
    names = [rule.get("alert") or rule["record"] for rule in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", EVERY)
def test_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    alert = EVERY[name]
    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard"}
    assert all(alert["annotations"].values())
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK_URL}{name}.md"
    assert alert["annotations"]["dashboard"].removeprefix("/d/") in uids.TITLES


def test_runbooks_are_those_of_the_alerts() -> None:
    assert {path.name for path in RUNBOOKS.iterdir()} == {f"{name}.md" for name in EVERY}


@pytest.mark.parametrize("name", EVERY)
def test_runbook_explains_checks_and_acts(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^#+ .*", text, re.M) == [
        f"# {name}",
        "## What it means",
        "## How to check",
        "## What to do",
    ]
    means, check, do = re.split(r"^## .*\n", text, flags=re.M)[1:]
    assert "```sh\n" in check, "no command"
    assert all(part.strip() for part in (means, do))


TABLE = re.compile(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \| (\S+) \| (.+?) \| (\S+) \|$", re.M)


def test_the_table_of_alerts_is_what_the_rules_say() -> None:
    text = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    rows = TABLE.findall(text)
    defaults = thresholds() | {name: log_threshold(alert) for name, alert in LOG_ALERTS.items()}
    assert [row[:4] + row[5:] for row in rows] == [
        (
            name,
            name,
            alert["labels"]["severity"],
            str(alert.get("for", "0s")),
            f"`{defaults[name]}`" if name in defaults else "-",
        )
        for name, alert in EVERY.items()
    ]


def log_threshold(alert: dict[str, Any]) -> str:
    """The one number that an expression of LogQL compares with."""
    (found,) = THRESHOLD.findall(alert["expr"])
    return str(found)


@pytest.mark.parametrize("name", LOG_ALERTS)
def test_log_alert_is_about_a_service(name: str) -> None:
    """Whose name is in its text; selectors name no other labels and levels than the log agents set.

    Ours use no more of LogQL than PromQL has too, so a parser is at hand for them. Only the real Loki evaluates them.
    """
    alert = LOG_ALERTS[name]
    parsed = promql.parse(alert["expr"])
    found = list(nodes(parsed))
    assert {node.func.name for node in found if isinstance(node, promql.Call)} == {"count_over_time"}
    assert [node.modifier.labels for node in found if isinstance(node, promql.AggregateExpr)] == [["service"]] * len(
        selectors(parsed)
    )
    for one in selectors(parsed):
        matchers = {matcher.name: matcher.value for matcher in one.matchers.matchers}
        assert one.name is None
        assert "service" in matchers
        assert set(matchers) <= set(LABELS)
        assert set(matchers.get("level", "error").split("|")) <= set(LEVELS)
    for text in ("summary", "description"):
        assert set(re.findall(r"\$labels\.(\w+)", alert["annotations"][text])) == {"service"}


@pytest.mark.parametrize("stated", [None, 7, 0.5])
@pytest.mark.parametrize("name", LOG_ALERTS)
def test_log_alert_compares_with_its_threshold(name: str, stated: float | None) -> None:
    """The number that the table shows, or what the user states, is what is compared with, and the only number."""
    (file,) = log_rules([str(LOG_RULES)], {} if stated is None else {name: stated}).values()
    (alert,) = (rule for group in file["groups"] for rule in group["rules"] if rule["alert"] == name)
    found = list(nodes(promql.parse(alert["expr"])))
    (compared,) = (node for node in found if isinstance(node, promql.BinaryExpr) and str(node.op) == ">")
    (number,) = (node for node in found if isinstance(node, promql.NumberLiteral))
    assert compared.rhs.val == number.val == float(log_threshold(LOG_ALERTS[name]) if stated is None else stated) > 0


def test_loki_knows_what_its_groups_say() -> None:
    """It refuses a file with another key, and tells it in its journal alone."""
    groups = load(LOG_RULES)["groups"]
    assert [set(group) for group in groups] == [{"name", "interval", "rules"}] * len(groups)
    assert len({group["name"] for group in groups}) == len(groups)
    for alert in LOG_ALERTS.values():
        assert set(alert) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smh]", alert["for"])
    assert all(re.fullmatch(r"\d+[smh]", group["interval"]) for group in groups)
    assert sum(len(group["rules"]) for group in groups) == len(LOG_ALERTS), "two alerts of one name"


def inhibiting(name: str) -> list[dict[str, Any]]:
    return [rule for rule in INHIBIT_RULES if f'alertname="{name}"' in rule["source_matchers"]]


def test_inhibition_speaks_of_alerts_that_exist() -> None:
    matchers = [matcher for rule in INHIBIT_RULES for matcher in rule["source_matchers"] + rule["target_matchers"]]
    named = {name for one in matchers for name in re.findall(r"\w+", one.partition("alertname")[2])}
    assert named == {"HostDown", "ServiceDown", "ProbeFailed", "DatabaseDown"} & set(ALERTS)


def test_a_host_that_is_gone_is_told_before_its_services() -> None:
    """Else each service would be told first. Its rule has the instance, by which Alertmanager knows what to silence."""
    (rule,) = inhibiting("HostDown")
    assert rule["equal"] == ["instance"]
    names = list(ALERTS)
    assert names.index("HostDown") < names.index("ServiceDown")
    assert (ALERTS["HostDown"]["for"], ALERTS["ServiceDown"]["for"]) == ("30s", "1m")


# --- what the rules are made of ---


KNOWN = known_metrics()


def test_what_was_not_recorded_says_so() -> None:
    text = (METRICS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`([\w.-]+)\.tsv`", text)) == DOCUMENTED <= {path.stem for path in METRICS.glob("*.tsv")}


@pytest.mark.parametrize("name", [*RECORDS, *ALERTS])
def test_metrics_and_labels_exist(name: str) -> None:
    rule = RECORDS.get(name) or ALERTS[name]
    expression = promql.parse(rule["expr"])
    assert unknown_metrics(expression, KNOWN) == [], "metrics that no program exposes"
    assert wrong_labels(expression, KNOWN) == [], "labels that the metrics do not have"
    shown = set(re.findall(r"\$labels\.(\w+)", str(rule.get("annotations"))))
    assert sorted(shown - labels_within(expression, KNOWN.labels) - TARGET_LABELS) == [], "labels in the text"


def test_each_threshold_belongs_to_an_alert_and_each_alert_finds_its_own() -> None:
    asked = {
        name: {
            matcher.value
            for one in selectors(promql.parse(alert["expr"]))
            if one.name == "monitoring:threshold"
            for matcher in one.matchers.matchers
        }
        for name, alert in ALERTS.items()
    }
    assert {name for name, keys in asked.items() if name in keys} == set(thresholds())
    assert {key for keys in asked.values() for key in keys} == set(thresholds())
    in_text = {
        name: set(re.findall(r"monitoring:threshold\{alert='(\w+)'\}", alert["annotations"]["description"]))
        for name, alert in ALERTS.items()
    }
    assert {name: keys for name, keys in in_text.items() if keys - {name}} == {}, "the threshold of another alert"


@pytest.mark.parametrize("name", EVERY)
def test_queries_of_the_runbook_can_be_asked(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    for query in re.findall(r"--data-urlencode 'query=(.*)'$", text, re.M):
        assert unknown_metrics(promql.parse(query), KNOWN) == [], query


def test_pages_lead_to_alerts_and_files_that_exist() -> None:
    pages = [ROOT / "docs/alerts.md", *RUNBOOKS.iterdir()]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    links = [(page, link) for page, text in texts.items() for link in re.findall(r"\]\(([^)#]+)", text)]
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
