#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_health_info
short_description: Tells whether Grafana is well, and whether its data sources answer
version_added: 0.1.0
description:
  - Asks Grafana for its health, which needs no login, and every data source through Grafana, which does.
  - A data source whose plugin has a check of its own is checked by that, and one of Prometheus or Loki by a query of a constant.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.grafana
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  datasources:
    description: Whether the data sources are asked too.
    type: bool
    default: false
seealso:
  - module: opswatch.monitoring.grafana_datasource
"""

EXAMPLES = r"""
- name: See whether Grafana and its data sources are well
  opswatch.monitoring.grafana_health_info:
    token_file: /etc/grafana/ansible.token
    datasources: true
  register: health
  failed_when: not health.ok
"""

RETURN = r"""
ok:
  description: Whether the database of Grafana and all data sources that were asked are well.
  type: bool
  returned: always
version:
  description: Version of Grafana, empty where it does not say it.
  type: str
  returned: always
database:
  description: V(ok) if Grafana reaches its database.
  type: str
  returned: always
datasources:
  description: What was seen of each data source. Empty where Grafana does not reach its database, as it is not asked then.
  type: list
  elements: dict
  returned: with O(datasources)
  contains:
    uid:
      description: UID of the data source.
      type: str
    name:
      description: Name of the data source.
      type: str
    type:
      description: Its plugin.
      type: str
    status:
      description: V(ok), V(error), or V(unknown) where there is no way to ask it.
      type: str
    message:
      description: What was said.
      type: str
"""

import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_api import Grafana, connect, grafana_module
from ansible_collections.opswatch.monitoring.plugins.module_utils._http import ApiError

# Both languages know it, and it needs no data.
CONSTANT = {"prometheus": "vector(1)", "loki": "vector(1)"}


def ask(grafana: Grafana, source: t.Mapping[str, t.Any]) -> tuple[str, str]:
    """Status and message of one data source."""
    try:
        answer = grafana.find(f"/api/datasources/uid/{source['uid']}/health")
    except ApiError as error:
        return "error", error.seen or error.what
    if answer is not None:
        return ("ok" if answer.get("status") == "OK" else "error"), str(answer.get("message") or "")
    # In version 9 the plugins that Grafana brings along have no check.
    if source["type"] not in CONSTANT:
        return "unknown", f"the plugin {source['type']} has no check"
    query = {
        "refId": "A",
        "datasource": {"uid": source["uid"], "type": source["type"]},
        "expr": CONSTANT[source["type"]],
        "instant": True,
        "range": False,
        "queryType": "instant",
    }
    try:
        grafana.post("/api/ds/query", {"from": "now-5m", "to": "now", "queries": [query]})
    except ApiError as error:
        results = (error.data or {}).get("results", {}) if isinstance(error.data, dict) else {}
        return "error", str(results.get("A", {}).get("error") or error.seen or error.what)
    return "ok", ""


def main() -> None:
    module = grafana_module({"datasources": {"type": "bool", "default": False}})
    try:
        grafana = connect(module.params)
        health = grafana.health(even_unwell=True)
        result = {"version": health.get("version", ""), "database": health["database"]}
        if module.params["datasources"]:
            result["datasources"] = found = []
            # Without its database Grafana knows none, and lets nobody in.
            for source in grafana.get("/api/datasources") if health["database"] == "ok" else ():
                status, message = ask(grafana, source)
                kept = {key: source[key] for key in ("uid", "name", "type")}
                found.append({**kept, "status": status, "message": message})
    except ComponentError as error:
        module.fail_json(msg=str(error))
    well = all(source["status"] != "error" for source in result.get("datasources", []))
    module.exit_json(changed=False, ok=health["database"] == "ok" and well, **result)


if __name__ == "__main__":
    main()
