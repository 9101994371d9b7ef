# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of logs share: Loki, the agents, a service of each test's own."""

from __future__ import annotations

import uuid

import pytest

from tests.testbed import scenario
from tests.testbed.scenario import LOG_AGENTS, Loki


@pytest.fixture(scope="module")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Loki:
    return Loki("opswatch-logs", tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=LOG_AGENTS)
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def real(loki: Loki, request: pytest.FixtureRequest) -> None:
    # ./dev test has stand-ins, of which nothing here would say anything: whatever they did would prove nothing.
    # ./dev test-real has the programs, and names each test that it skips.
    if loki.is_stand_in:
        pytest.skip("Loki is a stand-in")
    agent = request.getfixturevalue("agent")
    if "stand-in" in scenario.host(LOG_AGENTS[agent]).run(f"{agent} --version").stdout:
        # Somebody's folder may have a real Loki and no real agent.
        pytest.skip(f"{agent} is a stand-in")


@pytest.fixture
def service() -> str:
    """One of this test's own."""
    return f"test-{uuid.uuid4().hex[:8]}"
