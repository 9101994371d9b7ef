# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the control node knows of a release: its addresses, the locks, and the archives of a mirror that is a folder."""

from __future__ import annotations

import os
import typing as t

import yaml
from ansible.errors import AnsibleActionFail

ARCHITECTURES = ("amd64", "arm64")
LOCK_NAME = "releases.lock.yml"
PUSHED = "none"


def worker_release(
    release: t.Mapping[str, t.Any], version: str, mirror: str | None, lock: str | None
) -> dict[str, t.Any]:
    """The C(release) option of the worker. A mirror without a scheme is a folder here, whose archives are pushed."""
    folder = mirror_folder(mirror)
    names = [{"version": version, "arch": arch} for arch in ARCHITECTURES]
    paths = {name["arch"]: release["path"].format(**name) for name in names}
    locked = read_lock(lock)
    if folder:
        locked = {**read_lock(os.path.join(folder, LOCK_NAME)), **locked}
    return {
        "base": PUSHED if folder else (mirror or release["host"]),
        "paths": paths,
        "checksum_paths": {name["arch"]: release["checksums"].format(**name) for name in names}
        if release["checksums"]
        else {},
        "checksums": {arch: locked[path] for arch, path in paths.items() if path in locked},
        "mirror_lock": f"{mirror.rstrip('/')}/{LOCK_NAME}" if mirror and not folder else "",
        "programs": release["programs"],
    }


def mirror_folder(mirror: str | None) -> str | None:
    if not mirror or "://" in mirror:
        return None
    return os.path.abspath(os.path.expanduser(mirror))


def read_lock(path: str | None) -> dict[str, str]:
    """A lock file (path below the host: SHA-256); empty where there is none."""
    if not path or not os.path.exists(path):
        return {}
    form = f"{path} has to be a map from the path below the host to the SHA-256"
    try:
        with open(path, encoding="utf-8") as handle:
            content = yaml.safe_load(handle) or {}
    except (yaml.YAMLError, OSError) as error:
        raise AnsibleActionFail(f"{form}: {error}") from error
    if not isinstance(content, dict):
        raise AnsibleActionFail(f"{form}.")
    return {str(name): str(value).lower().removeprefix("sha256:") for name, value in content.items()}


def local_archive(folder: str, path: str, checksums: str) -> tuple[str, str]:
    """(archive, SHA-256 from the checksum file beside it or "") in a mirror that is a folder."""
    archive = os.path.join(folder, path)
    if not os.path.isfile(archive):
        raise AnsibleActionFail(
            f"The mirror lacks {archive}. What to do: put the release there, or correct version or monitoring_mirror."
        )
    listed = os.path.join(folder, checksums) if checksums else ""
    if listed and os.path.isfile(listed):
        with open(listed, encoding="utf-8") as handle:
            for line in handle:
                words = line.split()
                if len(words) == 2 and words[1].lstrip("*") == os.path.basename(path):
                    return archive, words[0]
    return archive, ""
