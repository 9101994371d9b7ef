#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: components_info
short_description: Tells which components are on a host, and whether each is as it was installed
version_added: 0.1.0
description:
  - Compares every component with the manifest of its generation in force - files with owner and mode, unit, release, links,
    account, whether it runs and starts at boot - and says what would have to be done so that it is as that says.
  - M(opswatch.monitoring.preflight) asks it once for all components of a host. Where the answer fits what the inventory wants,
    M(opswatch.monitoring.component) has nothing to ask the host any more.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Changes nothing in any mode. Where a login to Grafana is refused it forgets what was brought there, so that no
      look tries it a second time.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  components:
    description: The components to look at. Without any, all that are on the host.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The component.
        type: str
        required: true
      packages:
        description: Units that packages of the operating system use for the same program.
        type: list
        elements: str
        default: []
      generations:
        description: How many generations are to stay. Without it as many as there are.
        type: int
      inside:
        description:
          - Of Grafana, whether to log in and look whether what M(opswatch.monitoring.grafana_admin) brought last is still there.
          - Five wrong logins lock the account for five minutes, and this is one where somebody has changed the password.
        type: bool
        default: false
  health:
    description: Whether to look too how the units run, what those said that do not, and what room and which time the host has.
    type: bool
    default: false
seealso:
  - module: opswatch.monitoring.component
"""

EXAMPLES = r"""
- name: See whether somebody has changed something by hand
  opswatch.monitoring.components_info:
  register: there

- name: Tell it
  ansible.builtin.debug:
    msg: "{{ there.components | dict2items | rejectattr('value.in_order') | items2dict }}"
"""

RETURN = r"""
components:
  description: What was seen of each component, by its name.
  type: dict
  returned: always
  contains:
    version:
      description: The version that is installed; empty where none is.
      type: str
    generation:
      description: Number of the generation in force.
      type: int
    in_order:
      description: Whether everything is as the manifest of that generation says.
      type: bool
    needs:
      description: What would have to be done for that, in words.
      type: list
      elements: str
    warnings:
      description: What is no reason to do something, such as files of somebody else in its folder.
      type: list
      elements: str
    architecture:
      description: What releases call that of the host.
      type: str
    others:
      description: The other components that are on the host.
      type: list
      elements: str
    inside:
      description: Of Grafana, a mark by which M(opswatch.monitoring.grafana_admin) knows that all it would bring is there, among it a
        salted hash of the password. Nothing where that was not asked, or something may have to be done.
      type: dict
    fingerprint:
      description: A SHA-256 over what the manifest says; equal to that of what is wanted where nothing has to be changed.
      type: str
    unit:
      description:
        - With O(health), what systemd says of the unit as C(active), C(sub), C(result), C(running), C(restarts) and C(since). Where it
          does not run, or was started again by itself, the end of its journal as C(words), and as C(remedy) what to do about them.
        - What is a secret is taken out of the words, as far as it is known - what the component keeps as secrets on the host, and what is called a
          password or the like where it is said.
      type: dict
    unfinished:
      description: With O(health), whether a change was begun, and neither finished nor taken back.
      type: bool
host:
  description: With O(health), what was seen of the host itself.
  type: dict
  returned: with O(health)
  contains:
    time:
      description: Seconds since 1970 by its clock.
      type: float
    spaces:
      description: The file systems that components write to, each with C(path), C(bytes), C(free), C(inodes) and C(inodes_free).
      type: list
      elements: dict
"""

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._in_order import look
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout, installed_components
from ansible_collections.opswatch.monitoring.plugins.module_utils._release import architecture

LOOKERS = 4
COMPONENT = {
    "name": {"type": "str", "required": True},
    "packages": {"type": "list", "elements": "str", "default": []},
    "generations": {"type": "int"},
    "inside": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "components": {"type": "list", "elements": "dict", "default": [], "options": COMPONENT},
            "health": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    all_of_them = [
        {"name": name, "packages": [], "generations": None, "inside": False} for name in installed_components()
    ]
    try:
        with ThreadPoolExecutor(LOOKERS) as pool:  # what takes time is to wait, for systemd and Grafana
            asked = module.params["components"] or all_of_them
            found = dict(pool.map(lambda one: _look(one, module.params["health"]), asked))
            host = _host(found) if module.params["health"] else {}
    except OSError as error:
        module.fail_json(msg=f"The host cannot be looked at: {error}. What to do: run the play with become: true")
    except ComponentError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, components=found, **host)


def _look(wanted: t.Mapping[str, t.Any], health: bool) -> tuple[str, dict[str, t.Any]]:
    layout = Layout(wanted["name"])
    state = look(layout, wanted["packages"], wanted["generations"])
    return layout.name, {
        **state._asdict(),
        "in_order": not state.needs,
        "others": layout.others(),
        "architecture": architecture(),
        "inside": _inside(layout) if wanted["inside"] and not state.needs else None,
        **(_unit(layout) if health else {}),
    }


# Imported where they are needed: every run of site.yml begins with this module, and asks neither.


def _unit(layout: Layout) -> dict[str, t.Any]:
    from ansible_collections.opswatch.monitoring.plugins.module_utils import _health

    return {"unit": _health.unit(layout), "unfinished": _health.is_unfinished(layout)}


def _host(names: t.Iterable[str]) -> dict[str, t.Any]:
    from ansible_collections.opswatch.monitoring.plugins.module_utils import _health

    return {"host": {"time": time.time(), "spaces": _health.spaces(names)}}


def _inside(layout: Layout) -> dict[str, t.Any] | None:
    from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_admin import Host
    from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_inside import look as look_inside

    return look_inside(Host(layout))


if __name__ == "__main__":
    main()
