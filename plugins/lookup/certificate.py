# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate
short_description: A host's certificate from an authority of this inventory
version_added: 0.1.0
description:
  - Makes an authority once, and a certificate for each host, and keeps them in a folder of secrets on the control node.
  - A certificate is made again 30 days before it ends, or when its names change.
author: opswatch.monitoring contributors (@opswatch)
options:
  _terms:
    description: The inventory name of the host.
    type: list
    elements: str
    required: true
  names:
    description: Names and addresses at which the host is reached.
    type: list
    elements: str
    required: true
  dir:
    description: The folder of secrets on the control node. Without it, C(monitoring_secrets_dir) of the host.
    type: path
"""

EXAMPLES = r"""
- name: Use a certificate
  ansible.builtin.set_fact:
    tls: "{{ lookup('opswatch.monitoring.certificate', inventory_hostname, names=[ansible_host], dir='secrets') }}"
"""

RETURN = r"""
_raw:
  description: For each host, the content of C(tls.crt), C(tls.key) and C(ca.crt).
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.opswatch.monitoring.plugins.plugin_utils.authority import certificate
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import SecretLookup


class LookupModule(SecretLookup):
    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[dict[str, str]]:
        folder = self.folder(variables, kwargs)
        names = list(dict.fromkeys([*self.get_option("names"), "localhost", "127.0.0.1"]))
        return [certificate(folder, host, names) for host in terms]
