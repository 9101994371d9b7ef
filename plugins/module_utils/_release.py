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
import socket
import tarfile
import typing as t
import urllib.error
import zipfile
from dataclasses import dataclass, field

from ansible.module_utils.api import generate_jittered_backoff, retry_with_delays_and_condition
from ansible.module_utils.urls import open_url

from . import _files
from ._errors import ComponentError, from_system

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MARK = ".opswatch.json"
PARTIAL = ".partial-"  # what the name of a release begins with until it is whole
FETCH_ERRORS = (OSError, http.client.HTTPException)
SILENCE = 20  # seconds without a word after which a server is given up
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
    names: t.Mapping[str, str] = field(default_factory=dict)  # of programs that upstream calls otherwise
    unpublished: bool = False  # upstream publishes no checksum of it

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
    """True where the mark is there and every program can be run and has the size with which it was unpacked."""
    mark = _files.read_json(os.path.join(folder, MARK))
    if mark is None:
        return False
    paths = {name: os.path.join(folder, name) for name in programs}
    try:
        return all(
            os.stat(path).st_size == mark["sizes"][name] and os.access(path, os.X_OK) for name, path in paths.items()
        )
    except (OSError, KeyError, TypeError):
        return False


def installed_checksum(folder: str) -> str:
    """SHA-256 of what a release was unpacked from; empty where none is installed."""
    return str((_files.read_json(os.path.join(folder, MARK)) or {}).get("sha256", ""))


def install(source: Source, folder: str) -> str:
    """Fetch, verify and unpack a release into C(folder); returns where the checksum came from."""
    partial = f"{os.path.dirname(folder)}/{PARTIAL}{os.path.basename(folder)}"
    _files.remove(partial)
    for level in (3, 2, 1):  # /opt/opswatch, /opt/opswatch/<name>, releases: whatever root's umask is
        _files.make_folder(os.path.normpath(os.path.join(folder, *[".."] * level)))
    _files.make_folder(partial, 0o700)
    try:
        checksum, origin = find_checksum(source)
        archive = source.pushed or os.path.join(partial, os.path.basename(source.path))
        seen = _digest(archive) if source.pushed else _download(source.url, archive)
        if seen != (checksum or seen):
            raise ComponentError(
                f"{shown(source.url)} has the wrong checksum, so it was not unpacked",
                f"SHA-256 {seen}, but {origin} says {checksum}{_beginning(archive)}",
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
        error.filename = error.filename or folder  # a full disk names no file
        raise from_system(f"{shown(source.url)} could not be unpacked into {folder}", error) from error
    finally:
        _files.remove(partial)
    if shutil.which("restorecon"):
        from ._service import command

        command("restorecon", "-R", folder, check=False)
    return origin


def find_checksum(source: Source) -> tuple[str, str]:
    """(SHA-256, where it is from): the user's lock, the mirror's lock, the release's own file, in this order.

    The SHA-256 is empty where upstream publishes none: then what is fetched now is what holds from now on.
    """
    if source.checksum:
        return source.checksum, "the checksum that the control node has"
    if source.pushed and not source.unpublished:
        raise ComponentError(f"the mirror has no checksum of {source.path}", "", _NO_SUM)
    if source.mirror_lock and not source.pushed:
        listed = dict(
            match.groups() for match in map(_LOCKED.match, _text(source.mirror_lock, True).splitlines()) if match
        )
        if source.path in listed:
            return listed[source.path], shown(source.mirror_lock)
    if source.checksums_path and not source.pushed:
        url = f"{source.base.rstrip('/')}/{source.checksums_path}"
        text = _text(url, False)
        if checksum := listed_sum(text, source.path):
            return checksum, shown(url)
        seen = f"it begins with {text[:40]!r}"
        raise ComponentError(f"{shown(url)} has no checksum of {os.path.basename(source.path)}", seen, _NO_SUM)
    if source.unpublished and (source.pushed or source.base.startswith("https://")):
        brought = "the mirror on the control node has" if source.pushed else "HTTPS brought"
        return "", f"nothing, as upstream publishes no checksum: what {brought} is what holds from now on"
    seen = f"upstream publishes none, and {shown(source.base)} is no https address" if source.unpublished else ""
    raise ComponentError(f"no checksum is known for {source.path}", seen, _NO_SUM)


def listed_sum(text: str, path: str) -> str:
    """The SHA-256 of a release in its own checksum file, which may hold nothing else; empty where it is not there."""
    if re.fullmatch("[0-9a-f]{64}", text.strip()):
        return text.strip()
    matches = (_SUM.match(line.strip()) for line in text.splitlines())
    return next((one[1] for one in matches if one and os.path.basename(one[2]) == os.path.basename(path)), "")


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


def _is_silence(error: BaseException | None) -> bool:
    reason = getattr(error, "reason", error)
    return isinstance(reason, socket.timeout)  # TimeoutError itself only from Python 3.10 on


def _worth_a_retry(error: Exception) -> bool:
    if _is_silence(error):  # it had its time
        return False
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return error.code in (429, 500, 502, 503, 504)
    return isinstance(error, FETCH_ERRORS)


@retry_with_delays_and_condition(
    generate_jittered_backoff(retries=2, delay_base=1, delay_threshold=4), should_retry_error=_worth_a_retry
)
def _open(url: str) -> t.Any:

    return open_url(url, timeout=SILENCE, http_agent="opswatch.monitoring", use_netrc=False, decompress=False)


def _download(url: str, path: str) -> str:
    """Stream a file to C(path); returns its SHA-256."""
    digest = hashlib.sha256()
    try:
        with open(path, "wb") as handle:
            for chunk in _chunks(url):
                handle.write(chunk)
                digest.update(chunk)
    except OSError as error:
        error.filename = error.filename or path  # a full disk names no file
        raise
    return digest.hexdigest()


def _chunks(url: str) -> t.Iterator[bytes]:
    """A file, piece by piece. What goes wrong in here is the network's fault, and not that of a disk."""
    received, expected = 0, 0
    try:
        with _open(url) as response:
            expected = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 16):
                received += len(chunk)
                yield chunk
    except FETCH_ERRORS as error:
        raise _unreachable(url, error, f" after {received} of {expected} bytes" if received else "") from error
    if expected and received != expected:
        raise ComponentError(
            f"{shown(url)} ended early", f"{received} of {expected} bytes", "run again; nothing was installed"
        )


