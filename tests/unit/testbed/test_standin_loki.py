# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for Loki against every exchange that was recorded with the real 3.6.15, in their order."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
import time
import typing as t
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml

from tests.fixtures.record_metrics import METRICS, rows
from tests.fixtures.record_metrics import read as recorded_metrics
from tests.testbed import standins

ROOT = Path(__file__).resolve().parents[3]
VERSION = yaml.safe_load((ROOT / "roles/loki/defaults/main.yml").read_text(encoding="utf-8"))["loki_version"]
FIXTURE = ROOT / f"tests/fixtures/http/loki-{VERSION}.jsonl"
EXCHANGES = [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]
OF_LOKI = [one for one in EXCHANGES if ":3100/" in one["url"]]
RECORDED_AT = 1795424596975168512  # of the first line that was pushed
NANO = 10**9
# What is the recorded program's own or the moment's: only what kind of thing it is.
LOOSE = {"ring", "config, YAML", "volume", "stats", "build info"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the mirror has it."""
    mirror = tmp_path_factory.mktemp("mirror")
    packed = standins.pack_loki(mirror)[-1]
    archive = mirror / packed.path
    assert packed.version == VERSION
    assert (archive.parent / "SHA256SUMS").read_text().split() == [
        hashlib.sha256(archive.read_bytes()).hexdigest(),
        archive.name,
    ]
    with zipfile.ZipFile(archive) as held:
        (name,) = held.namelist()
        held.extract(name, mirror)
    (mirror / name).chmod(0o755)
    return mirror / name


def call(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def written(folder: Path, **config: t.Any) -> Path:
    common = {"path_prefix": str(folder), "storage": {"filesystem": {"rules_directory": "/tmp/loki/rules"}}}
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump({"common": common, **config}))
    return path


@contextmanager
def running(program: Path, folder: Path, **config: t.Any) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = {"http_listen_address": "127.0.0.1", "http_listen_port": port}
    config = {"ingester": {"lifecycler": {"min_ready_duration": "0s"}}, **config}
    path = written(folder, server=server, **config)
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([program, f"-config.file={path}"], stderr=subprocess.DEVNULL) as process:
        try:
            for _attempt in range(1200):
                try:
                    requests.get(f"{url}/ready", timeout=30)
                    break
                except requests.ConnectionError:
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()


# --- the record ---


@pytest.fixture(scope="module")
def loki(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With the lines in it that an agent had sent before the recording began."""
    with running(program, tmp_path_factory.mktemp("loki")) as url:
        earlier: list[tuple[dict[str, str], int]] = [
            ({"job": "applicationlogs", "filename": "a.log", "level": "INFO", "service": "shop"}, 10),
            ({"job": "applicationlogs", "filename": "b.log", "level": "INFO", "service": "shop"}, 4000),
            ({"job": "containerlogs", "filename": "c.log", "stream": "stdout", "container_name": "web"}, 10),
        ]
        for stream, age in earlier:
            push(url, stream, time.time_ns() - age * NANO, "an earlier line")
        yield url


def push(url: str, stream: dict[str, str], stamp: int, line: str, *more: t.Any) -> requests.Response:
    body = {"streams": [{"stream": stream, "values": [[str(stamp), line, *more]]}]}
    return requests.post(f"{url}/loki/api/v1/push", json=body, timeout=30)


@pytest.fixture(scope="module")
def shift() -> int:
    """From the moment of the recording to now."""
    return time.time_ns() - RECORDED_AT


def moved(data: t.Any, shift: int) -> t.Any:
    """Recorded data as of now. The guide's own line stays in 2022."""
    text = json.dumps(data)
    text = re.sub(r'"(17954\d{14}|17955\d{14})"', lambda found: f'"{int(found[1]) + shift}"', text)
    return json.loads(text)


def plain(data: t.Any) -> t.Any:
    """Without what every answer has otherwise: statistics, moments."""
    text = re.sub(r'"stats": (\{[^}]*\}|"[^"]*")', '"stats": 0', json.dumps(data))
    text = re.sub(r"20(?!22)\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "MOMENT", text)
    return json.loads(re.sub(r"\[1\d{9}\.\d+,", "[0,", text))


def test_nothing_recorded_is_left_out() -> None:
    rest = [one for one in EXCHANGES if one not in OF_LOKI]
    assert len(OF_LOKI) > 30
    assert all(":9080/" in one["url"] for one in rest), "those of Promtail, which its own stand-in is held to"


@pytest.mark.parametrize("exchange", OF_LOKI, ids=lambda one: one["note"])
def test_it_answers_as_the_real_one(loki: str, shift: int, exchange: dict[str, t.Any]) -> None:
    """One after the other, as they were recorded: each builds on those before it."""
    note, asked = exchange["note"], moved(exchange["request"], shift)
    if note.startswith("a line longer"):  # it was recorded in part
        stamp = re.search(r"\d{19}", exchange["request"])
        values = [[str(int(stamp[0]) + shift), "x" * 300000]] if stamp else []
        asked = {"streams": [{"stream": {"job": "test"}, "values": values}]}
    data = asked if isinstance(asked, (str, type(None))) else json.dumps(asked)
    url = loki + exchange["url"].removeprefix("http://127.0.0.1:3100")
    answer = requests.request(exchange["method"], url, params=exchange["params"], data=data, timeout=30)
    assert answer.status_code == exchange["status"], answer.text
    expected = moved(exchange["response"], shift)
    if note in LOOSE:
        assert kind(answer) == (type(expected), keys(expected))
        return
    seen = answer.text if isinstance(expected, str) else answer.json()
    if note == "services":
        assert sorted(seen.split("\n")) == sorted(expected.split("\n"))
        return
    assert plain(seen) == plain(expected)


def keys(data: t.Any) -> list[str]:
    return sorted(data) if isinstance(data, dict) else []


def kind(answer: requests.Response) -> tuple[type, list[str]]:
    is_json = answer.headers["Content-Type"] == "application/json"
    return (dict, keys(answer.json())) if is_json else (str, [])


# --- beside the record ---


def test_it_says_what_it_is(program: Path) -> None:
    """With whatever flags before it, as the real one."""
    done = call(program, "-config.file=/nonexistent", "-nosuch", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"loki, version {re.escape(VERSION)} \(stand-in .*\)\n", done.stdout)


PERIOD = {"from": "2020-10-24", "store": "boltdb-shipper", "object_store": "filesystem", "schema": "v11"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param(
            {"limits_config": {"enforce_metric_name": False}},
            "field enforce_metric_name not found in type validation.plain",
            id="a key that is gone",
        ),
        pytest.param({"schema_config": {"configs": [PERIOD]}}, "your schema version is v11", id="the guide's schema"),
        pytest.param(
            {"schema_config": {"configs": [PERIOD]}, "limits_config": {"allow_structured_metadata": False}},
            "",
            id="without structured metadata",
        ),
        pytest.param({}, "", id="right"),
    ],
)
def test_it_verifies_a_configuration(program: Path, tmp_path: Path, config: t.Any, said: str) -> None:
    done = call(program, f"-config.file={written(tmp_path, **config)}", "-verify-config")
    assert done.returncode == (1 if said else 0)
    assert said in done.stderr
    assert said or "config is valid" in done.stderr


def test_it_refuses_an_unknown_flag(program: Path, tmp_path: Path) -> None:
    done = call(program, f"-config.file={written(tmp_path)}", "-no.such.flag=1", "-verify-config")
    assert (done.returncode, done.stdout) == (1, "")
    assert "flag provided but not defined: -no.such.flag" in done.stderr


def test_lines_outlive_a_restart(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path) as url:
        assert push(url, {"job": "a"}, time.time_ns(), "kept", {"user": "7"}).status_code == 204
    with running(program, tmp_path) as url:
        query = {"query": '{job="a"} |= "kept" | user="7"'}
        (stream,) = requests.get(f"{url}/loki/api/v1/query_range", params=query, timeout=30).json()["data"]["result"]
        assert [line for _stamp, line in stream["values"]] == ["kept"]


def test_it_is_not_ready_at_once_unless_it_is_told_so(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path, ingester={}) as url:
        answer = requests.get(f"{url}/ready", timeout=30)
        assert (answer.status_code, answer.text) == (503, "Ingester not ready: waiting for 15s after being ready\n")


def test_it_lists_the_rules_of_the_role(program: Path, tmp_path: Path) -> None:
    rules = ROOT / "roles/loki/files/rules/opswatch_logs.yml"
    (tmp_path / "rules/fake").mkdir(parents=True)
    (tmp_path / "rules/fake/opswatch_logs.yml").write_text(rules.read_text())
    ruler = {"storage": {"type": "local", "local": {"directory": str(tmp_path / "rules")}}}
    with running(program, tmp_path, ruler=ruler) as url:
        listed = requests.get(f"{url}/prometheus/api/v1/rules", timeout=30).json()["data"]["groups"]
    assert {rule["name"] for group in listed for rule in group["rules"]} == {"LogErrorBurst", "LogServiceSilent"}


def test_it_exposes_what_the_real_one_exposes(loki: str) -> None:
    text = requests.get(f"{loki}/metrics", timeout=30).text
    assert rows(text) == recorded_metrics(METRICS / f"loki-{VERSION}.tsv")
    # By these it is well: no alert about it goes off in the demo.
    assert re.search(r"^loki_boltdb_shipper_compactor_running\{[^}]*\} 1$", text, re.MULTILINE)
    for name in ("process_start_time_seconds", "loki_compactor_apply_retention_last_successful_run_timestamp_seconds"):
        (seen,) = re.findall(rf"^{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)
        assert abs(float(seen) - time.time()) < 600
