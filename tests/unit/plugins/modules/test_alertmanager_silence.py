# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module for silences against the real Alertmanager, alone and as a cluster of two."""

from __future__ import annotations

import json
import time
import typing as t
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest
import requests
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins.module_utils import _silence
from ansible_collections.opswatch.monitoring.plugins.modules import alertmanager_silence

from tests.testbed import programs

VERSIONS = programs.versions("alertmanager")
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
PASSWORD = "right"


class Member:
    """One Alertmanager, which may be stopped and started."""

    def __init__(self, program: Path, folder: Path, *flags: str) -> None:
        folder.mkdir()
        self.program, self.folder, self.port = program, folder, programs.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.flags = [f"--storage.path={folder}", "--config.file=am.yml", "--web.config.file=web.yml", *flags]
        (folder / "am.yml").write_text(CONFIG)
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {"monitoring": hashed}}))
        self.running = ExitStack()

    def start(self) -> None:
        flags = [*self.flags, f"--web.listen-address=127.0.0.1:{self.port}"]
        self.running.enter_context(programs.running(self.program, *flags, port=self.port, cwd=self.folder))

    def stop(self) -> None:
        self.running.close()

    def ask(self, path: str) -> t.Any:
        return requests.get(f"{self.url}/api/v2/{path}", auth=("monitoring", PASSWORD), timeout=30).json()

    def silences(self) -> list[dict[str, t.Any]]:
        return [one for one in self.ask("silences") if one["status"]["state"] != "expired"]


def started(version: str, folder: Path) -> t.Iterator[Member]:
    program = programs.unpack("alertmanager", version, folder) / "alertmanager"
    member = Member(program, folder / "data", "--cluster.listen-address=")
    member.start()
    yield member
    member.stop()


