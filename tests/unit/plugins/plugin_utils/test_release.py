# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control node tells the host about a release."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.release import (
    LOCK_NAME,
    local_archive,
    mirror_folder,
    read_lock,
    record_in_lock,
    worker_release,
)

RELEASE = {
    "host": "https://github.com",
    "path": "app/v{version}/app-{version}.linux-{arch}.tar.gz",
    "checksums": "app/v{version}/sha256sums.txt",
    "programs": ["app", "apptool"],
    "names": {},
    "unpublished_checksum": False,
}
AMD64 = "app/v1.2.3/app-1.2.3.linux-amd64.tar.gz"
ARM64 = "app/v1.2.3/app-1.2.3.linux-arm64.tar.gz"
A, B, C = "a" * 64, "b" * 64, "c" * 64


def write_lock(path: Path, **sums: str) -> str:
    paths = {"amd64": AMD64, "arm64": ARM64}
    path.write_text("".join(f"{paths[arch]}: {value}\n" for arch, value in sums.items()))
    return str(path)


def test_from_upstream() -> None:
    assert worker_release(RELEASE, "1.2.3", None, None) == {
        "base": "https://github.com",
        "paths": {"amd64": AMD64, "arm64": ARM64},
        "checksum_paths": {"amd64": "app/v1.2.3/sha256sums.txt", "arm64": "app/v1.2.3/sha256sums.txt"},
        "checksums": {},
        "mirror_lock": "",
        "programs": ["app", "apptool"],
        "names": {"amd64": {}, "arm64": {}},
        "unpublished": False,
    }


@pytest.mark.parametrize(
    ("version", "theirs"),
    [("9.3.2", "bin/app-server"), ("9.4.0", "bin/app"), ("10.0.0", "bin/app"), ("13.0.1", "app-v13.0.1")],
)
def test_name_that_differs_between_versions(version: str, theirs: str) -> None:
    names = {"app": {"9.3": "bin/app-server", "13": "app-v{version}", "9.4": "bin/app"}}
    made = worker_release({**RELEASE, "names": names}, version, None, None)
    assert made["names"] == {"amd64": {"app": theirs}, "arm64": {"app": theirs}}


def test_version_before_all_that_is_known() -> None:
    with pytest.raises(AnsibleActionFail, match=r"Nothing is known of version 9\.2\.1: 9\.3 is the first one"):
        worker_release({**RELEASE, "names": {"app": {"9.3": "app"}}}, "9.2.1", None, None)


@pytest.mark.parametrize("mirror", ["https://mirror.example.org/x", "https://mirror.example.org/x/"])
def test_from_a_mirror(mirror: str) -> None:
    made = worker_release(RELEASE, "1.2.3", mirror, None)
    assert made["base"].rstrip("/") == "https://mirror.example.org/x"
    assert made["mirror_lock"] == f"https://mirror.example.org/x/{LOCK_NAME}"


def test_release_without_checksums_of_its_own() -> None:
    assert worker_release({**RELEASE, "checksums": None}, "1.2.3", None, None)["checksum_paths"] == {}


def test_lock_of_the_user(tmp_path: Path) -> None:
    lock = write_lock(tmp_path / "lock.yml", amd64=A)
    assert worker_release(RELEASE, "1.2.3", None, lock)["checksums"] == {"amd64": A}
    assert worker_release(RELEASE, "1.2.4", None, lock)["checksums"] == {}


def test_mirror_that_is_a_folder(tmp_path: Path) -> None:
    write_lock(tmp_path / LOCK_NAME, amd64=A, arm64=B)
    lock = write_lock(tmp_path / "lock.yml", amd64=C)
    made = worker_release(RELEASE, "1.2.3", str(tmp_path), lock)
    assert made["base"] == "none"
    assert made["mirror_lock"] == ""  # the host could not read it
    assert made["checksums"] == {"amd64": C, "arm64": B}  # the user's own lock is stronger


