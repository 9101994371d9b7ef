# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._release import shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:s3cret@mirror.example.org/a", "https://mirror.example.org/a"),
        ("https://mirror.example.org/a@b", "https://mirror.example.org/a@b"),
        ("HTTP 401 from http://u:p@h/x and http://u:p@h/y", "HTTP 401 from http://h/x and http://h/y"),
    ],
)
def test_password_of_a_mirror_is_not_said(url: str, said: str) -> None:
    assert shown(url) == said
