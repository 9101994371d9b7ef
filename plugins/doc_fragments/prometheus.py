# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for Prometheus have in common: how it is reached, and where they run."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address under which the host that runs the module reaches Prometheus, with the path before its API, if any.
      - It is asked directly, never through a proxy out of the environment.
    type: str
    default: http://127.0.0.1:9090
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
    description: The name that the certificate is for, where it is not the one in O(url).
    type: str
  validate_certs:
    description: Whether the certificate of the server is checked.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for a connection, and for each answer.
    type: float
    default: 30.0
requirements:
  - requests, on the host that runs the module (C(python3-requests) of its distribution)
"""
