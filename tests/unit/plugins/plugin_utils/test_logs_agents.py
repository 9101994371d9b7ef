# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promtail's and Alloy's configuration say the same."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import checked_logs
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_alloy import (
    Block,
    Raw,
    alloy_config,
    alloy_stage,
    render_block,
    render_value,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_promtail import promtail_config, promtail_stage
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_push import Push
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_stages import stages

LOGS = checked_logs(
    [
        {"name": "app", "kind": "files", "paths": ["/var/log/app/*.log"]},
        {"name": "journal", "kind": "journal"},
        {"name": "containers", "kind": "docker", "container_labels": ["com.example/team"], "exclude": ["/a/*", "/b/*"]},
        {"name": "network", "kind": "syslog", "format": "plain", "labels": {"site": "b"}, "service": "switch"},
        {
            "name": "shop",
            "kind": "files",
            "paths": ["/var/log/shop/*.log", "/srv/shop/log/*"],
            "exclude": ["/var/log/shop/old.log"],
            "format": "regex",
            "expression": r"^(?P<timestamp>\S+) (?P<level>\w+) (?P<message>.*)",
            "multiline": {"first_line": r"^\d{4}-"},
            "keep": "message",
            "drop": [{"field": "level", "matches": "debug"}, {"longer_than": 5000, "older_than": "1h"}],
            "limit": {"rate": 100},
            "time_zone": "Europe/Berlin",
            "time_formats": ["2006-01-02T15:04:05"],
        },
        {"name": "proxy", "kind": "files", "paths": ["/var/log/proxy.log"], "format": "logfmt"},
    ],
    "web",
)
CLIENTS = [
    Push("http://10.0.0.1:3100/loki/api/v1/push"),
    Push("https://mon2:3100/loki/api/v1/push", "mon2", "ca.crt", certificate=True),
    Push("https://logs/push", user="shop", password="push3_password", tenant="team", ca="push3_ca.crt"),
]
SETTINGS: dict[str, t.Any] = {
    "instance": "web",
    "secrets": "/etc/x/secrets",
    "max_age": "168h",
    "line_limit": 256000,
    "metadata": True,
}
PROMTAIL = promtail_config(
    LOGS, CLIENTS, {**SETTINGS, "address": "127.0.0.1", "port": 9080, "positions": "/var/lib/promtail/positions.yaml"}
)
ALLOY = alloy_config(LOGS, CLIENTS, {**SETTINGS, "legacy_positions": "/var/lib/alloy/old.yaml", "more": "// mine\n"})

# What Alloy calls otherwise than Promtail: stages, and options of stages.
STAGE_NAMES = {"labeldrop": "label_drop"}
WHOLE = {"labels": "values", "label_drop": "values", "structured_metadata": "values", "static_labels": "values"}


def as_alloy(stage: dict[str, t.Any]) -> tuple[str, dict[str, t.Any]]:
    """A stage of Promtail, with Alloy's names."""
    ((name, options),) = stage.items()
    name = STAGE_NAMES.get(name, name)
    return name, {WHOLE[name]: options} if name in WHOLE else options


def of_alloy(block: Block) -> tuple[str, dict[str, t.Any]]:
    return block.name.removeprefix("stage."), dict(block.body)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log["name"])
def test_both_have_the_same_stages(log: dict[str, t.Any]) -> None:
    found = stages(log, SETTINGS)
    # The one that Promtail states for all of its jobs.
    assert promtail_stage(found[-1]) == {}
    assert alloy_stage(found[-1]) == Block("stage.truncate", "", (Block("rule", "", (("limit", "256000B"),)),))
    assert PROMTAIL["limits_config"]["max_line_size"] == "256000B"
    for stage in found[:-1]:
        name, options = of_alloy(alloy_stage(stage))
        options.pop("trim_newlines", None)
        assert as_alloy(promtail_stage(stage)) == (name, options)


def test_both_read_the_same() -> None:
    for log, job in zip(LOGS, PROMTAIL["scrape_configs"], strict=True):
        assert job["job_name"] == log["name"]
        for target in (target for group in job.get("static_configs", []) for target in [group["labels"]]):
            assert render_value(target) in ALLOY
        for rule in job.get("relabel_configs", []):
            pairs = tuple((key, rule[key]) for key in ("source_labels", "regex", "target_label"))
            assert render_block(Block("rule", "", pairs), 1) in ALLOY
    assert PROMTAIL["scrape_configs"][2]["static_configs"][0]["labels"]["__path_exclude__"] == "{/a/*,/b/*}"
    assert PROMTAIL["scrape_configs"][4]["static_configs"][0]["labels"]["__path_exclude__"] == "/var/log/shop/old.log"


def test_both_send_to_the_same_with_the_same_patience() -> None:
    plain, tls, outside = PROMTAIL["clients"]
    assert not {"tls_config", "basic_auth", "tenant_id"} & {*plain}
    assert not {"basic_auth", "tenant_id"} & {*tls}
    login = {
        "tenant_id": "team",
        "basic_auth": {"username": "shop", "password_file": "/etc/x/secrets/push3_password"},
        "tls_config": {"ca_file": "/etc/x/secrets/push3_ca.crt"},
    }
    assert {name: outside[name] for name in login} == login
    for name, value in login.items():
        said = Block(name, "", tuple(value.items())) if isinstance(value, dict) else None
        assert (render_block(said, 2) if said else f'    {name} = "{value}"\n') in ALLOY
    assert tls["tls_config"] == {
        "ca_file": "/etc/x/secrets/ca.crt",
        "cert_file": "/etc/x/secrets/tls.crt",
        "key_file": "/etc/x/secrets/tls.key",
        "server_name": "mon2",
    }
    for client in PROMTAIL["clients"]:
        assert f'url = "{client["url"]}"' in ALLOY
        assert client["backoff_config"]["max_retries"] == 0
        assert client["external_labels"] == {"instance": "web"}
    assert ALLOY.count("max_backoff_retries = 0") == 3
    assert 'external_labels = {instance = "web"}' in ALLOY
    for option, value in tls["tls_config"].items():
        assert f'{option} = "{value}"' in ALLOY


def test_alloy_takes_over_where_promtail_was() -> None:
    assert ALLOY.count('legacy_positions_file = "/var/lib/alloy/old.yaml"') == 4
    assert ALLOY.endswith("\n\n// mine\n")


def test_the_language_of_alloy() -> None:
    block = Block("a.b", "c", (("d", [1, True, Raw("e.f")]), Block("g", "", (("h", {"i": 'j"\n\\', "k-l": "ü"}),))))
    assert render_block(block) == (
        'a.b "c" {\n  d = [1, true, e.f]\n  g {\n    h = {i = "j\\"\\n\\\\", "k-l" = "ü"}\n  }\n}\n'
    )
