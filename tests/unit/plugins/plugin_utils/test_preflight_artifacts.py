# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_artifacts as artifacts

RELEASE = {
    "host": "https://example.org",
    "path": "app/v{version}/app-{version}.linux-{arch}.tar.gz",
    "checksums": "app/v{version}/sha256sums.txt",
    "programs": ["app"],
    "names": {},
    "unpublished_checksum": False,
}
PATH = "app/v1.2.3/app-1.2.3.linux-arm64.tar.gz"


UNPUBLISHED = {**RELEASE, "checksums": None, "unpublished_checksum": True}


def wished(mirror: str = "", lock: str = "", release: dict[str, t.Any] = RELEASE) -> artifacts.Artifact:
    return artifacts.artifact("app", release, "1.2.3", "arm64", mirror, lock)


@pytest.mark.parametrize(
    ("mirror", "base", "lock"),
    [
        ("", "https://example.org", ""),
        ("http://mirror/x/", "http://mirror/x/", "http://mirror/x/releases.lock.yml"),
    ],
)
def test_question_to_the_host(mirror: str, base: str, lock: str) -> None:
    assert wished(mirror).question() == {
        "name": "app",
        "base": base,
        "path": PATH,
        "checksum": "",
        "checksums_path": "app/v1.2.3/sha256sums.txt",
        "mirror_lock": lock,
        "unpublished": False,
    }


def test_lock_is_sent_along(tmp_path: Path) -> None:
    lock = tmp_path / "releases.lock.yml"
    lock.write_text(f"{PATH}: {'a' * 64}\n")
    assert wished(lock=str(lock)).question()["checksum"] == "a" * 64


def make_mirror(folder: Path, sums: bool = True) -> str:
    archive = folder / "mirror" / PATH
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"archive")
    if sums:
        (archive.parent / "sha256sums.txt").write_text(f"{'a' * 64}  {archive.name}\n")
    return str(folder / "mirror")


def test_mirror_that_has_it(tmp_path: Path) -> None:
    mirror = make_mirror(tmp_path)
    assert artifacts.pushed(mirror, [wished(mirror)]) == ({"app": 7}, [])


def test_mirror_that_lacks_it(tmp_path: Path) -> None:
    sizes, (problem,) = artifacts.pushed(str(tmp_path), [wished(str(tmp_path))])
    assert sizes == {"app": 0}
    assert problem.what == f"app 1.2.3: The mirror lacks {tmp_path}/{PATH}"
    assert "monitoring_mirror" in problem.remedy


def test_mirror_without_its_checksum(tmp_path: Path) -> None:
    mirror = make_mirror(tmp_path, sums=False)
    sizes, (problem,) = artifacts.pushed(mirror, [wished(mirror)])
    assert sizes == {"app": 7}
    assert "app 1.2.3: the mirror has no checksum of" in problem.what
    (tmp_path / "mirror/releases.lock.yml").write_text(f"{PATH}: {'a' * 64}\n")
    assert artifacts.pushed(mirror, [wished(mirror)]) == ({"app": 7}, [])


@pytest.mark.parametrize(("keeps", "problems"), [(True, 0), (False, 1)])
def test_mirror_of_a_release_without_a_published_checksum(tmp_path: Path, keeps: bool, problems: int) -> None:
    """What is there is taken, as long as there is a lock in which its sum is kept."""
    mirror = make_mirror(tmp_path, sums=False)
    one = wished(mirror, str(tmp_path / "releases.lock.yml") if keeps else "", UNPUBLISHED)
    sizes, found = artifacts.pushed(mirror, [one])
    assert (sizes, len(found)) == ({"app": 7}, problems)


def test_question_about_a_release_without_a_published_checksum(tmp_path: Path) -> None:
    question = wished(lock=str(tmp_path / "releases.lock.yml"), release=UNPUBLISHED).question()
    assert (question["unpublished"], question["checksums_path"]) == (True, "")


def test_what_the_host_said() -> None:
    found = {"what": "x could not be fetched", "seen": "refused", "remedy": "open the way"}
    sizes, problems = artifacts.fetched([wished()], [{"name": "app", "size": 9, "problems": [found]}])
    assert sizes == {"app": 9}
    assert problems == [("app 1.2.3: x could not be fetched", "refused", "open the way")]


def test_mirror_that_is_not_there(tmp_path: Path) -> None:
    assert "no folder on the control node: /nowhere/mirror" in artifacts.folder_warning("/nowhere/mirror")
    for mirror in ("", str(tmp_path), "https://mirror.example.com"):
        assert artifacts.folder_warning(mirror) == ""


def test_locks(tmp_path: Path) -> None:
    mine, mirror = tmp_path / "mine.yml", tmp_path / "mirror"
    mirror.mkdir()
    paths = artifacts.locks(str(mirror), str(mine))
    assert paths == [str(mine), str(mirror / "releases.lock.yml")]
    assert artifacts.locks("https://mirror", str(mine)) == [str(mine)]
    assert artifacts.lock_problems(["", *paths]) == []
    mine.write_text("- a list\n")
    (mirror / "releases.lock.yml").write_text("{")
    assert len(artifacts.lock_problems(paths)) == 2
