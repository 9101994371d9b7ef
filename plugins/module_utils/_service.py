# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""systemd, asked through its own commands."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from dataclasses import dataclass

from ._errors import ComponentError

PATIENCE = 900  # seconds: a large Prometheus needs minutes to stop
OLDEST = 250  # version of systemd

# Tell-tale words of a program that does not start, and what people do about them.
REMEDIES = (
    ("address already in use", "another program has this port; `ss -ltnp` names it. Stop it or choose another port"),
    ("cannot assign requested address", "this host does not have that address; set the component's listen_address"),
    ("permission denied", "the account of the service may not use that file or port; look at its owner and mode"),
    ("no space left on device", "free space on that file system and run again"),
    ("failed at step user", "systemd could not set up the account or its user namespace"),
    ("failed at step namespace", "a path that the unit names does not exist or may not be mounted here"),
    ("error parsing command line arguments", "a flag has a value that it does not take; correct the option behind it"),
    ("failed at step exec", "the program cannot be executed: wrong architecture, or a file system mounted noexec"),
)


@dataclass(frozen=True)
class Status:
    """What C(systemctl show) says of a unit; C(started) is microseconds of the monotonic clock."""

    active: str
    sub: str
    enabled: bool
    pid: int
    restarts: int
    started: int
    result: str
    invocation: str

    @property
    def running(self) -> bool:
        return self.active == "active" and self.pid > 0

    @property
    def died(self) -> bool:
        return self.active in ("failed", "inactive", "deactivating") or self.sub == "auto-restart"


def command(*words: str, check: bool = True) -> str:
    """Run a command of systemd; its own words come back with the error."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    except FileNotFoundError as missing:
        raise ComponentError(
            f"{words[0]} is missing", str(missing), f"this host needs systemd {OLDEST} or later"
        ) from missing
    except subprocess.TimeoutExpired as stuck:
        raise ComponentError(
            f"`{' '.join(words)}` took more than {PATIENCE} s", "", "look at `systemctl list-jobs`"
        ) from stuck
    if check and done.returncode:
        seen = done.stderr or done.stdout
        if "not been booted with systemd" in seen:
            raise ComponentError(
                "systemd does not run on this host", seen, f"choose a host that runs systemd {OLDEST} or later"
            )
        raise ComponentError(
            f"`{' '.join(words)}` failed", seen, "`systemctl status` and `journalctl -xe` on the host have more"
        )
    return done.stdout


def check_version() -> None:
    """LoadCredential, StateDirectory and the protections of the units, as we use them, came with this version."""
    words = command("systemctl", "--version").split()
    version = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if version < OLDEST:
        raise ComponentError(
            f"this host has systemd {version}, and systemd {OLDEST} or later is needed",
            " ".join(words[:3]),
            "use a newer system: Debian 12, Ubuntu 24.04, RHEL 9 or later",
        )


_SHOWN = "ActiveState,SubState,UnitFileState,MainPID,NRestarts,ExecMainStartTimestampMonotonic,Result,InvocationID"


def status(unit: str) -> Status:
    lines = command("systemctl", "show", unit, f"--property={_SHOWN}").splitlines()
    shown = dict(line.partition("=")[::2] for line in lines)
    return Status(
        active=shown.get("ActiveState", "inactive"),
        sub=shown.get("SubState", "dead"),
        enabled=shown.get("UnitFileState") == "enabled",
        pid=int(shown.get("MainPID") or 0),
        restarts=int(shown.get("NRestarts") or 0),
        started=int(shown.get("ExecMainStartTimestampMonotonic") or 0),
        result=shown.get("Result", ""),
        invocation=shown.get("InvocationID", ""),
    )


def last_words(unit: str, invocation: str = "") -> str:
    """What tells most of the end of a unit's journal, from one start of it if that is known."""
    words = ["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=300"]
    words += [f"_SYSTEMD_INVOCATION_ID={invocation}"] if invocation else [f"--unit={unit}"]
    return telling(command(*words, check=False).strip())


# In a usage "error" is followed by other marks.
_ERROR = re.compile(r"\berror[: ]|\blevel=\"?(error|fatal)|\bpanic:|\bfatal\b", re.IGNORECASE)


def telling(text: str, count: int = 5) -> str:
    """The last lines; where no error is among them, as behind a page of usage, the first lines that have one."""
    lines = text.splitlines()
    end = lines[-count:]
    if not any(map(_ERROR.search, end)):
        end = list(filter(_ERROR.search, lines))[:count] or end
    return "\n".join(end)


def words_since(unit: str, moment: float) -> str:
    """A unit's journal from a moment on, in seconds since 1970."""
    words = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--unit={unit}", f"--since=@{moment:.6f}"]
    return command(*words, check=False).strip()


def why_it_died(unit: str, seen: Status) -> tuple[str, str]:
    """(what is seen, what to do) of a service that does not run."""
    words = last_words(unit, seen.invocation) or last_words(unit)
    states = f"{unit} is {seen.active} ({seen.sub}, result {seen.result}, restarted {seen.restarts} times)"
    return f"{states}\n{words}", remedy_of(words) or f"`journalctl -u {unit}` has all of it"


def remedy_of(words: str) -> str:
    """What people do about what a program said before it ended; empty where that is not known."""
    lowered = words.lower()
    return next((remedy for sign, remedy in REMEDIES if sign in lowered), "")


def packaged_units(names: t.Iterable[str]) -> tuple[str, ...]:
    """Those of the units which a package of the operating system brought."""
    folders = ("/usr/lib/systemd/system", "/lib/systemd/system")
    return tuple(name for name in names if any(os.path.exists(f"{folder}/{name}") for folder in folders))
