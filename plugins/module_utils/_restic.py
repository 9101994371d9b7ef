# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""restic, called with its password in a file that only root reads, and its refusals in words that help."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule

from ._errors import ComponentError

RUN = "/run/opswatch"
CACHE = "/var/cache/opswatch/restic"
PARTIAL = 3  # restic's exit code for "done, but some files could not be read"
LOCKED_PAUSE = 10.0  # seconds between two attempts at a repository that another host prunes

# Words of restic (0.14 to 0.18) and what they mean: what is wrong, what to do. The first that fits counts: a repository
# that cannot be reached is not to be made anew.
_MEANINGS = (
    ("dial tcp", "the repository cannot be reached", "see whether its address is right and answers"),
    ("permission denied", "the repository cannot be read or written", "correct its access rights or its credentials"),
    ("wrong password or no key found", "the repository does not open with this password", "correct backup_password"),
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


@dataclass(frozen=True)
class Restic:
    """A repository. C(environment): credentials of the place where it is; C(deadline): time.monotonic() of the end."""

    repository: str
    password_file: str
    environment: t.Mapping[str, str] = field(default_factory=dict)
    deadline: float = float("inf")
    patience: float = 600.0  # seconds that another host may hold a repository that is shared

    def run(self, *words: str, partial: bool = False) -> str:
        """Its output. C(partial): files that cannot be read are no failure."""
        until = time.monotonic() + self.patience
        while True:
            try:
                return self._run(words, partial)
            except ResticError as error:
                if error.meaning not in LOCKED or time.monotonic() + LOCKED_PAUSE > min(until, self.deadline):
                    raise
                time.sleep(LOCKED_PAUSE)

    def _run(self, words: t.Sequence[str], partial: bool) -> str:
        stated = {"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD_FILE": self.password_file}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")}
        environment = {**kept, "RESTIC_CACHE_DIR": CACHE, **self.environment, **stated}
        left = self.deadline - time.monotonic()
        try:
            done = subprocess.run(
                ["nice", "restic", *words],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=None if left == float("inf") else max(left, 1),
            )
        except subprocess.TimeoutExpired:
            raise ComponentError(
                f"`restic {words[0]}` was not done within the time limit",
                "",
                "run it when the repository is faster, or raise backup_timeout",
            ) from None
        if done.returncode and not (partial and done.returncode == PARTIAL):
            raise refusal(words[0], self.repository, done.stderr or done.stdout)
        return done.stdout

    def snapshots(self, host: str, *tags: str) -> list[dict[str, t.Any]]:
        """Those of a host with one of the tags, the oldest first."""
        tagged = [word for tag in tags for word in ("--tag", tag)]
        listed = json.loads(self.run("snapshots", "--json", "--host", host, *tagged) or "[]") or []
        return sorted(listed, key=lambda one: str(one["time"]))

    def summary(self, *words: str, partial: bool = False) -> dict[str, t.Any]:
        """The last message of a command that reports in JSON, which tells what it did."""
        for line in reversed(self.run(*words, "--json", partial=partial).splitlines()):
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict) and message.get("message_type") == "summary":
                return message
        return {}


@contextmanager
def opened(
    repository: str, password: str, environment: t.Mapping[str, str], limit: float = float("inf")
) -> t.Iterator[Restic]:
    """A repository for the time of a run; its password stands in memory alone, and in no process list."""
    os.makedirs(RUN, mode=0o700, exist_ok=True)
    os.makedirs(CACHE, mode=0o700, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix="restic-", dir=RUN)  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(password)
        yield Restic(repository, path, environment, time.monotonic() + limit)
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
    words = "\n".join(line for line in output.strip().splitlines()[-8:] if not line.startswith("{"))
    if found is None:
        remedy = "see what restic says above; its own commands help: restic check, restic unlock"
        return ResticError(f"`restic {command}` failed with the repository {shown(repository)}", words, remedy)
    _sign, meaning, remedy = found
    return ResticError(f"{meaning}: {shown(repository)}", words, remedy, meaning)


def shown(repository: str) -> str:
    """Without the password that some addresses have in them."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", repository)
