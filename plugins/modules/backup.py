#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Backs up every component of a host with restic
version_added: 0.1.0
description:
  - "Takes what M(opswatch.monitoring.component) installed here: of each component the generation in force, its secrets, and its data, made
    consistent first. Prometheus makes a snapshot of its blocks, Alertmanager says its silences, Grafana's database is copied while
    it is in use, Loki writes out what it has in memory."
  - restic stores all of it in one go, encrypted, and only what it does not have yet. A repository that is not there yet is made.
  - A manifest goes with it, with versions, sizes, checksums and counts; M(opswatch.monitoring.backup_restore) holds what it restores against it.
  - A component that cannot be backed up fails the task in the end; the others are backed up all the same.
  - Drops no earlier backup; M(opswatch.monitoring.backup_retention) does.
  - Writes metrics for node_exporter, by which alerts tell of a backup that failed or is missing.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.backup
  - opswatch.monitoring.backup.components
attributes:
  check_mode:
    description: Says what it would back up; asks neither the repository nor a service.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  prepare:
    description:
      - Back up nothing; only make the repository, if it is not there yet.
      - "For hosts that share one, in turn (C(throttle: 1)): where two make it at the same moment, it may be damaged from the beginning."
    type: bool
    default: false
  partial:
    description:
      - Mark it as a backup of a part of what is wanted of this host, made by the way, such as of one component before its upgrade.
      - Neither V(latest) nor a time means such a one as O(opswatch.monitoring.backup_restore#module:snapshot), where there is a whole one.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make the repository, one host after the other
  opswatch.monitoring.backup:
    repository: "sftp:backup@nas:/monitoring"
    password: "{{ vault_backup_password }}"
    host: "{{ inventory_hostname }}"
    prepare: true
  throttle: 1

- name: Back up what runs here
  opswatch.monitoring.backup:
    repository: /srv/backup
    password: "{{ vault_backup_password }}"
    host: "{{ inventory_hostname }}"
    server_password: "{{ vault_monitoring_password }}"
"""

RETURN = r"""
actions:
  description: What was done, a line for each component.
  type: list
  elements: str
  returned: always
snapshot:
  description: The ID of the backup in the repository.
  type: str
  returned: success, but with O(prepare)
bytes:
  description: How much is in it.
  type: int
  returned: success, but with O(prepare)
added:
  description: How many bytes of that were new and had to be stored.
  type: int
  returned: success, but with O(prepare)
manifest:
  description: The description of what is in it.
  type: dict
  returned: success, but with O(prepare)
"""

import os
import sqlite3
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import (
    _backup,
    _files,
    _generations,
    _restic,
    _textfile,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._backup_options import OPTIONS, wanted
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock

KNOWN = f"{_restic.CACHE}/known.json"  # places that had a repository


def collected(params: t.Mapping[str, t.Any], names: t.Iterable[str]) -> tuple[dict[str, _backup.Part], list[str]]:
    """The parts of a backup, and what is wrong with those that could not be made."""
    parts, failures = {}, []
    for name in names:
        source = _backup.Source(Layout(name), params["server_password"] or "")
        try:
            parts[name] = _backup.collect(source)
        except ComponentError as error:
            failures.append(f"{name} is not in the backup: {error}")
        except (OSError, ValueError, KeyError, sqlite3.Error) as error:
            failures.append(f"{name} is not in the backup: {error}")
            _files.remove(source.stage)
    return parts, failures


def tags_of(parts: t.Iterable[str], whole: bool) -> list[str]:
    """A backup that is not whole says what is in it."""
    return [_backup.TAG] if whole else [_backup.PARTIAL_TAG, *parts]


def made_repository(restic: _restic.Restic) -> list[str]:
    """Make it where there has never been one, and note that it is there; what was done."""
    place, known = _restic.shown(restic.repository), (_files.read_json(KNOWN) or {}).get("repositories", [])
    if place in known:
        return []
    made = []
    try:
        restic.run("cat", "config", "--no-lock")
    except _restic.ResticError as error:
        if error.meaning != _restic.NO_REPOSITORY:
            raise
        restic.run("init")
        made = [f"made the repository {place}"]
    _files.write_json(KNOWN, {"repositories": [*known, place]})
    return made


def stored(
    restic: _restic.Restic, host: str, tags: t.Sequence[str], parts: t.Mapping[str, _backup.Part]
) -> dict[str, t.Any]:
    """What restic says of the backup.

    A snapshot of Prometheus is hard links to the same files each time: their inodes and times are as they were, only the
    change time of their inodes is not.
    """
    excluded = [f"--exclude={one}" for one in _backup.excluded(parts)]
    tagged = [word for tag in tags for word in ("--tag", tag)]
    words = ("backup", "--host", host, *tagged, "--ignore-ctime", "--exclude-caches", *excluded, *_backup.paths(parts))
    changing = parts["loki"].data if "loki" in parts else ""  # a file may be gone when its turn comes
    try:
        return restic.summary(*words, changing=changing)
    except _restic.ResticError as error:
        if error.meaning != _restic.NO_REPOSITORY:
            raise
        raise ComponentError(
            f"the repository that was there before is gone: {_restic.shown(restic.repository)}",
            error.seen,
            "mount it, or correct backup_repository; for a new one at this place, on purpose: `restic init`",
        ) from error


def mark_partial(restic: _restic.Restic, error: _restic.NotWhole) -> None:
    """Make it no latest; or say how, as restic marks nothing while another one is at the repository."""
    if not error.snapshot:
        return
    words = ("tag", "--set", _backup.PARTIAL_TAG, error.snapshot)
    try:
        restic.run(*words)
    except ComponentError as refused:
        error.seen += f"\n{error.snapshot[:8]} is marked as a whole backup all the same: {refused.what}"
        error.remedy += f"; until then keep restore.yml from it by `restic {' '.join(words)}`"


def work(params: t.Mapping[str, t.Any], names: t.Sequence[str], actions: list[str]) -> dict[str, t.Any]:
    begun, created = time.monotonic(), time.time()
    _backup.tidy()
    os.makedirs(_backup.STAGE, mode=0o700)
    limit = params["timeout"]
    with _restic.opened(params["repository"], params["password"], params["environment"], limit) as restic:
        try:
            parts, failures = collected(params, names)
            manifest = _backup.manifest_of(params["host"], parts, created)
            _files.write_json(_backup.MANIFEST, manifest)
            tags = tags_of(parts, not failures and not params["partial"])
            made = made_repository(restic)
            said = stored(restic, params["host"], tags, parts)
        except _restic.NotWhole as error:
            mark_partial(restic, error)
            raise
        finally:
            _backup.tidy()
        actions += made
        actions += [part.words(name) for name, part in parts.items()]
        actions += [f"{name}: {note}" for name, part in parts.items() for note in part.notes]
        snapshots = len(restic.snapshots(params["host"], _backup.TAG))
    size, added = int(said.get("total_bytes_processed", 0)), int(said.get("data_added", 0))
    took = time.monotonic() - begun
    snapshot = str(said.get("snapshot_id", ""))[:8]
    actions.append(
        f"backup {snapshot}: {_backup.megabytes(size)}, {_backup.megabytes(added)} of it new, in {took:.1f} s"
    )
    ended = {
        "opswatch_backup_duration_seconds": round(took, 1),
        "opswatch_backup_bytes": size,
        "opswatch_backup_added_bytes": added,
        "opswatch_backup_snapshots": snapshots,
    }
    # Without the checksums of its files: some of them are passwords.
    described = {name: value for name, value in manifest.items() if name != "files"}
    result = {"snapshot": snapshot, "bytes": size, "added": added, "manifest": described, "metrics": ended}
    return {**result, "failures": failures}


def main() -> None:
    own = {name: {"type": "bool", "default": False} for name in ("partial", "prepare")}
    module = AnsibleModule(argument_spec={**OPTIONS, **own}, supports_check_mode=True)
    params, actions = module.params, []
    result: dict[str, t.Any] = {}
    try:
        names = wanted(params["components"])
        if module.check_mode and params["prepare"]:
            module.exit_json(changed=False, actions=[])
        if module.check_mode:
            numbers = {name: _generations.current_number(Layout(name)) for name in names}
            said = [f"would back up {name}, generation {number}" for name, number in numbers.items()]
            module.exit_json(changed=bool(names), actions=said)
        _restic.require_restic(module)
        _backup.raise_when_ended()
        with lock(Layout("backups")):
            if params["prepare"]:
                place = (params["repository"], params["password"], params["environment"], params["timeout"])
                with _restic.opened(*place) as restic:
                    actions = made_repository(restic)
                module.exit_json(changed=bool(actions), actions=actions)
            result = work(params, names, actions)
        problem = "\n".join(result.pop("failures"))
    except (ComponentError, OSError, ValueError) as error:
        problem = str(from_system("the backup failed", error) if isinstance(error, OSError) else error)
    except _backup.Ended as error:
        problem = str(ComponentError(f"the backup was ended by {error}", "", "run it again; what it had begun is gone"))
    now = time.time()
    ended = {"opswatch_backup_last_run_timestamp_seconds": now, "opswatch_backup_last_run_success": int(not problem)}
    if not problem:
        ended["opswatch_backup_last_success_timestamp_seconds"] = now
    if params["textfile"]:
        _textfile.write(params["textfile"], {**ended, **result.pop("metrics", {})})
    result.pop("metrics", None)
    module.log(problem or "; ".join(actions))
    if problem:
        result.pop("manifest", None)  # it is long, and would stand before the message
        module.fail_json(msg=problem, actions=actions, **result)
    module.exit_json(changed=True, actions=actions, **result)


if __name__ == "__main__":
    main()
