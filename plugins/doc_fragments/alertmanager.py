# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for Alertmanager have in common: how it is reached, and where they run."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  urls:
    description:
      - Addresses under which the host that runs the module reaches the members of the cluster, each with its path if it
        has one.
      - They are asked in this order, and the first that answers does the work. What one member knows it tells the
        others.
      - They are asked directly, never through a proxy out of the environment.
    type: list
    elements: str
    aliases: [url]
    default: ["http://127.0.0.1:9093"]
  user:
    description: User of the basic authentication.
    type: str
  password:
    description: Password of O(user).
    type: str
  ca_path:
    description: File with the certificates of the authorities to trust, on the host that runs the module.
    type: path
  server_name:
    description: Name that the certificate of the first of O(urls) is for, if it is not that of its address.
      A host asks itself first.
    type: str
  validate_certs:
    description: Whether the certificate of the server is checked.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for a connection, and for each answer.
    type: float
    default: 10.0
requirements:
  - requests, on the host that runs the module (C(python3-requests) of its distribution)
notes:
  - Run on Alertmanager 0.25, 0.28 and 0.33.
  - Answers 429, 502 and 503 are asked again, with growing pauses or those that the server asks for.
"""
