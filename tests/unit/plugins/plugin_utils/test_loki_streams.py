# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many streams each Loki takes."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.loki_streams import stream_limits


@pytest.mark.parametrize(
    ("members", "settings", "limit"),
    [
        (1, {}, 12000),
        (1, {"loki_max_global_streams_per_user": 500}, 500),
        (1, {"loki_max_streams_per_user": 500}, 500),
        (1, {"loki_max_global_streams_per_user": 0}, None),
        (1, {"loki_max_global_streams_per_user": 0, "loki_max_streams_per_user": "700"}, 700),
        (1, {"loki_config": {"limits_config": {"max_global_streams_per_user": 900}}}, 900),
        (1, {"loki_config": {"limits_config": {"max_streams_per_user": None}}}, 12000),
        (1, {"loki_config": "no map"}, 12000),
        (1, {"loki_max_global_streams_per_user": None}, None),
        (1, {"loki_max_global_streams_per_user": None, "loki_max_streams_per_user": 700}, 700),
        (1, {"loki_max_global_streams_per_user": 800, "loki_max_streams_per_user": ""}, 800),
        (1, {"loki_config": {"limits_config": {"max_streams_per_user": "many"}}}, 12000),
        (3, {"loki_replication_factor": "x"}, 12000),
        (2, {}, 6000),
        (3, {}, 12000),
        (6, {}, 6000),
        (6, {"loki_replication_factor": 2}, 4000),
    ],
)
def test_limit_of_each_member(members: int, settings: dict[str, t.Any], limit: int | None) -> None:
    hosts = [f"mon{number}" for number in range(members)]
    hostvars: dict[str, t.Any] = {**dict.fromkeys(hosts, settings), "gone": {"loki_state": "absent"}}
    assert stream_limits({"loki": [*hosts, "gone"]}, hostvars, 12000) == (dict.fromkeys(hosts, limit) if limit else {})


def test_no_loki() -> None:
    assert stream_limits({}, {}, 10000) == {}
