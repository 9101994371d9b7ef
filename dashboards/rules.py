# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which dashboard shows what an alert is about: each says it itself, in its annotation C(dashboard)."""

from __future__ import annotations

from pathlib import Path

import yaml

from . import uids

FOLDER = Path(__file__).resolve().parents[1] / "roles/prometheus/files/rules"
RUNBOOKS = "https://github.com/opswatch/monitoring/blob/main/docs/runbooks"
#: What the annotation has before the UID: the path in Grafana.
WAY = "/d/"


def alerts_by_dashboard() -> dict[str, list[str]]:
    """The names of alerts by the UID of the dashboard that shows what they are about."""
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.glob("opswatch_*.yml")):
        rules = [rule for group in yaml.safe_load(path.read_text("utf-8"))["groups"] for rule in group["rules"]]
        for rule in (rule for rule in rules if "alert" in rule):
            uid = str(rule["annotations"].get("dashboard", "")).removeprefix(WAY)
            if uid not in uids.TITLES:
                raise LookupError(
                    f"{path.name}: {rule['alert']} names no dashboard of ours. What to do: give it an annotation such "
                    f"as dashboard: {WAY}{uids.MONITORING}"
                )
            found.setdefault(uid, []).append(rule["alert"])
    return {uid: sorted(names) for uid, names in found.items()}
