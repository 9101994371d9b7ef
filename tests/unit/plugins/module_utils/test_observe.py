# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen on a host: a scratch root with a generation in it, and a systemctl that answers."""

from __future__ import annotations

import json
import os
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _generations, _service
from ansible_collections.opswatch.monitoring.plugins.module_utils._account import account_ids
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._observe import observe
from ansible_collections.opswatch.monitoring.plugins.module_utils._plan import (
    Desired,
    File,
    Observed,
    Seen,
    Service,
    plan,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners can only be set by root")

PROGRAMS = ("app",)
UNIT = "[Service]\nExecStart=/usr/local/bin/app\n"
CONTENT = {("config", "app.yml"): b"a: 1\n", ("config", "rules/one.yml"): b"b\n", ("secret", "token"): b"s\n"}
FILES = tuple(File(place, path, _files.sha256(text)) for (place, path), text in CONTENT.items())
TOKEN, OLD_TOKEN, TARGETS = ("secret", "token"), ("secret", "sub/old_token"), ("live", "old.yml")
EARLIER = (File(*OLD_TOKEN, _files.sha256(b"old")), File(*TARGETS, _files.sha256(b"old")))


class Host:
    """A host where generation 3 is in force and right."""

    def __init__(self, layout: Layout, systemd: t.Any) -> None:
        self.layout = layout
        self.systemd = systemd
        self.desired = Desired(layout.name, version="1.2.3", files=FILES, unit=_files.sha256(UNIT.encode()))

    def install(self) -> None:
        layout = self.layout
        self.make_generation(2)
        self.make_generation(3)
        release = Path(layout.release("1.2.3"))
        release.mkdir(parents=True)
        (release / "app").write_text("program")
        (release / "app").chmod(0o555)
        (release / ".opswatch.json").write_text(json.dumps({"sizes": {"app": 7}}))
        self.write(Path(layout.secrets, "token"), CONTENT["secret", "token"])
        _generations.switch(layout, 3)
        _generations.set_links(layout, PROGRAMS)
        self.systemd.set(layout.unit_name)

    def make_generation(self, number: int, committed: bool = True, more: t.Iterable[File] = ()) -> None:
        folder = Path(self.layout.generation(number))
        _files.remove(str(folder))
        for (place, path), text in CONTENT.items():
            if place == "config":
                self.write(folder / "config" / path, text)
        (folder / "config/secrets").symlink_to(self.layout.secrets)
        (folder / "release").symlink_to(self.layout.release("1.2.3"))
        (folder / self.layout.unit_name).write_text(UNIT)
        stated = _generations.state("1.2.3", self.desired.unit, [*FILES, *more], {}, {}, PROGRAMS, committed)
        (folder / "manifest.json").write_text(json.dumps(stated))

    def write(self, path: Path, text: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _files.write_file(str(path), text, 0o640, gid=account_ids(self.layout.name)[1])

    def see(self, **wishes: t.Any) -> Observed:
        return observe(self.layout, replace(self.desired, **wishes), PROGRAMS, ())

    def path(self, place: str, path: str) -> Path:
        return Path(self.layout.place(place), path)


@pytest.fixture
def host(layout: Layout, systemd: t.Any) -> Host:
    made = Host(layout, systemd)
    made.install()
    return made


def test_empty_host(layout: Layout, systemd: t.Any) -> None:
    seen = Host(layout, systemd).see()
    assert seen == Observed(account=True, ours=False, wrong_links=(layout.etc, layout.program("app")))
    assert os.listdir(layout.root) == ["etc"]  # looking leaves no trace


def test_host_that_is_right(host: Host) -> None:
    seen = host.see()
    assert seen.current == _generations.read(host.layout, 3)
    assert (seen.numbers, seen.committed, seen.fallback) == ((2, 3), (2, 3), 3)
    assert seen.files == {file.key: Seen(file.sha256) for file in FILES}
    assert (seen.release, seen.installed) == (True, ("1.2.3",))
    assert seen.service == Service(active=True, enabled=True)
    assert (seen.wrong_links, seen.occupied, seen.foreign, seen.pending, seen.leftovers) == ((), (), (), None, False)
    assert seen.known == (TOKEN,)
    assert seen.secrets == {2: (TOKEN,), 3: (TOKEN,)}
    assert plan(host.desired, seen).steps == ()


def test_account_that_is_missing(root: Path, systemd: t.Any) -> None:
    seen = observe(Layout("zz_unit_test", str(root)), Desired("zz_unit_test"), PROGRAMS, ())
    assert seen.account is False


# --- files ---


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.chmod(0o644), id="mode"),
        pytest.param(lambda path: os.chown(path, 1, -1), id="owner"),
        pytest.param(lambda path: os.chown(path, -1, 0), id="group"),
    ],
)
def test_access_changed_by_hand(host: Host, change: t.Callable[[Path], None]) -> None:
    change(host.path("config", "app.yml"))
    seen = host.see()
    assert seen.files["config", "app.yml"] == Seen(FILES[0].sha256, access=False)
    assert plan(host.desired, seen).kinds() == ["access", "commit"]


