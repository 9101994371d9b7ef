# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""A mirror for a network without internet: which releases an inventory needs, and one of them fetched and verified."""

from __future__ import annotations

import os
import typing as t
import urllib.error

from ansible.errors import AnsibleError

from ..module_utils import _files
from ..module_utils._errors import ComponentError
from ..module_utils._release import Source
from . import role_facts
from .preflight_artifacts import artifact
from .release import ARCHITECTURES, LOCK_NAME, read_lock, record_in_lock

PARTIAL = ".partial"


def mirror_releases(
    groups: t.Mapping[str, t.Sequence[str]],
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    architectures: t.Sequence[str],
    source: str = "",
    lock: str = "",
) -> list[dict[str, t.Any]]:
    """Every release of the inventory, once, as the options of M(opswatch.monitoring.mirror_release).

    C(source): a URL instead of upstream. C(lock): the user's checksums.
    """
    unknown = [arch for arch in architectures if arch not in ARCHITECTURES]
    if unknown or not architectures:
        raise AnsibleError(
            f"mirror_architectures has {', '.join(unknown) or 'nothing'}. What to do: choose of "
            f"{', '.join(ARCHITECTURES)}."
        )
    if source and "://" not in source:
        raise AnsibleError(
            f"mirror_from is no URL: {source}. What to do: leave it out for upstream, or write https://..."
        )
    found: dict[str, dict[str, t.Any]] = {}
    for component in role_facts.components():
        for host in groups.get(component, []):
            settings = hostvars[host]
            if settings.get(f"{component}_state", "present") == "absent":
                continue
            version = str(settings.get(f"{component}_version") or role_facts.default(component, "version"))
            for arch in architectures:
                one = artifact(component, role_facts.release(component), version, arch, source, lock)
                found[one.path] = {"name": f"{component} {version} {arch}", **_options(one)}
    if not found:
        raise AnsibleError(
            "The inventory has no host in the group of a component. What to do: choose the inventory that has (-i)."
        )
    return [found[path] for path in sorted(found)]


def _options(one: t.Any) -> dict[str, t.Any]:
    names = ("base", "path", "checksum", "checksums_path", "mirror_lock", "unpublished")
    return {name: value for name, value in one._asdict().items() if name in names}


def look(folder: str, path: str) -> str:
    """Why a release has to be fetched; empty if it is there as its lock says."""
    seen = _files.file_sha256(os.path.join(folder, path))
    if seen is None:
        return "it is not there"
    locked = read_lock(os.path.join(folder, LOCK_NAME)).get(path)
    if locked is None:
        return "its checksum is not known"
    return "" if seen == locked else "it is not what its checksum says"


def unreachable(error: Exception) -> str:
    """Why the server cannot be reached at all; empty where it answered, if only to refuse."""
    cause = error.__cause__
    if not isinstance(error, ComponentError) or not isinstance(cause, urllib.error.URLError):
        return ""
    return "" if isinstance(cause, urllib.error.HTTPError) else str(cause.reason)


def fetch(folder: str, release: t.Mapping[str, t.Any]) -> tuple[int, str]:
    """Fetch and verify one release; returns (bytes, where its checksum is from). Raises ComponentError or OSError.

    It has another name until it is whole and right, from which a later run goes on.
    """
    from ..module_utils import _fetch  # HTTP and TLS, for which a playbook that mirrors nothing has no use

    source = Source(
        base=release["base"],
        path=release["path"],
        checksum=release["checksum"],
        mirror_lock=release["mirror_lock"],
        checksums_path=release["checksums_path"],
        unpublished=release["unpublished"],
    )
    target = os.path.join(folder, source.path)
    partial = target + PARTIAL
    checksum, origin = _fetch.find_checksum(source)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if checksum and _files.file_sha256(target) == checksum:
        seen = checksum  # it was put there by hand
    else:
        try:
            seen = _fetch.download(source.url, partial, resume=True)
        except ComponentError:
            if not os.path.getsize(partial):  # nothing that a later run could go on with
                _files.remove(partial)
            raise
        if checksum and seen != checksum:
            _files.remove(partial)  # perhaps two halves that do not belong together
            seen = _fetch.download(source.url, partial)
        if checksum and seen != checksum:
            _files.remove(partial)
            raise AnsibleError(
                f"{source.url} has the wrong checksum, so it was not kept: SHA-256 {seen}, but {origin} says "
                f"{checksum}. What to do: fetch it again; if it stays so, one of the two was changed: find out which."
            )
        os.rename(partial, target)
    record_in_lock(os.path.join(folder, LOCK_NAME), source.path, seen)
    return os.path.getsize(target), origin
