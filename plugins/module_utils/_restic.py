# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""restic, called with its password in a file that only root reads, and its refusals in words that help."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ._errors import ComponentError
from ._silence import parse_time

RUN = "/run/opswatch"
CACHE = "/var/cache/opswatch/restic"
LAST_WORDS = "restic.out"  # in that folder: what a restic that runs says, for those who want to know how far it is
PARTIAL = 3  # restic's exit code for "done, but some files could not be read"
LOCKED_PAUSE = 10.0  # seconds between two attempts at a repository that another host prunes

# Words of restic (0.14 to 0.18) and what they mean: what is wrong, what to do. The first that fits counts: a repository
# that cannot be reached is not to be made anew.
_MEANINGS = (
    (
        "host key verification failed",
        "the key of the server is not one that this host knows",
        "check its key (ssh-keyscan shows it), then put that into /root/.ssh/known_hosts of this host",
    ),
    ("dial tcp", "the repository cannot be reached", "see whether its address is right and answers"),
    ("permission denied", "the repository cannot be read or written", "correct its access rights or its credentials"),
    (
        "wrong password or no key found",
        "the repository does not open with this password",
        "correct backup_password; where that is not set, the password is in backup_password.txt in the folder of "
        "secrets on the control node (secrets/ beside the inventory, or monitoring_secrets_dir). If that file was "
        "lost, a new password has been made there, which opens nothing: put the copy of the old one back",
    ),
    ("is there a repository at the following location", "there is no repository", "correct backup_repository"),
    ("unable to open config file", "there is no repository", "correct backup_repository"),
    (
        "no space left on device",
        "the repository has no space",
        "free space there, or drop old snapshots by backup_keep",
    ),
    (
        "repository is already locked",
        "another restic holds the repository",
        "wait; `restic unlock` removes what a dead one left",
    ),
    (
        "unable to create lock",
        "the repository cannot be locked",
        "see that it is writable; `restic unlock` removes old locks",
    ),
    ("does not match id", "the repository is damaged", "`restic check --read-data` names the files; restore them"),
    ("ciphertext verification failed", "the repository is damaged", "`restic check --read-data` names the files"),
    ("not found in index", "the repository is damaged", "`restic repair index`, then `restic check`"),
    ("file is too short", "the repository is damaged", "`restic check --read-data` names the files"),
    ("failed to load", "the repository is damaged", "`restic check --read-data` names the files"),
)
NO_REPOSITORY = "there is no repository"
LOCKED = ("another restic holds the repository", "the repository cannot be locked")


class ResticError(ComponentError):
    """What restic refused. C(meaning): one of those above, or empty."""

    def __init__(self, what: str, seen: str, remedy: str, meaning: str = "") -> None:
        super().__init__(what, seen, remedy)
        self.meaning = meaning


class NotWhole(ComponentError):
    """A backup without some of its files. C(snapshot): where the rest is, if restic says it."""

    def __init__(self, unread: t.Sequence[str], snapshot: str) -> None:
        super().__init__(
            "the backup is not whole: files could not be read",
            "\n".join(unread),
            "see what the kernel says of their disk (`journalctl -k`), settle it, and run the backup again",
        )
        self.snapshot = snapshot


@dataclass(frozen=True)
class Restic:
    """A repository. C(environment): credentials of the place where it is; C(deadline): time.monotonic() of the end."""

    repository: str
    password_file: str
    environment: t.Mapping[str, str] = field(default_factory=dict)
    deadline: float = float("inf")
    patience: float = 600.0  # seconds that another host may hold a repository that is shared

    def run(self, *words: str, changing: str = "") -> str:
        """Its output. C(changing): a folder in which files come and go: one that is gone is no failure."""
        until = time.monotonic() + self.patience
        while True:
            try:
                return self._run(words, changing)
            except ResticError as error:
                if error.meaning not in LOCKED or time.monotonic() + LOCKED_PAUSE > min(until, self.deadline):
                    raise
                # What a dead one left, and no more. restic tells that by the name of the host, so not where another
                # one of this name may be at work.
                if self.repository.startswith("/"):
                    with suppress(ComponentError):
                        self._run(("unlock",), "")
                time.sleep(LOCKED_PAUSE)

    def _run(self, words: t.Sequence[str], changing: str) -> str:
        stated = {"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD_FILE": self.password_file}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")}
        more = {"RESTIC_CACHE_DIR": CACHE, "RESTIC_PROGRESS_FPS": "0.5"}
        left = self.deadline - time.monotonic()
        try:
            with _last_words() as output:
                done = subprocess.run(
                    # It dies with this process: the next backup takes away what it would go on storing.
                    ["setpriv", "--pdeathsig", "KILL", "nice", "restic", *words],
                    env={**kept, **more, **self.environment, **stated},
                    stdout=output,
                    stderr=subprocess.PIPE,
                    text=True,
                    check=False,
                    timeout=None if left == float("inf") else max(left, 1),
                )
                output.seek(0)
                said = output.read()
        except subprocess.TimeoutExpired:
            raise ComponentError(
                f"`restic {words[0]}` was not done within the time limit",
                "",
                "run it when the repository is faster, or raise backup_timeout",
            ) from None
        if done.returncode == PARTIAL and (errors := _file_errors(done.stderr)):
            if unread := [str(one) for one in errors if not one.has_left(changing)]:
                raise NotWhole(unread[:8], str(_summary(said).get("snapshot_id", "")))
        elif done.returncode:
            error = refusal(words[0], self.repository, done.stderr or said)
            if not error.meaning and self.repository.startswith("sftp:"):
                error = refusal(words[0], self.repository, f"{done.stderr or said}\n{_ssh_refusal(self.repository)}")
            raise error
        return said

    def snapshots(self, host: str, *tags: str) -> list[dict[str, t.Any]]:
        """Those of a host with one of the tags, the oldest first."""
        tagged = [word for tag in tags for word in ("--tag", tag)]
        listed = json.loads(self.run("snapshots", "--json", "--host", host, *tagged) or "[]") or []
        # Each is in the zone of the host at that time.
        return sorted(listed, key=lambda one: parse_time(one["time"]))

    def summary(self, *words: str, changing: str = "") -> dict[str, t.Any]:
        """The last message of a command that reports in JSON, which tells what it did."""
        return _summary(self.run(*words, "--json", changing=changing))


