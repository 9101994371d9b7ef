# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Serving an earlier generation again: when a transaction fails, and when the second look finds a component dead."""

from __future__ import annotations

import os
import time
import typing as t
from dataclasses import replace

from . import _data, _files, _generations, _ready, _service, _undo
from ._account import account_ids
from ._errors import ComponentError
from ._layout import Layout


def keep_failed(layout: Layout, number: int) -> None:
    _files.remove(layout.failed)
    if os.path.isdir(layout.generation(number)):
        os.rename(layout.generation(number), layout.failed)


def go_back(layout: Layout, back: int, only_reload: bool, password: str = "", patience: float = 600) -> None:
    """Serve an earlier generation again, with the data that it can read, and see it answer.

    Without the password a 401 counts as an answer too.
    """
    unit = layout.unit_name
    stated = _generations.manifest(layout, back) or {}
    leaving = _generations.current_number(layout)
    only_reload = only_reload and _service.status(unit).running
    if not only_reload:
        _service.command("systemctl", "stop", unit, check=False)
    if not only_reload and _data.has_copy(layout.data, str(back)):
        # A host that starts anew before this is done must not start the service on half of the data. It is a precaution
        # only: where /etc cannot be written, the way back is the more needed.
        _service.command("systemctl", "disable", "--quiet", unit, check=False)
        _data.restore(layout.data, str(back))
    if leaving != back:
        _generations.switch(layout, back)
        ids = account_ids(layout.name) or (0, 0)
        for path, text in stated.get("live", {}).items():
            _files.write_file(f"{layout.live}/{path}", text.encode(), 0o640, gid=ids[1])
        _service.command("systemctl", "daemon-reload")
        if leaving is not None:
            keep_failed(layout, leaving)
    if not _service.status(unit).enabled:
        _service.command("systemctl", "enable", "--quiet", unit)
    _service.command("systemctl", "reset-failed", unit, check=False)
    try:
        _service.command("systemctl", "reload" if only_reload else "start", unit)
    except ComponentError:
        _service.command("systemctl", "restart", unit)
    begun = _service.status(unit)

    def alive() -> None:
        seen = _service.status(unit)
        if seen.died or seen.restarts != begun.restarts:
            words, remedy = _service.why_it_died(unit, seen)
            raise ComponentError(f"generation {back} does not stay up either", words, remedy)

    def ready(endpoint: _ready.Endpoint, answer: _ready.Answer) -> bool:
        """Its password may be an earlier one, and to be asked for it is an answer too."""
        return answer.status == 401 or _ready.is_ready(endpoint, answer)

    alive()
    if stated.get("ready"):
        endpoint = replace(_ready.Endpoint(**stated["ready"]), password=password)
        _ready.wait_until_ready(endpoint, alive, patience, ready=ready)


def back_to_nothing(layout: Layout, programs: tuple[str, ...], ours: bool) -> str:
    """A first installation failed: leave no service behind, but what people need to see why. C(ours): the unit is."""
    number = _generations.current_number(layout)
    if ours:
        _service.command("systemctl", "disable", "--now", layout.unit_name, check=False)
        _files.remove(layout.unit)
    for path, target in {**layout.links(programs), layout.current: f"generations/{number}"}.items():
        if _generations.is_link_to(path, target):
            _files.remove(path)
    if number:
        keep_failed(layout, number)
    _service.command("systemctl", "daemon-reload")
    _service.command("systemctl", "reset-failed", layout.unit_name, check=False)
    return "nothing ran before and nothing runs now"


def second_look(layout: Layout, seconds: float, password: str = "") -> list[str]:
    """See whether what was started in this play still runs C(seconds) after its start; if not, go back.

    Returns what was done in words; raises ComponentError when the component had died.
    """
    noted = _files.read_json(layout.unsettled)
    if noted is None:
        return []
    unit, name = layout.unit_name, layout.name
    if noted.get("boot") != boot_id():  # started anew since then, so there is nothing to compare with
        settle(layout)
        return []
    while time.monotonic() < noted["started"] / 1e6 + seconds:
        time.sleep(0.1)
        if _died(unit, noted):
            break
    seen = _service.status(unit)
    if not _died(unit, noted):
        settle(layout)
        return [f"{name} still runs {seconds:g} s after its start"]
    words, remedy = _service.why_it_died(unit, seen)
    back = noted["from"]
    if back is None or not os.path.isdir(layout.generation(back)):
        now = "there is no earlier generation to go back to"
    else:
        go_back(layout, back, only_reload=False, password=password)
        now = f"rolled back to generation {back}, which answers"
    settle(layout)
    raise ComponentError(f"{name} died after it had been ready ({now})", words, remedy)


def _died(unit: str, noted: t.Mapping[str, t.Any]) -> bool:
    seen = _service.status(unit)
    return seen.died or seen.restarts > noted["restarts"]  # another pid alone: somebody restarted it


def boot_id() -> str:
    return _files.read_bytes("/proc/sys/kernel/random/boot_id").decode().strip()


def resume(layout: Layout, back: int, password: str, patience: float) -> None:
    """Complete a way back, so that what follows starts from a proven generation with its own data."""
    _undo.restore(layout)
    go_back(layout, back, False, password, patience)
    _undo.forget(layout)


def settle(layout: Layout) -> None:
    """The change has proven itself (or was undone): what was kept for the way back may go."""
    _files.remove(layout.unsettled)
    _data.forget(layout.data)
