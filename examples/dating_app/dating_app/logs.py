# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Structured logs: one JSON object a line, with every field of context that the caller gave.

Needs the standard library only. Timestamps are UTC with offset and microseconds, for example
``2026-11-23T21:03:00.123456+00:00``, which a log agent parses as RFC 3339.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import math
import sys
from datetime import UTC, datetime

#: Longest line in bytes. Loki refuses lines above 256 kB; the rest is left to the agent's own labels and metadata.
MAX_LINE_BYTES = 128 * 1024

#: Deepest nesting of context that is kept as structure; what lies below becomes text.
MAX_DEPTH = 6

#: Lowest number of each level of the guide. Other names and numbers (WARNING, FATAL, 25) fall into one of these five.
LEVELS = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"))

#: What every log record carries by itself; all other attributes came in by ``extra={...}``.
STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def level_name(number: int) -> str:
    """Give the guide's name (DEBUG, INFO, WARN, ERROR, CRITICAL) for a level's number."""
    return next((name for lowest, name in LEVELS if number >= lowest), "DEBUG")


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON. It never raises, whatever the record holds."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """Give the line without its end."""
        entry: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": level_name(record.levelno),
            "service": self.service,
            "message": _message(record),
            "module": record.module,
            "function": record.funcName,
            "line": record.lineno,
        }
        if record.name != self.service:
            entry["logger"] = record.name
        if record.exc_info and record.exc_info[0]:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = self.formatStack(record.stack_info)
        fixed = dict(entry)
        for key, value in vars(record).items():
            if key not in STANDARD_ATTRIBUTES:
                entry[f"extra_{key}" if key in fixed else key] = _plain(value)
        line = json.dumps(entry)
        if len(line) > MAX_LINE_BYTES:
            # An escaped character takes up to twelve bytes; the end of a traceback says more than its beginning.
            share = MAX_LINE_BYTES // 48
            shortened = {key: value[-share:] if isinstance(value, str) else value for key, value in fixed.items()}
            shortened["message"] = str(fixed["message"])[:share]
            line = json.dumps({**shortened, "truncated_bytes": len(line)})
        return line


def configure(service: str, *, level: str = "INFO", file: str | None = None) -> logging.Logger:
    """Send all logs of this process to standard output and, if named, to a file as well; give the service's logger.

    The file may be renamed or removed at any time, as logrotate does: it is opened again before the next line.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if file:
        handlers.append(logging.handlers.WatchedFileHandler(file, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=handlers, force=True)
    logging.captureWarnings(True)
    return logging.getLogger(service)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # arguments that do not fit the format, or whose __str__ raises
        return f"{_text(record.msg)} [arguments lost: {type(error).__name__}]"


def _plain(value: object, depth: int = MAX_DEPTH) -> object:
    """Turn any value into one that JSON can hold: containers keep their shape, all else becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if depth and isinstance(value, (dict, list, tuple, set, frozenset)):
        try:
            if isinstance(value, dict):
                return {_text(key): _plain(item, depth - 1) for key, item in value.items()}
            return [_plain(item, depth - 1) for item in value]
        except Exception:  # changed by another thread meanwhile, or not the container it claims to be
            return _text(value)
    return _text(value)


def _text(value: object) -> str:
    try:
        return value if type(value) is str else str(value)
    except Exception:
        return f"<{type(value).__name__} without text>"
