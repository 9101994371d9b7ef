# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""systemd units: one hardened base for every component, which a component relaxes by naming what it needs."""

from __future__ import annotations

import typing as t

HEADER = "# Managed by Ansible (opswatch.monitoring). Put your own settings into a drop-in: systemctl edit {name}\n"

# Everything that a network service with a state folder can do without. A component that needs one of these back says so
# in its `unit`, with the reason beside it.
BASE: dict[str, dict[str, t.Any]] = {
    "Unit": {
        "Description": "",
        "Documentation": None,
        "Wants": "network-online.target",
        "After": "network-online.target",
        "StartLimitIntervalSec": 0,  # a monitoring service keeps trying; the transaction sees its restarts
    },
    "Service": {
        "Type": "exec",
        "User": "",
        "Group": "",
        "ExecStart": "",
        "ExecReload": None,
        "Restart": "on-failure",
        "RestartSec": 5,
        "StateDirectory": "",
        "StateDirectoryMode": "0750",
        "UMask": "0027",
        "AmbientCapabilities": "",
        "CapabilityBoundingSet": "",
        "DevicePolicy": "closed",
        "KeyringMode": "private",
        "LockPersonality": True,
        "MemoryDenyWriteExecute": True,
        "NoNewPrivileges": True,
        "PrivateDevices": True,
        "PrivateIPC": True,
        "PrivateTmp": True,
        "PrivateUsers": True,
        "ProtectClock": True,
        "ProtectControlGroups": True,
        "ProtectHome": True,
        "ProtectHostname": True,
        "ProtectKernelLogs": True,
        "ProtectKernelModules": True,
        "ProtectKernelTunables": True,
        # No ProcSubset=pid: without /proc/stat no program knows when it was started (process_start_time_seconds).
        "ProtectProc": "invisible",
        "ProtectSystem": "strict",
        "RemoveIPC": True,
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces": True,
        "RestrictRealtime": True,
        "RestrictSUIDSGID": True,
        "SystemCallArchitectures": "native",
        "SystemCallErrorNumber": "EPERM",
        "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    },
    "Install": {"WantedBy": "multi-user.target"},
}


def render_unit(
    name: str, arguments: t.Sequence[str], *layers: t.Mapping[str, t.Mapping[str, t.Any]], program: str = ""
) -> str:
    """Text of a unit: the base, then each layer over it.

    C(arguments) follow the program in ExecStart. A value may be a string, number, boolean or list (a line for each);
    null leaves a setting of an earlier layer out.
    """
    fixed = {
        "Unit": {"Description": f"{name} (opswatch.monitoring)"},
        "Service": {
            "User": name,
            "Group": name,
            "StateDirectory": name,
            "ExecStart": " ".join(quote(word) for word in (f"/usr/local/bin/{program or name}", *arguments)),
        },
    }
    sections = {section: dict(settings) for section, settings in BASE.items()}
    for layer in (fixed, *layers):
        for section, settings in layer.items():
            sections.setdefault(section, {}).update(settings or {})
    blocks = []
    for section, settings in sections.items():
        lines = [line for key, value in settings.items() for line in _lines(key, value)]
        blocks.append("\n".join([f"[{section}]", *lines]) + "\n")
    return HEADER.format(name=name) + "\n" + "\n".join(blocks)


def quote(word: str) -> str:
    """One argument for ExecStart: specifiers, variables and quotes lose their meaning."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = word and not any(character.isspace() or character in "\"'\\;" for character in word)
    return escaped if plain else f'"{escaped}"'


def _lines(key: str, value: t.Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [line for item in value for line in _lines(key, item)]
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return [f"{key}={value}"]
