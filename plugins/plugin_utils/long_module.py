# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The action of a module that may take hours: it says now and then how far it is."""

from __future__ import annotations

import contextlib
import contextvars
import json
import threading
import time
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.opswatch.monitoring.plugins.module_utils._restic import LAST_WORDS, RUN

FIRST = 2.0  # seconds until the module runs for sure, and the connection has nothing to ask any more

display = Display()


class LongModule(ActionBase):
    """With C(progress) in its arguments the host is asked beside the module how far it is.

    Not by async, which would leave the module with its passwords on the host's disk, and kill it at a time limit.
    """

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        every = float(self._task.args.get("progress") or 0)
        if not every or self._task.check_mode or self._task.async_val:
            return dict(self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val)))
        ended = threading.Event()
        host = str((task_vars or {}).get("inventory_hostname", ""))
        # Ansible keeps what belongs to a task in the context of its thread.
        context = contextvars.copy_context()
        teller = threading.Thread(target=context.run, args=(self._tell, host, every, ended), daemon=True)
        teller.start()
        try:
            return dict(self._execute_module(task_vars=task_vars))
        finally:
            ended.set()
            teller.join(10)

    def _tell(self, host: str, every: float, ended: threading.Event) -> None:
        begun = time.monotonic()
        pause = max(every, FIRST)
        while not ended.wait(pause):
            pause = every
            with contextlib.suppress(AnsibleError):  # the module's own call tells of a connection that is lost
                said = self._low_level_execute_command(f"tail -c 2000 {RUN}/{LAST_WORDS}").get("stdout", "")
                if not ended.is_set():
                    display.display(f"{host}: {how_far(said, time.monotonic() - begun)}")


def how_far(said: str, seconds: float) -> str:
    """In words, from the end of what restic says of itself as JSON; it says nothing before and after its work."""
    for line in reversed(said.splitlines()):
        try:
            status = json.loads(line)
        except ValueError:
            continue
        if isinstance(status, dict) and status.get("message_type") == "status" and status.get("total_bytes"):
            left = status.get("seconds_remaining")
            rest = f", about {_time(left)} left" if left else ""
            return f"{status['percent_done']:.0%} of {status['total_bytes'] / 1e9:.1f} GB{rest}"
    return f"at it for {_time(seconds)}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
