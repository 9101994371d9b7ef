#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: health_gate
short_description: Whether a server does after a change what it did before
version_added: 0.1.0
description:
  - "Runs on the host of the server. Without O(before) it looks: which targets Prometheus has up, which rules it evaluates, which
    recorded series have values; which members the cluster of Alertmanager has. A server that has just started is waited for, up to
    70 seconds, until it has tried its targets and rules once."
  - With O(before) it waits until all of that is well again, and fails with what is not.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Only looks, and does not wait until all is as before.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  name:
    description: The server.
    type: str
    choices: [prometheus, alertmanager]
    required: true
  before:
    description: What was well before the change, as RV(state) has it.
    type: dict
  patience:
    description: How long to wait, in seconds. A target is up again with its next scrape.
    type: float
    default: 120.0
  password:
    description: Password of its basic authentication.
    type: str
"""

EXAMPLES = r"""
- name: Look before the change
  opswatch.monitoring.health_gate:
    name: prometheus
    password: "{{ vault_monitoring_password }}"
  register: before

- name: Wait until all of it is well again
  opswatch.monitoring.health_gate:
    name: prometheus
    password: "{{ vault_monitoring_password }}"
    before: "{{ before.state }}"
"""

RETURN = r"""
state:
  description: What is well, by kind.
  type: dict
  returned: success
waited:
  description: Seconds until all was well again.
  type: float
  returned: with O(before)
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _gate
from ansible_collections.opswatch.monitoring.plugins.module_utils._endpoint import endpoint_of
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "choices": ["prometheus", "alertmanager"], "required": True},
            "before": {"type": "dict"},
            "patience": {"type": "float", "default": 120.0},
            "password": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        endpoint = endpoint_of(Layout(params["name"]), params)
        if endpoint is None:
            raise ComponentError(
                f"{params['name']} was not installed here by opswatch.monitoring", "", "run site.yml first"
            )
        if params["before"] and not module.check_mode:
            waited, state = _gate.wait(params["name"], endpoint, params["before"], params["patience"])
            result = {"waited": round(waited, 1), "state": state}
        else:
            result = {"state": _gate.first_look(params["name"], endpoint)}
    except ComponentError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
