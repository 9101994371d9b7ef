#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component_apply
short_description: Brings one component on this host to a rendered state, as one transaction
version_added: 0.1.0
description:
  - The part of M(opswatch.monitoring.component) that runs on the host. It compares, plans and applies in one call.
  - Use M(opswatch.monitoring.component), which renders templates, flags and the unit, and then calls this module.
    Call this one directly only when everything is rendered already.
  - Runs on Python 3.9 and later with nothing but the standard library, as root, where systemd runs.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Predicts every step, also on an empty host; fetches nothing and writes nothing.
    support: full
  diff_mode:
    description: Returns the earlier content of every file that changes; M(opswatch.monitoring.component) makes a diff of it.
    support: partial
    details: The new content is known to the caller already.
options:
  name:
    description: The component; its unit, account and folders are called like it.
    type: str
    required: true
  state:
    description: Whether the component runs here or is removed.
    type: str
    choices: [present, absent]
    default: present
  version:
    description: Version of the release.
    type: str
    default: ""
  release:
    description: Where the release comes from.
    type: dict
    default: {}
    suboptions:
      base:
        description: Scheme and host of upstream, or of the mirror. V(none) where archives are pushed from the control node.
        type: str
        default: ""
      paths:
        description: Path below O(release.base), for each architecture (V(amd64), V(arm64)).
        type: dict
        default: {}
      checksum_paths:
        description: Path of the release's own checksum file, for each architecture.
        type: dict
        default: {}
      checksums:
        description: SHA-256 of the archive by architecture, where a lock file on the control node states it.
        type: dict
        default: {}
      mirror_lock:
        description: Address of the lock file at the mirror's root.
        type: str
        default: ""
      archive:
        description: The archive, where it was pushed to this host already.
        type: path
      programs:
        description: Programs in the archive that get a link in C(/usr/local/bin). The first is the one that the unit runs.
        type: list
        elements: str
        default: []
  files:
    description: Every file that the component wants. Own files that are no longer listed are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Relative path within its place.
        type: str
        required: true
      place:
        description:
          - V(config) belongs to a generation, C(/etc/<name>) leads to it.
          - V(live) is re-read by the program at any time, C(/etc/<name>/live).
          - V(secret) stays outside the generations, C(/etc/<name>/secrets).
        type: str
        choices: [config, live, secret]
        default: config
      content:
        description: The content, as base64.
        type: str
        required: true
      mode:
        description: Permissions, octal.
        type: str
        default: "0640"
      on_change:
        description: What the service needs when the file changes.
        type: str
        choices: [nothing, reload, restart]
        default: restart
  unit:
    description: Text of the systemd unit, as base64.
    type: str
    default: ""
  flag_check:
    description: Arguments with which the program checks its own flags and exits.
    type: list
    elements: str
    default: []
  validate:
    description: Commands that must accept the staged configuration, run in its folder. C({release}) is the release's folder.
    type: list
    elements: list
    default: []
  can_reload:
    description: Whether C(systemctl reload) makes the program read its configuration again.
    type: bool
    default: false
  reload_metrics:
    description: Prefix of the C(_config_last_reload_) metrics that prove a reload.
    type: str
    default: ""
  ready:
    description: Where the component answers when it is ready.
    type: dict
    suboptions:
      base:
        description: Scheme, host and port, and route prefix.
        type: str
        required: true
      path:
        description: The readiness path.
        type: str
        default: /-/ready
      expect:
        description: Regular expression that the answer has to hold, where a 200 alone does not say it.
        type: str
        default: ""
      user:
        description: User of the basic authentication.
        type: str
        default: ""
      password:
        description: Password of the basic authentication.
        type: str
        default: ""
      ca:
        description: File on this host with the authority that signed the component's certificate.
        type: str
        default: ""
      server_name:
        description: The name in the component's certificate.
        type: str
        default: ""
      progress:
        description: A path whose answer changes while a long start moves on.
        type: str
        default: ""
  ready_timeout:
    description: Longest time in seconds without any progress until the component counts as not ready.
    type: int
    default: 600
  data:
    description: What to keep when a version changes the format of the data.
    type: dict
    suboptions:
      immutable:
        description: Patterns of entries of the data folder whose files never change; they are hard-linked.
        type: list
        elements: str
        default: []
      breaking_versions:
        description: Versions from which on the data cannot be read by earlier ones.
        type: list
        elements: str
        default: []
  packages:
    description: Units that packages of the operating system use for the same program.
    type: list
    elements: str
    default: []
  generations:
    description: How many generations stay, the current one included.
    type: int
    default: 3
  adopt:
    description: Take over what somebody else installed.
    type: bool
    default: false
  allow_downgrade:
    description: Allow a version below the installed one.
    type: bool
    default: false
  remove_data:
    description: With O(state=absent), remove the data too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Remove node_exporter
  opswatch.monitoring.component_apply:
    name: node_exporter
    state: absent
    release:
      programs: [node_exporter]
