# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets on the control node: made once, readable by their owner, the same for everybody who asks at once."""

from __future__ import annotations

import itertools
import stat
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible import constants
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import ENDING, PLACEHOLDER, SecretsDir

FILE = f"one{ENDING}"


def never() -> str:
    raise AssertionError("a secret was made again")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inventory" / "secrets"


def test_name_of_a_secret_file_is_no_host() -> None:
    """Beside the inventory, Ansible reads every file whose ending it does not skip."""
    assert ENDING in constants.INVENTORY_IGNORE_EXTS


def test_made_once(folder: Path) -> None:
    assert SecretsDir(str(folder)).keep("one", lambda: "s3cret") == "s3cret"
    assert SecretsDir(str(folder)).keep("one", never) == "s3cret"
    assert (folder / FILE).read_text() == "s3cret\n"
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_only_the_owner_may_look(folder: Path) -> None:
    SecretsDir(str(folder)).keep("one", lambda: "s3cret")
    assert (mode(folder), mode(folder / FILE)) == (0o700, 0o600)
    SecretsDir(str(folder)).keep("one", lambda: "another", fits=lambda kept: kept != "s3cret")
    assert mode(folder / FILE) == 0o600


def test_given_by_the_user(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / FILE).write_text("mine\n\n")
    assert SecretsDir(str(folder)).keep("one", never) == "mine"


def test_empty_file_is_no_secret(folder: Path) -> None:
    """As a full disk leaves it, or an editor."""
    folder.mkdir(parents=True)
    (folder / FILE).touch()
    assert SecretsDir(str(folder)).keep("one", lambda: "s3cret") == "s3cret"
    assert SecretsDir(str(folder)).keep("one", never) == "s3cret"


def test_what_is_kept(folder: Path) -> None:
    secrets = SecretsDir(str(folder))
    assert not secrets.has("one")
    secrets.keep("one", lambda: "s3cret")
    (folder / f"two{ENDING}").touch()
    assert (secrets.has("one"), secrets.has("two")) == (True, False)
    assert not SecretsDir(str(folder / FILE)).has("one"), "a file, and no folder"


@pytest.mark.parametrize("existing", [True, False])
def test_all_who_ask_at_once_get_the_same(folder: Path, existing: bool) -> None:
    if existing:
        folder.mkdir(parents=True)
    count, numbers = 16, itertools.count()
    barrier = threading.Barrier(count, timeout=60)  # rather an error than waiting for ever

    def make() -> str:
        time.sleep(0.05)  # long enough for all the others to have seen that there is nothing
        return f"secret-{next(numbers)}"

    def ask(_number: int) -> str:
        barrier.wait()
        return SecretsDir(str(folder)).keep("one", make)

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(ask, range(count)))
    assert len(set(found)) == 1
    assert SecretsDir(str(folder)).keep("one", never) == found[0]
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_made_again_when_it_does_not_fit(folder: Path) -> None:
    secrets = SecretsDir(str(folder))
    secrets.keep("one", lambda: "old")
    assert secrets.keep("one", lambda: "new", fits=lambda kept: kept == "new") == "new"
    assert secrets.keep("one", never) == "new"


@pytest.mark.parametrize(("placeholder", "expected"), [(PLACEHOLDER, PLACEHOLDER), (None, "made")])
def test_check_mode_writes_nothing(folder: Path, placeholder: str | None, expected: str) -> None:
    secrets = SecretsDir(str(folder), read_only=True)
    assert secrets.keep("one", lambda: "made", placeholder) == expected
    assert not folder.parent.exists()


def test_check_mode_replaces_nothing(folder: Path) -> None:
    SecretsDir(str(folder)).keep("one", lambda: "old")
    read_only = SecretsDir(str(folder), read_only=True)
    assert read_only.keep("one", never, PLACEHOLDER) == "old"
    assert read_only.keep("one", lambda: "new", fits=lambda kept: False) == "new"
    assert (folder / FILE).read_text() == "old\n"


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda tmp_path: "/proc/secrets", id="nobody may write there"),
        pytest.param(lambda tmp_path: f"{tmp_path}/file/secrets", id="below a file"),
    ],
)
def test_folder_that_cannot_be_written(tmp_path: Path, place: t.Callable[[Path], str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AnsibleError, match=rf"The secret {place(tmp_path)}/{FILE} cannot be (read|written)"):
        SecretsDir(place(tmp_path)).keep("one", lambda: "s3cret")


def test_error_of_a_folder_says_what_to_do() -> None:
    with pytest.raises(AnsibleError, match=r"What to do: .*monitoring_secrets_dir"):
        SecretsDir("/proc/secrets").keep("one", lambda: "s3cret")
