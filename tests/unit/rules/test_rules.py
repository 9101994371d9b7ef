# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the role prometheus: promtool's verdict, what each alert owes its reader, and what it is made of."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import promql_parser as promql
import pytest
import yaml
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.alertmanager import INHIBIT_RULES
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.inventory_rules import inventory_rules

from tests.testbed import programs

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "examples" / "dating_app"))

from dating_app.metrics import BUSINESS, Metrics  # noqa: E402  the line above leads to it

RULES = sorted((ROOT / "roles/prometheus/files/rules").glob("*.yml"))
CASES = sorted((ROOT / "tests/rules").glob("*_test.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK_URL = "https://github.com/opswatch/monitoring/blob/main/docs/runbooks/"
SEVERITIES = {"critical", "warning", "info", "none"}
# It is on by design, so there is nothing in which it is silent.
ALWAYS_ON = {"Watchdog"}

# Prometheus' own, and what the inventory puts on every target (scrape.py, probes.py, databases.py).
SYNTHETIC = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate"},
    "scrape_duration_seconds": set(),
    "scrape_samples_scraped": set(),
    "scrape_samples_post_metric_relabeling": set(),
    "scrape_series_added": set(),
}
# From its documentation and not recorded; no role installs it (tests/fixtures/metrics/README.md).
DOCUMENTED = {"traefik-3"}
TARGET_LABELS = {"job", "instance", "service", "module", "target", "prober", "database"}
INVENTORY = {"monitoring:threshold": {"alert"}, "monitoring:expected_job": {"job"}, "monitoring:objective": {"job"}}

# What the unit tests of promtool take for the inventory.
JOBS = [
    {"name": name, "objective": objective, "targets": [{"targets": ["host:1"]}]}
    for name, objective in [("prometheus", None), ("alertmanager", None), ("node_exporter", None), ("shop", 99.9)]
]


def load(path: Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


ALL = [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in ALL if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in ALL if "record" in rule}


def thresholds() -> dict[str, t.Any]:
    return load(ROOT / "roles/prometheus/vars/main.yml")["__prometheus_thresholds"]


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
    (rules / "opswatch_inventory.yml").write_text(yaml.safe_dump(inventory_rules(JOBS, thresholds(), {})))
    return tmp_path


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
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


@pytest.mark.parametrize("name", ALERTS)
def test_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(alert["annotations"].values())
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK_URL}{name}.md"


def test_runbooks_are_those_of_the_alerts() -> None:
    assert {path.name for path in RUNBOOKS.iterdir()} == {f"{name}.md" for name in ALERTS}


@pytest.mark.parametrize("name", ALERTS)
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
    defaults = thresholds()
    assert [row[:4] + row[5:] for row in rows] == [
        (
            name,
            name,
            alert["labels"]["severity"],
            str(alert.get("for", "0s")),
            f"`{defaults[name]}`" if name in defaults else "-",
        )
        for name, alert in ALERTS.items()
    ]


def inhibiting(name: str) -> list[dict[str, t.Any]]:
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


def recorded_metrics() -> dict[str, dict[str, set[str]]]:
    """For each file, each metric's labels, by the names that a query uses."""
    return {path.stem: dict(read_metrics(path)) for path in sorted((ROOT / "tests/fixtures/metrics").glob("*.tsv"))}


def read_metrics(path: Path) -> t.Iterator[tuple[str, set[str]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, kind, labels = line.split("\t")
        stated = {label for label in labels.split(",") if label}
        if kind in ("histogram", "summary"):
            yield f"{name}_sum", stated - {"quantile"}
            yield f"{name}_count", stated - {"quantile"}
        if kind == "histogram":
            yield f"{name}_bucket", stated | {"le"}
        else:
            yield name, stated


def example_metrics() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for service in {"webapp", *BUSINESS.values()}:
        metrics = Metrics(service)
        metrics.observe_request(method="GET", route="/", status=200, seconds=0, received_bytes=0, sent_bytes=0)
        metrics.db_query_duration.labels("read").observe(0)
        metrics.db_queries.labels("read").inc()
        for family in metrics.registry.collect():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def default_version(program: str) -> str:
    return load(ROOT / f"roles/{program}/defaults/main.yml")[f"{program}_version"]


def files_of_defaults(files: t.Iterable[str]) -> set[str]:
    """Those of the versions that the roles install by default."""
    programs_of = {stem.rsplit("-", 1)[0] for stem in set(files) - DOCUMENTED}
    return {f"{program}-{default_version(program)}" for program in programs_of} | DOCUMENTED


def known_metrics() -> tuple[dict[str, set[str]], set[str]]:
    """Labels by metric, over all versions; and the metrics that the default versions expose."""
    files = recorded_metrics()
    labels = {**SYNTHETIC, **INVENTORY, **{name: set() for name in RECORDS}}
    current = {*labels}
    for stem, metrics in files.items():
        for name, stated in metrics.items():
            labels[name] = labels.get(name, set()) | stated
        if stem in files_of_defaults(files):
            current |= set(metrics)
    for name, stated in example_metrics().items():
        labels[name] = labels.get(name, set()) | stated
        current.add(name)
    for name, rule in RECORDS.items():  # a record comes after what it is made of
        labels[name] = labels_within(promql.parse(rule["expr"]), labels)
    return labels, current


def test_what_was_not_recorded_says_so() -> None:
    text = (ROOT / "tests/fixtures/metrics/README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`([\w.-]+)\.tsv`", text)) == DOCUMENTED <= set(recorded_metrics())


def nodes(expression: t.Any) -> list[t.Any]:
    found: list[t.Any] = []
    promql.walk(expression, found.append)
    return found


def selectors(expression: t.Any) -> list[t.Any]:
    return [node for node in nodes(expression) if isinstance(node, promql.VectorSelector)]


def labels_within(expression: t.Any, labels: t.Mapping[str, set[str]]) -> set[str]:
    """All that the metrics of an expression may have: more than the result has, never less."""
    calls = [node for node in nodes(expression) if isinstance(node, promql.Call)]
    made = {call.args[1].val for call in calls if call.func.name == "label_replace"}
    return made | {label for one in selectors(expression) for label in labels.get(one.name, ())}


def named_labels(expression: t.Any) -> t.Iterator[tuple[t.Any, str]]:
    """Each label that an expression names, with the part of it in which the label has to exist."""
    for node in nodes(expression):
        if isinstance(node, promql.VectorSelector):
            yield from ((node, matcher.name) for matcher in node.matchers.matchers)
        elif isinstance(node, promql.AggregateExpr) and node.modifier:
            yield from ((node, label) for label in node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier:
            stated = node.modifier.matching.labels if node.modifier.matching else []
            yield from ((node, label) for label in [*stated, *(node.modifier.group_labels or [])])


LABELS, CURRENT = known_metrics()


@pytest.mark.parametrize("name", [*RECORDS, *ALERTS])
def test_metrics_and_labels_exist(name: str) -> None:
    rule = RECORDS.get(name) or ALERTS[name]
    expression = promql.parse(rule["expr"])
    assert sorted({one.name for one in selectors(expression)} - CURRENT) == [], "metrics that no program exposes"
    wrong = [
        f"{label} in {part.prettify()}"
        for part, label in named_labels(expression)
        if label not in labels_within(part, LABELS) | TARGET_LABELS
    ]
    assert wrong == [], "labels that the metrics do not have"
    shown = set(re.findall(r"\$labels\.(\w+)", str(rule.get("annotations"))))
    assert sorted(shown - labels_within(expression, LABELS) - TARGET_LABELS) == [], "labels in the text"


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


@pytest.mark.parametrize("name", ALERTS)
def test_queries_of_the_runbook_can_be_asked(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    for query in re.findall(r"--data-urlencode 'query=(.*)'$", text, re.M):
        assert sorted({one.name for one in selectors(promql.parse(query)) if one.name} - CURRENT) == [], query


def test_pages_lead_to_alerts_and_files_that_exist() -> None:
    pages = [ROOT / "docs/alerts.md", *RUNBOOKS.iterdir()]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    links = [(page, link) for page, text in texts.items() for link in re.findall(r"\]\(([^)#]+)", text)]
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
