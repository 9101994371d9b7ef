# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev clean: remove what the other commands made.

Uses nothing but the standard library and the docker client, so that it works without .venv.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .paths import DEV, DOCKERD_PID, ROOT

# Networks of Molecule scenarios carry no label of ours.
NETWORKS = ("opswatch", "opswatch-molecule")


def docker(*arguments: str) -> list[str]:
    """Words of the answer; none where there is no client or no engine, as there is nothing to remove then."""
    try:
        result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return result.stdout.split() if result.returncode == 0 else []


def remove_docker_objects() -> list[str]:
    removed = []
    images = set(docker("images", "--quiet", "--filter", "label=opswatch=1"))
    # Molecule's hosts have no label of ours, but they run from our images.
    filters = ["label=opswatch=1", *(f"ancestor={image}" for image in images)]
    containers = {name for wanted in filters for name in docker("ps", "-aq", "--filter", wanted)}
    if containers:
        docker("rm", "--force", "--volumes", *sorted(containers))
        removed.append(f"{len(containers)} hosts")
    labelled = docker("network", "ls", "--format", "{{.Name}}", "--filter", "label=opswatch=1")
    networks = set(docker("network", "ls", "--format", "{{.Name}}")) & {*NETWORKS, *labelled}
    if networks:
        docker("network", "rm", *sorted(networks))
        removed.append(f"networks {', '.join(sorted(networks))}")
    if images:
        docker("rmi", "--force", *sorted(images))
        removed.append(f"{len(images)} images")
    left = {name for wanted in filters for name in docker("ps", "-aq", "--filter", wanted)}
    if left:
        names = " ".join(sorted(left))
        sys.exit(f"FAILED: could not remove containers {names}\n  -> look with: docker rm --force {names}")
    return removed


def words_of(pid: int) -> list[str]:
    """The command line of a process; none when it has ended, be it that nobody has collected it yet."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def stop_engine(limit: float = 30) -> bool:
    """Stop the engine that engine.py started; the number alone might be another process by now."""
    try:
        pid = int(DOCKERD_PID.read_text())
    except FileNotFoundError:
        return False
    if str(DOCKERD_PID) not in words_of(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + limit
    while words_of(pid):
        if time.monotonic() > end:
            sys.exit(f"FAILED: dockerd (pid {pid}) does not end\n  -> see .dev/log/dockerd.log")
        time.sleep(0.1)
    return True


def remove_files() -> list[str]:
    fixed = [".venv", ".dev", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".ansible", ".cache"]
    paths = [ROOT / name for name in fixed]
    paths += [ROOT / "inventories/demo/secrets", ROOT / "tests/output"]
    paths += ROOT.glob("opswatch-monitoring-*.tar.gz")
    # Not through collections/, which leads back to the root.
    for top in ROOT.iterdir():
        if top.is_dir() and not top.is_symlink() and top.name not in (".git", ".venv", ".dev", "collections"):
            paths += [top, *top.rglob("__pycache__")] if top.name == "__pycache__" else top.rglob("__pycache__")
    removed = []
    for path in paths:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            continue
        if path.name != "__pycache__":
            removed.append(str(path.relative_to(ROOT)))
    return removed


def main() -> None:
    try:
        installed = sorted(set((DEV / "installed-packages").read_text().split()))
    except FileNotFoundError:
        installed = []
    removed = remove_docker_objects()
    if stop_engine():
        removed.append("the docker engine's process")
    removed += remove_files()
    print(f"removed: {', '.join(removed)}" if removed else "nothing to remove")
    if installed:
        print(f"Debian packages that ./dev installed stay; to remove them too: apt-get purge {' '.join(installed)}")


if __name__ == "__main__":
    main()
