# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put on the test host's PYTHONPATH: faults that can only be made inside of the worker, by names in the environment.

DIE_AT kills it just before that change of the host, counted from the moment at which it has its lock. CHANGES_LOG is
a file in which each change is noted. CLOCK_OFF is by how many seconds its clock is wrong, MACHINE the architecture.
HASTE divides the seconds for which it waits for a server.
"""

import os
import platform
import signal
import socket
import sys
import time

CHANGES = {"os.link", "os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "subprocess.Popen"}
die_at = int(os.environ.get("DIE_AT", "0"))
log = os.environ.get("CHANGES_LOG")
seen = 0
armed = False


def count(event: str, arguments: tuple) -> None:
    """An audit hook."""
    global armed, seen
    if event == "open" and str(arguments[0]).endswith("/run/opswatch/prometheus.lock"):
        armed = True
    if not armed or event not in CHANGES:
        return
    seen += 1
    if log:
        with open(log, "a") as handle:
            handle.write(f"{seen} {event} {arguments[:3]}\n")
    if seen == die_at:
        os.kill(os.getpid(), signal.SIGKILL)


if die_at or log:
    sys.addaudithook(count)

if clock_off := int(os.environ.get("CLOCK_OFF", "0")):
    real_time, real_localtime, real_gmtime, real_strftime = time.time, time.localtime, time.gmtime, time.strftime
    time.time = lambda: real_time() + clock_off
    time.localtime = lambda seconds=None: real_localtime(time.time() if seconds is None else seconds)
    time.gmtime = lambda seconds=None: real_gmtime(time.time() if seconds is None else seconds)
    time.strftime = lambda form, moment=None: real_strftime(form, moment or time.localtime())

if machine := os.environ.get("MACHINE"):
    platform.machine = lambda: machine

if haste := int(os.environ.get("HASTE", "0")):
    real_create = socket.create_connection

    def create_connection(address, timeout=None, *arguments, **options):
        return real_create(address, timeout / haste, *arguments, **options)

    socket.create_connection = create_connection
