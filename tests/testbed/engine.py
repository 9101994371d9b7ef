# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine: the machine's own if one answers, otherwise one in the background."""

import os
import shutil
import subprocess
import time

import docker
from docker.errors import DockerException

from .console import Failure, say, seconds, tail
from .paths import DOCKERD_LOG, DOCKERD_PID, LOG


def client() -> docker.DockerClient:
    # Removing a container with its anonymous volumes may take long on a busy disk.
    return docker.from_env(timeout=300)


def answers() -> bool:
    try:
        return bool(docker.from_env(timeout=10).ping())
    except DockerException:
        return False


def ensure(limit: float = 60) -> None:
    """Start dockerd unless an engine answers; ./dev clean stops it by the pid file."""
    if answers():
        return
    if "DOCKER_HOST" in os.environ:
        raise Failure(f"no engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}", "start it, or unset DOCKER_HOST")
    program = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not program or os.geteuid() != 0:
        raise Failure("no Docker engine answers", "start it (systemctl start docker), or run ./dev as root")
    LOG.mkdir(parents=True, exist_ok=True)
    # A pid file of our own: the one in /run may be stale on a machine that was copied while running.
    DOCKERD_PID.unlink(missing_ok=True)
    begun = time.monotonic()
    with DOCKERD_LOG.open("w") as log:
        process = subprocess.Popen(
            [program, "--pidfile", str(DOCKERD_PID)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not answers():
        if process.poll() is not None or time.monotonic() - begun > limit:
            process.terminate()
            raise Failure(
                "dockerd does not start",
                "see .dev/log/dockerd.log; it needs root, iptables and the right to mount and to make network bridges",
                tail(DOCKERD_LOG.read_text(errors="replace")),
            )
        time.sleep(0.2)
    say(f"docker engine: started in {seconds(time.monotonic() - begun)}")
