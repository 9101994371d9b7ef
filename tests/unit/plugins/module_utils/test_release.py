# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases, fetched from a real HTTP server and unpacked from real archives."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import tarfile
import threading
import time
import typing as t
import zipfile
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _release
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._release import (
    Source,
    architecture,
    find_checksum,
    install,
    installed_checksum,
    is_installed,
)

NAME = "app-1.2.3.linux-amd64.tar.gz"
PATH = f"app/v1.2.3/{NAME}"
SUMS = "app/v1.2.3/sha256sums.txt"
LOCK = "releases.lock.yml"
PROGRAMS = ("app", "apptool")
CONTENT = {"app": (b"the program", 0o755), "apptool": (b"the tool", 0o755), "LICENSE": (b"free", 0o644)}


def tar_gz(files: dict[str, tuple[bytes, int]], top: str = "app-1.2.3.linux-amd64/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(top + name)
            entry.size, entry.mode, entry.uid, entry.gid = len(content), mode, 1234, 1234
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


GOOD = tar_gz(CONTENT)
WRONG_SUM = "0" * 64


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power fails here
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # Ansible reads all of them for plain HTTP too, at every request


@pytest.fixture
def upstream(site: t.Any) -> t.Any:
    """A server with a good release."""
    site.pages = {f"/{PATH}": GOOD, f"/{SUMS}": f"{'1' * 64}  other.tar.gz\n{sha256(GOOD)}  {NAME}\n".encode()}
    return site


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Where the release belongs; its parents are made by the first installation."""
    return str(tmp_path / "opt/opswatch/app/releases/1.2.3")


def source(base: str, **more: t.Any) -> Source:
    return Source(base, **{"path": PATH, "checksums_path": SUMS, "programs": PROGRAMS, **more})


def refused(wanted: Source, folder: str) -> ComponentError:
    """The error of an installation, which must leave nothing behind."""
    with pytest.raises(ComponentError) as caught:
        install(wanted, folder)
    assert os.listdir(os.path.dirname(folder)) == []
    assert not is_installed(folder, PROGRAMS)
    return caught.value


def raised(function: t.Callable[..., object], *arguments: t.Any) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        function(*arguments)
    return caught.value


def modes(folder: str) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(folder).iterdir()}


# --- good ones ---


def test_installed(upstream: t.Any, folder: str) -> None:
    origin = install(source(upstream.url), folder)
    assert origin == f"{upstream.url}/{SUMS}"
    assert is_installed(folder, PROGRAMS)
    assert Path(folder, "app").read_bytes() == b"the program"
    assert os.listdir(os.path.dirname(folder)) == ["1.2.3"]
    assert dict(upstream.asked) == {f"/{SUMS}": 1, f"/{PATH}": 1}


def test_files_are_of_root_and_readable_by_all(upstream: t.Any, folder: str) -> None:
    install(source(upstream.url), folder)
    seen = modes(folder)
    assert (seen["app"], seen["apptool"], seen["LICENSE"]) == (0o555, 0o555, 0o444)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
    assert os.stat(f"{folder}/app").st_uid == os.geteuid()


def test_folders_of_the_archive_stay(site: t.Any, folder: str) -> None:
    archive = tar_gz({**CONTENT, "consoles/index.html": (b"hi", 0o600)})
    site.pages[f"/{PATH}"] = archive
    install(source(site.url, checksum=sha256(archive)), folder)
    assert Path(folder, "consoles/index.html").read_bytes() == b"hi"
    assert stat.S_IMODE(os.stat(f"{folder}/consoles").st_mode) == 0o755


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(tar_gz(CONTENT, top=""), id="tar without a top folder"),
        pytest.param(tar_gz(CONTENT, top="./app-1.2.3/"), id="tar with ./"),
    ],
)
def test_top_folder_does_not_matter(archive: bytes, site: t.Any, folder: str) -> None:
    site.pages[f"/{PATH}"] = archive
    install(source(site.url, checksum=sha256(archive)), folder)
    assert is_installed(folder, PROGRAMS)


@pytest.mark.parametrize("files", [{"app-linux-amd64": b"x"}, {"app-linux-amd64": b"x", "LICENSE": b"y"}])
def test_zip(files: dict[str, bytes], site: t.Any, folder: str) -> None:
    """As Loki's: no folder, and no permissions."""
    archive = zipped(files)
    site.pages["/app-linux-amd64.zip"] = archive
    wanted = source(site.url, path="app-linux-amd64.zip", checksum=sha256(archive), programs=("app-linux-amd64",))
    install(wanted, folder)
    assert is_installed(folder, ["app-linux-amd64"])
    assert modes(folder)["app-linux-amd64"] == 0o555


def test_pushed_archive_asks_nobody(closed_port: int, tmp_path: Path, folder: str) -> None:
    pushed = tmp_path / NAME
    pushed.write_bytes(GOOD)
    wanted = source("none", checksum=sha256(GOOD), pushed=str(pushed))
    install(wanted, folder)
    assert is_installed(folder, PROGRAMS)
    assert pushed.exists()  # it belongs to who pushed it


def test_slash_behind_the_mirror_does_not_matter(upstream: t.Any, folder: str) -> None:
    install(source(f"{upstream.url}/"), folder)
    assert is_installed(folder, PROGRAMS)


def test_what_an_interrupted_installation_left_is_in_nobodys_way(upstream: t.Any, folder: str) -> None:
    partial = Path(os.path.dirname(folder), ".partial-1.2.3", "tree")
    partial.mkdir(parents=True)
    (partial / "app").write_bytes(b"torn")
    install(source(upstream.url), folder)
    assert os.listdir(os.path.dirname(folder)) == ["1.2.3"]
    assert Path(folder, "app").read_bytes() == b"the program"


# --- is it installed ---


def test_nothing_is_not_installed(folder: str) -> None:
    assert not is_installed(folder, PROGRAMS)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: os.remove(f"{folder}/app"), id="program is gone"),
        pytest.param(lambda folder: os.truncate(f"{folder}/app", 3), id="program was cut off"),
        pytest.param(lambda folder: Path(folder, "apptool").write_bytes(b""), id="program is empty"),
        pytest.param(lambda folder: Path(folder, ".opswatch.json").unlink(), id="no mark"),
        pytest.param(lambda folder: Path(folder, ".opswatch.json").write_text("{"), id="torn mark"),
        pytest.param(lambda folder: Path(folder, ".opswatch.json").write_text("{}"), id="empty mark"),
    ],
)
def test_damage_is_seen_and_repaired(damage: t.Callable[[str], t.Any], upstream: t.Any, folder: str) -> None:
    install(source(upstream.url), folder)
    os.chmod(f"{folder}/app", 0o755)
    os.chmod(f"{folder}/apptool", 0o755)
    damage(folder)
    assert not is_installed(folder, PROGRAMS)
    install(source(upstream.url), folder)
    assert is_installed(folder, PROGRAMS)
    assert os.listdir(os.path.dirname(folder)) == ["1.2.3"]


