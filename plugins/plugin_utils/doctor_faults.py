# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Why Prometheus does not scrape a target, by the words of its error, and what to do about it: a table."""

from __future__ import annotations

import typing as t

from ..module_utils._component_api import SAME_PASSWORD
from .scrape import COMPONENTS


class Fault(t.NamedTuple):
    """Why a target is not scraped. C(signs): words of its error; C(fix) may name its C({host}) and its C({job})."""

    signs: tuple[str, ...]
    cause: str
    fix: str


AGAIN = "site.yml --limit {host} --tags {job}"
# The first that fits. Of a job that is no component of ours the fix is that of its kind in SERVICE.
FAULTS = (
    Fault(
        ("connection refused",),
        "Nothing listens there: it does not run, listens on another address, or a firewall rejects it.",
        "systemctl status {job} on {host}; " + AGAIN + " starts it",
    ),
    Fault(
        ("401", "403"),
        "It expects another password than Prometheus sends.",
        SAME_PASSWORD,
    ),
    Fault(
        ("http response to https", "malformed http response", "does not look like a tls handshake"),
        "One side speaks TLS, and the other does not.",
        "run site.yml without --limit: monitoring_tls was changed for one side only",
    ),
    Fault(
        ("x509", "certificate", "tls:"),
        "Its certificate has ended, does not name this address, or is of an authority that Prometheus does not trust.",
        "run site.yml without --limit, which renews certificates; with monitoring_tls: own see docs/security.md",
    ),
    Fault(
        ("no such host", "server misbehaving"),
        "The Prometheus host does not find the name of this host.",
        "set monitoring_address of {host} to an address that the Prometheus host reaches, and run site.yml",
    ),
    Fault(
        ("no route to host", "network is unreachable", "i/o timeout"),
        "No packet comes back: the host is off, its address is wrong, or a firewall drops them.",
        "see that {host} runs and that monitoring_address is right; open the port for the Prometheus host",
    ),
    Fault(
        ("deadline exceeded", "timeout"),
        "It did not answer within the time of a scrape: the host is off, a firewall drops packets, or it is too slow.",
        "see that {host} runs and what its load is; open the port for the Prometheus host",
    ),
    Fault(
        ("limit", "body size"),
        "It exposes more than prometheus_limits allows, so that nothing of it is kept.",
        "find out which metric has so many series; if they are wanted: prometheus_job_limits: {{{job}: {{...}}}}",
    ),
    Fault(
        ("404",),
        "There is no such page: it serves its metrics elsewhere.",
        "correct path in monitoring_services; of a component: " + AGAIN,
    ),
    Fault(
        ("unsupported content-type", "start token", "unmarshal", "parse error", "data does not end"),
        "What answers there serves no metrics: another program has this port.",
        "see with ss -ltnp on {host} who has the port, and correct port or path in the inventory",
    ),
    Fault(("5",), "It fails by itself.", "journalctl -u {job} on {host}"),
)
UNKNOWN = Fault((), "", "ask that address from the Prometheus host with curl; docs/troubleshooting.md has more")
SERVICE = {
    "connection refused": "see on {host} that the service {job} runs, and that port in monitoring_services is right",
    "5": "look into the log of {job} on {host}",
    "401": "correct auth of {job} in monitoring_services of {host}, and run site.yml",
}


def explained(said: str, job: str) -> tuple[str, str]:
    """Cause and fix of what Prometheus says of a target that it could not scrape."""
    lowered = said.lower()
    if lowered.startswith("server returned http status "):
        lowered = lowered.removeprefix("server returned http status ")
        status = lowered[:3]
        fault = next(
            (one for one in FAULTS if status in one.signs or (status[:1] == "5" and "5" in one.signs)), UNKNOWN
        )
    else:
        fault = next((one for one in FAULTS if any(len(s) > 3 and s in lowered for s in one.signs)), UNKNOWN)
    service = SERVICE.get(fault.signs[0]) if fault.signs and job not in COMPONENTS else None
    return fault.cause, service or fault.fix
