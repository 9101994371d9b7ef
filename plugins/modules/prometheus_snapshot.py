#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_snapshot
short_description: Makes a snapshot of Prometheus' samples, or removes one
version_added: 0.1.0
description:
  - Runs on the host of Prometheus. The snapshot is hard links to its blocks, and the newest samples as a block of its own; it takes
    seconds, and scrapes go on.
  - The API for it has to be on, C(prometheus_admin_api) of the role prometheus.
  - M(opswatch.monitoring.backup) makes snapshots by itself, and removes them.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Says what it would do. Whether the API is on is looked at.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  state:
    description: Whether a snapshot is made, or the one at O(path) is removed.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: The snapshot to remove, as RV(path) has it.
    type: path
  skip_head:
    description: Leave out the newest samples, of up to three hours, which are not in a block yet.
    type: bool
    default: false
  url:
    description: Where Prometheus answers on the host. What C(site.yml) installed here is known without it.
    type: str
  user:
    description: User of the basic authentication.
    type: str
  password:
    description: Its password.
    type: str
  ca_path:
    description: File on the host with the authority that signed its certificate.
    type: path
  server_name:
    description: The name in its certificate.
    type: str
  timeout:
    description: Seconds to wait until it is made.
    type: float
    default: 600.0
"""

EXAMPLES = r"""
- name: Make a snapshot
  opswatch.monitoring.prometheus_snapshot:
    password: "{{ vault_monitoring_password }}"
  register: made

- name: Remove it
  opswatch.monitoring.prometheus_snapshot:
    state: absent
    path: "{{ made.path }}"
"""

RETURN = r"""
path:
  description: The folder of the snapshot.
  type: str
  returned: success, but in check mode
blocks:
  description: How many blocks it has.
  type: int
  returned: when one was made
samples:
  description: How many samples are in them.
  type: int
  returned: when one was made
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _snapshot
from ansible_collections.opswatch.monitoring.plugins.module_utils._endpoint import endpoint_of
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout

OPTIONS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "path": {"type": "path"},
    "skip_head": {"type": "bool", "default": False},
    "url": {"type": "str"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "server_name": {"type": "str"},
    "timeout": {"type": "float", "default": 600.0},
}


def make(params: t.Mapping[str, t.Any], check: bool) -> dict[str, t.Any]:
    endpoint = endpoint_of(Layout("prometheus"), params)
    if endpoint is None:
        raise ComponentError(
            "where Prometheus answers is not known", "", "state url; or run site.yml, which installs it"
        )
    stated = _snapshot.flags(endpoint)
    _snapshot.check(stated)
    if check:
        return {"changed": True}
    path = _snapshot.take(endpoint, stated, params["skip_head"], params["timeout"])
    counted = _snapshot.counts(path)
    return {"changed": True, "path": path, "blocks": counted.blocks, "samples": counted.samples}


def remove(path: str, check: bool) -> dict[str, t.Any]:
    if os.path.basename(os.path.dirname(path)) != "snapshots":
        raise ComponentError(
            f"{path} is no snapshot", "it is not in a folder snapshots", "state the path as it was returned"
        )
    there = os.path.isdir(path)
    if there and not check:
        _files.remove(path)
    return {"changed": there, "path": path}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, required_if=[("state", "absent", ["path"])], supports_check_mode=True)
    params = module.params
    try:
        if params["state"] == "absent":
            result = remove(params["path"].rstrip("/"), module.check_mode)
        else:
            result = make(params, module.check_mode)
    except (ComponentError, OSError) as error:
        module.fail_json(msg=str(from_system("the snapshot failed", error) if isinstance(error, OSError) else error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
