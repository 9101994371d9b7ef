# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What has to be put right before a plan can be made: what a killed run left half-done, or what somebody removed."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import _adoption, _data, _files, _generations, _service, _undo
from ._layout import Layout
from ._plan import Observed, older
from ._spec import Spec
from ._swap import refuse_unproved
from ._way_back import back_to_nothing, resume


@dataclass(frozen=True)
class Need:
    """One thing to put right: how it reads before and after, and how it is done."""

    to_do: str
    done: str
    act: t.Callable[[], object]


def first_need(layout: Layout, spec: Spec, observed: Observed) -> Need | None:
    """The first of them; whoever has met it observes the host anew and asks again.

    Raises where people have to choose.
    """
    absent = spec.desired.state == "absent"
    if not absent:
        refuse_unproved(layout)
    if observed.current is None and observed.committed:
        link = f"the link {layout.current}, which was gone"
        return Need(f"repair {link}", f"repaired {link}", lambda: _relink(layout, observed))
    back = _unfinished_way_back(layout, spec, observed)
    if back is not None and absent:
        data = f"the data of generation {back}"
        return Need(f"put back {data}", f"put back {data}", lambda: _put_data_back(layout, back))
    if back is not None:
        way = f"the way back to generation {back}, which an earlier run did not come to the end of"
        password = spec.endpoint.password if spec.endpoint else ""
        return Need(f"complete {way}", f"completed {way}", lambda: resume(layout, back, password, spec.ready_timeout))
    note = _adoption.noted(layout)
    unproven = observed.current is not None and not observed.current.committed
    if note and note["number"] not in observed.committed and (absent or not unproven):
        taken = f"what an interrupted run was taking over: {', '.join([*note['paths'], *note['units']])}"
        return Need(f"put back {taken}", f"put back {taken}", lambda: _undo_adoption(layout, spec.programs, observed))
    return None


def _relink(layout: Layout, observed: Observed) -> None:
    """To the generation whose unit is installed; where none is, to the newest that has proven itself."""
    fitting = [
        number
        for number in observed.committed
        if (_generations.manifest(layout, number) or {}).get("unit") == observed.unit
    ]
    _files.switch_link(layout.current, f"generations/{max(fitting or observed.committed)}")


def _unfinished_way_back(layout: Layout, spec: Spec, observed: Observed) -> int | None:
    """The generation that has to serve again before anything else is planned.

    A run was killed while it put data back, or an upgrade was killed and the earlier version is wanted again.
    """
    number = _data.interrupted(layout.data)
    if number is not None and number.isdigit() and int(number) in observed.committed:
        return int(number)
    unproven = observed.current is not None and not observed.current.committed
    if unproven and spec.desired.state == "present" and older(spec.desired.version, observed.current.version):
        return observed.fallback
    return None


def _put_data_back(layout: Layout, number: int) -> None:
    _service.command("systemctl", "stop", layout.unit_name, check=False)
    _data.restore(layout.data, str(number))


def _undo_adoption(layout: Layout, programs: tuple[str, ...], observed: Observed) -> None:
    nothing_proven = observed.fallback is None
    if observed.current and nothing_proven:
        back_to_nothing(layout, programs, ours=True)
    _adoption.undo(layout)
    if nothing_proven:  # so nothing else is owed
        _undo.restore(layout)
        _undo.forget(layout)
