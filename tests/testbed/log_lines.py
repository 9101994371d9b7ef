# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a service: written on a host, read by an agent, counted in Loki."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from .scenario import Loki, playbook, wait_for

# Writes numbered lines; renames or cuts its file now and then, or removes it.
WRITER = """
import datetime, json, os, sys, time
path, count, change = "/var/log/app/SERVICE.log", COUNT, "CHANGE"
os.makedirs("/var/log/app", exist_ok=True)
file = open(path, "a")
for number in range(count):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
    file.write(json.dumps({"timestamp": now, "level": "INFO", "service": "SERVICE", "number": number}) + "\\n")
    file.flush()
    time.sleep(0.002)
    if change and number in (count // 3, 2 * count // 3):
        time.sleep(5)  # as long as an agent may need until it has read what is there
        if change == "renamed":
            os.rename(path, f"{path}.{number}")
            file = open(path, "a")
        elif change == "removed":
            os.unlink(path)
            file = open(path, "a")
        elif change == "cut":
            os.truncate(path, 0)
"""


def path_of(service: str) -> str:
    return f"/var/log/app/{service}.log"


def line(service: str, at: datetime, **fields: Any) -> str:
    return json.dumps({"timestamp": at.isoformat(), "level": "INFO", "service": service, **fields})


def writer(host: str, service: str, count: int, change: str = "") -> subprocess.Popen[bytes]:
    script = WRITER.replace("SERVICE", service).replace("COUNT", str(count)).replace("CHANGE", change)
    return subprocess.Popen(["docker", "exec", host, "python3", "-c", script])


def numbers(loki: Loki, service: str, count: int, seconds: float) -> Counter[int]:
    """How often each line is there. More than Loki gives at once are asked for level by level of their numbers."""
    found: Counter[int] = Counter()

    def complete() -> bool:
        found.clear()
        for digit in range(10):
            query = f'{{service="{service}"}} |~ `"number": [0-9]*{digit}}}`'
            found.update(json.loads(text)["number"] for _stamp, text, _known in loki.lines(query))
        return len(found) >= count

    wait_for(f"{count} lines of {service}", complete, seconds)
    time.sleep(3)  # for what would come twice
    complete()
    return found


@contextmanager
def reading(agent: str, *logs: dict[str, Any]) -> Iterator[None]:
    """Beside the files of services, for a while."""
    app = {"name": "app", "kind": "files", "paths": ["/var/log/app/*.log"]}
    assert playbook("site.yml", "--tags", agent, variables={"monitoring_logs": [app, *logs]}).rc == 0
    try:
        yield
    finally:
        assert playbook("site.yml", "--tags", agent).rc == 0
