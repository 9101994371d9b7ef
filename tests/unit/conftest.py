# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes C(ansible_collections.opswatch.monitoring) importable from the checkout."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

# Ansible's own finder and not sys.path: with it the plugin loaders know the collection too, so that a test may run an
# action plugin as ansible-playbook would. Once per process, hence at import.
init_plugin_loader([str(Path(__file__).resolve().parents[2] / "collections")])
