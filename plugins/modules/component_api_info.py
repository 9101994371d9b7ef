#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component_api_info
short_description: Asks a component of the host several questions in one go
version_added: 0.1.0
description:
  - Reads paths of the API of a component that M(opswatch.monitoring.component) installed. Where it answers, and which authority and certificate
    that takes, is known from its generation in force.
  - Needs nothing but Python's standard library, so that a host can be asked on which nothing may be installed.
  - A question that is refused does not fail the module; its answer says why. A component that cannot be asked does.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  name:
    description: The component.
    type: str
    required: true
  paths:
    description: What is asked with GET, by names of your choice. The first is asked before the others.
    type: dict
    required: true
  password:
    description: Password of its basic authentication.
    type: str
  timeout:
    description: Seconds to wait for each answer.
    type: float
    default: 30.0
seealso:
  - module: opswatch.monitoring.prometheus_info
  - module: opswatch.monitoring.components_info
"""

EXAMPLES = r"""
- name: See what Alertmanager says of its cluster
  opswatch.monitoring.component_api_info:
    name: alertmanager
    password: "{{ vault_monitoring_password }}"
    paths:
      status: /api/v2/status
  register: found

- name: Show it
  ansible.builtin.debug:
    msg: "{{ found.answers.status.data.cluster }}"
"""

RETURN = r"""
answers:
  description: An answer for each name.
  type: dict
  returned: success
  contains:
    data:
      description: What is answered - of Prometheus and Loki what they call C(data); a text where it is no JSON.
      type: raw
    error:
      description: Why there is no answer, in the component's words.
      type: str
time:
  description: Seconds since 1970, when it was asked.
  type: float
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils._component_api import answers
from ansible_collections.opswatch.monitoring.plugins.module_utils._endpoint import endpoint_of
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "paths": {"type": "dict", "required": True},
            "password": {"type": "str", "no_log": True},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    now = time.time()
    try:
        endpoint = endpoint_of(Layout(params["name"]), params)
        if endpoint is None:
            raise ComponentError(
                f"{params['name']} was not installed here by opswatch.monitoring", "", "run site.yml first"
            )
        found = answers(params["name"], endpoint, params["paths"], params["timeout"])
    except ComponentError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, answers=found, time=now)


if __name__ == "__main__":
    main()