@pytest.mark.parametrize(
    ("mirror", "folder"),
    [
        (None, None),
        ("", None),
        ("https://example.org", None),
        ("/srv/mirror", "/srv/mirror"),
        ("/srv/mirror/", "/srv/mirror"),
        ("~/mirror", "/home/me/mirror"),
    ],
)
def test_mirror_folder(mirror: str | None, folder: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert mirror_folder(mirror) == folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"a/b.tar.gz: {A}\n", {"a/b.tar.gz": A}, id="plain"),
        pytest.param(f"a/b.tar.gz: sha256:{A}\n", {"a/b.tar.gz": A}, id="with the algorithm"),
        pytest.param(f"---\n# why\n'a/b.tar.gz': \"{A}\"\n", {"a/b.tar.gz": A}, id="quoted"),
        pytest.param("", {}, id="empty"),
        pytest.param("# nothing yet\n", {}, id="comment"),
    ],
)
def test_lock(text: str, expected: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "lock.yml").write_text(text)
    assert read_lock(str(tmp_path / "lock.yml")) == expected


def test_no_lock(tmp_path: Path) -> None:
    assert read_lock(None) == read_lock("") == read_lock(str(tmp_path / "lock.yml")) == {}


@pytest.mark.parametrize(
    "text", ["- a\n", "just words\n", "a: [\n", "a: 'b\n"], ids=["list", "text", "broken list", "broken text"]
)
def test_lock_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "lock.yml").write_text(text)
    with pytest.raises(AnsibleActionFail, match=r"lock\.yml"):
        read_lock(str(tmp_path / "lock.yml"))


# --- archives that are pushed ---


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    archive = tmp_path / AMD64
    archive.parent.mkdir(parents=True)
    archive.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        pytest.param(f"{B}  other.tar.gz\n{A}  app-1.2.3.linux-amd64.tar.gz\n", A, id="listed"),
        pytest.param(f"{A} *app-1.2.3.linux-amd64.tar.gz\n", A, id="binary mark"),
        pytest.param(f"{A}  app-1.2.3.linux-arm64.tar.gz\n", "", id="not listed"),
        pytest.param(f"{A}\n", A, id="nothing but the sum"),
        pytest.param("<html>no such file</html>\n", "", id="a web page"),
        pytest.param(None, "", id="no file"),
    ],
)
def test_archive_in_a_folder(sums: str | None, expected: str, mirror: Path) -> None:
    if sums is not None:
        (mirror / "app/v1.2.3/sha256sums.txt").write_text(sums)
    found = local_archive(str(mirror), AMD64, "app/v1.2.3/sha256sums.txt")
    assert found == (str(mirror / AMD64), expected)


def test_archive_that_the_folder_lacks(mirror: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=rf"The mirror lacks {mirror / ARM64}\. What to do: .*mirror\.yml"):
        local_archive(str(mirror), ARM64, "")


def test_without_a_checksum_file(mirror: Path) -> None:
    made: t.Any = local_archive(str(mirror), AMD64, "")
    assert made == (str(mirror / AMD64), "")


# --- recording a checksum ---


@pytest.mark.parametrize("text", ["", "# mine\nother: 'c'\n", "# mine\nother: 'c'"], ids=["new", "more", "no line end"])
def test_recorded_below_what_is_there(text: str, tmp_path: Path) -> None:
    lock = tmp_path / LOCK_NAME
    if text:
        lock.write_text(text)
        lock.chmod(0o640)
    assert record_in_lock(str(lock), AMD64, A) is True
    assert record_in_lock(str(lock), AMD64, A) is False
    assert read_lock(str(lock)) == {**({"other": "c"} if text else {}), AMD64: A}
    assert lock.read_text().startswith(text.rstrip("\n"))
    assert lock.stat().st_mode & 0o777 == (0o640 if text else 0o644)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]


def test_two_hosts_that_got_different_files(tmp_path: Path) -> None:
    lock = str(tmp_path / LOCK_NAME)
    record_in_lock(lock, AMD64, A)
    with pytest.raises(AnsibleActionFail, match="differs between hosts"):
        record_in_lock(lock, AMD64, B)
    assert read_lock(lock) == {AMD64: A}


def test_lock_that_cannot_be_written(tmp_path: Path) -> None:
    """The line is told, so that it can be written by hand."""
    with pytest.raises(AnsibleActionFail, match=f"add this line to it: {AMD64}: '{A}'"):
        record_in_lock(str(tmp_path / "missing" / LOCK_NAME), AMD64, A)
