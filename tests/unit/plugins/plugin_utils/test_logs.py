# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read as logs, and where it goes."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs import (
    capabilities,
    checked_log,
    checked_logs,
    chosen_member,
    pushes,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.logs_push import Push, authorities, push_files

FILES = {"name": "app", "kind": "files", "paths": ["/var/log/app/*.log"]}
JOURNAL = {"name": "journal", "kind": "journal"}
DOCKER = {"name": "containers", "kind": "docker"}


def test_an_entry_gets_its_defaults() -> None:
    log = checked_log({**FILES, "labels": None}, "web")
    assert (log["format"], log["time_field"], log["keep"], log["labels"], log["exclude"]) == (
        "json",
        "timestamp",
        "line",
        {},
        [],
    )
    assert "max_age" not in log
    assert checked_log(JOURNAL, "web")["max_age"] == "12h"
    assert checked_log({**FILES, "limit": {"rate": 10}}, "web")["limit"] == {"rate": 10, "burst": 10, "drop": False}
    assert checked_log({**FILES, "multiline": {"first_line": "^x"}}, "web")["multiline"]["max_lines"] == 500


def test_what_a_value_means_is_taken() -> None:
    """What a template gives is a text, whatever it looks like."""
    drop = [{"matches": 404, "longer_than": "7", "field": None}]
    log = checked_log(
        {**FILES, "service": 5, "limit": {"rate": "9", "drop": "yes"}, "drop": drop, "time_zone": ""}, "web"
    )
    assert (log["service"], log["limit"]) == ("5", {"rate": 9, "burst": 9, "drop": True})
    assert log["drop"] == [{"matches": "404", "longer_than": 7}]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("x", "not a map"),
        ({"name": "a"}, "lacks kind"),
        ({"kind": "files"}, "lacks name"),
        ({**FILES, "name": "My-App"}, "cannot be a name"),
        ({**FILES, "kind": "file"}, "kind 'file'. Use one of files, journal"),
        ({"name": "a", "kind": "files"}, "lacks paths"),
        ({**FILES, "paths": ["app.log"]}, "from the root on"),
        ({**FILES, "exclude": ["*.gz"]}, "from the root on"),
        ({**FILES, "max_age": "1h"}, "max_age, which files does not know"),
        ({**JOURNAL, "max_age": "1 day"}, "max_age is no duration"),
        ({**JOURNAL, "paths": ["/x"]}, "paths, which journal does not know"),
        ({**FILES, "format": "xml"}, "format 'xml'"),
        ({**FILES, "keep": "all"}, "keep 'all'"),
        ({"name": "a", "kind": "syslog", "protocol": "tls"}, "protocol 'tls'"),
        ({"name": "a", "kind": "syslog", "listen_address": "1514"}, "a: listen_address: '1514' is not an address"),
        ({"name": "a", "kind": "syslog", "listen_address": "0.0.0.0"}, "Write it as host:port"),
        ({**FILES, "format": "regex"}, "needs an expression"),
        ({**FILES, "expression": "(?P<a>.)"}, "no other has one"),
        ({**FILES, "format": "regex", "expression": "^(.*)$"}, "names no group"),
        ({**FILES, "format": "regex", "expression": r"(?P<a>.)(?!b)"}, "RE2"),
        ({**FILES, "multiline": {"first_line": r"(?<=a)b"}}, "RE2"),
        ({**FILES, "drop": [{"matches": r"(a)\1"}]}, "RE2"),
        ({**FILES, "multiline": {"max_wait": "3s"}}, "multiline needs first_line"),
        ({**FILES, "multiline": {"first_line": "^x", "max_wait": "3"}}, "max_wait is no duration"),
        ({**FILES, "limit": {"burst": 3}}, "limit needs rate"),
        ({**FILES, "drop": [{"field": "level"}]}, "needs matches"),
        ({**FILES, "drop": [{"field": "level", "longer_than": 3}]}, "needs matches"),
        ({**FILES, "drop": [{"matches": "x", "like": "y"}]}, "needs matches"),
        ({**FILES, "drop": [{"older_than": "7d"}]}, "older_than is no duration"),
        ({**FILES, "labels": {"level": "x"}}, "cannot have a label level"),
        ({**FILES, "labels": {"a-b": "x"}}, "cannot have a label a-b"),
        ({**FILES, "time_formats": []}, "no time_formats"),
        ({**FILES, "metadata": "user"}, "metadata has to be a list, and is 'user'. Write it like metadata: [user]."),
        ({**FILES, "time_formats": "RFC3339"}, "time_formats has to be a list, and is 'RFC3339'. Write it like"),
        ({**FILES, "paths": "/var/log/*.log"}, "paths has to be a list"),
        ({**FILES, "metadata": ["a", ["b"]]}, "an entry of metadata has to be a text, and is ['b']"),
        ({**FILES, "drop": {"matches": "x"}}, "drop has to be a list"),
        ({**FILES, "drop": ["x"]}, "an entry of drop needs matches"),
        ({**FILES, "drop": [{"longer_than": "many"}]}, "longer_than has to be a number above 0, and is 'many'"),
        ({**FILES, "labels": "x"}, "labels has to be a map, and is 'x'"),
        ({**FILES, "labels": {"a": None}}, "the label a has to be a text, and is None"),
        ({**FILES, "service": True}, "service has to be a text, and is True. What to do: write one value, in quotes."),
        ({**FILES, "limit": {"rate": "many"}}, "limit.rate has to be a number above 0, and is 'many'"),
        ({**FILES, "limit": {"rate": 5, "burst": -1}}, "limit.burst has to be a number above 0, and is -1"),
        ({**FILES, "limit": {"rate": 5, "drop": "x"}}, "limit.drop has to be true or false, and is 'x'"),
        ({**FILES, "multiline": "^x"}, "multiline has to be a map"),
        ({**FILES, "multiline": {"first_line": "^x", "max_lines": True}}, "max_lines has to be a number above 0"),
        ({**FILES, "time_zone": "Mars/Olympus"}, "time_zone is no zone: 'Mars/Olympus'. Write it like Europe/Berlin"),
        ({**FILES, "time_zone": "Europe"}, "no zone"),
        ({**FILES, "drop": [{"matches": "(a"}]}, "matches is no regular expression: '(a': missing ), unterminated"),
        ({**FILES, "multiline": {"first_line": "a)"}}, "first_line is no regular expression: 'a)': unbalanced"),
        ({**FILES, 5: "x"}, "5, which files does not know"),
        ({**FILES, "metadata": ["a.b", "a_b"]}, "a.b and a_b would both be called a_b"),
        ({**FILES, "metadata": ["a_b"], "level_field": "a.b"}, "a.b and a_b would both be called a_b"),
        ({**FILES, "metadata": ["_filename"]}, "filename and _filename would both be called filename"),
        ({**FILES, "metadata": ["@"]}, "'@' has no letter and no digit"),
        ({**DOCKER, "container_labels": ["tag"]}, "tag and the container's label tag would both be called tag"),
        ({**DOCKER, "container_labels": ["a.b"], "metadata": ["a.b"]}, "a.b and the container's label a.b would both"),
    ],
)
def test_what_is_wrong_is_said(stated: t.Any, said: str) -> None:
    with pytest.raises(AnsibleError) as error:
        checked_log(stated, "web")
    assert "monitoring_logs of web" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "stated",
    [
        {**FILES, "metadata": ["filename", "a.b", "a.b"]},
        {**FILES, "format": "plain", "metadata": ["a.b", "a_b"]},  # which has no fields
        {**DOCKER, "container_labels": ["team", "team"], "service_field": "container"},
    ],
)
def test_names_that_differ(stated: dict[str, t.Any]) -> None:
    assert checked_log(stated, "web")["name"] == stated["name"]


