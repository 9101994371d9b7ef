# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in tells of itself, by the real one's names: those that our dashboards ask for."""

from __future__ import annotations

import threading
from collections import Counter

BOUNDS = (0.005, 0.05, 0.5, 5.0)
REQUESTS = "grafana_http_request_duration_seconds"


class Requests:
    """Answered requests by status, with how long they took in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[int] = Counter()
        self._seconds: Counter[int] = Counter()
        self._within: Counter[tuple[int, float]] = Counter()

    def count(self, status: int, seconds: float) -> None:
        with self._lock:
            self._counts[status] += 1
            self._seconds[status] += seconds  # type: ignore[assignment]  # a Counter adds up floats as well
            for bound in BOUNDS:
                self._within[status, bound] += seconds <= bound

    def exposition(self) -> str:
        lines = [f"# TYPE {REQUESTS} histogram"]
        with self._lock:
            for status, count in sorted(self._counts.items()):
                labels = f'handler="stand-in",method="GET",status_code="{status}"'
                lines += [f'{REQUESTS}_bucket{{{labels},le="{one}"}} {self._within[status, one]}' for one in BOUNDS]
                lines += [f'{REQUESTS}_bucket{{{labels},le="+Inf"}} {count}', f"{REQUESTS}_count{{{labels}}} {count}"]
                lines.append(f"{REQUESTS}_sum{{{labels}}} {self._seconds[status]}")
        return "\n".join(lines) + "\n"


def exposition(name: str, version: str, dashboards: int, requests: Requests) -> str:
    return f"""\
# HELP grafana_build_info Version of Grafana; this is the {name}.
# TYPE grafana_build_info gauge
grafana_build_info{{branch="stand-in",edition="oss",goversion="none",revision="stand-in",version="{version}"}} 1
# TYPE grafana_stat_totals_dashboard gauge
grafana_stat_totals_dashboard {dashboards}
# TYPE grafana_stat_active_users gauge
grafana_stat_active_users 0
{requests.exposition()}"""
