# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Everything that is wanted of one component on one host."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._data import Data
from ._plan import Desired, Key
from ._ready import Endpoint
from ._release import Source


@dataclass(frozen=True)
class Spec:
    """What a plan needs beside the desired state: contents, commands, addresses."""

    desired: Desired
    contents: t.Mapping[Key, bytes]
    unit: str
    source: Source
    flag_check: tuple[str, ...]  # arguments after the program, --version last
    validators: tuple[tuple[str, ...], ...]
    endpoint: Endpoint | None
    reload_metrics: str  # prefix of the *_config_last_reload_* metrics; empty: take systemd's word
    ready_timeout: float
    data: Data | None

    @property
    def programs(self) -> tuple[str, ...]:
        return self.source.programs
