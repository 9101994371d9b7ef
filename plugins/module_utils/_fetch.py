# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Fetching: the checksum of a release and the release itself, over HTTP."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import typing as t
import urllib.error

from ansible.module_utils.api import generate_jittered_backoff, retry_with_delays_and_condition
from ansible.module_utils.urls import open_url

from ._errors import ComponentError
from ._release import Source, listed_sum, shown

FETCH_ERRORS = (OSError, http.client.HTTPException)
SILENCE = 20  # seconds without a word after which a server is given up
_LOCKED = re.compile(r"""^["']?([^"'#:\s]+)["']?\s*:\s*["']?(?:sha256:)?([0-9a-f]{64})["']?\s*(?:#.*)?$""")
_NO_SUM = "state it in releases.lock.yml beside the inventory (the path below the host: its SHA-256)"


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


def _text(url: str, may_be_missing: bool) -> str:
    try:
        with open_address(url) as response:
            return response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        error.close()
        if may_be_missing and error.code in (403, 404):
            return ""
        raise unreachable(url, error) from error
    except FETCH_ERRORS as error:
        raise unreachable(url, error) from error


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
def open_address(url: str, offset: int = 0) -> t.Any:
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    return open_url(
        url, headers=headers, timeout=SILENCE, http_agent="opswatch.monitoring", use_netrc=False, decompress=False
    )


def download(url: str, path: str, resume: bool = False) -> str:
    """Stream a file to C(path); returns its SHA-256. C(resume): go on where an earlier run ended, if the server can."""
    digest = hashlib.sha256()
    try:
        offset = os.path.getsize(path) if resume and os.path.exists(path) else 0
        with open(path, "r+b" if offset else "wb") as handle:
            for chunk in iter(lambda: handle.read(1 << 20), b"") if offset else ():
                digest.update(chunk)
            for chunk in _chunks(url, offset):
                if chunk is None:  # the server begins anew
                    handle.seek(0)
                    handle.truncate()
                    digest = hashlib.sha256()
                    continue
                handle.write(chunk)
                digest.update(chunk)
    except OSError as error:
        error.filename = error.filename or path  # a full disk names no file
        raise
    return digest.hexdigest()


def _chunks(url: str, offset: int = 0) -> t.Iterator[bytes | None]:
    """A file, piece by piece. What goes wrong in here is the network's fault, and not that of a disk.

    C(offset): how much is there already. None comes first where the server sends all of it nevertheless.
    """
    received, expected = 0, 0
    try:
        with open_address(url, offset) as response:
            if offset and response.status != 206:
                yield None
            expected = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 16):
                received += len(chunk)
                yield chunk
    except FETCH_ERRORS as error:
        if offset and isinstance(error, urllib.error.HTTPError) and error.code == 416:  # there is no more than that
            return
        raise unreachable(url, error, f" after {received} of {expected} bytes" if received else "") from error
    if expected and received != expected:
        raise ComponentError(
            f"{shown(url)} ended early", f"{received} of {expected} bytes", "run again; nothing was installed"
        )


def unreachable(url: str, error: Exception, progress: str = "") -> ComponentError:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
    seen = f"the server said nothing for {SILENCE} s{progress}" if _is_silence(error) else f"{error}{progress}"
    return ComponentError(
        f"{shown(url)} could not be fetched",
        shown(seen),
        "check that this host reaches it, or set monitoring_mirror (a URL, or a folder on the control node)",
    )
