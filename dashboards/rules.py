# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which dashboard shows what an alert is about: the files of rules, and the names in them."""

from __future__ import annotations

from pathlib import Path

import yaml

from . import uids

FOLDER = Path(__file__).resolve().parents[1] / "roles/prometheus/files/rules"
RUNBOOKS = "https://github.com/opswatch/monitoring/blob/main/docs/runbooks"

# By the middle of the file's name.
SHOWN_ON = {
    "alertmanager": uids.MONITORING,
    "containers": uids.CONTAINERS,
    "grafana": uids.MONITORING,
    "hosts": uids.INFRASTRUCTURE,
    "log_agents": uids.MONITORING,
    "loki": uids.MONITORING,
    "objectives": uids.SERVICES,
    "postgresql": uids.DATABASE,
    "probes": uids.SERVICES,
    "prometheus": uids.MONITORING,
    "services": uids.SERVICES,
    "targets": uids.MONITORING,
    "traefik": uids.SERVICES,
}


# Alerts that are about something else than the others of their file.
BY_NAME = {"HostDown": uids.INFRASTRUCTURE}


def alerts_by_dashboard() -> dict[str, list[str]]:
    """The names of alerts by the UID of the dashboard that shows what they are about."""
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.glob("opswatch_*.yml")):
        topic = path.stem.removeprefix("opswatch_")
        if topic not in SHOWN_ON:
            raise LookupError(
                f"no dashboard is named for the alerts of {path.name}. What to do: add {topic} to SHOWN_ON in "
                f"{Path(__file__).name}"
            )
        rules = [rule for group in yaml.safe_load(path.read_text("utf-8"))["groups"] for rule in group["rules"]]
        for name in (rule["alert"] for rule in rules if "alert" in rule):
            found.setdefault(BY_NAME.get(name, SHOWN_ON[topic]), []).append(name)
    return {uid: sorted(names) for uid, names in found.items()}