def test_program_that_was_not_wanted_before_is_missed(upstream: t.Any, folder: str) -> None:
    install(source(upstream.url, programs=("app",)), folder)
    assert is_installed(folder, ["app"])
    assert not is_installed(folder, PROGRAMS)


# --- checksums ---


@pytest.mark.parametrize(
    ("lock", "mirror_lock", "own", "found", "origin", "asked"),
    [
        pytest.param("a", "b", "c", "a", "the checksum that the control node has", [], id="the user's lock first"),
        pytest.param("", "b", "c", "b", LOCK, [LOCK], id="then the mirror's"),
        pytest.param("", "", "c", "c", SUMS, [LOCK, SUMS], id="then the release's own"),
        pytest.param("", None, "c", "c", SUMS, [LOCK, SUMS], id="a mirror needs no lock"),
    ],
)
def test_order_of_checksums(
    lock: str, mirror_lock: str | None, own: str, found: str, origin: str, asked: list[str], site: t.Any
) -> None:
    if mirror_lock is not None:
        text = f"# ours\nother: {'1' * 64}\n" + (f"{PATH}: {mirror_lock * 64}\n" if mirror_lock else "")
        site.pages[f"/{LOCK}"] = text.encode()
    site.pages[f"/{SUMS}"] = f"{own * 64}  {NAME}\n".encode()
    checksum, said = find_checksum(source(site.url, checksum=lock * 64, mirror_lock=f"{site.url}/{LOCK}"))
    assert checksum == found * 64
    assert said.endswith(origin)
    assert sorted(site.asked) == sorted(f"/{name}" for name in asked)


