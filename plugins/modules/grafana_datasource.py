#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_datasource
short_description: Keeps a data source of Grafana as it is described
version_added: 0.1.0
description:
  - Compares the data source with what is there, and writes it if anything differs.
  - Grafana does not show secrets. So a digest of them is kept beside the settings of the plugin, as C(opswatchSecrets). It is keyed with the
    password or the token that this module logs in with. Secrets are written again if they, that login or the data source itself have
    changed, and not otherwise.
  - Data sources of the role grafana come from a file of the server, and cannot be changed by this module.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.grafana
attributes:
  check_mode:
    description: Finds out what would be done, and writes nothing.
    support: full
  diff_mode:
    description: Shows what changes; of secrets, only their names.
    support: full
options:
  uid:
    description: UID of the data source, by which dashboards refer to it.
    type: str
    required: true
  name:
    description: Its name. Needed with O(state=present).
    type: str
  type:
    description: Its plugin, such as V(prometheus), V(loki) or V(alertmanager). Needed with O(state=present).
    type: str
  datasource_url:
    description: Address at which Grafana reaches it.
    type: str
    default: ""
  access:
    description: V(proxy) lets Grafana's server ask it, V(direct) the browser.
    type: str
    choices: [proxy, direct]
    default: proxy
  is_default:
    description: Whether panels without a data source use it. The one that was the default before is not any more.
    type: bool
    default: false
  database:
    description: Name of the database, for plugins that want one.
    type: str
    default: ""
  database_user:
    description: Account in the database, for plugins that want one.
    type: str
    default: ""
  basic_auth_user:
    description: User of basic authentication, whose password is C(basicAuthPassword) in O(secure_json_data). Empty turns it off.
    type: str
    default: ""
  with_credentials:
    description: Whether cookies and other credentials are sent to other sites.
    type: bool
    default: false
  json_data:
    description: Settings of the plugin, all of them.
    type: dict
    default: {}
  secure_json_data:
    description: Secrets of the plugin. Without this they are left as they are.
    type: dict
  state:
    description: Whether the data source is to be there.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: opswatch.monitoring.grafana_health_info
"""

EXAMPLES = r"""
- name: A Prometheus of another team
  opswatch.monitoring.grafana_datasource:
    token_file: /etc/grafana/ansible.token
    uid: prometheus-shop
    name: Prometheus (shop)
    type: prometheus
    datasource_url: https://prometheus.shop.example.com
    basic_auth_user: monitoring
    json_data:
      timeInterval: 15s
    secure_json_data:
      basicAuthPassword: "{{ shop_prometheus_password }}"
"""

RETURN = r"""
datasource:
  description: The data source as Grafana has it now, without secrets. Empty if there is none.
  type: dict
  returned: always
"""

import json
import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils import _datasource as sources
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_api import Grafana, connect, grafana_module
from ansible_collections.opswatch.monitoring.plugins.module_utils._http import ApiError


class Outcome(t.NamedTuple):
    changed: bool
    source: dict[str, t.Any]
    before: str = ""
    after: str = ""


def remove(grafana: Grafana, uid: str, check: bool) -> Outcome:
    found = grafana.find(f"/api/datasources/uid/{uid}")
    if found is None:
        return Outcome(False, {})
    refuse_provisioned(found)
    if not check:
        grafana.delete(f"/api/datasources/uid/{uid}")
    return Outcome(True, {}, before=text(sources.comparable(found, ("name", "type", "url"))))


def ensure(grafana: Grafana, wish: dict[str, t.Any], key: str, check: bool) -> Outcome:
    body = sources.body_of(wish)
    values = wish["secure_json_data"]
    found = grafana.find(f"/api/datasources/uid/{wish['uid']}")
    if found is None:
        refuse_twin(grafana, wish)
        version = 1
        before = ""
    else:
        earlier = sources.comparable(found, body)
        secrets_differ = sources.secrets_differ(found, values, key)
        if earlier == body and not secrets_differ:
            return Outcome(False, shown(found))
        refuse_provisioned(found)
        if found["name"] != wish["name"]:
            refuse_twin(grafana, wish)
        version = found["version"] + 1
        before = text(earlier)
    after = text(body)
    if values and (found is None or secrets_differ):
        after += f"secrets: {', '.join(sorted(values))} (new)\n"
    if check:
        return Outcome(True, shown(body), before, after)
    # The mark is for the version that this write makes, so the secrets go with each write.
    if values:
        body["secureJsonData"] = values
        body["jsonData"][sources.MARK] = sources.make_mark(key, values, version)
    elif found and sources.MARK in found["jsonData"]:
        body["jsonData"][sources.MARK] = found["jsonData"][sources.MARK]
    return Outcome(True, shown(write(grafana, body, found)), before, after)


def write(grafana: Grafana, body: dict[str, t.Any], found: dict[str, t.Any] | None) -> dict[str, t.Any]:
    if found is None:
        return dict(grafana.post("/api/datasources", body)["datasource"])
    try:
        # With the version that was read: what somebody saved since then is not overwritten.
        answer = grafana.put(f"/api/datasources/uid/{body['uid']}", {**body, "version": found["version"]})
    except ApiError as error:
        if error.status == 409:
            error.remedy = "somebody changed it at the same time: look at it, then run again"
        raise
    return dict(answer["datasource"])


def refuse_provisioned(found: t.Mapping[str, t.Any]) -> None:
    if found.get("readOnly"):
        raise ComponentError(
            f"the data source {found['name']} ({found['uid']}) cannot be changed through the API",
            "it is provisioned by a file on the server",
            "change that file (with the role grafana: grafana_datasources), or choose another uid and name",
        )


def refuse_twin(grafana: Grafana, wish: t.Mapping[str, t.Any]) -> None:
    for one in grafana.get("/api/datasources"):
        if one["name"] == wish["name"]:
            raise ComponentError(
                f"there is a data source {wish['name']} already, with the UID {one['uid']}",
                "",
                "use that uid, or another name",
            )


def shown(source: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in source.items() if key not in ("secureJsonData", "typeLogoUrl")}


def text(source: t.Mapping[str, t.Any]) -> str:
    return "".join(f"{key}: {json.dumps(source[key], sort_keys=True)}\n" for key in sorted(source))


def main() -> None:
    module = grafana_module(
        {
            "uid": {"type": "str", "required": True},
            "name": {"type": "str"},
            "type": {"type": "str"},
            "datasource_url": {"type": "str", "default": ""},
            "access": {"type": "str", "choices": ["proxy", "direct"], "default": "proxy"},
            "is_default": {"type": "bool", "default": False},
            "database": {"type": "str", "default": ""},
            "database_user": {"type": "str", "default": ""},
            "basic_auth_user": {"type": "str", "default": ""},
            "with_credentials": {"type": "bool", "default": False},
            "json_data": {"type": "dict", "default": {}},
            "secure_json_data": {"type": "dict", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ("name", "type"))],
    )
    params = module.params
    wish = {**params, "url": params["datasource_url"], "user": params["database_user"]}
    try:
        grafana = connect(params)
        if params["state"] == "absent":
            outcome = remove(grafana, params["uid"], module.check_mode)
        else:
            outcome = ensure(grafana, wish, grafana.login, module.check_mode)
    except ComponentError as error:
        module.fail_json(msg=str(error))
    name = f"data source {params['uid']}"
    diff = {"before_header": name, "after_header": name, "before": outcome.before, "after": outcome.after}
    module.exit_json(changed=outcome.changed, datasource=outcome.source, diff=diff)


if __name__ == "__main__":
    main()
