# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins for Promtail and Alloy: what they refuse, and that they take what the roles write."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import typing as t
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import checked_logs
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_alloy import alloy_config
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_promtail import promtail_config
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_push import Push

from tests.testbed import standins

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures/http/loki-3.6.15.jsonl"
EXCHANGES = [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]
RECORDED = [one for one in EXCHANGES if ":9080/" in one["url"]]
LOGS = checked_logs(
    [{"name": "app", "kind": "files", "paths": ["/nowhere/*.log"]}, {"name": "journal", "kind": "journal"}], "web"
)
CLIENTS = [Push("https://mon:3100/loki/api/v1/push", "mon", "ca.crt", certificate=True)]
SETTINGS: dict[str, t.Any] = {
    "instance": "web",
    "address": "127.0.0.1",
    "port": 0,
    "positions": "/nowhere/positions.yaml",
    "legacy_positions": "/nowhere/legacy.yaml",
    "secrets": "/nowhere",
    "max_age": "168h",
    "line_limit": 256000,
    "metadata": True,
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Packed as upstream packs the real ones, and unpacked again."""
    folder = tmp_path_factory.mktemp("mirror")
    found = {}
    for name in ("promtail", "alloy"):
        (packed,) = standins.STAND_INS[name](folder)
        with zipfile.ZipFile(folder / packed.path) as archive:
            (member,) = archive.namelist()
            assert member == f"{name}-linux-amd64"
            found[name] = Path(archive.extract(member, folder))
    return found


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, program, *words], capture_output=True, text=True, check=False, timeout=120)


def test_they_say_what_they_are(programs: dict[str, Path]) -> None:
    assert "stand-in" in run(programs["promtail"], "-version").stdout
    assert "stand-in" in run(programs["alloy"], "--version").stdout


def test_promtail(programs: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "promtail.yml"
    found = promtail_config(LOGS, CLIENTS, SETTINGS)
    path.write_text(yaml.safe_dump(found))
    check = (f"-config.file={path}", "-check-syntax")
    assert run(programs["promtail"], *check).returncode == 0
    refused = run(programs["promtail"], *check, "-no.such=1")
    assert (refused.returncode, "flag provided but not defined: -no.such" in refused.stderr) == (2, True)
    path.write_text(yaml.safe_dump({**found, "client_s": []}))
    assert "field client_s not found" in run(programs["promtail"], *check).stderr
    path.write_text(yaml.safe_dump({**found, "clients": []}))
    assert "at least one client" in run(programs["promtail"], f"-config.file={path}").stderr
    assert "does not exist" in run(programs["promtail"], "-config.file=/nowhere").stderr


@pytest.fixture(scope="module")
def promtail(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("promtail")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {**SETTINGS, "port": port, "positions": str(folder / "positions.yaml")}
    path, url = folder / "promtail.yml", f"http://127.0.0.1:{port}"
    path.write_text(yaml.safe_dump(promtail_config(LOGS[:1], CLIENTS, settings)))
    with subprocess.Popen([sys.executable, programs["promtail"], f"-config.file={path}"]) as process:
        for _attempt in range(1200):
            try:
                requests.get(f"{url}/ready", timeout=30)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield url
        process.terminate()


@pytest.mark.parametrize("exchange", RECORDED, ids=lambda one: one["note"])
def test_promtail_answers_as_the_real_one(promtail: str, exchange: dict[str, t.Any]) -> None:
    url = promtail + exchange["url"].removeprefix("http://127.0.0.1:9080")
    answer = requests.request(exchange["method"], url, timeout=30)
    assert (answer.status_code, answer.text) == (exchange["status"], exchange["response"])


def test_alloy(programs: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "config.alloy"
    text = alloy_config(LOGS, CLIENTS, {**SETTINGS, "more": ""})
    path.write_text(text)
    assert run(programs["alloy"], "validate", str(path)).returncode == 0
    refused = run(programs["alloy"], "run", str(path), "--no-such", "--help")
    assert (refused.returncode, refused.stderr) == (1, "Error: unknown flag: --no-such\n")
    assert run(programs["alloy"], "run", str(path), "--disable-reporting=true", "--help").returncode == 0
    for wrong, said in (
        (text + 'loki.wright "x" {\n}\n', "cannot find the definition of component name"),
        (text.replace("stage.drop", "stage.dorp"), "cannot find the definition"),
        (text + 'loki.write "x" {\n', "got EOF"),
        (text + "what is this\n", "expected block or attribute"),
    ):
        path.write_text(wrong)
        assert said in run(programs["alloy"], "validate", str(path)).stderr
