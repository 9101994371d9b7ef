# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Promtail, for tests where the real one is out of reach. It is not Promtail, and says so.

It refuses unknown flags, sections and stages as the real one does, and reads and sends what agent.py knows of.
"""

import pkgutil
import sys
from typing import Any

import yaml
from agent import Client, Config, Places, serve

SAYS = "promtail, version {version} (stand-in of opswatch.monitoring, not the real program)"
SECTIONS = {"global", "server", "client", "clients", "positions", "scrape_configs", "target_config", "limits_config"}
SECTIONS |= {"options", "tracing", "wal"}
STAGES = """
    docker cri decolorize drop eventlogmessage geoip json labeldrop labelallow labels limit logfmt match metrics
    multiline output pack regex replace sampling static_labels structured_metadata template tenant timestamp
"""
SWITCHES = {"version", "check-syntax", "dry-run", "inspect", "config.expand-env", "print-config-stderr"}
VALUES = {"config.file", "log.level", "client.external-labels", "server.http-listen-port"}
# Its pages want templates that it does not come with.
NO_PAGE = (500, "error reading base template: open /nonexistent/templates/_base.html: no such file or directory\n")
PAGES = {"/ready": (200, "Ready"), **dict.fromkeys(("/targets", "/service-discovery", "/config"), NO_PAGE)}


def refuse(message: str, code: int = 1) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


def read_flags(arguments: list[str]) -> dict[str, str]:
    found = {}
    for word in arguments:
        name, _, value = word.lstrip("-").partition("=")
        if name not in SWITCHES | VALUES:
            refuse(f"flag provided but not defined: -{name}\nRun with -help to get list of available parameters", 2)
        found[name] = value or "true"
    return found


def read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as handle:
            found: dict[str, Any] = yaml.safe_load(handle)
    except FileNotFoundError:
        refuse(f"Unable to parse config: {path} does not exist, set config.file for custom config path")
    except yaml.YAMLError as error:
        refuse(f"Unable to parse config: {path}: {error}")
    for section in set(found) - SECTIONS:
        refuse(f"Unable to parse config: {path}: yaml: field {section} not found in type main.Config")
    return found


def check(found: dict[str, Any]) -> None:
    """What the real one finds when it starts."""
    if not found.get("clients"):
        refuse("error creating promtail: at least one client config must be provided")
    for job in found["scrape_configs"]:
        for stage in job.get("pipeline_stages", []):
            if len(stage) != 1 or set(stage) - set(STAGES.split()):
                refuse(f"error creating promtail: failed to make file target manager: Unknown stage type: {stage}")


def config(found: dict[str, Any]) -> Config:
    files = {
        job["job_name"]: [group["labels"]["__path__"] for group in job["static_configs"]]
        for job in found["scrape_configs"]
        if "static_configs" in job
    }
    journals = [job["job_name"] for job in found["scrape_configs"] if "journal" in job]
    clients = [Client(one["url"], one.get("tls_config", {})) for one in found["clients"]]
    return Config(files, journals, clients, found["clients"][0].get("external_labels", {}))


def places(path: str) -> Places:
    def load() -> dict[str, str]:
        try:
            with open(path, encoding="utf-8") as handle:
                return dict((yaml.safe_load(handle) or {}).get("positions") or {})
        except FileNotFoundError:
            return {}

    def save(at: dict[str, str]) -> None:
        with open(path, "w", encoding="utf-8") as handle:
            yaml.safe_dump({"positions": at}, handle)

    return Places(load, save)


def main() -> None:
    version = (pkgutil.get_data("agent", "version.txt") or b"").decode().strip()
    flags = read_flags(sys.argv[1:])
    path = flags.get("config.file", "")
    found = read(path) if path else {}
    if "check-syntax" in flags:
        print("Valid config file! No syntax issues found")
        return
    if "version" in flags:
        print(SAYS.format(version=version))
        return
    check(found)
    address = (found["server"]["http_listen_address"], found["server"]["http_listen_port"])
    recorded = (pkgutil.get_data("agent", "metrics.tsv") or b"").decode()
    serve(address, lambda: config(read(path)), places(found["positions"]["filename"]), "promtail", recorded, PAGES)


if __name__ == "__main__":
    main()
