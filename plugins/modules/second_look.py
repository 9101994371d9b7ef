#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: second_look
short_description: Looks again at every component that was started in this play
version_added: 0.1.0
description:
  - A program can answer its readiness address and die some seconds later. This module looks again, once for the whole host,
    at every component that M(opswatch.monitoring.component) started, and goes back to the earlier generation of one that died.
  - Costs nothing where nothing was started. Put it at the end of a play that uses the roles; C(site.yml) does.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Does nothing in check mode, as nothing was started.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  seconds:
    description: A component has to run this long after its start.
    type: int
    default: 6
  passwords:
    description:
      - Password of each component that asks for one, by its name. An earlier generation is seen to be ready with it.
      - Without it a component that asks for a password counts as ready as soon as it does, which may be before it has read its data.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: See that everything that was started still runs
  ansible.builtin.include_role:  # with the passwords, given or generated
    name: opswatch.monitoring.monitoring
    tasks_from: second_look

- name: The same, of components that ask for no password
  opswatch.monitoring.second_look:
"""

RETURN = r"""
actions:
  description: What was seen, in words.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout, installed_components
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock
from ansible_collections.opswatch.monitoring.plugins.module_utils._way_back import second_look


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "seconds": {"type": "int", "default": 6},
            "passwords": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    actions: list[str] = []
    errors: list[str] = []
    for name in [] if module.check_mode else installed_components():
        layout = Layout(name)
        try:
            with lock(layout):
                actions += second_look(layout, module.params["seconds"], module.params["passwords"].get(name, ""))
        except ComponentError as error:
            errors.append(str(error))
    if errors:
        module.fail_json(msg="\n".join(errors), actions=actions)
    module.exit_json(changed=False, actions=actions)


if __name__ == "__main__":
    main()
