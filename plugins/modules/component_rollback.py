#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component_rollback
short_description: Lists the generations of a component, and goes back to one
version_added: 0.1.0
description:
  - M(opswatch.monitoring.component) keeps the last generations of a component. Without O(generation) this tells of them, with
    version, date and what the next one changed; with it that generation serves again, proved ready.
  - Where it does not come up, the generation that was left serves again. Secrets stay as they are now.
  - Where the earlier version cannot read the data, its kept copy is put back if there is one still; if not, the task fails and
    changes nothing.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Says to which generation it would go, or why it would not.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  name:
    description: The component.
    type: str
    required: true
  generation:
    description:
      - The generation to go back to. Without it nothing is changed.
      - V(0) is the one before the current one; where a change was interrupted, the one that it came from.
    type: int
  password:
    description: Password of its basic authentication. Without it, to be asked for one is an answer too.
    type: str
  breaking_versions:
    description: Versions from which on the data cannot be read by earlier ones; an empty text is every version.
    type: list
    elements: str
    default: []
  ready_timeout:
    description: Longest time in seconds without any progress until it counts as not ready.
    type: float
    default: 600.0
"""

EXAMPLES = r"""
- name: See what there is
  opswatch.monitoring.component_rollback:
    name: prometheus
  register: found

- name: Go back one generation
  opswatch.monitoring.component_rollback:
    name: prometheus
    generation: 0
    breaking_versions: ["2.55"]
"""

RETURN = r"""
generations:
  description: Those that there were before anything was changed, the newest first.
  type: list
  elements: dict
  returned: success
  contains:
    generation:
      description: Its number.
      type: int
    version:
      description: Version of the program.
      type: str
    created:
      description: When it was made.
      type: str
    current:
      description: Whether it was in force.
      type: bool
    differs:
      description: What the next one changed.
      type: list
      elements: str
current:
  description: The generation in force now; in check mode the one that would be.
  type: int
  returned: success
proven:
  description: The generation that had proven itself before anything was changed. It is the current one, or where a change was
    interrupted, the one that it came from; none where that is gone.
  type: int
  returned: success
version:
  description: Version of RV(current).
  type: str
  returned: success
lasting:
  description: What the inventory needs so that the next run of C(site.yml) does not bring back what was left; empty if nothing was.
  type: str
  returned: success
actions:
  description: What was done, in words.
  type: list
  elements: str
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _generations, _rollback
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock


def earlier(entries: t.Sequence[t.Mapping[str, t.Any]], name: str, proven: int | None) -> int:
    """The generation before the current one; where that is not proven, the one that has proven itself."""
    now = next((one["generation"] for one in entries if one["current"]), None)
    if now is None and proven is not None:
        return proven
    before = [int(one["generation"]) for one in entries if now is None or one["generation"] < now]
    if not before:
        raise ComponentError(f"{name} has no generation before the current one", "", "nothing can be gone back to")
    return max(before)


def work(params: t.Mapping[str, t.Any], check: bool) -> dict[str, t.Any]:
    layout = Layout(params["name"])
    entries = _rollback.listed(layout)
    if not entries:
        raise ComponentError(
            f"{layout.name} was not installed here by opswatch.monitoring", layout.home, "run site.yml first"
        )
    actions: list[str] = []
    current = _generations.current_number(layout)
    left = _generations.read(layout, current)
    proven = _generations.proven(layout)
    if params["generation"] is not None:
        number = params["generation"] or earlier(entries, layout.name, proven)
        _rollback.check(layout, number, params["breaking_versions"])
        if number == current:
            pass
        elif check:
            actions = [f"would go back to generation {number}"]
        else:
            actions = _rollback.roll_back(layout, number, params["password"] or "", params["ready_timeout"])
        current = number
    now = _generations.read(layout, current)
    return {
        "changed": bool(actions),
        "actions": actions,
        "generations": entries,
        "current": current,
        "proven": proven,
        "version": now.version if now else "",
        "lasting": _rollback.lasting(layout.name, now, left) if actions and now and left else "",
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "generation": {"type": "int"},
            "password": {"type": "str", "no_log": True},
            "breaking_versions": {"type": "list", "elements": "str", "default": []},
            "ready_timeout": {"type": "float", "default": 600.0},
        },
        supports_check_mode=True,
    )
    try:
        if module.check_mode or module.params["generation"] is None:
            result = work(module.params, check=True)
        else:
            with lock(Layout(module.params["name"])):
                result = work(module.params, check=False)
    except (ComponentError, OSError) as error:
        failed = from_system("the way back failed", error) if isinstance(error, OSError) else error
        module.fail_json(msg=str(failed))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