@pytest.mark.parametrize(
    "line",
    [
        f"{'a' * 64}  {NAME}",
        f"{'a' * 64} *{NAME}",
        f"{'a' * 64}  ./{NAME}",
        f"{'a' * 64}\t{NAME}\r",
    ],
)
def test_checksum_files(line: str, site: t.Any) -> None:
    site.pages[f"/{SUMS}"] = f"{'b' * 64}  {NAME}.sig\n{line}\n".encode()
    assert find_checksum(source(site.url))[0] == "a" * 64


@pytest.mark.parametrize(
    "line",
    [
        f"{PATH}: {'a' * 64}",
        f"{PATH}: sha256:{'a' * 64}",
        f"'{PATH}': \"{'a' * 64}\"",
        f"{PATH}:   {'a' * 64}  # from the release notes",
    ],
)
def test_mirror_locks(line: str, site: t.Any) -> None:
    site.pages[f"/{LOCK}"] = f"---\n{line}\n".encode()
    assert find_checksum(source(site.url, mirror_lock=f"{site.url}/{LOCK}"))[0] == "a" * 64


def test_wrong_checksum_names_both_and_the_source(upstream: t.Any, folder: str) -> None:
    upstream.pages[f"/{SUMS}"] = f"{WRONG_SUM}  {NAME}\n".encode()
    error = refused(source(upstream.url), folder)
    assert f"{upstream.url}/{PATH} has the wrong checksum" in str(error)
    assert WRONG_SUM in error.seen
    assert sha256(GOOD) in error.seen
    assert f"{upstream.url}/{SUMS}" in error.seen
    assert error.remedy


def test_wrong_checksum_of_a_pushed_archive(tmp_path: Path, folder: str) -> None:
    (tmp_path / NAME).write_bytes(GOOD)
    error = refused(source("none", checksum=WRONG_SUM, pushed=str(tmp_path / NAME)), folder)
    assert error.what.startswith(f"{PATH} has the wrong checksum")
    assert WRONG_SUM in error.seen
    assert sha256(GOOD) in error.seen
    assert "none/" not in str(error)


def test_address_of_a_release() -> None:
    """Of an archive that was pushed it is only a path: the control node took it from a folder."""
    assert source("https://mirror.example.org").url == f"https://mirror.example.org/{PATH}"
    assert source("https://mirror.example.org/").url == f"https://mirror.example.org/{PATH}"
    assert source("none", pushed="/tmp/x/app.tar.gz").url == PATH


def test_mark_of_a_pushed_archive_names_its_path(tmp_path: Path, folder: str) -> None:
    (tmp_path / NAME).write_bytes(GOOD)
    install(source("none", checksum=sha256(GOOD), pushed=str(tmp_path / NAME)), folder)
    mark = json.loads(Path(folder, ".opswatch.json").read_text())
    assert (mark["url"], mark["sha256"]) == (PATH, sha256(GOOD))


@pytest.mark.parametrize("checksums_path", ["", SUMS])
def test_pushed_archive_without_any_checksum(checksums_path: str, tmp_path: Path, folder: str) -> None:
    """The control node found none, and there is nobody to ask: base is none."""
    (tmp_path / NAME).write_bytes(GOOD)
    wanted = source("none", checksums_path=checksums_path, pushed=str(tmp_path / NAME))
    with pytest.raises(ComponentError, match=f"the mirror has no checksum of {PATH}"):
        find_checksum(wanted)
    error = refused(wanted, folder)
    assert error.what == f"the mirror has no checksum of {PATH}"
    assert "releases.lock.yml" in error.remedy
    assert "none/" not in str(error)


