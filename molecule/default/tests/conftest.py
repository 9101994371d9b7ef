# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from tests.testbed import scenario

SERVER = "opswatch-debian13"
HOSTS = [SERVER, "opswatch-debian12", "opswatch-app"]


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Any:
    """Each host in turn."""
    return scenario.host(request.param)


@pytest.fixture
def server() -> Any:
    """The host that runs Prometheus."""
    return scenario.host(SERVER)


@pytest.fixture
def prometheus() -> scenario.Prometheus:
    return scenario.Prometheus(SERVER)
