# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Whether the releases that a host lacks can be had."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleError

from .preflight_report import Problem, from_error
from .release import LOCK_NAME, local_archive, mirror_folder, read_lock, worker_release

NO_SUM = "put its sha256sums.txt beside it, or state the sum in releases.lock.yml beside the inventory (path: SHA-256)"


class Artifact(t.NamedTuple):
    """A release for one architecture, and how it is reached."""

    component: str
    version: str
    base: str
    path: str
    checksum: str  # from a lock on the control node
    checksums_path: str
    mirror_lock: str
    unpublished: bool  # upstream publishes no checksum, and there is a lock to keep one in

    def question(self) -> dict[str, str | bool]:
        """The option of M(opswatch.monitoring.release_info)."""
        return {
            "name": self.component,
            "base": self.base,
            "path": self.path,
            "checksum": self.checksum,
            "checksums_path": self.checksums_path,
            "mirror_lock": self.mirror_lock,
            "unpublished": self.unpublished,
        }


def artifact(
    component: str, release: t.Mapping[str, t.Any], version: str, arch: str, mirror: str, lock: str
) -> Artifact:
    sent = worker_release(release, version, mirror, lock)
    return Artifact(
        component,
        version,
        sent["base"],
        sent["paths"][arch],
        sent["checksums"].get(arch, ""),
        sent["checksum_paths"].get(arch, ""),
        sent["mirror_lock"],
        sent["unpublished"],
    )


def pushed(folder: str, artifacts: t.Iterable[Artifact]) -> tuple[dict[str, int], list[Problem]]:
    """(bytes of each archive, problems) of a mirror that is a folder on the control node."""
    sizes, problems = {}, []
    for one in artifacts:
        sizes[one.component] = 0
        try:
            archive, checksum = local_archive(folder, one.path, one.checksums_path)
            sizes[one.component] = os.path.getsize(archive)
        except (AnsibleError, OSError) as error:
            problems.append(from_error(f"{one.component} {one.version}: {error}"))
            continue
        if not (checksum or one.checksum or one.unpublished):
            what = f"{one.component} {one.version}: the mirror has no checksum of {archive}"
            problems.append(Problem(what, "", NO_SUM))
    return sizes, problems


def fetched(
    artifacts: t.Sequence[Artifact], answers: t.Sequence[t.Mapping[str, t.Any]]
) -> tuple[dict[str, int], list[Problem]]:
    """The same of what the host itself said of a mirror that is a URL, or of upstream."""
    sizes = {one.component: 0 for one in artifacts}
    versions = {one.component: one.version for one in artifacts}
    problems = []
    for answer in answers:
        name = answer["name"]
        sizes[name] = answer["size"]
        problems += [
            Problem(f"{name} {versions[name]}: {found['what']}", found["seen"], found["remedy"])
            for found in answer["problems"]
        ]
    return sizes, problems


def folder_warning(mirror: str) -> str:
    """A mirror that is not there is no problem as long as nothing has to be installed."""
    folder = mirror_folder(mirror)
    if folder is None or os.path.isdir(folder):
        return ""
    return f"monitoring_mirror is no folder on the control node: {folder}. Nothing needs it in this run."


def locks(mirror: str, lock: str) -> list[str]:
    """Files on the control node that hold checksums: the user's, and that of a mirror that is a folder."""
    folder = mirror_folder(mirror)
    return [lock, os.path.join(folder, LOCK_NAME)] if folder else [lock]


def lock_problems(paths: t.Iterable[str]) -> list[Problem]:
    problems = []
    for path in paths:
        try:
            read_lock(path)
        except AnsibleError as error:
            problems.append(from_error(error))
    return problems
