# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules for Loki against the stand-in; against a real one at C(LOKI_URL) if that is set."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import typing as t
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins.modules import loki_push, loki_query_info
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.authority import certificate
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import SecretsDir

from tests.testbed import standins

LOKI_URL = os.environ.get("LOKI_URL")


@contextmanager
def standin(folder: Path, **server: t.Any) -> t.Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "common": {"path_prefix": str(folder)},
        "server": {"http_listen_address": "127.0.0.1", "http_listen_port": port, **server},
        "ingester": {"lifecycler": {"min_ready_duration": "0s"}},
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    words = [sys.executable, str(standins.SOURCES / "loki"), f"-config.file={folder / 'config.yml'}"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            for _attempt in range(1200):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    if LOKI_URL:
        yield LOKI_URL
        return
    with standin(tmp_path_factory.mktemp("loki")) as port:
        yield f"http://127.0.0.1:{port}"


class Modules:
    """Runs modules as Ansible does on the host, each in this process."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self.capsys = capsys

    def run(self, module: t.Any, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        arguments = {"url": self.url, "timeout": 10, **options, "_ansible_check_mode": check}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return dict(json.loads(self.capsys.readouterr().out))

    def push(self, **options: t.Any) -> dict[str, t.Any]:
        return self.run(loki_push, **options)

    def query(self, query: str, **options: t.Any) -> dict[str, t.Any]:
        return self.run(loki_query_info, query=query, **options)


@pytest.fixture
def modules(url: str, capsys: pytest.CaptureFixture[str]) -> Modules:
    return Modules(url, capsys)


@pytest.fixture
def labels() -> dict[str, str]:
    """Of a stream of this test's own."""
    return {"job": f"test-{uuid.uuid4().hex[:8]}"}


def test_lines_come_back(modules: Modules, labels: dict[str, str]) -> None:
    lines = ["one", "zwei ü", '{"three": 3}']
    done = modules.push(lines=lines, labels=labels, metadata={"trace": 7})
    assert done["changed"]
    assert 0 <= done["seconds"] < 10
    assert len(set(done["timestamps"])) == 3
    found = modules.query(f'{{job="{labels["job"]}"}}')
    assert not found["changed"]
    assert found["result_type"] == "streams"
    assert [one["line"] for one in found["lines"]] == lines
    assert [one["timestamp"] for one in found["lines"]] == done["timestamps"]
    assert all(one["labels"]["trace"] == "7" for one in found["lines"])


def test_limit_and_direction(modules: Modules, labels: dict[str, str]) -> None:
    modules.push(lines=["a", "b", "c"], labels=labels)
    query = f'{{job="{labels["job"]}"}}'
    assert [one["line"] for one in modules.query(query, limit=2)["lines"]] == ["b", "c"]
    assert [one["line"] for one in modules.query(query, limit=2, direction="forward")["lines"]] == ["a", "b"]
    assert modules.query(query, end=str(time.time_ns() - 3600 * 10**9), since=60)["lines"] == []


def test_numbers(modules: Modules, labels: dict[str, str]) -> None:
    modules.push(lines=["a", "b"], labels=labels)
    query = f'sum by (job) (count_over_time({{job="{labels["job"]}"}}[5m]))'
    now = modules.query(query, type="instant")
    assert now["result_type"] == "vector"
    assert [(one["metric"], one["value"][1]) for one in now["result"]] == [(labels, "2")]
    assert "lines" not in now
    assert modules.query(query, since=60, step="10s")["result_type"] == "matrix"


def test_instant_query_for_lines_is_refused_in_lokis_words(modules: Modules) -> None:
    """As the guide has it."""
    done = modules.query('{job="containerlogs"}', type="instant")
    assert done["failed"]
    assert "400 Bad Request: log queries are not supported as an instant query type" in done["msg"]
    assert done["msg"].endswith("What to do: ask for a range of time: type: range")


def test_query_that_is_wrong(modules: Modules) -> None:
    assert "syntax error: unexpected $end, expecting } or ," in modules.query('{job="test"')["msg"]


def test_check_mode_sends_nothing(modules: Modules, labels: dict[str, str]) -> None:
    done = modules.push(check=True, lines=["a"], labels=labels)
    assert done["changed"]
    assert "seconds" not in done
    assert modules.query(f'{{job="{labels["job"]}"}}')["lines"] == []


def test_line_that_is_refused(modules: Modules, labels: dict[str, str]) -> None:
    done = modules.push(lines=["x" * 300000], labels=labels)
    assert done["failed"]
    assert "max entry size" in done["msg"]
    assert done["msg"].endswith("What to do: write shorter lines, or raise max_line_size")


@pytest.mark.parametrize("options", [{"lines": []}, {"lines": ["a"], "labels": {}}])
def test_nothing_to_send(modules: Modules, options: t.Any) -> None:
    assert "There is nothing to send" in modules.push(**options)["msg"]


def test_lines_that_do_not_come_back(modules: Modules, labels: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loki_push, "lines_of", lambda streams: [])
    done = modules.push(lines=["a"], labels=labels, read_back=1)
    assert "1 of 1 lines were taken but did not come back within 1 s" in done["msg"]


def test_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: dict[str, str]) -> None:
    files = certificate(SecretsDir(str(tmp_path / "secrets")), "mon1", ["127.0.0.1"])
    paths = {}
    for name, text in files.items():
        paths[name] = tmp_path / name
        paths[name].write_text(text)
    tls = {
        "cert_file": str(paths["tls.crt"]),
        "key_file": str(paths["tls.key"]),
        "client_ca_file": str(paths["ca.crt"]),
        "client_auth_type": "RequireAndVerifyClientCert",
    }
    with standin(tmp_path, http_tls_config=tls) as port:
        modules = Modules(f"https://127.0.0.1:{port}", capsys)
        trusted = {"ca_path": str(paths["ca.crt"])}
        ours = {**trusted, "client_cert": str(paths["tls.crt"]), "client_key": str(paths["tls.key"])}
        assert modules.push(lines=["a"], labels=labels, **ours)["changed"]
        assert modules.push(lines=["a"], labels=labels, **trusted)["failed"]
        with pytest.raises(requests.RequestException):
            requests.get(f"{modules.url}/ready", verify=str(paths["ca.crt"]), timeout=5)
