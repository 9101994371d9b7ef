# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a report of all looks of a routine. Reaches no host: everything is in their variables already."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import doctor, maintenance, report_page
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.maintenance_spec import REPORT_SPEC
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.report import (
    LINES,
    Report,
    listed,
    terminal,
    verdict_words,
)

# What makes a run fail, for cron.
FAILS: dict[str, tuple[str, ...]] = {"broken": ("broken",), "warning": ("broken", "warning"), "never": ()}
# Who asks the doctor reads all that is wrong, and not only what has room on one screen.
MANY_LINES = 400


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, args = self.validate_argument_spec(argument_spec=REPORT_SPEC)
        variables = task_vars or {}
        folder = self._loader.path_dwim(args["dir"])
        if not args["routines"]:
            if not self._task.check_mode:
                report_page.make_folder(folder)
            return {"changed": False}
        found: dict[str, t.Any] = {}
        failures: list[str] = []
        for routine in args["routines"]:
            limited = bool(variables.get("ansible_limit"))
            groups = variables["groups"]
            looks = maintenance.gathered(routine, variables["hostvars"], groups["all"], groups, limited)
            report = maintenance.report(routine, looks, time.time())
            # In check mode nothing is written, on this machine neither.
            path = "" if self._task.check_mode else report_page.write(folder, routine, report, args["keep"])
            lines = MANY_LINES if routine == doctor.ROUTINE else LINES
            Display().display(f"\n{terminal(report, path, lines)}\n")
            found[routine] = {"summary": report.summary, "path": path}
            failures += failure(report, path, args["fail_on"])
        # After all of them: one that is bad must not hide the others.
        return {
            "changed": False,
            "reports": found,
            **({"failed": True, "msg": "\n".join(failures)} if failures else {}),
        }


def failure(report: Report, path: str, fail_on: str) -> list[str]:
    bad = [one for severity in FAILS[fail_on] for one in report.of(severity)]
    if not bad:
        return []
    where = f" Report: {path}" if path else ""
    names = listed((f"{one.what}{f' ({one.host})' if one.host and one.host not in one.what else ''}" for one in bad), 3)
    return [f"{report.title}: {verdict_words(report)}. {names}.{where}"]
