# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator of a Grafana, on the stand-in with its database: every way of a reset, token, datasources."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from ansible_collections.opswatch.monitoring.plugins.module_utils import _grafana_admin
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_admin import (
    Administrator,
    Host,
    hashed,
    set_password,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout

from tests.standins.server import PASSWORD, Grafana

WANTED = "the wanted one"
LIAR = "#!/bin/sh\necho 'Admin password changed successfully'\n"
# As later versions' own command does it.
WORKING = """#!{python}
import hashlib, pathlib, sqlite3, sys
pathlib.Path("{said}").write_text(" ".join(sys.argv[1:]))
password = sys.stdin.readline().rstrip("\\n").encode()
database = sqlite3.connect("{database}")
(salt,) = database.execute("SELECT salt FROM user WHERE login = 'admin'").fetchone()
digest = hashlib.pbkdf2_hmac("sha256", password, salt.encode(), 10000, 50).hex()
database.execute("UPDATE user SET password = ? WHERE login = 'admin'", (digest,))
database.commit()
"""


class Site:
    """A host with a Grafana on it."""

    def __init__(self, root: Path, grafana: Grafana) -> None:
        self.root = root
        self.grafana = grafana
        self.host = Host(Layout("grafana", str(root)))
        self.data = Path(self.host.layout.data)
        self.data.parent.mkdir(parents=True)
        self.data.symlink_to(grafana.folder / "data")
        self.release = root / "release"
        (self.release / "bin").mkdir(parents=True)
        self.command("grafana-cli", LIAR)
        current = Path(self.host.layout.current)
        current.parent.mkdir(parents=True)
        current.symlink_to(root / "generation")
        (root / "generation").mkdir()
        (root / "generation/release").symlink_to(self.release)

    def command(self, name: str, text: str) -> None:
        (self.release / "bin" / name).write_text(text)
        (self.release / "bin" / name).chmod(0o755)

    def administrator(self, password: str = PASSWORD, check_mode: bool = False) -> Administrator:
        api = {"url": self.grafana.url, "timeout": 10.0}
        return Administrator(self.host, api, "admin", password, check_mode)

    def logs_in(self, password: str) -> bool:
        return self.grafana.ask("GET", "/api/org", auth=("admin", password)).status_code == 200

    def wrong_logins(self, number: int) -> None:
        for _ in range(number):
            assert not self.logs_in("wrong")

    def provision(self, *names: str) -> None:
        """What the role would have written, read by Grafana."""
        folder = Path(self.host.datasources)
        folder.mkdir(parents=True, exist_ok=True)
        sources = [{"name": name, "uid": name.lower(), "type": "prometheus", "url": "http://x"} for name in names]
        (folder / "opswatch.yml").write_text(json.dumps({"datasources": sources}))
        assert self.grafana.ask("POST", "/api/admin/provisioning/datasources/reload").status_code == 200

    def sources(self) -> list[str]:
        return [one["name"] for one in self.grafana.ask("GET", "/api/datasources").json()]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(Host, "ids", (os.geteuid(), os.getegid()))
    settings = {"paths": {"provisioning": f"{tmp_path}/etc/grafana/provisioning"}}
    with Grafana(tmp_path / "grafana", settings=settings) as grafana:
        yield Site(tmp_path, grafana)


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


# --- the login ---


def test_a_login_that_works_is_noted_once(site: Site) -> None:
    first, second = site.administrator(), site.administrator()
    assert first.ensure_login()
    assert second.ensure_login()
    assert first.actions == ["noted the password that was proved"]
    assert second.actions == []
    assert (mode(site.host.folder), mode(site.host.password_file)) == (0o700, 0o600)


def test_reset_by_the_earlier_password(site: Site) -> None:
    site.administrator().ensure_login()
    changing = site.administrator(WANTED)
    assert changing.ensure_login()
    assert changing.actions == ["reset the password of admin by the API with the earlier password, and proved it"]
    assert site.logs_in(WANTED)
    assert Path(site.host.password_file).read_text() == WANTED


@pytest.mark.parametrize("earlier", ["", "long gone"], ids=["nothing noted", "noted one is gone"])
def test_reset_in_the_database_as_the_command_lies(site: Site, earlier: str) -> None:
    if earlier:
        os.mkdir(site.host.folder)
        Path(site.host.password_file).write_text(earlier)
    changing = site.administrator(WANTED)
    assert changing.ensure_login()
    assert changing.actions == ["reset the password of admin by its database, and proved it"]
    assert site.logs_in(WANTED)


@pytest.mark.parametrize("name", ["grafana-cli", "grafana"])
def test_reset_by_a_command_that_works(site: Site, name: str) -> None:
    """It gets the password by its standard input, where no list of processes shows it."""
    said = site.root / "words"
    site.command(name, WORKING.format(python=sys.executable, said=said, database=site.data / "grafana.db"))
    changing = site.administrator(WANTED)
    assert changing.ensure_login()
    assert changing.actions == ["reset the password of admin by Grafana's own command, and proved it"]
    first = "cli --homepath" if name == "grafana" else "--homepath"
    assert said.read_text().startswith(f"{first} {site.release} --config {site.root}/etc/grafana/grafana.ini admin ")
    assert WANTED not in said.read_text()


def test_a_locked_account_is_opened_again(site: Site) -> None:
    site.administrator().ensure_login()
    site.wrong_logins(5)
    assert not site.logs_in(PASSWORD)
    changing = site.administrator()
    assert changing.ensure_login()
    assert changing.actions == ["reset the password of admin by its database, and proved it"]
    assert site.logs_in(PASSWORD)


def test_no_way_works(site: Site) -> None:
    """Every way says why, and wrong logins stay few enough to leave the account open."""
    site.command("grafana-cli", f"#!/bin/sh\necho 'no such user: {WANTED}' >&2\nexit 1\n")
    site.data.unlink()
    with pytest.raises(ComponentError) as refused:
        site.administrator(WANTED).ensure_login()
    said = str(refused.value)
    assert "the API with the earlier password: no other one is known" in said
    assert "Grafana's own command: exit code 1: no such user: ********" in said
    assert "its database: it is neither a SQLite file here nor a PostgreSQL" in said
    assert WANTED not in said
    assert site.logs_in(PASSWORD)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo 1", "its database: it reported success, but the login is refused as before"),
        ("true", "its database: it has no user admin"),
        ("echo 'connection refused' >&2; exit 2", "with Grafana's database grafana at db1: connection refused"),
    ],
    ids=["written", "nobody of that name", "no answer"],
)
def test_reset_in_postgresql(site: Site, monkeypatch: pytest.MonkeyPatch, answer: str, said: str) -> None:
    """By a psql that only notes what it gets, so that the login does not change; molecule/backup has the real one."""
    Path(site.host.layout.etc).mkdir(parents=True, exist_ok=True)
    Path(site.host.layout.etc, "grafana.ini").write_text("[database]\ntype = postgres\nhost = db1:5432\n")
    psql = site.root / "bin/psql"
    psql.parent.mkdir()
    psql.write_text(f'#!/bin/sh\necho "$*" >{site.root}/words\ncat >{site.root}/statements\n{answer}\n')
    psql.chmod(0o755)
    monkeypatch.setenv("PATH", f"{psql.parent}:{os.environ['PATH']}")
    with pytest.raises(ComponentError) as refused:
        site.administrator(WANTED).ensure_login()
    assert site.logs_in(PASSWORD), "a SQLite file that is still there, as from before, is left alone"
    assert said in str(refused.value)
    assert "-v login=admin" in (site.root / "words").read_text()
    statements = (site.root / "statements").read_text()
    found = re.search(r"""SET password = '(\w+)', salt = '(\w+)' WHERE login = :'login'""", statements)
    assert found
    assert found[1] == hashed(WANTED, found[2])
    assert found[1] not in (site.root / "words").read_text() + str(refused.value)
    assert "DELETE FROM login_attempt" in statements


