# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags and configuration of the stand-in: those of the real one, refused where that refuses them."""

import datetime
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from logql import UNITS

VERSION = (pkgutil.get_data("logql", "version.txt") or b"").decode().strip()  # in a package, that of the release
SAYS = f"loki, version {VERSION} (stand-in of opswatch.monitoring, not the real program)"
FLAGS = {"config.file", "config.expand-env", "verify-config", "version", "target", "log.level", "print-config-stderr"}
# Keys that the real one has no more, by the part of the configuration that had them.
GONE = {
    "limits_config": ("enforce_metric_name", "validation.plain"),
    "chunk_store_config": ("max_look_back_period", ""),
}


def read_flags(arguments: list[str]) -> dict[str, str]:
    found = {}
    for word in arguments:
        match = re.fullmatch(r"--?([^-=][^=]*)(?:=(.*))?", word, re.DOTALL)
        if not match or match[1] not in FLAGS:
            print(
                f"failed parsing config: flag provided but not defined: -{word.lstrip('-').split('=')[0]}",
                file=sys.stderr,
            )
            sys.exit(1)
        found[match[1]] = match[2] or "true"
    return found


def refuse(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(1)


def read_config(path: str) -> dict[str, Any]:
    try:
        config = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        refuse(f"failed parsing config: {path}: {error}")
    for part, (key, kind) in GONE.items():
        if key in (config.get(part) or {}):
            refuse(f"failed parsing config: {path}: yaml: unmarshal errors:\n  field {key} not found in type {kind}")
    limits, today = config.get("limits_config") or {}, datetime.datetime.now(datetime.UTC).date().isoformat()
    periods = (config.get("schema_config") or {}).get("configs") or []
    active = [one for one in periods if str(one["from"])[:10] <= today] or periods
    if limits.get("allow_structured_metadata", True) and active:
        last = active[-1]
        if int(last["schema"][1:]) < 13 or last["store"] != "tsdb":
            refuse(
                'level=error msg="validating config" err="CONFIG ERROR: schema v13 is required to store Structured '
                f'Metadata and use native OTLP ingestion, your schema version is {last["schema"]}."'
            )
    return config  # type: ignore[no-any-return]


def seconds(text: Any) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", str(text))
    return sum(float(number) * {"ms": 0.001, **UNITS}[unit] for number, unit in parts)
