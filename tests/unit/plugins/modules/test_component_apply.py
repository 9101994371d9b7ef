# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole transactions in a scratch root, with a real archive and real checks; only systemd is a stand-in."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import typing as t
import zlib
from pathlib import Path

import pytest
from ansible.module_utils.common.parameters import remove_values
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _generations, _observe, _service
from ansible_collections.opswatch.monitoring.plugins.module_utils._arguments import wanted
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._fingerprint import fingerprint
from ansible_collections.opswatch.monitoring.plugins.module_utils._in_order import look as in_order
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout, installed_components
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import lock
from ansible_collections.opswatch.monitoring.plugins.module_utils._way_back import second_look
from ansible_collections.opswatch.monitoring.plugins.modules.component_apply import apply, build, look

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a component is changed by root")

APP = """#!/bin/sh
for word; do
    case $word in
        --bad*) echo "unknown flag $word" >&2; exit 1 ;;
        -nosuch) printf 'flag provided but not defined: -nosuch\nUsage of app:\n  -other\n' >&2; exit 2 ;;
        --crash*) echo "cannot execute: required file not found" >&2; exit 127 ;;
        --version) echo "app"; exit 0 ;;
    esac
done
"""
TOOL = """#!/bin/sh
if grep -q invalid "$1"; then echo "$1: line 1 is invalid" >&2; exit 1; fi
[ -r secrets/token ] || { echo "cannot read the token" >&2; exit 1; }
"""


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in (("app", APP), ("apptool", TOOL)):
            entry = tarfile.TarInfo(f"app/{name}")
            entry.size, entry.mode = len(text), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


ARCHIVE = archive()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Host:
    def __init__(self, layout: Layout, systemd: t.Any, pushed: str) -> None:
        self.layout = layout
        self.systemd = systemd
        self.pushed = pushed

    def wish(
        self,
        conf: str = "one",
        token: str = "s1",
        unit: str = "one",
        on_change: str = "reload",
        targets: t.Mapping[str, str] | None = None,
        **more: t.Any,
    ) -> dict[str, t.Any]:
        """The worker's arguments."""
        live = {"a.yml": "a"} if targets is None else targets
        files = [("config", "app.conf", conf, on_change), ("secret", "token", token, "nothing")]
        files += [("live", name, text, "nothing") for name, text in live.items()]
        path = "app-{}.tar.gz"
        return {
            "name": self.layout.name,
            "state": "present",
            "version": "1.0.0",
            "release": {
                "base": "none",
                "paths": {arch: path.format(arch) for arch in ("amd64", "arm64")},
                "checksum_paths": {},
                "checksums": dict.fromkeys(("amd64", "arm64"), hashlib.sha256(ARCHIVE).hexdigest()),
                "mirror_lock": "",
                "archive": self.pushed,
                "programs": ["app", "apptool"],
                "names": {},
                "unpublished": False,
            },
            "files": [
                {"place": place, "path": name, "content": encoded(text), "mode": "0640", "on_change": asks}
                for place, name, text, asks in files
            ],
            "unit": encoded(f"# {unit}\n[Service]\nExecStart=/usr/local/bin/app\n"),
            "flag_check": ["--version"],
            "validate": [["{release}/apptool", "app.conf"]],
            "can_reload": True,
            "reload_metrics": "",
            "ready": None,
            "ready_timeout": 5,
            "data": None,
            "packages": [],
            "generations": 3,
            "adopt": False,
            "allow_downgrade": False,
            "remove_data": False,
            **more,
        }

    def run(self, wish: dict[str, t.Any], actions: list[str] | None = None) -> dict[str, t.Any]:
        spec, packages = build(wish)
        return apply(self.layout, spec, packages, [] if actions is None else actions)

    def check(self, wish: dict[str, t.Any]) -> dict[str, t.Any]:
        spec, packages = build(wish)
        return look(self.layout, spec, packages)

    def refused(self, wish: dict[str, t.Any]) -> tuple[ComponentError, list[str]]:
        actions: list[str] = []
        with pytest.raises(ComponentError) as caught:
            self.run(wish, actions)
        return caught.value, actions

    def serves(self) -> dict[str, str]:
        """What the service would read if it started now."""
        found = {"unit": Path(self.layout.unit).read_text().split("\n")[0]}
        for place in ("config", "live", "secret"):
            folder = Path(self.layout.place(place))
            files = [path for path in _files.relative_files(str(folder)) if not (folder / path).is_symlink()]
            found.update({f"{place}/{path}": (folder / path).read_text() for path in files})
        return found

    @property
    def state(self) -> str:
        return self.systemd.state(self.layout.unit_name)


def with_secrets(wish: dict[str, t.Any], **secrets: str) -> dict[str, t.Any]:
    """The arguments, with more secrets that are read at every use."""
    more = [
        {"place": "secret", "path": name, "content": encoded(text), "mode": "0640", "on_change": "nothing"}
        for name, text in secrets.items()
    ]
    return {**wish, "files": wish["files"] + more}


def earlier(result: dict[str, t.Any]) -> dict[str, str]:
    """What a result tells of the content before."""
    return {
        f"{entry['place']}/{entry['path']}": zlib.decompress(base64.b64decode(entry["content"])).decode()
        for entry in result["before"]
    }


def served(conf: str = "one", token: str = "s1", unit: str = "one", **targets: str) -> dict[str, str]:
    found = {"unit": f"# {unit}", "config/app.conf": conf, "secret/token": token}
    return {**found, **{f"live/{name}.yml": text for name, text in (targets or {"a": "a"}).items()}}


