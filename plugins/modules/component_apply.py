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
      names:
        description: What programs are called in the archive, for each architecture, where it is not as here.
        type: dict
        default: {}
      unpublished:
        description: Upstream publishes no checksum, so that of what HTTPS brings is returned, to be recorded.
        type: bool
        default: false
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
      cert:
        description: File on this host with our own certificate, for a component that asks for one.
        type: str
        default: ""
      key:
        description: File on this host with the key of O(ready.cert).
        type: str
        default: ""
      progress:
        description: A path whose answer changes while a long start moves on.
        type: str
        default: ""
      progress_lines:
        description: Regular expression of how the lines of that answer begin that tell of it. All of them if it is empty.
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
others:
  description: The other components of this collection that are on the host.
  type: list
  elements: str
  returned: always
before:
  description: Earlier content, compressed by zlib and as base64, of every file that changed. Absent for files that are new and for secrets.
  type: list
  elements: dict
  returned: success
learned_checksum:
  description: The path of a release for which upstream publishes no checksum, and the SHA-256 of what is installed.
  type: dict
  returned: when O(release.unpublished=true) and no checksum was given
archive_wanted:
  description: The release that has to be pushed before anything can be done. Nothing was changed.
  type: dict
  returned: when O(release.base=none), the release is not there and no archive was pushed
"""

import base64
import os
import typing as t
import zlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _generations, _service
from ansible_collections.opswatch.monitoring.plugins.module_utils._arguments import ARGUMENT_SPEC, build
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError, from_system
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._observe import observe
from ansible_collections.opswatch.monitoring.plugins.module_utils._plan import Observed, Plan, plan
from ansible_collections.opswatch.monitoring.plugins.module_utils._recovery import first_need
from ansible_collections.opswatch.monitoring.plugins.module_utils._release import installed_checksum
from ansible_collections.opswatch.monitoring.plugins.module_utils._spec import Spec
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import Transaction, lock

PUSHED = "none"
MAX_DIFF_SIZE = 1 << 18


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
    layout = Layout(module.params["name"])
    actions: list[str] = []
    spec = None
    try:
        if os.geteuid() != 0:
            raise ComponentError(
                f"{layout.name} can only be changed by root",
                f"this ran as uid {os.geteuid()}",
                "run the play with become: true (or as root)",
            )
        spec, packages = build(module.params)
        if module.check_mode:
            result = look(layout, spec, packages)
        else:
            with lock(layout):
                result = apply(layout, spec, packages, actions)
    except (ComponentError, OSError) as error:
        if isinstance(error, OSError):
            error = from_system(f"the host cannot be looked at or prepared for {layout.name}", error)
        module.fail_json(msg=str(error), actions=actions, others=layout.others(), **learned(layout, spec))
    for warning in result.pop("foreign", []):
        module.warn(warning)
    module.exit_json(**result, others=layout.others(), **({} if module.check_mode else learned(layout, spec)))


def learned(layout: Layout, spec: Spec | None) -> dict[str, t.Any]:
    """The checksum of what was installed without one, also by a run that failed later: it holds from now on."""
    if spec is None or not spec.source.unpublished or spec.source.checksum:
        return {}
    checksum = installed_checksum(layout.release(spec.desired.version))
    return {"learned_checksum": {"path": spec.source.path, "sha256": checksum}} if checksum else {}


def look(layout: Layout, spec: Spec, packages: tuple[str, ...]) -> dict[str, t.Any]:
    """What a run would do."""
    observed = observe(layout, spec.desired, spec.programs, packages)
    if (need := first_need(layout, spec, observed)) is not None:
        made, to_do = Plan(), [need.to_do, "look at the host again, and go on from there"]
    else:
        made = planned(spec, observed)
        to_do = [step.words(done=False) for step in made.steps]
    return {
        "changed": bool(to_do),
        "actions": [f"would {words}" for words in to_do],
        "before": before(layout, observed, made),
        "generation": made.number or (observed.current.number if observed.current else None),
        "foreign": list(made.warnings),
        **changes(observed, made),
    }


def planned(spec: Spec, observed: Observed) -> Plan:
    made = plan(spec.desired, observed)
    if made.steps and spec.desired.state == "present":
        _service.check_version()  # here, because a host that is right is not asked
    return made


def apply(layout: Layout, spec: Spec, packages: tuple[str, ...], actions: list[str]) -> dict[str, t.Any]:
    observed = observe(layout, spec.desired, spec.programs, packages)
    while (need := first_need(layout, spec, observed)) is not None:
        need.act()
        actions.append(need.done)
        observed = observe(layout, spec.desired, spec.programs, packages)
    made = planned(spec, observed)
    source = spec.source
    if source.base == PUSHED and not source.pushed and "release" in made.kinds():
        wanted = {"path": source.path, "checksums": source.checksums_path}
        return {"changed": bool(actions), "archive_wanted": wanted, "actions": actions}
    earlier = before(layout, observed, made)
    Transaction(layout, spec, observed, made, actions).run()
    return {
        "changed": bool(actions),
        "actions": actions,
        "before": earlier,
        "generation": _generations.current_number(layout),
        "foreign": list(made.warnings),
        **changes(observed, made),
    }


if __name__ == "__main__":
    main()
