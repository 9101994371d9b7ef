# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-ins for Promtail and Alloy share: read whole lines, push them to Loki, note how far they are.

Of the pipelines it knows what the tests look at: time, level and service of a JSON line, and the name of the file. A
line is noted as read when all Lokis have it, so it may be sent twice and is never lost; the real ones are less careful.
"""

import glob
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

LEVELS = {"warning": "warn", "fatal": "critical"}
MOST = 1 << 20  # read at once


class Client(NamedTuple):
    url: str
    tls: dict[str, str]  # ca_file, cert_file, key_file, server_name

    def push(self, streams: list[dict[str, Any]], ended: threading.Event) -> bool:
        """Until Loki has it, or refuses it for good. False if it has to end before that."""
        body = json.dumps({"streams": streams}).encode()
        while not ended.is_set():
            request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=10, context=self._context()):
                    return True
            except urllib.error.HTTPError as error:
                if error.code not in (429, 500, 502, 503):
                    print(f"refused: {error.code} {error.read()[:200]!r}", file=sys.stderr)
                    return True
            except OSError as error:
                print(f"{self.url}: {error}", file=sys.stderr)
            ended.wait(0.5)
        return False

    def _context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.tls["ca_file"])
        context.load_cert_chain(self.tls["cert_file"], self.tls["key_file"])
        return context


class Config(NamedTuple):
    files: dict[str, list[str]]  # patterns by the name of the entry
    journals: list[str]  # names of entries
    clients: list[Client]
    labels: dict[str, str]


class Places(NamedTuple):
    """Where it is noted how far everything is read: a map from the file (or the cursor's name) to the place."""

    load: Callable[[], dict[str, str]]
    save: Callable[[dict[str, str]], None]


def entry(line: str, source: dict[str, str]) -> tuple[dict[str, str], list[Any]]:
    """Labels, and what Loki's API has for a line: time, line, structured metadata."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = {}
    fields = fields if isinstance(fields, dict) else {}
    at = time.time_ns()
    try:
        told = datetime.fromisoformat(str(fields["timestamp"]).replace("Z", "+00:00"))
        told = told if told.tzinfo else told.replace(tzinfo=UTC)
        at = int(told.timestamp()) * 10**9 + told.microsecond * 1000
    except (KeyError, ValueError):
        pass
    level = str(fields.get("level") or source.get("level", "")).lower()
    labels = {"service": str(fields.get("service") or source["service"]), "level": LEVELS.get(level, level)}
    metadata = {key: str(fields[key]) for key in ("module", "function", "event_type") if key in fields}
    return {key: value for key, value in labels.items() if value}, [str(at), line, metadata]


class Reader(threading.Thread):
    """Goes around all sources, again and again."""

    def __init__(self, config: Config, places: Places) -> None:
        super().__init__(daemon=True)
        self.config, self.places = config, places
        self.ended = threading.Event()

    def run(self) -> None:
        at = self.places.load()
        while not self.ended.is_set():
            for pattern in [pattern for patterns in self.config.files.values() for pattern in patterns]:
                for path in sorted(glob.glob(pattern)):
                    self._file(path, at)
            for name in self.config.journals:
                self._journal(f"cursor-{name}", at)
            self.places.save(at)
            self.ended.wait(0.5)

    def _file(self, path: str, at: dict[str, str]) -> None:
        try:
            with open(path, "rb") as handle:
                begin = int(at.get(path, 0))
                handle.seek(begin if begin <= os.fstat(handle.fileno()).st_size else 0)
                begin = handle.tell()
                data = handle.read(MOST)
        except OSError as error:
            print(error, file=sys.stderr)
            return
        whole = data[: data.rfind(b"\n") + 1]
        service = os.path.basename(path).rsplit(".", 1)[0]
        if self._push([entry(line, {"service": service}) for line in whole.decode(errors="replace").splitlines()]):
            at[path] = str(begin + len(whole))

    def _journal(self, cursor: str, at: dict[str, str]) -> None:
        since = [f"--after-cursor={at[cursor]}"] if cursor in at else ["--since=-12h"]
        command = ["journalctl", "--output=json", "--quiet", *since]
        found = [json.loads(line) for line in subprocess.run(command, capture_output=True).stdout.splitlines()[:2000]]
        lines = []
        for one in found:
            source = {"service": str(one.get("SYSLOG_IDENTIFIER") or one.get("_SYSTEMD_UNIT") or "journal")}
            if isinstance(one.get("MESSAGE"), str):
                lines.append(entry(one["MESSAGE"], source))
                if "timestamp" not in one["MESSAGE"]:
                    lines[-1][1][0] = one["__REALTIME_TIMESTAMP"] + "000"
        if self._push(lines) and found:
            at[cursor] = found[-1]["__CURSOR"]

    def _push(self, lines: list[tuple[dict[str, str], list[Any]]]) -> bool:
        streams: dict[str, dict[str, Any]] = {}
        for labels, values in lines:
            labels = {**self.config.labels, **labels}
            streams.setdefault(json.dumps(labels), {"stream": labels, "values": []})["values"].append(values)
        return not streams or all(client.push(list(streams.values()), self.ended) for client in self.config.clients)


def metrics(recorded: str, loaded: float, prefix: str) -> str:
    """What the real one was recorded to expose; of its values only those of the last load mean anything."""
    said = {
        f"{prefix}_config_last_load_successful": 1.0,
        f"{prefix}_config_last_load_success_timestamp_seconds": loaded,
    }
    lines = []
    for line in recorded.splitlines():
        name, kind, labels = (line + "\t\t").split("\t")[:3]
        if name.startswith("#") or kind not in ("counter", "gauge"):
            continue
        shown = ",".join(f'{label}=""' for label in labels.split(",") if label)
        shown = f"{{{shown}}}" if shown else ""
        lines += [f"# TYPE {name} {kind}", f"{name}{shown} {said.get(name, 0)}"]
    return "\n".join(lines) + "\n"


def serve(
    address: tuple[str, int],
    read: Callable[[], Config],
    places: Places,
    prefix: str,
    recorded: str,
    pages: dict[str, tuple[int, str]],
) -> None:
    """Until it is told to end. SIGHUP and POST /-/reload read the configuration again. C(pages): what others answer."""
    state = {"reader": Reader(read(), places), "loaded": time.time()}
    state["reader"].start()

    def reload(*_signal: Any) -> None:
        config = read()
        state["reader"].ended.set()
        state["reader"].join()
        state.update(reader=Reader(config, places), loaded=time.time())
        state["reader"].start()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {**pages, "/metrics": (200, metrics(recorded, state["loaded"], prefix))}
            status, text = known.get(self.path, (404, "404 page not found\n"))
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet, as the real ones are."""

    server = ThreadingHTTPServer(address, Handler)
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=reload).start())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    state["reader"].ended.set()
    state["reader"].join(timeout=10)
