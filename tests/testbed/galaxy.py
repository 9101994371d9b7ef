# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections that the docker connection and Molecule need, and those that ours is measured against, without Galaxy.

The `ansible` package on PyPI carries them; only these folders are unpacked, below .dev/collections and .dev/peers.
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from .console import run, step
from .paths import COLLECTIONS, DEV, PEERS

SOURCE = "ansible==12.3.0"
WANTED = (
    "community/docker",  # the connection; Molecule's driver
    "community/library_inventory_filtering_v1",  # which community.docker depends on
    "ansible/posix",  # Molecule's docker driver insists on it
)


# Only where something is measured.
MEASURED = ("community/grafana", "grafana/grafana")


def ensure() -> None:
    unpack(WANTED, COLLECTIONS)


def ensure_peers() -> None:
    unpack(MEASURED, PEERS)


def unpack(wanted: tuple[str, ...], target: Path) -> None:
    stamp = target / ".unpacked"
    text = " ".join((SOURCE, *wanted)) + "\n"
    if stamp.exists() and stamp.read_text() == text:
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with step(target.name) as current, tempfile.TemporaryDirectory(dir=DEV) as scratch:
        run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--dest", scratch, SOURCE],
            log="collections",
            remedy="check the network; pip's own settings apply",
        )
        (wheel,) = Path(scratch).glob("*.whl")
        folders = tuple(f"ansible_collections/{name}/" for name in wanted)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target, [name for name in archive.namelist() if name.startswith(folders)])
        stamp.write_text(text)
        current.result = "unpacked"