PLAIN = {**FILES, "format": "plain"}
REGEX = {**FILES, "format": "regex", "expression": r"(?P<word>\w+) (?P<level>\w+)"}


@pytest.mark.parametrize(
    ("stated", "field", "possible"),
    [
        (FILES, "any.thing", ""),
        ({**FILES, "format": "logfmt"}, "anything", ""),
        (REGEX, "word", ""),
        (REGEX, "level", ""),
        (REGEX, "message", "filename, level, service, word"),
        ({**REGEX, "level_field": "severity"}, "level", ""),
        (PLAIN, "filename", ""),
        (PLAIN, "service", ""),
        (PLAIN, "level", "filename, service"),
        (PLAIN, "message", "filename, service"),
        ({**PLAIN, "service": "shop"}, "service", "filename"),
        ({**JOURNAL, "format": "plain"}, "level", ""),
        ({**JOURNAL, "format": "plain", "service": "shop"}, "service", ""),
        ({**JOURNAL, "format": "plain"}, "unit", ""),
        ({**JOURNAL, "format": "plain"}, "message", "unit, level, service"),
        ({"name": "a", "kind": "docker", "format": "plain"}, "stream", ""),
        ({"name": "a", "kind": "docker", "format": "plain"}, "level", "container, stream, tag, service"),
        ({"name": "a", "kind": "syslog", "format": "plain"}, "unit", "host, level, service"),
    ],
)
def test_a_field_that_no_line_has_drops_nothing(stated: dict[str, t.Any], field: str, possible: str) -> None:
    rule = {"field": field, "matches": "x"}
    if not possible:
        assert checked_log({**stated, "drop": [rule]}, "web")["drop"] == [rule]
        return
    with pytest.raises(AnsibleError) as error:
        checked_log({**stated, "drop": [rule]}, "web")
    assert f"drop asks for the field {field}, which no line of the format {stated['format']}" in str(error.value)
    assert f"take one of {possible}; or" in str(error.value)


