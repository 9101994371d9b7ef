# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of files, and diffs that tell no secret."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible._internal._datatag._tags import VaultedValue  # what a vault leaves on its values; there is no public way
from ansible.errors import AnsibleActionFail
from ansible.parsing.yaml.dumper import AnsibleDumper
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.render import (
    HIDDEN,
    YAML_HEADER,
    file_diff,
    masked,
    merged,
    to_yaml,
)


def test_yaml_keeps_order_and_letters() -> None:
    text = to_yaml({"zebra": 1, "apple": {"ä": "München ✓", "list": ["x", None, True]}})
    assert text == YAML_HEADER + "zebra: 1\napple:\n  ä: München ✓\n  list:\n  - x\n  - null\n  - true\n"


def test_what_came_out_of_a_vault_is_written_in_the_clear() -> None:
    """Else a program would take the ciphertext for the password, and every check would pass."""
    secret = VaultedValue(ciphertext="$ANSIBLE_VAULT;1.1;AES256").tag("s3cret")
    assert "!vault" in yaml.dump(secret, Dumper=AnsibleDumper)
    assert yaml.safe_load(to_yaml({"list": [{"password": secret}]})) == {"list": [{"password": "s3cret"}]}


@pytest.mark.parametrize(
    "value", ["no", "1.10", "30s", "a: b", "x" * 500, "two\nlines\n", "", "{{ $labels.instance }}", "# no comment"]
)
def test_yaml_gives_texts_back(value: str) -> None:
    assert yaml.safe_load(to_yaml({"key": value})) == {"key": value}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        pytest.param({"global": {"b": 3}}, {"global": {"a": 1, "b": 3}, "list": [1, 2]}, id="maps are merged"),
        pytest.param({"list": [9]}, {"global": {"a": 1, "b": 2}, "list": [9]}, id="lists are replaced"),
        pytest.param({"new": 1}, {"global": {"a": 1, "b": 2}, "list": [1, 2], "new": 1}, id="new key"),
        pytest.param({"global": None}, {"global": None, "list": [1, 2]}, id="null"),
    ],
)
def test_merged(over: dict[str, t.Any], expected: dict[str, t.Any]) -> None:
    text = "# why\nglobal: {a: 1, b: 2}\nlist: [1, 2]\n"
    assert yaml.safe_load(merged(text, over, "app.yml")) == expected


def test_nothing_to_merge_leaves_the_text_alone() -> None:
    assert merged("# why\na:   1", {}, "app.yml") == "# why\na:   1"


def test_only_a_map_can_be_merged_over() -> None:
    with pytest.raises(AnsibleActionFail, match=r"rules\.yml is not a YAML map"):
        merged("- a\n", {"b": 1}, "rules.yml")