@pytest.fixture
def host(layout: Layout, systemd: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    # No power fails here, and they take most of the time.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    (tmp_path / "pushed.tar.gz").write_bytes(ARCHIVE)
    return Host(layout, systemd, str(tmp_path / "pushed.tar.gz"))


@pytest.fixture
def running(host: Host) -> Host:
    host.run(host.wish())
    host.systemd.calls()
    return host


# --- the good way ---


def test_first_installation(host: Host) -> None:
    result = host.run(host.wish())
    assert result["changed"] is True
    assert result["generation"] == 1
    assert host.serves() == served()
    assert host.state == "active"
    assert os.readlink(host.layout.program("app")).endswith("/current/release/app")
    assert os.access(host.layout.program("app"), os.X_OK)
    assert "validated with apptool app.conf" in result["actions"]
    assert result["actions"][-1] == "committed generation 1"


def test_second_run_changes_nothing(running: Host) -> None:
    result = running.run(running.wish())
    assert (result["changed"], result["actions"], result["generation"]) == (False, [], 1)
    assert running.systemd.calls() == []


@pytest.mark.parametrize("empty", [True, False], ids=["empty host", "running host"])
def test_check_predicts_every_step_and_changes_nothing(host: Host, empty: bool) -> None:
    if not empty:
        host.run(host.wish())
    wish = host.wish(conf="two", token="s2", targets={"b.yml": "b"})
    before = sorted(str(path) for path in Path(host.layout.root).rglob("*"))
    host.systemd.calls()
    predicted = host.check(wish)
    assert sorted(str(path) for path in Path(host.layout.root).rglob("*")) == before
    assert host.systemd.calls() == []
    result = host.run(wish)
    done = [words for words in result["actions"] if not words.startswith("verified ")]
    assert len(predicted["actions"]) == len(done)
    assert all(words.startswith("would ") for words in predicted["actions"])
    for key in ("changed", "changed_files", "removed_files", "generation", "effect"):
        assert predicted[key] == result[key], key


@pytest.mark.parametrize(
    ("change", "verb", "generation"),
    [
        pytest.param({"conf": "two"}, "reload", 2, id="reload"),
        pytest.param({"conf": "two", "on_change": "restart"}, "restart", 2, id="restart"),
        pytest.param({"unit": "two"}, "restart", 2, id="unit"),
        pytest.param({"targets": {"a.yml": "a2", "b.yml": "b"}}, None, 1, id="live"),
        pytest.param({"token": "s2"}, None, 1, id="secret"),
    ],
)
def test_service_is_asked_no_more_than_it_needs(
    running: Host, change: dict[str, t.Any], verb: str | None, generation: int
) -> None:
    result = running.run(running.wish(**change))
    asked = {call.split()[0] for call in running.systemd.calls()} & {"start", "stop", "reload", "restart"}
    assert asked == ({verb} if verb else set())
    assert result["generation"] == generation
    assert running.run(running.wish(**change))["changed"] is False


def test_files_that_are_no_longer_wanted_go_and_others_stay(running: Host) -> None:
    Path(running.layout.etc, "notes.txt").write_text("somebody's")
    running.run(running.wish(conf="two", targets={"b.yml": "b"}))
    assert running.serves() == {**served("two", b="b"), "config/notes.txt": "somebody's"}


def test_edited_by_hand_is_put_right(running: Host) -> None:
    Path(running.layout.etc, "app.conf").write_text("edited")
    Path(running.layout.unit).write_text("# edited\n")
    running.run(running.wish())
    assert running.serves() == served()
    edited = Path(running.layout.generation(1), f"{running.layout.unit_name}.edited")
    assert edited.read_text() == "# edited\n"


def test_changed_secret_is_proven(running: Host, site: t.Any) -> None:
    """The service is asked for nothing, but it has to answer with what is new."""
    site.pages["/-/ready"] = b"ready"
    ready = {"base": site.url, "path": "/-/ready", "user": "u", "password": "hunter2", "ca": "", "server_name": ""}
    ready["progress"] = ""
    running.run(running.wish(ready=ready))
    assert not site.asked, "there was nothing to prove"
    site.login = "u:hunter2"
    result = running.run(running.wish(ready=ready, token="s2"))
    assert site.asked["/-/ready"] == 1
    assert result["actions"][-2:] == [f"proved that {running.layout.name} is ready", "committed generation 1"]
    assert running.serves() == served(token="s2")
    running.systemd.calls()

    error, actions = running.refused(
        with_secrets(
            running.wish(ready={**ready, "password": "hunter3"}, token="s3", targets={"b.yml": "b"}), extra="x"
        )
    )
    assert "refuses our credentials" in error.what
    assert "generation 1 was not disturbed" in error.what
    assert actions[-1] == "generation 1 was not disturbed"
    assert "hunter" not in str(error)
    assert running.serves() == served(token="s2")
    assert running.systemd.calls() == []
    assert running.run(running.wish(ready=ready, token="s2"))["changed"] is False


def test_secret_goes_with_the_last_generation_that_names_it(running: Host) -> None:
    """So that one may go back to each generation that is kept."""
    running.run(with_secrets(running.wish(conf="2"), old="o"))
    old = Path(running.layout.secrets, "old")
    for number in (3, 4):
        result = running.run(running.wish(conf=str(number)))
        assert result["removed_files"] == []
        assert old.read_text() == "o"
        assert running.run(running.wish(conf=str(number)))["changed"] is False
    result = running.run(running.wish(conf="5"))
    assert result["removed_files"] == [["secret", "old"]]
    assert "removed secrets/old" in result["actions"]
    assert running.serves() == served("5")
    assert running.run(running.wish(conf="5"))["changed"] is False


def test_way_back_finds_the_secret_that_is_not_wanted_any_more(running: Host) -> None:
    running.run(with_secrets(running.wish(conf="two"), old="o"))
    running.run(running.wish(conf="three", unit="three"))
    running.systemd.set(running.layout.unit_name, state="failed")
    with pytest.raises(ComponentError, match="generation 2"):
        second_look(running.layout, 0)
    assert running.serves() == {**served("two"), "secret/old": "o"}


def test_new_secret_of_a_change_that_failed_later_goes(running: Host) -> None:
    """The second look went back, when the undo was gone already."""
    changed = with_secrets(running.wish(conf="two", unit="two", targets={"a.yml": "a", "b.yml": "b"}), fresh="f")
    running.run(changed)
    running.systemd.set(running.layout.unit_name, state="failed")
    with pytest.raises(ComponentError):
        second_look(running.layout, 0)
    assert sorted(running.run(running.wish())["removed_files"]) == [["live", "b.yml"], ["secret", "fresh"]]
    assert running.serves() == served()
    assert running.run(running.wish())["changed"] is False


def test_old_generations_go(running: Host) -> None:
    for number in range(2, 6):
        running.run(running.wish(conf=str(number)))
    assert _generations.numbers(running.layout) == (3, 4, 5)


def test_edited_file_keeps_its_mode_and_owner_for_the_account(running: Host) -> None:
    os.chmod(f"{running.layout.etc}/app.conf", 0o666)
    assert running.run(running.wish())["actions"] == ["repaired owner and mode of app.conf", "committed generation 1"]
    assert os.stat(f"{running.layout.etc}/app.conf").st_mode & 0o777 == 0o640


def test_release_has_to_be_pushed(host: Host) -> None:
    wish = host.wish()
    wish["release"]["archive"] = None
    result = host.run(wish)
    assert result["archive_wanted"]["path"] in wish["release"]["paths"].values()
    assert result["changed"] is False
    assert os.listdir(host.layout.root) == ["etc"]


# --- the result ---


def test_changed_files_tell_which_existed(host: Host) -> None:
    first = host.run(host.wish())["changed_files"]
    assert first == [["config", "app.conf", False], ["secret", "token", False], ["live", "a.yml", False]]
    wish = with_secrets(host.wish(conf="two", token="s2", targets={"a.yml": "a", "b.yml": "b"}), extra="x")
    assert host.run(wish)["changed_files"] == [
        ["config", "app.conf", True],
        ["secret", "token", True],
        ["live", "b.yml", False],
        ["secret", "extra", False],
    ]
    assert host.run(wish)["changed_files"] == []
    assert host.run(host.wish(state="absent"))["changed_files"] == []


def test_earlier_content_is_not_taken_for_what_is_wanted(running: Host) -> None:
    """Ansible censors the content of wanted files wherever it stands, and two files may just change their content."""
    one, other = "one line of text\n" * 5, "another line\n" * 5
    running.run(running.wish(conf=one, targets={"a.yml": other}))
    wish = running.wish(conf=other, unit="two", targets={"a.yml": one})
    result = running.run(wish)
    shown = remove_values(result, {file["content"] for file in wish["files"]})
    assert shown == result
    assert earlier(shown)["config/app.conf"] == one
    assert earlier(shown)["live/a.yml"] == other
    assert earlier(shown)[f"unit/{running.layout.unit_name}"].startswith("# one\n")


def test_file_too_large_for_a_diff_is_left_out(running: Host) -> None:
    """However well it is compressed."""
    running.run(running.wish(conf="x" * ((1 << 18) + 1)))
    assert "config/app.conf" not in earlier(running.run(running.wish(conf="y" * (1 << 18))))
    assert earlier(running.run(running.wish(conf="z")))["config/app.conf"] == "y" * (1 << 18)


def test_effect_tells_of_a_start(running: Host) -> None:
    assert running.run(running.wish(conf="two"))["effect"] == "reload"
    running.systemd.set(running.layout.unit_name, state="inactive")
    assert running.check(running.wish(conf="two"))["effect"] == "start"
    assert running.run(running.wish(conf="two"))["effect"] == "start"
    assert running.run(running.wish(conf="two"))["effect"] == "nothing"


# --- absent ---


def test_absent(running: Host) -> None:
    os.makedirs(running.layout.data)
    Path(running.layout.data, "wal").touch()
    Path(running.layout.etc, "notes.txt").write_text("somebody's")
    running.run(running.wish(state="absent"))
    left = {str(path.relative_to(running.layout.root)) for path in Path(running.layout.root).rglob("*.*")}
    assert left == {f"etc/{running.layout.name}/notes.txt"}
    assert Path(running.layout.data, "wal").exists()
    assert running.state == "inactive"
    assert running.run(running.wish(state="absent"))["changed"] is False


def test_absent_with_its_data(running: Host) -> None:
    os.makedirs(running.layout.data)
    Path(running.layout.data, "wal").touch()
    running.run(running.wish(state="absent", remove_data=True))
    assert not os.path.exists(running.layout.data)
    assert not os.path.exists(running.layout.etc)


def test_absent_with_its_empty_folder(running: Host) -> None:
    os.makedirs(running.layout.data)
    wish = running.wish(state="absent", remove_data=True)
    assert f"would remove the data in /var/lib/{running.layout.name}" in running.check(wish)["actions"]
    running.run(wish)
    assert not os.path.exists(running.layout.data)
    assert running.run(wish)["changed"] is False


def test_absent_with_data_on_a_disk_of_its_own(running: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is emptied; where it is mounted is not ours to say."""
    data = running.layout.data
    os.makedirs(f"{data}/wal")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == data)
    running.run(running.wish(state="absent", remove_data=True))
    assert os.listdir(data) == []
    assert running.run(running.wish(state="absent", remove_data=True))["changed"] is False


def test_absent_keeps_what_was_moved_away(host: Host) -> None:
    """It is somebody else's; whoever wants it back finds it where it was."""
    os.makedirs(host.layout.etc)
    Path(host.layout.etc, "theirs.conf").write_text("theirs")
    host.run(host.wish(adopt=True))
    assert host.run(host.wish(state="absent", remove_data=True))["changed"] is True
    assert os.listdir(host.layout.home) == ["adopted"]
    (kept,) = Path(host.layout.adopted).rglob("theirs.conf")
    assert kept.read_text() == "theirs"
    assert host.run(host.wish(state="absent", remove_data=True))["changed"] is False
    assert installed_components(host.layout.root) == []
    host.run(host.wish())
    assert host.serves() == served()
    assert kept.read_text() == "theirs"
    assert host.run(host.wish())["changed"] is False


def test_absent_leaves_no_folder_of_its_own(running: Host) -> None:
    running.run(running.wish(state="absent"))
    assert not os.path.lexists(running.layout.home)
    assert not os.path.lexists(os.path.dirname(running.layout.releases))


def test_installed_again_after_absent(running: Host) -> None:
    running.run(running.wish(state="absent"))
    assert running.run(running.wish())["changed"] is True
    assert running.serves() == served()


# --- refused before anything that serves is touched ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"conf": "invalid"}, "app.conf: line 1 is invalid", id="validator"),
        pytest.param({"flag_check": ["--bad.flag", "--version"], "unit": "two"}, "unknown flag --bad.flag", id="flag"),
        pytest.param({"validate": [["/nonexistent"]], "conf": "two"}, "/nonexistent", id="no validator"),
    ],
)
def test_bad_configuration_leaves_the_old_one_alone(running: Host, change: dict[str, t.Any], message: str) -> None:
    error, actions = running.refused(running.wish(token="s2", targets={"b.yml": "b"}, **change))
    assert message in error.seen
    assert running.layout.staging not in str(error)
    assert "generation 1 is untouched" in error.what
    assert actions[-1] == "stopped before activation: generation 1 is untouched"
    assert running.serves() == served()
    assert running.systemd.calls() == []
    assert running.run(running.wish())["changed"] is False


