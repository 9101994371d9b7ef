#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_dashboards
short_description: Keeps a whole folder tree of dashboards in step with Grafana, in either direction
version_added: 0.1.0
description:
  - Reads a folder tree of dashboards on the control node, compares it with the server, and writes what differs, in one call.
  - Folders of the tree become folders of Grafana, made first; files that end in C(.json) become dashboards.
  - A dashboard is compared by its content. One that is equal is not saved, as Grafana would make a new version of it. An edit by
    hand is seen, and undone.
  - All clashes are reported before anything is written. A run that was killed leaves whole dashboards, and the next one completes it.
  - The tree is read on the control node; Grafana is asked by the host of the task, and nothing is copied to its disk.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.grafana
attributes:
  check_mode:
    description: Finds out what would be done, and writes nothing.
    support: full
  diff_mode:
    description: Shows for each dashboard the values that change, at most 40 lines of them.
    support: full
options:
  path:
    description:
      - The folder on the control node. Where it is relative, it is looked for as files of a role are.
      - A dashboard without C(uid) gets one made from its path below this folder, so that moving the file makes another dashboard.
      - Names that begin with a dot are left out, and so are folders without dashboards.
    type: path
    required: true
  state:
    description:
      - V(present) brings the tree to the server.
      - V(exported) writes the dashboards of the server into the tree. A dashboard that has a file there keeps it, and a file of equal
        content is left untouched. No file is removed.
    type: str
    choices: [present, exported]
    default: present
  folder:
    description: UID of a folder of Grafana in which the tree lies. Folders inside it need Grafana 11 or later.
    type: str
    default: ""
  owner:
    description:
      - Marks the dashboards of the tree as belonging to it, with the tag C(managed:OWNER). Give each tree its own.
      - A dashboard with the mark of another owner is not touched.
      - With O(state=exported) only those with the mark are exported, without it.
    type: str
    default: ""
  prune:
    description:
      - Removes dashboards that have the mark of O(owner), which is needed, and are not in the tree; then folders that this module has
        made and that are empty.
      - Others are never removed.
    type: bool
    default: false
seealso:
  - module: opswatch.monitoring.grafana_dashboards_info
  - module: opswatch.monitoring.grafana_folder
"""

EXAMPLES = r"""
- name: Keep the dashboards of this repository in Grafana, and remove those that were removed here
  opswatch.monitoring.grafana_dashboards:
    url: https://grafana.example.com
    token_file: /etc/grafana/ansible.token
    path: dashboards
    owner: team-shop
    prune: true

- name: Bring back what was edited in the browser
  opswatch.monitoring.grafana_dashboards:
    user: admin
    password: "{{ grafana_admin_password }}"
    path: "{{ playbook_dir }}/dashboards"
    owner: team-shop
    state: exported
"""

RETURN = r"""
actions:
  description: What was done, or would be, in words.
  type: list
  elements: str
  returned: always
created:
  description: UIDs of dashboards that were new.
  type: list
  elements: str
  returned: with O(state=present)
updated:
  description: UIDs of dashboards that had another content or another folder.
  type: list
  elements: str
  returned: with O(state=present)
deleted:
  description: UIDs of dashboards that were removed.
  type: list
  elements: str
  returned: with O(state=present)
unchanged:
  description: How many dashboards were right already.
  type: int
  returned: always
"""