def test_file_edited_by_hand(host: Host) -> None:
    host.path("config", "app.yml").write_text("edited")
    assert host.see().files["config", "app.yml"].sha256 == _files.sha256(b"edited")


def test_file_removed_by_hand(host: Host) -> None:
    host.path("secret", "token").unlink()
    assert ("secret", "token") not in host.see().files


def test_file_that_is_no_longer_wanted_is_seen(host: Host) -> None:
    """The secret stays as long as one may go back to a generation that refers to it."""
    seen = host.see(files=FILES[:1])
    assert seen.files.keys() == {("config", "app.yml"), ("config", "rules/one.yml"), TOKEN}
    assert plan(replace(host.desired, files=FILES[:1]), seen).removed == (("config", "rules/one.yml"),)


# --- files outside the generations ---


def make_earlier_files(host: Host) -> None:
    for file in EARLIER:
        host.write(host.path(*file.key), b"old")


def test_secrets_of_each_generation(host: Host) -> None:
    host.make_generation(2, more=EARLIER)
    make_earlier_files(host)
    seen = host.see()
    assert seen.secrets == {2: (TOKEN, OLD_TOKEN), 3: (TOKEN,)}
    assert seen.known == (OLD_TOKEN, TOKEN)
    assert seen.files[OLD_TOKEN] == Seen(_files.sha256(b"old"))
    assert TARGETS not in seen.files  # the way back brings its own targets along
    assert plan(host.desired, seen).steps == ()


def test_generation_that_was_never_proven_has_no_say_in_secrets(host: Host) -> None:
    host.make_generation(4, committed=False, more=EARLIER)
    seen = host.see()
    assert seen.secrets == {2: (TOKEN,), 3: (TOKEN,)}
    assert seen.known == (TOKEN,)


def test_torn_generation_has_no_say_in_secrets(host: Host) -> None:
    Path(host.layout.generation(2), "manifest.json").write_text("{")
    assert host.see().secrets == {3: (TOKEN,)}


def test_files_of_the_generation_to_go_back_to_are_known(host: Host) -> None:
    """While another is in force, which was never proven."""
    host.make_generation(3, more=EARLIER)
    host.make_generation(4, committed=False)
    make_earlier_files(host)
    _generations.switch(host.layout, 4)
    _files.write_json(host.layout.journal, {"from": 3, "to": 4, "effect": "restart"})
    seen = host.see()
    assert (seen.current.number, seen.fallback) == (4, 3)
    assert seen.known == (TARGETS, OLD_TOKEN, TOKEN)
    assert {TARGETS, OLD_TOKEN, TOKEN} < seen.files.keys()


