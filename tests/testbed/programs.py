# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs out of the mirror, for tests that call them on this machine."""

import os
import shlex
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .console import Failure, relative
from .paths import HOST_FILES, MIRROR

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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def running(program: Path, *flags: str, port: int, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A program while it runs; it has to listen on a port of the loopback. What it says is in `cwd`/log."""
    words = [str(program), *flags]
    shared = HOST_FILES / "usr/share"
    if shared.exists():
        # Debian's builds read files of their packages, which this machine need not have.
        within = f"mount --bind {shlex.quote(str(shared))} /usr/share && exec {shlex.join(words)}"
        words = ["unshare", "--map-root-user", "--mount", "sh", "-c", within]
    with (
        (cwd / "log").open("w") as log,
        subprocess.Popen(words, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, text=True) as process,
    ):
        try:
            for _attempt in range(1200):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except OSError:
                    if process.poll() is not None:
                        break
                    time.sleep(0.05)
            else:
                raise Failure(f"{program.name} does not listen on port {port}", f"look into {cwd / 'log'}")
            if process.poll() is not None:
                raise Failure(f"{program.name} ended: {(cwd / 'log').read_text()[-500:]}", "look at its flags")
            yield process
        finally:
            process.terminate()


def _downloads(program: str) -> Path:
    mirror = Path(os.environ.get("MONITORING_MIRROR") or MIRROR)
    return mirror / OWNERS.get(program, "prometheus") / program / "releases/download"
