# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put on the test host's PYTHONPATH: kills the worker just before its DIE_AT-th change of the host."""

import os
import signal
import sys

CHANGES = {"os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "subprocess.Popen"}
die_at = int(os.environ.get("DIE_AT", "0"))
seen = 0
armed = False


def count(event: str, arguments: tuple) -> None:
    """An audit hook: it counts from the moment at which the worker has its lock."""
    global armed, seen
    if event == "open" and str(arguments[0]).endswith("/run/opswatch/prometheus.lock"):
        armed = True
    if armed and event in CHANGES:
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)


if die_at:
    sys.addaudithook(count)
