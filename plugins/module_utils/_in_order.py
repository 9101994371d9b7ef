# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Whether a component is on this host just as its manifest says, and a mark by which others know what that is."""

from __future__ import annotations

import os
import typing as t

from . import _generations
from ._errors import ComponentError
from ._fingerprint import fingerprint
from ._layout import Layout
from ._observe import observe
from ._plan import Desired, File, plan
from ._recovery import first_need
from ._release import Source
from ._spec import Spec


class State(t.NamedTuple):
    """What was seen of one component. C(needs): what would have to be done, in words; nothing: it is in order."""

    version: str
    generation: int | None
    needs: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    fingerprint: str = ""


def look(layout: Layout, packages: t.Sequence[str] = (), keep: int | None = None) -> State:
    """Compare the host with the manifest in force, by the engine's own planner. Changes nothing.

    C(packages): units of packages of the same program; C(keep): generations that are to stay, None for as many as there
    are. Neither is in a manifest.
    """
    number = _generations.current_number(layout)
    stated = _generations.manifest(layout, number) if number else None
    if stated is None:
        return State("", number, ("bring a generation into force",))
    desired = Desired(
        name=layout.name,
        version=stated["version"],
        files=tuple(File(f["place"], f["path"], f["sha256"], int(f["mode"], 8)) for f in stated["files"]),
        unit=stated["unit"],
        keep=keep if keep is not None else len(_generations.numbers(layout)),
    )
    programs = tuple(stated["programs"])
    spec = Spec(
        desired=desired,
        contents={},
        unit="",
        source=Source("", "", programs=programs),
        flag_check=(),
        validators=(),
        endpoint=None,
        reload_metrics="",
        ready_timeout=0,
        data=None,
    )
    try:
        observed = observe(layout, desired, programs, tuple(packages))
        need = first_need(layout, spec, observed)
        made = plan(desired, observed)
    except ComponentError as error:
        return State(desired.version, number, (str(error),))
    needs = [step.words(done=False) for step in made.steps]
    if need is not None:
        needs.insert(0, need.to_do)
    if os.path.lexists(layout.unsettled):
        needs.append("settle the last change, at which nobody looked a second time")
    return State(desired.version, number, tuple(needs), made.warnings, fingerprint(desired, programs, packages))
