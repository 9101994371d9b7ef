# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A STAND-IN for grafana-server and grafana-cli 9.3.2: no pages, no panels; the answers that roles and modules ask for.

What it answers, failures included, was recorded from the real one (tests/fixtures/http); a unit test replays all of it.
Python 3.9 and its standard library; runs as a folder and as a zipapp (C(python3 -m zipapp tests/standins/grafana)).
Provisioning files are JSON, which is YAML too: it has no library for the rest of YAML.
"""

from __future__ import annotations

import base64
import configparser
import json
import os
import re
import signal
import ssl
import sys
import threading
import time
import typing as t
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from api import Api, Request
from database import Database
from metrics import Requests, exposition
from provisioning import provision

RELEASE = Path(sys.argv[0]).resolve().parent.parent / "VERSION"  # beside it, where it is installed
VERSION = RELEASE.read_text().strip() if RELEASE.is_file() else "9.3.2"
NAME = f"opswatch stand-in for Grafana {VERSION}"


def fail(message: str) -> t.NoReturn:
    print(f"Error: ✗ {message}", file=sys.stderr, flush=True)
    sys.exit(1)


@dataclass
class Settings:
    """grafana.ini, with C(cfg:section.key=value) of the command line over it."""

    home: str
    file: str = ""
    overrides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parser = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes=("#", ";"))
        self.parser.optionxform = str  # type: ignore[assignment,method-assign]
        if self.file:
            try:
                with open(self.file, encoding="utf-8") as stream:
                    # Keys before the first section are allowed: app_mode and instance_name.
                    self.parser.read_string("[DEFAULT]\n" + stream.read())
            except (OSError, configparser.Error) as error:
                fail(f"cannot read the configuration {self.file}: {error}")
        for override in self.overrides:
            key, _equals, value = override[len("cfg:") :].partition("=")
            section, _dot, name = key.removeprefix("default.").rpartition(".")
            if section and not self.parser.has_section(section):
                self.parser.add_section(section)
            self.parser.set(section or "DEFAULT", name, value)

    def get(self, section: str, key: str, default: str = "") -> str:
        value = self.parser.get(section, key, fallback="").strip() or default
        quoted = re.fullmatch(r"([\"'`]{1,3})(.*)\1", value, re.DOTALL)
        value = re.sub(r"\$__file\{(.*?)\}", self._content, quoted[2] if quoted else value)
        return re.sub(r"\$__env\{(.*?)\}", lambda found: os.environ.get(found[1], ""), value)

    def on(self, section: str, key: str, default: bool = False) -> bool:
        return self.get(section, key, str(default)).lower() in ("true", "1", "yes", "on")

    def path(self, key: str, default: str) -> str:
        return os.path.join(self.home, self.get("paths", key, default))

    @staticmethod
    def _content(found: re.Match[str]) -> str:
        try:
            with open(found[1], encoding="utf-8") as stream:
                return stream.read().strip()
        except OSError as error:
            fail(f"cannot expand {found[0]}: {error}")

    @property
    def prefix(self) -> str:
        own = self.on("server", "serve_from_sub_path")
        return urlsplit(self.get("server", "root_url")).path.rstrip("/") if own else ""


class Handler(BaseHTTPRequestHandler):
    """What comes before the API: health, metrics, the prefix, and requests that are no JSON."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *arguments: t.Any) -> None:
        """Nothing; requests are told of by C(log_request)."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if self.server.settings.on("server", "router_logging"):
            print(f"logger=context method={self.command} path={self.path} status={int(code)}", flush=True)

    def _answer(self, status: int, body: bytes, kind: str = "application/json; charset=UTF-8", **headers: str) -> None:
        self.status = status
        self.send_response(status)
        if body:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _serve(self) -> None:
        begun = time.monotonic()
        self._choose()
        self.server.requests.count(self.status, time.monotonic() - begun)

    def _choose(self) -> None:
        settings = self.server.settings
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        address = urlsplit(self.path)
        path = address.path.removeprefix(settings.prefix) or "/"
        user, password = self._basic()
        if path == "/api/health":
            health = {"commit": "stand-in", "database": "ok", "version": VERSION}
            if settings.on("auth.anonymous", "hide_version"):
                health = {"database": "ok"}
            self._answer(200, json.dumps(health, indent=2).encode())
        elif path == "/healthz":
            self._answer(200, b"Ok", "text/plain")
        elif path == "/metrics" and settings.on("metrics", "enabled", default=True):
            wanted = [settings.get("metrics", f"basic_auth_{half}") for half in ("username", "password")]
            if all(wanted) and [user, password] != wanted:
                self._answer(401, b"")
            else:
                text = exposition(NAME, VERSION, self.server.api.count_dashboards(), self.server.requests)
                self._answer(200, text.encode(), "text/plain; version=0.0.4")
        elif not path.startswith("/api/"):
            # The pages: whoever has not logged in is sent to a form, which a stand-in does not have.
            if path == "/login":
                self._answer(200, f"<!DOCTYPE html><title>{NAME}</title>".encode(), "text/html; charset=UTF-8")
            else:
                self._answer(302, b"", Location=f"{settings.prefix}/login")
        else:
            scheme, _space, token = (self.headers.get("Authorization") or "").partition(" ")
            status, data = self.server.api.serve(
                Request(
                    self.command,
                    path.rstrip("/"),
                    dict(parse_qsl(address.query, keep_blank_values=True)),
                    body,
                    user,
                    password,
                    token if scheme == "Bearer" else "",
                )
            )
            # Where there is nothing to say it says nothing, in JSON.
            self._answer(status, json.dumps(data).encode() if data != "" else b"")

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # named by http.server

    def _basic(self) -> tuple[str, str]:
        scheme, _space, word = (self.headers.get("Authorization") or "").partition(" ")
        if scheme != "Basic":
            return "", ""
        try:
            user, _colon, password = base64.b64decode(word).decode().partition(":")
        except ValueError:
            return "", ""
        return user, password


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.requests = Requests()
        data = settings.path("data", "data")
        # A file also where the real one would use PostgreSQL: tables there are for the tests to make.
        os.makedirs(data, exist_ok=True)
        database = Database(settings.get("database", "path") or os.path.join(data, "grafana.db"))
        # Read when the database is new, and never again.
        database.ensure_admin(
            settings.get("security", "admin_user", "admin"), settings.get("security", "admin_password", "admin")
        )
        folder = settings.path("provisioning", "conf/provisioning")
        try:
            provision(database, folder)
        except ValueError as error:
            fail(f"provisioning: {error}")
        self.api = Api(database, folder, anonymous=settings.on("auth.anonymous", "enabled"))
        address = settings.get("server", "http_addr", "0.0.0.0")  # Grafana's own default
        super().__init__((address, int(settings.get("server", "http_port", "3000"))), Handler)
        if settings.get("server", "protocol", "http") == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(settings.get("server", "cert_file"), settings.get("server", "cert_key"))
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


def serve(settings: Settings) -> None:
    try:
        server = Server(settings)
    except OSError as error:
        fail(f"cannot start: {error}")
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    host, port = server.server_address[:2]
    print(f'logger=http.server level=info msg="HTTP Server Listen" address={host}:{port} program="{NAME}"', flush=True)
    server.serve_forever(poll_interval=0.1)


def options(words: t.Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Go's flags: one dash or two, C(-name value) or C(-name=value); the rest as it comes."""
    found: dict[str, str] = {}
    rest = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        flag = re.fullmatch(r"--?([a-z][a-zA-Z-]*)(=(.*))?", word, re.DOTALL)
        if not flag:
            rest.append(word)
        elif flag[1] in ("v", "version", "vv", "packaging"):
            found[flag[1]] = flag[3] or ""
            if flag[1] == "packaging" and not flag[2]:
                queue.pop(0)
        elif flag[1] in ("homepath", "config", "configOverrides", "pidfile", "pluginsDir"):
            found[flag[1]] = flag[3] if flag[2] else queue.pop(0)
        else:
            # As Go's flag package does it: its complaint, then 2.
            print(f"flag provided but not defined: -{flag[1]}", file=sys.stderr)
            sys.exit(2)
    return found, rest


def main(program: str, words: list[str]) -> None:
    # From 9.4 on one program does both: `grafana server`, `grafana cli`.
    if program == "grafana" and words[:1] in (["server"], ["cli"]):
        program = f"grafana-{words.pop(0)}"
    found, rest = options(words)
    if {"v", "vv", "version"} & set(found):
        print(f"Version {VERSION} (commit: stand-in, branch: {NAME.replace(' ', '-')})")
    elif program == "grafana-cli":
        if rest[:2] != ["admin", "reset-admin-password"]:
            fail(f"the stand-in does not know: {' '.join(rest)}")
        # The real 9.3.2 says this too, and never opens its database.
        print("Admin password changed successfully ✔")
    else:
        home = found.get("homepath") or os.getcwd()
        overrides = [*found.get("configOverrides", "").split(), *(word for word in rest if word.startswith("cfg:"))]
        serve(Settings(home, found.get("config", ""), overrides))


if __name__ == "__main__":
    main(os.path.basename(sys.argv[0].rstrip("/")), sys.argv[1:])
