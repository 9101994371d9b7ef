# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Releases: looked up, fetched, verified, unpacked once. Nothing here runs when the release is already there."""

from __future__ import annotations

import hashlib
import http.client
import os
import platform
import re
import shutil
import tarfile
import typing as t
import urllib.error
from dataclasses import dataclass

from ansible.module_utils.api import generate_jittered_backoff, retry_with_delays_and_condition
from ansible.module_utils.urls import open_url

from . import _files
from ._errors import ComponentError

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MARK = ".opswatch.json"
FETCH_ERRORS = (OSError, http.client.HTTPException)
_SUM = re.compile(r"^([0-9a-f]{64})[ \t]+[*]?(\S+)$")
_LOCKED = re.compile(r"""^["']?([^"'#:\s]+)["']?\s*:\s*["']?(?:sha256:)?([0-9a-f]{64})["']?\s*(?:#.*)?$""")


@dataclass(frozen=True)
class Source:
    """Where a release for this host comes from. C(path) is below C(base); an empty checksum means: ask."""

    base: str
    path: str
    checksum: str = ""  # from a lock the control node knows
    mirror_lock: str = ""  # address of the mirror's own lock, if there is a mirror
    checksums_path: str = ""  # the release's own checksum file
    pushed: str = ""  # the archive, already on this host
    programs: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        if self.pushed:
            return self.path
        return f"{self.base.rstrip('/')}/{self.path}"


def shown(url: str) -> str:
    """An address as it may be said: without a password that is in it."""
    return re.sub(r"(://)[^/@\s]+@", r"\1", url)


def architecture(machine: str | None = None) -> str:
    machine = machine or platform.machine()
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        raise ComponentError(
            f"no release is known for the architecture {machine}", "", "supported: " + ", ".join(ARCHITECTURES)
        ) from None


def is_installed(folder: str, programs: t.Iterable[str]) -> bool:
    """True where the mark is there and no program changed size since it was unpacked."""
    mark = _files.read_json(os.path.join(folder, MARK))
    if mark is None:
        return False
    try:
        return all(os.stat(os.path.join(folder, name)).st_size == mark["sizes"][name] for name in programs)
    except (OSError, KeyError, TypeError):
        return False


def install(source: Source, folder: str) -> str:
    """Fetch, verify and unpack a release into C(folder); returns where the checksum came from."""
    partial = f"{os.path.dirname(folder)}/.partial-{os.path.basename(folder)}"
    _files.remove(partial)
    for level in (3, 2, 1):  # /opt/opswatch, /opt/opswatch/<name>, releases: whatever root's umask is
        _files.make_folder(os.path.normpath(os.path.join(folder, *[".."] * level)))
    _files.make_folder(partial, 0o700)
    try:
        checksum, origin = find_checksum(source)
        archive = source.pushed or os.path.join(partial, os.path.basename(source.path))
        seen = _digest(archive) if source.pushed else _download(source.url, archive)
        if seen != checksum:
            raise ComponentError(
                f"{shown(source.url)} has the wrong checksum, so it was not unpacked",
                f"SHA-256 {seen}, but {origin} says {checksum}",
                "fetch it again; if it stays so, the file or the checksum was changed: find out which before you go on",
            )
        _unpack(archive, os.path.join(partial, "tree"), source)
        tree = os.path.join(partial, "tree")
        sizes = {name: os.stat(os.path.join(tree, name)).st_size for name in source.programs}
        os.sync()  # the mark must not outlive the programs in a power failure
        _files.write_json(os.path.join(tree, MARK), {"sha256": seen, "url": shown(source.url), "sizes": sizes})
        if os.path.lexists(folder):
            os.rename(folder, os.path.join(partial, "damaged"))
        os.rename(tree, folder)
        _files.flush_folder(os.path.dirname(folder))
    except OSError as error:
        raise ComponentError(f"{shown(source.url)} could not be unpacked into {folder}", str(error)) from error
    finally:
        _files.remove(partial)
    if shutil.which("restorecon"):
        from ._service import command

        command("restorecon", "-R", folder, check=False)
    return origin


