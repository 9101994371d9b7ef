#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: loki_query_info
short_description: Asks Loki for lines, or for numbers out of them
version_added: 0.1.0
description:
  - Lines are asked for with a range of time. Numbers, such as counts of lines, are asked for with a range of time too, or at one moment.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.loki
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
  query:
    description: The query, in LogQL.
    type: str
    required: true
  type:
    description:
      - V(range) asks for what lies between O(start) and O(end).
      - V(instant) asks for a number at the moment O(end). Loki refuses it for lines.
    type: str
    choices: [range, instant]
    default: range
  since:
    description: Seconds between O(start) and O(end), where O(start) is not stated.
    type: int
    default: 3600
  start:
    description: Where the range begins, as RFC 3339 or as seconds or nanoseconds since 1970.
    type: str
  end:
    description: Where the range ends, likewise. The present moment if it is left out.
    type: str
  limit:
    description: How many lines at most. Loki refuses more than its C(max_entries_limit_per_query), 5000.
    type: int
    default: 100
  direction:
    description: Which lines are left out where there are more than O(limit). V(backward) leaves out the earliest.
    type: str
    choices: [backward, forward]
    default: backward
  step:
    description: Distance of the numbers in a range, such as V(1m).
    type: str
seealso:
  - module: opswatch.monitoring.loki_push
"""

EXAMPLES = r"""
- name: Read what a service has written in the last ten minutes
  opswatch.monitoring.loki_query_info:
    query: '{service="shop"} |= "timeout"'
    since: 600
  register: found

- name: Show the lines
  ansible.builtin.debug:
    msg: "{{ found.lines | map(attribute='line') }}"

- name: Count the lines of each service, now
  opswatch.monitoring.loki_query_info:
    query: sum by (service) (count_over_time({service=~".+"}[5m]))
    type: instant

- name: Ask a Loki that wants a certificate
  opswatch.monitoring.loki_query_info:
    url: https://mon1.example.com:3100
    ca_path: /etc/loki/secrets/ca.crt
    client_cert: /etc/loki/secrets/tls.crt
    client_key: /etc/loki/secrets/tls.key
    query: '{service="shop", level="error"}'
"""

RETURN = r"""
result_type:
  description: V(streams) for lines, V(matrix) for numbers in a range, V(vector) for numbers at one moment.
  type: str
  returned: success
result:
  description: What Loki answers, as it is.
  type: list
  elements: dict
  returned: success
lines:
  description: The lines, in the order of time.
  type: list
  elements: dict
  returned: when the query was for lines
  contains:
    timestamp:
      description: Nanoseconds since 1970.
      type: str
    line:
      description: The line.
      type: str
    labels:
      description: Labels of its stream, and its structured metadata.
      type: dict
"""

import time
import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._loki_api import connect, lines_of, loki_module

OPTIONS: dict[str, t.Any] = {
    "query": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["range", "instant"], "default": "range"},
    "since": {"type": "int", "default": 3600},
    "start": {"type": "str"},
    "end": {"type": "str"},
    "limit": {"type": "int", "default": 100},
    "direction": {"type": "str", "choices": ["backward", "forward"], "default": "backward"},
    "step": {"type": "str"},
}


def question(params: t.Mapping[str, t.Any], now: int) -> tuple[str, dict[str, t.Any]]:
    """Path and parameters. C(now): nanoseconds since 1970."""
    asked = {"query": params["query"], "limit": params["limit"]}
    if params["type"] == "instant":
        return "/loki/api/v1/query", {**asked, "time": params["end"] or now}
    ends = {"end": params["end"]} if params["end"] else {"end": now}
    begins = {"start": params["start"]} if params["start"] else {"since": f"{params['since']}s"}
    step = {"step": params["step"]} if params["step"] else {}
    return "/loki/api/v1/query_range", {**asked, **begins, **ends, **step, "direction": params["direction"]}


def main() -> None:
    module = loki_module(OPTIONS)
    path, asked = question(module.params, time.time_ns())
    try:
        data = connect(module.params).get(path, asked)["data"]
    except ComponentError as error:
        module.fail_json(msg=str(error))
    lines = {"lines": lines_of(data["result"])} if data["resultType"] == "streams" else {}
    module.exit_json(changed=False, result_type=data["resultType"], result=data["result"], **lines)


if __name__ == "__main__":
    main()
