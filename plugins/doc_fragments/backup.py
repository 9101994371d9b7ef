# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """Options that the modules of backups share."""

    DOCUMENTATION = r"""
options:
  repository:
    description: The repository, as restic writes it; a path is on the host.
    type: str
    required: true
  password:
    description: Password of the repository. Without it nothing can be restored, so keep a copy elsewhere.
    type: str
    required: true
  environment:
    description: Environment variables for restic, such as the credentials of an S3 bucket.
    type: dict
    default: {}
  host:
    description: The name of this host in the repository.
    type: str
    required: true
  textfile:
    description: File with the metrics of backups, for node_exporter. Its folder has to be there, or none is written.
    type: path
    default: /var/lib/node_exporter/textfile/opswatch_backup.static.prom
  timeout:
    description: The longest time that restic may take in all, in seconds.
    type: float
    default: 21600.0
  progress:
    description: Seconds after which it says how far it is, again and again. Zero for never.
    type: float
    default: 0.0
"""

    COMPONENTS = r"""
options:
  components:
    description: Only these; empty for all of this collection that are installed here.
    type: list
    elements: str
    default: []
  server_password:
    description: Password of the basic authentication of Prometheus and Alertmanager.
    type: str
"""
