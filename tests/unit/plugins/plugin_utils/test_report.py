# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as it reads: on a terminal, as data, as a page; and its files."""

from __future__ import annotations

import json
import os
import re
import stat
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import report_page
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import (
    Chart,
    Finding,
    Look,
    Report,
    Row,
    counted,
    listed,
    terminal,
    verdict_words,
)

BROKEN = Finding("alerts", "broken", "app1", "shop", "ShopDown: it is gone", "since 10:00", "It died.", "start it")
WARNING = Finding(
    "resources", "warning", "app1", "node_exporter", "Disk of app1: 93 %", "threshold 90 %", "", "free some"
)
NOTE = Finding("versions", "note", "mon1", "", "A note")
OK = Finding("rules", "ok", "mon1", "prometheus", "Every rule can be evaluated")
CHART = Chart("Use", [Row("disk_of_app1", "93 %", 93, 90, [80, 85, 93], "warning"), Row("CPU", "5 %", 5, 80)], full=100)


def report(*findings: Finding, charts: t.Sequence[Chart] = (), made: str = "2026-11-25T04:00Z") -> Report:
    return Report("Daily maintenance", made, Look(findings, charts, {"series": 3}))


@pytest.mark.parametrize(
    ("findings", "verdict", "words"),
    [
        ([OK, NOTE], "ok", "All well"),
        ([OK, WARNING], "warning", "1 warning"),
        ([WARNING, WARNING, BROKEN], "broken", "1 broken, 2 warnings"),
        ([], "ok", "All well"),
    ],
)
def test_verdict(findings: list[Finding], verdict: str, words: str) -> None:
    found = report(*findings)
    assert (found.verdict, verdict_words(found)) == (verdict, words)


def test_data_has_the_counts_and_the_worst_first() -> None:
    data = report(OK, NOTE, WARNING, BROKEN).as_data()
    assert data["summary"] == {"ok": 1, "notes": 1, "warnings": 1, "broken": 1}
    assert [one["severity"] for one in data["findings"]] == ["broken", "warning", "note", "ok"]
    assert data["findings"][0] == {
        "check": "alerts",
        "severity": "broken",
        "host": "app1",
        "component": "shop",
        "what": "ShopDown: it is gone",
        "evidence": "since 10:00",
        "cause": "It died.",
        "fix": "start it",
    }


def test_a_look_survives_json() -> None:
    look = Look([BROKEN, OK], [CHART], {"a": {"b": 1}})
    again = Look.from_data(json.loads(json.dumps(look.as_data())))
    assert again.findings == [BROKEN, OK]
    assert again.charts[0].rows[0] == CHART.rows[0]
    assert again.state == {"a": {"b": 1}}


def test_looks_add_up() -> None:
    both = Look([OK], [CHART], {"a": 1}) + Look([NOTE], [], {"b": 2})
    assert (both.findings, both.charts, both.state) == ([OK, NOTE], [CHART], {"a": 1, "b": 2})


def test_terminal() -> None:
    assert terminal(report(OK, NOTE, WARNING, BROKEN), "/r/daily.html").splitlines() == [
        "Daily maintenance, 2026-11-25T04:00Z: 1 broken, 1 warning",
        "=" * 57,
        "broken   app1: ShopDown: it is gone",
        "         since 10:00",
        "         It died.",
        "         -> start it",
        "warning  Disk of app1: 93 %",
        "         threshold 90 %",
        "         -> free some",
        "note     mon1: A note",
        "ok       Every rule can be evaluated",
        "Report: /r/daily.html",
    ]


def test_what_comes_of_the_same_cause_is_named() -> None:
    found = report(BROKEN._replace(follows="one\ntwo\nthree\nfour\nfive", peer="loki of mon1"), WARNING)
    said = terminal(found)
    assert "         It died.\n         Of the same cause: one; two; three and 2 more\n         -> start it" in said
    first, second = found.as_data()["findings"]
    assert first["follows"].splitlines() == ["one", "two", "three", "four", "five"]
    assert "follows" not in second
    assert "peer" not in first
    page = report_page.page(found)
    assert "Of the same cause</b> one\ntwo" in page
    assert page.count("Of the same cause") == 1


def test_terminal_is_one_screen_and_says_what_it_leaves_out() -> None:
    many = [WARNING._replace(what=f"Number {number} " + "x" * 150) for number in range(50)]
    lines = terminal(report(*many, BROKEN)).splitlines()
    assert len(lines) <= 34
    assert lines[2].startswith("broken")
    left = re.fullmatch(r"  ... and (\d+) more in the report", lines[-1])
    assert left
    assert int(left[1]) + sum(line.startswith("warning") for line in lines) == 50
    assert max(map(len, lines)) <= 170


