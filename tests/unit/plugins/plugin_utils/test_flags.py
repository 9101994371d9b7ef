# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags, from a map as users write it to the arguments of a program."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.flags import render_flags


@pytest.mark.parametrize(
    ("value", "kingpin", "go"),
    [
        pytest.param(True, ["--x"], ["-x=true"], id="true"),
        pytest.param(False, ["--no-x"], ["-x=false"], id="false"),
        pytest.param(None, [], [], id="null"),
        pytest.param(0, ["--x=0"], ["-x=0"], id="zero is a number"),
        pytest.param(-7, ["--x=-7"], ["-x=-7"], id="negative"),
        pytest.param(0.25, ["--x=0.25"], ["-x=0.25"], id="float"),
        pytest.param("", ["--x="], ["-x="], id="empty"),
        pytest.param("true", ["--x=true"], ["-x=true"], id="the text true"),
        pytest.param("1h30m", ["--x=1h30m"], ["-x=1h30m"], id="text"),
        pytest.param("a b", ["--x=a b"], ["-x=a b"], id="space"),
        pytest.param(
            """it's "q" 5% $HOME \\""", ["""--x=it's "q" 5% $HOME \\"""], ["""-x=it's "q" 5% $HOME \\"""], id="signs"
        ),
        pytest.param("^/(dev|proc)($|/)", ["--x=^/(dev|proc)($|/)"], ["-x=^/(dev|proc)($|/)"], id="pattern"),
        pytest.param("-v", ["--x=-v"], ["-x=-v"], id="dash in the value"),
        pytest.param(["a", 2, None], ["--x=a", "--x=2"], ["-x=a", "-x=2"], id="list"),
        pytest.param(("a", "b"), ["--x=a", "--x=b"], ["-x=a", "-x=b"], id="tuple"),
        pytest.param([], [], [], id="empty list"),
        pytest.param([True, False], ["--x", "--no-x"], ["-x=true", "-x=false"], id="list of booleans"),
    ],
)
def test_value(value: t.Any, kingpin: list[str], go: list[str]) -> None:
    assert render_flags({"x": value}, "kingpin") == kingpin
    assert render_flags({"x": value}, "go") == go


@pytest.mark.parametrize("name", ["web.listen-address", "-web.listen-address", "--web.listen-address"])
def test_dashes_of_a_name_do_not_matter(name: str) -> None:
    assert render_flags({name: ":9100"}) == ["--web.listen-address=:9100"]
    assert render_flags({name: ":9100"}, "go") == ["-web.listen-address=:9100"]


def test_order_is_that_of_the_map() -> None:
    assert render_flags({"b": 1, "a": True, "c": None, "d": [3, 4]}) == ["--b=1", "--a", "--d=3", "--d=4"]


@pytest.mark.parametrize("name", ["", "--", "a b", "a=b", "log.level=debug", "a\tb"])
def test_bad_name(name: str) -> None:
    with pytest.raises(AnsibleActionFail, match="is not the name of a flag"):
        render_flags({name: "x"})


@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}], b"x"], ids=["map", "map in a list", "bytes"])
def test_value_that_no_flag_has(value: t.Any) -> None:
    with pytest.raises(AnsibleActionFail, match=r"^The flag web\.config has a value of type (dict|bytes)\."):
        render_flags({"web.config": value})


@pytest.mark.parametrize("value", ["a\nb", "a\0b"])
def test_value_that_no_unit_can_hold(value: str) -> None:
    with pytest.raises(AnsibleActionFail, match="line break"):
        render_flags({"x": value})
