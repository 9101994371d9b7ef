# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The later releases of ansible-core, for a test host with Python 3.13 to run: this machine's Python may be too old."""

import sys
from pathlib import Path

from .console import run, step
from .paths import DEV

CORES = DEV / "cores"
VERSIONS = ("2.20.10", "2.21.5")
PYTHON = "3.13"  # that of opswatch/host:trixie
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")


def ensure() -> dict[str, Path]:
    """A folder for PYTHONPATH for each version."""
    for version in VERSIONS:
        folder = CORES / version
        stamp = folder / ".complete"
        if stamp.exists():
            continue
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--upgrade",
            "--target",
            folder,
        ]
        words += ["--only-binary=:all:", "--python-version", PYTHON]
        words += [word for platform in PLATFORMS for word in ("--platform", platform)]
        # pip compares the requirement with its own Python, in spite of --python-version.
        words += ["--ignore-requires-python", f"ansible-core=={version}", "bcrypt==5.0.0"]
        with step(f"ansible-core {version}") as current:
            run(words, log=f"core-{version}", remedy="check the network; pip's own settings apply")
            stamp.touch()
            current.result = "unpacked"
    return {version: CORES / version for version in VERSIONS}
