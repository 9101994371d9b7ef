# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for Grafana have in common: how it is reached, and where they run."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address under which the host that runs the module reaches Grafana, with its path behind a proxy if it has one.
      - It is asked directly, never through a proxy out of the environment.
    type: str
    default: http://127.0.0.1:3000
  user:
    description: Login of an account with the role Admin. Give this with O(password), or a token.
    type: str
  password:
    description: Password of O(user).
    type: str
  token:
    description: Token of a service account with the role Admin.
    type: str
  token_file:
    description: File on the host that runs the module, with the token in it.
    type: path
  ca_path:
    description: File with the certificates of the authorities to trust, on the host that runs the module.
    type: path
  server_name:
    description: Name that the certificate is for, if it is not that of the address.
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
notes:
  - Written for Grafana 9.3 to 13 by their documentation. Run on 9.3.2.
  - A wrong login is tried once only, as five of them lock the account for five minutes.
  - Answers 429, 502 and 503 are asked again, with growing pauses or those that the server asks for.
"""