@pytest.mark.parametrize("lock", ["", LOCK])
def test_pushed_archive_asks_nobody_for_its_checksum(lock: str, site: t.Any, tmp_path: Path, folder: str) -> None:
    (tmp_path / NAME).write_bytes(GOOD)
    site.pages = {f"/{name}": f"{PATH}: {sha256(GOOD)}\n{sha256(GOOD)}  {NAME}\n".encode() for name in (LOCK, SUMS)}
    mirror_lock = f"{site.url}/{lock}" if lock else ""
    refused(source(site.url, pushed=str(tmp_path / NAME), mirror_lock=mirror_lock), folder)
    assert not site.asked


def test_no_checksum_anywhere(site: t.Any, folder: str) -> None:
    error = refused(source(site.url, checksums_path=""), folder)
    assert f"no checksum is known for {PATH}" in str(error)
    assert "releases.lock.yml" in error.remedy
    assert not site.asked


# --- what a network does ---


def test_missing_checksum_file(upstream: t.Any, folder: str) -> None:
    del upstream.pages[f"/{SUMS}"]
    error = refused(source(upstream.url), folder)
    assert f"{upstream.url}/{SUMS} could not be fetched" in str(error)
    assert "404" in error.seen
    assert upstream.asked == {f"/{SUMS}": 1}  # a second try would not help, and no archive without a checksum


@pytest.mark.parametrize("what", ["nothing", "an HTML page"])
def test_checksum_file_without_the_archive(what: str, upstream: t.Any, folder: str) -> None:
    upstream.pages[f"/{SUMS}"] = b"" if what == "nothing" else b"<html><body>Please log in</body></html>"
    error = refused(source(upstream.url), folder)
    assert f"{upstream.url}/{SUMS} has no checksum of {NAME}" in str(error)


def test_missing_archive(upstream: t.Any, folder: str) -> None:
    del upstream.pages[f"/{PATH}"]
    error = refused(source(upstream.url), folder)
    assert f"{upstream.url}/{PATH} could not be fetched" in str(error)
    assert "404" in error.seen


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_server_error_is_tried_again(status: int, upstream: t.Any, folder: str) -> None:
    upstream.pages[f"/{PATH}"] = [(status, b"busy"), (status, b"busy"), GOOD]
    install(source(upstream.url), folder)
    assert is_installed(folder, PROGRAMS)
    assert upstream.asked[f"/{PATH}"] == 3


def test_server_error_that_stays(upstream: t.Any, folder: str) -> None:
    upstream.pages[f"/{PATH}"] = (500, b"broken")
    error = refused(source(upstream.url), folder)
    assert "500" in error.seen
    assert "monitoring_mirror" in error.remedy
    assert upstream.asked[f"/{PATH}"] == 3


def test_truncated_archive(upstream: t.Any, folder: str) -> None:
    upstream.declare_more = 1000
    error = refused(source(upstream.url, checksum=sha256(GOOD)), folder)
    assert f"{upstream.url}/{PATH}" in str(error)
    assert f"{len(GOOD)} of {len(GOOD) + 1000} bytes" in str(error)


def test_truncated_checksum_file(upstream: t.Any, folder: str) -> None:
    upstream.declare_more = 1000
    error = refused(source(upstream.url), folder)
    assert f"{upstream.url}/{SUMS}" in str(error)


def test_html_instead_of_an_archive(upstream: t.Any, folder: str) -> None:
    page = b"<html><body>Please log in</body></html>"
    upstream.pages[f"/{PATH}"] = page
    assert "has the wrong checksum" in str(refused(source(upstream.url), folder))
    error = refused(source(upstream.url, checksum=sha256(page)), folder)
    assert "is not an archive that can be unpacked" in str(error)


