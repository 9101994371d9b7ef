# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our dashboards, as code: a module for each, and what they share written once. C(python -m dashboards) writes them."""
