# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are. Everything that is made lies below .dev, which is not part of the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / ".dev"
LOG = DEV / "log"
MIRROR = DEV / "mirror"
COLLECTIONS = DEV / "collections"
PEERS = DEV / "peers"
# Files that Debian's programs want on the host beside the binary (see mirror.py), as they lie below /.
HOST_FILES = DEV / "host-files"
DOCKERD_PID = DEV / "dockerd.pid"
DOCKERD_LOG = LOG / "dockerd.log"
