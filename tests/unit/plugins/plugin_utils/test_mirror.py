# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror: what an inventory needs, and a release that is fetched from a server with faults."""

from __future__ import annotations

import hashlib
import http.server
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.module_utils import _fetch
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import mirror, role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.release import LOCK_NAME, read_lock

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SUM = hashlib.sha256(CONTENT).hexdigest()


def names(groups: dict[str, list[str]], hostvars: dict[str, t.Any], *architectures: str) -> list[str]:
    return [one["name"] for one in mirror.mirror_releases(groups, hostvars, architectures or ("amd64",))]


def test_what_an_inventory_needs() -> None:
    groups = {"prometheus": ["mon1", "mon2"], "node_exporter": ["mon1", "app1"], "grafana": ["mon1"], "shop": ["app1"]}
    hostvars = {
        "mon1": {"prometheus_version": "3.5.3", "grafana_state": "absent"},
        "mon2": {"prometheus_version": "2.53.3"},
        "app1": {},
    }
    exporter = role_facts.default("node_exporter", "version")
    assert names(groups, hostvars) == [
        f"node_exporter {exporter} amd64",
        "prometheus 2.53.3 amd64",
        "prometheus 3.5.3 amd64",
    ]
    assert len(names(groups, hostvars, "amd64", "arm64")) == 6


@pytest.mark.parametrize(
    ("groups", "options", "words"),
    [
        ({"web": ["a"]}, {}, "has no host in the group of a component"),
        ({"prometheus": ["a"]}, {"architectures": ["riscv"]}, "mirror_architectures has riscv"),
        ({"prometheus": ["a"]}, {"architectures": []}, "mirror_architectures has nothing"),
        ({"prometheus": ["a"]}, {"source": "/srv"}, "mirror_from is no URL: /srv"),
    ],
)
def test_refusals(groups: t.Any, options: dict[str, t.Any], words: str) -> None:
    with pytest.raises(AnsibleError, match=words):
        mirror.mirror_releases(groups, {"a": {}}, **{"architectures": ["amd64"], **options})


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the content whole, in part, cut off, or not."""

    faults: t.ClassVar[list[str]] = []  # one for each request for the archive
    asked: t.ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers.get('Range') or ''}".strip())
        if self.path == "/sums":
            self._answer(200, f"{SUM}  app.tar.gz\n".encode())
            return
        fault = self.faults.pop(0) if self.faults else ""
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if fault == "404":
            self._answer(404, b"gone")
        elif fault == "html":
            self._answer(200, b"<html>log in</html>")
        elif fault == "cut":
            self._answer(200, CONTENT, CONTENT[:1000])
        elif start and fault != "no ranges":
            self._answer(206, CONTENT[start:])
        else:
            self._answer(200, CONTENT)

    def _answer(self, status: int, body: bytes, sent: bytes | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if sent is None else sent)

    def log_message(self, *arguments: t.Any) -> None:
        """Not into the output of the tests."""


@pytest.fixture
def release() -> Iterator[dict[str, t.Any]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Handler.faults, Handler.asked = [], []
    yield {
        "name": "app 1.0 amd64",
        "base": f"http://127.0.0.1:{server.server_port}",
        "path": "v1/app.tar.gz",
        "checksum": "",
        "checksums_path": "sums",
        "mirror_lock": "",
        "unpublished": False,
    }
    server.shutdown()
    server.server_close()


def test_fetched_once(release: dict[str, t.Any], tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert mirror.look(folder, release["path"]) == "it is not there"
    size, origin = mirror.fetch(folder, release)
    assert (size, origin) == (len(CONTENT), f"{release['base']}/sums")
    assert (tmp_path / "v1/app.tar.gz").read_bytes() == CONTENT
    assert read_lock(str(tmp_path / LOCK_NAME)) == {"v1/app.tar.gz": SUM}
    assert mirror.look(folder, release["path"]) == ""


@pytest.mark.parametrize("server", ["", "no ranges"])
def test_a_download_that_was_cut_off_goes_on(release: dict[str, t.Any], tmp_path: Path, server: str) -> None:
    Handler.faults = ["cut", server]
    with pytest.raises(ComponentError, match=r"app\.tar\.gz ended early|could not be fetched"):
        mirror.fetch(str(tmp_path), release)
    assert not (tmp_path / "v1/app.tar.gz").exists()
    mirror.fetch(str(tmp_path), release)
    assert Handler.asked[-1] == "/v1/app.tar.gz bytes=1000-"
    assert (tmp_path / "v1/app.tar.gz").read_bytes() == CONTENT
    assert [one.name for one in (tmp_path / "v1").iterdir()] == ["app.tar.gz"]


def test_rest_of_another_file_is_fetched_anew(release: dict[str, t.Any], tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1/app.tar.gz.partial").write_bytes(b"something else")
    mirror.fetch(str(tmp_path), release)
    assert (tmp_path / "v1/app.tar.gz").read_bytes() == CONTENT


@pytest.mark.parametrize(("fault", "words"), [("404", "could not be fetched"), ("html", "has the wrong checksum")])
def test_nothing_wrong_is_kept(release: dict[str, t.Any], tmp_path: Path, fault: str, words: str) -> None:
    Handler.faults = [fault] * 4
    with pytest.raises((ComponentError, AnsibleError), match=words):
        mirror.fetch(str(tmp_path), release)
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


def test_what_was_changed_is_fetched_anew(release: dict[str, t.Any], tmp_path: Path) -> None:
    mirror.fetch(str(tmp_path), release)
    (tmp_path / "v1/app.tar.gz").write_bytes(b"bad")
    assert mirror.look(str(tmp_path), release["path"]) == "it is not what its checksum says"
    mirror.fetch(str(tmp_path), release)
    assert mirror.look(str(tmp_path), release["path"]) == ""


def test_unpublished_checksums_want_https(release: dict[str, t.Any], tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="no checksum is known"):
        mirror.fetch(str(tmp_path), {**release, "checksums_path": "", "unpublished": True})


def test_whole_file_with_nothing_to_add(release: dict[str, t.Any], tmp_path: Path) -> None:
    """A server answers 416 where the range begins at the end."""
    path = tmp_path / "whole"
    path.write_bytes(CONTENT)
    assert _fetch.download(f"{release['base']}/v1/app.tar.gz", str(path), resume=True) == SUM


def test_a_server_that_cannot_be_reached_is_told_from_one_that_refuses(
    release: dict[str, t.Any], tmp_path: Path
) -> None:
    Handler.faults = ["404"]
    with pytest.raises(ComponentError) as refused:
        mirror.fetch(str(tmp_path), release)
    assert mirror.unreachable(refused.value) == ""
    with pytest.raises(ComponentError) as nobody:
        mirror.fetch(str(tmp_path), {**release, "base": "http://127.0.0.1:1"})
    assert "Connection refused" in mirror.unreachable(nobody.value)
    assert mirror.unreachable(AnsibleError("the wrong checksum")) == ""