@pytest.mark.parametrize(
    ("word", "what", "remedy"),
    [
        ("--bad.flag", "app 1.0.0 does not accept its flags", "correct {name}_flags"),
        ("--crash", "app 1.0.0 does not run on this host", "choose a release for this system and architecture"),
    ],
)
def test_wrong_flags_and_wrong_programs_are_told_apart(running: Host, word: str, what: str, remedy: str) -> None:
    error, _actions = running.refused(running.wish(unit="two", flag_check=[word, "--version"]))
    assert error.what == f"{what} (generation 1 is untouched)"
    assert error.remedy == remedy.format(name=running.layout.name)
    assert error.seen


def test_what_a_program_says_of_a_wrong_flag_is_not_followed_by_all_its_flags(running: Host) -> None:
    error, _actions = running.refused(running.wish(unit="two", flag_check=["-nosuch", "--version"]))
    assert error.seen == "flag provided but not defined: -nosuch"


def test_bad_configuration_on_an_empty_host(host: Host) -> None:
    error, _actions = host.refused(host.wish(conf="invalid"))
    assert "nothing was changed" in error.what
    assert not os.path.lexists(host.layout.unit)
    assert not os.path.lexists(host.layout.etc)
    host.run(host.wish())
    assert host.serves() == served()


def test_occupied(host: Host) -> None:
    os.makedirs(host.layout.etc)
    error, _actions = host.refused(host.wish())
    assert host.layout.etc in error.what
    Path(host.layout.etc, "theirs.conf").write_text("theirs")
    host.run(host.wish(adopt=True))
    assert host.serves() == served()
    (kept,) = Path(host.layout.adopted).rglob("theirs.conf")
    assert kept.read_text() == "theirs"