def test_what_would_be_read_twice() -> None:
    with pytest.raises(AnsibleError, match="app is there twice"):
        checked_logs([FILES, FILES], "web")
    with pytest.raises(AnsibleError, match="the journal is there twice"):
        checked_logs([JOURNAL, {**JOURNAL, "name": "again"}], "web")


def shop(*paths: str, **more: t.Any) -> dict[str, t.Any]:
    return {"name": "shop", "kind": "files", "paths": list(paths), **more}


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        (
            [FILES, shop("/var/log/app/shop.log")],
            "shop reads /var/log/app/shop.log, and so does app by /var/log/app/*.log. "
            "What to do: put /var/log/app/shop.log into exclude of app, or take it out of shop.",
        ),
        ([shop("/var/log/app/shop.log"), FILES], "put /var/log/app/shop.log into exclude of app"),
        ([FILES, shop("/var/log/app/*.log")], "app and shop both read /var/log/app/*.log. What to do: take it out of"),
        ([DOCKER, {**DOCKER, "name": "again"}], "containers and again both read /var/lib/docker/containers/*/*-json"),
        ([{**FILES, "exclude": ["/var/log/app/x*"]}, shop("/var/log/app/*.log")], "app and shop both read"),
        ([{**FILES, "exclude": ["/var/log/app/x*"]}, shop("/var/log/app/shop.log")], "into exclude of app"),
        ([shop("/var/log/**", "/var/log/shop.log")], "shop reads /var/log/shop.log twice, by /var/log/** too."),
        ([shop("/var/log/shop.log", "/var/log/shop.log")], "shop reads /var/log/shop.log twice"),
    ],
)
def test_files_that_two_entries_read(logs: list[dict[str, t.Any]], said: str) -> None:
    with pytest.raises(AnsibleError) as error:
        checked_logs(logs, "web")
    assert str(error.value).startswith("monitoring_logs of web: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"exclude": ["/var/log/app/shop.log"]}, shop("/var/log/app/shop.log")),
        ({"exclude": ["/var/log/**/shop*"]}, shop("/var/log/app/shop.log")),
        ({"exclude": ["/var/log/app/[shop.log"]}, shop("/var/log/app/shop.log")),  # whatever that means
        ({}, shop("/var/log/app/shop.log", exclude=["/var/log/app/*"])),  # which reads nothing
        ({}, shop("/var/log/app/shop/x.log")),
        ({}, shop("/var/log/shop.log")),
        # These may meet in a file, or not.
        ({}, shop("/var/log/app/shop*")),
        ({}, shop("/var/log/**/*.log")),
        ({"exclude": ["/var/log/app/a*"]}, shop("/var/log/app/*.log", exclude=["/var/log/app/[!a]*"])),
    ],
)
def test_files_that_may_be_others(first: dict[str, t.Any], second: dict[str, t.Any]) -> None:
    assert len(checked_logs([{**FILES, **first}, second, JOURNAL], "web")) == 3


def syslog(name: str, address: str, protocol: str = "tcp") -> dict[str, t.Any]:
    return {"name": name, "kind": "syslog", "listen_address": address, "protocol": protocol}


