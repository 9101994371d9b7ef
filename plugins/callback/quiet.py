# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: quiet
type: stdout
short_description: Says nothing when all is well, for cron
version_added: 0.1.0
description:
  - Prints what failed, on which host, and hosts that could not be reached; nothing else. cron mails what it prints.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - "To be chosen as C(ANSIBLE_STDOUT_CALLBACK=opswatch.monitoring.quiet)."
author: opswatch.monitoring contributors (@opswatch)
"""

import typing as t

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Every event that is not a failure is left out by not being here."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "opswatch.monitoring.quiet"

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._tell(result, "failed")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._tell(result, "could not be reached")

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._display.display("No host of the inventory was meant: see the inventory, and --limit.", stderr=True)

    def _tell(self, result: t.Any, what: str) -> None:
        seen = result.result if hasattr(result, "result") else result._result
        task = result.task_name if isinstance(getattr(result, "task_name", None), str) else result._task.get_name()
        host = result.host.get_name() if hasattr(result, "host") else result._host.get_name()
        message = str(seen.get("msg") or "no message")
        self._display.display(f"{host}: {task}: {what}\n{message}\n", stderr=True)
