# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alertmanager's configuration: routes from severities, secrets in files, and what is refused."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.alertmanager import (
    INHIBIT_RULES,
    NOBODY,
    Built,
    build,
    tree,
)

MAIL = {"name": "mail", "email_configs": [{"to": "ops@example.com"}]}
CHAT = {"name": "chat", "severities": ["critical", "info"], "slack_configs": [{"channel": "#ops"}]}
PAGER = {"name": "pager", "severities": ["critical"], "pagerduty_configs": [{"routing_key": "key"}]}
DEAD_MAN = {"name": "deadman", "severities": ["none"], "webhook_configs": [{"url": "https://dead.example.com/x"}]}
FOLDER = "/etc/alertmanager/secrets"


def made(*receivers: t.Any, route: t.Any = None, over: t.Any = None, version: str = "0.33.1") -> Built:
    return build(receivers, route or {}, over or {}, version, FOLDER)


def told(config: dict[str, t.Any], severity: str | None) -> list[str]:
    """The receivers of an alert with this severity, as Alertmanager walks its tree."""
    for branch in config["route"]["routes"]:
        matchers = branch.get("matchers", [])
        if all(matcher == f'severity="{severity}"' for matcher in matchers):
            return [route["receiver"] for route in branch.get("routes", [])] or [branch["receiver"]]
    return [config["route"]["receiver"]]


@pytest.mark.parametrize(
    ("severity", "receivers"),
    [
        ("critical", ["mail", "chat", "pager"]),
        ("warning", ["mail"]),
        ("info", ["chat"]),
        ("none", ["deadman"]),
        (None, ["mail"]),
        ("page", ["mail"]),
    ],
)
def test_severities_make_the_tree(severity: str | None, receivers: list[str]) -> None:
    config = made(MAIL, CHAT, PAGER, DEAD_MAN).config
    assert told(config, severity) == receivers
    assert [receiver["name"] for receiver in config["receivers"]] == [NOBODY, "mail", "chat", "pager", "deadman"]
    assert all("severities" not in receiver for receiver in config["receivers"])


def test_several_receivers_of_a_branch_are_all_told() -> None:
    """Without C(continue) the first of them would be the only one."""
    critical = tree([{**MAIL, "severities": ["critical"]}, {**CHAT, "severities": ["critical"]}])["routes"][0]
    assert critical["routes"] == [{"receiver": "mail", "continue": True}, {"receiver": "chat", "continue": True}]
    assert critical["receiver"] == NOBODY


def test_nobody_to_tell() -> None:
    config = made().config
    assert {branch["receiver"] for branch in config["route"]["routes"]} == {NOBODY}
    assert config["receivers"] == [{"name": NOBODY}]


def test_our_way_of_speaking_gives_way_to_the_users() -> None:
    stated = {"to": "a@example.com", "headers": {"Subject": "mine", "X-Team": "web"}, "html": "<b>"}
    (mail,) = made({"name": "mail", "email_configs": [stated]}).config["receivers"][1]["email_configs"]
    assert mail == {**stated, "send_resolved": True, "text": '{{ template "opswatch.text" . }}'}
    (slack,) = made(CHAT).config["receivers"][1]["slack_configs"]
    assert slack["send_resolved"] is True
    assert slack["title"] == '{{ template "opswatch.title" . }}'


def test_users_settings_are_merged_over_ours() -> None:
    config = made(MAIL, route={"repeat_interval": "12h"}, over={"global": {"resolve_timeout": "9m"}}).config
    assert config["route"]["repeat_interval"] == "12h"
    assert config["route"]["group_wait"] == "30s"
    assert config["global"] == {"resolve_timeout": "9m"}
    assert config["inhibit_rules"] == INHIBIT_RULES
    assert made(MAIL, over={"inhibit_rules": []}).config["inhibit_rules"] == []
    own = [{"receiver": "mail"}]
    assert made(MAIL, route={"routes": own}).config["route"]["routes"] == own


SECRETS = [
    pytest.param("email_configs", {"to": "a@b.c", "auth_password": "s3cret"}, "auth_password", id="email"),
    pytest.param("slack_configs", {"channel": "#a", "api_url": "https://s3cret"}, "api_url", id="slack"),
    pytest.param("pagerduty_configs", {"routing_key": "s3cret"}, "routing_key", id="pagerduty"),
    pytest.param("telegram_configs", {"chat_id": 1, "bot_token": "s3cret"}, "bot_token", id="telegram"),
    pytest.param("webhook_configs", {"url": "https://s3cret"}, "url", id="webhook"),
]


@pytest.mark.parametrize(("kind", "settings", "key"), SECRETS)
def test_secrets_go_to_files(kind: str, settings: dict[str, t.Any], key: str) -> None:
    built = made({"name": "oncall", kind: [{"http_config": {}}, settings]})
    ((file, secret),) = built.secrets.items()
    assert secret == settings[key]
    assert re.fullmatch(rf"oncall_{kind.removesuffix('_configs')}_[0-9a-f]{{8}}_{key}", file)
    entry = built.config["receivers"][1][kind][1]
    assert entry[f"{key}_file"] == f"{FOLDER}/{file}"
    assert "s3cret" not in str(built.config)


