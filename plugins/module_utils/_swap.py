# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Two sets of data in one folder, one of them live, until the new one has proved itself. May be killed anywhere."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from . import _files
from ._errors import ComponentError
from ._layout import Layout

WORK = ".monitoring-restore"  # in the data folder: one file system, so that a swap is renames
KEEPS = {WORK, "snapshots", "lost+found"}  # entries that are nobody's data


@dataclass(frozen=True)
class Swap:
    """The two sets of entries of one data folder. C(data): the folder."""

    data: str

    @property
    def work(self) -> str:
        return f"{self.data}/{WORK}"

    @property
    def note(self) -> str:
        """What will be done, or was."""
        return f"{self.work}/swap.json"

    @property
    def new(self) -> str:
        return f"{self.work}/new"

    @property
    def old(self) -> str:
        return f"{self.work}/old"

    def replaced(self, names: t.Sequence[str] | None) -> list[str]:
        """Live entries that make way. C(names): only these; None for all of the data."""
        there = _data_in(self.data)
        return there if names is None else [name for name in there if name in names]

    def announce(self) -> None:
        """Before the service stops: whoever finds this, and nothing swapped, has but to start it again."""
        os.sync()  # what is new, before anything makes way for it; now, as that may take long
        _files.write_json(self.note, {})

    def begin(self, names: t.Sequence[str] | None) -> None:
        """Say what will be done, then do it. From here on C(undo) brings back what was."""
        stated = {"replaced": self.replaced(names), "placed": _data_in(self.new), "all": names is None}
        os.makedirs(self.old, mode=0o700, exist_ok=True)
        _files.write_json(self.note, stated)
        for name in stated["replaced"]:
            os.rename(f"{self.data}/{name}", f"{self.old}/{name}")
        for name in stated["placed"]:
            os.rename(f"{self.new}/{name}", f"{self.data}/{name}")
        _files.flush_folder(self.data)

    @property
    def begun(self) -> bool:
        return os.path.exists(self.note)

    @property
    def in_place(self) -> bool:
        """Whether something of the new set is live, or may be: more than C(announce) is noted."""
        return bool(_files.read_json(self.note))

    def undo(self) -> None:
        """Bring back what was, however far the swap came, and however far an earlier attempt at this."""
        stated = _files.read_json(self.note) or {}
        replaced, placed = stated.get("replaced", []), stated.get("placed", [])
        # What a server that was started on the new data has made beside it is of no more use than that.
        made = [name for name in self.replaced(None) if name not in placed] if stated.get("all") else []
        for name in [*placed, *made]:
            waits = os.path.lexists(f"{self.new}/{name}")  # it never came into place
            is_back = name in replaced and not os.path.lexists(f"{self.old}/{name}")
            if not waits and not is_back:
                _files.remove(f"{self.data}/{name}")
        for name in os.listdir(self.old) if os.path.isdir(self.old) else []:
            _files.remove(f"{self.data}/{name}")
            os.rename(f"{self.old}/{name}", f"{self.data}/{name}")
        _files.flush_folder(self.data)
        self.end()

    def end(self) -> None:
        os.sync()  # what stays, before the other is gone
        # The word that something was begun goes first: half of what is removed is nothing to bring back.
        _files.remove(self.note)
        _files.remove(self.work)


def _data_in(folder: str) -> list[str]:
    """Of a new set too: the backup of a live folder may have what is ours, and the live one is in its place."""
    return [name for name in sorted(os.listdir(folder)) if name not in KEEPS and not name.startswith(".")]


def refuse_unproved(layout: Layout) -> None:
    """Raise where a restore was killed in the middle: a service that is started now makes the two sets hard to tell."""
    swap = Swap(layout.data)
    if swap.in_place:
        raise ComponentError(
            f"a restore of {layout.name} was killed before its data had proved itself",
            f"{swap.work} has the data from before",
            f"run playbooks/restore.yml -e restore_components={layout.name} for this host, which puts that back first; "
            f"or, to keep what is there now and lose the data from before: `rm -r {swap.work}`",
        )
