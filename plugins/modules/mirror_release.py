#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_release
short_description: Fetches one release into a mirror on the control node
version_added: 0.1.0
description:
  - Fetches a release, verifies it, and notes its SHA-256 in C(releases.lock.yml) at the root of the mirror. One that is there as the
    lock says is not asked for. One whose download was cut off is gone on with, if the server can.
  - Runs on the control node. P(opswatch.monitoring.mirror_releases#filter) makes its options out of an inventory.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - action_common_attributes
  - action_common_attributes.flow
attributes:
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
  check_mode:
    description: Says what it would fetch, and why; asks nobody.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  platform:
    platforms: posix
options:
  folder:
    description: The mirror, a folder on the control node.
    type: path
    required: true
  release:
    description: The release.
    type: dict
    required: true
    suboptions:
      name:
        description: What it is called in messages.
        type: str
        required: true
      base:
        description: Scheme and host that it comes from.
        type: str
        required: true
      path:
        description: Its path there, and in the mirror.
        type: str
        required: true
      checksum:
        description: Its SHA-256, where the user's lock has it.
        type: str
        default: ""
      checksums_path:
        description: Path of the release's own checksum file.
        type: str
        default: ""
      mirror_lock:
        description: Address of a lock file at the source.
        type: str
        default: ""
      unpublished:
        description: Upstream publishes no checksum; what HTTPS brings holds from then on.
        type: bool
        default: false
  keep_going:
    description:
      - What cannot be fetched is skipped, and said in RV(missing), so that a loop can tell of all that is missing at its end. A server
        that could not be reached is not asked again in the same loop.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Fetch every release of the inventory
  opswatch.monitoring.mirror_release:
    folder: /srv/releases
    release: "{{ item }}"
  loop: "{{ groups | opswatch.monitoring.mirror_releases(hostvars, ['amd64']) }}"
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done, in words.
  type: list
  elements: str
  returned: success
missing:
  description: Why it could not be fetched.
  type: str
  returned: with O(keep_going), where it could not
bytes:
  description: How much was fetched.
  type: int
  returned: success
"""
