#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Restores the data of components from a backup, or tries whether that would work
version_added: 0.1.0
description:
  - Restores what M(opswatch.monitoring.backup) stored. The data is fetched beside the live data and held against the manifest of the
    backup; only then the service is stopped and the two are swapped, files by renames, Grafana's tables in PostgreSQL in one
    transaction. Then it has to get ready, and to have what the manifest says. If it does not, the earlier data serves again.
  - The components have to be installed here, by C(site.yml). Their configuration is left as it is.
  - A run that was killed is undone by the next one that asks for the same component. If the restored data was written to later than a quarter
    of an hour after the swap, as by a service that had been started on it, that is refused, with the ways on and back. PostgreSQL does not tell
    when it was written; there a Grafana that runs is taken for the sign of it.
  - With O(drill) nothing that serves is touched. The data is fetched into a folder of its own, held against the manifest, and a
    second Prometheus on the loopback is asked for what the manifest says; then all of it is removed.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.backup
  - opswatch.monitoring.backup.components
attributes:
  check_mode:
    description: Reads the backup's manifest and says what would be undone and restored, and what is in the way.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  snapshot:
    description:
      - V(latest), the ID of a backup or its beginning, or a time in UTC (such as V(2026-11-25T10:00)), for the last backup before it.
      - V(list) changes nothing, and tells in RV(actions) which there are.
    type: str
    default: latest
  overwrite:
    description: Restore over data that was written after the backup. That data is lost once the restored one has proved itself.
    type: bool
    default: false
  drill:
    description: Only try it.
    type: bool
    default: false
  ready_timeout:
    description: How long a restored service may take without any progress until it counts as not ready, in seconds.
    type: float
    default: 600.0
"""

EXAMPLES = r"""
- name: Bring Prometheus back to what it had in the morning
  opswatch.monitoring.backup_restore:
    repository: /srv/backup
    password: "{{ vault_backup_password }}"
    host: "{{ inventory_hostname }}"
    server_password: "{{ vault_monitoring_password }}"
    components: [prometheus]
    snapshot: "2026-11-25T08:00"
    overwrite: true
"""

RETURN = r"""
actions:
  description: What was done, in words and in order.
  type: list
  elements: str
  returned: always
snapshot:
  description: The backup that was taken; empty where they were listed.
  type: str
  returned: success
restored:
  description: The components that were restored, or tried.
  type: list
  elements: str
  returned: success