def test_numbers_and_lists_in_words() -> None:
    assert (counted(1, "rule"), counted(2, "rule"), counted(0, "is", "are")) == ("1 rule", "2 rules", "0 are")
    assert listed("abc", 3) == "a, b, c"
    assert listed("abcd", 3) == "a, b, c and 1 more"


# --- the page ---


def test_page_is_whole_and_needs_nothing_beside_it() -> None:
    text = report_page.page(report(OK, NOTE, WARNING, BROKEN, charts=[CHART]))
    for words in ("1 broken, 1 warning", "ShopDown", "It died.", "start it", "threshold 90 %", "Every rule"):
        assert words in text
    assert not re.search(r"<script|<link|<img|src=|@import|url\(|https?://", text)
    ET.fromstring(re.sub(r"<!DOCTYPE[^>]*>|<meta[^>]*>|<wbr>", "", text))  # every element is closed


def test_page_escapes_what_servers_say() -> None:
    bad = BROKEN._replace(what="<script>alert(1)</script>", evidence="a & b", host='"x"')
    chart = Chart("<b>", [Row("<i>_x", "<u>", 1)])
    text = report_page.page(report(bad, charts=[chart]))
    assert not re.search(r"<script|<i>|<u>", text)
    assert "&lt;script&gt;" in text
    assert "&lt;i&gt;_<wbr>x" in text


def test_a_runbook_is_a_link() -> None:
    text = report_page.page(report(BROKEN._replace(fix="https://example.com/ShopDown.md")))
    assert '<a href="https://example.com/ShopDown.md" rel="noopener noreferrer">' in text


def test_charts_in_numbers() -> None:
    drawn = report_page.drawn(CHART)
    first, second = drawn["rows"]
    assert (first["bar"], first["mark"], second["bar"], second["mark"]) == (93.0, 90.0, 5.0, 80.0)
    assert (drawn["bars"], drawn["curves"], second["curve"]) == (True, True, "")
    assert first["curve"] == "0.0,4.1 60.0,2.9 120.0,1.0"


def test_a_bar_never_leaves_its_box() -> None:
    (row,) = report_page.drawn(Chart("x", [Row("x", "x", 300, 150)], full=100))["rows"]
    assert (row["bar"], row["mark"]) == (100.0, 100.0)


def test_a_chart_of_zeros() -> None:
    (row,) = report_page.drawn(Chart("x", [Row("x", "0", 0, points=[0, 0])]))["rows"]
    assert (row["bar"], row["curve"]) == (0.0, "0.0,23.0 120.0,23.0")


# --- files ---


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    path = report_page.write(str(folder), "daily", report(BROKEN), 3)
    assert path == str(folder / "daily.html")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.lstat().st_mode) for file in folder.iterdir() if not file.is_symlink()} == {
        "daily-2026-11-25.html": 0o600,
        "daily-2026-11-25.json": 0o600,
    }
    assert json.loads((folder / "daily.json").read_text())["summary"]["broken"] == 1
    assert "ShopDown" in (folder / "daily.html").read_text()


def test_an_earlier_report_is_one_of_another_day(tmp_path: Path) -> None:
    for day in ("2026-10-25", "2026-11-01", "2026-11-25"):
        report_page.write(str(tmp_path), "monthly", report(OK, made=f"{day}T04:00Z"), 5)
    assert report_page.earlier(str(tmp_path), "monthly", "2026-11-25")["made"] == "2026-11-01T04:00Z"
    assert report_page.earlier(str(tmp_path), "monthly", "2026-10-25") == {}
    assert report_page.earlier(str(tmp_path / "none"), "monthly", "2026-10-25") == {}
    (tmp_path / "monthly-2026-11-02.json").write_text("cut")
    assert report_page.earlier(str(tmp_path), "monthly", "2026-11-25") == {}


def test_old_reports_go_and_those_of_other_routines_stay(tmp_path: Path) -> None:
    report_page.write(str(tmp_path), "weekly", report(OK), 2)
    for day in range(10, 15):
        report_page.write(str(tmp_path), "daily", report(OK, made=f"2026-11-{day}T04:00Z"), 2)
    dated = sorted(file.name for file in tmp_path.glob("*-2026*.json"))
    assert dated == ["daily-2026-11-13.json", "daily-2026-11-14.json", "weekly-2026-11-25.json"]
    assert os.readlink(tmp_path / "daily.html") == "daily-2026-11-14.html"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AnsibleError, match=r"No report can be written .* What to do: .*maintenance_report_dir"):
        report_page.make_folder(str(tmp_path / "file" / "reports"))
