# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of logs share: Loki, the agents, a service of each test's own."""

from __future__ import annotations

import uuid

import pytest

from tests.testbed.scenario import LOG_AGENTS, Loki


@pytest.fixture(scope="module")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Loki:
    return Loki("opswatch-logs", tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=LOG_AGENTS)
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service() -> str:
    """One of this test's own."""
    return f"test-{uuid.uuid4().hex[:8]}"