def find_checksum(source: Source) -> tuple[str, str]:
    """(SHA-256, where it is from): the user's lock, the mirror's lock, the release's own file, in this order."""
    if source.checksum:
        return source.checksum, "the checksum that the control node has"
    if source.pushed:
        raise ComponentError(f"the mirror has no checksum of {source.path}", "", _NO_SUM)
    if source.mirror_lock:
        listed = dict(
            match.groups() for match in map(_LOCKED.match, _text(source.mirror_lock, True).splitlines()) if match
        )
        if source.path in listed:
            return listed[source.path], shown(source.mirror_lock)
    if source.checksums_path:
        url = f"{source.base.rstrip('/')}/{source.checksums_path}"
        for line in _text(url, False).splitlines():
            match = _SUM.match(line.strip())
            if match and os.path.basename(match.group(2)) == os.path.basename(source.path):
                return match.group(1), shown(url)
        raise ComponentError(f"{shown(url)} has no checksum of {os.path.basename(source.path)}", "", _NO_SUM)
    raise ComponentError(f"no checksum is known for {source.path}", "", _NO_SUM)


_NO_SUM = "state it in releases.lock.yml beside the inventory (the path below the host: its SHA-256)"


def _text(url: str, may_be_missing: bool) -> str:
    try:
        with _open(url) as response:
            return response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        error.close()
        if may_be_missing and error.code in (403, 404):
            return ""
        raise _unreachable(url, error) from error
    except FETCH_ERRORS as error:
        raise _unreachable(url, error) from error


def _worth_a_retry(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return error.code in (429, 500, 502, 503, 504)
    return isinstance(error, FETCH_ERRORS)


@retry_with_delays_and_condition(
    generate_jittered_backoff(retries=2, delay_base=1, delay_threshold=4), should_retry_error=_worth_a_retry
)
def _open(url: str) -> t.Any:
    return open_url(url, timeout=20, http_agent="opswatch.monitoring", use_netrc=False, decompress=False)


def _download(url: str, path: str) -> str:
    """Stream a file to C(path); returns its SHA-256."""
    digest = hashlib.sha256()
    received = 0
    try:
        with _open(url) as response, open(path, "wb") as handle:
            expected = int(response.headers.get("Content-Length") or 0)
            for chunk in iter(lambda: response.read(1 << 20), b""):
                handle.write(chunk)
                digest.update(chunk)
                received += len(chunk)
    except FETCH_ERRORS as error:
        raise _unreachable(url, error) from error
    if expected and received != expected:
        raise ComponentError(
            f"{shown(url)} ended early", f"{received} of {expected} bytes", "run again; nothing was installed"
        )
    return digest.hexdigest()


def _unreachable(url: str, error: Exception) -> ComponentError:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
    return ComponentError(
        f"{shown(url)} could not be fetched",
        shown(str(error)),
        "check that this host reaches it, or set monitoring_mirror (a URL, or a folder on the control node)",
    )


def _digest(path: str) -> str:
    seen = _files.file_sha256(path)
    if seen is None:
        raise ComponentError(f"{path} is not there", "", "run again")
    return seen


def _unpack(archive: str, tree: str, source: Source) -> None:
    """Unpack into C(tree), without the archive's own top folder, readable by all and writable by nobody."""
    spread = f"{tree}.spread"
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") and ".tar" in archive else {}
    try:
        shutil.unpack_archive(archive, spread, **options)
    except (shutil.ReadError, tarfile.TarError, EOFError, ValueError) as error:
        raise ComponentError(f"{shown(source.url)} is not an archive that can be unpacked", str(error)) from error
    entries = os.listdir(spread)
    top = os.path.join(spread, entries[0]) if len(entries) == 1 else spread
    os.rename(top if os.path.isdir(top) else spread, tree)
    missing = [name for name in source.programs if not os.path.isfile(os.path.join(tree, name))]
    if missing:
        raise ComponentError(f"{shown(source.url)} lacks {', '.join(missing)}", ", ".join(sorted(os.listdir(tree))))
    for base, _folders, files in os.walk(tree):
        _files.set_access(base, 0o755, 0, 0)
        for name in files:
            path = os.path.join(base, name)
            _files.set_access(path, 0o555 if os.access(path, os.X_OK) or name in source.programs else 0o444, 0, 0)
