#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_plugins
short_description: Unpacks a set of Grafana's plugins from archives whose SHA-256 is right
version_added: 0.1.0
description:
  - A set is a folder of its own, made whole or not at all, which is never changed afterwards. The role grafana names it by what is in it, so
    each generation of Grafana keeps the plugins that it had.
  - Sets that nothing needs any more are removed by M(opswatch.monitoring.grafana_admin).
  - Grafana checks the signatures of plugins by itself when it starts.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Says what would be unpacked, and fetches nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  folder:
    description: The folder of the set. Others beside it are sets, too.
    type: path
    required: true
  plugins:
    description: The plugins of the set.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The plugin, as its C(plugin.json) calls it.
        type: str
        required: true
      url:
        description: Address of its archive.
        type: str
        required: true
      sha256:
        description: SHA-256 of the archive.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Have a plugin
  opswatch.monitoring.grafana_plugins:
    folder: /opt/opswatch/grafana/plugins/clocks
    plugins:
      - id: grafana-clock-panel
        url: https://mirror.example.com/grafana-clock-panel-2.1.3.zip
        sha256: "{{ clock_panel_sha256 }}"
"""

RETURN = r"""
actions:
  description: What was done, or would be done, in words.
  type: list
  elements: str
  returned: always
"""

import glob
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._install import install
from ansible_collections.opswatch.monitoring.plugins.module_utils._release import MARK, PARTIAL, Source

OPTIONS = {
    "id": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "sha256": {"type": "str", "required": True},
}
PROGRAM = "gpx_"  # what the names of programs of plugins begin with; a zip does not keep that they can be run


def unpack(plugin: dict[str, str], folder: str) -> None:
    """One plugin into a folder of its own."""
    base, _slash, name = plugin["url"].rpartition("/")
    target = f"{folder}/{plugin['id']}"
    source = Source(base, name, checksum=plugin["sha256"].lower(), programs=("plugin.json",))
    install(source, target)
    # Grafana holds every file of a plugin against its signature.
    _files.remove(f"{target}/{MARK}")
    os.chmod(f"{target}/plugin.json", 0o444)
    for path in glob.glob(f"{glob.escape(target)}/**/{PROGRAM}*", recursive=True):
        os.chmod(path, 0o555)
    found = (_files.read_json(f"{target}/plugin.json") or {}).get("id")
    if found != plugin["id"]:
        raise ComponentError(
            f"{plugin['url']} is not the plugin {plugin['id']}", f"its id is {found!r}", "correct id or url"
        )


def unpack_set(plugins: list[dict[str, str]], folder: str) -> None:
    home, name = os.path.split(folder)
    partial = f"{home}/{PARTIAL}{name}"
    _files.remove(partial)
    try:
        for plugin in plugins:
            unpack(plugin, partial)
        os.rename(partial, folder)
    finally:
        _files.remove(partial)
    _files.flush_folder(home)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "plugins": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS},
        },
        supports_check_mode=True,
    )
    plugins, folder = module.params["plugins"], module.params["folder"]
    would = "would " if module.check_mode else ""
    actions = []
    try:
        if not os.path.isdir(folder):
            if not module.check_mode:
                unpack_set(plugins, folder)
            names = ", ".join(plugin["id"] for plugin in plugins)
            actions.append(f"{would}{'unpack' if would else 'unpacked'} the plugins {names}")
    except (ComponentError, OSError) as error:
        module.fail_json(msg=str(error), actions=actions)
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