"""

RETURN = r"""
actions:
  description: What was done, or would be done, in words and in order.
  type: list
  elements: str
  returned: always
generation:
  description: Number of the generation in force. In check mode, the number that a new one would get.
  type: int
  returned: when there is one
effect:
  description: What the service was asked.
  type: str
  returned: success
before:
  description: Earlier content, compressed by zlib and as base64, of every file that changed. Absent for files that are new and for secrets.
  type: list
  elements: dict
  returned: success
archive_wanted:
  description: The release that has to be pushed before anything can be done. Nothing was changed.
  type: dict
  returned: when O(release.base=none), the release is not there and no archive was pushed
"""

import base64
import os
import re
import typing as t
import zlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _generations
from ansible_collections.opswatch.monitoring.plugins.module_utils._data import Data, interrupted
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._observe import observe
from ansible_collections.opswatch.monitoring.plugins.module_utils._plan import (
    Desired,
    File,
    Observed,
    Plan,
    older,
    plan,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._ready import Endpoint
from ansible_collections.opswatch.monitoring.plugins.module_utils._release import Source, architecture
from ansible_collections.opswatch.monitoring.plugins.module_utils._spec import Spec
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import Transaction, lock
from ansible_collections.opswatch.monitoring.plugins.module_utils._way_back import resume

PUSHED = "none"
MAX_DIFF_SIZE = 1 << 18

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "version": {"type": "str", "default": ""},
    "release": {
        "type": "dict",
        "default": {},
        "options": {
            "base": {"type": "str", "default": ""},
            "paths": {"type": "dict", "default": {}},
            "checksum_paths": {"type": "dict", "default": {}},
            "checksums": {"type": "dict", "default": {}},
            "mirror_lock": {"type": "str", "default": ""},
            "archive": {"type": "path"},
            "programs": {"type": "list", "elements": "str", "default": []},
        },
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "place": {"type": "str", "choices": ["config", "live", "secret"], "default": "config"},
            "content": {"type": "str", "required": True, "no_log": True},
            "mode": {"type": "str", "default": "0640"},
            "on_change": {"type": "str", "choices": ["nothing", "reload", "restart"], "default": "restart"},
        },
    },
    "unit": {"type": "str", "default": ""},
    "flag_check": {"type": "list", "elements": "str", "default": []},
    "validate": {"type": "list", "elements": "list", "default": []},
    "can_reload": {"type": "bool", "default": False},
    "reload_metrics": {"type": "str", "default": ""},
    "ready": {
        "type": "dict",
        "options": {
            "base": {"type": "str", "required": True},
            "path": {"type": "str", "default": "/-/ready"},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "ca": {"type": "str", "default": ""},
            "server_name": {"type": "str", "default": ""},
            "progress": {"type": "str", "default": ""},
            "expect": {"type": "str", "default": ""},
        },
    },
    "ready_timeout": {"type": "int", "default": 600},
    "data": {
        "type": "dict",
        "options": {
            "immutable": {"type": "list", "elements": "str", "default": []},
            "breaking_versions": {"type": "list", "elements": "str", "default": []},
        },
    },
    "packages": {"type": "list", "elements": "str", "default": []},
    "generations": {"type": "int", "default": 3},
    "adopt": {"type": "bool", "default": False},
    "allow_downgrade": {"type": "bool", "default": False},
    "remove_data": {"type": "bool", "default": False},
}


def build(params: t.Mapping[str, t.Any]) -> tuple[Spec, tuple[str, ...]]:
    """The typed description that the engine works with, and the units of packages."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", params["name"]):
        raise ComponentError(f"{params['name']!r} cannot name a component", "", "use a-z, 0-9 and _")
    for file in params["files"]:
        if os.path.isabs(file["path"]) or ".." in file["path"].split("/"):
            raise ComponentError(
                f"the file {file['path']} is not inside its place", "", "use a relative path without .."
            )
    contents = {(f["place"], f["path"]): base64.b64decode(f["content"]) for f in params["files"]}
    files = tuple(
        File(f["place"], f["path"], _files.sha256(contents[f["place"], f["path"]]), int(f["mode"], 8), f["on_change"])
        for f in params["files"]
    )
    unit = base64.b64decode(params["unit"]).decode()
    validators = tuple(tuple(str(word) for word in words) for words in params["validate"])
    release, data = params["release"], params["data"]
    arch = architecture()
    desired = Desired(
        name=params["name"],
        state=params["state"],
        version=params["version"],
        files=files,
        unit=_files.sha256(unit.encode()),
        main_program=(release["programs"] or [params["name"]])[0],
        validators=tuple(" ".join(words).replace("{release}/", "") for words in validators),
        breaking_versions=tuple(data["breaking_versions"]) if data else (),
        can_reload=params["can_reload"],
        keep=params["generations"],
        adopt=params["adopt"],
        allow_downgrade=params["allow_downgrade"],
        remove_data=params["remove_data"],
    )
    source = Source(
        base=release["base"],
        path=release["paths"].get(arch, ""),
        checksum=release["checksums"].get(arch, ""),
        mirror_lock=release["mirror_lock"],
        checksums_path=release["checksum_paths"].get(arch, ""),
        pushed=release["archive"] or "",
        programs=tuple(release["programs"]),
    )
    spec = Spec(
        desired=desired,
        contents=contents,
        unit=unit,
        source=source,
        flag_check=tuple(params["flag_check"]),
        validators=validators,
        endpoint=Endpoint(**params["ready"]) if params["ready"] else None,
        reload_metrics=params["reload_metrics"],
        ready_timeout=params["ready_timeout"],
        data=Data(tuple(data["immutable"])) if data else None,
    )
    return spec, tuple(params["packages"])


