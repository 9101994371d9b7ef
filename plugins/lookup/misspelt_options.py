# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: misspelt_options
short_description: Variables that look like an option of a routine and are none
version_added: 0.1.0
description:
  - The roles of the routines refuse these. Ansible says nothing of a variable that nobody reads, and a misspelt drill
    would be a restore.
  - Names that only begin like an option are left alone.
author: opswatch.monitoring contributors (@opswatch)
options:
  _terms:
    description: Names of roles of the routines, such as V(restore).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse misspelt variables
  ansible.builtin.fail:
    msg: "{{ misspelt | join('\n') }}"
  vars:
    misspelt: "{{ query('opswatch.monitoring.misspelt_options', 'restore', 'backup') }}"
  when: misspelt | length > 0
"""

RETURN = r"""
_raw:
  description: What is wrong with each, and what to do.
  type: list
  elements: str
"""

import typing as t

from ansible.plugins.lookup import LookupBase
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_names import misspelt_options
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_report import REMEDY


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        return [
            f"{problem.what}: {problem.seen} {REMEDY}{problem.remedy}"
            for role in terms
            for problem in misspelt_options(variables or {}, role, role_facts.options(role))
        ]
