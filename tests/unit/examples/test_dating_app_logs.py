# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example services' log lines: one JSON object each, with all context, whatever the context is."""

import json
import logging
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "dating_app"))

from dating_app import logs


def line(level=logging.INFO, message="hello", args=(), name="auth-service", exc_info=None, stack=None, **extra):
    record = logging.getLogger(name).makeRecord(
        name, level, "/srv/shop/cart.py", 42, message, args, exc_info, "checkout", extra, stack
    )
    text = logs.JsonFormatter("auth-service").format(record)
    assert "\n" not in text
    return json.loads(text, parse_constant=pytest.fail)


def test_fields_of_the_guide():
    entry = line(message="%s of %d", args=("one", 3))
    stamp = entry.pop("timestamp")
    assert entry == {
        "level": "INFO",
        "service": "auth-service",
        "message": "one of 3",
        "module": "cart",
        "function": "checkout",
        "line": 42,
    }
    assert datetime.fromisoformat(stamp).utcoffset() == timedelta(0)
    assert stamp.endswith("+00:00")
    assert len(stamp) == len("2026-11-23T21:03:00.000000+00:00")


def test_timestamp_keeps_its_length_on_a_whole_second():
    record = logging.makeLogRecord({"levelno": 20, "created": 1_800_000_000.0})
    assert '"2027-01-15T08:00:00.000000+00:00"' in logs.JsonFormatter("x").format(record)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (10, "DEBUG"),
        (20, "INFO"),
        (30, "WARN"),
        (40, "ERROR"),
        (50, "CRITICAL"),
        (5, "DEBUG"),
        (25, "INFO"),
        (99, "CRITICAL"),
    ],
)
def test_levels_are_the_five_of_the_guide(number, name):
    assert line(level=number)["level"] == name


def test_context_is_kept():
    entry = line(
        user_id=7, event_type="profile_created", duration_ms=1.5, tags=["a", ("b",)], nested={"x": {"y": None}}
    )
    assert entry["user_id"] == 7
    assert entry["event_type"] == "profile_created"
    assert entry["duration_ms"] == 1.5
    assert entry["tags"] == ["a", ["b"]]
    assert entry["nested"] == {"x": {"y": None}}


def test_context_does_not_replace_a_fixed_field():
    entry = line(level=logging.ERROR, timestamp="yesterday")
    assert entry["level"] == "ERROR"
    assert entry["timestamp"] != "yesterday"
    assert entry["extra_timestamp"] == "yesterday"


def test_other_loggers_name_themselves():
    assert line(name="asyncio")["logger"] == "asyncio"
    assert line(name="asyncio")["service"] == "auth-service"


def test_traceback_and_stack():
    try:
        raise ValueError("no such user")
    except ValueError:
        entry = line(exc_info=sys.exc_info(), stack="Stack (most recent call last): ...")
    assert "ValueError: no such user" in entry["exception"]
    assert "Traceback" in entry["exception"]
    assert entry["stack"].startswith("Stack")


class Silent:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


def circle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (10**30, str(10**30)),
        pytest.param(10**5000, "<int without text>", id="huge"),
        (b"\xff", "b'\\xff'"),
        ({1: 2, (3, 4): 5}, {"1": 2, "(3, 4)": 5}),
        (frozenset({1}), [1]),
        (Silent(), "<Silent without text>"),
        ({"deep": Silent()}, {"deep": "<Silent without text>"}),
        (Path("/tmp"), "/tmp"),
        ("\ud800 \n", "\ud800 \n"),
        (True, True),
    ],
)
def test_values_that_json_cannot_hold(value, expected):
    assert line(value=value)["value"] == expected


def test_a_circle_ends():
    assert "[...]" in json.dumps(line(value=circle()))


def test_arguments_that_do_not_fit():
    assert line(message="%d users", args=("many",))["message"] == "%d users [arguments lost: TypeError]"
    assert line(message="%s", args=(Silent(),))["message"] == "%s [arguments lost: RuntimeError]"


def test_a_long_line_is_cut_and_stays_json():
    entry = line(message="m" * 500_000, user_id=7, blob="\u0001" * 100_000)
    assert len(json.dumps(entry)) < logs.MAX_LINE_BYTES
    assert entry["message"].startswith("mmm")
    assert entry["service"] == "auth-service"
    assert entry["truncated_bytes"] > 500_000


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    logging.captureWarnings(False)
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level


@pytest.mark.usefixtures("root_logger")
def test_file_is_opened_again_after_rotation(tmp_path, capsys):
    file = tmp_path / "auth-service.log"
    log = logs.configure("auth-service", file=str(file))
    log.info("first", extra={"user_id": 1})
    file.rename(tmp_path / "auth-service.log.1")
    log.info("second")
    log.debug("not at this level")
    assert [json.loads(each)["message"] for each in file.read_text().splitlines()] == ["second"]
    assert [json.loads(each)["message"] for each in capsys.readouterr().out.splitlines()] == ["first", "second"]