def test_two_that_listen_on_one_port() -> None:
    one = syslog("one", "0.0.0.0:1514")
    for other in (syslog("two", ":1514"), syslog("two", "127.0.0.1:1514")):
        with pytest.raises(AnsibleError, match=r"one and two both listen on port 1514 \(tcp\)"):
            checked_logs([one, other], "web")
    assert checked_logs([one, syslog("two", "0.0.0.0:1514", "udp"), syslog("three", "0.0.0.0:1515")], "web")


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ([FILES, JOURNAL, syslog("a", "0.0.0.0:1514")], ""),
        ([DOCKER], "CAP_DAC_READ_SEARCH"),
        ([syslog("a", "0.0.0.0:514", "udp")], "CAP_NET_BIND_SERVICE"),
        ([DOCKER, syslog("a", ":1023"), syslog("b", ":1024")], "CAP_DAC_READ_SEARCH CAP_NET_BIND_SERVICE"),
    ],
)
def test_what_the_agent_may_do(logs: list[dict[str, t.Any]], expected: str) -> None:
    assert capabilities(checked_logs(logs, "web")) == expected


# --- where it goes ---

GROUPS = {"loki": ["mon"]}


def mutual(url: str, name: str) -> Push:
    return Push(url, name, "ca.crt", certificate=True)


@pytest.mark.parametrize(
    ("host", "loki", "push"),
    [
        ("mon", {}, Push("http://127.0.0.1:3100/loki/api/v1/push")),
        ("mon", {"loki_listen_address": "[::1]:3101"}, Push("http://[::1]:3101/loki/api/v1/push")),
        ("web", {"loki_listen_address": "0.0.0.0:3100"}, Push("http://10.0.0.1:3100/loki/api/v1/push")),
        ("web", {"monitoring_tls": "selfsigned"}, mutual("https://10.0.0.1:3100/loki/api/v1/push", "10.0.0.1")),
        ("mon", {"monitoring_tls": "selfsigned"}, mutual("https://10.0.0.1:3100/loki/api/v1/push", "10.0.0.1")),
        (
            "web",
            {"monitoring_tls": "own", "monitoring_tls_ca": "ca.crt", "monitoring_address": "mon.example.com"},
            mutual("https://mon.example.com:3100/loki/api/v1/push", "mon.example.com"),
        ),
        # Without an authority there is nothing that certificates could be asked of.
        (
            "web",
            {"monitoring_tls": "own", "loki_listen_address": ":3100"},
            Push("http://10.0.0.1:3100/loki/api/v1/push"),
        ),
    ],
)
def test_push(host: str, loki: dict[str, str], push: Push) -> None:
    assert pushes(host, GROUPS, {"mon": {"ansible_host": "10.0.0.1", **loki}, "web": {}}) == [push]


TLS = {"monitoring_tls": "selfsigned"}
MEMBERS: dict[str, dict[str, t.Any]] = {"a": TLS, "b": {**TLS, "loki_state": "absent"}, "c": TLS}
URL = "https://logs.example.com"


@pytest.mark.parametrize(
    ("host", "stated", "urls"),
    [
        # In a cluster each member takes the lines for all, and an agent waits for each that it sends to.
        ("web1", [], ["https://c:3100/loki/api/v1/push"]),
        ("web2", [], ["https://c:3100/loki/api/v1/push"]),
        ("web3", [], ["https://a:3100/loki/api/v1/push"]),
        ("web4", None, ["https://a:3100/loki/api/v1/push"]),
        ("a", [], ["https://a:3100/loki/api/v1/push"]),
        ("c", [], ["https://c:3100/loki/api/v1/push"]),
        ("a", ["c"], ["https://c:3100/loki/api/v1/push"]),
        ("web1", ["a", "c"], ["https://a:3100/loki/api/v1/push", "https://c:3100/loki/api/v1/push"]),
        ("web1", [URL], [f"{URL}/loki/api/v1/push"]),
        ("web1", [f"{URL}/"], [f"{URL}/loki/api/v1/push"]),
        ("web1", [f"{URL}/team/push"], [f"{URL}/team/push"]),
    ],
)
def test_who_gets_the_lines(host: str, stated: list[str] | None, urls: list[str]) -> None:
    hostvars = {"web1": {}, "web2": {}, "web3": {}, "web4": {}, **MEMBERS}
    hostvars[host] = {**hostvars[host], "monitoring_logs_push": stated}
    found = pushes(host, {"loki": ["a", "b", "c"]}, hostvars)
    assert [push.url for push in found] == urls
    assert all(bool(push.server_name) != push.url.startswith(URL) for push in found)