@pytest.fixture(scope="module", params=VERSIONS)
def every(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Member]:
    yield from started(request.param, tmp_path_factory.mktemp("every"))


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Member]:
    yield from started(VERSIONS[-1], tmp_path_factory.mktemp("newest"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[list[Member]]:
    folder = tmp_path_factory.mktemp("cluster")
    program = programs.unpack("alertmanager", VERSIONS[-1], folder) / "alertmanager"
    gossip = [f"127.0.0.1:{programs.free_port()}" for _member in range(2)]
    members = [
        Member(
            program,
            folder / f"data{number}",
            f"--cluster.listen-address={own}",
            f"--cluster.advertise-address={own}",
            *(f"--cluster.peer={other}" for other in gossip if other != own),
        )
        for number, own in enumerate(gossip)
    ]
    for member in members:
        member.start()
    deadline = time.monotonic() + 120
    while any(len(member.ask("status")["cluster"]["peers"]) < 2 for member in members):
        assert time.monotonic() < deadline, "the members have not met"
        time.sleep(0.2)
    yield members
    for member in members:
        member.stop()


class Module:
    """Runs the module as Ansible does on the host, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys = capsys
        self.warnings: list[str] = []
        # In a process that is a control node's too, a module's warnings do not come with its result.
        monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: self.warnings.append(text))

    def __call__(self, *members: Member, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        arguments = {
            "urls": [member.url for member in members],
            "user": "monitoring",
            "password": PASSWORD,
            "comment": "kernel update",
            **options,
            "_ansible_check_mode": check,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            alertmanager_silence.main()
        return dict(json.loads(self.capsys.readouterr().out))


@pytest.fixture
def module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Module:
    return Module(capsys, monkeypatch)


def lasts(silence: dict[str, t.Any]) -> timedelta:
    return _silence.parse_time(silence["endsAt"]) - datetime.now(UTC)


def test_create_extend_expire(every: Member, module: Module) -> None:
    wanted: dict[str, t.Any] = {"matchers": ['instance="app1"', "severity!=critical"], "created_by": "life"}
    made = module(every, **wanted, duration="30m")
    assert made["changed"]
    assert made["silence"]["status"]["state"] == "active"
    assert timedelta(minutes=29) < lasts(made["silence"]) <= timedelta(minutes=30)
    assert f"created the silence {made['id']}" in made["actions"][0]

    again = module(every, **wanted, duration="30m")
    assert (again["changed"], again["id"], again["actions"]) == (False, made["id"], [])

    longer = module(every, **wanted, duration="2h")
    assert (longer["changed"], longer["id"]) == (True, made["id"])
    assert lasts(longer["silence"]) > timedelta(minutes=119)
    assert "extended" in longer["actions"][0]
    assert not module(every, **wanted, duration="30m")["changed"], "shortened"

    other_words = module(every, **wanted, duration="30m", comment="and a new disk")
    assert (other_words["changed"], other_words["id"]) == (True, made["id"])
    assert other_words["silence"]["endsAt"] == longer["silence"]["endsAt"]
    assert "comment: kernel update" in other_words["diff"]["before"]
    assert "comment: and a new disk" in other_words["diff"]["after"]

    gone = module(every, **wanted, state="absent")
    assert (gone["changed"], gone["expired"], gone["id"]) == (True, [made["id"]], "")
    assert [one for one in every.silences() if one["createdBy"] == "life"] == []
    assert not module(every, **wanted, state="absent")["changed"]

    anew = module(every, **wanted)
    assert anew["changed"]
    assert anew["id"] != made["id"], "an expired one does not come back"


def test_check_mode_says_it_and_does_nothing(newest: Member, module: Module) -> None:
    wanted: dict[str, t.Any] = {"matchers": ["job=checked"], "created_by": "check"}
    would = module(newest, check=True, **wanted)
    assert would["changed"]
    assert would["actions"][0].startswith('would create the silence of job="checked" until 20')
    assert would["diff"]["before"] == ""
    assert would["diff"]["after"].startswith('job="checked"\ncreated by: check\n')
    assert would["id"] == ""
    assert [one for one in newest.silences() if one["createdBy"] == "check"] == []
    made = module(newest, **wanted)
    would = module(newest, check=True, **wanted, state="absent")
    assert would["changed"]
    assert would["actions"] == [f"would expire the silence {made['id']}"]
    assert [one["id"] for one in newest.silences() if one["createdBy"] == "check"] == [made["id"]]


def test_silences_of_others_are_left_alone(newest: Member, module: Module) -> None:
    matchers = ["job=shared"]
    hers = module(newest, matchers=matchers, created_by="her")
    his = module(newest, matchers=matchers, created_by="him")
    assert his["changed"]
    assert his["id"] != hers["id"]
    more = module(newest, matchers=[*matchers, "instance=app1"], created_by="him")
    assert more["changed"]
    gone = module(newest, matchers=matchers, created_by="him", state="absent")
    assert gone["expired"] == [his["id"]]
    assert any("her has a silence with the same matchers" in warning for warning in module.warnings)
    left = {one["id"] for one in newest.silences()}
    assert {hers["id"], more["id"]} <= left


def test_window_that_has_not_begun(newest: Member, module: Module) -> None:
    wanted: dict[str, t.Any] = {"matchers": ["job=later"], "created_by": "window"}
    starts = datetime.now(UTC) + timedelta(hours=5)
    window = {"starts_at": starts.isoformat(), "ends_at": (starts + timedelta(hours=1)).isoformat()}
    later = module(newest, **wanted, **window)
    assert later["silence"]["status"]["state"] == "pending"
    assert not module(newest, **wanted, **window)["changed"]
    now = module(newest, **wanted)
    assert now["id"] != later["id"]
    assert now["silence"]["status"]["state"] == "active"
    assert len(module(newest, **wanted, state="absent")["expired"]) == 2


def test_any_member_does_and_all_are_told(cluster: list[Member], module: Module) -> None:
    first, second = cluster
    wanted: dict[str, t.Any] = {"matchers": ["job=clustered"], "created_by": "cluster"}
    made = module(first, second, **wanted)
    assert made["url"] == first.url
    assert [one["id"] for one in second.silences()] == [made["id"]]
    assert not module(second, **wanted)["changed"]

    first.stop()
    longer = module(first, second, **wanted, duration="3h")
    assert (longer["changed"], longer["id"], longer["url"]) == (True, made["id"], second.url)
    assert any("does not answer, and learns of the silence once it does" in text for text in module.warnings)
    first.start()
    deadline = time.monotonic() + 120
    while not any(lasts(one) > timedelta(hours=2) for one in first.silences()):
        assert time.monotonic() < deadline, "the member that was down never learnt of it"
        time.sleep(0.2)
    assert module(first, second, **wanted, state="absent")["expired"] == [made["id"]]
    assert second.silences() == []


# --- refusals ---


def test_wrong_password(newest: Member, module: Module) -> None:
    done = module(newest, matchers=["job=x"], password="wrong")
    assert "/api/v2/status was answered with 401 Unauthorized: Unauthorized. What to do: correct user" in done["msg"]


def test_nobody_answers(module: Module, tmp_path: Path) -> None:
    down = [Member(Path("alertmanager"), tmp_path / name) for name in ("a", "b")]
    alone = module(down[0], matchers=["job=x"])["msg"]
    assert "no connection, or it was cut" in alone
    assert "What to do: see whether Alertmanager runs and listens there" in alone
    both = module(*down, matchers=["job=x"])["msg"]
    assert "none of the 2 members of the cluster answers" in both
    assert down[0].url in both
    assert down[1].url in both


def test_alertmanagers_own_words(newest: Member, module: Module) -> None:
    """It refuses what would silence everything."""
    done = module(newest, matchers=["job=~.*"])["msg"]
    assert "POST" in done
    assert "/api/v2/silences was answered with 400 Bad Request: " in done
    assert "at least one matcher must not match the empty string" in done


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"matchers": []}, "matchers is empty"),
        ({"matchers": ["app1"]}, "the matcher 'app1' cannot be read"),
        ({"matchers": ['job="shop']}, "close its quotes"),
        ({"matchers": ["job=x"], "duration": "2 hours"}, "'2 hours' is no duration. What to do: write it like 30m"),
        ({"matchers": ["job=x"], "duration": "0h"}, "'0h' is no duration"),
        ({"matchers": ["job=x"], "ends_at": "2026-01-01T00:00:00"}, "is no time with a zone"),
        ({"matchers": ["job=x"], "ends_at": "2020-01-01T00:00:00Z"}, "would be over already"),
        ({"matchers": ["job=x"], "comment": None}, "a silence needs a comment"),
    ],
)
def test_wrong_options(newest: Member, module: Module, options: t.Any, said: str) -> None:
    done = module(newest, **options)
    assert done["failed"]
    assert said in done["msg"]
