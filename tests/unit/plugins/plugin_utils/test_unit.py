# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units: how arguments survive systemd's parser, and how layers lie over the hardened base."""

from __future__ import annotations

import copy
import re
import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.unit import BASE, quote, render_unit

WORDS = {
    "plain": "--web.listen-address=0.0.0.0:9090",
    "empty": "",
    "space": "--x=a b",
    "tab": "a\tb",
    "percent": "--x=100%",
    "specifier": "%n",
    "dollar": "--x=^/(dev|proc)($|/)",
    "variable": "${HOME} $HOME",
    "double quotes": '--x={"a": "b"}',
    "single quote": "it's",
    "backslash": r"--x=\d+\.",
    "backslash and space": "a\\ b\\",
    "semicolon": ";",
    "all": "a\\\"' %% $$ ; \\x20",
    "unicode": "München ✓",
}


def systemd_words(line: str) -> list[str]:
    """What systemd makes of a command line, as systemd.service(5) has it: quotes, C escapes, then % and $."""
    words, word, quoted, started = [], "", "", False
    characters = iter(line)
    for character in characters:
        if character == "\\":
            following = next(characters)
            assert following in "\\\"' nt", f"\\{following} is an escape that nobody wrote"
            word, started = word + {"n": "\n", "t": "\t"}.get(following, following), True
        elif quoted:
            word, quoted = (word, "") if character == quoted else (word + character, quoted)
        elif character in "\"'" and not started:
            quoted, started = character, True
        elif character == " ":
            words, word, started = ([*words, word], "", False) if started else (words, word, started)
        else:
            word, started = word + character, True
    assert not quoted
    words += [word] if started else []
    for expanded in ("%", "$"):
        single = re.escape(expanded)
        assert not any(re.search(rf"(?<!{single})({single}{single})*{single}(?!{single})", word) for word in words)
        words = [word.replace(expanded * 2, expanded) for word in words]
    return words


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS.keys())
def test_argument_reaches_the_program_as_it_is(word: str) -> None:
    assert systemd_words(f"/bin/x {quote(word)} last") == ["/bin/x", word, "last"]


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("--a=b", "--a=b"),
        ("", '""'),
        ("a b", '"a b"'),
        ("5%", "5%%"),
        ("$HOME", "$$HOME"),
        ('"', r'"\""'),
        ("\\", r'"\\"'),
        (";", '";"'),
    ],
)
def test_quoting_as_written(word: str, written: str) -> None:
    assert quote(word) == written


def settings(text: str) -> dict[str, list[tuple[str, str]]]:
    """The sections of a unit, with a pair for each line."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            key, _sign, value = line.partition("=")
            current.append((key, value))
    return sections


def values(text: str, section: str, key: str) -> list[str]:
    return [value for name, value in settings(text)[section] if name == key]


def test_base_names_the_component_everywhere() -> None:
    text = render_unit("app", ["--a=b c", "--d"])
    assert values(text, "Service", "ExecStart") == ['/usr/local/bin/app "--a=b c" --d']
    for key in ("User", "Group", "StateDirectory"):
        assert values(text, "Service", key) == ["app"]
    assert "systemctl edit app" in text.splitlines()[0]
    assert list(settings(text)) == ["Unit", "Service", "Install"]


def test_base_is_hardened() -> None:
    text = render_unit("app", [])
    for key, value in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
        "PrivateDevices": "yes",
    }.items():
        assert values(text, "Service", key) == [value]


@pytest.mark.parametrize(
    ("layers", "key", "expected"),
    [
        pytest.param([{"Service": {"PrivateTmp": False}}], "PrivateTmp", ["no"], id="boolean"),
        pytest.param([{"Service": {"LimitNOFILE": 65536}}], "LimitNOFILE", ["65536"], id="number"),
        pytest.param([{"Service": {"PrivateTmp": None}}], "PrivateTmp", [], id="null removes a setting of the base"),
        pytest.param([{"Service": {"X": 1}}, {"Service": {"X": None}}], "X", [], id="null removes an earlier layer's"),
        pytest.param([{"Service": {"X": 1}}, {"Service": {"X": 2}}], "X", ["2"], id="the last layer wins"),
        pytest.param([{"Service": {"X": None}}, {"Service": {"X": 2}}], "X", ["2"], id="a layer brings it back"),
        pytest.param([{"Service": {"X": ["a b", 2, True, None]}}], "X", ["a b", "2", "yes"], id="list"),
        pytest.param(
            [{"Service": {"SystemCallFilter": ["@all"]}}], "SystemCallFilter", ["@all"], id="a list replaces a list"
        ),
        pytest.param([{"Service": {"ExecStart": "/bin/other"}}], "ExecStart", ["/bin/other"], id="over our own"),
        pytest.param([{}, {"Service": {}}], "User", ["app"], id="empty layers"),
    ],
)
def test_layers(layers: list[dict[str, t.Any]], key: str, expected: list[str]) -> None:
    assert values(render_unit("app", [], *layers), "Service", key) == expected


def test_layer_may_bring_a_section() -> None:
    assert values(render_unit("app", [], {"Socket": {"ListenStream": 80}}), "Socket", "ListenStream") == ["80"]


def test_base_and_layers_stay_as_they_are() -> None:
    base, layer = copy.deepcopy(BASE), {"Service": {"PrivateTmp": False, "X": ["a"]}, "Unit": {"After": None}}
    stated = copy.deepcopy(layer)
    plain = render_unit("app", [])
    render_unit("app", [], layer)
    assert base == BASE
    assert layer == stated
    assert render_unit("app", []) == plain


def test_same_input_gives_the_same_text() -> None:
    assert render_unit("app", ["-x"], {"Service": {"A": 1}}) == render_unit("app", ["-x"], {"Service": {"A": 1}})
