# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small programs in place of those that Debian does not have, packed into the mirror as upstream packs the real ones.

Each lies in tests/standins, says in its version what it is, and answers as the real one was recorded to.
"""

import functools
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .paths import ROOT

SOURCES = ROOT / "tests/standins"
LOCK = "releases.lock.yml"
PYTHON = b"#!/usr/bin/python3\n"  # before a zip that it can run


class Packed(NamedTuple):
    """A release as it is in the mirror: its version, its path below it, and whether a checksum file lies beside it."""

    version: str
    path: str
    published: bool


def pack_cadvisor(mirror: Path) -> list[Packed]:
    """The release is the program itself, and upstream publishes no checksum of it."""
    version = _stated("cadvisor", "defaults")["cadvisor_version"]
    path = _stated("cadvisor", "vars")["__cadvisor_release"]["path"].format(version=version, arch="amd64")
    _write(mirror / path, (SOURCES / "cadvisor.py").read_bytes())
    return [Packed(version, path, published=False)]


def pack_grafana(mirror: Path) -> list[Packed]:
    """Of the version whose answers were recorded, and an earlier one, which differs in its number alone."""
    return [_pack_grafana(mirror, version) for version in ("9.3.0", "9.3.2")]


def _pack_grafana(mirror: Path, version: str) -> Packed:
    """Its checksum file holds nothing but the sum."""
    path = f"oss/release/grafana-{version}.linux-amd64.tar.gz"
    program = _program("grafana")
    archive = _tar_gz(
        f"grafana-{version}",
        {
            "VERSION": f"{version}\n".encode(),
            "STAND-IN": b"This is no Grafana. It answers what the tests of opswatch.monitoring ask.\n",
            "conf/defaults.ini": b"; What is not set is as the stand-in has it.\n",
            "public/robots.txt": b"User-agent: *\nDisallow: /\n",
            "bin/grafana-server": program,
            "bin/grafana-cli": program,
        },
    )
    _write(mirror / path, archive)
    _write(mirror / f"{path}.sha256", f"{hashlib.sha256(archive).hexdigest()}\n".encode())
    return Packed(version, path, published=True)


def pack_loki(mirror: Path) -> list[Packed]:
    """Of the version whose answers were recorded, and an earlier one, which differs in its number alone."""
    recorded = _stated("loki", "defaults")["loki_version"]
    return [_pack_loki(mirror, version, recorded) for version in ("3.5.9", recorded)]


def _pack_loki(mirror: Path, version: str, recorded: str) -> Packed:
    """A program of several files and of PyYAML, as it reads the real one's configuration."""
    release = _stated("loki", "vars")["__loki_release"]
    path = release["path"].format(version=version, arch="amd64")
    program = _with_yaml("loki", recorded, {**_sources("loki"), "version.txt": version.encode()})
    archive = _zipped({release["names"]["loki"].format(arch="amd64"): program})
    _write(mirror / path, archive)
    sums = f"{hashlib.sha256(archive).hexdigest()}  {Path(path).name}\n"
    _write(mirror / release["checksums"].format(version=version), sums.encode())
    return Packed(version, path, published=True)


def pack_log_agent(name: str, mirror: Path) -> list[Packed]:
    """A program of two files and of PyYAML, as it reads the real one's configuration. Its checksum is in our lock."""
    version = _stated(name, "defaults")[f"{name}_version"]
    release = _stated(name, "vars")[f"__{name}_release"]
    path = release["path"].format(version=version, arch="amd64")
    sources = {"__main__.py": SOURCES / f"log_agents/{name}.py", "agent.py": SOURCES / "log_agents/agent.py"}
    modules = {module: source.read_bytes() for module, source in sources.items()}
    modules["version.txt"] = version.encode()
    _write(mirror / path, _zipped({release["names"][name].format(arch="amd64"): _with_yaml(name, version, modules)}))
    return [Packed(version, path, published=False)]


STAND_INS: dict[str, Callable[[Path], list[Packed]]] = {
    "cadvisor": pack_cadvisor,
    "grafana": pack_grafana,
    "loki": pack_loki,
    "promtail": functools.partial(pack_log_agent, "promtail"),
    "alloy": functools.partial(pack_log_agent, "alloy"),
}


def build(mirror: Path) -> dict[str, list[str]]:
    """Put all of them into the mirror; the versions by component. It is done each time, so that no change is missed."""
    packed = {name: pack(mirror) for name, pack in STAND_INS.items()}
    paths = [one.path for releases in packed.values() for one in releases if not one.published]
    # A lock of the mirror's own, or the sum of a stand-in would be recorded in the inventory's as that of the real one.
    sums = {path: hashlib.sha256((mirror / path).read_bytes()).hexdigest() for path in paths}
    _write(mirror / LOCK, yaml.safe_dump(sums).encode())
    return {name: [one.version for one in releases] for name, releases in packed.items()}


def _stated(role: str, folder: str) -> dict[str, Any]:
    stated: dict[str, Any] = yaml.safe_load((ROOT / "roles" / role / folder / "main.yml").read_text())
    return stated


def _with_yaml(name: str, version: str, modules: Mapping[str, bytes]) -> bytes:
    """A program with PyYAML in it, and the metrics that the real one was recorded to have."""
    library = {f"yaml/{one.name}": one.read_bytes() for one in Path(yaml.__file__).parent.glob("*.py")}
    metrics = (ROOT / f"tests/fixtures/metrics/{name}-{version}.tsv").read_bytes()
    return PYTHON + _zipped({**library, **modules, "metrics.tsv": metrics})


def _program(name: str) -> bytes:
    """A folder of tests/standins as one file that can be run."""
    return PYTHON + _zipped(_sources(name))


def _sources(name: str) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in (SOURCES / name).glob("*.py")}


def _tar_gz(folder: str, files: Mapping[str, bytes]) -> bytes:
    """The same bytes for the same files, so that what has not changed is not installed anew."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(data), 0o755 if name.startswith("bin/") else 0o644
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


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
