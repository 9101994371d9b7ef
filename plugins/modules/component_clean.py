#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component_clean
short_description: Tells what is installed on a host, and removes what nobody needs
version_added: 0.1.0
description:
  - Looks at every component that M(opswatch.monitoring.component) installed here, with its version and its size.
  - Removes generations beyond O(keep), releases that no generation needs, and what a killed run left. Never what is in force, nor
    the last state to go back to, nor data.
  - A component whose change is not finished is left alone.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Says what it would remove.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  keep:
    description: How many generations of a component stay, the current one included. V(3) where it is not stated.
    type: dict
    default: {}
  clean:
    description: Whether anything is removed.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: See what is installed
  opswatch.monitoring.component_clean:
    clean: false
  register: found

- name: Show it
  ansible.builtin.debug:
    msg: "{{ found.components | items2dict('name', 'version') }}"
"""

RETURN = r"""
components:
  description: By their names.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the component.
      type: str
    version:
      description: Its version in force, or the one before where a change is not finished; empty where there is none.
      type: str
    bytes:
      description: What its releases and generations took on the disk, before anything was removed.
      type: int
    busy:
      description: Why it was left alone; empty otherwise.
      type: str
    remove:
      description: What was removed, or would be, each with C(what), C(path) and C(bytes).
      type: list
      elements: dict
actions:
  description: The same in words.
  type: list
  elements: str
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _clean
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout, installed_components
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock

KEEP = 3


def cleaned(layout: Layout, keep: int, do: bool) -> dict[str, t.Any]:
    """One component. The lock is held from the look to the removal, or another run could need what is removed."""
    if not do:
        return _clean.look(layout, keep)
    try:
        with lock(layout):
            found = _clean.look(layout, keep)
            _clean.remove(found["remove"])
            return found
    except ComponentError as error:
        return {**_clean.look(layout, keep), "remove": [], "busy": str(error)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={"keep": {"type": "dict", "default": {}}, "clean": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    do = module.params["clean"] and not module.check_mode
    keep = {name: int(number) for name, number in module.params["keep"].items()}
    components = [cleaned(Layout(name), keep.get(name, KEEP), do) for name in installed_components()]
    gone = [entry for one in components for entry in one["remove"]]
    word = "removed" if do else "would remove"
    module.exit_json(
        changed=bool(gone) and module.params["clean"],
        components=components,
        actions=[f"{word} {entry['path']}" for entry in gone],
    )


if __name__ == "__main__":
    main()
