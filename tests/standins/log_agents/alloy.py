# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Alloy, for tests where the real one is out of reach. It is not Alloy, and says so.

It reads the language as the role writes it, a block or an attribute a line, refuses unknown flags, components and
stages as the real one does, and reads and sends what agent.py knows of.
"""

import json
import os
import pkgutil
import re
import sys
from typing import Any

import yaml
from agent import Client, Config, Places, serve

SAYS = "alloy, version v{version} (stand-in of opswatch.monitoring, not the real program)"
COMPONENTS = """
    logging tracing http local.file_match loki.source.file loki.source.journal loki.source.syslog loki.relabel
    loki.process loki.write prometheus.scrape prometheus.remote_write
"""
STAGES = """
    decolorize docker cri drop json label_drop label_keep labels limit logfmt luhn match metrics multiline output
    pack regex replace sampling static_labels structured_metadata template tenant timestamp truncate
"""
FLAGS = """
    server.http.listen-addr server.http.enable-pprof server.http.disable-support-bundle storage.path stability.level
    disable-reporting config.format cluster.enabled help
"""
HEADER = re.compile(r'([\w.]+)(?: "(\w+)")? \{')
ATTRIBUTE = re.compile(r"(\w+) = (.+)")
TEXT = r'"(?:[^"\\]|\\.)*"'


def refuse(message: str) -> None:
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(1)


class Block:
    def __init__(self, name: str, label: str) -> None:
        self.name, self.label = name, label
        self.attributes: dict[str, str] = {}
        self.blocks: list[Block] = []

    def text(self, attribute: str) -> str:
        return str(json.loads(self.attributes[attribute]))


def _known(block: Block, depth: int) -> list[str]:
    if block.name.startswith("stage."):
        return STAGES.split()
    return COMPONENTS.split() if depth == 1 else [block.name]


def parse(path: str) -> list[Block]:
    try:
        with open(path, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    except OSError as error:
        refuse(f"{path}: {error.strerror}")
    root = Block("", "")
    open_ones = [root]
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("//"):
            continue
        if header := HEADER.fullmatch(line):
            block = Block(header[1], header[2] or "")
            known = _known(block, len(open_ones))
            if block.name.removeprefix("stage.") not in known:
                refuse(f'{path}:{number}: cannot find the definition of component name "{block.name}"')
            open_ones[-1].blocks.append(block)
            open_ones.append(block)
        elif line == "}" and len(open_ones) > 1:
            open_ones.pop()
        elif (attribute := ATTRIBUTE.fullmatch(line)) and len(open_ones) > 1:
            open_ones[-1].attributes[attribute[1]] = attribute[2]
        else:
            refuse(f"{path}:{number}: expected block or attribute, got {line!r}")
    if len(open_ones) > 1:
        refuse(f"{path}: expected }}, got EOF")
    return root.blocks


def config(path: str) -> Config:
    blocks = parse(path)
    named = {name: [block for block in blocks if block.name == name] for name in COMPONENTS.split()}
    files = {
        block.label: [
            json.loads(text) for text in re.findall(rf"__path__ = ({TEXT})", block.attributes["path_targets"])
        ]
        for block in named["local.file_match"]
    }
    (write,) = named["loki.write"]
    clients = []
    for endpoint in write.blocks:
        tls = {key: block.text(key) for block in endpoint.blocks for key in block.attributes}
        clients.append(Client(endpoint.text("url"), tls))
    labels = dict(re.findall(rf'(\w+) = "({TEXT[1:-1]})"', write.attributes["external_labels"]))
    return Config(files, [block.label for block in named["loki.source.journal"]], clients, labels)


def places(path: str, storage: str) -> Places:
    """A file for each source, as the real one has it; what Promtail left is taken where there is none yet."""

    def component(name: str) -> str:
        kind = "journal" if name.startswith("cursor-") else "file"
        labels = [block.label for block in parse(path) if block.name == f"loki.source.{kind}"]
        return f"{storage}/loki.source.{kind}.{labels[0] if labels else 'none'}"

    def load() -> dict[str, str]:
        at: dict[str, str] = {}
        for block in parse(path):
            if not block.name.startswith("loki.source."):
                continue
            ours = f"{storage}/{block.name}.{block.label}/positions.yml"
            theirs = block.text("legacy_positions_file") if "legacy_positions_file" in block.attributes else ""
            if os.path.exists(ours):
                with open(ours, encoding="utf-8") as handle:
                    pairs = re.findall(r"\? path: (.*)\n +labels: (?:'\{\}'|\"\")\n +: \"?(.*?)\"?\n", handle.read())
                at |= {key.replace("cursor-loki.source.journal.", "cursor-"): value for key, value in pairs}
            elif theirs and os.path.exists(theirs):
                with open(theirs, encoding="utf-8") as handle:
                    at |= (yaml.safe_load(handle) or {}).get("positions") or {}
        return at

    def save(at: dict[str, str]) -> None:
        texts: dict[str, str] = {}
        for key, value in at.items():
            shown = key.replace("cursor-", "cursor-loki.source.journal.", 1)
            labels = "'{}'" if shown == key else '""'
            line = f'    ? path: {shown}\n      labels: {labels}\n    : "{value}"\n'
            texts[component(key)] = texts.get(component(key), "positions:\n") + line
        for folder, text in texts.items():
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/positions.yml", "w", encoding="utf-8") as handle:
                handle.write(text)

    return Places(load, save)


def read_flags(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"": []}
    for word in arguments:
        if not word.startswith("--"):
            found[""].append(word)
            continue
        name, _, value = word[2:].partition("=")
        if name not in FLAGS.split():
            refuse(f"unknown flag: --{name}")
        found[name] = value
    return found


def main() -> None:
    version = (pkgutil.get_data("agent", "version.txt") or b"").decode().strip()
    if sys.argv[1:] == ["--version"]:
        print(SAYS.format(version=version))
        return
    flags = read_flags(sys.argv[2:])
    if "help" in flags:
        print(SAYS.format(version=version))
        return
    (path,) = flags[""]
    parse(path)
    if sys.argv[1] == "run":
        host, _, port = flags["server.http.listen-addr"].rpartition(":")
        recorded = (pkgutil.get_data("agent", "metrics.tsv") or b"").decode()
        pages = {"/-/ready": (200, "ready")}
        serve((host, int(port)), lambda: config(path), places(path, flags["storage.path"]), "alloy", recorded, pages)


if __name__ == "__main__":
    main()
