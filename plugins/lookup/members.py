# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: members
short_description: Where the other hosts of a component's group are reached
version_added: 0.1.0
description:
  - Addresses of the hosts that run a component, as host and port, without the host itself and those on which it is absent.
author: opswatch.monitoring contributors (@opswatch)
options:
  _terms:
    description: Names of components.
    type: list
    elements: str
    required: true
  option:
    description: The role's option, without the name of the component before it, whose port counts.
    type: str
    default: listen_address
"""

EXAMPLES = r"""
- name: Show the other members of the cluster
  ansible.builtin.debug:
    msg: "{{ query('opswatch.monitoring.members', 'alertmanager', option='cluster_listen_address') }}"
"""

RETURN = r"""
_raw:
  description: The addresses.
  type: list
  elements: str
"""

import typing as t

from ansible.plugins.lookup import LookupBase
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import members


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        return [
            address
            for component in terms
            for address in members(
                component,
                self.get_option("option"),
                known["groups"],
                known["hostvars"],
                but=known["inventory_hostname"],
            )
        ]
