#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_reload
short_description: Has a program read its configuration again, and proves that it did
version_added: 0.1.0
description:
  - Tells Prometheus, or another program of the monitoring, by signal or over HTTP to read its configuration again, and waits until its
    metrics prove it - the last reload was successful, and its time is later than the request.
  - Where the program refuses it, the task fails with the program's own words. The program goes on with what it had read before.
  - Without O(force) only what changed is reloaded. That is what the kernel says has changed since the program last read its configuration.
  - What was installed by M(opswatch.monitoring.component) needs no more than its name and password. The rest is known on the host.
  - A program that is not proven to have come up with its configuration, as a run was killed, is not reloaded.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - action_common_attributes
attributes:
  check_mode:
    description: Asks the program what it has read, and says whether it would be reloaded.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  platform:
    platforms: posix
options:
  name:
    description: The program. Its unit is this name with C(.service).
    type: str
    default: prometheus
  how:
    description:
      - V(signal) asks systemd (C(systemctl reload)), which works without opening anything.
      - V(http) posts to O(http_paths), which gives the program's own message if it refuses.
      - V(restart) is for a program that reads its configuration at its start alone. Nothing is done, and a warning says what it has not read.
    type: str
    choices: [signal, http, restart]
    default: signal
  force:
    description: Reload it even if nothing changed.
    type: bool
    default: false
  url:
    description: Address under which the host reaches it, with its path if it has one. Known for what this collection installed.
    type: str
  user:
    description: User of the basic authentication. Known for what this collection installed.
    type: str
  password:
    description: Password of O(user).
    type: str
  ca_path:
    description: File with the authority to trust. Known for what this collection installed.
    type: path
  server_name:
    description: Name that the certificate is for, if it is not that of the address. Known for what this collection installed.
    type: str
  http_paths:
    description: Paths to post to, in this order, with O(how=http).
    type: list
    elements: str
    default: [/-/reload]
  metrics:
    description:
      - Prefix of the metrics C(_config_last_reload_successful) and C(_config_last_reload_success_timestamp_seconds) (Alloy - C(_load_)).
      - The name of the program, if it is left out. V("") for a program that has none; then its answer has to do.
    type: str
  config:
    description: Folder of its configuration. F(/etc/name), if it is left out.
    type: path
  restart_files:
    description: Patterns of files below O(config) that only a start reads. If one of them is newer than that, a warning says so.
    type: list
    elements: str
    default: []
  ignored_files:
    description: Patterns of files below O(config) that need neither reload nor restart.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for the proof.
    type: float
    default: 60.0
"""

EXAMPLES = r"""
- name: Have Prometheus read the rules that somebody put there
  opswatch.monitoring.prometheus_reload:
    password: "{{ vault_monitoring_password }}"

- name: Have Alertmanager read its configuration again in any case, and hear what it says
  opswatch.monitoring.prometheus_reload:
    name: alertmanager
    how: http
    password: "{{ vault_monitoring_password }}"
    force: true

- name: A Prometheus that a package of Debian brought
  opswatch.monitoring.prometheus_reload:
    url: http://127.0.0.1:9090
"""

RETURN = r"""
newer:
  description: What changed since the program read its configuration, below its folder.
  type: list
  elements: str
  returned: success
unread:
  description: What the program will not read before it is restarted.
  type: list
  elements: str
  returned: success
edited:
  description: Files that are not as the last run of the role left them.
  type: list
  elements: str
  returned: success
loaded:
  description: When the program last read its configuration with success, as RFC 3339.
  type: str
  returned: success
actions:
  description: What was done, in words; in check mode what would be.
  type: list
  elements: str
  returned: success
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _reload
from ansible_collections.opswatch.monitoring.plugins.module_utils._endpoint import endpoint_of
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock

OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "default": "prometheus"},
    "how": {"type": "str", "choices": ["signal", "http", "restart"], "default": "signal"},
    "force": {"type": "bool", "default": False},
    "url": {"type": "str"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "server_name": {"type": "str"},
    "http_paths": {"type": "list", "elements": "str", "default": ["/-/reload"]},
    "metrics": {"type": "str"},
    "config": {"type": "path"},
    "restart_files": {"type": "list", "elements": "str", "default": []},
    "ignored_files": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 60.0},
}


def program_of(layout: Layout, params: t.Mapping[str, t.Any]) -> _reload.Program:
    endpoint = endpoint_of(layout, params)
    needed = params["how"] != "restart" and params["metrics"] != ""
    if endpoint is None and (needed or params["how"] == "http"):
        raise ComponentError(
            f"{layout.name} was not installed here by opswatch.monitoring, so its address is not known",
            f"there is no {layout.current}",
            "state url; or run site.yml, which installs it",
        )
    return _reload.Program(
        layout=layout,
        config=params["config"] or layout.etc,
        how=params["how"],
        endpoint=endpoint,
        metrics="" if params["how"] == "restart" else layout.name if params["metrics"] is None else params["metrics"],
        http_paths=tuple(params["http_paths"]),
        restart_files=tuple(params["restart_files"]),
        ignored_files=tuple(params["ignored_files"]),
        patience=params["timeout"],
    )


def work(program: _reload.Program, force: bool, check: bool) -> dict[str, t.Any]:
    before = after = _reload.look(program)
    newer, name = before.newer(program), program.layout.name
    actions = []
    if newer or (force and program.how != "restart"):
        why = f"{', '.join(newer)} changed" if newer else "as asked for"
        if check:
            actions = [f"would reload {name} ({why})"]
        else:
            try:
                _reload.reload(program)
            except ComponentError as error:
                since = f"{name} goes on with what it read at {shown(before.loaded)}"
                raise ComponentError(
                    error.what, error.seen, f"{error.remedy or 'look at its journal'}. {since}"
                ) from error
            after = _reload.look(program)
            if again := after.newer(program):
                raise ComponentError(
                    f"{name} was reloaded, but its configuration has changed again meanwhile",
                    ", ".join(again),
                    "run again",
                )
            proof = f"it read its configuration at {shown(after.loaded)}" if program.metrics else "it answered so"
            actions = [f"reloaded {name} ({why}): {proof}"]
    return {
        "changed": bool(actions),
        "actions": actions,
        "newer": newer,
        "unread": before.unread(program),
        "edited": list(before.edited),
        "loaded": shown(after.loaded),
    }


def shown(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    params = module.params
    layout = Layout(params["name"])
    try:
        program = program_of(layout, params)
        if module.check_mode:
            result = work(program, params["force"], check=True)
        else:
            with lock(layout):
                result = work(program, params["force"], check=False)
    except (ComponentError, OSError) as error:
        if isinstance(error, OSError):
            error = from_system(f"{layout.name} cannot be looked at", error)
        module.fail_json(msg=str(error))
    if result["unread"]:
        module.warn(
            f"{layout.name} reads {', '.join(result['unread'])} at its start alone, and has not been started since it "
            f"changed. What to do: systemctl restart {layout.unit_name}"
        )
    if result["edited"]:
        module.warn(
            f"Somebody has edited {', '.join(result['edited'])} of {layout.name}; the next run of site.yml puts it "
            "right. What to do: put the change into the inventory."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