def test_adoption_is_undone_when_the_service_does_not_start(host: Host) -> None:
    os.makedirs(host.layout.etc)
    Path(host.layout.etc, "theirs.conf").write_text("theirs")
    host.refused(host.wish(adopt=True, unit="dies at start"))
    assert Path(host.layout.etc, "theirs.conf").read_text() == "theirs"


# --- the way back ---


def test_service_that_does_not_start(running: Host) -> None:
    error, actions = running.refused(
        running.wish(conf="two", token="s2", unit="dies at start", targets={"a.yml": "a2", "b.yml": "b"})
    )
    assert re.search("generation 1.* answers", error.what)
    assert "its last words" in error.seen
    assert "activated generation 2" in actions
    assert running.serves() == served()
    assert running.state == "active"
    assert Path(running.layout.failed, "config/app.conf").read_text() == "two"
    assert running.run(running.wish())["changed"] is False


def test_first_start_that_fails_leaves_no_service(host: Host) -> None:
    error, _actions = host.refused(host.wish(unit="dies at start"))
    assert "nothing ran before and nothing runs now" in error.what
    assert not os.path.lexists(host.layout.unit)
    assert not os.path.lexists(host.layout.etc)
    assert not os.path.lexists(host.layout.program("app"))
    host.run(host.wish())
    assert host.serves() == served()


def test_reload_that_fails(running: Host) -> None:
    running.systemd.fail("reload", "it did not like it")
    with pytest.raises(ComponentError, match="it did not like it"):
        running.run(running.wish(conf="two", token="s2"))
    assert running.serves() == served()
    assert running.run(running.wish())["changed"] is False


