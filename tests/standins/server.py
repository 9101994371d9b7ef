# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Grafana on loopback for tests: the stand-in, or a real one that was unpacked somewhere."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import requests

STANDIN = Path(__file__).parent / "grafana"
PASSWORD = "for tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Grafana:
    """Started by C(with), stopped at its end. C(home): an unpacked release, where it is to be a real one."""

    folder: Path
    home: Path | None = None
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        scheme = self.settings.get("server", {}).get("protocol", "http")
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "grafana.log"

    def __enter__(self) -> Grafana:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "grafana.ini"
        config.write_text(self._config())
        home = self.home or self.folder
        program = [str(self.home / "bin/grafana-server")] if self.home else [sys.executable, str(STANDIN)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*program, "-homepath", str(home), "-config", str(config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=home,
                env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **self.environment},
            )
        self._wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def _config(self) -> str:
        sections: dict[str, dict[str, str]] = {
            "server": {"http_addr": "127.0.0.1", "http_port": str(self.port), "router_logging": "true"},
            "paths": {
                "data": str(self.folder / "data"),
                "logs": str(self.folder / "log"),
                "plugins": str(self.folder / "plugins"),
                "provisioning": str(self.folder / "provisioning"),
            },
            "security": {"admin_password": PASSWORD},
            "analytics": {"reporting_enabled": "false", "check_for_updates": "false"},
            "log": {"mode": "console"},
        }
        for name, extra in self.settings.items():
            sections[name] = {**sections.get(name, {}), **extra}
        return "".join(
            f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
            for name, keys in sections.items()
        )

    def _wait(self, limit: float = 60) -> None:
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"Grafana has ended: {self.log.read_text()[-2000:]}")
            try:
                requests.get(f"{self.url}/api/health", timeout=5, verify=False)
                return
            except requests.ConnectionError:
                time.sleep(0.02)
        raise RuntimeError(f"Grafana does not answer at {self.url}: {self.log.read_text()[-2000:]}")

    def ask(self, method: str, path: str, body: t.Any = None, **more: t.Any) -> requests.Response:
        """As the administrator, unless C(auth) says otherwise. A text is sent as it is."""
        data = body if isinstance(body, (str, type(None))) else json.dumps(body)
        more = {"auth": ("admin", PASSWORD), "timeout": 30, **more}
        headers = {"Content-Type": "application/json"}
        return requests.request(method, self.url + path, data=data, headers=headers, **more)

    def asked(self) -> list[tuple[str, str]]:
        """Method and path of everything that was asked so far."""
        found = re.findall(r"method=(\S+) path=([^\s?]+)", self.log.read_text())
        return [(method, path) for method, path in found if path != "/api/health"]

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.asked() if method != "GET"]