def test_a_member_that_goes_moves_its_hosts_only() -> None:
    hosts = [f"web{number}" for number in range(300)]
    before = {host: chosen_member(host, ["a", "b", "c"]) for host in hosts}
    assert all(70 < list(before.values()).count(member) < 130 for member in "abc")
    after = {host: chosen_member(host, ["c", "a"]) for host in hosts}
    assert all(after[host] == before[host] for host in hosts if before[host] != "b")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("a", "not a list"),
        (["b"], "b is no host that runs Loki (a, c)"),
        (["http://[x:pp/y"], "http://[x:pp/y is no host that runs Loki (a, c) and no address"),
        (["logs.example.com:3100"], "no address"),
        (["https://"], "no address"),
        ([{"url": ""}], "an entry without url is no host"),
        ([{"url": "a"}], "a is no host that runs Loki (a, c) and no address"),
        ([{"url": URL, "pasword": "x"}], "entry 1 has pasword, which is not known. Known are url, user, password"),
        (["a", {"url": URL, "user": "x"}], "entry 2 (logs.example.com) has one of user and password"),
        ([{"url": URL, "tenant": ["x"]}], "tenant is no text"),
        ([{"url": URL, "certificate": "perhaps"}], "certificate is neither true nor false"),
        ([{"url": URL, "certificate": True}], "web has no certificate of the inventory's authority"),
        ([{"url": "http://x", "ca": "ca.crt"}], "ca is for https"),
    ],
)
def test_where_lines_cannot_go(stated: t.Any, said: str) -> None:
    with pytest.raises(AnsibleError) as error:
        pushes("web", {"loki": ["a", "b", "c"]}, {"web": {"monitoring_logs_push": stated}, **MEMBERS})
    assert "monitoring_logs_push of web" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "entry",
    [
        "https://shop:hunter2@logs.example.com",
        "https://hunter2@[x",
        "shop:hunter2@logs.example.com",
        "https://shop:hunter2/2@logs.example.com",
        "https://shop:hunter2@logs.example.com:x",
        {"url": "https://shop:hunter2@logs.example.com:3100/x"},
        {"url": URL, "user": "shop", "password": ["hunter2"]},
        {"url": URL, "password": "hunter2"},
        {"url": URL, "password": "hunter2", "user": "shop", "certificate": True},
    ],
)
def test_no_password_is_told(entry: t.Any) -> None:
    with pytest.raises(AnsibleError) as error:
        pushes("web", {}, {"web": {"monitoring_logs_push": [entry]}})
    assert "monitoring_logs_push of web" in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"url": URL}, Push(f"{URL}/loki/api/v1/push")),
        (
            {"url": f"{URL}/x", "user": "shop", "password": "hunter2", "tenant": 7, "ca": None},
            Push(f"{URL}/x", user="shop", password="push1_password", tenant="7"),
        ),
        ({"url": URL, "ca": "/tmp/x.crt"}, Push(f"{URL}/loki/api/v1/push", ca="push1_ca.crt")),
        ({"url": URL, "certificate": True}, mutual(f"{URL}/loki/api/v1/push", "logs.example.com")),
        (
            {"url": URL, "certificate": "yes", "server_name": "mon1", "ca": "x.crt"},
            Push(f"{URL}/loki/api/v1/push", "mon1", "push1_ca.crt", certificate=True),
        ),
        ({"url": "http://x/y", "certificate": False}, Push("http://x/y")),
    ],
)
def test_a_loki_with_a_login(entry: dict[str, t.Any], expected: Push) -> None:
    assert pushes("web", {}, {"web": {"monitoring_logs_push": [entry], **TLS}}) == [expected]


def test_what_is_kept_in_files() -> None:
    entries = [
        URL,
        {"url": URL, "user": "shop", "password": 123, "ca": "a.crt"},
        {"url": URL, "ca": ""},
        {"url": URL, "ca": "b.crt"},
    ]
    assert authorities(entries) == ["a.crt", "b.crt"]
    assert push_files(entries, ["A", "B"]) == {"push2_password": "123", "push2_ca.crt": "A", "push4_ca.crt": "B"}
    assert authorities("wrong") == []


def test_an_inventory_without_loki_may_send_elsewhere() -> None:
    assert pushes("web", {}, {"web": {"monitoring_logs_push": [URL]}}) == [Push(f"{URL}/loki/api/v1/push")]


def test_no_loki() -> None:
    with pytest.raises(AnsibleError, match="no host in the group loki"):
        pushes("web", {}, {"web": {}})


def test_a_loki_that_only_its_own_host_reaches() -> None:
    with pytest.raises(AnsibleError, match=r"web cannot reach Loki on mon.*monitoring_tls: selfsigned"):
        pushes("web", GROUPS, {"mon": {}, "web": {}})
