# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of the looks at single components."""

from __future__ import annotations

import json
import sys
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins import module_utils
from ansible_collections.opswatch.monitoring.plugins.module_utils import _grafana_inside, _health
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._in_order import State
from ansible_collections.opswatch.monitoring.plugins.modules import components_info

NAMES = ["alertmanager", "grafana", "loki", "node_exporter", "prometheus", "promtail"]
BROUGHT = {"salt": "s", "mark": "m"}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., dict[str, t.Any]]:
    """The module on a host with C(NAMES). C(needs): what would have to be done, by component, or what a look raises."""

    def run(needs: dict[str, t.Any] | None = None, **options: t.Any) -> dict[str, t.Any]:
        def look(layout: t.Any, packages: t.Sequence[str], keep: int | None) -> State:
            said = (needs or {}).get(layout.name, ())
            if isinstance(said, Exception):
                raise said
            return State("1.0", 1, said, tuple(packages), f"{layout.name} {keep}")

        monkeypatch.setattr(components_info, "installed_components", lambda: NAMES)
        monkeypatch.setattr(components_info, "look", look)
        monkeypatch.setattr(_grafana_inside, "look", lambda _host: BROUGHT)
        with patch_module_args(options), pytest.raises(SystemExit):
            components_info.main()
        return dict(json.loads(capsys.readouterr().out))

    return run


def test_all_that_are_there_are_looked_at(ask: t.Callable[..., dict[str, t.Any]]) -> None:
    found = ask(needs={"loki": ("start loki.service",)})["components"]
    assert sorted(found) == NAMES
    assert [name for name, one in found.items() if not one["in_order"]] == ["loki"]
    assert {one["inside"] for one in found.values()} == {None}


def test_those_that_are_named_alone(ask: t.Callable[..., dict[str, t.Any]]) -> None:
    found = ask(components=[{"name": "loki", "packages": ["loki.service"], "generations": 5}])["components"]
    assert list(found) == ["loki"]
    assert (found["loki"]["warnings"], found["loki"]["fingerprint"]) == (["loki.service"], "loki 5")


@pytest.mark.parametrize(
    ("needs", "inside", "said"), [((), True, BROUGHT), ((), False, None), (("start grafana.service",), True, None)]
)
def test_what_is_inside_is_asked_where_it_is_wanted_and_all_else_is_in_order(
    ask: t.Callable[..., dict[str, t.Any]], needs: tuple[str, ...], inside: bool, said: t.Any
) -> None:
    found = ask(needs={"grafana": needs}, components=[{"name": "grafana", "inside": inside}])["components"]
    assert found["grafana"]["inside"] == said


@pytest.mark.parametrize("error", [PermissionError("/etc/loki"), ComponentError("no release is known for riscv64")])
def test_a_look_that_fails_is_told(ask: t.Callable[..., dict[str, t.Any]], error: Exception) -> None:
    result = ask(needs={"loki": error})
    assert result["failed"]
    assert str(error) in result["msg"]


def test_every_run_of_site_yml_does_without_what_health_needs(
    ask: t.Callable[..., dict[str, t.Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module_utils, "_health")
    monkeypatch.setitem(sys.modules, _health.__name__, None)  # who imports it now fails
    assert sorted(ask()["components"]) == NAMES
    with pytest.raises(ImportError):
        ask(health=True)


def test_health_is_looked_at_where_it_is_wanted(
    ask: t.Callable[..., dict[str, t.Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_health, "unit", lambda layout: {"running": layout.name == "loki"})
    monkeypatch.setattr(_health, "is_unfinished", lambda _layout: True)
    monkeypatch.setattr(_health, "spaces", lambda names: [{"path": " ".join(names)}])
    found = ask(components=[{"name": "loki"}], health=True)
    assert found["components"]["loki"]["unit"] == {"running": True}
    assert found["components"]["loki"]["unfinished"]
    assert found["host"]["spaces"] == [{"path": "loki"}]
    without = ask(components=[{"name": "loki"}])
    assert "host" not in without
    assert "unit" not in without["components"]["loki"]