SECRETS = {
    "password": "basic_auth:\n  password: hunter2\n",
    "password, quoted": "  password: 'hunter2'\n",
    "password with spaces": "password: hunter2 hunter2\n",
    "in a list": "- password: hunter2\n",
    "compound name": "smtp_auth_password: hunter2\n",
    "token": "bearer_token: hunter2\n",
    "credentials": "authorization:\n  type: Bearer\n  credentials: hunter2\n",
    "client secret": "oauth2:\n  client_secret: hunter2\n",
    "secret key": "sigv4:\n  secret_key: hunter2\n",
    "API key": "opsgenie_api_key: hunter2\n",
    "routing key": "routing_key: hunter2\n",
    "header": "Authorization: Basic hunter2\n",
    "INI": "[security]\nadmin_password = hunter2\n",
    "capitals": "PASSWORD=hunter2\n",
    "URL": "url: https://user:hunter2@example.org/push\n",
    "URL in the middle": 'x: "postgresql://user:hunter2@localhost:5432/db?a=b"\n',
    "two URLs": "a: http://u:hunter2@h1,http://u:hunter2@h2\n",
    # as people write them in files of their own, which are passed through
    "flow map": "basic_auth: {username: a, password: hunter2}\n",
    "JSON": '{"basic_auth": {"username": "a", "password": "hunter2"}}\n',
    "block scalar": "password: |\n  hunter2\nnext: 1\n",
    "folded over two lines": 'password: "one\n  hunter2"\nnext: 1\n',
    "environment of a unit": "Environment=DB_PASSWORD=hunter2\n",
    "key in PEM": "key: |\n  -----BEGIN RSA PRIVATE KEY-----\n  hunter2\n  hunter2\n  -----END RSA PRIVATE KEY-----\n",
    "key in PEM, quoted": "key: '-----BEGIN PRIVATE KEY-----\n\n  hunter2\n\n  -----END PRIVATE KEY-----\n\n  '\n",
    "key in PEM, on one line": 'key: "-----BEGIN EC PRIVATE KEY-----\\nhunter2\\n-----END EC PRIVATE KEY-----\\n"\n',
    "key in PEM, cut": "key: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\nnext: hunter2\n",
    "OpenPGP key": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nhunter2\n-----END PGP PRIVATE KEY BLOCK-----\n",
    "webhook": "webhook_configs:\n- url: https://example.org/hunter2\n- send_resolved: true\n  url: https://example.org/hunter2\n",
    "webhook, deeper": "- name: a\n  webhook_configs:\n    - http_config: {}\n      url: 'https://example.org/hunter2'\n",
    "webhook, first of its map": "- webhook_configs:\n  - url: https://example.org/hunter2\n",
    "webhook, flow": "webhook_configs: [{url: 'https://example.org/hunter2'}]\n",
    "flag in a unit": "ExecStart=/usr/local/bin/app --remote.password=hunter2 --x=1\n",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_masked(text: str) -> None:
    shown = masked(text)
    assert "hunter2" not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "text",
    [
        "password_file: /etc/app/secrets/password\n",
        "credentials_file: secrets/token\n",
        "# the password is elsewhere\n",
        "- alert: TokenExpired\n  expr: token_age > 1\n",
        "url: https://example.org:9090/path\n",
        "url: https://user@example.org/\n",
        "remote_write:\n- url: https://example.org/push\n",
        "webhook_configs:\n- url_file: /etc/app/secrets/url\n  http_config:\n    proxy_url: http://proxy\n",
        "webhook_configs:\n- url_file: a\nother:\n- url: http://shown\n",
        "- webhook_configs:\n  - url_file: a\n- url: http://shown\n",
        "ca: |\n  -----BEGIN CERTIFICATE-----\n  MIIB\n  -----END CERTIFICATE-----\n",
        "mail: someone@example.org\n",
        "scrape_interval: 15s\n",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert masked(text) == text


def test_what_follows_a_key_or_webhooks_is_shown() -> None:
    key = "a: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  -----END PRIVATE KEY-----\nb: 2\n"
    assert masked(key) == f"a: |\n  -----BEGIN PRIVATE KEY----- {HIDDEN} -----END PRIVATE KEY-----\nb: 2\n"
    hooks = "webhook_configs:\n- url: http://hunter2\n  max_alerts: 0\nurl: http://shown\n"
    assert masked(hooks) == f"webhook_configs:\n- url: {HIDDEN}\n  max_alerts: 0\nurl: http://shown\n"


def test_a_key_is_hidden_as_we_write_it() -> None:
    text = to_yaml({"tls": {"key": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"}, "next": 1})
    assert "hunter2" not in masked(text)
    assert masked(text).endswith("next: 1\n")


def test_lines_around_a_secret_are_shown() -> None:
    assert masked("a: 1\npassword: x\nb: 2\n") == f"a: 1\npassword: {HIDDEN}\nb: 2\n"
    assert masked("a: 1\npassword:\nb: 2\n") == "a: 1\npassword:\nb: 2\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("a\n", "b\n", ("app.yml", "a\n", "app.yml", "b\n"), id="changed"),
        pytest.param(None, "b\n", ("app.yml (does not exist)", "", "app.yml", "b\n"), id="new"),
        pytest.param("a\n", None, ("app.yml", "a\n", "app.yml (removed)", ""), id="removed"),
        pytest.param("", "b\n", ("app.yml", "", "app.yml", "b\n"), id="was empty"),
        pytest.param(
            "token: a\n", "token: b\n", ("app.yml", f"token: {HIDDEN}\n", "app.yml", f"token: {HIDDEN}\n"), id="secret"
        ),
    ],
)
def test_file_diff(before: str | None, after: str | None, expected: tuple[str, ...]) -> None:
    diff = file_diff("app.yml", before, after)
    assert (diff["before_header"], diff["before"], diff["after_header"], diff["after"]) == expected