def before(layout: Layout, observed: Observed, made: Plan) -> list[dict[str, str]]:
    """What stands where something will change, for the diff; secrets are left out."""
    paths = [
        ("unit", layout.unit_name, layout.unit),
        *((place, path, os.path.join(layout.place(place), path)) for place, path in made.changed + made.removed),
    ]
    found = []
    for place, path, absolute in paths:
        content = _files.read_bytes(absolute) if place != "secret" and os.path.exists(absolute) else None
        if content is not None and len(content) <= MAX_DIFF_SIZE:
            # Compressed: as it is, it may be equal to the content of a file that is wanted, and be censored like that.
            packed = base64.b64encode(zlib.compress(content)).decode()
            found.append({"place": place, "path": path, "content": packed})
    return found


def changes(observed: Observed, made: Plan) -> dict[str, t.Any]:
    """The facts of a plan that the caller turns into a diff."""
    return {
        "changed_files": [[*key, key in observed.files] for key in made.changed],
        "removed_files": [list(key) for key in made.removed],
        "version_before": observed.current.version if observed.current else "",
        "effect": "start" if "start" in made.kinds() else made.effect,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    actions: list[str] = []
    try:
        if os.geteuid() != 0:
            raise ComponentError(
                f"{module.params['name']} can only be changed by root",
                f"this ran as uid {os.geteuid()}",
                "run the play with become: true (or as root)",
            )
        spec, packages = build(module.params)
        layout = Layout(module.params["name"])
        if module.check_mode:
            result = look(layout, spec, packages)
        else:
            with lock(layout):
                result = apply(layout, spec, packages, actions)
    except ComponentError as error:
        module.fail_json(msg=str(error), actions=actions)
    for warning in result.pop("foreign", []):
        module.warn(warning)
    module.exit_json(**result)


def look(layout: Layout, spec: Spec, packages: tuple[str, ...]) -> dict[str, t.Any]:
    """What a run would do."""
    observed = observe(layout, spec.desired, spec.programs, packages)
    made = plan(spec.desired, observed)
    return {
        "changed": bool(made.steps),
        "actions": [f"would {step.words(done=False)}" for step in made.steps],
        "before": before(layout, observed, made),
        "generation": made.number or (observed.current.number if observed.current else None),
        "foreign": list(made.warnings),
        **changes(observed, made),
    }


def unfinished_way_back(layout: Layout, spec: Spec, observed: Observed) -> int | None:
    """The generation that has to serve again before anything else is planned.

    A run was killed while it put data back, or an upgrade was killed and the earlier version is wanted again.
    """
    number = interrupted(layout.data)
    if number is not None and number.isdigit() and int(number) in observed.committed:
        return int(number)
    unproven = observed.current is not None and not observed.current.committed
    if unproven and spec.desired.state == "present" and older(spec.desired.version, observed.current.version):
        return observed.fallback
    return None


def apply(layout: Layout, spec: Spec, packages: tuple[str, ...], actions: list[str]) -> dict[str, t.Any]:
    observed = observe(layout, spec.desired, spec.programs, packages)
    if (back := unfinished_way_back(layout, spec, observed)) is not None:
        actions.append(resume(layout, back, spec.endpoint.password if spec.endpoint else "", spec.ready_timeout))
        observed = observe(layout, spec.desired, spec.programs, packages)
    made = plan(spec.desired, observed)
    source = spec.source
    if source.base == PUSHED and not source.pushed and "release" in made.kinds():
        wanted = {"path": source.path, "checksums": source.checksums_path}
        return {"changed": False, "archive_wanted": wanted, "actions": []}
    earlier = before(layout, observed, made)
    Transaction(layout, spec, observed, made, actions).run()
    return {
        "changed": bool(made.steps),
        "actions": actions,
        "before": earlier,
        "generation": _generations.current_number(layout),
        "foreign": list(made.warnings),
        **changes(observed, made),
    }


if __name__ == "__main__":
    main()
