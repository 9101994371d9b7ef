# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Loki, for tests where the real one is out of reach. It is not Loki, and says so.

It reads the real one's configuration, takes lines as JSON, refuses those that the real one refuses, keeps the others
in a file, and answers the simple queries of logql.py. Its ruler lists rules and evaluates none. Its metrics have the
names, types and labels that were recorded from the real one; their values are 0, but for the lines that it has taken.
"""

import datetime
import gzip
import json
import os
import pkgutil
import re
import signal
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import logql
import yaml
from logql import NANO, Entry, Refused
from settings import SAYS, VERSION, read_config, read_flags, seconds

STARTED = time.time()

# Where the real one looks for the name of a service, in this order.
SERVICE_NAMES = (
    *("service_name", "service", "app", "application", "name", "app_kubernetes_io_name"),
    *("container", "container_name", "component", "workload", "job"),
)
LEVELS = {"trace": "trace", "debug": "debug", "info": "info", "warn": "warn", "warning": "warn", "error": "error"}
LEVELS |= {"critical": "critical", "fatal": "fatal"}
SERVICES = """
cache-generation-loader server ingester compactor store rule-evaluator query-scheduler query-frontend memberlist-kv
ingester-querier distributor ruler query-frontend-tripperware ring query-scheduler-ring analytics querier
"""
MISSING = (404, "404 page not found\n")


# --- lines ---


class Store:
    """All lines, in memory and in a file, so that they outlive a restart."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.limits: dict[str, Any] = config.get("limits_config") or {}
        self.lock = threading.Lock()
        self.entries: list[Entry] = []
        folder = (config.get("common") or {}).get("path_prefix") or "/tmp/loki"
        os.makedirs(folder, exist_ok=True)
        self.path = f"{folder}/stand-in.jsonl"
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as handle:
                self.entries = [Entry(*json.loads(line)) for line in handle if line.endswith("\n")]

    def push(self, body: bytes) -> tuple[int, str]:
        try:
            pushed = json.loads(body)
        except ValueError:
            text = body.decode(errors="replace")
            around = f"...|{text[:20]}|..., bigger context ...|{text[:100]}|...\n"
            found = f"found {text[1:2]}, error found in #2 byte of {around}"
            return 400, f'loghttp.PushRequest.readFieldHash: expect ", but {found}'
        if not pushed.get("streams"):
            return 422, "error at least one valid stream is required for ingestion\n"
        taken: list[Entry] = []
        problems: list[str] = []
        for stream in pushed["streams"]:
            self._take(stream, taken, problems)
        with self.lock:
            self.entries += taken
            with open(self.path, "a", encoding="utf-8") as handle:
                handle.writelines(json.dumps(entry) + "\n" for entry in taken)
        return (400, problems[-1] + "\n") if problems else (204, "")

    def _take(self, stream: dict[str, Any], taken: list[Entry], problems: list[str]) -> None:
        labels = dict(stream["stream"])
        shown = "{" + ", ".join(f"{key}={json.dumps(labels[key])}" for key in sorted(labels)) + "}"
        for name in labels:
            bad = re.search(r"\W", name)
            if bad:
                col = shown.index(name) + bad.start() + 1
                problems.append(
                    f"couldn't parse labels: 1:{col}: parse error: unexpected character inside braces: {bad[0]!r}"
                )
                return
        count, most = len(labels), int(self.limits.get("max_label_names_per_series", 15))
        service = next((labels[name] for name in SERVICE_NAMES if name in labels), "unknown_service")
        labels["service_name"] = service
        shown = "{" + ", ".join(f"{key}={json.dumps(labels[key])}" for key in sorted(labels)) + "}"
        if count > most:
            problems.append(f"entry for stream '{shown}' has {count} label names; limit {most}")
            return
        for stamp, line, *more in stream["values"]:
            problem = self._problem(shown, int(stamp), line)
            if problem:
                problems.append(problem)
                continue
            metadata = dict(more[0]) if more else {}
            taken.append(Entry(labels, int(stamp), line, {"detected_level": level(labels, metadata, line), **metadata}))

    def _problem(self, shown: str, stamp: int, line: str) -> str:
        size, longest = len(line.encode()), int(self.limits.get("max_line_size", 256000))
        if size > longest:
            return (
                f"max entry size '{longest}' bytes exceeded for stream '{shown}' while adding an entry with length "
                f"'{size}' bytes"
            )
        now, age = time.time(), seconds(self.limits.get("reject_old_samples_max_age", "168h"))
        if self.limits.get("reject_old_samples", True) and stamp < (now - age) * NANO:
            return (
                f"entry for stream '{shown}' has timestamp too old: {iso(stamp // NANO)}, oldest acceptable timestamp "
                f"is: {iso(now - age)}"
            )
        if stamp > (now + 600) * NANO:
            return f"entry for stream '{shown}' has timestamp too new: {iso(stamp // NANO)}"
        return ""


def iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(int(moment), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def level(labels: dict[str, str], metadata: dict[str, str], line: str) -> str:
    stated = {**logql.in_json(line), **labels, **metadata}
    word = str(stated.get("level") or stated.get("severity") or "").lower()
    if not word and (found := re.search(r"(?i)\b(critical|fatal|error|warning|warn|info|debug)\b", line)):
        word = found[1].lower()
    return LEVELS.get(word, "unknown")


# --- answers ---


class Loki:
    """What is asked for by path. An answer is a status and a text, or data that becomes JSON."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.store = Store(config)
        lifecycler = (config.get("ingester") or {}).get("lifecycler") or {}
        self.ready_at = time.monotonic() + seconds(lifecycler.get("min_ready_duration", "15s"))

    def answer(self, method: str, path: str, asked: dict[str, str], body: bytes) -> tuple[int, Any]:
        if method == "POST":
            if path == "/loki/api/v1/push":
                return self.store.push(body)
            return (204, "") if path == "/flush" else MISSING
        if label := re.fullmatch(r"/loki/api/v1/label/(\w+)/values", path):
            return 200, self.success(
                sorted({one.labels[label[1]] for one in self.store.entries if label[1] in one.labels})
            )
        name = re.sub(r"\W", "_", path.removeprefix("/loki/api/v1").strip("/"))
        page = getattr(self, f"page_{name}", None)
        return page(asked) if page else MISSING

    @staticmethod
    def success(data: Any) -> dict[str, Any]:
        return {"status": "success", "data": data}

    def page_ready(self, asked: dict[str, str]) -> tuple[int, Any]:
        if time.monotonic() < self.ready_at:
            return 503, "Ingester not ready: waiting for 15s after being ready\n"
        return 200, "ready\n"

    def page_status_buildinfo(self, asked: dict[str, str]) -> tuple[int, Any]:
        empty = {"branch": "stand-in", "buildDate": "", "buildUser": "", "goVersion": "", "revision": "stand-in"}
        return 200, {**empty, "version": VERSION}

    def page_services(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 200, "".join(f"{name} => Running\n" for name in SERVICES.split())

    def page_ring(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 200, "<!DOCTYPE html>\n<html>\n<head>\n    <title>Ring Status</title>\n</head>\n<h1>Ring Status</h1>\n"

    def page_config(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 200, yaml.safe_dump({"target": "all", **self.config}, sort_keys=False)

    def page_log_level(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 200, {"message": f"Current log level is {(self.config.get('server') or {}).get('log_level', 'info')}"}

    def page_labels(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 200, self.success(sorted({name for entry in self.store.entries for name in entry.labels}))

    def page_series(self, asked: dict[str, str]) -> tuple[int, Any]:
        test = logql.parse_selector(asked["match[]"])
        found = {json.dumps(one.labels, sort_keys=True) for one in self.store.entries if test(one)}
        return 200, self.success([json.loads(one) for one in sorted(found)])

    def page_query(self, asked: dict[str, str]) -> tuple[int, Any]:
        if asked["query"] == "vector(1)":  # whether it answers at all
            constant = [{"metric": {}, "value": [time.time(), "1"]}]
            return 200, self.success({"resultType": "vector", "result": constant, "stats": {}})
        count = logql.parse_count(asked["query"])
        if count is None:
            raise Refused(logql.INSTANT_LOGS)
        found = logql.vector(self.store.entries, count, moment(asked.get("time"), time.time()))
        return 200, self.success({"resultType": "vector", "result": found, "stats": {}})

    def page_query_range(self, asked: dict[str, str]) -> tuple[int, Any]:
        end = moment(asked.get("end"), time.time())
        begin = moment(asked.get("start"), end / NANO - 3600)
        count = logql.parse_count(asked["query"])
        if count:
            step = int(seconds(asked.get("step", "")) or float(asked.get("step", 0)) or 60) * NANO
            found = logql.matrix(self.store.entries, count, iter(range(begin, end + 1, step)))
            return 200, self.success({"resultType": "matrix", "result": found, "stats": {}})
        forward, limit = asked.get("direction") == "forward", int(asked.get("limit", 100))
        found = logql.streams(self.store.entries, asked["query"], begin, end, limit, forward)
        return 200, self.success({"resultType": "streams", "result": found, "stats": {}})

    def page_index_volume(self, asked: dict[str, str]) -> tuple[int, Any]:
        test, sizes = logql.parse_selector(asked["query"]), {}
        for entry in filter(test, self.store.entries):
            name = re.match(r"\{\s*(\w+)", asked["query"])
            key = entry.labels[name[1]] if name else ""
            sizes[key] = sizes.get(key, 0) + len(entry.line)
        label = re.match(r"\{\s*(\w+)", asked["query"])
        found = [
            {"metric": {label[1] if label else "": key}, "value": [time.time(), str(size)]}
            for key, size in sorted(sizes.items(), key=lambda one: -one[1])
        ]
        return 200, self.success({"resultType": "vector", "result": found, "stats": {}})

    def page_index_stats(self, asked: dict[str, str]) -> tuple[int, Any]:
        found = list(filter(logql.parse_selector(asked["query"]), self.store.entries))
        count = len({json.dumps(entry.labels, sort_keys=True) for entry in found})
        size = sum(len(entry.line) for entry in found)
        return 200, {"bytes": size, "chunks": count, "entries": len(found), "streams": count}

    def page_format_query(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 200, self.success(re.sub(r"\s*\|\s*", " | ", asked["query"]))

    def page_patterns(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 404, ""

    def page_drilldown_limits(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 401, "no org id\n"

    def rule_files(self) -> dict[str, list[dict[str, Any]]]:
        filesystem = ((self.config.get("common") or {}).get("storage") or {}).get("filesystem") or {}
        local = ((self.config.get("ruler") or {}).get("storage") or {}).get("local") or {}
        folder = f"{local.get('directory') or filesystem.get('rules_directory') or '/tmp/loki/rules'}/fake"
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            raise Refused(f"unable to read rule dir {folder}: open {folder}: no such file or directory\n") from None
        return {name: yaml.safe_load(Path(folder, name).read_text())["groups"] for name in names}

    def page_rules(self, asked: dict[str, str]) -> tuple[int, Any]:
        return 200, yaml.safe_dump(self.rule_files(), sort_keys=False)

    def page_prometheus_api_v1_rules(self, asked: dict[str, str]) -> tuple[int, Any]:
        try:
            files = self.rule_files()
        except Refused:
            files = {}
        groups = [
            {"name": group["name"], "file": name, "rules": [listed(rule) for rule in group["rules"]]}
            for name, all_of_it in files.items()
            for group in all_of_it
        ]
        return 200, {**self.success({"groups": groups}), "errorType": "", "error": ""}

    def page_metrics(self, asked: dict[str, str]) -> tuple[int, Any]:
        lines = len(self.store.entries)
        # What the alerts about Loki go by, as of one that is well.
        well = {
            "process_start_time_seconds": STARTED,
            "loki_boltdb_shipper_compactor_running": 1,
            "loki_compactor_apply_retention_last_successful_run_timestamp_seconds": time.time(),
        }
        return 200, metrics({**well, "loki_distributor_lines_received_total": lines})


def listed(rule: dict[str, Any]) -> dict[str, Any]:
    told = {key: rule.get(key, {}) for key in ("labels", "annotations")}
    return {"name": rule.get("alert") or rule["record"], "query": rule["expr"], "health": "unknown", **told}


# What a histogram and a summary consist of: the end of the name, and the value of its own label.
ENDS = {
    "histogram": [("_bucket", "+Inf"), ("_sum", ""), ("_count", "")],
    "summary": [("", "1"), ("_sum", ""), ("_count", "")],
}
MARKS = ("le", "quantile")


def metrics(values: dict[str, float]) -> str:
    """The recorded names, types and labels, with a value of 0 where nothing is known."""
    rows = (pkgutil.get_data("logql", "metrics.tsv") or b"").decode()
    pages = []
    for name, kind, names in (row.split("\t") for row in rows.splitlines()):
        pages.append(f"# TYPE {name} {kind}\n")
        for end, value in ENDS.get(kind, [("", "")]):
            labels = [f'{label}="{value}"' for label in names.split(",") if label and (value or label not in MARKS)]
            pages.append(f"{name}{end}{{{','.join(labels)}}} {values.get(name, 0)}\n")
    return "".join(pages)


def moment(stated: str | None, default: float) -> int:
    """In nanoseconds, from seconds, nanoseconds or RFC 3339."""
    if not stated:
        return int(default * NANO)
    if re.fullmatch(r"\d+(\.\d+)?", stated):
        return int(stated) if len(stated.split(".")[0]) > 10 else int(float(stated) * NANO)
    return int(datetime.datetime.fromisoformat(stated.replace("Z", "+00:00")).timestamp() * NANO)


# --- the server ---


def serve(config: dict[str, Any]) -> None:
    loki, server = Loki(config), config.get("server") or {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            asked = {key: values[0] for key, values in parse_qs(address.query).items()}
            try:
                status, said = loki.answer(self.command, address.path, asked, body)
            except Refused as refused:
                status, said = 400, str(refused)
            text = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet, as the real one is."""

    address = (server.get("http_listen_address", ""), int(server.get("http_listen_port", 3100)))
    http = ThreadingHTTPServer(address, Handler)
    tls = server.get("http_tls_config")
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.get("client_ca_file"))
        context.load_cert_chain(tls["cert_file"], tls["key_file"])
        if tls.get("client_auth_type") == "RequireAndVerifyClientCert":
            context.verify_mode = ssl.CERT_REQUIRED
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stderr.write(f"{SAYS}: listens on {address[0]}:{address[1]}\n")
    http.serve_forever()


def main() -> None:
    if any(re.fullmatch("-+version", word) for word in sys.argv[1:]):  # as the real one: whatever else is there
        print(SAYS)
        return
    flags = read_flags(sys.argv[1:])
    config = read_config(flags.get("config.file", "config.yaml"))
    if flags.get("verify-config", "false") == "true":
        print('level=info msg="config is valid"', file=sys.stderr)
        return
    serve(config)


if __name__ == "__main__":
    main()