def _unreachable(url: str, error: Exception, progress: str = "") -> ComponentError:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
    seen = f"the server said nothing for {SILENCE} s{progress}" if _is_silence(error) else f"{error}{progress}"
    return ComponentError(
        f"{shown(url)} could not be fetched",
        shown(seen),
        "check that this host reaches it, or set monitoring_mirror (a URL, or a folder on the control node)",
    )


def _digest(path: str) -> str:
    seen = _files.file_sha256(path)
    if seen is None:
        raise ComponentError(f"{path} is not there", "", "run again")
    return seen


def _beginning(path: str) -> str:
    """How a file begins that should be an archive and is a web page, as many a proxy or login page answers with."""
    with open(path, "rb") as handle:
        text = handle.read(60).decode(errors="replace").strip()
    return f"; it begins with {text[:40]!r}, so it is a web page" if text.startswith("<") else ""


def _spread(archive: str, folder: str) -> None:
    """Unpack an archive, by its name; what has the name of none is a program itself."""
    known = [ending for _name, endings, _what in shutil.get_unpack_formats() for ending in endings]
    if not archive.endswith(tuple(known)):
        os.mkdir(folder)
        shutil.copyfile(archive, os.path.join(folder, os.path.basename(archive)))
        return
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") and ".tar" in archive else {}
    shutil.unpack_archive(archive, folder, **options)


def _unpack(archive: str, tree: str, source: Source) -> None:
    """Unpack into C(tree), without the archive's own top folder, readable by all and writable by nobody."""
    spread = f"{tree}.spread"
    try:
        _spread(archive, spread)
    except (shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        seen = f"{error}{_beginning(archive)}"
        raise ComponentError(f"{shown(source.url)} is not an archive that can be unpacked", seen) from error
    entries = os.listdir(spread)
    top = os.path.join(spread, entries[0]) if len(entries) == 1 else spread
    os.rename(top if os.path.isdir(top) else spread, tree)
    held = ", ".join(sorted(os.listdir(tree)))
    for name, theirs in source.names.items():
        if not os.path.isfile(os.path.join(tree, theirs)):
            continue
        if os.path.dirname(theirs):  # other programs of the archive may look for it there
            os.symlink(theirs, os.path.join(tree, name))
        else:
            os.rename(os.path.join(tree, theirs), os.path.join(tree, name))
    missing = [name for name in source.programs if not os.path.isfile(os.path.join(tree, name))]
    if missing:
        wanted = ", ".join(source.names.get(name, name) for name in missing)
        raise ComponentError(f"{shown(source.url)} lacks {wanted}", held)
    for base, _folders, files in os.walk(tree):
        _files.set_access(base, 0o755, 0, 0)
        for name in files:
            path = os.path.join(base, name)
            _files.set_access(path, 0o555 if os.access(path, os.X_OK) or name in source.programs else 0o444, 0, 0)
