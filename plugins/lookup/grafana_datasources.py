# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: grafana_datasources
short_description: Grafana's datasources, from the inventory and from the user
version_added: 0.1.0
description:
  - The hosts of the groups C(prometheus), C(alertmanager) and C(loki) are datasources. The first of each has the name of its group for a UID, so
    dashboards find it; further ones have the name of their host behind it.
  - Secrets are not in the result but in files that it names.
author: opswatch.monitoring contributors (@opswatch)
options:
  _terms:
    description: Not used.
    type: list
    elements: str
  own:
    description: More datasources, as Grafana's provisioning has them.
    type: list
    elements: dict
    default: []
  user:
    description: User of the basic authentication of the servers.
    type: str
    required: true
  ca:
    description: Whether the host has an authority to trust, C(ca.crt) in O(folder).
    type: bool
    default: false
  folder:
    description: Where the files of secrets are on the host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the datasources of the inventory
  ansible.builtin.debug:
    msg: "{{ lookup('opswatch.monitoring.grafana_datasources', user='monitoring', folder='/etc/grafana/secrets').file }}"
"""

RETURN = r"""
_raw:
  description:
    - One map with C(file), the content of a provisioning file, C(secrets), contents by the name of their file, and C(names) of the
      datasources of the first organisation.
  type: list
  elements: dict
"""

import typing as t

from ansible.plugins.lookup import LookupBase
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.grafana import build_datasources


class LookupModule(LookupBase):
    def run(
        self, terms: list[str] | None = None, variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[dict[str, t.Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        return [
            build_datasources(
                known["groups"],
                known["hostvars"],
                user=self.get_option("user"),
                ca=self.get_option("ca"),
                own=self.get_option("own"),
                folder=self.get_option("folder"),
                host=known["inventory_hostname"],
            )
        ]
