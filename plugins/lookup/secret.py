# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: A password that is made once and kept on the control node
version_added: 0.1.0
description:
  - Returns the content of a file in a folder of secrets. Where there is none, 32 random characters are written there first (mode 0600).
  - In check mode nothing is written, and a placeholder takes the place of a password that does not exist yet.
author: opswatch.monitoring contributors (@opswatch)
options:
  _terms:
    description: Name of the secret; its file has this name with C(.txt) behind it.
    type: list
    elements: str
    required: true
  dir:
    description: The folder of secrets on the control node. Without it, C(monitoring_secrets_dir) of the host.
    type: path
  make:
    description: Whether one that does not exist is made. Without it a placeholder takes its place, as in check mode.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Use a password
  ansible.builtin.set_fact:
    app_password: "{{ lookup('opswatch.monitoring.secret', 'app_password', dir='secrets') }}"
"""

RETURN = r"""
_raw:
  description: The passwords.
  type: list
  elements: str
"""

import secrets
import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import PLACEHOLDER, SecretLookup


class LookupModule(SecretLookup):
    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        folder = self.folder(variables, kwargs)
        folder.read_only = folder.read_only or not self.get_option("make")
        return [folder.keep(name, lambda: secrets.token_urlsafe(24), PLACEHOLDER) for name in terms]
