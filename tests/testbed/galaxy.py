# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections that the docker connection and Molecule need, without Galaxy.

The `ansible` package on PyPI carries them; only these folders are unpacked, below .dev/collections.
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from .console import run, step
from .paths import COLLECTIONS, DEV

SOURCE = "ansible==12.3.0"
WANTED = (
    "community/docker",  # the connection; Molecule's driver
    "community/library_inventory_filtering_v1",  # which community.docker depends on
    "ansible/posix",  # Molecule's docker driver insists on it
)


def ensure() -> None:
    stamp = COLLECTIONS / ".unpacked"
    wanted = " ".join((SOURCE, *WANTED)) + "\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(COLLECTIONS, ignore_errors=True)
    COLLECTIONS.mkdir(parents=True)
    with step("collections") as current, tempfile.TemporaryDirectory(dir=DEV) as scratch:
        run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--dest", scratch, SOURCE],
            log="collections",
            remedy="check the network; pip's own settings apply",
        )
        (wheel,) = Path(scratch).glob("*.whl")
        folders = tuple(f"ansible_collections/{name}/" for name in WANTED)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(COLLECTIONS, [name for name in archive.namelist() if name.startswith(folders)])
        stamp.write_text(wanted)
        current.result = "unpacked"
