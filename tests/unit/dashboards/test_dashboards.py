# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our dashboards: the files are what the code makes, and what they ask and link to exists."""

from __future__ import annotations

import json
import re
import subprocess
import typing as t
from itertools import combinations
from pathlib import Path

import promql_parser as promql
import pytest
import yaml

from dashboards import rules, uids
from dashboards.catalogue import FOLDER, TITLE, boards, files
from dashboards.queries import jobs_of
from tests.fixtures.known import (
    ALERTS,
    ROOT,
    RULES,
    known_metrics,
    nodes,
    selectors,
    thresholds,
    unknown_metrics,
    wrong_labels,
)
from tests.testbed import programs
from tests.testbed.queries import names_in, panels, put_in, targets

KNOWN = known_metrics()
BOARDS = {board["uid"]: board for board in boards()}
PANELS = {f"{uid} {panel['id']} {panel['title']}": panel for uid, board in BOARDS.items() for panel in panels(board)}
EVERY = {
    f"{one.panel} {one.ref}": one
    for board in BOARDS.values()
    for panel in panels(board)
    for one in targets(board, panel)
}
TARGETS = {name: one for name, one in EVERY.items() if one.kind == "prometheus"}
LOG_ALERTS = {
    rule["alert"]
    for group in yaml.safe_load((ROOT / "roles/loki/files/rules/opswatch_logs.yml").read_text())["groups"]
    for rule in group["rules"]
}
# The kernel's own counters, which node_exporter passes on without a type.
UNTYPED = ("node_vmstat_", "node_netstat_")


def everything(uid: str) -> dict[str, str]:
    return {one["name"]: one.get("allValue", ".*") for one in BOARDS[uid]["templating"]["list"]}


def parsed(expr: str, uid: str) -> t.Any:
    return promql.parse(put_in(expr, everything(uid)))


def marks(uid: str) -> list[dict[str, t.Any]]:
    return BOARDS[uid]["annotations"].get("list") or []


def strings(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


# --- the files ---


def test_the_files_are_what_the_code_makes() -> None:
    remedy = "run: python -m dashboards, look at the difference, and commit it"
    assert {path.name for path in FOLDER.rglob("*.*")} == {path.name for path in files()}, remedy
    differ = [path.name for path, text in files().items() if path.read_text("utf-8") != text]
    assert differ == [], remedy


def test_names_are_stable() -> None:
    """People have bookmarks, and alerts link to them: a UID that changes breaks both."""
    assert {uid: board["title"] for uid, board in BOARDS.items()} == {
        "opswatch-infrastructure": "Infrastructure Overview",
        "opswatch-services": "Application Services",
        "opswatch-database": "Database Metrics",
        "opswatch-containers": "Containers",
        "opswatch-logs": "Logs",
        "opswatch-alerts": "Alerts",
        "opswatch-monitoring": "Monitoring Stack",
    }
    assert [path.parent.name for path in files()] == [TITLE] * len(BOARDS)


@pytest.mark.parametrize("uid", BOARDS)
def test_grafana_9_3_loads_it_and_so_do_later_ones(uid: str) -> None:
    """9.3.2 knows the schema up to 37 and leaves a newer one as it is; later ones lift what is older."""
    assert BOARDS[uid]["schemaVersion"] <= 37
    assert {panel["type"] for panel in panels(BOARDS[uid])} <= {
        "stat",
        "timeseries",
        "table",
        "bargauge",
        "state-timeline",
        "logs",
    }
    assert BOARDS[uid].get("id") is None, "Grafana numbers them itself"


# --- the guide's ---


@pytest.mark.parametrize(
    ("uid", "titles"),
    [
        ("opswatch-infrastructure", {"CPU Usage", "Memory Usage", "Disk Usage"}),
        ("opswatch-services", {"HTTP Request Rate", "HTTP Response Time", "Error Rate"}),
        ("opswatch-database", {"Active Connections", "Query Rate", "Database Size"}),
    ],
)
def test_the_panels_of_the_guide_are_there(uid: str, titles: set[str]) -> None:
    assert titles <= {panel["title"] for panel in panels(BOARDS[uid])}


# --- queries ---


@pytest.mark.parametrize("name", TARGETS)
def test_query_parses_and_asks_for_what_there_is(name: str) -> None:
    target = TARGETS[name]
    expression = parsed(target.expr, target.dashboard)
    assert unknown_metrics(expression, KNOWN) == [], "metrics that no program exposes"
    assert wrong_labels(expression, KNOWN) == [], "labels that the metrics do not have"


@pytest.mark.parametrize("version", programs.versions("prometheus"))
def test_promtool_takes_every_query(version: str, tmp_path: Path) -> None:
    """As rules, which is what promtool checks: the parser above is another program's."""
    queries = [put_in(target.expr, everything(target.dashboard)) for target in TARGETS.values()]
    queries += [put_in(mark["expr"], everything(uid)) for uid in BOARDS for mark in marks(uid)]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool = programs.unpack("prometheus", version, tmp_path) / "promtool"
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(queries)} rules found" in done.stdout


