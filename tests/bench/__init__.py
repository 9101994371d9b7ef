# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev bench: this collection next to the same work as ordinary tasks, on booted hosts, with the real programs."""