def write_failed(host: Host) -> None:
    """The second look went back."""
    os.mkdir(host.layout.failed)
    stated = _generations.state("1.2.3", "unit", [*FILES, *EARLIER], {}, {}, PROGRAMS, True)
    Path(host.layout.failed, "manifest.json").write_text(json.dumps(stated))


def write_undo(host: Host) -> None:
    """A run was killed after it had written them."""
    os.mkdir(host.layout.undo)
    _files.write_json(f"{host.layout.undo}/new.json", {"files": [list(file.key) for file in EARLIER]})
    _files.write_json(host.layout.journal, {"from": 3, "to": 3, "effect": "nothing"})


@pytest.mark.parametrize("who", [write_failed, write_undo])
def test_files_that_a_failed_or_killed_run_made_are_known_and_go(host: Host, who: t.Callable[[Host], None]) -> None:
    who(host)
    make_earlier_files(host)
    seen = host.see()
    assert seen.known == (TARGETS, OLD_TOKEN, TOKEN)
    assert seen.secrets == {2: (TOKEN,), 3: (TOKEN,)}
    assert plan(host.desired, seen).removed == (TARGETS, OLD_TOKEN)
    wanted = (*FILES, EARLIER[0])
    assert plan(replace(host.desired, files=wanted), host.see(files=wanted)).removed == (TARGETS,)


@pytest.mark.parametrize("who", [write_failed, write_undo])
def test_known_files_need_not_be_there(host: Host, who: t.Callable[[Host], None]) -> None:
    who(host)
    seen = host.see()
    assert seen.known == (TARGETS, OLD_TOKEN, TOKEN)
    assert seen.files.keys() == {file.key for file in FILES}
    assert plan(host.desired, seen).removed == ()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_torn_manifest_of_what_failed_names_nothing(host: Host, text: str) -> None:
    os.mkdir(host.layout.failed)
    Path(host.layout.failed, "manifest.json").write_text(text)
    assert host.see().known == (TOKEN,)


def test_files_of_others_outside_the_generations_are_not_ours(host: Host) -> None:
    make_earlier_files(host)
    seen = host.see()
    assert seen.known == (TOKEN,)
    assert not {OLD_TOKEN, TARGETS} & seen.files.keys()


def test_foreign_files(host: Host) -> None:
    host.path("config", "notes.txt").touch()
    host.path("config", "rules/mine.yml").touch()
    host.path("config", "elsewhere").symlink_to("/etc")
    assert host.see().foreign == ("elsewhere", "notes.txt", "rules/mine.yml")


# --- unit, service, links ---


def test_unit_edited_by_hand(host: Host) -> None:
    Path(host.layout.unit).write_text("edited")
    assert host.see().unit == _files.sha256(b"edited")


@pytest.mark.parametrize(
    ("state", "enabled", "expected"),
    [
        ("active", True, Service(active=True, enabled=True)),
        ("active", False, Service(active=True)),
        ("inactive", True, Service(enabled=True)),
        ("failed", True, Service(enabled=True)),
        ("activating", True, Service(enabled=True)),
    ],
)
def test_service(host: Host, state: str, enabled: bool, expected: Service) -> None:
    host.systemd.set(host.layout.unit_name, state=state, enabled=enabled)
    assert host.see().service == expected


def test_link_changed_by_hand(host: Host) -> None:
    program = host.layout.program("app")
    os.unlink(program)
    os.symlink("/usr/bin/app", program)
    assert host.see().wrong_links == (program,)


def test_damaged_release(host: Host) -> None:
    os.truncate(f"{host.layout.release('1.2.3')}/app", 3)
    assert host.see().release is False


def test_release_being_unpacked_is_none(host: Host) -> None:
    os.mkdir(f"{host.layout.releases}/.partial-1.2.4")
    assert host.see().installed == ("1.2.3",)


# --- somebody else's ---


def test_folder_of_somebody_else(layout: Layout, systemd: t.Any) -> None:
    os.makedirs(layout.etc)
    os.makedirs(os.path.dirname(layout.program("app")))
    Path(layout.program("app")).touch()
    Path(layout.unit).touch()
    assert Host(layout, systemd).see().occupied == (layout.etc, layout.program("app"), layout.unit)


