# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dashboards are called. Links and bookmarks rely on a UID, so none is ever changed."""

INFRASTRUCTURE = "opswatch-infrastructure"
SERVICES = "opswatch-services"
DATABASE = "opswatch-database"
CONTAINERS = "opswatch-containers"
LOGS = "opswatch-logs"
ALERTS = "opswatch-alerts"
MONITORING = "opswatch-monitoring"

TITLES = {
    INFRASTRUCTURE: "Infrastructure Overview",
    SERVICES: "Application Services",
    DATABASE: "Database Metrics",
    CONTAINERS: "Containers",
    LOGS: "Logs",
    ALERTS: "Alerts",
    MONITORING: "Monitoring Stack",
}
