# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The folder of generated secrets on the control node."""

from __future__ import annotations

import fcntl
import os
import tempfile
import typing as t
from contextlib import contextmanager

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.path import unfrackpath

# The folder stands beside the inventory, which Ansible may read as a whole: without an ending that it skips, the word
# in such a file would become the name of a host.
ENDING = ".txt"
PLACEHOLDER = "made-by-the-first-real-run"
VARIABLE = "monitoring_secrets_dir"
AUTHORITY = "tls_authority"


class SecretLookup(LookupBase):
    """A lookup for what is kept in the folder that it is told, or in that of the host.

    The second is not an argument of the roles' variables, as Ansible would work it out for each of them, used or not.
    """

    def folder(self, variables: dict[str, t.Any] | None, kwargs: dict[str, t.Any]) -> SecretsDir:
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        path = self.get_option("dir") or self._templar.template(variables.get(VARIABLE))
        if not path:
            raise AnsibleError(f"It is not known where secrets are kept. What to do: give dir, or set {VARIABLE}.")
        # An action that only looks, as preflight and doctor, resolves what it is about as if in check mode. For one
        # expression of a task that makes others there is the option make of the lookup.
        return SecretsDir(unfrackpath(path, follow=False), read_only=bool(variables.get("ansible_check_mode")))


class SecretsDir:
    """Files of mode 0600 in a folder of mode 0700. Several processes may ask for the same new secret at once."""

    def __init__(self, path: str, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only

    def keep(
        self,
        name: str,
        make: t.Callable[[], str],
        placeholder: str | None = None,
        fits: t.Callable[[str], bool] = lambda kept: True,
    ) -> str:
        """The kept secret; where there is none, or it does not fit any more, C(make) gives a new one.

        When nothing may be written, a new one is C(placeholder), or made and forgotten.
        """
        path = os.path.join(self.path, name + ENDING)
        kept = self._read(path)
        if kept and fits(kept):
            return kept
        if self.read_only:
            return make() if placeholder is None else placeholder
        with self._alone(path):
            kept = self._read(path)
            if not kept or not fits(kept):
                kept = make()
                self._write(path, kept)
            return kept

    def has(self, name: str) -> bool:
        """Whether something is kept by this name. An empty file is what a full disk leaves, and nothing."""
        try:
            return os.path.getsize(os.path.join(self.path, name + ENDING)) > 0
        except OSError:
            return False

    def _read(self, path: str) -> str:
        try:
            with open(path, encoding="utf-8") as handle:
                return handle.read().strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise AnsibleError(f"The secret {path} cannot be read: {error}") from error

    @contextmanager
    def _alone(self, path: str) -> t.Iterator[None]:
        """One process at a time makes secrets; those that waited find the one that it made."""
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            folder = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield
            finally:
                os.close(folder)
        except OSError as error:
            raise AnsibleError(
                f"The secret {path} cannot be written: {error}. What to do: make the folder writable, "
                f"or set {VARIABLE} to one that is."
            ) from error

    def _write(self, path: str, secret: str) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self.path)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(secret + "\n")
        os.rename(temporary, path)
