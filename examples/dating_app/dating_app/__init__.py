# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Dating application of the monitoring guide: ten services as one small instrumented program."""

import os

# Read by prometheus_client when it is imported: without this, each counter and histogram has a second series that
# only says when it was created.
os.environ.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "true")
