# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything lives."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout


def test_other_components_are_those_that_have_a_generation_in_force(tmp_path: Path) -> None:
    assert Layout("alloy", str(tmp_path)).others() == []
    for name in ("alloy", "promtail", "prometheus"):
        layout = Layout(name, str(tmp_path))
        Path(layout.home).mkdir(parents=True)
        Path(layout.current).symlink_to("generations/1")
    Path(Layout("loki", str(tmp_path)).home).mkdir()  # what is left of a first install that failed
    assert Layout("alloy", str(tmp_path)).others() == ["prometheus", "promtail"]
