#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_retention
short_description: Drops old backups of a host, and frees the space of what was dropped
version_added: 0.1.0
description:
  - Of what M(opswatch.monitoring.backup) stored, drops the backups of this host that are not to be kept, and no other's.
  - restic wants the repository alone for both. To drop takes seconds; to free space may take hours, so of the hosts that share a
    repository one does so, when all of them have dropped theirs. While a backup is made, neither can begin, and it is waited for.
  - If it fails, the backups are there all the same, and their metrics stay as they are.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.backup
attributes:
  check_mode:
    description: Asks restic what would be dropped.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  keep:
    description:
      - "How many backups of this host stay, as restic counts them: C(last), C(hourly), C(daily), C(weekly), C(monthly), C(yearly)."
      - Once a day the others are dropped. Empty drops none.
      - Of backups of a part of the host the last ten stay.
    type: dict
    default: {}
  patience:
    description: Seconds to wait while somebody else is at the repository. Of hosts in turn each waits so long.
    type: float
    default: 600.0
  prune:
    description: Free the space of what no backup of any host needs any more.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Drop what is too old
  opswatch.monitoring.backup_retention:
    repository: /srv/backup
    password: "{{ vault_backup_password }}"
    host: "{{ inventory_hostname }}"
    keep: {daily: 14, monthly: 6}
  throttle: 1 # each of them wants the repository alone
  register: retention

- name: Free its space, on one host of those that share the repository
  opswatch.monitoring.backup_retention:
    repository: /srv/backup
    password: "{{ vault_backup_password }}"
    host: "{{ inventory_hostname }}"
    prune: true
  when: retention.dropped > 0
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done, in words; nothing where nothing was.
  type: list
  elements: str
  returned: always
dropped:
  description: How many backups were dropped.
  type: int
  returned: success
repository_id:
  description: restic's own name of the repository, by which hosts that share it can be told from those that have one each at the same path.
  type: str
  returned: where something was dropped
"""

import json
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _backup, _files, _restic, _textfile
from ansible_collections.opswatch.monitoring.plugins.module_utils._backup_options import REPOSITORY
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock

OWN: dict[str, t.Any] = {
    "keep": {"type": "dict", "default": {}},
    "patience": {"type": "float", "default": 600.0},
    "prune": {"type": "bool", "default": False},
}
PAUSE = 20 * 3600  # seconds: once a day, also where one night's run is faster than the last one's
PERIODS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
PARTIAL_KEPT = 10
STAMP = f"{_restic.CACHE}/forgotten"


def policy(keep: t.Mapping[str, t.Any]) -> list[str]:
    return [word for period in PERIODS if keep.get(period) for word in (f"--keep-{period}", str(int(keep[period])))]


def is_due() -> bool:
    return not os.path.exists(STAMP) or time.time() - os.stat(STAMP).st_mtime >= PAUSE


def counted(said: str) -> tuple[int, int]:
    """How many stay, and how many are dropped, by what C(restic forget --json) says: nothing, where it found none."""
    lines = [line for line in said.splitlines() if line.startswith("[")]
    groups = json.loads(lines[-1]) if lines else []
    kept, dropped = (sum(len(one.get(what) or []) for one in groups) for what in ("keep", "remove"))
    return kept, dropped


def forget(restic: _restic.Restic, host: str, words: t.Sequence[str], check: bool) -> tuple[int, int]:
    """How many whole backups of the host stay, and how many backups of it are dropped."""
    # By host and tag alone: the paths change when a component comes or goes.
    asked = ("forget", "--json", "--host", host, "--group-by", "host", *(("--dry-run", "--no-lock") if check else ()))
    partial = counted(restic.run(*asked, "--tag", _backup.PARTIAL_TAG, "--keep-last", str(PARTIAL_KEPT)))
    kept, dropped = counted(restic.run(*asked, "--tag", _backup.TAG, *words))
    return kept, dropped + partial[1]


def work(params: t.Mapping[str, t.Any], actions: list[str], check: bool) -> dict[str, t.Any]:
    would = "would have " if check else ""
    words = policy(params["keep"])
    result: dict[str, t.Any] = {"dropped": 0}
    place = [params[one] for one in ("repository", "password", "environment", "timeout", "patience")]
    with _restic.opened(*place) as restic:
        if words and is_due():
            kept, dropped = forget(restic, params["host"], words, check)
            if dropped:
                actions.append(f"{would}dropped old backups: {dropped}")
                config = json.loads(restic.run("cat", "config", "--no-lock"))
                result = {"dropped": dropped, "repository_id": config["id"]}
            if not check:
                _files.write_file(STAMP, b"", 0o600)
                if params["textfile"]:
                    _textfile.write(params["textfile"], {"opswatch_backup_snapshots": kept})
        if params["prune"]:
            if not check:
                restic.run("prune")
            actions.append(f"{would}freed the space of what no backup needs")
    return result


def main() -> None:
    module = AnsibleModule(argument_spec={**REPOSITORY, **OWN}, supports_check_mode=True)
    _restic.require_restic(module)
    params, check = module.params, module.check_mode
    actions: list[str] = []
    result: dict[str, t.Any] = {}
    problem = ""
    try:
        if check:
            result = work(params, actions, check)
        else:
            _backup.raise_when_ended()
            with lock(Layout("backups")):
                result = work(params, actions, check)
    except (ComponentError, OSError, ValueError) as error:
        problem = str(from_system("it failed", error) if isinstance(error, OSError) else error)
    except _backup.Ended as error:
        problem = str(ComponentError(f"it was ended by {error}", "", "run it again"))
    if problem:
        problem = f"the backups are there, but the space of old ones was not freed: {problem}"
        module.log(problem)
        module.fail_json(msg=problem, actions=actions)
    if actions:
        module.log("; ".join(actions))
    module.exit_json(changed=bool(actions), actions=actions, **result)


if __name__ == "__main__":
    main()
