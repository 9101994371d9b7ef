#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Installs, changes or removes one component of a monitoring stack, as one transaction
version_added: 0.1.0
description:
  - A component is described by data. This action renders it on the control node and changes the host in one remote call.
    Stage, validate, activate, reload or restart, prove ready, commit. On any failure the earlier generation serves again.
  - Needs root on the host and systemd 250 or later there.
  - The roles of this collection call it; call it yourself for a component of your own.
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
    description: Predicts every step, also on an empty host. Fetches nothing and writes nothing, no secret either.
    support: full
  diff_mode:
    description: Shows every file, the unit and the version. Secrets, and values that look like one, are hidden.
    support: full
  platform:
    platforms: linux
options:
  name:
    description: The component. Its unit, account and folders are called like it.
    type: str
    required: true
  state:
    description: Whether the component runs on the host or is removed. Its data stays unless O(remove_data) is true.
    type: str
    choices: [present, absent]
    default: present
  version:
    description: The version to run.
    type: str
    required: true
  release:
    description: Where releases come from. C({version}) and C({arch}) (V(amd64) or V(arm64)) are filled in.
    type: dict
    required: true
    suboptions:
      host:
        description: Scheme and host of upstream.
        type: str
        default: https://github.com
      path:
        description: Path of the archive, or of the bare program, below the host.
        type: str
        required: true
      checksums:
        description: Path of the release's own file of SHA-256 sums.
        type: str
      programs:
        description: Programs in the archive that get a link in C(/usr/local/bin). The first is checked for its flags.
        type: list
        elements: str
        required: true
      names:
        description:
          - What upstream calls a program, by its name here, where the two differ. C({version}) and C({arch}) are filled in.
          - Where that differs between versions it is a map, from the version that begins it to the name.
          - One in a folder of the archive (V(bin/grafana)) stays there, and gets a link.
          - An O(release.path) that ends like no archive is taken for the program itself.
        type: dict
        default: {}
      unpublished_checksum:
        description:
          - Upstream publishes no SHA-256 of this release. Then it is taken over HTTPS once (or from a mirror that is a
            folder), recorded in O(lock), and enforced from then on.
        type: bool
        default: false
  mirror:
    description:
      - What stands in for O(release.host), as a URL that the host fetches from, or as a folder on the control node,
        from which archives are pushed.
    type: str
  lock:
    description: File on the control node with the SHA-256 of releases, as a map from the path below the host.
    type: path
  files:
    description: Every file that the component wants. An own file that is no longer listed is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Relative path within its place. With several files (O(files[].contents), O(files[].copy)) what stands before their names.
        type: str
        required: true
      place:
        description:
          - V(config) is part of a generation, C(/etc/<name>) leads to it.
          - V(live) is re-read by the program at any time and never moves, C(/etc/<name>/live).
          - V(secret) stays outside the generations and is never shown, C(/etc/<name>/secrets).
        type: str
        choices: [config, live, secret]
        default: config
      template:
        description: A Jinja template of the role.
        type: str
      content:
        description: The content, as a text or as data that becomes YAML.
        type: raw
      contents:
        description: Several files, as a map from the name to the content.
        type: dict
      copy:
        description: Files on the control node that are taken as they are.
        type: list
        elements: path
      merge:
        description: Settings that are merged over the content, which has to be YAML then.
        type: dict
        default: {}
      mode:
        description: Permissions, octal. The owner is root, the group that of the component.
        type: str
        default: "0640"
      on_change:
        description: What the service needs when the file changes.
        type: str
        choices: [nothing, reload, restart]
        default: restart
  arguments:
    description: What follows the program before its flags, such as a subcommand.
    type: list
    elements: str
    default: []
  flags:
    description: Flags by name. Booleans switch, a list repeats, null leaves a flag out.
    type: dict
    default: {}
  flag_style:
    description: V(kingpin) writes C(--name) and C(--no-name), V(go) writes C(-name=true) and C(-name=false).
    type: str
    choices: [kingpin, go]
    default: kingpin
  version_flag:
    description: The flag with which the program says its version and ends. With it behind all others, they are checked.
    type: str
    default: --version
  unit:
    description: Settings by section, one map after the other over the hardened base. Null takes a setting out.
    type: list
    elements: dict
    default: []
  validate:
    description:
      - Commands that must accept the staged configuration. They run in its folder as the component's account.
      - C({release}) is the folder of the release.
    type: list
    elements: list
    default: []
  reload_metrics:
    description: Prefix of the metrics C(_config_last_reload_successful) and C(_config_last_reload_success_timestamp_seconds), which prove a reload.
    type: str
  ready:
    description: Where the component answers when it is ready. Asked on the host itself.
    type: dict
    suboptions:
      address:
        description: The address that the component listens on, as host and port.
        type: str
        required: true
      scheme:
        description: Scheme of the address.
        type: str
        choices: [http, https]
        default: http
      prefix:
        description: Path before all others.
        type: str
        default: ""
      path:
        description: Path that answers 200 when the component is ready.
        type: str
        default: /-/ready
      expect:
        description: Regular expression that the answer has to hold, where a 200 alone does not say it.
        type: str
        default: ""
      progress:
        description: Path whose answer changes while a long start moves on.
        type: str
        default: ""
      progress_lines:
        description: Regular expression of how the lines of that answer begin that tell of it. All of them if it is empty.
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
        description: File on the host with the authority to trust, relative to C(/etc/<name>).
        type: str
        default: ""
      server_name:
        description: Name in the certificate.
        type: str
        default: ""
      cert:
        description: File on the host with our own certificate, for a component that asks for one, relative to C(/etc/<name>).
        type: str
        default: ""
      key:
        description: File on the host with the key of O(ready.cert), relative to C(/etc/<name>).
        type: str
        default: ""
  ready_timeout:
    description: Longest time in seconds without any progress until the component counts as not ready.
    type: int
    default: 600
  data:
    description: What to keep while a version changes the format of the data in C(/var/lib/<name>).
    type: dict
    suboptions:
      immutable:
        description: Patterns of entries whose files never change once written. They are hard-linked, everything else is copied.
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
    description: How many generations stay, the current one included. One to go back to always stays.
    type: int
    default: 3
  adopt:
    description: Take over what somebody else installed. Their files are moved to C(/var/lib/opswatch/<name>/adopted), their unit is stopped.
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
seealso:
  - module: opswatch.monitoring.component_apply
  - module: opswatch.monitoring.second_look
