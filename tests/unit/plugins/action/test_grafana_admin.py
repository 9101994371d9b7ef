# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action that brings what is inside of Grafana: when it has to ask the host, and when not."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible import constants as C
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.plugins.connection.local import Connection
from ansible.plugins.loader import action_loader
from ansible.template import Templar
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_wanted import OPTIONS, mark
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import in_order
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_tree import packed_tree, right_tree

HOST = "mon1"
DONE = {"changed": False, "actions": [], "token_file": "/token", "ready": True}


class Controller:
    """Runs the action as ansible-playbook would. C(sent): the arguments of each remote call."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.sent: list[dict[str, t.Any]] = []
        monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(folder))
        monkeypatch.setattr(ActionBase, "_execute_module", self._execute)

    def _execute(self, *_arguments: t.Any, module_args: dict[str, t.Any], **_more: t.Any) -> dict[str, t.Any]:
        self.sent.append(module_args)
        return dict(DONE)

    def run(self, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        loader = DataLoader()
        loader.set_basedir(str(self.folder))
        tasks = [{"opswatch.monitoring.grafana_admin": options, "check_mode": check}]
        (block,) = Play.load({"hosts": "all", "tasks": tasks}, loader=loader).tasks
        (task,) = block.block
        variables = {"inventory_hostname": HOST}
        templar = Templar(loader=loader, variables=variables)
        task.post_validate(templar=templar._engine)
        action = action_loader.get(
            "opswatch.monitoring.grafana_admin",
            task=task,
            connection=Connection(PlayContext()),
            play_context=PlayContext(),
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        result: dict[str, t.Any] = action.run(task_vars=variables)
        return result


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    return Controller(tmp_path, monkeypatch)


@pytest.fixture
def wish(tmp_path: Path) -> dict[str, t.Any]:
    """What is wanted, and what the preflight has seen on the host."""
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "orders.json").write_text(json.dumps({"uid": "orders", "title": "Orders"}))
    options = {"password": "geheim", "dashboards": [{"path": str(shop), "owner": "shop"}]}
    trees = [{"path": str(shop), "owner": "shop", "tree": packed_tree(right_tree(shop))}]
    full = {**{name: one.get("default") for name, one in OPTIONS.items()}, **options, "dashboards": trees}
    seen = {"salt": "salt", "mark": mark(full, "salt"), "token_file": "/token", "actions": ["left x alone"]}
    in_order.remember(HOST, {"grafana": {"in_order": True, "inside": seen}, "loki": {"in_order": True}})
    return options


@pytest.mark.parametrize("check", [True, False])
def test_no_call_where_the_preflight_saw_what_is_wanted(
    controller: Controller, wish: dict[str, t.Any], check: bool
) -> None:
    assert controller.run(check, **wish) == {**DONE, "actions": ["left x alone"]}
    assert controller.sent == []
    assert in_order.seen(HOST, "grafana")


@pytest.mark.parametrize(
    "other",
    [{"password": "other"}, {"user": "root"}, {"datasources": []}, {"url": "http://[::1]:3000"}, {"dashboards": []}],
)
def test_whatever_else_is_wanted_asks_the_host(
    controller: Controller, wish: dict[str, t.Any], other: dict[str, t.Any]
) -> None:
    controller.run(**{**wish, **other})
    assert len(controller.sent) == 1
    assert in_order.seen(HOST, "grafana") is None, "it may have changed"
    assert in_order.seen(HOST, "loki")


def test_a_changed_dashboard_asks_the_host(controller: Controller, wish: dict[str, t.Any], tmp_path: Path) -> None:
    (tmp_path / "shop/orders.json").write_text(json.dumps({"uid": "orders", "title": "All orders"}))
    controller.run(**wish)
    assert len(controller.sent) == 1


@pytest.mark.parametrize("seen", [{}, {"grafana": {"in_order": True}}, {"grafana": {"in_order": True, "inside": None}}])
def test_where_nothing_was_seen_the_host_is_asked(
    controller: Controller, wish: dict[str, t.Any], seen: dict[str, t.Any]
) -> None:
    in_order.remember(HOST, seen)
    assert controller.run(**wish) == DONE
    assert len(controller.sent) == 1
