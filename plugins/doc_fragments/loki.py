# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for Loki have in common: how it is reached, and where they run."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address under which the host that runs the module reaches Loki.
      - It is asked directly, never through a proxy out of the environment.
    type: str
    default: http://127.0.0.1:3100
  client_cert:
    description: File with our certificate, for a Loki that asks for one, on the host that runs the module.
    type: path
  client_key:
    description: File with the key of O(client_cert).
    type: path
  user:
    description: User of the basic authentication, where a proxy before Loki asks for it. Loki itself knows none.
    type: str
  password:
    description: Password of O(user).
    type: str
  tenant:
    description: The tenant, where Loki has several (C(auth_enabled)).
    type: str
  ca_path:
    description: File with the certificates of the authorities to trust, on the host that runs the module.
    type: path
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
notes:
  - Answers 429, 502 and 503 are asked again, with growing pauses or those that the server asks for.
"""