@pytest.mark.parametrize("name", TARGETS)
def test_rates_are_of_counters_alone(name: str) -> None:
    target = TARGETS[name]
    calls = [node for node in nodes(parsed(target.expr, target.dashboard)) if isinstance(node, promql.Call)]
    for call in calls:
        for argument in call.args:
            if not isinstance(argument, promql.MatrixSelector):
                continue
            metric = argument.vector_selector.name
            kind = KNOWN.types.get(metric)
            if call.func.name in ("rate", "irate", "increase"):
                assert kind == "counter" or metric.startswith(UNTYPED), f"{metric} is a {kind}"
            if call.func.name in ("deriv", "delta", "predict_linear"):
                assert kind != "counter", f"{metric} is a counter"


@pytest.mark.parametrize("name", TARGETS)
def test_thresholds_are_those_of_alerts(name: str) -> None:
    target = TARGETS[name]
    asked = {
        matcher.value
        for one in selectors(parsed(target.expr, target.dashboard))
        if one.name == "monitoring:threshold"
        for matcher in one.matchers.matchers
    }
    assert asked <= set(thresholds())


def test_every_threshold_is_drawn() -> None:
    drawn = " ".join(target.expr for target in TARGETS.values())
    missing = {name for name in thresholds() if f'monitoring:threshold{{alert="{name}"}}' not in drawn}
    # What a table tells, what stands beside its sister, and what is about Loki and the log agents themselves.
    told = {"CertificateExpiresVerySoon", "DatabaseDeadlocks", "DiskWillFill", "InodesLow", "SlowStatements"}
    told |= {"RestoreDrillMissing"}
    told |= {"LogReadingBehind", "LokiRequestErrors", "LokiRetentionNotApplied", "LokiStreamsNearLimit"}
    assert missing == told


def test_a_metric_tells_its_exporter() -> None:
    assert jobs_of("sum(instance:node_cpu_used:percent) / pg_up") == ["node_exporter", "postgres_exporter"]
    assert jobs_of('up{instance="node_x", job="pg_x"} and on (instance) x') == []
    assert jobs_of('up{job="cadvisor"}') == ["cadvisor"]
    assert jobs_of("rate(container_fs_reads_total[5m])") == ["cadvisor"]


# --- panels ---


@pytest.mark.parametrize("name", PANELS)
def test_panel_explains_itself(name: str) -> None:
    panel = PANELS[name]
    assert panel["title"].strip() == panel["title"] != ""
    assert re.search(r"\w.*\.", panel["description"])
    assert re.search(r"\bNormal\b", panel["description"]), "what is normal"
    assert panel["fieldConfig"]["defaults"]["noValue"], "what it says without data"
    assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("name", PANELS)
def test_alerts_in_help_exist(name: str) -> None:
    """A word in camel case is the name of an alert."""
    named = re.findall(r"\b(?:[A-Z][a-z]+|WAL|CPU){2,}\b", PANELS[name]["description"])
    known = {*ALERTS, *LOG_ALERTS, "PostgreSQL"}
    assert sorted(set(named) - known) == []