@contextmanager
def _last_words() -> t.Iterator[t.IO[str]]:
    """A file of this call, under the name that others look at."""
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8", errors="replace", dir=RUN, prefix="restic-") as output:
        link = f"{output.name}.link"
        os.symlink(output.name, link)
        os.replace(link, f"{RUN}/{LAST_WORDS}")
        try:
            yield output
        finally:
            with suppress(FileNotFoundError):
                os.unlink(f"{RUN}/{LAST_WORDS}")


@contextmanager
def opened(
    repository: str,
    password: str,
    environment: t.Mapping[str, str],
    limit: float = float("inf"),
    patience: float = Restic.patience,
) -> t.Iterator[Restic]:
    """A repository for the time of a run; its password stands in memory alone, and in no process list."""
    os.makedirs(RUN, mode=0o700, exist_ok=True)
    os.makedirs(CACHE, mode=0o700, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix="restic-", dir=RUN)  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(password)
        yield Restic(repository, path, environment, time.monotonic() + limit, patience)
    finally:
        os.unlink(path)


def require_restic(module: AnsibleModule) -> None:
    """Fail where there is none; the role backup installs it."""
    if shutil.which("restic") is None:
        error = ComponentError("restic is not installed on this host", "", "install the package restic")
        module.fail_json(msg=str(error))


def refusal(command: str, repository: str, output: str) -> ResticError:
    """restic's own words with their meaning."""
    lowered = output.lower()
    found = next((one for one in _MEANINGS if one[0] in lowered), None)
    words = "\n".join(filter(None, map(_words, output.strip().splitlines()[-8:])))
    if found is None:
        remedy = "see what restic says above; its own commands help: restic check, restic unlock"
        return ResticError(f"`restic {command}` failed with the repository {shown(repository)}", words, remedy)
    _sign, meaning, remedy = found
    return ResticError(f"{meaning}: {shown(repository)}", words, remedy, meaning)


def _ssh_refusal(repository: str) -> str:
    """What ssh says of the server of an SFTP repository: restic often ends before it has passed that on."""
    # ssh takes an address with a port as well, without the path.
    where = f"ssh://{urlsplit(repository).netloc}" if repository.startswith("sftp://") else repository.split(":")[1]
    tried = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", where, "exit"]
    try:
        done = subprocess.run(tried, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):  # there is no ssh, of which restic itself tells
        return ""
    return done.stderr if done.returncode == 255 else ""


def _summary(said: str) -> dict[str, t.Any]:
    messages = map(_message, reversed(said.splitlines()))
    return next((one for one in messages if one.get("message_type") == "summary"), {})


@dataclass(frozen=True)
class _FileError:
    """A file that restic could not read."""

    path: str
    why: str
    is_gone: bool

    def has_left(self, folder: str) -> bool:
        return self.is_gone and bool(folder) and self.path.startswith(f"{folder}/")

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def _file_errors(output: str) -> list[_FileError]:
    """Those of a backup, each once. An older restic tells the reason by its number, or not at all."""
    found = {}
    for message in filter(lambda one: one.get("message_type") == "error", map(_message, output.splitlines())):
        path, error = str(message.get("item", "")), message.get("error")
        stated = error if isinstance(error, dict) else {"message": error}
        number = stated.get("Err") if isinstance(stated.get("Err"), int) else 0
        why = str(stated.get("message") or (os.strerror(number) if number else "restic does not say why"))
        gone = number == errno.ENOENT or "no such file" in why or not os.path.lexists(path)
        found[path, why] = _FileError(path, why, gone)
    return list(found.values())


def _message(line: str) -> dict[str, t.Any]:
    """What a line of restic in JSON says; nothing where it is none."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _words(line: str) -> str:
    """A line for people, also of a restic that was asked for JSON."""
    if not line.startswith("{"):
        return line
    message = _message(line)
    error = message.get("error")
    return str(message.get("message") or (error.get("message") if isinstance(error, dict) else error) or "")


def shown(repository: str) -> str:
    """Without the password that some addresses have in them."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", repository)
