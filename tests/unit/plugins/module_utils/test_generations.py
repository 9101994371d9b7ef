# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations on disk, in a scratch root."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _generations
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout, installed_components
from ansible_collections.opswatch.monitoring.plugins.module_utils._plan import File, Generation

FILES = (File("config", "app.yml", "sha-1"), File("secret", "token", "sha-2"))


def make(layout: Layout, number: int, committed: bool = True) -> None:
    folder = Path(layout.generation(number))
    (folder / "config").mkdir(parents=True)
    (folder / "config/app.yml").write_text(f"generation {number}")
    (folder / layout.unit_name).write_text(f"unit {number}\n")
    stated = _generations.state("1.2.3", f"unit-{number}", FILES, {}, {}, ("app",), committed)
    (folder / "manifest.json").write_text(json.dumps(stated))


def in_force(layout: Layout) -> tuple[int | None, str]:
    unit = Path(layout.unit)
    return _generations.current_number(layout), unit.read_text() if unit.exists() else ""


def test_nothing_there(layout: Layout) -> None:
    assert _generations.numbers(layout) == ()
    assert _generations.current_number(layout) is None
    assert _generations.read(layout, None) is None
    assert _generations.read(layout, 1) is None


def test_numbers_are_numbers(layout: Layout) -> None:
    for number in (10, 9, 2):
        make(layout, number)
    Path(layout.generations, "notes").mkdir()
    assert _generations.numbers(layout) == (2, 9, 10)


@pytest.mark.parametrize("committed", [True, False])
def test_manifest_is_read_as_it_was_written(layout: Layout, committed: bool) -> None:
    make(layout, 3, committed)
    files = {("config", "app.yml"): "sha-1", ("secret", "token"): "sha-2"}
    assert _generations.read(layout, 3) == Generation(3, "1.2.3", "unit-3", files, committed)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_torn_manifest_is_no_generation(layout: Layout, text: str) -> None:
    make(layout, 3)
    Path(layout.generation(3), "manifest.json").write_text(text)
    assert _generations.read(layout, 3) is None


def test_switch_there_and_back(layout: Layout) -> None:
    make(layout, 1)
    make(layout, 2)
    for number in (1, 2, 1):
        _generations.switch(layout, number)
        assert in_force(layout) == (number, f"unit {number}\n")
        assert Path(layout.place("config"), "app.yml").read_text() == f"generation {number}"
    assert not Path(layout.unit).is_symlink()
    assert os.listdir(os.path.dirname(layout.unit)) == [layout.unit_name]
    assert sorted(os.listdir(layout.home)) == ["current", "generations"]


def test_switch_after_a_kill_in_between(layout: Layout) -> None:
    make(layout, 1)
    Path(f"{layout.current}.new").symlink_to("generations/9")
    Path(f"{layout.unit}.new").write_text("torn")
    _generations.switch(layout, 1)
    assert in_force(layout) == (1, "unit 1\n")
    assert os.listdir(os.path.dirname(layout.unit)) == [layout.unit_name]


def test_switch_that_fails_says_so(layout: Layout) -> None:
    """A folder with something in it stands where the link belongs."""
    make(layout, 1)
    Path(layout.current, "somebody's").mkdir(parents=True)
    with pytest.raises(ComponentError, match="generation 1 could not be activated"):
        _generations.switch(layout, 1)
    assert in_force(layout) == (None, "")


def test_links_lead_to_the_current_generation(layout: Layout) -> None:
    make(layout, 1)
    _generations.switch(layout, 1)
    _generations.set_links(layout, ("app", "apptool"))
    assert Path(layout.etc, "app.yml").read_text() == "generation 1"
    assert os.readlink(layout.program("apptool")) == f"{layout.current}/release/apptool"


def made(path: str) -> tuple[int, int, int]:
    """Which link it is and since when; reading it only changes the time of that."""
    status = os.lstat(path)
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def test_wrong_link_is_repaired_and_right_one_left_alone(layout: Layout) -> None:
    make(layout, 1)
    _generations.switch(layout, 1)
    _generations.set_links(layout, ("app",))
    before = made(layout.etc)
    os.unlink(layout.program("app"))
    os.symlink("/usr/bin/app", layout.program("app"))
    _generations.set_links(layout, ("app",))
    assert _generations.is_link_to(layout.program("app"), f"{layout.current}/release/app")
    assert made(layout.etc) == before


def test_installed_components(root: Path) -> None:
    assert installed_components(str(root)) == []
    for name in ("b", "a"):
        make(Layout(name, str(root)), 1)
    Path(root, "var/lib/opswatch/other").mkdir()
    assert installed_components(str(root)) == ["a", "b"]


# --- what a killed run left ---


def left(layout: Layout) -> list[str]:
    """Relative to the scratch root; generations 1 and 2 are proven, 2 is in force."""
    found = _generations.leftovers(layout, (1, 2), 2)
    return sorted(os.path.relpath(path, layout.root) for path in found)


@pytest.fixture
def two(layout: Layout) -> Layout:
    for number in (1, 2):
        make(layout, number)
    _generations.switch(layout, 2)
    for folder in (layout.live, layout.secrets):
        Path(folder, "sub").mkdir(parents=True)
        Path(folder, "sub/file").touch()
    return layout


def test_nothing_is_left(two: Layout) -> None:
    assert left(two) == []
    assert _generations.leftovers(Layout("other", two.root), (), None) == []


@pytest.mark.parametrize(
    "where",
    [
        "staging/config/app.yml",
        "generations/3/manifest.json",
        "live/.new-a1b2",
        "live/sub/.new-a1b2",
        "secrets/.new-a1b2",
        "secrets/sub/.new-a1b2",
    ],
)
def test_each_thing_that_may_be_left(two: Layout, where: str) -> None:
    path = Path(two.home, where)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (found,) = _generations.leftovers(two, (1, 2), 2)
    tops = {"staging": two.staging, "undo.new": f"{two.undo}.new", "generations": two.generation(3)}
    assert found == tops.get(where.split("/")[0], str(path))


def test_links_and_units_that_were_never_switched(two: Layout) -> None:
    Path(f"{two.current}.new").symlink_to("generations/9")  # which leads nowhere
    Path(f"{two.unit}.new").touch()
    assert left(two) == sorted(os.path.relpath(f"{path}.new", two.root) for path in (two.current, two.unit))


@pytest.mark.parametrize("name", [".new", "new-a", ".newer", "a.new-b", ".new_a"])
def test_files_of_others_are_not_left_by_us(two: Layout, name: str) -> None:
    Path(two.live, name).touch()
    Path(two.secrets, f"{name}.yml").touch()
    assert left(two) == []


def test_generation_in_force_is_never_left(two: Layout) -> None:
    """Proven or not, and with a manifest or without."""
    make(two, 3, committed=False)
    assert _generations.leftovers(two, (1, 2), 3) == []
    Path(two.generation(3), "manifest.json").unlink()
    assert _generations.leftovers(two, (1, 2), 3) == []
    assert _generations.leftovers(two, (1, 2), 2) == [two.generation(3)]


def test_looking_for_what_is_left_changes_nothing(two: Layout) -> None:
    Path(two.staging).mkdir()
    before = sorted(Path(two.root).rglob("*"))
    left(two)
    assert sorted(Path(two.root).rglob("*")) == before
