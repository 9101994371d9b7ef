# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small programs in place of those that Debian does not have, packed into the mirror as upstream packs the real ones.

Each lies in tests/standins, says in its --version what it is, and answers as the real one was recorded to.
"""

import functools
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .paths import ROOT

SOURCES = ROOT / "tests/standins"
LOCK = "releases.lock.yml"


class Packed(NamedTuple):
    """A release as it is in the mirror: its version, and its path below it."""

    version: str
    path: str


def pack_cadvisor(mirror: Path) -> Packed:
    """The release is the program itself, and upstream publishes no checksum of it."""
    version = _stated("cadvisor", "defaults")["cadvisor_version"]
    path = _stated("cadvisor", "vars")["__cadvisor_release"]["path"].format(version=version, arch="amd64")
    _write(mirror / path, (SOURCES / "cadvisor.py").read_bytes())
    return Packed(version, path)


def pack_log_agent(name: str, mirror: Path) -> Packed:
    """A program of two files and of PyYAML, as it reads the real one's configuration. Its checksum is in our lock."""
    version = _stated(name, "defaults")[f"{name}_version"]
    release = _stated(name, "vars")[f"__{name}_release"]
    path = release["path"].format(version=version, arch="amd64")
    modules = {f"yaml/{one.name}": one.read_bytes() for one in Path(yaml.__file__).parent.glob("*.py")}
    modules["__main__.py"] = (SOURCES / f"log_agents/{name}.py").read_bytes()
    modules["agent.py"] = (SOURCES / "log_agents/agent.py").read_bytes()
    modules["metrics.tsv"] = (ROOT / f"tests/fixtures/metrics/{name}-{version}.tsv").read_bytes()
    modules["version.txt"] = version.encode()
    program = b"#!/usr/bin/python3\n" + _zipped(modules)
    _write(mirror / path, _zipped({release["names"][name].format(arch="amd64"): program}))
    return Packed(version, path)


STAND_INS: dict[str, Callable[[Path], Packed]] = {
    "cadvisor": pack_cadvisor,
    "promtail": functools.partial(pack_log_agent, "promtail"),
    "alloy": functools.partial(pack_log_agent, "alloy"),
}


def build(mirror: Path) -> dict[str, list[str]]:
    """Put all of them into the mirror; the versions by component. It is done each time, so that no change is missed."""
    packed = {name: pack(mirror) for name, pack in STAND_INS.items()}
    sums = {one.path: hashlib.sha256((mirror / one.path).read_bytes()).hexdigest() for one in packed.values()}
    # A lock of the mirror's own, or the sum of a stand-in would be recorded in the inventory's as that of the real one.
    _write(mirror / LOCK, yaml.safe_dump(sums).encode())
    return {name: [one.version] for name, one in packed.items()}


def _stated(role: str, folder: str) -> dict[str, Any]:
    stated: dict[str, Any] = yaml.safe_load((ROOT / "roles" / role / folder / "main.yml").read_text())
    return stated


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip that comes out the same from the same files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in sorted(files.items()):
            packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return held.getvalue()


def _write(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.rename(path)
