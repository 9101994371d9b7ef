# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this machine gets Debian packages from, read from its own apt configuration."""

import os
import platform
import subprocess
from pathlib import Path

from .console import Failure, run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def _index_targets() -> list[list[str]]:
    """Site and release of every Debian package list; apt names only those it has downloaded."""
    output = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    rows = [line.split("|") for line in output.splitlines()]
    return [row[:2] for row in rows if row[2:] == ["main", "Debian"]]


def _resolve(site: str) -> str:
    """Cloud images name a file that lists mirrors; elsewhere only the address in it is of use."""
    scheme, _, path = site.partition(":")
    if scheme == "mirror+file":
        return Path("/" + path.lstrip("/")).read_text().split()[0].rstrip("/")
    return site


def sites() -> tuple[str, str | None]:
    """Address of the archive and of its security updates (None when the machine does not use them)."""
    targets = _index_targets()
    if not targets:
        run(["apt-get", "update"], log="apt-update", remedy="run as root, check the network and /etc/apt/sources.list*")
        targets = _index_targets()
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    archive = [site for site, release in targets if release in (codename, "stable", "testing", "unstable")]
    security = [site for site, release in targets if release.endswith("-security")]
    if not archive:
        raise Failure(
            "found no Debian archive in this machine's apt configuration",
            "use a Debian machine whose /etc/apt/sources.list* has a line for 'main'",
        )
    return _resolve(archive[0]), _resolve(security[0]) if security else None


def source_lines(suite: str, *, updates: bool = True, options: str = "") -> list[str]:
    """apt source lines of a suite, at the same place as this machine's own."""
    archive, security = sites()
    signed = f"[signed-by={KEYRING}{' ' if options else ''}{options}]"
    lines = [f"deb {signed} {archive} {suite} main"]
    if updates:
        lines.append(f"deb {signed} {archive} {suite}-updates main")
        if security:
            lines.append(f"deb {signed} {security} {suite}-security main")
    return lines


def apt_options() -> list[str]:
    """The machine's own settings that a new host needs as well to reach the archive (proxy, old Release files)."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until")
    return [line for line in dump.splitlines() if line.startswith(wanted)]


def c_locale() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
