# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test hosts, real programs and the commands behind ./dev. Start it with ./dev, which prepares the machine."""
