# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths a pattern stands for."""

from __future__ import annotations

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_paths import matches


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/a/*.log", "/a/b.log", True),
        ("/a/*.log", "/a/.log", True),
        ("/a/*.log", "/a/b/c.log", False),
        ("/a/**/*.log", "/a/c.log", True),
        ("/a/**/*.log", "/a/b/b/c.log", True),
        ("/a/**", "/a/b/c", True),
        ("/a/**.log", "/a/b/c.log", False),  # no part by itself, so it leads into no folder
        ("/a/**.log", "/a/c.log", True),
        ("/a/?.log", "/a/b.log", True),
        ("/a/?.log", "/a/bb.log", False),
        ("/a/b+.log", "/a/bb.log", False),
        ("/a/[bc].log", "/a/b.log", True),
        ("/a/[!b-d].log", "/a/c.log", False),
        ("/a/[^b-d].log", "/a/e.log", True),
        ("/a[!x]b", "/a/b", False),
        ("/a/[[]b", "/a/[b", True),
        ("/{a,b/**}/x.{log,txt}", "/b/c/d/x.txt", True),
        ("/{a,b}/x.{log,txt}", "/c/x.txt", False),
        ("/{a,{b,c}}/x", "/c/x", True),
        (r"/a/\*.log", "/a/*.log", True),
        (r"/a/\*.log", "/a/b.log", False),
        ("/a/[b.log", "/a/b.log", None),
        ("/a/[b-", "/a/b", None),
        ("/a/{b", "/a/b", None),
        (r"/a/\{b,c}", "/a/b", None),
        ("/" + "{a,b}" * 20, "/a", None),
    ],
)
def test_matches(pattern: str, path: str, expected: bool | None) -> None:
    assert matches(pattern, path) is expected
