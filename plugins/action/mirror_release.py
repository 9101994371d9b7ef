# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""M(opswatch.monitoring.mirror_release): all of it on the control node."""

from __future__ import annotations

import os
import typing as t
import urllib.parse

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system, sentence
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import mirror

ARGUMENT_SPEC: dict[str, t.Any] = {
    "folder": {"type": "path", "required": True},
    "release": {
        "type": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "base": {"type": "str", "required": True},
            "path": {"type": "str", "required": True},
            "checksum": {"type": "str", "default": ""},
            "checksums_path": {"type": "str", "default": ""},
            "mirror_lock": {"type": "str", "default": ""},
            "unpublished": {"type": "bool", "default": False},
        },
    },
    "keep_going": {"type": "bool", "default": False},
}

# The items of a loop are one process. A server that one of them could not reach is not waited for again by the others.
_UNREACHABLE: dict[str, str] = {}


class ActionModule(ActionBase):
    """One release, one file, one line in the lock."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, args = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        folder, release = os.path.abspath(args["folder"]), args["release"]
        why = mirror.look(folder, release["path"])
        if not why:
            return {"changed": False, "actions": [f"{release['name']} is there"], "bytes": 0}
        if self._task.check_mode:
            return {"changed": True, "actions": [f"would fetch {release['name']}: {why}"], "bytes": 0}
        server = urllib.parse.urlsplit(release["base"]).hostname or release["base"]
        if args["keep_going"] and server in _UNREACHABLE:
            return _missing(_UNREACHABLE[server])
        try:
            size, origin = mirror.fetch(folder, release)
        except (ComponentError, AnsibleError) as error:
            if not args["keep_going"]:
                raise AnsibleActionFail(f"{release['name']}: {error}") from None  # it has told of its cause
            if why := mirror.unreachable(error):
                return _missing(_UNREACHABLE.setdefault(server, f"{server} cannot be reached: {why}"))
            words = sentence(error.what, error.seen, "") if isinstance(error, ComponentError) else str(error)
            return _missing(f"{release['name']}: {words}")
        except OSError as error:
            raise AnsibleActionFail(str(from_system(f"{release['name']} could not be kept", error))) from error
        words = f"fetched {release['name']}, {size / 1e6:.1f} MB, verified against {origin}"
        return {"changed": True, "actions": [words], "bytes": size}


def _missing(why: str) -> dict[str, t.Any]:
    return {"changed": False, "skipped": True, "missing": why, "actions": [], "bytes": 0}
