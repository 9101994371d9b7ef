# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard of logs, and the ways to it: what is asked of Loki is what the agents write."""

from __future__ import annotations

import json
import re
import typing as t

import promql_parser as promql
import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import DEFAULTS, LABELS
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_stages import LEVELS

from dashboards import logs, uids
from dashboards.catalogue import boards
from tests.fixtures.known import nodes, selectors
from tests.testbed.queries import panels, put_in, targets

BOARDS = {board["uid"]: board for board in boards()}
# Each query for Loki, and the kind of panel that shows it.
ASKED = {
    f"{one.panel} {one.ref}": (one, panel["type"])
    for board in BOARDS.values()
    for panel in panels(board)
    for one in targets(board, panel)
    if one.kind == "loki"
}
VALUES = {one["name"]: one.get("allValue", "") for one in BOARDS[uids.LOGS]["templating"]["list"]}
# What LogQL has between the stream and the window, of which PromQL knows nothing.
PIPELINE = re.compile(r"\|(?:~ `[^`]*`| json| drop [\w, ]+?(?= \|)| line_format `[^`]*`| label_format \w+=`[^`]*`)")


def log_query(name: str) -> t.Any:
    """Without its pipeline LogQL is PromQL, but for a function's name: a parser is at hand for the rest."""
    bare = PIPELINE.sub("", ASKED[name][0].expr).replace("bytes_over_time", "count_over_time")
    return promql.parse(put_in(bare, VALUES))


@pytest.mark.parametrize("name", ASKED)
def test_log_query_names_labels_that_lines_have(name: str) -> None:
    expression = log_query(name)
    for selector in selectors(expression):
        matchers = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert set(matchers) == set(LABELS)
        assert re.fullmatch(matchers["instance"], "") is None, "Loki refuses what lets everything through"
        assert set(matchers["level"].split("|")) <= {*LEVELS, ".*"}
    grouped = {
        label
        for node in nodes(expression)
        if isinstance(node, promql.AggregateExpr) and node.modifier
        for label in node.modifier.labels
    }
    made = dict(re.findall(r"label_format (\w+)=`([^`]*)`", ASKED[name][0].expr))
    assert grouped <= {*LABELS, *DEFAULTS["metadata"], *made}
    shown = re.findall(r"line_format `([^`]*)`", ASKED[name][0].expr)
    used = set(re.findall(r"\.(\w+)", " ".join([*shown, *made.values()])))
    assert used <= {*LABELS, *DEFAULTS["metadata"], DEFAULTS["message_field"]}


@pytest.mark.parametrize("name", ASKED)
def test_log_query_is_of_the_kind_that_its_panel_shows(name: str) -> None:
    """Loki refuses to show lines as of one moment; and a search that counts do not take part in would mislead."""
    target, kind = ASKED[name]
    assert isinstance(log_query(name), promql.VectorSelector) == (kind == "logs")
    assert target.instant == (kind in ("stat", "bargauge"))
    assert target.expr.count("|~ `(?i)${search:raw}`") == target.expr.count("{instance=~")


def test_levels_are_those_of_the_agents() -> None:
    assert set(logs.LEVELS) == set(LEVELS)
    (box,) = [one for one in BOARDS[uids.LOGS]["templating"]["list"] if one["name"] == "level"]
    assert set(box["query"].split(",")) == set(LEVELS)


def test_boxes_offer_labels_of_the_logs() -> None:
    boxes = [one for one in BOARDS[uids.LOGS]["templating"]["list"] if one["type"] == "query"]
    assert [one["query"]["label"] for one in boxes] == ["instance", "service"]
    assert all(set(re.findall(r"(\w+)=~", one["query"]["stream"])) <= set(LABELS) for one in boxes)


def ways_to_logs(panel: dict[str, t.Any]) -> list[str]:
    return re.findall(rf'"(/d/{uids.LOGS}\?[^"]+)"', json.dumps(panel))


def test_what_is_known_of_a_service_or_a_host_leads_to_its_logs() -> None:
    """A curve by its labels, a row of a table by its columns. Without a service its job counts."""
    found = {
        board["uid"]: {panel["title"]: ways_to_logs(panel) for panel in panels(board)} for board in BOARDS.values()
    }
    way = f"/d/{uids.LOGS}?${{__url_time_range}}&${{datasource:queryparam}}".__add__
    service = way("&var-service=${__field.labels.service}")
    assert found[uids.SERVICES]["HTTP Request Rate"] == [service]
    assert found[uids.SERVICES]["Error Rate"] == [service]
    assert found[uids.SERVICES]["Most errors"] == [service]
    assert found[uids.SERVICES]["Services"] == [way("&var-service=${__data.fields.service}")]
    assert found[uids.SERVICES]["Memory"] == [
        way("&var-instance=${__field.labels.instance}&var-service=${__field.labels.job}")
    ]
    assert found[uids.SERVICES]["Requests by status"] == []
    assert found[uids.SERVICES]["Requests by service"] == [], "Traefik's names are not those of logs"
    assert found[uids.INFRASTRUCTURE]["Hosts"] == [way("&var-instance=${__data.fields.instance}")]
    assert found[uids.MONITORING]["Targets that are down"] == [
        way("&var-instance=${__data.fields.instance}&var-service=${__data.fields.job}")
    ]
    assert found[uids.ALERTS]["Alerts"] == [
        way("&var-instance=${__data.fields.host}&var-service=${__data.fields.which}")
    ]
    assert {uid for uid, titles in found.items() if not any(titles.values())} == set()