@pytest.mark.parametrize("name", PANELS)
def test_what_is_said_without_data_is_no_number(name: str) -> None:
    """Grafana would draw that number where data are missing; a blank is 0 to it."""
    config = PANELS[name]["fieldConfig"]
    properties = [one for override in config["overrides"] for one in override["properties"]]
    said = [config["defaults"]["noValue"], *(one["value"] for one in properties if one["id"] == "noValue")]
    assert all(text.strip() and not text.strip().isdigit() for text in said)


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(uid: str) -> None:
    board = BOARDS[uid]
    every = [*board["panels"], *(one for row in board["panels"] for one in row.get("panels") or [])]
    assert len({panel["id"] for panel in every}) == len(every)
    # The panels within a folded row are shown instead of what is below it.
    for shown in [board["panels"], *(row.get("panels") or [] for row in board["panels"])]:
        areas = {panel["id"]: cells(panel["gridPos"]) for panel in shown}
        assert [pair for pair in combinations(areas, 2) if areas[pair[0]] & areas[pair[1]]] == []
        assert all(x < 24 for area in areas.values() for x, _y in area)


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    return {
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    }


@pytest.mark.parametrize("uid", BOARDS)
def test_titles_are_used_once_in_a_row(uid: str) -> None:
    titles: list[list[str]] = [[]]
    for panel in BOARDS[uid]["panels"]:
        if panel["type"] == "row":
            titles.append([one["title"] for one in panel.get("panels") or []])
        else:
            titles[-1].append(panel["title"])
    assert all(len(row) == len(set(row)) for row in titles)


@pytest.mark.parametrize("name", PANELS)
def test_overrides_meet_a_column_or_a_query(name: str) -> None:
    """One for something that is not there does nothing, without a word."""
    panel = PANELS[name]
    refs = {target["refId"] for target in panel["targets"]}
    renamed = {
        new
        for change in panel.get("transformations") or []
        for new in change["options"].get("renameByName", {}).values()
    }
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        if matcher["id"] == "byName":
            assert matcher["options"] in renamed
        if matcher["id"] == "byFrameRefID" and panel["type"] == "timeseries":
            assert matcher["options"] in refs


# --- variables, datasources, links ---


@pytest.mark.parametrize("uid", BOARDS)
def test_variables_are_used_and_those_used_are_there(uid: str) -> None:
    board = BOARDS[uid]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert [variable["id"] for variable in variables.values()] == list(variables), "Grafana 9 goes by the ID"
    elsewhere = {**board, "templating": None}
    used = {name for text in strings(elsewhere) for name in names_in(text)}
    chained = {name for variable in variables.values() for text in strings(variable) for name in names_in(text)}
    assert sorted(set(variables) - used) == []
    assert sorted(name for name in (used | chained) - set(variables) if not name.startswith("__")) == []


