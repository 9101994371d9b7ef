# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that ask Prometheus, each in this process, against a real HTTP server that answers as it does."""

from __future__ import annotations

import json
import typing as t
from collections import UserDict
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins.modules import prometheus_clean_tombstones, prometheus_info

CLEAN = "/api/v1/admin/tsdb/clean_tombstones"
EMPTY = {"resultType": "vector", "result": []}
FULL = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}


class Pages(UserDict[str, t.Any]):
    """Answers a query by its expression, whatever the time is that it is asked for."""

    def get(self, path: str, default: t.Any = None) -> t.Any:
        parts = urlsplit(path)
        asked = parse_qs(parts.query)
        return self.data.get(asked.get("query", [parts.path])[0], default)


def ok(data: t.Any) -> bytes:
    return json.dumps({"status": "success", "data": data}).encode()


def bad(status: int, words: str) -> tuple[int, bytes]:
    return status, json.dumps({"status": "error", "errorType": "bad_data", "error": words}).encode()


@pytest.fixture
def prometheus(site: t.Any, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., dict[str, t.Any]]:
    def run(module: t.Any, pages: dict[str, t.Any], check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        site.pages = Pages(pages)
        arguments = {"url": site.url, "timeout": 5, "_ansible_check_mode": check, **options}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return dict(json.loads(capsys.readouterr().out))

    return run


def test_several_questions(prometheus: t.Callable[..., dict[str, t.Any]], site: t.Any) -> None:
    pages = {"/api/v1/alerts": ok({"alerts": []}), "up": ok(FULL), "none": ok(EMPTY), "wrong(": bad(400, "parse error")}
    result = prometheus(
        prometheus_info,
        pages,
        paths={"alerts": "/api/v1/alerts"},
        queries=[
            {"name": "up", "expr": "up", "since": 3600},
            {"name": "there", "expr": "up", "exists": True},
            {"name": "not", "expr": "none", "exists": True},
            {"name": "wrong", "expr": "wrong("},
        ],
    )
    assert result["answers"] == {
        "alerts": {"data": {"alerts": []}},
        "up": {"data": FULL},
        "there": {"data": True},
        "not": {"data": False},
        "wrong": {"error": "parse error"},
    }
    assert (result["changed"], sum(site.asked.values())) == (False, 5)


def test_a_range_ends_now() -> None:
    question = prometheus_info.question(
        {"name": "x", "expr": "up", "since": 3600, "step": 60, "exists": False}, 10_000.5
    )
    assert (question.path, question.params["start"], question.params["end"]) == (
        "/api/v1/query_range",
        6400.5,
        10_000.5,
    )


def test_without_questions_nobody_is_asked(prometheus: t.Callable[..., dict[str, t.Any]], site: t.Any) -> None:
    assert prometheus(prometheus_info, {})["answers"] == {}
    assert not site.asked


def test_a_wrong_password_is_sent_once(prometheus: t.Callable[..., dict[str, t.Any]], site: t.Any) -> None:
    site.login = "monitoring:right"
    queries = [{"name": str(number), "expr": "up"} for number in range(9)]
    result = prometheus(prometheus_info, {"up": ok(FULL)}, queries=queries, user="monitoring", password="wrong")
    assert result["failed"]
    assert "401" in result["msg"]
    assert sum(site.asked.values()) == 1
    assert "wrong" not in json.dumps(result)


def test_a_server_that_is_gone(prometheus: t.Callable[..., dict[str, t.Any]], closed_port: int) -> None:
    result = prometheus(
        prometheus_info, {}, url=f"http://127.0.0.1:{closed_port}", queries=[{"name": "up", "expr": "up"}]
    )
    assert result["failed"]
    assert "no connection" in result["msg"]
    assert "What to do: see whether Prometheus runs" in result["msg"]


def test_a_first_question_that_is_wrong_does_not_hide_the_others(prometheus: t.Callable[..., dict[str, t.Any]]) -> None:
    queries = [{"name": "wrong", "expr": "("}, {"name": "up", "expr": "up"}]
    answers = prometheus(prometheus_info, {"(": bad(400, "parse error"), "up": ok(FULL)}, queries=queries)["answers"]
    assert answers == {"wrong": {"error": "parse error"}, "up": {"data": FULL}}


# --- tombstones ---


def block(folder: Path, name: str, stones: int) -> Path:
    path = folder / name
    path.mkdir()
    (path / "meta.json").write_text(json.dumps({"stats": {"numTombstones": stones} if stones else {}}))
    (path / "chunks").write_bytes(b"x" * 100_000)
    return path


ON = {"web.enable-admin-api": "true", "web.config.file": "/etc/prometheus/secrets/web.yml"}


@pytest.fixture
def clean(
    prometheus: t.Callable[..., dict[str, t.Any]], site: t.Any, tmp_path: Path
) -> t.Callable[..., dict[str, t.Any]]:
    """With two blocks, of which one is marked; cleaning removes it. The server answers a POST as it answers a GET."""
    site.server.RequestHandlerClass.do_POST = site.server.RequestHandlerClass.do_GET
    block(tmp_path, "01A", 0)
    marked = block(tmp_path, "01B", 3)

    def cleaned() -> tuple[int, bytes]:
        for path in (marked / "meta.json", marked / "chunks"):
            path.unlink()
        return 204, b""

    def run(flags: dict[str, str] = ON, **options: t.Any) -> dict[str, t.Any]:
        pages = {"/api/v1/status/flags": ok(flags), CLEAN: cleaned}
        return prometheus(prometheus_clean_tombstones, pages, data=str(tmp_path), **options)

    return run


def test_marked_blocks_are_cleaned(clean: t.Callable[..., dict[str, t.Any]], site: t.Any) -> None:
    result = clean()
    assert (result["changed"], result["tombstones"], result["blocks"], result["predicted"]) == (True, 3, 1, False)
    assert 100_000 <= result["freed"] < 150_000
    assert site.asked[CLEAN] == 1
    again = clean()
    assert (again["changed"], again["tombstones"], site.asked[CLEAN]) == (False, 0, 1)


@pytest.mark.parametrize(("options", "changed"), [({"check": True}, True), ({"clean": False}, False)])
def test_cleaning_is_only_predicted(
    clean: t.Callable[..., dict[str, t.Any]], site: t.Any, options: dict[str, bool], changed: bool
) -> None:
    result = clean(**options)
    assert (result["changed"], result["predicted"], result["tombstones"], site.asked[CLEAN]) == (changed, True, 3, 0)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({**ON, "web.enable-admin-api": "false"}, "its API for that is off"),
        ({**ON, "web.config.file": ""}, "it asks nobody for a password"),
    ],
)
def test_an_api_that_is_not_used(
    clean: t.Callable[..., dict[str, t.Any]], site: t.Any, flags: dict[str, str], why: str
) -> None:
    result = clean(flags)
    assert (result["skipped_because"], result["changed"], site.asked[CLEAN]) == (why, False, 0)
