#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_admin
short_description: Proves the login of Grafana's administrator, keeps a token for automation, and brings dashboards
version_added: 0.1.0
description:
  - Runs as root on the host of a Grafana that M(opswatch.monitoring.component) installed. The role grafana calls it.
  - Logs in with the wanted password. If that is refused it resets the password, by the API with the password that was proved last, by Grafana's
    own command, or in the database that its C(grafana.ini) names (SQLite, or PostgreSQL by C(psql)), and logs in again after each. What a reset
    says of itself is not believed.
  - Makes a service account C(opswatch) with the role Admin, and a token of it, if there is none that works. The token is in
    C(/var/lib/opswatch/grafana/admin/token), which only root reads.
  - Removes provisioned datasources that are not wanted any more. Grafana refuses to do that by its API, and versions before 11 keep them
    for ever.
  - Removes sets of plugins that nothing needs any more.
  - Brings O(dashboards), as M(opswatch.monitoring.grafana_dashboards) does with O(opswatch.monitoring.grafana_dashboards#module:prune),
    in the same remote call.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Logs in and says what would be done. Where Grafana does not answer, which may be as its address is about to change, that
      is a warning.
    support: full
  diff_mode:
    description: Shows login, token and datasources in words, and no secret.
    support: full
options:
  url:
    description: Address under which the host reaches its Grafana, with its path behind a proxy if it has one.
    type: str
    default: http://127.0.0.1:3000
  ca_path:
    description: File on the host with the certificates of the authorities to trust.
    type: path
  server_name:
    description: Name that the certificate is for, if it is not that of the address.
    type: str
  timeout:
    description: Seconds to wait for a connection, and for each answer.
    type: float
    default: 30.0
  user:
    description: Login of the administrator.
    type: str
    default: admin
  password:
    description: The wanted password.
    type: str
    required: true
  token_name:
    description: Name of the token. Hosts that share a database need one each.
    type: str
    default: opswatch
  datasources:
    description: Names of the datasources that are provisioned. If it is left out, none is removed.
    type: list
    elements: str
  plugins:
    description: Folder of the set of plugins that is wanted, be it there or not. Sets beside it that no generation of the configuration
      names are removed. If it is left out, none is.
    type: path
  dashboards:
    description: Trees of dashboards that are to be there, and nothing else of their owners.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Folder on the control node, or below C(files) of the role or play.
        type: str
        required: true
      owner:
        description: Whose dashboards these are; they are marked with it.
        type: str
        required: true
      tree:
        description: What is in the folder. It is filled in on the control node.
        type: str
requirements:
  - requests, on the host (C(python3-requests) of its distribution)
notes:
  - A wrong login is tried as seldom as can be, as five of them lock the account for five minutes.
  - Run on Grafana 9.3.2.
"""

EXAMPLES = r"""
- name: See that the administrator can log in
  opswatch.monitoring.grafana_admin:
    password: "{{ vault_grafana_admin_password }}"

- name: And that the dashboards of the shop are there
  opswatch.monitoring.grafana_admin:
    password: "{{ vault_grafana_admin_password }}"
    dashboards:
      - {path: dashboards/shop, owner: shop}
"""

RETURN = r"""
actions:
  description: What was done, or would be done, in words.
  type: list
  elements: str
  returned: always
  sample:
    - reset the password of admin by its database, and proved it
    - made a token for automation, /var/lib/opswatch/grafana/admin/token
token_file:
  description: Where the token is on the host.
  type: str
  returned: success
  sample: /var/lib/opswatch/grafana/admin/token
ready:
  description: Whether Grafana can be asked with the token. In check mode it may not be there yet.
  type: bool
  returned: success
"""

import contextlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _http
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_admin import Host
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_inside import Inside
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_wanted import OPTIONS
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout

NOTHING_THERE = ["would prove the login of the administrator", "would make a token for automation"]


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    host = Host(Layout("grafana"))
    if module.check_mode and not os.path.exists(host.layout.current):
        module.exit_json(changed=True, actions=NOTHING_THERE, token_file=host.token_file, ready=False)
    _http.require_requests(module)
    inside = Inside(host, module.params, module.check_mode)
    try:
        if not module.check_mode:
            inside.forget()
        inside.bring()
    except (ComponentError, OSError) as error:
        if module.check_mode and isinstance(error, _http.ApiError) and _is_elsewhere(error.status):
            module.warn(
                f"What would become of login, token and dashboards is not known, as Grafana did not answer: {error}"
            )
            module.exit_json(changed=False, actions=[], token_file=host.token_file, ready=False)
        module.fail_json(msg=str(error), actions=inside.actions)
    if inside.ready and not module.check_mode:
        with contextlib.suppress(OSError):  # it only spares the next run something
            inside.note()
    result = {
        "changed": inside.changed,
        "actions": inside.actions,
        "token_file": host.token_file,
        "ready": inside.ready,
    }
    if module._diff and inside.changed:
        result["diff"] = inside.diff
    module.exit_json(**result)


def _is_elsewhere(status: int) -> bool:
    """Whether Grafana may be at another address as long as a change of it is not made: no answer, that of a server which
    speaks TLS (400), or that of another path."""
    return status in (0, 400, 404) or 300 <= status < 400


if __name__ == "__main__":
    main()
