# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that stand in for those that no registry has. Each says so in its name and its version."""
