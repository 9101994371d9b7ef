# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""How a component's unit runs, its last words without secrets, and what room the host has. Changes nothing."""

from __future__ import annotations

import os
import re
import time
import typing as t

from . import _files, _service
from ._layout import GENERATIONS_HOME, RELEASES_HOME, Layout

LONGEST = 1200  # characters of a journal that leave the host
HIDDEN = "***"
SHORTEST = 6  # of a secret: a shorter one would take words and ports out of what is shown

_SECRET = r"(?:password|passwd|passphrase|secret|token|credentials?|(?:api|access|secret|private)_?key)"
_VALUE = r"\\?\"[^\"]*\"|'[^']*'|[^\s,;&]+"
_PATTERNS = (
    (re.compile(r"(://[^\s:/@]*):[^\s/]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"\b(Basic|Bearer) [\w.~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(rf"({_SECRET}\\?[\"']?)(\s*=\s*|:\s*(?=\\?[\"']))({_VALUE})", re.IGNORECASE), rf"\1\2{HIDDEN}"),
)
_STATED = re.compile(rf"^\s*[\"']?[\w.-]*{_SECRET}[\"']?\s*[=:]\s*[\"']?(.*?)[\"',]*\s*$", re.IGNORECASE)
_PASSWORD_FILE = "pgpass"  # PostgreSQL's own, of lines host:port:database:user:password
_FIELD_END = re.compile(r"(?<!\\)(?:\\\\)*:")


def unit(layout: Layout) -> dict[str, t.Any]:
    """What systemd says of a component's unit. Where it does not run, or was started again by itself, why."""
    seen = _service.status(layout.unit_name)
    found: dict[str, t.Any] = {
        "active": seen.active,
        "sub": seen.sub,
        "result": seen.result,
        "running": seen.running,
        "restarts": seen.restarts,
        "since": _moment(seen.started),
        "words": "",
        "remedy": "",
    }
    if not seen.running or seen.restarts:
        # Of a unit that was started again what it said before it died counts, so not of this start alone.
        words = _service.last_words(layout.unit_name, "" if seen.restarts else seen.invocation)
        words = words or _service.last_words(layout.unit_name)
        found["words"] = without_secrets(words, known_secrets(layout))[-LONGEST:]
        found["remedy"] = _service.remedy_of(words)
    return found


def _moment(started: int) -> float:
    """Seconds since 1970. C(started): microseconds of the monotonic clock, 0 where it never was."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + started / 1e6 if started else 0.0


def is_unfinished(layout: Layout) -> bool:
    """Whether a change was begun, and is neither done nor taken back."""
    return any(map(os.path.lexists, (layout.journal, layout.adoption)))


def known_secrets(layout: Layout) -> set[str]:
    """What the component's folder of secrets holds: a file of one line is one, of others what is called like one."""
    found = set()
    for name in _files.relative_files(layout.secrets):
        try:
            text = _files.read_bytes(f"{layout.secrets}/{name}").decode(errors="replace").strip()
        except OSError:
            continue
        lines = text.splitlines()
        found.update(lines if len(lines) == 1 else (match[1] for line in lines if (match := _STATED.match(line))))
        if name == _PASSWORD_FILE:
            found.update(form for line in lines for form in _last_field(line))
    return {secret for secret in found if len(secret) >= SHORTEST}


def _last_field(line: str) -> tuple[str, str]:
    """The password of a line of pgpass, as it stands there and as it is sent."""
    stated = _FIELD_END.split(line)[-1]
    return stated, re.sub(r"\\(.)", r"\1", stated)


def without_secrets(text: str, secrets: t.Iterable[str] = ()) -> str:
    """A text as it may be shown. C(secrets) are taken out wherever they are, others by what stands before them."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, by in _PATTERNS:
        text = pattern.sub(by, text)
    return text


def spaces(names: t.Iterable[str], root: str = "") -> list[dict[str, t.Any]]:
    """The file systems that components write to, each once: where it is mounted, and what of it is free.

    C(names): components whose data may lie on one of its own.
    """
    folders = [RELEASES_HOME, "/var/lib", GENERATIONS_HOME, *(f"/var/lib/{name}" for name in names)]
    found: dict[int, dict[str, t.Any]] = {}
    for folder in (f"{root}{folder}" for folder in folders):
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        device = os.stat(folder).st_dev
        if device not in found:
            seen = os.statvfs(folder)
            found[device] = {
                "path": _mount_point(folder, device),
                "bytes": (seen.f_blocks - seen.f_bfree + seen.f_bavail) * seen.f_frsize,  # as df counts
                "free": seen.f_bavail * seen.f_frsize,
                "inodes": seen.f_files,
                "inodes_free": seen.f_favail,
            }
    return list(found.values())


def _mount_point(folder: str, device: int) -> str:
    while (above := os.path.dirname(folder)) != folder and os.stat(above).st_dev == device:
        folder = above
    return folder
