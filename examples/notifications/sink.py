#!/usr/bin/python3
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where notifications end up in the demo and in tests: a real SMTP server, and an HTTP address that takes any POST.

    sink.py [--host 0.0.0.0] [--smtp-port 2525] [--http-port 8025]

`GET /` tells in plain words what has arrived, newest last; `GET /messages` the same as JSON; `DELETE /messages` forgets
it. Slack, PagerDuty and webhooks are all a POST of JSON, so one address stands for each of them: the path tells which.
Keeps the last 1,000 messages in memory, and nothing else.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import json
import signal
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LIMIT = 1000
LARGEST = 1 << 20  # bytes of one message


class Sink:
    """Both servers, and what arrived at them."""

    def __init__(self, host: str, smtp_port: int, http_port: int) -> None:
        self.messages: deque[dict[str, Any]] = deque(maxlen=LIMIT)
        self.smtp = Controller(self, hostname=host, port=smtp_port, data_size_limit=LARGEST)
        self.http = ThreadingHTTPServer((host, http_port), handler(self))
        self.url = f"http://{host}:{self.http.server_port}"
        self.smarthost = f"{host}:{smtp_port}"

    def start(self) -> None:
        self.smtp.start()
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.smtp.stop()
        self.http.shutdown()
        self.http.server_close()

    def keep(self, **message: Any) -> None:
        self.messages.append({"at": time.time(), **message})

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        data = content.encode() if isinstance(content, str) else content
        mail = email.message_from_bytes(data, policy=email.policy.default)
        body = mail.get_body(("plain", "html"))
        text = body.get_content() if body else ""
        self.keep(via="mail", to=envelope.rcpt_tos, subject=str(mail["Subject"]), text=text)
        return "250 kept"


def handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LARGEST))
            try:
                sink.keep(via="http", path=self.path, body=json.loads(body))
            except ValueError:
                self.answer(400, "text/plain", "not JSON\n")
                return
            self.answer(200, "text/plain", "ok")  # what Slack says

        def do_GET(self) -> None:
            if self.path == "/messages":
                self.answer(200, "application/json", json.dumps(list(sink.messages)))
            else:
                self.answer(200, "text/plain; charset=utf-8", told(list(sink.messages)))

        def do_DELETE(self) -> None:
            sink.messages.clear()
            self.answer(200, "text/plain", "forgotten\n")

        def answer(self, status: int, kind: str, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


def told(messages: list[dict[str, Any]]) -> str:
    """What has arrived, for people."""
    if not messages:
        return "No notification has arrived yet.\n"
    blocks = []
    for message in messages:
        at = time.strftime("%H:%M:%S", time.gmtime(message["at"]))
        if message["via"] == "mail":
            blocks.append(f"{at} UTC  mail to {', '.join(message['to'])}: {message['subject']}\n{message['text']}")
        else:
            blocks.append(f"{at} UTC  POST {message['path']}\n{json.dumps(message['body'], indent=2)}\n")
    return "\n".join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server and an HTTP address that keep what they get.")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--smtp-port", type=int, default=2525)
    parser.add_argument("--http-port", type=int, default=8025)
    arguments = parser.parse_args()
    sink = Sink(arguments.host, arguments.smtp_port, arguments.http_port)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sink.start()
    ended.wait()
    sink.stop()


if __name__ == "__main__":
    main()
