#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_clean_tombstones
short_description: Frees the space of series that were deleted from Prometheus
version_added: 0.1.0
description:
  - Series that are deleted by the API are only marked, and stay in their blocks until these are compacted again. This rewrites the
    blocks that have such marks. Where there are none, Prometheus is not asked for anything.
  - The API for it has to be on, and Prometheus has to ask for a password. Otherwise nothing is done. The role prometheus turns it on with
    C(prometheus_admin_api), and where C(backup_repository) is set.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.prometheus
  - action_common_attributes
attributes:
  check_mode:
    description: Says whether it would rewrite blocks.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  platform:
    platforms: posix
options:
  data:
    description: Folder of Prometheus' data on the host.
    type: path
    default: /var/lib/prometheus
  clean:
    description: Whether anything is cleaned.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Free the space of deleted series
  opswatch.monitoring.prometheus_clean_tombstones:
    user: monitoring
    password: "{{ vault_monitoring_password }}"
"""

RETURN = r"""
tombstones:
  description: How many marks there were.
  type: int
  returned: success
blocks:
  description: How many blocks had them.
  type: int
  returned: success
freed:
  description: Bytes that the blocks take less on the disk.
  type: int
  returned: success
skipped_because:
  description: Why marks were left although there are some; empty otherwise.
  type: str
  returned: success
predicted:
  description: Whether nothing was done, in check mode or without O(clean).
  type: bool
  returned: success
"""

import glob
import json
import os
import typing as t

from ansible_collections.opswatch.monitoring.plugins.module_utils._clean import size
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._prometheus_api import connect, prometheus_module

PATH = "/api/v1/admin/tsdb/clean_tombstones"


def marked_blocks(data: str) -> dict[str, int]:
    """The blocks with marks, and how many each has, as their own descriptions tell."""
    found = {}
    for path in glob.glob(f"{glob.escape(data)}/*/meta.json"):
        try:
            with open(path, encoding="utf-8") as handle:
                stones = json.load(handle).get("stats", {}).get("numTombstones", 0)
        except (OSError, ValueError):  # being written, or removed
            continue
        if stones:
            found[os.path.dirname(path)] = int(stones)
    return found


def refusal(flags: t.Mapping[str, str]) -> str:
    if flags.get("web.enable-admin-api") != "true":
        return "its API for that is off"
    return "" if flags.get("web.config.file") else "it asks nobody for a password"


def main() -> None:
    module = prometheus_module(
        {"data": {"type": "path", "default": "/var/lib/prometheus"}, "clean": {"type": "bool", "default": True}}
    )
    do = module.params["clean"] and not module.check_mode
    data = module.params["data"]
    marked = marked_blocks(data)
    result = {"tombstones": sum(marked.values()), "blocks": len(marked), "freed": 0, "skipped_because": ""}
    try:
        if marked:
            api = connect(module.params)
            result["skipped_because"] = refusal(api.get("/api/v1/status/flags")["data"])
            if do and not result["skipped_because"]:
                before = size(data)
                api.post(PATH)
                result["freed"] = max(0, before - size(data))
    except ComponentError as error:
        module.fail_json(msg=str(error))
    changed = bool(marked) and module.params["clean"] and not result["skipped_because"]
    module.exit_json(changed=changed, predicted=not do, **result)


if __name__ == "__main__":
    main()
