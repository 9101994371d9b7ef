# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which secrets were lost, and which are only now needed, or were removed on purpose."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_secrets as secrets
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_host import Look
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import AUTHORITY, ENDING

AUTH, EXPORTER = "monitoring_auth_password", "monitoring_exporter_password"
ADMIN, KEY = "grafana_admin_password", "grafana_secret_key"
ALL = {AUTH, EXPORTER, ADMIN, KEY, AUTHORITY, f"{AUTH}.bcrypt", f"{EXPORTER}.bcrypt"}
# A host of the whole stack, under TLS.
STACK = ("prometheus", "grafana", "node_exporter")


def lost(
    folder: Path,
    kept: t.Iterable[str] = (),
    installed: t.Iterable[str] = STACK,
    present: t.Iterable[str] = STACK,
    certified: t.Iterable[str] = STACK,
    notifiers: t.Iterable[str] = (),
    **given: t.Any,
) -> set[str]:
    """The names of what would be made anew. C(kept): what the folder holds, which is not there without any."""
    for name in kept:
        (folder / "secrets").mkdir(exist_ok=True)
        (folder / "secrets" / f"{name}{ENDING}").write_text("kept")
    unset: dict[str, t.Any] = dict.fromkeys((AUTH, EXPORTER, ADMIN, KEY), "")
    values = {**unset, "monitoring_tls": "selfsigned", "monitoring_secrets_dir": str(folder / "secrets"), **given}
    look = Look(installed=dict.fromkeys(installed, "1.2.3"), certified=set(certified), notifiers=set(notifiers))
    found = secrets.lost_problems("mon1", look, present, values)
    assert len(found) < 2
    return {line.partition(f"{ENDING}: ")[0] for problem in found for line in problem.seen.splitlines()}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert lost(tmp_path) == {AUTH, EXPORTER, ADMIN, KEY, AUTHORITY}
    (tmp_path / "secrets").mkdir()
    assert lost(tmp_path) == {AUTH, EXPORTER, ADMIN, KEY, AUTHORITY}
    (tmp_path / "secrets" / f"{KEY}{ENDING}").touch()
    assert KEY in lost(tmp_path), "an empty file is no secret"


def test_a_folder_that_has_all(tmp_path: Path) -> None:
    assert lost(tmp_path, ALL) == set()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param({"installed": ()}, set(), id="first installation"),
        pytest.param({"installed": ["alloy"], "certified": ["alloy"]}, set(), id="in force, of no group of the host"),
        pytest.param({"present": ()}, set(), id="all is to go"),
        pytest.param({"present": ["node_exporter"]}, {EXPORTER, AUTHORITY}, id="the servers are to go"),
        pytest.param({"installed": ["node_exporter"]}, {EXPORTER, AUTHORITY}, id="the servers are new"),
        pytest.param({"installed": ["loki"], "present": ["loki"], "certified": ["loki"]}, {AUTHORITY}, id="Loki"),
        pytest.param(
            {"installed": ["cadvisor"], "present": ["cadvisor"], "certified": []}, set(), id="asks for nothing"
        ),
        pytest.param({"certified": ()}, {AUTH, EXPORTER, ADMIN, KEY}, id="TLS is new"),
        pytest.param({"monitoring_tls": "own"}, {AUTH, EXPORTER, ADMIN, KEY}, id="certificates of the user"),
        pytest.param({AUTH: "a", EXPORTER: "b"}, {ADMIN, KEY, AUTHORITY}, id="passwords are given"),
        pytest.param(
            {AUTH: "a", EXPORTER: "b", ADMIN: "c", KEY: "d", "monitoring_tls": "off"}, set(), id="all is given"
        ),
        pytest.param({"monitoring_new_secrets": True}, set(), id="new ones are meant"),
        pytest.param(
            {"monitoring_new_secrets": "no", "present": ["node_exporter"]}, {EXPORTER, AUTHORITY}, id="not meant"
        ),
    ],
)
def test_what_is_needed(tmp_path: Path, given: dict[str, t.Any], wanted: set[str]) -> None:
    """From a folder that is not there."""
    assert lost(tmp_path, **given) == wanted


@pytest.mark.parametrize(
    ("removed", "wanted"),
    [
        ({AUTH}, set()),
        ({EXPORTER}, set()),
        ({ADMIN}, set()),
        ({AUTHORITY}, set()),
        ({AUTH, EXPORTER, ADMIN, AUTHORITY}, set()),
        ({KEY}, {KEY}),
        ({f"{AUTH}.bcrypt", f"{EXPORTER}.bcrypt"}, set()),
        ({AUTH, f"{AUTH}.bcrypt"}, {AUTH}),
        ({f"{AUTH}.bcrypt", f"{EXPORTER}.bcrypt", ADMIN, AUTHORITY}, {ADMIN, AUTHORITY}),
    ],
    ids=lambda value: ", ".join(sorted(value)),
)
def test_what_was_removed_to_be_made_anew(tmp_path: Path, removed: set[str], wanted: set[str]) -> None:
    """Then the hashes stay. With Grafana's key goes what it encrypted, so nobody removes that without a word."""
    assert lost(tmp_path, ALL - removed) == wanted


def test_what_a_run_with_another_folder_left(tmp_path: Path) -> None:
    """It was for a new host alone, by --limit: its secrets are not those of the others."""
    made = {EXPORTER, f"{EXPORTER}.bcrypt", AUTHORITY}
    assert lost(tmp_path, made) == {AUTH, KEY}


def test_loki_that_tells_alertmanager(tmp_path: Path) -> None:
    assert lost(tmp_path, set(), installed=["loki"], present=["loki"], certified=[], notifiers=["loki"]) == {AUTH}
    assert lost(tmp_path, set(), installed=["loki"], present=["loki"], certified=[]) == set()


def warned(tmp_path: Path, present: list[str], others: set[str], **values: t.Any) -> list[str]:
    groups = {"prometheus": ["mon1"], "node_exporter": ["mon1", "app1", "app9"]}
    stated = dict.fromkeys((AUTH, EXPORTER, ADMIN, KEY), "") | {"monitoring_secrets_dir": str(tmp_path), **values}
    return secrets.shared_warnings(present, Look(), stated, groups, others)


def test_limited_run_that_makes_what_others_share_says_so(tmp_path: Path) -> None:
    (said,) = warned(tmp_path, ["node_exporter"], {"mon1", "app1"})
    assert said.startswith(f"{EXPORTER} is not in {tmp_path}, so this run makes one")
    assert "such as app1" in said
    assert warned(tmp_path, ["node_exporter"], {"db1"}) == [], "nobody else is to have it"
    assert warned(tmp_path, ["node_exporter"], {"mon1"}, **{EXPORTER: "given"}) == []
    (tmp_path / f"{EXPORTER}.txt").write_text("kept")
    assert warned(tmp_path, ["node_exporter"], {"mon1"}) == []


def test_every_secret_of_a_role_is_known() -> None:
    """Those of components; the routines make some of their own, which no host works with."""
    roles = [role_facts.SHARED, *role_facts.components()]
    made = re.compile(r"lookup\('opswatch\.monitoring\.secret',\s*'(\w+)'\)")
    texts = [Path(role_facts.role_path(role, "vars", "main.yml")).read_text() for role in roles]
    assert {name for text in texts for name in made.findall(text)} == {one.name for one in secrets.SECRETS}
    for one in secrets.SECRETS:
        assert one.name in role_facts.known_variables()
        assert set(one.users) <= set(role_facts.components())
