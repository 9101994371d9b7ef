#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: loki_push
short_description: Sends lines to Loki, and sees that they can be read
version_added: 0.1.0
description:
  - Sends lines with the present time, for a check that the way of logs is open or a note about a deployment.
  - Logs themselves are the work of an agent, which sends again what was not taken.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.loki
  - action_common_attributes
attributes:
  check_mode:
    description: Sends nothing, and says that it would.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  platform:
    platforms: posix
options:
  lines:
    description: The lines.
    type: list
    elements: str
    required: true
  labels:
    description: Labels of the stream. Each set of them is a stream of its own, so keep them few.
    type: dict
    default: {job: canary}
  metadata:
    description: Structured metadata of each line.
    type: dict
    default: {}
  read_back:
    description: Seconds within which the lines have to come back from a query. With V(0) they are not asked for.
    type: int
    default: 10
seealso:
  - module: opswatch.monitoring.loki_query_info
"""

EXAMPLES = r"""
- name: See that a line reaches Loki and comes back
  opswatch.monitoring.loki_push:
    lines: [the way is open]

- name: Note a deployment
  opswatch.monitoring.loki_push:
    lines: ["shop 1.4 is deployed"]
    labels: {service: shop, job: deployments}
    metadata: {version: "1.4"}
    read_back: 0
"""

RETURN = r"""
timestamps:
  description: Time of each line, in nanoseconds since 1970.
  type: list
  elements: str
  returned: success
seconds:
  description: After how many seconds the lines came back.
  type: float
  returned: with O(read_back), but in check mode
"""

import json
import time
import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._loki_api import (
    Loki,
    connect,
    lines_of,
    loki_module,
)

OPTIONS: dict[str, t.Any] = {
    "lines": {"type": "list", "elements": "str", "required": True},
    "labels": {"type": "dict", "default": {"job": "canary"}},
    "metadata": {"type": "dict", "default": {}},
    "read_back": {"type": "int", "default": 10},
}


def pushed(params: t.Mapping[str, t.Any], stamps: t.Sequence[str]) -> dict[str, t.Any]:
    """The body of a push. Every value of a label is a text."""
    labels, metadata = (
        {str(key): str(value) for key, value in params[name].items()} for name in ("labels", "metadata")
    )
    values = [[stamp, line, metadata] for stamp, line in zip(stamps, params["lines"])]
    return {"streams": [{"stream": labels, "values": values}]}


def wait_for_lines(loki: Loki, body: t.Mapping[str, t.Any], patience: float) -> float:
    """Seconds until every line came back as it was sent."""
    (stream,) = body["streams"]
    selector = ", ".join(f"{name}={json.dumps(value)}" for name, value in stream["stream"].items())
    sent = {(stamp, line) for stamp, line, _metadata in stream["values"]}
    stamps = [int(stamp) for stamp, _line in sent]
    asked = {"query": f"{{{selector}}}", "start": min(stamps), "end": max(stamps) + 1, "limit": len(sent) + 100}
    begun = time.monotonic()
    while True:
        found = lines_of(loki.get("/loki/api/v1/query_range", asked)["data"]["result"])
        missing = sent - {(one["timestamp"], one["line"]) for one in found}
        taken = time.monotonic() - begun
        if not missing:
            return taken
        if taken >= patience:
            raise ComponentError(
                f"{len(missing)} of {len(sent)} lines were taken but did not come back within {patience:g} s",
                f"{loki.url} was asked for {asked['query']}",
                "look into the log of Loki; raise read_back if it is only slow",
            )
        time.sleep(0.2)


def main() -> None:
    module = loki_module(OPTIONS)
    params = module.params
    now = time.time_ns()
    stamps = [str(now + number) for number in range(len(params["lines"]))]
    if not params["lines"] or not params["labels"]:
        module.fail_json(msg="There is nothing to send. What to do: state lines, and labels by which they are found.")
    if module.check_mode:
        module.exit_json(changed=True, timestamps=stamps)
    body, result = pushed(params, stamps), {}
    try:
        loki = connect(params)
        loki.post("/loki/api/v1/push", body)
        if params["read_back"] > 0:
            result = {"seconds": round(wait_for_lines(loki, body, params["read_back"]), 3)}
    except ComponentError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, timestamps=stamps, **result)


if __name__ == "__main__":
    main()
