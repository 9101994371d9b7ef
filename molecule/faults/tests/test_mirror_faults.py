# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mirror may do instead of handing out a release: the run ends soon, says what came, and changed nothing."""

from __future__ import annotations

import threading
import time

import pytest

PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
HANG = 300


def page(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(PAGE)))
    handler.end_headers()
    handler.wfile.write(PAGE)


def status(code):
    return lambda handler: handler.send_error(code)


@pytest.fixture
def stalls():
    """Answers that begin, perhaps, and never end."""
    over = threading.Event()

    def silent(handler):
        over.wait(HANG)

    def half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(10 << 20))
        handler.end_headers()
        handler.wfile.write(bytes(5 << 20))
        handler.wfile.flush()
        over.wait(HANG)

    yield {"silent": silent, "half": half}
    over.set()


@pytest.fixture
def refused(site, http_mirror, watch, in_force, host):
    """Runs against the mirror, which have to fail long before what hangs would end, and returns what was said."""

    def run(seconds=HANG / 3, **extra):
        before = in_force()
        http_mirror.asked.clear()
        begun = time.monotonic()
        with watch:
            done = site.run(monitoring_mirror=http_mirror.url, prometheus_version="3.5.3", **extra)
        assert time.monotonic() - begun < seconds
        assert done.rc != 0
        assert "What to do:" in done.said
        assert f"generation {before.generation} is untouched" in done.said
        assert in_force() == before
        assert watch.missed == []
        assert host.check_output("ls -A /opt/opswatch/prometheus/releases") == "2.53.3"
        return done.said

    return run


def count(mirror, name):
    """How often it was asked for a file: what takes its time is not to be waited for again."""
    return len([path for path in mirror.asked if path.endswith(name)])


ARCHIVE, SUMS = "prometheus-3.5.3.linux-amd64.tar.gz", "sha256sums.txt"


@pytest.mark.parametrize(
    ("spoilt", "answer", "said", "asked"),
    [
        pytest.param(
            ARCHIVE,
            status(404),
            [f"{ARCHIVE} could not be fetched", "HTTP Error 404"],
            1,
            id="archive-404",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            SUMS,
            status(404),
            [f"{SUMS} could not be fetched", "HTTP Error 404"],
            1,
            id="checksums-404",
            marks=pytest.mark.slow,
        ),
        pytest.param(ARCHIVE, status(500), [f"{ARCHIVE} could not be fetched", "HTTP Error 500"], 3, id="archive-500"),
        pytest.param(SUMS, page, [f"{SUMS} has no checksum of", "begins with '<!DOCTYPE"], 1, id="checksums-a-page"),
        pytest.param(
            ARCHIVE,
            page,
            ["wrong checksum", "begins with '<!DOCTYPE", "a web page"],
            1,
            id="archive-a-page",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_wrong_answer(refused, http_mirror, spoilt, answer, said, asked):
    http_mirror.spoilt[spoilt] = answer
    text = refused()
    for words in said:
        assert words in text
    assert count(http_mirror, spoilt) == asked


def test_server_that_says_nothing(refused, http_mirror, stalls, tampered):
    """The 20 s pass five times as fast here."""
    http_mirror.spoilt[SUMS] = stalls["silent"]
    assert f"{SUMS} could not be fetched" in (text := refused(**tampered(HASTE=5)))
    assert "the server said nothing for 20 s" in text
    assert count(http_mirror, SUMS) == 1


def test_server_that_stops_half_way(refused, http_mirror, stalls, tampered, site):
    """The 20 s pass as fast here. And the next run, on a mirror that works, succeeds."""
    http_mirror.spoilt[ARCHIVE] = stalls["half"]
    assert f"{ARCHIVE} could not be fetched" in (text := refused(**tampered(HASTE=5)))
    assert f"the server said nothing for 20 s after {5 << 20} of {10 << 20} bytes" in text
    assert count(http_mirror, ARCHIVE) == 1
    http_mirror.spoilt.clear()
    site.good(monitoring_mirror=http_mirror.url, prometheus_version="3.5.3")
    site.good(prometheus_state="absent", prometheus_remove_data=True)
