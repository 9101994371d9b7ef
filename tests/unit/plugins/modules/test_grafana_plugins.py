# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of plugins: whole or not at all, verified."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import typing as t
import zipfile
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.modules import grafana_plugins


def archive(name: str = "clock", **more: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(f"{name}/plugin.json", json.dumps({"id": name, "type": "panel"}))
        file.writestr(f"{name}/dist/gpx_clock_linux_amd64", b"a program")
        file.writestr(f"{name}/module.js", b"x")
        for path, content in more.items():
            file.writestr(path, content)
    return buffer.getvalue()


@pytest.fixture
def wish(site: t.Any) -> t.Callable[..., dict[str, str]]:
    """An entry whose archive is on the server."""

    def make(name: str = "clock", content: bytes = b"", **more: str) -> dict[str, str]:
        content = content or archive(name)
        site.pages[f"/files/{name}-1.0.0.zip"] = content
        made = {"id": name, "url": f"{site.url}/files/{name}-1.0.0.zip", "sha256": hashlib.sha256(content).hexdigest()}
        return {**made, **more}

    return make


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "opt/opswatch/grafana/plugins/abc")


def test_a_set_is_unpacked_without_a_file_more(wish: t.Any, folder: str) -> None:
    """Grafana holds all files of a plugin against its signature."""
    grafana_plugins.unpack_set([wish("clock"), wish("worldmap")], folder)
    assert sorted(os.listdir(folder)) == ["clock", "worldmap"]
    assert sorted(os.listdir(f"{folder}/clock")) == ["dist", "module.js", "plugin.json"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(folder, "clock").rglob("*")}
    assert modes == {"dist": 0o755, "gpx_clock_linux_amd64": 0o555, "module.js": 0o444, "plugin.json": 0o444}
    assert os.listdir(os.path.dirname(folder)) == ["abc"]


@pytest.mark.parametrize(
    ("name", "content", "more", "said"),
    [
        ("clock", b"", {"sha256": "0" * 64}, "has the wrong checksum"),
        ("clock", archive("other"), {}, "is not the plugin clock: its id is 'other'"),
        ("clock", b"<html>", {}, "is not an archive that can be unpacked"),
    ],
)
def test_what_does_not_verify_leaves_nothing(
    name: str, content: bytes, more: dict[str, str], said: str, wish: t.Any, folder: str
) -> None:
    with pytest.raises(ComponentError) as refused:
        grafana_plugins.unpack_set([wish("worldmap"), wish(name, content, **more)], folder)
    assert said in str(refused.value)
    assert os.listdir(os.path.dirname(folder)) == []
