# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that asks a component where its generation says, in this process, against a real HTTP server."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.modules import component_api_info

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(
    site: t.Any, layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> t.Callable[..., dict[str, t.Any]]:
    """The module on a host whose component is at the site."""
    monkeypatch.setattr(component_api_info, "Layout", lambda _name: layout)

    def ask(paths: dict[str, str], url: str = site.url, **options: t.Any) -> dict[str, t.Any]:
        generation = Path(layout.generation(1))
        generation.mkdir(parents=True, exist_ok=True)
        ready = {"base": url, "user": "monitoring"}
        (generation / "manifest.json").write_text(json.dumps({"ready": ready}))
        if not Path(layout.current).is_symlink():
            Path(layout.current).symlink_to("generations/1")
        arguments = {"name": "prometheus", "paths": paths, "timeout": 5, "password": "p4ssword", **options}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            component_api_info.main()
        return dict(json.loads(capsys.readouterr().out))

    return ask


def test_several_questions_with_the_password(run: Run, site: t.Any) -> None:
    site.login = "monitoring:p4ssword"
    site.pages = {
        "/api/v1/x": json.dumps({"status": "success", "data": {"a": 1}}).encode(),
        "/api/v2/status": json.dumps({"cluster": {"status": "ready"}}).encode(),
        "/ready": b"ready\n",
        "/wrong": (400, json.dumps({"status": "error", "error": "parse error"}).encode()),
        "/late": (503, b"Ingester not ready: waiting for 15s after being ready\n"),
    }
    found = run({"x": "/api/v1/x", "status": "/api/v2/status", "ready": "/ready", "wrong": "/wrong", "late": "/late"})
    assert found["answers"] == {
        "x": {"data": {"a": 1}},
        "status": {"data": {"cluster": {"status": "ready"}}},
        "ready": {"data": "ready"},
        "wrong": {"error": "HTTP 400: parse error"},
        "late": {"error": "HTTP 503: Ingester not ready: waiting for 15s after being ready"},
    }


def test_a_wrong_password_is_sent_once(run: Run, site: t.Any) -> None:
    site.login = "monitoring:another"
    found = run({"x": "/api/v1/x", "y": "/api/v1/y"})
    assert found["failed"]
    assert "refuses the password of the inventory: HTTP 401: Unauthorized" in found["msg"]
    assert "What to do: run site.yml without --limit" in found["msg"]
    assert dict(site.asked) == {"/api/v1/x": 1}


def test_one_that_does_not_answer(run: Run, closed_port: int) -> None:
    found = run({"x": "/x"}, url=f"http://127.0.0.1:{closed_port}")
    assert f"prometheus does not answer at http://127.0.0.1:{closed_port}" in found["msg"]
    assert "Connection refused" in found["msg"]


def test_one_that_is_not_there(run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component_api_info, "Layout", lambda _name: Layout("other", layout.root))
    assert "was not installed here by opswatch.monitoring" in run({"x": "/x"})["msg"]
