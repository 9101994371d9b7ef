# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role backup and its playbook tell people to write, and what the role does where, as Ansible reads it."""

from __future__ import annotations

import re
import shlex
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv
from ansible.template import Templar, trust_as_template
from ansible.utils.vars import load_extra_vars

ROOT = Path(__file__).resolve().parents[3]
STATED = [
    *(ROOT / "playbooks").glob("*.yml"),
    *(ROOT / "roles").glob("*/tasks/*.yml"),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "README.md",
]


@pytest.mark.parametrize(
    "path", [one for one in STATED if "backup_schedule='" in one.read_text()], ids=lambda one: one.name
)
def test_schedule_on_the_command_line_is_taken_as_a_whole(path: Path) -> None:
    """Of -e name=value each word is one of its own, unless the value has quotes that the shell leaves."""
    text = path.read_text().replace('\\"', '"')
    for stated in re.findall(r"""-e ("backup_schedule='[^']*'"|backup_schedule='[^']*')""", text):
        assert parse_kv(*shlex.split(stated)) == {"backup_schedule": "30 2 * * *"}


def test_refusal_of_a_schedule_shows_one_that_works() -> None:
    assert "-e \\\"backup_schedule='30 2 * * *'\\\"" in (ROOT / "roles/backup/tasks/main.yml").read_text()


def load(path: str) -> t.Any:
    return DataLoader().load_from_file(
        str(ROOT / "roles/backup" / path), cache="none", unsafe=True, trusted_as_template=True
    )


def task(path: str, name: str) -> dict[str, t.Any]:
    return next(dict(one) for one in load(path) if one["name"] == name)


def templar(**variables: t.Any) -> Templar:
    return Templar(loader=DataLoader(), variables={**load("defaults/main.yml"), **load("vars/main.yml"), **variables})


def holds(where: Templar, condition: str) -> bool:
    return bool(where.template(trust_as_template("{{ " + condition + " }}")))


PLACES: dict[str, dict[str, t.Any]] = {
    "mon1": {"backup_repository": "/srv/backup"},
    "mon2": {"backup_repository": ""},
    "mon3": {},
}


@pytest.mark.parametrize(
    ("host", "names", "outcome"),
    [
        ("mon1", ["mon1", "mon2", "mon3"], "backed up"),
        ("mon2", ["mon1", "mon2", "mon3"], "left out"),
        ("mon2", ["mon2", "mon3"], "refused"),
        ("mon3", ["mon1", "mon2", "mon3"], "refused"),  # nothing says that it is to have none
    ],
)
def test_host_without_a_place_is_left_out_where_others_have_one(host: str, names: list[str], outcome: str) -> None:
    hostvars = {name: {"inventory_hostname": name, **PLACES[name]} for name in names}
    where = templar(**{"groups": {"all": names}, "hostvars": hostvars, **hostvars[host]})
    tasks = {
        "left out": task("tasks/repository.yml", "Say which host is left out"),
        "refused": task("tasks/repository.yml", "Say what is missing"),
        "backed up": task("tasks/repository.yml", "See whether restic is there"),
    }
    assert [name for name, one in tasks.items() if holds(where, one["when"])] == [outcome]
    assert holds(where, task("tasks/main.yml", "Back up")["when"]) == (outcome == "backed up")
    if outcome == "left out":
        assert where.template(tasks[outcome]["ansible.builtin.debug"]["msg"]).startswith("mon2 has no backups")


@pytest.mark.parametrize(
    ("stated", "extra", "partial"),
    [
        ({}, {}, False),
        ({"backup_components": ["prometheus"]}, {}, False),  # by the inventory: nothing more is wanted
        ({"backup_components": ["prometheus"], "__backup_by_the_way": True}, {}, True),
        ({"backup_components": "prometheus"}, {"backup_components": "prometheus"}, True),
        ({"backup_components": ""}, {"backup_components": ""}, False),
    ],
)
def test_backup_of_what_one_run_names_is_partial(
    monkeypatch: pytest.MonkeyPatch, stated: dict[str, t.Any], extra: dict[str, t.Any], partial: bool
) -> None:
    monkeypatch.setattr(load_extra_vars, "extra_vars", {"another": 1, **extra}, raising=False)
    said = task("tasks/main.yml", "Back up")["opswatch.monitoring.backup"]["partial"]
    assert templar(**stated).template(said) is partial


def test_upgrade_says_that_its_backup_is_by_the_way() -> None:
    upgrade = (ROOT / "roles/upgrade/tasks/component.yml").read_text()
    assert "__backup_by_the_way: true" in upgrade
    assert "backup_keep: {}" in upgrade


# What each host of a run has dropped: two share a repository at the same path, and a third has its own there.
DROPPED: dict[str, dict[str, t.Any]] = {
    "mon1": {"dropped": 0},
    "mon2": {"dropped": 1, "repository_id": "4c1e"},
    "mon3": {"dropped": 2, "repository_id": "4c1e"},
    "mon4": {"dropped": 1, "repository_id": "99aa"},
    "mon5": {"skipped": True},
}


@pytest.mark.parametrize(
    ("left", "pruners"),
    [
        ([], ["mon2", "mon4"]),
        (["mon2"], ["mon3", "mon4"]),  # one that failed
        (["mon2", "mon3", "mon4"], []),
    ],
)
def test_space_is_freed_on_one_host_of_each_repository(left: list[str], pruners: list[str]) -> None:
    hostvars = {name: {"inventory_hostname": name, "__backup_dropped": said} for name, said in DROPPED.items()}
    batch = [name for name in hostvars if name not in left]
    condition = task("tasks/main.yml", "Free its space, on one host of each repository")["when"]
    wheres = {name: templar(hostvars=hostvars, ansible_play_batch=batch, **hostvars[name]) for name in batch}
    assert [name for name, where in wheres.items() if holds(where, condition)] == pruners


@pytest.mark.parametrize(
    ("stated", "dropped"),
    [
        ({"__backup_done": {"snapshot": "1a2b3c4d"}}, True),
        ({"__backup_done": {"snapshot": "1a2b3c4d"}, "backup_keep": {}}, False),  # as in an upgrade
        ({"__backup_done": {"skipped": True}}, False),
        ({"__backup_done": {"changed": True, "actions": ["would back up loki"]}}, False),  # in check mode
    ],
)
def test_backups_are_dropped_where_one_was_made(stated: dict[str, t.Any], dropped: bool) -> None:
    assert holds(templar(**stated), task("tasks/main.yml", "Drop what backup_keep does not keep")["when"]) == dropped


def test_nothing_is_dropped_before_all_hosts_have_their_backup_and_the_entry_is_made() -> None:
    """What fails there keeps nobody from either."""
    names = [one["name"] for one in load("tasks/main.yml")]
    drop = names.index("Drop what backup_keep does not keep")
    assert names.index("Back up") < names.index("Entry in the crontab of the control node") < drop
    assert load("tasks/main.yml")[drop]["throttle"] == 1


def test_the_repository_is_made_by_one_host_after_the_other() -> None:
    """Where two make it at the same moment it is damaged."""
    made, used = (task("tasks/main.yml", name) for name in ("Make the repository, if it is not there yet", "Back up"))
    names = [one["name"] for one in load("tasks/main.yml")]
    assert names.index(made["name"]) + 1 == names.index("Back up")
    assert made["throttle"] == 1
    assert made["when"] == used["when"]