def test_folder_in_place_of_our_link(host: Host) -> None:
    os.unlink(host.layout.etc)
    os.mkdir(host.layout.etc)
    assert host.see().occupied == (host.layout.etc,)


def test_our_own_unit_and_links_are_not_somebody_elses(host: Host) -> None:
    os.unlink(host.layout.etc)
    os.symlink("/elsewhere", host.layout.etc)
    assert host.see().occupied == ()


def test_absent_does_not_ask_whose_it_is(layout: Layout, systemd: t.Any) -> None:
    os.makedirs(layout.etc)
    assert Host(layout, systemd).see(state="absent").occupied == ()


# --- interrupted runs ---


def test_activation_that_was_never_proven(host: Host) -> None:
    host.make_generation(4, committed=False)
    _generations.switch(host.layout, 4)
    _files.write_json(host.layout.journal, {"from": 3, "to": 4, "effect": "restart"})
    seen = host.see()
    assert (seen.current.number, seen.current.committed) == (4, False)
    assert (seen.pending, seen.fallback, seen.leftovers) == ("restart", 3, False)


def test_first_activation_that_was_never_proven(host: Host) -> None:
    for number in (2, 3):
        _files.remove(host.layout.generation(number))
    host.make_generation(1, committed=False)
    _generations.switch(host.layout, 1)
    _files.write_json(host.layout.journal, {"from": None, "to": 1, "effect": "restart"})
    seen = host.see()
    assert (seen.pending, seen.fallback) == ("restart", None)


def test_generation_to_go_back_to_has_to_be_there(host: Host) -> None:
    host.make_generation(4, committed=False)
    _generations.switch(host.layout, 4)
    _files.write_json(host.layout.journal, {"from": 1, "to": 4, "effect": "restart"})
    assert host.see().fallback is None


@pytest.mark.parametrize("what", ["staging", "undo", "generation", "file", "unit"])
def test_leftovers(host: Host, what: str) -> None:
    if what == "generation":
        host.make_generation(4, committed=False)
    elif what == "file":
        host.path("secret", ".new-a1b2").touch()
    elif what == "unit":
        Path(f"{host.layout.unit}.new").touch()
    else:
        os.mkdir(getattr(host.layout, what))
    seen = host.see()
    assert seen.leftovers is True
    assert seen.fallback == 3


def test_data(host: Host) -> None:
    assert host.see().data is False
    os.mkdir(host.layout.data)
    assert host.see().data is True


# --- systemd ---


def test_systemd_is_missing(monkeypatch: pytest.MonkeyPatch, layout: Layout, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(_service.ComponentError, match="systemctl is missing") as caught:
        observe(layout, Desired(layout.name), (), ())
    assert "systemd 250" in caught.value.remedy


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("listen tcp :9090: bind: address already in use", "ss -ltnp"),
        ("listen tcp 203.0.113.5:4194: bind: cannot assign requested address", "listen_address"),
        ("open /etc/app: Permission denied", "owner and mode"),
        ("write /var/lib/app: no space left on device", "free space"),
        ("something else", "journalctl -u app.service"),
    ],
)
def test_why_it_died(words: str, remedy: str, systemd: t.Any) -> None:
    systemd.add_program("journalctl", f"#!/bin/sh\necho '{words}'\n")
    systemd.set("app.service", state="failed")
    seen, to_do = _service.why_it_died("app.service", _service.status("app.service"))
    assert "app.service is failed" in seen
    assert words in seen
    assert remedy in to_do


def test_command_that_fails_brings_its_own_words(systemd: t.Any) -> None:
    systemd.fail("start", "Job for app.service failed.")
    with pytest.raises(_service.ComponentError, match=r"`systemctl start app\.service` failed: Job for app\.service"):
        _service.command("systemctl", "start", "app.service")
