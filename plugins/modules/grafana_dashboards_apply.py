#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_dashboards_apply
short_description: Brings dashboards that it is handed to Grafana, or hands out those that are there
version_added: 0.1.0
description:
  - The half of M(opswatch.monitoring.grafana_dashboards) that runs on the host. Use that one, which reads and writes the files.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.grafana
attributes:
  check_mode:
    description: Finds out what would be done, and writes nothing.
    support: full
  diff_mode:
    description: Shows for each dashboard the values that change.
    support: full
options:
  tree:
    description:
      - Base64 of a zlib stream of a JSON object. Its C(folders) is a list of C(path), C(title), C(parent) and C(uid), parents first; its
        C(dashboards) a list of C(file), C(folder), which is the path of one, and C(model).
      - Without it the dashboards of the server are handed out.
    type: str
  folder:
    description: UID of the folder of Grafana in which the tree lies.
    type: str
    default: ""
  owner:
    description: Whose dashboards these are.
    type: str
    default: ""
  prune:
    description: Whether dashboards of O(owner) that are not in O(tree) are removed.
    type: bool
    default: false
seealso:
  - module: opswatch.monitoring.grafana_dashboards
"""

EXAMPLES = r"""
- name: Hand out the dashboards of one folder
  opswatch.monitoring.grafana_dashboards_apply:
    token_file: /etc/grafana/ansible.token
    folder: shop
  register: found
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
  returned: with O(tree)
updated:
  description: UIDs of dashboards that had another content or another folder.
  type: list
  elements: str
  returned: with O(tree)
deleted:
  description: UIDs of dashboards that were removed.
  type: list
  elements: str
  returned: with O(tree)
unchanged:
  description: How many dashboards were right already.
  type: int
  returned: with O(tree)
exported:
  description: Base64 of a zlib stream of JSON, a list of C(model) and C(folders), which are the titles above it.
  type: str
  returned: without O(tree)
skipped:
  description: UIDs of dashboards that Grafana keeps in its newer schema, which have no classic JSON.
  type: list
  elements: str
  returned: without O(tree)
"""

from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboard_sync import Sync, export
from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboards import packed, unpacked
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_api import connect, grafana_module


def main() -> None:
    module = grafana_module(
        {
            # Not secret, but hundreds of kilobytes: the log of the host is to have none of them.
            "tree": {"type": "str", "no_log": True},
            "folder": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
            "prune": {"type": "bool", "default": False},
        }
    )
    params = module.params
    try:
        grafana = connect(params)
        if params["tree"] is None:
            found, skipped = export(grafana, params["folder"], params["owner"])
            module.exit_json(changed=False, actions=[], exported=packed(found), skipped=skipped)
        tree = unpacked(params["tree"])
        sync = Sync(grafana, params["folder"], params["owner"], params["prune"], module.check_mode)
        outcome = sync.run(tree["folders"], tree["dashboards"])
    except ComponentError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(outcome.diff),
        actions=outcome.actions,
        created=outcome.created,
        updated=outcome.updated,
        deleted=outcome.deleted,
        unchanged=outcome.unchanged,
        **({"diff": outcome.diff} if module._diff else {}),
    )


if __name__ == "__main__":
    main()
