# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for cAdvisor is held to what the real one was recorded to do."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import typing as t
import urllib.error
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.fixtures.record_metrics import METRICS, Rows, fetch, rows
from tests.fixtures.record_metrics import read as recorded
from tests.testbed import standins

ROOT = Path(__file__).resolve().parents[3]
SOURCE = standins.SOURCES / "cadvisor.py"
ROLE = yaml.safe_load((ROOT / "roles/cadvisor/defaults/main.yml").read_text(encoding="utf-8"))
VERSION = ROLE["cadvisor_version"]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SOURCE, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@contextmanager
def running(*arguments: str) -> t.Iterator[str]:
    """It listens on a free port of the loopback; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, str(SOURCE), "-listen_ip=127.0.0.1", f"-port={port}", "-docker_only", *arguments]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            for _attempt in range(1200):
                try:
                    assert fetch(f"{url}/healthz") == "ok"
                    break
                except urllib.error.URLError:
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()


def seen(*arguments: str) -> tuple[str, Rows]:
    with running(*arguments) as url:
        text = fetch(f"{url}/metrics")
    return text, rows(text)


def test_it_says_what_it_is() -> None:
    """With --version at the end, as flags are checked."""
    done = call("-docker_only=true", "-port=4194", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"cAdvisor version v{re.escape(VERSION)} \(stand-in .*\)\n", done.stdout)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("-nosuch", "flag provided but not defined: -nosuch"),
        ("--web.listen-address=:1", "flag provided but not defined: -web.listen-address"),
        ("-port=x", 'invalid value "x" for flag -port: parse error'),
        (
            "-enable_metrics=cpu,foo",
            'invalid value "cpu,foo" for flag -enable_metrics: unsupported metric "foo" specified',
        ),
    ],
)
def test_it_refuses_what_the_real_one_refuses(flag: str, said: str) -> None:
    done = call("-docker_only", flag, "--version")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == said


def test_it_exposes_what_the_real_one_exposes() -> None:
    """Names, types and labels, no more and no less."""
    _text, found = seen()
    assert found == recorded(METRICS / f"cadvisor-{VERSION}.tsv")


def test_it_reports_the_cgroups_that_it_is_told_to() -> None:
    """The root, and what is made up, in any case."""
    text, _found = seen("-raw_cgroup_prefix_whitelist=/nowhere")
    ids = {
        re.sub(r"docker-[0-9a-f]{64}", "docker-X", one)
        for one in re.findall(r'container_last_seen\{id="([^"]+)"', text)
    }
    assert ids == {"/", "/system.slice/docker-X.scope"}
    assert set(re.findall(r'container_last_seen\{.*,name="([^"]*)"', text)) == {"", "web", "worker", "cache"}


def test_rules_need_no_metric_that_the_role_switches_off() -> None:
    _text, found = seen(f"-enable_metrics={','.join(ROLE['cadvisor_metrics'])}")
    rules = (ROOT / "roles/prometheus/files/rules/opswatch_containers.yml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\bcontainer_\w+", rules))
    assert asked
    assert asked - set(found) == set()


def test_the_mirror_gets_it_with_its_checksum(tmp_path: Path) -> None:
    path = f"google/cadvisor/releases/download/v{VERSION}/cadvisor-v{VERSION}-linux-amd64"
    assert standins.build(tmp_path)["cadvisor"] == [VERSION]
    assert (tmp_path / path).read_bytes() == SOURCE.read_bytes()
    assert path in yaml.safe_load((tmp_path / standins.LOCK).read_text(encoding="utf-8"))
    before = (tmp_path / path).stat().st_mtime_ns
    standins.build(tmp_path)
    assert (tmp_path / path).stat().st_mtime_ns == before