@pytest.mark.parametrize("checksum", ["", sha256(GOOD)], ids=["checksum asked for", "checksum known"])
def test_mirror_down(checksum: str, closed_port: int, folder: str) -> None:
    error = refused(source(f"http://127.0.0.1:{closed_port}", checksum=checksum), folder)
    assert f"http://127.0.0.1:{closed_port}/app/v1.2.3/" in str(error)
    assert "refused" in error.seen
    assert "monitoring_mirror" in error.remedy


def test_address_that_is_none(folder: str) -> None:
    """A mirror whose scheme was mistyped."""
    error = refused(source("htp://mirror.example.org", checksum=sha256(GOOD)), folder)
    assert "htp://mirror.example.org" in str(error)


# --- what is in archives ---


def test_program_missing_in_the_archive(upstream: t.Any, folder: str) -> None:
    error = refused(source(upstream.url, programs=("app", "apptool", "other")), folder)
    assert f"{upstream.url}/{PATH} lacks other" in str(error)
    assert "LICENSE, app, apptool" in error.seen


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(GOOD[: len(GOOD) // 2], id="half an archive"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x1f\x8b" + b"\0" * 50, id="only looks like gzip"),
    ],
)
def test_damaged_archive_with_its_own_checksum(archive: bytes, site: t.Any, folder: str) -> None:
    site.pages[f"/{PATH}"] = archive
    error = refused(source(site.url, checksum=sha256(archive)), folder)
    assert f"{site.url}/{PATH}" in str(error)


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python cannot filter archives")
def test_archive_cannot_write_outside(site: t.Any, folder: str, tmp_path: Path) -> None:
    archive = tar_gz({**CONTENT, "../../../../../../../../escaped": (b"x", 0o644)})
    site.pages[f"/{PATH}"] = archive
    refused(source(site.url, checksum=sha256(archive)), folder)
    assert not list(tmp_path.rglob("escaped"))


# --- architectures ---


@pytest.mark.parametrize(
    ("machine", "name"), [("x86_64", "amd64"), ("amd64", "amd64"), ("aarch64", "arm64"), ("arm64", "arm64")]
)
def test_architecture(machine: str, name: str) -> None:
    assert architecture(machine) == name


def test_architecture_of_this_machine() -> None:
    assert architecture() in ("amd64", "arm64")


def test_unknown_architecture() -> None:
    with pytest.raises(ComponentError, match="no release is known for the architecture riscv64") as caught:
        architecture("riscv64")
    assert "x86_64" in caught.value.remedy


# --- programs that upstream calls otherwise, and bare ones ---


@pytest.mark.parametrize(
    ("path", "content"),
    [
        pytest.param("app-linux-amd64.zip", zipped({"app-linux-amd64": b"the program"}), id="zip with one file"),
        pytest.param("app-v1.2.3-linux-amd64", b"the program", id="bare program"),
    ],
)
def test_program_under_another_name(path: str, content: bytes, site: t.Any, folder: str) -> None:
    site.pages[f"/{path}"] = content
    theirs = path.removesuffix(".zip")
    install(source(site.url, path=path, checksum=sha256(content), programs=("app",), names={"app": theirs}), folder)
    assert Path(folder, "app").read_bytes() == b"the program"
    assert modes(folder)["app"] == 0o555
    assert is_installed(folder, ("app",))
    assert not Path(folder, theirs).exists()


def test_program_in_a_folder_of_the_archive_stays_there(site: t.Any, folder: str) -> None:
    """Others of the archive may look for it beside themselves."""
    content = zipped({"app-1.2.3/bin/app": b"the program", "app-1.2.3/conf/defaults.ini": b"x"})
    site.pages["/app.zip"] = content
    wanted = source(site.url, path="app.zip", checksum=sha256(content), programs=("app",), names={"app": "bin/app"})
    install(wanted, folder)
    assert Path(folder, "app").readlink() == Path("bin/app")
    assert Path(folder, "app").read_bytes() == b"the program"
    assert stat.S_IMODE(Path(folder, "bin/app").stat().st_mode) == 0o555
    assert is_installed(folder, ("app",))