def test_another_login_than_is_in_the_database(site: Site) -> None:
    changing = site.administrator(WANTED)
    changing.user = "boss"
    with pytest.raises(ComponentError, match=r"its database: it has no user boss"):
        changing.ensure_login()


def test_check_mode_resets_nothing(site: Site) -> None:
    looking = site.administrator(WANTED, check_mode=True)
    assert not looking.ensure_login()
    assert looking.actions == ["would reset the password of admin"]
    assert site.logs_in(PASSWORD)
    assert not os.path.exists(site.host.folder)


def test_the_hash_is_grafanas() -> None:
    """The one that is published for admin and this salt."""
    published = "59acf18b94d7eb0694c61e60ce44c110c7a683ac6a8f09580d626f90f4a242000746579358d77dd9e570e83fa24faa88a8a6"
    assert hashed("admin", "F3FAxVm33R") == published


def test_a_database_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "grafana.db"
    path.write_text("no database, but long enough to be looked at")
    with pytest.raises(_grafana_admin.sqlite3.Error):
        set_password(str(path), "admin", WANTED)


# --- the token ---


@pytest.mark.parametrize("lost", ["nonsense", f"glsa_{'x' * 32}_12345678"], ids=["no token", "one that is gone"])
def test_token_is_made_once_and_anew_when_it_does_not_work(site: Site, lost: str) -> None:
    first, second, third = (site.administrator() for _ in range(3))
    assert first.ensure_token("one")
    assert first.actions == [f"made a token for automation, {site.host.token_file}"]
    assert mode(site.host.token_file) == 0o600
    token = Path(site.host.token_file).read_text()
    assert second.ensure_token("one")
    assert second.actions == []
    assert Path(site.host.token_file).read_text() == token

    Path(site.host.token_file).write_text(lost)
    assert third.ensure_token("one")
    account = site.grafana.ask("GET", "/api/serviceaccounts/search?query=opswatch").json()["serviceAccounts"]
    assert [(one["name"], one["role"], one["tokens"]) for one in account] == [("opswatch", "Admin", 1)]
    earlier = requests.get(f"{site.grafana.url}/api/org", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert (earlier.status_code, earlier.json()["message"]) == (500, "invalid API key")


def test_hosts_of_one_database_have_a_token_each(site: Site) -> None:
    site.administrator().ensure_token("one")
    os.unlink(site.host.token_file)
    site.administrator().ensure_token("other")
    account = site.grafana.ask("GET", "/api/serviceaccounts/search?query=opswatch").json()["serviceAccounts"]
    assert [one["tokens"] for one in account] == [2]


def test_check_mode_makes_no_token(site: Site) -> None:
    looking = site.administrator(check_mode=True)
    assert not looking.ensure_token("one")
    assert looking.actions == ["would make a token for automation"]
    assert not os.path.exists(site.host.folder)


# --- datasources ---


def test_what_no_file_names_any_more_goes(site: Site) -> None:
    site.provision("Prometheus", "Loki")
    made = site.grafana.ask("POST", "/api/datasources", {"name": "by hand", "type": "loki", "access": "proxy"})
    assert made.status_code == 200
    site.provision("Prometheus")
    assert site.sources() == ["Loki", "Prometheus", "by hand"]
    looking, pruning, again = site.administrator(check_mode=True), site.administrator(), site.administrator()
    looking.prune_datasources(["Prometheus"])
    assert looking.actions == ["would remove the datasources Loki"]
    pruning.prune_datasources(["Prometheus"])
    assert pruning.actions == ["removed the datasources Loki"]
    assert site.sources() == ["Prometheus", "by hand"]
    assert os.listdir(site.host.datasources) == ["opswatch.yml"]
    again.prune_datasources(["Prometheus"])
    assert again.actions == []


def test_what_others_provision_is_left_alone(site: Site) -> None:
    site.provision("Theirs")
    Path(site.host.datasources, "theirs.yaml").write_text("{}")
    pruning = site.administrator()
    pruning.prune_datasources(["Prometheus"])
    assert pruning.actions == []
    assert site.sources() == ["Theirs"]


def test_a_datasource_that_stays_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.provision("Loki")
    site.provision()
    pruning = site.administrator()
    written: list[t.Any] = []
    monkeypatch.setattr(_grafana_admin._files, "write_file", lambda *arguments, **more: written.append(arguments))
    with pytest.raises(ComponentError, match="Grafana keeps the datasources Loki"):
        pruning.prune_datasources([])
    assert json.loads(written[0][1])["deleteDatasources"] == [{"name": "Loki", "orgId": 1}]


# --- plugins ---


def plugin_sets(site: Site, *names: str) -> Path:
    """Sets that are there, of which the configuration of a generation names the one called earlier."""
    home = site.root / "opt/plugins"
    for name in names:
        (home / name / "clock").mkdir(parents=True)
    config = Path(site.host.layout.generation(3), "config")
    config.mkdir(parents=True, exist_ok=True)
    (config / "grafana.ini").write_text(f"[paths]\nplugins = {home}/earlier\nprovisioning = x\n")
    return home


@pytest.mark.parametrize("wanted", ["abc", "none"])
def test_sets_of_plugins_that_no_generation_names_go(site: Site, wanted: str) -> None:
    """Also where no plugins are wanted any more, and there is no folder of that set."""
    home = plugin_sets(site, "abc", "earlier", "earlier2", ".partial-x")
    administrator = site.administrator()
    administrator.prune_plugins(f"{home}/{wanted}")
    left = {"abc", "earlier"} & {wanted, "earlier"}
    assert {path.name for path in home.iterdir()} == left
    assert administrator.actions == [
        f"removed plugins that nothing needs, {home}/{name}"
        for name in sorted({"abc", "earlier2", ".partial-x"} - left)
    ]
    again = site.administrator()
    again.prune_plugins(f"{home}/{wanted}")
    assert again.actions == []


def test_check_mode_removes_no_plugins(site: Site) -> None:
    home = plugin_sets(site, "gone")
    administrator = site.administrator(check_mode=True)
    administrator.prune_plugins(f"{home}/none")
    assert administrator.actions == [f"would remove plugins that nothing needs, {home}/gone"]
    assert (home / "gone").exists()


def test_a_host_that_never_had_plugins(site: Site) -> None:
    administrator = site.administrator()
    administrator.prune_plugins(f"{site.root}/nowhere/none")
    assert administrator.actions == []
