#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_folder
short_description: Makes, renames, moves or removes a folder of Grafana
version_added: 0.1.0
description:
  - A folder is found by its O(uid), else by its O(title) in O(parent).
  - M(opswatch.monitoring.grafana_dashboards) makes the folders of its tree by itself.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.grafana
attributes:
  check_mode:
    description: Finds out what would be done, and writes nothing.
    support: full
  diff_mode:
    description: Shows title and place before and after.
    support: full
options:
  title:
    description: What people see. Needed with O(state=present).
    type: str
  uid:
    description: UID of the folder. A folder that is new gets one made from O(parent) and O(title) if there is none here.
    type: str
  parent:
    description: UID of the folder around it. Needs Grafana 11 or later; empty is the root.
    type: str
    default: ""
  state:
    description: Whether the folder is to be there.
    type: str
    choices: [present, absent]
    default: present
  remove_contents:
    description: With O(state=absent), remove the folder although there are dashboards or folders in it, and those too.
    type: bool
    default: false
seealso:
  - module: opswatch.monitoring.grafana_dashboards
"""

EXAMPLES = r"""
- name: A folder for the shop's team
  opswatch.monitoring.grafana_folder:
    token_file: /etc/grafana/ansible.token
    title: Shop
    uid: shop
"""

RETURN = r"""
uid:
  description: UID of the folder, empty where there was none to remove.
  type: str
  returned: always
"""

import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboard_sync import look
from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboards import derived_uid, problem_of_uid
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_api import Grafana, connect, grafana_module
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_folders import (
    Folder,
    child_of,
    create_folder,
    delete_folder,
    missing_folder,
    move_folder,
    refuse_nesting,
    rename_folder,
)


def ensure(grafana: Grafana, params: t.Mapping[str, t.Any], check: bool) -> tuple[Folder | None, Folder | None]:
    """The folder before and after."""
    server = look(grafana)
    parent, title, uid = params["parent"], params["title"] or "", params["uid"]
    known = server.folders.get(uid) if uid else child_of(server.folders.values(), parent, title)
    if params["state"] == "absent":
        if known is None:
            return None, None
        inside = [one.title for one in server.dashboards if one.folder == known.uid]
        inside += [one.title for one in server.folders.values() if one.parent == known.uid]
        if inside and not params["remove_contents"]:
            raise ComponentError(
                f"the folder {known.title} is not empty",
                ", ".join(sorted(inside)[:5]) + (f" and {len(inside) - 5} more" if len(inside) > 5 else ""),
                "move these elsewhere, or set remove_contents if they may go too",
            )
        if not check:
            delete_folder(grafana, known.uid)
        return known, None
    if parent:
        refuse_nesting(grafana, title)
        if parent not in server.folders:
            raise missing_folder(parent)
    # No path in a tree of dashboards begins with a slash: what prunes such a tree does not take this folder for its own.
    wish = Folder(known.uid if known else uid or derived_uid(f"/{parent}/{title}"), title, parent)
    twin = child_of(server.folders.values(), parent, title)
    if twin and twin.uid != wish.uid:
        raise ComponentError(
            f"there is a folder {title} already, with the UID {twin.uid}", "", "use that UID, or another title"
        )
    if not check:
        write(grafana, known, wish)
    return known, wish


def write(grafana: Grafana, known: Folder | None, wish: Folder) -> None:
    if known is None:
        create_folder(grafana, wish)
        return
    if known.parent != wish.parent:
        move_folder(grafana, wish)
    if known.title != wish.title:
        rename_folder(grafana, wish)


def text(folder: Folder | None) -> str:
    return f"title: {folder.title}\nuid: {folder.uid}\nparent: {folder.parent}\n" if folder else ""


def main() -> None:
    module = grafana_module(
        {
            "title": {"type": "str"},
            "uid": {"type": "str"},
            "parent": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "remove_contents": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ("title",))],
        required_one_of=[("title", "uid")],
    )
    problem = problem_of_uid(module.params["uid"]) if module.params["uid"] else ""
    if problem:
        module.fail_json(msg=f"{problem}. What to do: choose another one")
    try:
        before, after = ensure(connect(module.params), module.params, module.check_mode)
    except ComponentError as error:
        module.fail_json(msg=str(error))
    folder = after or before
    name = f"folder {folder.title}" if folder else "folder"
    diff = {"before_header": name, "after_header": name, "before": text(before), "after": text(after)}
    module.exit_json(changed=before != after, uid=folder.uid if folder else "", diff=diff)


if __name__ == "__main__":
    main()