"""

EXAMPLES = r"""
- name: An exporter of your own
  opswatch.monitoring.component:
    name: blackbox_exporter
    version: 0.28.0
    release:
      path: prometheus/blackbox_exporter/releases/download/v{version}/blackbox_exporter-{version}.linux-{arch}.tar.gz
      checksums: prometheus/blackbox_exporter/releases/download/v{version}/sha256sums.txt
      programs: [blackbox_exporter]
    files:
      - path: blackbox.yml
        content:
          modules:
            http_2xx:
              prober: http
        on_change: reload
    flags:
      config.file: /etc/blackbox_exporter/blackbox.yml
      web.listen-address: 127.0.0.1:9115
    unit:
      - Service:
          ExecReload: /bin/kill -HUP $MAINPID
    reload_metrics: blackbox_exporter
    ready:
      address: 127.0.0.1:9115
      path: /-/healthy
"""

RETURN = r"""
actions:
  description: What was done, or would be done, in words and in order.
  type: list
  elements: str
  returned: always
  sample:
    - wrote prometheus.yml
    - checked the flags with prometheus
    - validated with promtool check config prometheus.yml
    - activated generation 7
    - reloaded prometheus.service
    - proved that prometheus is ready
    - committed generation 7
generation:
  description: Number of the generation in force. In check mode, the number that a new one would get.
  type: int
  returned: when there is one
effect:
  description: What the service was asked.
  type: str
  returned: success
  sample: reload
others:
  description: The other components of this collection that are on the host.
  type: list
  elements: str
  returned: always
"""
