#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_look
short_description: Looks at one service for a maintenance report, or for the doctor's
version_added: 0.1.0
description:
  - Asks a service on its own host, with few requests, and judges the answers on the control node.
  - A service that cannot be asked is a finding, and does not fail the task. M(opswatch.monitoring.maintenance_report) makes the report.
  - C(playbooks/maintenance.yml) and C(playbooks/doctor.yml) call it in the context of the roles, which know how their services are reached.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: With O(clean) it says what would be freed, and the doctor sends no line to Loki. Nothing else changes anything in any mode.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  routine:
    description:
      - What is looked at.
      - With V(doctor) it is what is wrong now. What the inventory wants, the options of the role C(doctor), and in C(__doctor_options) those of the
        connection (C(api)) and folders of dashboards (C(trees), each with C(path)) are taken from the variables.
    type: str
    choices: [daily, weekly, monthly, doctor]
    required: true
  component:
    description: The service that is asked; V(host) is everything that is installed on the host.
    type: str
    choices: [prometheus, alertmanager, loki, grafana, host]
    required: true
  api:
    description: Options of the connection, as M(opswatch.monitoring.prometheus_info) and its like have them.
    type: dict
    default: {}
  builtin_rules:
    description: Whether the rules of the collection are to be in force; for Prometheus, weekly.
    type: bool
    default: true
  rules:
    description: More groups of rules that are to be in force; for Prometheus, weekly.
    type: list
    elements: dict
    default: []
  rule_files:
    description: Files on the control node with more of them; for Prometheus, weekly.
    type: list
    elements: path
    default: []
  muted:
    description: Alerts that nobody is told of, so none of them is said to be pending; for Prometheus, daily.
    type: list
    elements: str
    default: []
  dashboards:
    description: Dashboards whose panels are asked; for Prometheus, weekly and monthly.
    type: list
    elements: dict
    default: []
  retention:
    description: How long data is to be kept, such as V(744h); for Loki, weekly.
    type: str
    default: ""
  clean:
    description: Whether what nobody needs is removed; monthly.
    type: bool
    default: false
  dir:
    description: Folder of the reports on the control node, to compare with an earlier one; monthly.
    type: path
"""

EXAMPLES = r"""
- name: Look at Prometheus
  opswatch.monitoring.maintenance_look:
    routine: daily
    component: prometheus
    api: {user: monitoring, password: "{{ vault_monitoring_password }}"}
  register: __maintenance_prometheus_daily
"""

RETURN = r"""
look:
  description: What was found, for the report.
  type: dict
  returned: always
  contains:
    findings:
      description: Each with C(check), C(severity), C(host), C(component), C(what), C(evidence), C(cause) and C(fix).
      type: list
      elements: dict
    charts:
      description: Numbers to draw.
      type: list
      elements: dict
    state:
      description: What the next report compares with.
      type: dict
dashboards:
  description: The dashboards that Grafana has.
  type: list
  elements: dict
  returned: where O(component=grafana), for maintenance
"""