def test_a_service_is_narrowed_to_a_host() -> None:
    """An alert leads here with its host. Records are over all hosts: theirs is the job, and the host narrows that."""
    variables = {one["name"]: one for one in BOARDS[uids.SERVICES]["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "job", "service"]
    assert 'instance=~"$instance"' in variables["job"]["query"]["query"]
    ours = [one for one in TARGETS.values() if one.dashboard == uids.SERVICES]
    asked = {found for one in ours for found in re.findall(r"(\w[\w:]*)\{([^}]*)\}", one.expr)}
    missing = {metric for metric, matchers in asked if 'instance=~"$instance"' not in matchers}
    over_all = ("service:", "job_operation:", "monitoring:", "traefik_", "ALERTS")
    assert {metric for metric in missing if not metric.startswith(over_all)} == {"up"}, "of the job probe"


@pytest.mark.parametrize("uid", BOARDS)
def test_variables_ask_for_what_there_is(uid: str) -> None:
    for variable in BOARDS[uid]["templating"]["list"]:
        if variable["type"] != "query" or variable["datasource"]["type"] == "loki":
            continue
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
        expression = parsed(f"count by ({label}) ({series})", uid)
        assert unknown_metrics(expression, KNOWN) == []
        assert wrong_labels(expression, KNOWN) == []
        assert variable["includeAll"]
        assert variable["multi"]
        assert variable["current"]["value"] == "$__all"


@pytest.mark.parametrize("uid", BOARDS)
def test_the_datasource_is_always_the_variable(uid: str) -> None:
    boxes = [one for one in BOARDS[uid]["templating"]["list"] if one["type"] == "datasource"]
    names = {"prometheus": "datasource", **({"loki": "logs"} if uid == uids.LOGS else {})}
    assert {one["query"]: one["name"] for one in boxes} == names
    assert all(one["current"]["value"] == one["query"] for one in boxes), "the first of its kind has this UID"

    def references(value: t.Any) -> t.Iterator[t.Any]:
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from references(inner)
        if isinstance(value, dict) and "datasource" in value:
            yield value["datasource"]

    found = list(references({**BOARDS[uid], "templating": {"list": []}}))
    found += [one["datasource"] for one in BOARDS[uid]["templating"]["list"] if one["type"] == "query"]
    assert found
    assert all(one in [{"type": kind, "uid": f"${{{name}}}"} for kind, name in names.items()] for one in found)
    assert all("datasource" in panel for panel in panels(BOARDS[uid]))


def urls(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        if "url" in value and "title" in value:
            yield value["url"]
        for inner in value.values():
            yield from urls(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from urls(inner)


@pytest.mark.parametrize("uid", BOARDS)
def test_links_lead_somewhere(uid: str) -> None:
    seen = list(urls(BOARDS[uid]))
    for url in seen:
        if url.startswith("https:"):
            assert re.fullmatch(rf"{re.escape(rules.RUNBOOKS)}/\$\{{__data\.fields\.\w+\}}\.md", url)
            continue
        target = re.match(r"/d/([^?]+)", url)[1]
        # The column of the table of alerts is checked below.
        if target != "${__data.fields.dashboard}":
            assert target in BOARDS
            wanted = set(re.findall(r"var-(\w+)=", url))
            assert wanted <= {variable["name"] for variable in BOARDS[target]["templating"]["list"]}
    others = {url.removeprefix("/d/") for url in seen} & set(BOARDS)
    assert others == set(BOARDS) - {uid}, "the bar at the top"


@pytest.mark.parametrize("name", PANELS)
def test_links_name_columns_that_are_there(name: str) -> None:
    panel = PANELS[name]
    columns = {
        old for change in panel.get("transformations") or [] for old in change["options"].get("renameByName", {})
    }
    named = {column for url in urls(panel) for column in re.findall(r"__data\.fields\.(\w+)", url)}
    assert named <= columns


def test_every_alert_leads_to_a_dashboard_and_its_runbook() -> None:
    shown = rules.alerts_by_dashboard()
    assert set(shown) <= set(uids.TITLES)
    assert sorted(name for names in shown.values() for name in names) == sorted(ALERTS)
    (table,) = [panel for panel in panels(BOARDS[uids.ALERTS]) if panel["title"] == "Alerts"]
    expr = table["targets"][0]["expr"]
    for uid, names in shown.items():
        assert f'"dashboard", "{uid}", "alertname", "{"|".join(names)}"' in expr
    pages = {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")}
    assert set(ALERTS) <= pages, "the links to runbooks"  # Loki's alerts have pages too, and are no series


@pytest.mark.parametrize("annotations", [{}, {"dashboard": "/d/opswatch-weather"}])
def test_an_alert_without_a_dashboard_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annotations: dict[str, str]
) -> None:
    rule = {"alert": "Storm", "annotations": annotations}
    (tmp_path / "opswatch_weather.yml").write_text(yaml.safe_dump({"groups": [{"rules": [rule]}]}))
    monkeypatch.setattr(rules, "FOLDER", tmp_path)
    with pytest.raises(LookupError, match=r"opswatch_weather\.yml: Storm names no dashboard of ours"):
        rules.alerts_by_dashboard()


@pytest.mark.parametrize("uid", BOARDS)
def test_marks_are_alerts_of_this_dashboard(uid: str) -> None:
    for mark in marks(uid):
        expression = parsed(mark["expr"], uid)
        assert wrong_labels(expression, KNOWN) == []
        (named,) = [one.value for one in selectors(expression)[0].matchers.matchers if one.name == "alertname"]
        assert named.split("|") == [one for one in rules.alerts_by_dashboard()[uid] if one != "Watchdog"]


def test_the_json_is_plain() -> None:
    for text in files().values():
        assert json.dumps(json.loads(text), indent=2) + "\n" == text
    assert len(RULES) > 5
