# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wished for one run, and not for each."""

from __future__ import annotations

import typing as t

from ansible.parsing.dataloader import DataLoader
from ansible.utils.vars import load_extra_vars


def on_command_line(name: str) -> bool:
    return name in load_extra_vars(DataLoader())


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"on_command_line": on_command_line}
