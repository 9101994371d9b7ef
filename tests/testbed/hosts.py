# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test hosts: containers that run systemd as a machine does."""

import io
import tarfile
import time
from pathlib import Path

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from . import engine
from .console import Failure, say, seconds

LABEL = {"opswatch": "1"}
NETWORK = "opswatch"


def container_name(name: str) -> str:
    return f"opswatch-{name}"


def ensure_network(name: str = NETWORK) -> None:
    networks = engine.client().networks
    if not any(found.name == name for found in networks.list(names=[name])):
        networks.create(name, driver="bridge", labels=LABEL)


def find(name: str) -> Container | None:
    try:
        return engine.client().containers.get(container_name(name))
    except NotFound:
        return None


def boot(name: str, image: str, network: str = NETWORK, limit: float = 60) -> Container:
    """Have host `name` run from `image`. One that runs already is kept, so that work can be repeated on it."""
    begun = time.monotonic()
    docker = engine.client()
    ensure_network(network)
    host = find(name)
    if host and (host.image is None or host.image.id != docker.images.get(image).id):
        host.remove(force=True, v=True)
        host = None
    if host and host.status == "running":
        say(f"host {name}: running already")
        return host
    if host:
        host.start()
    else:
        # What systemd needs short of --privileged, which asks for rights that not every machine can give.
        host = docker.containers.run(
            image,
            "/sbin/init",
            name=container_name(name),
            hostname=name,
            labels=LABEL,
            network=network,
            detach=True,
            cap_add=["SYS_ADMIN", "NET_ADMIN"],
            security_opt=["seccomp=unconfined"],
            tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},
            cgroupns="private",
            environment={"container": "docker"},
            stop_signal="SIGRTMIN+3",  # what systemd takes for an orderly shutdown
        )
    wait_until_booted(host, limit)
    say(f"host {name}: booted {image} in {seconds(time.monotonic() - begun)}")
    return host


def put_files(host: Container, folder: Path) -> None:
    """Lay a folder over the host's root, owned by root."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        return member

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name, filter=owned)
    host.put_archive("/", packed.getvalue())


def execute(host: Container, *command: str) -> str:
    """What a command on the host prints, whatever its exit code."""
    output = host.exec_run(list(command)).output
    assert isinstance(output, bytes)  # an iterator only where a stream is asked for
    return output.decode(errors="replace").strip()


def wait_until_booted(host: Container, limit: float = 60) -> None:
    """Return once systemd has started everything; say which units failed, they may be what somebody looks for."""
    end = time.monotonic() + limit
    state = ""
    while time.monotonic() < end:
        try:
            state = execute(host, "systemctl", "is-system-running")
        except APIError as error:  # the container is gone or not there yet
            state = error.explanation or str(error)
        if state == "running":
            return
        if state == "degraded":
            failed = execute(host, "systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager")
            say(f"host {host.name}: degraded\n{failed}")
            return
        time.sleep(0.2)
    raise Failure(
        f"host {host.name} did not boot within {limit:.0f} s: {state}",
        f"look with: docker logs {host.name}; docker exec {host.name} systemctl list-jobs",
        host.logs(tail=20).decode(errors="replace"),
    )


def address(name: str) -> str:
    """The host's address on the bridge, as seen from this machine."""
    host = find(name)
    networks = host.attrs["NetworkSettings"]["Networks"] if host else {}
    found: list[str] = [network["IPAddress"] for network in networks.values() if network["IPAddress"]]
    if not found:
        raise Failure(f"host {name} has no address", f"boot it first: {container_name(name)} is not running")
    return found[0]


def destroy(name: str) -> None:
    host = find(name)
    if host:
        host.remove(force=True, v=True)


def destroy_all() -> None:
    """Remove every host and network that carries our label."""
    docker = engine.client()
    for host in docker.containers.list(all=True, filters={"label": "opswatch=1"}):
        host.remove(force=True, v=True)
    for network in docker.networks.list(filters={"label": "opswatch=1"}):
        network.remove()
