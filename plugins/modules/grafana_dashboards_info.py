#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_dashboards_info
short_description: Lists the dashboards of Grafana
version_added: 0.1.0
description:
  - Lists folders and dashboards with one request, and reads the dashboards themselves if asked to.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.grafana
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  folder:
    description: UID of a folder, to list only what is directly in it.
    type: str
  owner:
    description: List only dashboards with the mark of this owner, as M(opswatch.monitoring.grafana_dashboards) sets it.
    type: str
  content:
    description: Whether each dashboard is read, which takes a request for each.
    type: bool
    default: false
seealso:
  - module: opswatch.monitoring.grafana_dashboards
"""

EXAMPLES = r"""
- name: See what is there
  opswatch.monitoring.grafana_dashboards_info:
    token_file: /etc/grafana/ansible.token
  register: found
"""

RETURN = r"""
dashboards:
  description: The dashboards, by folder and title.
  type: list
  elements: dict
  returned: always
  contains:
    uid:
      description: UID of the dashboard.
      type: str
    title:
      description: Title of the dashboard.
      type: str
    folder:
      description: UID of its folder, empty in the root.
      type: str
    folder_title:
      description: Title of its folder, empty in the root.
      type: str
    tags:
      description: Its tags.
      type: list
      elements: str
    version:
      description: Its version; with O(content) only.
      type: int
    provisioned:
      description: The file of the server that it comes from, else empty; with O(content) only.
      type: str
    model:
      description: The dashboard itself, or null where Grafana keeps it in its newer schema; with O(content) only.
      type: dict
folders:
  description: The folders, by title.
  type: list
  elements: dict
  returned: always
  contains:
    uid:
      description: UID of the folder.
      type: str
    title:
      description: Title of the folder.
      type: str
    parent:
      description: UID of the folder around it, empty in the root.
      type: str
"""

import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboard_sync import look, read_all
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_api import Grafana, connect, grafana_module


def found(grafana: Grafana, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    server = look(grafana)
    titles = {one.uid: one.title for one in server.folders.values()}
    listed = [
        one
        for one in server.dashboards
        if params["folder"] in (None, one.folder) and (params["owner"] is None or params["owner"] in one.owners())
    ]
    listed.sort(key=lambda one: (titles.get(one.folder, ""), one.title))
    read = read_all(grafana, [one.uid for one in listed]) if params["content"] else {}
    dashboards = []
    for one in listed:
        entry: dict[str, t.Any] = {
            "uid": one.uid,
            "title": one.title,
            "folder": one.folder,
            "folder_title": titles.get(one.folder, ""),
            "tags": list(one.tags),
        }
        if one.uid in read:
            content = read[one.uid]
            entry.update(version=content.version, provisioned=content.provisioned, model=content.model)
        dashboards.append(entry)
    folders = sorted(server.folders.values(), key=lambda one: one.title)
    return {
        "dashboards": dashboards,
        "folders": [{"uid": one.uid, "title": one.title, "parent": one.parent} for one in folders],
    }


def main() -> None:
    module = grafana_module(
        {"folder": {"type": "str"}, "owner": {"type": "str"}, "content": {"type": "bool", "default": False}}
    )
    try:
        answer = found(connect(module.params), module.params)
    except ComponentError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