def test_program_is_missing_under_its_other_name(site: t.Any, folder: str) -> None:
    content = zipped({"app-linux-arm64": b"x"})
    site.pages["/app.zip"] = content
    wanted = source(site.url, path="app.zip", checksum=sha256(content), programs=("app",), names={"app": "app-amd64"})
    error = refused(wanted, folder)
    assert error.what == f"{site.url}/app.zip lacks app-amd64"
    assert error.seen == "app-linux-arm64"


@pytest.mark.parametrize("damage", ["shorter", "gone", "not executable"])
def test_damaged_release_is_none(damage: str, upstream: t.Any, folder: str) -> None:
    install(source(upstream.url), folder)
    program = Path(folder, "apptool")
    if damage == "not executable":
        program.chmod(0o444)
    else:
        program.unlink()
    if damage == "shorter":
        program.write_bytes(b"the")
        program.chmod(0o555)
    assert not is_installed(folder, PROGRAMS)
    install(source(upstream.url), folder)
    assert is_installed(folder, PROGRAMS)


# --- no checksum is published ---


def test_unpublished_checksum_is_taken_over_https_only() -> None:
    error = raised(find_checksum, Source("http://mirror.example.org", PATH, unpublished=True))
    assert "http://mirror.example.org is no https address" in error.seen
    assert "releases.lock.yml" in error.remedy
    checksum, origin = find_checksum(Source("https://example.org", PATH, unpublished=True))
    assert checksum == ""
    assert "upstream publishes no checksum" in origin
    assert find_checksum(Source("https://example.org", PATH, "a" * 64, unpublished=True))[0] == "a" * 64


def test_unpublished_checksum_of_what_was_pushed(tmp_path: Path, folder: str) -> None:
    (tmp_path / NAME).write_bytes(GOOD)
    install(source("none", pushed=str(tmp_path / NAME), unpublished=True), folder)
    assert installed_checksum(folder) == sha256(GOOD)


def test_nothing_is_installed_without_a_checksum_that_is_published(tmp_path: Path, folder: str) -> None:
    (tmp_path / NAME).write_bytes(GOOD)
    assert "has no checksum" in refused(source("none", pushed=str(tmp_path / NAME)), folder).what
    assert installed_checksum(folder) == ""


# --- answers that are something else ---


def test_web_page_instead_of_an_archive(upstream: t.Any, folder: str) -> None:
    page = b"<!DOCTYPE html><html>Please log in</html>"
    upstream.pages[f"/{PATH}"] = page
    assert "it begins with '<!DOCTYPE html>" in refused(source(upstream.url), folder).seen
    error = refused(source(upstream.url, checksum=sha256(page)), folder)
    assert "is not an archive" in error.what
    assert "so it is a web page" in error.seen


def test_web_page_instead_of_checksums(upstream: t.Any, folder: str) -> None:
    upstream.pages[f"/{SUMS}"] = b"<!DOCTYPE html><html>Please log in</html>"
    assert "it begins with '<!DOCTYPE html>" in refused(source(upstream.url), folder).seen


def test_silent_server_is_asked_once(upstream: t.Any, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had its time."""
    monkeypatch.setattr(_release, "SILENCE", 0.2)
    calm = threading.Event()
    upstream.pages[f"/{SUMS}"] = lambda: str(calm.wait(10)).encode()
    upstream.server.handle_error = lambda request, address: None  # nobody waits for its answer
    error = refused(source(upstream.url), folder)
    calm.set()
    assert error.what == f"{upstream.url}/{SUMS} could not be fetched"
    assert error.seen == "the server said nothing for 0.2 s"
    assert upstream.asked[f"/{SUMS}"] == 1


def test_full_disk_is_not_the_fault_of_the_network(
    upstream: t.Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, content: t.Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = open
    monkeypatch.setattr(
        _release,
        "open",
        lambda path, mode="r", **more: Full() if mode == "wb" else real(path, mode, **more),
        raising=False,
    )
    error = refused(source(upstream.url), folder)
    assert error.what == f"{upstream.url}/{PATH} could not be unpacked into {folder}"
    assert "No space left on device" in error.seen
    assert "MiB" in error.seen
    assert "df -h" in error.remedy
