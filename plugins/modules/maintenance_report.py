#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_report
short_description: Makes reports of what was looked at on all hosts
version_added: 0.1.0
description:
  - Shows what M(opswatch.monitoring.maintenance_look) found on the terminal, and writes it as JSON and as one HTML page that needs nothing beside it.
  - Fails where something is broken, so that cron sees it. Reaches no host.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Shows the report, and writes no file.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  routines:
    description: Which looks. Without any only the folder is made, so that a run whose report could not be written asks nobody.
    type: list
    elements: str
    choices: [daily, weekly, monthly, doctor]
    default: []
  dir:
    description: Folder on the control node; made with mode 0700 if it is not there.
    type: path
    required: true
  fail_on:
    description: The least severity for which the task fails.
    type: str
    choices: [broken, warning, never]
    default: broken
  keep:
    description: How many reports of a routine stay.
    type: int
    default: 14
"""

EXAMPLES = r"""
- name: Daily report
  opswatch.monitoring.maintenance_report:
    routines: [daily]
    dir: "{{ inventory_dir }}/maintenance"
  run_once: true
"""

RETURN = r"""
reports:
  description: By their routines.
  type: dict
  returned: always
  contains:
    summary:
      description: How many findings there are of each severity, as C(ok), C(notes), C(warnings) and C(broken). The doctor has no notes.
      type: dict
    path:
      description: The page; empty in check mode.
      type: str
"""
