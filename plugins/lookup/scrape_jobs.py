# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: scrape_jobs
short_description: What Prometheus has to scrape, from the inventory
version_added: 0.1.0
description:
  - One job for each component whose group has hosts, and one for each name in C(monitoring_services) of any host, and in
    the further lists whose names begin with C(monitoring_services_).
  - C(probe) is the job of what the hosts of the group C(blackbox_exporter) probe. It has a target for each probe of each host.
  - C(instance) is the inventory name of the host. Targets are grouped so that each job becomes one file of file_sd.
author: opswatch.monitoring contributors (@opswatch)
options:
  _terms:
    description: Not used.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show what would be scraped
  ansible.builtin.debug:
    msg: "{{ query('opswatch.monitoring.scrape_jobs') }}"
"""

RETURN = r"""
_raw:
  description:
    - A map for each job with C(name), C(kind) (C(server), C(exporter), C(service), C(open) without a password, or C(mutual) by certificates),
      C(interval) (empty for components), C(scheme), C(path), C(auth) and C(targets), which is a list as file_sd has it.
  type: list
  elements: dict
"""

import multiprocessing
import typing as t

from ansible.plugins.lookup import LookupBase
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.probes import probe_jobs
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.scrape import scrape_jobs

Jobs = list[dict[str, t.Any]]


class LookupModule(LookupBase):
    # A worker of Ansible does one task for one host, which asks several times, and what it knows of the hosts stays the
    # same meanwhile: with 500 of them each answer takes a third of a second.
    _asked: t.ClassVar[tuple[t.Any, Jobs] | None] = None

    def run(self, terms: list[str] | None = None, variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> Jobs:
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        groups, hostvars = variables["groups"], variables["hostvars"]
        if self._asked and self._asked[0] is hostvars:
            return self._asked[1]
        jobs = scrape_jobs(groups, hostvars)
        jobs += probe_jobs(jobs, groups.get("all", []), hostvars)
        if multiprocessing.parent_process() is not None:
            LookupModule._asked = (hostvars, jobs)
        return jobs