def test_reload_that_fails_on_the_way_back_too(running: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that runs is the old one, but it may have read the new configuration: only a restart is sure."""
    real = _service.command

    def command(*words: str, **options: t.Any) -> str:
        if words[1] == "reload":
            raise ComponentError("it does not like the old one either")
        return real(*words, **options)

    running.systemd.fail("reload", "it did not like it")
    monkeypatch.setattr(_service, "command", command)
    error, _actions = running.refused(running.wish(conf="two"))
    assert "it did not like it" in error.seen
    assert "rolled back to generation 1, which answers" in error.what
    assert f"restart {running.layout.unit_name}" in running.systemd.calls()
    assert running.serves() == served()
    assert running.state == "active"


def test_secret_that_needs_a_restart_comes_back_when_it_fails(running: Host) -> None:
    wish = running.wish(token="s2")
    wish["files"][1]["on_change"] = "restart"
    running.systemd.fail("restart", "no memory left")
    with pytest.raises(ComponentError, match="no memory left"):
        running.run(wish)
    assert running.serves() == served()
    assert running.state == "active"


def test_never_ready(running: Host, site: t.Any) -> None:
    site.pages["/-/ready"] = [(503, b"loading")] * 3 + [b"ready"]
    ready = {"base": site.url, "path": "/-/ready", "user": "u", "password": "hunter2", "ca": "", "server_name": ""}
    good = running.wish(ready={**ready, "progress": ""}, conf="two")
    running.run(good)
    site.pages["/-/ready"] = (503, b"loading")
    error, _actions = running.refused(running.wish(ready={**ready, "progress": "/x"}, conf="three", ready_timeout=0.1))
    assert "HTTP 503: loading" in str(error)
    assert "hunter2" not in str(error)
    manifests = "".join(path.read_text() for path in Path(running.layout.home).rglob("manifest.json"))
    assert "hunter2" not in manifests


def test_way_back_to_an_earlier_password(running: Host, site: t.Any) -> None:
    """The run knows only the new one; that the earlier generation asks for its own is answer enough."""
    site.pages["/-/ready"] = b'{"status":"ready"}'
    site.login = "u:old"
    ready = {"base": site.url, "path": "/-/ready", "expect": '"ready"', "user": "u", "password": "old"}
    running.run(running.wish(ready=ready, unit="two"))
    error, _actions = running.refused(
        running.wish(ready={**ready, "password": "new"}, unit="dies at start", ready_timeout=0.1)
    )
    assert "rolled back to generation 2, which answers" in error.what
    assert site.asked["/-/ready"] == 2


def test_data_comes_back_with_the_version_that_reads_it(running: Host) -> None:
    os.makedirs(running.layout.data)
    wal = Path(running.layout.data, "wal")
    wal.write_text("1.0")
    data = {"immutable": ["01*"], "breaking_versions": ["2.0"]}
    running.refused(running.wish(version="2.0.0", data=data, unit="dies at start"))
    assert wal.read_text() == "1.0"
    assert os.listdir(running.layout.data) == ["wal"]
    running.run(running.wish(version="2.0.0", data=data))
    assert running.serves() == served()


# --- the second look, at the end of the play ---


def test_second_look_at_what_still_runs(running: Host) -> None:
    (words,) = second_look(running.layout, 0)
    assert "still runs" in words
    assert second_look(running.layout, 0) == []


def test_second_look_at_what_died_goes_back(running: Host) -> None:
    running.run(running.wish(conf="two", unit="two"))
    running.systemd.set(running.layout.unit_name, state="failed")
    with pytest.raises(ComponentError, match=r"died after it had been ready \(.*generation 1") as caught:
        second_look(running.layout, 0)
    assert "its last words" in caught.value.seen
    assert running.serves() == served()
    assert running.state == "active"
    assert second_look(running.layout, 0) == []
    assert running.run(running.wish())["changed"] is False


def test_second_look_waits_until_the_earlier_generation_is_ready(running: Host, site: t.Any) -> None:
    """With its password: to be asked for one says nothing of the data that is still being read."""
    site.login = "u:hunter2"
    site.pages["/-/ready"] = b"ready"
    ready = {"base": site.url, "path": "/-/ready", "user": "u", "password": "hunter2"}
    running.run(running.wish(ready=ready, unit="two"))
    running.run(running.wish(ready=ready, unit="three"))
    before = site.asked["/-/ready"]
    site.pages["/-/ready"] = [(503, b"loading")] * 3 + [b"ready"]
    running.systemd.set(running.layout.unit_name, state="failed")
    with pytest.raises(ComponentError, match="which answers"):
        second_look(running.layout, 0, "hunter2")
    assert site.asked["/-/ready"] == before + 4


def test_second_look_at_a_first_installation_that_died(running: Host) -> None:
    running.systemd.set(running.layout.unit_name, state="failed")
    with pytest.raises(ComponentError, match="no earlier generation to go back to"):
        second_look(running.layout, 0)


def test_second_look_has_nothing_to_see_after_a_run_that_started_nothing(running: Host) -> None:
    second_look(running.layout, 0)
    running.run(running.wish(token="s2"))
    assert second_look(running.layout, 0) == []


# --- all of a host, seen at once ---


@pytest.fixture
def settled(running: Host) -> Host:
    second_look(running.layout, 0)
    return running


def test_what_is_in_order_has_the_mark_of_what_was_wanted(settled: Host) -> None:
    wish = settled.wish()
    state = in_order(settled.layout, (), 3)
    assert (state.needs, state.version, state.generation) == ((), "1.0.0", 1)
    desired, _contents = wanted(wish)
    assert state.fingerprint == fingerprint(desired, wish["release"]["programs"], [])
    assert settled.systemd.calls() == []


def test_what_nobody_has_looked_at_again_is_not_in_order(running: Host) -> None:
    assert in_order(running.layout).needs == ("settle the last change, at which nobody looked a second time",)
    running.run(running.wish())
    assert in_order(running.layout).needs == ()


def test_nothing_is_in_order_where_nothing_is(host: Host) -> None:
    assert in_order(host.layout).needs == ("bring a generation into force",)


def _edit(path: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write("# by hand\n")


@pytest.mark.parametrize(
    "harm",
    [
        lambda layout: _edit(f"{layout.etc}/app.conf"),
        lambda layout: _edit(f"{layout.secrets}/token"),
        lambda layout: _edit(layout.unit),
        lambda layout: os.remove(f"{layout.live}/a.yml"),
        lambda layout: os.chmod(f"{layout.secrets}/token", 0o644),
        lambda layout: os.remove(layout.program("app")),
        lambda layout: os.remove(layout.current),
        lambda layout: os.remove(f"{layout.release('1.0.0')}/app"),
        lambda layout: os.makedirs(layout.staging),
        lambda layout: _files.write_json(layout.journal, {"from": 1, "to": 1, "effect": "reload", "new": False}),
        lambda layout: os.makedirs(layout.release("0.9.0")),
    ],
)
def test_whatever_a_run_would_mend_is_not_in_order(settled: Host, harm: t.Callable[[Layout], None]) -> None:
    harm(settled.layout)
    state = in_order(settled.layout)
    assert state.needs
    assert settled.run(settled.wish())["changed"] is True
    second_look(settled.layout, 0)
    assert in_order(settled.layout).needs == ()


def test_a_service_that_does_not_run_is_not_in_order(settled: Host) -> None:
    settled.systemd.set(settled.layout.unit_name, state="inactive")
    assert "start daemon.service" in in_order(settled.layout).needs


def test_fewer_generations_than_there_are(settled: Host) -> None:
    for number in range(2, 5):
        settled.run(settled.wish(conf=str(number)))
    second_look(settled.layout, 0)
    assert in_order(settled.layout).needs == in_order(settled.layout, (), 3).needs == ()
    assert in_order(settled.layout, (), 2).needs == ("remove old generations 2",)


def test_a_mode_that_was_changed_is_in_the_manifest(settled: Host) -> None:
    wish = settled.wish()
    wish["files"] = [{**file, "mode": "0600"} for file in wish["files"]]
    assert "repaired owner and mode of app.conf, secrets/token, live/a.yml" in settled.run(wish)["actions"]
    second_look(settled.layout, 0)
    assert in_order(settled.layout).needs == ()


def test_what_others_have_put_there_is_told(settled: Host) -> None:
    Path(settled.layout.etc, "theirs").write_text("")
    state = in_order(settled.layout)
    assert state.needs == ()
    assert "theirs" in state.warnings[0]


# --- two runs at once ---


def test_one_run_at_a_time(layout: Layout) -> None:
    with lock(layout), pytest.raises(ComponentError, match="another run is changing") as caught, lock(layout):
        pass
    assert f"process {os.getpid()}" in caught.value.seen
    with lock(layout):
        pass


def test_lock_of_a_dead_process_holds_nobody_up(layout: Layout) -> None:
    os.makedirs(os.path.dirname(layout.lock))
    handle = open(layout.lock, "w")  # noqa: SIM115  # a process that dies closes it so
    fcntl.flock(handle, fcntl.LOCK_EX)
    handle.close()
    with lock(layout):
        pass


# --- killed ---


class Killed(BaseException):
    """Nothing in between catches it, as nothing catches SIGKILL."""


def killed_before(
    number: int, monkeypatch: pytest.MonkeyPatch, action: t.Callable[[], object], also: t.Sequence[str] = ()
) -> bool:
    """Run something, and stop it dead before its change number C(number); False if it came to its end.

    C(also): functions of os that count as changes too.
    """
    left = [number]

    def counted(real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def change(*arguments: t.Any, **options: t.Any) -> t.Any:
            if "show" not in (arguments[0] if isinstance(arguments[0], (list, tuple)) else ()):
                if not left[0]:
                    raise Killed
                left[0] -= 1
            return real(*arguments, **options)

        return change

    def unless_dead(real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        """The dead clean nothing up."""

        def unlink(path: t.Any, **options: t.Any) -> None:
            if not left[0] and UNFINISHED.search(str(path)):
                raise Killed
            real(path, **options)

        return unlink

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", counted(os.rename))
        patch.setattr(subprocess, "run", counted(subprocess.run))
        patch.setattr(os, "unlink", unless_dead(os.unlink))
        for name in also:
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            action()
        except Killed:
            return True
    return False


# Files that are not whole yet, in folders that programs read.
UNFINISHED = re.compile(r"/(live|secrets)/(.*/)?\.new-[^/]*$")
OLD = {"conf": "one", "token": "s1", "unit": "one", "targets": {"a.yml": "a", "gone.yml": "gone"}}
NEW = {"conf": "two", "token": "s2", "unit": "two", "targets": {"a.yml": "a2", "b.yml": "b"}}
THIRD = {"conf": "three", "token": "s3", "unit": "two", "targets": {"a.yml": "a3"}}
GENERATIONS = (("# one", "one"), ("# two", "two"))


def unsettled(host: Host, wish: dict[str, t.Any], expected: dict[str, str], adopted: bool = False) -> list[str]:
    """What is not as wished, what is left of what happened, and what a further run would still do."""
    found = []
    serves = host.serves()
    for name in sorted({*serves, *expected}):
        if serves.get(name) != expected.get(name):
            found.append(f"{name} is {serves.get(name)!r} and not {expected.get(name)!r}")
    if host.state != "active":
        found.append(f"the service is {host.state}")
    if host.systemd.ran(host.layout.unit_name).split("\n")[0] != expected["unit"]:
        found.append("the service was started with an earlier unit: no daemon-reload")
    found += [f"a further run {action}" for action in host.run(wish)["actions"]]
    known = {"current", "generations", "live", "secrets", "unsettled.json", "failed", *(["adopted"] if adopted else [])}
    found += [f"{name} is left" for name in sorted(set(os.listdir(host.layout.home)) - known)]
    for number in _generations.numbers(host.layout):
        if not _generations.read(host.layout, number).committed:
            found.append(f"generation {number} is left, unproven")
    return found


@pytest.mark.parametrize(
    ("then", "expected", "numbers"),
    [
        pytest.param(NEW, served("two", "s2", "two", a="a2", b="b"), range(99), id="the same again"),
        pytest.param(THIRD, served("three", "s3", "two", a="a3"), range(1, 99, 2), id="then something else"),
        pytest.param(
            OLD, served("one", "s1", "one", a="a", gone="gone"), range(0, 99, 2), id="then the old state again"
        ),
    ],
)
def test_killed_anywhere(
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    then: dict[str, t.Any],
    expected: dict[str, str],
    numbers: range,
) -> None:
    """One whole generation is in force at every moment, and the next run brings the host to what it asks for."""
    host.run(host.wish(**OLD))
    places = {host.layout.root: str(tmp_path / "root"), str(host.systemd.folder): str(tmp_path / "state")}
    for place, snapshot in places.items():
        shutil.copytree(place, snapshot, symlinks=True)
    problems = []
    for number in numbers:
        for place, snapshot in places.items():
            shutil.rmtree(place)
            subprocess.run(["cp", "-a", snapshot, place], check=True)
        if not killed_before(number, monkeypatch, lambda: host.run(host.wish(**NEW))):
            break
        when = f"killed before change {number}"
        now = host.serves()
        assert (now["unit"], now["config/app.conf"]) in GENERATIONS, when
        host.run(host.wish(**then))
        problems += [f"{when}: {problem}" for problem in unsettled(host, host.wish(**then), expected)]
    assert number > 15
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("place", ["live", "secret"])
def test_unfinished_file_of_a_killed_run_goes(running: Host, place: str) -> None:
    folder = Path(running.layout.place(place), "sub")
    folder.mkdir()
    (folder / ".new-a1b2").write_text("hunt")
    (folder / "somebodys").write_text("theirs")
    assert running.check(running.wish())["actions"] == ["would remove what an interrupted run left"]
    assert running.run(running.wish())["actions"] == ["removed what an interrupted run left"]
    assert os.listdir(folder) == ["somebodys"]
    assert running.run(running.wish())["changed"] is False


def test_files_that_only_a_killed_run_wanted_go(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It wrote them, and was killed before it activated the configuration that would name them."""
    host.run(host.wish())
    changed = with_secrets(host.wish(conf="two", targets={"a.yml": "a", "b.yml": "b"}), fresh="f")

    def switch(layout: Layout, number: int) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(_generations, "switch", switch)
        with pytest.raises(Killed):
            host.run(changed)
    assert host.serves() == {**served(a="a", b="b"), "secret/fresh": "f"}
    result = host.run(host.wish())
    assert result["removed_files"] == [["live", "b.yml"], ["secret", "fresh"]]
    assert unsettled(host, host.wish(), served()) == []


def test_bad_run_after_a_killed_one_forgets_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.run(host.wish(**OLD))
    real = subprocess.run

    def run(words: t.Any, **options: t.Any) -> t.Any:
        if words[:2] == ("systemctl", "restart"):
            raise Killed
        return real(words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", run)
        with pytest.raises(Killed):
            host.run(host.wish(**NEW))
    host.refused(host.wish(**{**NEW, "conf": "invalid"}))
    host.systemd.calls()
    result = host.run(host.wish(**NEW))
    assert f"restarted {host.layout.unit_name}" in result["actions"]
    assert f"restart {host.layout.unit_name}" in host.systemd.calls()
    assert unsettled(host, host.wish(**NEW), served("two", "s2", "two", a="a2", b="b")) == []


@pytest.fixture
def restore(host: Host, tmp_path: Path) -> t.Callable[[], None]:
    """Brings the host back to how it was when this was first called."""
    places = {host.layout.root: str(tmp_path / "root"), str(host.systemd.folder): str(tmp_path / "state")}

    def again() -> None:
        for place, snapshot in places.items():
            if not os.path.exists(snapshot):
                shutil.copytree(place, snapshot, symlinks=True)
            shutil.rmtree(place)
            subprocess.run(["cp", "-a", snapshot, place], check=True)

    return again


THEIR_UNIT = "other.service"


@pytest.fixture
def theirs(host: Host, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[], list[str]]:
    """A host on which a package runs the program, with its files; tells what of it is not as it was."""
    layout = host.layout
    monkeypatch.setattr(_service, "packaged_units", lambda names: (THEIR_UNIT,))
    Path(layout.unit).with_name(THEIR_UNIT).write_text("# theirs\n")
    host.systemd.set(THEIR_UNIT)
    paths = [Path(layout.etc, "theirs.conf"), Path(layout.program("app")), Path(layout.unit)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# theirs\n")

    def amiss() -> list[str]:
        found = [str(path) for path in paths if _files.read_bytes(str(path)) != b"# theirs\n"]
        found += [] if host.systemd.state(THEIR_UNIT) == "active" else [f"{THEIR_UNIT} does not run"]
        found += [] if (host.systemd.folder / f"{THEIR_UNIT}.enabled").exists() else [f"{THEIR_UNIT} is not enabled"]
        return found

    return amiss


@pytest.mark.parametrize("then", ["the same again", "not taken over after all", "absent"])
@pytest.mark.parametrize("across", [False, True], ids=["one file system", "two file systems"])
def test_killed_while_taking_over(
    host: Host, theirs: t.Any, restore: t.Any, monkeypatch: pytest.MonkeyPatch, then: str, across: bool
) -> None:
    """The next run takes over to the end, or gives all of it back."""
    if across:
        two_file_systems(host, monkeypatch)
    problems: list[str] = []
    for number in range(0, 99, 1 if across else 2):
        restore()
        if not killed_before(number, monkeypatch, lambda: host.run(host.wish(adopt=True))):
            break
        when = f"killed before change {number}"
        in_force = os.path.lexists(host.layout.current)
        proven = in_force and _generations.read(host.layout, _generations.current_number(host.layout)).committed
        if then == "the same again" or (then == "not taken over after all" and in_force):
            host.run(host.wish(adopt=then == "the same again"))
            found = unsettled(host, host.wish(), served(), adopted=True)
            found += [] if host.systemd.state(THEIR_UNIT) == "inactive" else [f"{THEIR_UNIT} still runs"]
            kept = [path.read_text() for path in Path(host.layout.adopted).rglob("*") if path.is_file()]
            found += [] if kept == ["# theirs\n"] * 3 else [f"kept are {kept}"]
        elif then == "absent":
            host.run(host.wish(state="absent"))
            found = [] if proven else theirs()
            found += [str(path) for path in Path(host.layout.home).glob("*") if path.name != "adopted" or not proven]
        else:
            host.refused(host.wish())
            found = theirs()
        problems += [f"{when}: {problem}" for problem in found]
    assert number > 15
    assert not problems, "\n".join(problems)


def two_file_systems(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """/etc and /usr are on another one than /var."""
    real = os.rename

    def side(path: str) -> bool:
        return "/var/" in str(path).removeprefix(host.layout.root)

    def rename(source: str, target: str) -> None:
        if side(source) != side(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)


@pytest.mark.parametrize("then", ["absent", "present"])
def test_killed_while_removed(running: Host, restore: t.Any, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    """The next run removes the rest, or installs anew; what others had put here is never lost."""
    host = running
    Path(host.layout.etc, "notes.txt").write_text("somebody's")
    problems = []
    for number in range(99):
        restore()
        removed = killed_before(number, monkeypatch, lambda: host.run(host.wish(state="absent")), ("unlink", "rmdir"))
        if not removed:
            break
        if then == "absent":
            host.run(host.wish(state="absent"))
            left = {str(path.relative_to(host.layout.root)) for path in Path(host.layout.root).rglob("*.*")}
            found = [f"left are {left}"] if left != {f"etc/{host.layout.name}/notes.txt"} else []
            found += [] if host.state == "inactive" else ["it still runs"]
            found += host.run(host.wish(state="absent"))["actions"]
        else:
            host.run(host.wish(adopt=True))
            texts = [path.read_text() for path in Path(host.layout.root).rglob("notes.txt")]
            found = [] if "somebody's" in texts else ["the notes are lost"]
            serves = {name: text for name, text in host.serves().items() if "notes" not in name}
            found += [] if serves == served() else [str(serves)]
        problems += [f"killed before change {number}: {problem}" for problem in found]
    assert number > 15
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("then", ["the same again", "fails", "absent"])
def test_killed_while_first_installed(host: Host, restore: t.Any, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    problems = []
    for number in range(99):
        restore()
        if not killed_before(number, monkeypatch, lambda: host.run(host.wish()), ("mkdir",)):
            break
        if then == "the same again":
            host.run(host.wish())
            found = unsettled(host, host.wish(), served())
        else:
            if then == "fails":
                committed = observed_committed(host)
                host.refused(host.wish(unit="dies at start"))
                found = [] if committed or host.state != "active" else ["it runs"]
                found += [] if committed or not os.path.lexists(host.layout.unit) else ["its unit is left"]
            else:
                found = []
            host.run(host.wish(state="absent"))
            found += [str(path) for path in Path(host.layout.root).rglob("*.*")]
            found += [
                path for path in (host.layout.home, os.path.dirname(host.layout.releases)) if os.path.exists(path)
            ]
            found += host.run(host.wish(state="absent"))["actions"]
        problems += [f"killed before change {number}: {problem}" for problem in found]
    assert number > 15
    assert not problems, "\n".join(problems)


def observed_committed(host: Host) -> bool:
    seen = _generations.read(host.layout, _generations.current_number(host.layout))
    return seen is not None and seen.committed


def test_killed_while_the_format_changes(running: Host, restore: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it fails: the earlier version has the data that it reads, wherever the run was killed."""
    host = running
    os.makedirs(host.layout.data)
    wal = Path(host.layout.data, "wal")
    wal.write_text("1.0")
    data = {"immutable": [], "breaking_versions": ["2.0"]}
    bad = host.wish(version="2.0.0", data=data, unit="dies at start")
    real = _service.command

    def command(*words: str, **options: t.Any) -> str:
        """Version 2 writes what version 1 cannot read."""
        if words[1] in ("start", "restart") and "dies" in Path(host.layout.unit).read_text():
            wal.write_text("2.0")
        return real(*words, **options)

    monkeypatch.setattr(_service, "command", command)
    problems = []
    for number in range(99):
        restore()
        if not killed_before(number, monkeypatch, lambda: host.refused(bad)):
            break
        host.refused(bad)
        host.run(host.wish(data=data))  # the release that is not needed goes
        found = unsettled(host, host.wish(data=data), served())
        found += [] if wal.read_text() == "1.0" else [f"the data is of {wal.read_text()}"]
        found += [name for name in os.listdir(host.layout.data) if name != "wal"]
        problems += [f"killed before change {number}: {problem}" for problem in found]
    assert number > 30
    assert not problems, "\n".join(problems)


# --- what somebody removed ---


def test_link_that_somebody_removed(running: Host) -> None:
    os.unlink(running.layout.current)
    words = f"the link {running.layout.current}, which was gone"
    assert running.check(running.wish())["actions"][0] == f"would repair {words}"
    assert running.run(running.wish())["actions"] == [f"repaired {words}"]
    assert running.serves() == served()
    assert running.systemd.calls() == []


def test_link_leads_to_the_generation_whose_unit_is_installed(running: Host) -> None:
    running.run(running.wish(conf="two", unit="two"))
    running.run(running.wish(conf="three", unit="three"))
    shutil.copy(f"{running.layout.generation(2)}/{running.layout.unit_name}", running.layout.unit)
    os.unlink(running.layout.current)
    running.refused(running.wish(conf="invalid"))
    assert running.serves() == served("two", unit="two")


def test_account_that_somebody_removed(running: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs has its old number, so it is started anew, with a configuration that the new account may read."""
    real = _service.command
    there = [False]

    def command(*words: str, **options: t.Any) -> str:
        there[0] = there[0] or words[0] == "systemd-sysusers"
        return "" if words[0] == "systemd-sysusers" else real(*words, **options)

    ids = _observe.account_ids
    monkeypatch.setattr(_service, "command", command)
    monkeypatch.setattr(_observe, "account_ids", lambda name: ids(name) if there[0] else None)
    result = running.run(running.wish())
    assert result["actions"][0] == f"created the account {running.layout.name}"
    assert (result["generation"], result["effect"]) == (2, "restart")
    assert running.serves() == served()


def test_systemd_is_too_old(running: Host) -> None:
    """A host that is right is not asked for it."""
    script = (running.systemd.programs / "systemctl").read_text().replace("systemd 257", "systemd 249")
    running.systemd.add_program("systemctl", script)
    assert running.run(running.wish())["changed"] is False
    error, _actions = running.refused(running.wish(conf="two"))
    assert error.what == "this host has systemd 249, and systemd 250 or later is needed"
    with pytest.raises(ComponentError, match="systemd 250"):
        running.check(running.wish(conf="two"))
    assert running.serves() == served()
    assert running.run(running.wish(state="absent"))["changed"] is True


# --- the arguments ---


@pytest.mark.parametrize("name", ["", "../etc", "Prometheus", "my-app", "app/x", "1app"])
def test_name_that_is_none(host: Host, name: str) -> None:
    with pytest.raises(ComponentError, match="cannot name a component"):
        build({**host.wish(), "name": name})


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ".."])
def test_file_outside_its_place(host: Host, path: str) -> None:
    wish = host.wish()
    wish["files"][0]["path"] = path
    with pytest.raises(ComponentError, match="is not inside its place"):
        build(wish)


def test_result_holds_no_secret(running: Host) -> None:
    result = running.run(running.wish(conf="two", token="hunter2"))
    again = running.run(running.wish(conf="three", token="hunter3"))
    for one in (result, again):
        told = f"{one} {earlier(one)}"
        assert "hunter" not in told
        assert encoded("hunter2") not in told
        assert earlier(one).keys() == {"config/app.conf", f"unit/{running.layout.unit_name}"}
