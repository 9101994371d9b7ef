# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of test hosts: Debian with systemd, made by mmdebstrap from the machine's own archive."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO

from docker.errors import ImageNotFound

from . import debian, engine
from .console import Failure, say, seconds, tail
from .paths import LOG

BASE = (
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "iproute2",
    "openssh-server",
    "procps",
    "python3",
    "python3-requests",
    "restic",
    "sudo",
    "systemd",
    "systemd-sysv",
)
# What the examples need (examples/dating_app, examples/notifications).
APP = (
    "postgresql",
    "python3-aiohttp",
    "python3-aiosmtpd",
    "python3-asyncpg",
    "python3-prometheus-client",
)

# Of no use in a container, or a source of noise while something is measured.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
)

HOOKS = (
    # A user namespace cannot be made in these containers (217/USER). Only the test host gives way, no role does.
    'mkdir -p "$1/etc/systemd/system/service.d"',
    'printf "[Service]\\nPrivateUsers=no\\n" >"$1/etc/systemd/system/service.d/10-container.conf"',
    f'for unit in {" ".join(MASKED)}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done',
    # Wanted by the tests of the ssh connection only, which start it.
    'chroot "$1" systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true',
)
CHANGES = ('CMD ["/sbin/init"]', "ENV container=docker")


@dataclass(frozen=True)
class Image:
    name: str
    suite: str
    packages: tuple[str, ...]
    hooks: tuple[str, ...] = HOOKS
    changes: tuple[str, ...] = CHANGES

    @property
    def definition(self) -> str:
        """Changes whenever the image has to be built anew; where packages come from does not matter."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


IMAGES = {
    image.name: image
    for image in (
        Image("opswatch/host:bookworm", "bookworm", BASE),
        Image("opswatch/host:trixie", "trixie", BASE),
        # No target of ours, but it has the oldest Python that targets may have: 3.9.
        Image(
            "opswatch/python39:bullseye", "bullseye", ("dbus", "procps", "python3", "sudo", "systemd", "systemd-sysv")
        ),
        Image("opswatch/app:bookworm", "bookworm", tuple(sorted(BASE + APP))),
    )
}


def _is_current(image: Image) -> bool:
    try:
        labels = engine.client().images.get(image.name).labels
    except ImageNotFound:
        return False
    return labels.get("opswatch.definition") == image.definition


def _chunks(stream: IO[bytes]) -> Iterable[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")


def _build(image: Image) -> str:
    """Pipe mmdebstrap's archive into the engine; nothing is kept on disk in between."""
    begun = time.monotonic()
    log = LOG / f"image-{image.name.replace('/', '-').replace(':', '-')}.log"
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(image.packages)}"]
    command += [f"--aptopt={option}" for option in debian.apt_options()]
    command += [f"--customize-hook={hook}" for hook in image.hooks]
    command += [image.suite, "-", *debian.source_lines(image.suite)]
    labels = {"opswatch": "1", "opswatch.definition": image.definition}
    changes = [*image.changes, *(f"LABEL {key}={value}" for key, value in labels.items())]
    repository, tag = image.name.split(":")
    with (
        log.open("wb") as errors,
        # A session of its own: upon failure mmdebstrap sends a signal to its whole process group.
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=debian.c_locale(), start_new_session=True
        ) as process,
    ):
        assert process.stdout is not None
        answer = engine.client().api.import_image_from_stream(
            _chunks(process.stdout), repository=repository, tag="building-" + tag, changes=changes
        )
    code = process.returncode
    remedy = f"see .dev/log/{log.name}; free disk space and the network are the usual causes"
    building = f"{repository}:building-{tag}"
    if code:
        # The engine takes half an archive without complaint, so the name is given only to a whole one.
        with suppress(ImageNotFound):
            engine.client().images.remove(building, force=True)
        words = tail(log.read_text(errors="replace"))
        raise Failure(f"mmdebstrap {image.suite} ended with exit code {code}", remedy, words)
    if '"error"' in answer:
        raise Failure(f"docker did not import {image.name}", remedy, answer[-1000:])
    engine.client().images.get(building).tag(repository, tag)
    engine.client().images.remove(building)
    return f"image {image.name}: built in {seconds(time.monotonic() - begun)}"


def ensure(*names: str) -> None:
    """Build those of the named images (all, if none is named) that are missing or out of date."""
    wanted = [IMAGES[name] for name in names or IMAGES]
    missing = [image for image in wanted if not _is_current(image)]
    if not missing:
        return
    LOG.mkdir(parents=True, exist_ok=True)
    debian.sites()  # may have to run apt-get update: once, before there are two of us
    say(f"building {', '.join(image.name for image in missing)} ...")
    with ThreadPoolExecutor(max_workers=2) as pool:
        for line in pool.map(_build, missing):
            say(line)
    # What the new ones replaced, unless a host still runs from it.
    engine.client().images.prune(filters={"dangling": True, "label": "opswatch=1"})
