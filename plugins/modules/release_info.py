#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tells whether this host can fetch releases, without fetching them
version_added: 0.1.0
description:
  - Asks for the archive of each release and reads no more than the head of the answer, then looks its checksum up, exactly as
    M(opswatch.monitoring.component) would. Writes nothing.
  - Once an address does not answer at all, it is not asked again for the other releases.
  - M(opswatch.monitoring.preflight) calls it on hosts that lack a release.
author: opswatch.monitoring contributors (@opswatch)
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  releases:
    description: The releases to ask for.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The component.
        type: str
        required: true
      base:
        description: Scheme and host, or the mirror.
        type: str
        required: true
      path:
        description: Path of the archive below O(releases[].base).
        type: str
        required: true
      checksum:
        description: SHA-256 of the archive, where it is known already.
        type: str
        default: ""
      checksums_path:
        description: Path of the release's own file of SHA-256 sums, below O(releases[].base).
        type: str
        default: ""
      mirror_lock:
        description: Address of the lock of a mirror.
        type: str
        default: ""
      unpublished:
        description: Whether upstream publishes no checksum, so that what HTTPS brings is taken as it is.
        type: bool
        default: false
seealso:
  - module: opswatch.monitoring.component_apply
"""

EXAMPLES = r"""
- name: See whether this host reaches a release
  opswatch.monitoring.release_info:
    releases:
      - name: node_exporter
        base: https://github.com
        path: prometheus/node_exporter/releases/download/v1.11.1/node_exporter-1.11.1.linux-amd64.tar.gz
        checksums_path: prometheus/node_exporter/releases/download/v1.11.1/sha256sums.txt
"""

RETURN = r"""
releases:
  description: What was seen of each release, in the order in which they were asked for.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The component.
      type: str
    url:
      description: Address of the archive, without a password that may be in it.
      type: str
    size:
      description: Size of the archive in bytes; 0 where it is not known.
      type: int
    problems:
      description: Why it cannot be installed, as a list of maps with V(what), V(seen) and V(remedy).
      type: list
      elements: dict
"""

import typing as t
import urllib.error

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opswatch.monitoring.plugins.module_utils import _release
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError

OPTIONS = {
    "name": {"type": "str", "required": True},
    "base": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "checksum": {"type": "str", "default": ""},
    "checksums_path": {"type": "str", "default": ""},
    "mirror_lock": {"type": "str", "default": ""},
    "unpublished": {"type": "bool", "default": False},
}


def ask_archive(source: _release.Source) -> int:
    """Bytes of the archive, of whose answer only the head is read; 0 where it does not say."""
    try:
        with _release._open(source.url) as response:
            return int(response.headers.get("Content-Length") or 0)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in (404, 410):
            raise _release._unreachable(source.url, error) from error
        raise ComponentError(
            f"{_release.shown(source.url)} does not exist",
            f"HTTP {error.code}",
            "correct the version, or put the release into the mirror",
        ) from error
    except _release.FETCH_ERRORS as error:
        raise _release._unreachable(source.url, error) from error


def is_silence(error: ComponentError) -> bool:
    """Whether there was no answer at all: asking the same address again would only wait once more."""
    return isinstance(error.__cause__, _release.FETCH_ERRORS) and not isinstance(
        error.__cause__, urllib.error.HTTPError
    )


def look(name: str, source: _release.Source, silent: set[str]) -> dict[str, t.Any]:
    """What is seen of one release. C(silent): bases that did not answer, which this may add to."""
    seen: dict[str, t.Any] = {"name": name, "url": _release.shown(source.url), "size": 0, "problems": []}
    if source.base in silent:
        return seen
    try:
        seen["size"] = ask_archive(source)
        _release.find_checksum(source)
    except ComponentError as error:
        seen["problems"] = [{"what": error.what, "seen": error.seen, "remedy": error.remedy}]
        if is_silence(error):
            silent.add(source.base)
    return seen


def main() -> None:
    module = AnsibleModule(
        argument_spec={"releases": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS}},
        supports_check_mode=True,
    )
    silent: set[str] = set()
    answers = []
    for wish in module.params["releases"]:
        place = {key: value for key, value in wish.items() if key != "name"}
        answers.append(look(wish["name"], _release.Source(**place), silent))
    module.exit_json(changed=False, releases=answers)


if __name__ == "__main__":
    main()
