# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Takes a component away, but neither its data nor what others put here. May be killed anywhere and called again."""

from __future__ import annotations

import os
import typing as t

from . import _data, _files, _generations, _service
from ._layout import Layout


def is_left(layout: Layout) -> bool:
    """Whether anything of ours is here, also of an installation or a removal that was killed."""
    own = set(os.listdir(layout.home)) - {os.path.basename(layout.adopted)} if os.path.isdir(layout.home) else set()
    homes = (layout.sysusers, os.path.dirname(layout.releases))
    return bool(own) or any(map(os.path.lexists, homes)) or any(map(_is_empty, _folders(layout)))


def _folders(layout: Layout) -> tuple[str, ...]:
    """The folders that go once nothing is in them, the inner ones first."""
    return (layout.home, os.path.dirname(layout.home), os.path.dirname(os.path.dirname(layout.releases)))


def _is_empty(folder: str) -> bool:
    return os.path.isdir(folder) and not os.path.ismount(folder) and not os.listdir(folder)


def remove(layout: Layout, programs: tuple[str, ...], foreign: t.Iterable[str], ours: bool) -> None:
    """C(ours): the unit file was made here."""
    _give_back(layout, foreign)
    for path, target in layout.links(programs).items():
        for link in (path, f"{path}.new"):  # of a run that was killed while it made them
            if _generations.is_link_to(link, target):
                _files.remove(link)
    _files.remove(f"{layout.unit}.new")
    if ours:
        _files.remove(layout.unit)
    _files.remove(layout.sysusers)
    _service.command("systemctl", "daemon-reload")
    _service.command("systemctl", "reset-failed", layout.unit_name, check=False)
    _files.remove(os.path.dirname(layout.releases))
    _data.forget(layout.data)
    names = set(os.listdir(layout.home)) if os.path.isdir(layout.home) else set()
    # What was adopted is not ours to remove. The generations go last: they are how the next run sees that we are here.
    last = [os.path.basename(path) for path in (layout.current, layout.generations)]
    for name in [*sorted(names - {*last, os.path.basename(layout.adopted)}), *last]:
        _files.remove(os.path.join(layout.home, name))
    for folder in filter(_is_empty, _folders(layout)):
        os.rmdir(folder)


def _give_back(layout: Layout, foreign: t.Iterable[str]) -> None:
    """Files of others stay where they were: in a real folder instead of the link to our configuration."""
    kept = f"{layout.etc}.kept"
    if os.path.isdir(kept) and not os.path.lexists(layout.etc):  # killed between the last two lines
        os.rename(kept, layout.etc)
    if not foreign or not _generations.is_link_to(layout.etc, layout.links(())[layout.etc]):
        return
    _files.remove(kept)
    for path in foreign:
        _files.make_folder(os.path.dirname(f"{kept}/{path}"))
        _files.copy_access(f"{layout.place('config')}/{path}", f"{kept}/{path}")
    _files.remove(layout.etc)
    os.rename(kept, layout.etc)
