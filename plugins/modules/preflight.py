#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Reports all problems of a host that can be known before anything is changed
version_added: 0.1.0
description:
  - Looks at the inventory and at the host, and fails with a numbered list of everything that would stop the run later.
    Variables of a wrong type, unknown and misspelt ones, misspelt groups, values that a role would refuse at its turn,
    ports that are wanted twice, files that are not there, releases that cannot be had, secrets that the host works with and the control node lacks,
    a host that does not fit, no space.
  - Which components a host runs is taken from its groups. A host without one is not asked.
  - One remote call, which starts no Python. A second one, M(opswatch.monitoring.release_info), where a release is missing
    that the host fetches itself, and M(opswatch.monitoring.components_info) where several components are there in the wanted
    version - those that are found in order are not asked for again in this run, until something on the host has changed.
  - Put it into a play of its own, with C(any_errors_fatal), before all others. Then every host reports, and none is changed if
    one has a problem; C(site.yml) does so.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - action_common_attributes
  - action_common_attributes.flow
attributes:
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  platform:
    platforms: linux
options: {}
seealso:
  - module: opswatch.monitoring.release_info
  - module: opswatch.monitoring.components_info
  - module: opswatch.monitoring.component
"""

EXAMPLES = r"""
- name: Preflight
  hosts: prometheus:node_exporter
  gather_facts: false
  become: true
  any_errors_fatal: true
  tasks:
    - name: Report all problems before anything is changed
      opswatch.monitoring.preflight:
"""

RETURN = r"""
msg:
  description: All problems of the host, numbered.
  type: str
  returned: failure
  sample: |-
    Preflight found 1 problem on app1. Nothing was changed on any host.
    1. port 9100 is wanted twice on this host: node_exporter_listen_address 0.0.0.0:9100 and monitoring_services (shop)
       What to do: give one of them another port
"""
