# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What the control node knows of a release: its addresses, the locks, and the archives of a mirror that is a folder."""

from __future__ import annotations

import fcntl
import os
import tempfile
import typing as t

import yaml
from ansible.errors import AnsibleActionFail
from ansible.module_utils.compat.version import LooseVersion

from ..module_utils._plan import older
from ..module_utils._release import listed_sum

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
        "names": {
            name["arch"]: {
                program: of_version(theirs, version).format(**name) for program, theirs in release["names"].items()
            }
            for name in names
        },
        "unpublished": release["unpublished_checksum"] and bool(lock),
    }


def of_version(stated: str | t.Mapping[str, str], version: str) -> str:
    """What holds for a version: a text, or of a map from versions that of the last one that is not above it."""
    if isinstance(stated, str):
        return stated
    reached = [border for border in stated if not older(version, border)]
    if not reached:
        raise AnsibleActionFail(
            f"Nothing is known of version {version}: {min(stated, key=LooseVersion)} is the first one. "
            "What to do: choose a later version."
        )
    return stated[max(reached, key=LooseVersion)]


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


def record_in_lock(path: str, release: str, checksum: str) -> bool:
    """Add a line to the user's lock, below what is there; False where it says the same already.

    Several hosts may learn of one release at once, each in a process of its own.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = read_lock(path).get(release)
            if known is None:
                _append(path, f"{release}: '{checksum}'\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise AnsibleActionFail(
            f"The checksum of {release} cannot be recorded in {path}: {error}. What to do: make the folder writable, "
            f"or add this line to it: {release}: '{checksum}'"
        ) from error
    if known not in (None, checksum):
        raise AnsibleActionFail(
            f"{release} differs between hosts: this one has SHA-256 {checksum}, but {path} says {known}. "
            "What to do: find out which of the two is upstream's before you go on."
        )
    return known is None


def _append(path: str, line: str) -> None:
    """Written beside the file, then renamed, so that it is whole at every moment."""
    text = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
    mode = os.stat(path).st_mode & 0o777 if text else 0o644
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=os.path.dirname(os.path.abspath(path)))
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(f"{text}\n{line}" if text and not text.endswith("\n") else text + line)
        os.fchmod(handle.fileno(), mode)
    os.rename(temporary, path)


def local_archive(folder: str, path: str, checksums: str) -> tuple[str, str]:
    """(archive, SHA-256 from the checksum file beside it or "") in a mirror that is a folder."""
    archive = os.path.join(folder, path)
    if not os.path.isfile(archive):
        raise AnsibleActionFail(
            f"The mirror lacks {archive}. What to do: put the release there (playbooks/mirror.yml fetches what the "
            "inventory states), or correct version or monitoring_mirror."
        )
    listed = os.path.join(folder, checksums) if checksums else ""
    if listed and os.path.isfile(listed):
        with open(listed, encoding="utf-8") as handle:
            return archive, listed_sum(handle.read(), path)
    return archive, ""
