# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs out of the mirror, for tests that call them on this machine."""

import os
import shutil
import tarfile
from pathlib import Path

from .console import Failure, relative
from .paths import MIRROR

OWNERS = {"postgres_exporter": "prometheus-community"}


def versions(program: str) -> list[str]:
    """The versions that the mirror holds, the oldest first."""
    found = [path.name.removeprefix("v") for path in _downloads(program).glob("v*") if any(path.glob("*.tar.gz"))]
    if not found:
        raise Failure(
            f"{relative(_downloads(program))} holds no release of {program}", "./dev test unit builds the mirror first"
        )
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def unpack(program: str, version: str, folder: Path) -> Path:
    """Put the programs of a release into an empty folder of its own below `folder`, and give that."""
    archive = _downloads(program) / f"v{version}" / f"{program}-{version}.linux-amd64.tar.gz"
    if not archive.is_file():
        raise Failure(f"{relative(archive)} is missing", "./dev test unit builds the mirror first")
    target = folder / f"{program}-{version}"
    target.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            data = tar.extractfile(member) if member.isfile() else None
            if data:
                path = target / Path(member.name).name
                with path.open("wb") as copy:
                    shutil.copyfileobj(data, copy)
                path.chmod(0o755)
    return target


def _downloads(program: str) -> Path:
    mirror = Path(os.environ.get("MONITORING_MIRROR") or MIRROR)
    return mirror / OWNERS.get(program, "prometheus") / program / "releases/download"
