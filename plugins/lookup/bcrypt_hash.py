# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: bcrypt_hash
short_description: The bcrypt hash of a password, made once and kept
version_added: 0.1.0
description:
  - A hash has a random salt, so hashing again would look like a change on every host and in every run.
    This one is kept on the control node beside the secrets, and made again only when the password no longer fits it.
  - Needs the Python package C(bcrypt) on the control node.
author: opswatch.monitoring contributors (@opswatch)
options:
  _terms:
    description: Name of the secret; the hash is kept in a file of this name with C(.bcrypt.txt) behind it.
    type: list
    elements: str
    required: true
  password:
    description: The password.
    type: str
    required: true
  dir:
    description: The folder of secrets on the control node. Without it, C(monitoring_secrets_dir) of the host.
    type: path
"""

EXAMPLES = r"""
- name: Use the hash of a password
  ansible.builtin.set_fact:
    users:
      monitoring: "{{ lookup('opswatch.monitoring.bcrypt_hash', 'app_password', password=app_password, dir='secrets') }}"
"""

RETURN = r"""
_raw:
  description: The hashes.
  type: list
  elements: str
"""

import re
import typing as t

from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import SecretLookup

try:
    import bcrypt
except ImportError:
    bcrypt = None

# Rounds are there to make guessing slow. A program pays them for every new connection, and a run for every component.
COST = 10
# A generated password is 192 random bits, which nobody guesses however fast: it has the fewest rounds that there are.
GENERATED = re.compile(rb"[A-Za-z0-9_-]{32}")
LEAST_COST = 4


class LookupModule(SecretLookup):
    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        if bcrypt is None:
            raise AnsibleError(
                "The control node lacks the Python package bcrypt, which hashes passwords. "
                "What to do: pip install bcrypt (or the package python3-bcrypt)."
            )
        folder = self.folder(variables, kwargs)
        password = self.get_option("password").encode()
        if len(password) > 72:
            raise AnsibleError("A password has more than 72 bytes, which bcrypt cannot hash. What to do: shorten it.")

        cost = LEAST_COST if GENERATED.fullmatch(password) else COST

        def make() -> str:
            return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()

        def fits(kept: str) -> bool:
            try:
                return kept.startswith(f"$2b${cost:02}$") and bcrypt.checkpw(password, kept.encode())
            except ValueError:  # the file is damaged
                return False

        return [folder.keep(f"{name}.bcrypt", make, fits=fits) for name in terms]