"""

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import (
    _backup,
    _drill,
    _files,
    _grafana_database,
    _ready,
    _restic,
    _restore,
    _service,
    _snapshot,
    _textfile,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._backup_options import OPTIONS, wanted
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._silences_back import give_back, in_force
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock

OWN: dict[str, t.Any] = {
    "snapshot": {"type": "str", "default": "latest"},
    "overwrite": {"type": "bool", "default": False},
    "drill": {"type": "bool", "default": False},
    "ready_timeout": {"type": "float", "default": 600.0},
}
DRILLS = f"{_backup.STAGE}-drill"
LIST = "list"  # in place of a snapshot: only tell which there are


class Restore:
    """One backup, and the components that are taken from it."""

    def __init__(
        self,
        params: t.Mapping[str, t.Any],
        restic: _restic.Restic,
        snapshots: t.Sequence[t.Mapping[str, t.Any]],
        actions: list[str],
    ) -> None:
        self.params, self.restic, self.actions = params, restic, actions
        self.id = str(_restore.chosen(snapshots, params["snapshot"])["id"])
        self.manifest: dict[str, t.Any] = json.loads(restic.run("dump", self.id, _backup.MANIFEST))
        if self.manifest.get("format") != _backup.FORMAT:
            raise ComponentError(
                f"the backup {self.id[:8]} has the format {self.manifest.get('format')}, which this version does not know",
                "",
                "use the version of opswatch.monitoring that made it, or a newer one",
            )
        self.names = _restore.checked(self.manifest, params["components"], wanted([]))

    def part(self, name: str) -> dict[str, t.Any]:
        return dict(self.manifest["components"][name])

    def refuse(self) -> None:
        """All that speaks against it, at once and before anything is changed."""
        checks = (self._check_age, self._check_database, self._check_retention, self._check_space)
        found = []
        for name, check in itertools.product(self.names, checks):
            try:
                check(Layout(name))
            except ComponentError as error:
                found.append(str(error))
        if found:
            raise ComponentError("\n".join(dict.fromkeys(found)))  # a database that is away is in the way of two

    def _check_age(self, layout: Layout) -> None:
        created, last = _created(self.manifest), _restore.newest(layout)
        if last > created and not self.params["overwrite"]:
            raise ComponentError(
                f"{layout.name} has data that is newer than the backup",
                f"backup of {_backup.shown(created)}, {_restore.written(layout, last)}",
                "set restore_overwrite: true to lose it; restore_drill: true tries the backup without touching it",
            )

    def _check_database(self, layout: Layout) -> None:
        if layout.name == "grafana":
            _restore.check_database(layout, self.manifest["files"])

    def _check_space(self, layout: Layout) -> None:
        copies = 2 if isinstance(_restore.swap_of(layout), _restore.DatabaseSwap) else 1  # one of what is there
        _restore.check_space(layout.data, self.part(layout.name)["bytes"] * copies)

    def _check_retention(self, layout: Layout) -> None:
        if layout.name != "prometheus":
            return
        created = _created(self.manifest)
        endpoint = self._endpoint(layout)
        stated: t.Mapping[str, str] = {}
        with contextlib.suppress(ComponentError):  # it may be down: that is why somebody restores
            stated = _snapshot.flags(endpoint) if endpoint else {}
        if created < time.time() - _snapshot.retention(stated):
            raise ComponentError(
                "Prometheus would drop everything that is in the backup",
                f"backup of {_backup.shown(created)}, "
                f"storage.tsdb.retention.time is {stated['storage.tsdb.retention.time']}",
                "raise prometheus_retention_time, run site.yml, then restore",
            )

    def fetch(self, name: str, target: str) -> None:
        """The data of a component, held against the manifest, as the entries of a folder."""
        part = self.part(name)
        partial = f"{target}.partial"
        os.makedirs(partial, mode=0o700)
        self.restic.run("restore", "--json", self.id, "--target", partial, "--include", part["data"])
        os.rename(f"{partial}{part['data']}", target)
        _files.remove(partial)
        prefix = os.path.relpath(part["data"], _backup.STAGE)
        stated = self.manifest["files"]
        files = {os.path.relpath(path, prefix): one for path, one in stated.items() if path.startswith(f"{prefix}/")}
        _restore.verify(name, target, part, files)
        self.actions.append(f"fetched {name} from backup {self.id[:8]} and found it whole")

    def swap(self, name: str) -> None:
        layout = Layout(name)
        swap = _restore.swap_of(layout)
        silenced = in_force(self._endpoint(layout)) if name == "alertmanager" else set()
        os.makedirs(swap.work, mode=0o700)
        try:
            self.fetch(name, swap.new)
            entries = _restore.ENTRIES.get(name)
            extra = {one: f"{swap.work}/{one}" for one in os.listdir(swap.new) if entries and one not in entries}
            for one, place in extra.items():  # is for other uses, and not for the data folder
                os.rename(f"{swap.new}/{one}", place)
            _restore.own(layout, swap.new)
        except BaseException:
            _files.remove(swap.work)
            raise
        try:
            swap.announce()
            _service.command("systemctl", "disable", "--now", "--quiet", layout.unit_name)
            swap.begin(entries)
            self._start(layout)
            self._prove(name, layout, extra, silenced)
        except Exception as error:  # whatever it is, the earlier data has to serve again
            _service.command("systemctl", "stop", layout.unit_name, check=False)
            try:
                swap.undo()
            finally:
                self._start(layout)
            now = "its earlier data serves again"
            self.actions.append(f"failed: {error}; {now}")
            what, seen, remedy = (
                (error.what, error.seen, error.remedy) if isinstance(error, ComponentError) else (str(error), "", "")
            )
            raise ComponentError(f"{name} was not restored, {now}: {what}", seen, remedy) from error
        swap.end()
        self.actions.append(f"{name} serves the data of backup {self.id[:8]}")

    def _start(self, layout: Layout) -> None:
        unit = layout.unit_name
        _service.command("systemctl", "reset-failed", unit, check=False)
        _service.command("systemctl", "enable", "--now", "--quiet", unit)

    def _endpoint(self, layout: Layout) -> _ready.Endpoint | None:
        return _backup.Source(layout, self.params["server_password"] or "").endpoint()

    def _prove(self, name: str, layout: Layout, extra: t.Mapping[str, str], silenced: t.Collection[str]) -> None:
        endpoint = self._endpoint(layout)
        begun = _service.status(layout.unit_name)

        def alive() -> None:
            seen = _service.status(layout.unit_name)
            if seen.died or seen.restarts != begun.restarts:
                words, remedy = _service.why_it_died(layout.unit_name, seen)
                raise ComponentError(f"{name} does not stay up with it", words, remedy)

        alive()
        if endpoint is None:
            return
        _ready.wait_until_ready(endpoint, alive, self.params["ready_timeout"])
        counted = self.part(name)["counts"]
        if name == "prometheus":
            found = _snapshot.number_of_series(endpoint, counted["asked_at"])
            _drill.compare(found, counted)
            self.actions.append(f"asked for {found} series of {_backup.shown(counted['asked_at'])}, as in the manifest")
        elif name == "alertmanager":
            self.actions.append(give_back(endpoint, extra.get("silences.json", ""), counted["silences"], silenced))
        elif name == "grafana":
            database = _grafana_database.of(layout)
            there = len(database.dashboards()) if database else 0
            if there != counted["dashboards"]:
                raise ComponentError(
                    "Grafana does not have the dashboards of the backup",
                    f"{there}, and {counted['dashboards']} are in the manifest",
                    "see its journal",
                )

    def drill(self) -> None:
        """All of it in a place of its own. Prometheus is started there; of the others the data is looked at."""
        os.makedirs(os.path.dirname(DRILLS), mode=0o700, exist_ok=True)
        _files.remove(DRILLS)
        needed = sum(self.part(name)["bytes"] for name in self.names)
        _restore.check_space(os.path.dirname(DRILLS), needed)
        os.makedirs(DRILLS, mode=0o755)
        try:
            for name in self.names:
                folder = f"{DRILLS}/{name}"
                self.fetch(name, folder)
                self.actions.append(_drill.tried(name, folder, self.part(name)))
        finally:
            shutil.rmtree(DRILLS, ignore_errors=True)


def _created(manifest: t.Mapping[str, t.Any]) -> float:
    import datetime

    return datetime.datetime.fromisoformat(str(manifest["created"])).timestamp()


def recover(asked: t.Collection[str], actions: list[str], check: bool) -> None:
    """Undo what a killed run had begun, of the components that are asked for alone: of the others nobody thinks now."""
    for name in wanted([]):
        if asked and name not in asked:
            continue
        with contextlib.nullcontext() if check else lock(Layout(name)):
            actions += _restore.recover(Layout(name), check)


def work(params: t.Mapping[str, t.Any], actions: list[str], check: bool) -> dict[str, t.Any]:
    listing = params["snapshot"] == LIST
    if not params["drill"] and not listing:  # before anything is looked at, and also where the repository is away
        recover(params["components"], actions, check)
    with _restic.opened(params["repository"], params["password"], params["environment"], params["timeout"]) as restic:
        snapshots = restic.snapshots(params["host"], _backup.TAG, _backup.PARTIAL_TAG)
        if listing:
            actions += _restore.listed(snapshots) or [f"the repository has no backup of {params['host']}"]
            return {"snapshot": "", "restored": []}
        restore = Restore(params, restic, snapshots, actions)
        word = "try" if params["drill"] else "restore"
        if not restore.names:
            actions.append(f"nothing to {word}: backup {restore.id[:8]} has no data of what is installed here")
        if check:  # before what is in the way
            made = str(restore.manifest["created"])
            actions += [f"would {word} {name} of backup {restore.id[:8]}, made {made}" for name in restore.names]
        if not params["drill"]:
            restore.refuse()
            for name in [] if check else restore.names:
                with lock(Layout(name)):
                    restore.swap(name)
        elif not check:
            restore.drill()
    return {"snapshot": restore.id[:8], "restored": restore.names}


def main() -> None:
    module = AnsibleModule(argument_spec={**OPTIONS, **OWN}, supports_check_mode=True)
    _restic.require_restic(module)
    params, check = module.params, module.check_mode or module.params["snapshot"] == LIST
    actions: list[str] = []
    result: dict[str, t.Any] = {}
    problem = ""
    try:
        if check:
            result = work(params, actions, check=True)
        else:
            with lock(Layout("backups")):
                result = work(params, actions, check=False)
    except (ComponentError, OSError, ValueError, KeyError, sqlite3.Error) as error:
        problem = str(from_system("the restore failed", error) if isinstance(error, OSError) else error)
    if params["drill"] and params["textfile"] and not check:
        ended: dict[str, float] = {"opswatch_restore_drill_last_run_success": int(not problem)}
        if not problem:
            ended["opswatch_restore_drill_last_success_timestamp_seconds"] = time.time()
        _textfile.write(params["textfile"], ended)
    if problem:
        module.log(problem)
        module.fail_json(msg=problem, actions=actions)
    module.exit_json(changed=not params["drill"] and bool(result["restored"]), actions=actions, **result)


if __name__ == "__main__":
    main()
