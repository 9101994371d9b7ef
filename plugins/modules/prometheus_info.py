#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_info
short_description: Asks Prometheus several questions in one go
version_added: 0.1.0
description:
  - Evaluates expressions, and reads other parts of the API such as alerts, rules and the state of the storage.
  - A question that Prometheus refuses does not fail the module; its answer says why. A Prometheus that cannot be asked does.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.prometheus
  - action_common_attributes
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  platform:
    platforms: posix
options:
  queries:
    description: Expressions, asked four at a time.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: By which the answer is found.
        type: str
        required: true
      expr:
        description: The expression, in PromQL.
        type: str
        required: true
      since:
        description: Seconds that a range of time goes back from now. With V(0) the expression is evaluated once, now.
        type: int
        default: 0
      step:
        description: Seconds between two points of a range.
        type: int
        default: 60
      exists:
        description: Answer only whether there is any result, which keeps the answer small.
        type: bool
        default: false
  paths:
    description: Paths of other parts of the API, by names of your choice.
    type: dict
    default: {}
seealso:
  - module: opswatch.monitoring.loki_query_info
"""

EXAMPLES = r"""
- name: See what is down, and which alerts there are
  opswatch.monitoring.prometheus_info:
    user: monitoring
    password: "{{ vault_monitoring_password }}"
    queries:
      - {name: down, expr: up == 0}
      - {name: load, expr: node_load1, since: 3600}
    paths:
      alerts: /api/v1/alerts
  register: found

- name: Show what is down
  ansible.builtin.debug:
    msg: "{{ found.answers.down.data.result | map(attribute='metric') }}"
"""

RETURN = r"""
answers:
  description: An answer for each name.
  type: dict
  returned: success
  contains:
    data:
      description: What Prometheus answers as C(data); with O(queries[].exists) whether there is any result.
      type: raw
    error:
      description: Why there is no answer, in Prometheus' words.
      type: str
time:
  description: Seconds since 1970, when it was asked.
  type: float
  returned: success
"""

import time
import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._prometheus_api import (
    Question,
    answers,
    connect,
    prometheus_module,
)

OPTIONS: dict[str, t.Any] = {
    "queries": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "expr": {"type": "str", "required": True},
            "since": {"type": "int", "default": 0},
            "step": {"type": "int", "default": 60},
            "exists": {"type": "bool", "default": False},
        },
    },
    "paths": {"type": "dict", "default": {}},
}


def question(query: t.Mapping[str, t.Any], now: float) -> Question:
    if not query["since"]:
        return Question(query["name"], "/api/v1/query", {"query": query["expr"], "time": now}, query["exists"])
    asked = {"query": query["expr"], "start": now - query["since"], "end": now, "step": query["step"]}
    return Question(query["name"], "/api/v1/query_range", asked, query["exists"])


def main() -> None:
    module = prometheus_module(OPTIONS)
    now = time.time()
    asked = [Question(name, path) for name, path in module.params["paths"].items()]
    asked += [question(query, now) for query in module.params["queries"]]
    try:
        found = answers(connect(module.params), asked)
    except ComponentError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, answers=found, time=now)


if __name__ == "__main__":
    main()
