# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long backup is, in words; molecule/backup has the rest of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.long_module import how_far


def status(**more: Any) -> str:
    return json.dumps({"message_type": "status", "percent_done": 0.4321, "total_bytes": 12_300_000_000, **more})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (status(seconds_remaining=600), "43% of 12.3 GB, about 10 min left"),
        (status(seconds_remaining=90), "43% of 12.3 GB, about 90 s left"),
        (status(), "43% of 12.3 GB"),
        ('e":1}\n' + status(percent_done=0.1) + "\n" + status() + '\n{"message_ty', "43% of 12.3 GB"),
        (status(total_bytes=0), "at it for 75 s"),
        ("", "at it for 75 s"),
        ("[]\n7\n", "at it for 75 s"),
    ],
)
def test_words(said: str, words: str) -> None:
    assert how_far(said, 75) == words