def files(*integrations: dict[str, t.Any]) -> list[str]:
    """The name of each one's file."""
    built = made({"name": "a", "slack_configs": list(integrations)})
    names = [
        entry["api_url_file"].removeprefix(f"{FOLDER}/") for entry in built.config["receivers"][1]["slack_configs"]
    ]
    assert [built.secrets[name] for name in names] == [one["api_url"] for one in integrations]
    return names


ONE, TWO = {"channel": "#one", "api_url": "http://1"}, {"channel": "#two", "api_url": "http://2"}


def test_a_secret_keeps_its_file_when_others_come_and_go() -> None:
    """Else whoever goes back to an earlier configuration would read another's."""
    (one,) = files(ONE)
    two, again = files(TWO, ONE)
    assert again == one
    assert two != one
    assert files(TWO) == [two]


def test_a_new_secret_is_no_new_name() -> None:
    """So it takes no reload, and whoever goes back does not find the old one."""
    basic = {"http_config": {"basic_auth": {"username": "u", "password": "old"}}}
    renewed = {"http_config": {"basic_auth": {"username": "u", "password": "new"}}}
    assert files({**ONE, **basic}) == files({**ONE, "api_url": "http://new", **renewed})
    assert files(ONE) != files({**ONE, **basic})


def test_what_differs_by_its_secret_alone_is_told_apart_by_it() -> None:
    same = {**ONE, "api_url": "http://1b"}
    one, other = files(ONE, same)
    assert one != other
    assert files(same, TWO, ONE) == [other, *files(TWO), one]
    assert not {one, other} & {*files(ONE), *files(same)}, "the file of an earlier configuration would get another's"


def test_names_that_no_file_can_have_stay_apart() -> None:
    """Else the alerts of one team would go to the room of another."""
    names = ["team a", "team_a", "команда", "дежурка"]
    rooms = [{"name": name, "slack_configs": [{"channel": "#x", "api_url": f"http://{name}"}]} for name in names]
    assert sorted(made(*rooms).secrets.values()) == sorted(f"http://{name}" for name in names)


def test_secrets_of_http_and_global_go_to_files() -> None:
    hook = {"url": "http://x", "http_config": {"basic_auth": {"username": "u", "password": "s3cret1"}}}
    token = {"url": "http://y", "http_config": {"authorization": {"credentials": "s3cret2"}}}
    built = made({"name": "hook", "webhook_configs": [hook, token]}, over={"global": {"smtp_auth_password": "s3cret3"}})
    assert "s3cret" not in str(built.config)
    assert {value for value in built.secrets.values() if "s3cret" in value} == {"s3cret1", "s3cret2", "s3cret3"}
    assert built.config["global"] == {"smtp_auth_password_file": f"{FOLDER}/global_smtp_auth_password"}
    basic = built.config["receivers"][1]["webhook_configs"][0]["http_config"]["basic_auth"]
    assert basic["username"] == "u"
    assert re.fullmatch(rf"{FOLDER}/hook_webhook_[0-9a-f]{{8}}_basic_auth_password", basic["password_file"])


def test_a_webhooks_address_stays_where_its_version_knows_no_file() -> None:
    built = made({"name": "hook", "webhook_configs": [{"url": "http://x"}]}, version="0.25.0")
    assert built == Built(built.config, {})
    assert built.config["receivers"][1]["webhook_configs"] == [{"url": "http://x"}]


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ("mail", "an entry is not a map with a name"),
        ({"email_configs": []}, "a map of email_configs is not a map with a name"),
        ({"name": "nobody", "webhook_configs": []}, "the name nobody is taken"),
        ({"name": "a"}, "a has no integration"),
        ({"name": "a", "email": {"to": "x"}}, "a has email"),
        ({"name": "a", "email_configs": {"to": "x"}}, "a has email_configs"),
        ({"name": "a", "email_configs": ["x"]}, "an entry in email_configs that is not a map"),
        ({"name": "a", "email_configs": [{}], "severities": ["critcal"]}, "critical, warning, info, none"),
        ({"name": "a", "email_configs": [{}], "severities": "critical"}, "Use a list of"),
    ],
)
def test_wrong_receivers_are_refused_without_telling_their_secrets(receiver: t.Any, said: str) -> None:
    with pytest.raises(AnsibleError, match=said):
        made(receiver)


@pytest.mark.parametrize("route", [{"receiver": "nowhere"}, {"routes": [{"routes": [{"receiver": "nowhere"}]}]}])
def test_a_route_to_nobody_known_is_refused(route: dict[str, t.Any]) -> None:
    with pytest.raises(AnsibleError, match=r'undefined receiver "nowhere"\. What to do: name one .* nobody, mail,'):
        made(MAIL, route=route)


def test_twins_are_refused() -> None:
    with pytest.raises(AnsibleError, match="mail is there twice"):
        made(MAIL, MAIL)
