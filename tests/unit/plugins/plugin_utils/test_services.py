# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of services of a host, which add up."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.services import service_entries, service_variables


class Templated(dict[str, t.Any]):
    """Variables of which each look costs a template, as hostvars have them."""

    def __init__(self, *given: t.Any) -> None:
        super().__init__(*given)
        self.looks: list[str] = []

    def __getitem__(self, name: str) -> t.Any:
        self.looks.append(name)
        return super().__getitem__(name)


def test_lists_add_up_in_the_order_of_their_names() -> None:
    settings = {
        "monitoring_services_shop": ["c", "d"],
        "monitoring_services_api": ["b"],
        "monitoring_services": ["a"],
    }
    assert list(service_entries("web1", settings)) == [
        ("monitoring_services", "a"),
        ("monitoring_services_api", "b"),
        ("monitoring_services_shop", "c"),
        ("monitoring_services_shop", "d"),
    ]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], []),
        (["monitoring_services_shop"], ["monitoring_services_shop"]),
        (["monitoring_service", "monitoring_services2", "monitoring_servicesshop", "my_monitoring_services"], []),
        ([1, True, "monitoring_services"], ["monitoring_services"]),  # keys of YAML
    ],
)
def test_which_variables_list_services(names: list[t.Any], found: list[str]) -> None:
    assert service_variables(names) == found


@pytest.mark.parametrize("stated", [None, [], ""])
def test_a_list_that_states_none(stated: t.Any) -> None:
    assert list(service_entries("web1", {"monitoring_services": stated, "monitoring_services_shop": ["a"]})) == [
        ("monitoring_services_shop", "a")
    ]


@pytest.mark.parametrize("stated", ["hunter2", {"password": "hunter2"}, 7])
@pytest.mark.parametrize("variable", ["monitoring_services", "monitoring_services_shop"])
def test_what_is_no_list_is_named_and_not_shown(variable: str, stated: t.Any) -> None:
    with pytest.raises(AnsibleError, match=f"^{variable} of web1 is not a list of services. What to do: ") as caught:
        list(service_entries("web1", {variable: stated}))
    assert "hunter2" not in str(caught.value)


def test_nothing_else_is_templated() -> None:
    settings = Templated({"other": 1, "monitoring_services": ["a"], "monitoring_services_shop": ["b"]})
    assert len(list(service_entries("web1", settings))) == 2
    assert settings.looks == ["monitoring_services", "monitoring_services_shop"]
