# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules for Grafana against the stand-in; against a real one if C(GRAFANA_HOME) is an unpacked release."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opswatch.monitoring.plugins.module_utils import _dashboard_sync, _http
from ansible_collections.opswatch.monitoring.plugins.module_utils._dashboards import clean, packed, unpacked
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_admin import Administrator, Host
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_inside import look
from ansible_collections.opswatch.monitoring.plugins.module_utils._grafana_wanted import OPTIONS, mark
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.modules import (
    grafana_admin,
    grafana_dashboards_apply,
    grafana_dashboards_info,
    grafana_datasource,
    grafana_folder,
    grafana_health_info,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.authority import certificate
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.dashboard_tree import (
    packed_tree,
    read_tree,
    right_tree,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import SecretsDir

from tests.standins.server import PASSWORD, Grafana

HOME = os.environ.get("GRAFANA_HOME")
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def grafana(tmp_path: Path) -> t.Iterator[Grafana]:
    with Grafana(tmp_path / "grafana", Path(HOME) if HOME else None) as running:
        yield running


class Modules:
    """Runs modules as Ansible does on the host, each in this process."""

    def __init__(self, grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> None:
        self.grafana = grafana
        self.capsys = capsys

    def run(self, module: t.Any, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        login = {} if {"token", "user"} & set(options) else {"user": "admin", "password": PASSWORD}
        modes = {"_ansible_check_mode": check, "_ansible_diff": True}
        arguments = {"url": self.grafana.url, "timeout": 10, **login, **options, **modes}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return dict(json.loads(self.capsys.readouterr().out))

    def sync(self, tree: Path, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        found = read_tree(tree)
        assert found.problems == []
        packet = packed({"folders": found.folders, "dashboards": found.dashboards})
        return self.run(grafana_dashboards_apply, check, tree=packet, **options)

    def export(self, **options: t.Any) -> dict[str, t.Any]:
        found = unpacked(self.run(grafana_dashboards_apply, **options)["exported"])
        return {one["model"]["uid"]: one for one in found}

    def read(self, uid: str) -> dict[str, t.Any]:
        return dict(self.grafana.ask("GET", f"/api/dashboards/uid/{uid}").json())


@pytest.fixture
def modules(grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> Modules:
    return Modules(grafana, capsys)


def dashboard(uid: str, title: str = "", **more: t.Any) -> dict[str, t.Any]:
    panel = {"id": 1, "type": "timeseries", "title": "CPU", "targets": [{"refId": "A", "expr": "up"}], "fill": 1.0}
    return {"uid": uid, "title": title or uid, "schemaVersion": 37, "tags": ["x"], "panels": [panel], **more}


def write(tree: Path, files: t.Mapping[str, t.Any]) -> Path:
    for name, model in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(json.dumps(model))
    return tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(
        tmp_path / "tree",
        {
            "root.json": dashboard("root", "At the root"),
            "Shop/orders.json": dashboard("orders", "Orders"),
            "Shop/stock.json": {key: value for key, value in dashboard("", "Stock").items() if key != "uid"},
        },
    )


# --- a tree of dashboards ---


def test_first_run_writes_all_of_it(modules: Modules, tree: Path) -> None:
    result = modules.sync(tree)
    assert result["changed"]
    assert len(result["created"]) == 3
    assert result["actions"][0] == "created folder Shop"
    assert result["actions"][2] == "created Shop/orders.json (Orders) in Shop"
    found = modules.read("orders")
    assert found["meta"]["folderTitle"] == "Shop"
    assert found["dashboard"]["panels"] == dashboard("")["panels"]
    assert modules.read("root")["meta"]["folderUid"] == ""


def test_second_run_writes_nothing(modules: Modules, tree: Path) -> None:
    modules.sync(tree, owner="me", prune=True)
    written, asked = len(modules.grafana.writes()), len(modules.grafana.asked())
    result = modules.sync(tree, owner="me", prune=True)
    assert (result["changed"], result["actions"], result["unchanged"]) == (False, [], 3)
    assert len(modules.grafana.writes()) == written == 4
    assert len(modules.grafana.asked()) - asked == 4, "one listing, and each dashboard once"


def test_only_what_differs_is_written(modules: Modules, tree: Path) -> None:
    modules.sync(tree)
    write(tree, {"Shop/orders.json": dashboard("orders", "Orders", refresh="1m")})
    written = len(modules.grafana.writes())
    result = modules.sync(tree)
    assert (result["updated"], result["unchanged"]) == (["orders"], 2)
    assert result["actions"] == ["updated Shop/orders.json (Orders)"]
    (diff,) = result["diff"]
    assert (diff["before"], diff["after"]) == ("", 'refresh: "1m"\n')
    assert modules.grafana.writes()[written:] == [("POST", "/api/dashboards/db")]


def test_check_mode_says_the_same_and_writes_nothing(modules: Modules, tree: Path) -> None:
    predicted = modules.sync(tree, check=True)
    assert modules.grafana.writes() == []
    done = modules.sync(tree)
    for key in ("changed", "actions", "created", "diff"):
        assert predicted[key] == done[key], key


def test_edit_by_hand_is_seen_and_undone(modules: Modules, tree: Path) -> None:
    modules.sync(tree)
    edited = {**modules.read("orders")["dashboard"], "title": "Orders!"}
    body = {"dashboard": edited, "folderUid": modules.read("orders")["meta"]["folderUid"]}
    assert modules.grafana.ask("POST", "/api/dashboards/db", body).status_code == 200
    result = modules.sync(tree)
    assert result["updated"] == ["orders"]
    assert modules.read("orders")["dashboard"]["title"] == "Orders"


def test_dashboard_moves_with_its_file(modules: Modules, tree: Path) -> None:
    modules.sync(tree)
    shutil.move(tree / "root.json", tree / "Shop/root.json")
    result = modules.sync(tree)
    assert (result["updated"], result["created"]) == (["root"], [])
    assert modules.read("root")["meta"]["folderTitle"] == "Shop"
    shutil.move(tree / "Shop/root.json", tree / "root.json")
    modules.sync(tree)
    assert modules.read("root")["meta"]["folderUid"] == ""


def test_prune(modules: Modules, tree: Path) -> None:
    """What is ours and has no file any more goes, with a folder that we made and that is empty; nothing else does."""
    foreign = {"dashboard": dashboard("foreign", "By hand")}
    assert modules.grafana.ask("POST", "/api/dashboards/db", foreign).status_code == 200
    write(tree, {"Old/gone.json": dashboard("gone", "Gone")})
    modules.sync(tree, owner="me")
    shutil.rmtree(tree / "Old")
    assert modules.sync(tree, owner="me")["deleted"] == [], "not without prune"
    assert "belongs to another owner: me" in modules.sync(tree, owner="you", prune=True)["msg"]
    result = modules.sync(tree, owner="me", prune=True)
    assert result["deleted"] == ["gone"]
    assert result["actions"] == ["deleted Gone from Old", "deleted folder Old"]
    folders = [one["title"] for one in modules.grafana.ask("GET", "/api/folders").json()]
    assert folders == ["Shop"]
    assert modules.read("foreign")["dashboard"]["title"] == "By hand"


def test_folder_of_others_is_used_and_stays(modules: Modules, tree: Path) -> None:
    modules.grafana.ask("POST", "/api/folders", {"title": "Shop", "uid": "theirs"})
    modules.sync(tree, owner="me")
    assert modules.read("orders")["meta"]["folderUid"] == "theirs"
    shutil.rmtree(tree / "Shop")
    assert len(modules.sync(tree, owner="me", prune=True)["deleted"]) == 2
    assert modules.grafana.ask("GET", "/api/folders/theirs").status_code == 200


def test_empty_folder_of_the_other_module_stays(modules: Modules, tree: Path) -> None:
    """Though no tree has a place in it, and it has no UID that somebody chose."""
    made = modules.run(grafana_folder, title="Empty")["uid"]
    modules.sync(tree, owner="me", prune=True)
    assert modules.grafana.ask("GET", f"/api/folders/{made}").status_code == 200
    assert not modules.run(grafana_folder, title="Empty")["changed"]
    assert not modules.sync(tree, owner="me", prune=True)["changed"]


def test_folder_into_which_something_came_meanwhile_stays(
    modules: Modules, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules.sync(tree, owner="me")
    shutil.rmtree(tree / "Shop")
    real = _dashboard_sync.Sync.prune_folders

    def late(sync: t.Any, server: t.Any) -> None:
        (shop,) = server.folders
        theirs = {"dashboard": dashboard("theirs", "By hand"), "folderUid": shop}
        assert modules.grafana.ask("POST", "/api/dashboards/db", theirs).status_code == 200
        real(sync, server)

    monkeypatch.setattr(_dashboard_sync.Sync, "prune_folders", late)
    result = modules.sync(tree, owner="me", prune=True)
    assert result["actions"][-1] == "left the folder Shop: something has come into it"
    assert modules.read("theirs")["meta"]["folderTitle"] == "Shop"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"dashboard": dashboard("other", "At the root")}, "called At the root too: other"),
        ({"dashboard": dashboard("orders", "x", tags=["managed:you"])}, "orders belongs to another owner: you"),
    ],
)
def test_clash_is_refused_before_the_first_write(modules: Modules, tree: Path, there: t.Any, said: str) -> None:
    assert modules.grafana.ask("POST", "/api/dashboards/db", there).status_code == 200
    written = len(modules.grafana.writes())
    result = modules.sync(tree, owner="me")
    assert result["failed"]
    assert said in result["msg"]
    assert len(modules.grafana.writes()) == written


def test_tree_inside_a_folder(modules: Modules, tmp_path: Path) -> None:
    flat = write(tmp_path / "flat", {"a.json": dashboard("a")})
    result = modules.sync(flat, folder="shop")
    assert "there is no folder with the UID shop on the server. What to do: make it first" in result["msg"]
    assert modules.grafana.writes() == []
    modules.run(grafana_folder, title="Shop", uid="shop")
    assert modules.sync(flat, folder="shop")["changed"]
    assert modules.read("a")["meta"]["folderUid"] == "shop"


def test_nested_folders_are_refused_before_version_11(modules: Modules, tmp_path: Path) -> None:
    nested = write(tmp_path / "nested", {"a/b/c.json": dashboard("c")})
    assert "the folder a/b would be inside another one: this is Grafana 9.3.2" in modules.sync(nested)["msg"]
    assert modules.grafana.writes() == []


def test_edit_in_between_is_not_lost(modules: Modules, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody saves after the dashboard was read and before it is written: the server says 412, and so do we."""
    modules.sync(tree)
    write(tree, {"Shop/orders.json": dashboard("orders", "Orders", refresh="1m")})
    real = _dashboard_sync.Sync._save

    def late(sync: t.Any, one: t.Any, earlier: t.Any) -> None:
        theirs = {"dashboard": {**modules.read("orders")["dashboard"], "refresh": "5m"}, "folderUid": one.folder}
        assert modules.grafana.ask("POST", "/api/dashboards/db", theirs).status_code == 200
        real(sync, one, earlier)

    monkeypatch.setattr(_dashboard_sync.Sync, "_save", late)
    result = modules.sync(tree)
    assert "Shop/orders.json (orders): POST" in result["msg"]
    assert "412" in result["msg"]
    assert "What to do: somebody changed it at the same time" in result["msg"]
    assert modules.read("orders")["dashboard"]["refresh"] == "5m"


def test_write_whose_answer_was_lost_is_no_conflict(
    modules: Modules, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _http.Api.post

    def twice(api: t.Any, path: str, body: t.Any = None) -> t.Any:
        real(api, path, body)
        return real(api, path, body) if path == "/api/dashboards/db" else None

    monkeypatch.setattr(_http.Api, "post", twice)
    assert len(modules.sync(tree)["created"]) == 3
    assert modules.read("orders")["dashboard"]["version"] == 1


def test_killed_run_leaves_whole_dashboards_and_the_next_completes_it(
    modules: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panels = [{**dashboard("")["panels"][0], "id": number} for number in range(1, 13)]
    models = {f"d{number}": dashboard(f"d{number}", panels=panels) for number in range(50)}
    many = write(tmp_path / "many", {f"Shop/{uid}.json": model for uid, model in models.items()})
    real, left = _http.Api.post, iter(range(25))

    def until_killed(api: _http.Api, path: str, body: t.Any) -> t.Any:
        """As ever for half of them; then it waits, or it might come to its end before it is killed."""
        if path == "/api/dashboards/db" and next(left, None) is None:
            time.sleep(600)
        return real(api, path, body)

    with monkeypatch.context() as patch:
        patch.setattr(_http.Api, "post", until_killed)
        run = multiprocessing.get_context("fork").Process(target=modules.sync, args=(many,))
        run.start()
    while modules.grafana.writes().count(("POST", "/api/dashboards/db")) < 5 and run.is_alive():
        time.sleep(0.005)
    run.kill()
    run.join()
    assert run.exitcode == -signal.SIGKILL
    there = [one["uid"] for one in modules.grafana.ask("GET", "/api/search?type=dash-db").json()]
    assert 5 <= len(there) < 50
    for uid in there:
        assert clean(modules.read(uid)["dashboard"]) == clean(models[uid])
    result = modules.sync(many)
    # The last request of the killed run may still have been on its way.
    assert result["unchanged"] >= len(there)
    assert (result["unchanged"] + len(result["created"]), result["updated"]) == (50, [])
    assert modules.sync(many)["changed"] is False


def test_what_the_server_rewrites_is_not_written_again(
    modules: Modules, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As newer servers do, which bring a dashboard to their own schema when they give it out."""
    real = _dashboard_sync._read
    monkeypatch.setattr(
        _dashboard_sync,
        "_read",
        lambda answer: real({**answer, "dashboard": {**answer["dashboard"], "schemaVersion": 99}}),
    )
    modules.sync(tree)
    assert modules.sync(tree)["unchanged"] == 3
    monkeypatch.undo()
    edited = {**modules.read("orders")["dashboard"], "title": "Orders!"}
    body = {"dashboard": edited, "folderUid": modules.read("orders")["meta"]["folderUid"]}
    modules.grafana.ask("POST", "/api/dashboards/db", body)
    assert modules.sync(tree)["updated"] == ["orders"]


def test_wrong_password_is_tried_once(modules: Modules, tree: Path) -> None:
    modules.sync(tree)
    for _ in range(3):
        result = modules.sync(tree, user="admin", password="wrong")
        assert "401" in result["msg"]
        assert "What to do: correct user and password" in result["msg"]
    assert not modules.sync(tree)["changed"], "five wrong ones would have locked the account"


def test_token_opens_it(modules: Modules, tree: Path) -> None:
    account = modules.grafana.ask("POST", "/api/serviceaccounts", {"name": "ansible", "role": "Admin"}).json()["id"]
    token = modules.grafana.ask("POST", f"/api/serviceaccounts/{account}/tokens", {"name": "t"}).json()["key"]
    assert modules.sync(tree, token=token)["changed"]
    assert not modules.sync(tree, token=token)["changed"]


def test_token_that_is_gone(modules: Modules, tree: Path) -> None:
    account = modules.grafana.ask("POST", "/api/serviceaccounts", {"name": "ansible", "role": "Admin"}).json()["id"]
    token = modules.grafana.ask("POST", f"/api/serviceaccounts/{account}/tokens", {"name": "t"}).json()
    modules.grafana.ask("DELETE", f"/api/serviceaccounts/{account}/tokens/{token['id']}")
    result = modules.sync(tree, token=token["key"])
    assert "invalid API key. What to do: correct user and password, or the token" in result["msg"]


def test_export(modules: Modules, tree: Path) -> None:
    modules.sync(tree, owner="me")
    modules.grafana.ask("POST", "/api/dashboards/db", {"dashboard": dashboard("foreign", "By hand")})
    assert set(modules.export()) >= {"foreign", "orders", "root"}
    found = modules.export(owner="me")
    assert "foreign" not in found
    assert found["orders"] == {"model": dashboard("orders", "Orders"), "folders": ["Shop"]}
    folder = modules.read("orders")["meta"]["folderUid"]
    assert {tuple(one["folders"]) for one in modules.export(folder=folder).values()} == {()}


def test_tls(tmp_path: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = certificate(SecretsDir(str(tmp_path / "secrets")), "web1", ["localhost", "127.0.0.1"])
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    server = {"protocol": "https", "cert_file": str(tmp_path / "tls.crt"), "cert_key": str(tmp_path / "tls.key")}
    with Grafana(tmp_path / "grafana", Path(HOME) if HOME else None, {"server": server}) as grafana:
        modules = Modules(grafana, capsys)
        assert "the certificate was not accepted" in modules.sync(tree)["msg"]
        assert modules.sync(tree, ca_path=str(tmp_path / "ca.crt"))["changed"]


# --- a folder ---


def test_folder(modules: Modules) -> None:
    wish = {"title": "Shop", "uid": "shop"}
    assert modules.run(grafana_folder, check=True, **wish)["changed"]
    assert modules.grafana.writes() == []
    assert modules.run(grafana_folder, **wish)["changed"]
    assert not modules.run(grafana_folder, **wish)["changed"]
    renamed = modules.run(grafana_folder, title="Store", uid="shop")
    assert renamed["changed"]
    assert "title: Shop" in renamed["diff"]["before"]
    assert "title: Store" in renamed["diff"]["after"]
    assert modules.run(grafana_folder, title="Store")["uid"] == "shop", "found by its title"
    result = modules.run(grafana_folder, title="Store", uid="other")
    assert "there is a folder Store already, with the UID shop" in result["msg"]
    assert modules.run(grafana_folder, uid="shop", state="absent")["changed"]
    assert not modules.run(grafana_folder, uid="shop", state="absent")["changed"]


def test_folder_with_something_in_it_stays(modules: Modules, tree: Path) -> None:
    modules.sync(tree)
    result = modules.run(grafana_folder, title="Shop", state="absent")
    assert "the folder Shop is not empty: Orders, Stock. What to do: move these elsewhere" in result["msg"]
    assert modules.run(grafana_folder, title="Shop", state="absent", remove_contents=True)["changed"]
    assert modules.grafana.ask("GET", "/api/dashboards/uid/orders").status_code == 404


def test_folder_that_somebody_renames_in_between_keeps_their_title(
    modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules.run(grafana_folder, title="Shop", uid="shop")
    real = _http.Api.put

    def late(api: t.Any, path: str, body: t.Any = None) -> t.Any:
        theirs = {"title": "Theirs", "version": 1}
        assert modules.grafana.ask("PUT", "/api/folders/shop", theirs).status_code == 200
        return real(api, path, body)

    monkeypatch.setattr(_http.Api, "put", late)
    result = modules.run(grafana_folder, title="Store", uid="shop")
    assert "412" in result["msg"]
    assert "What to do: somebody changed it at the same time" in result["msg"]
    assert modules.grafana.ask("GET", "/api/folders/shop").json()["title"] == "Theirs"


def test_folder_in_a_folder_needs_version_11(modules: Modules) -> None:
    assert "from version 11 on" in modules.run(grafana_folder, title="A", parent="b")["msg"]


# --- a data source ---

SOURCE = {
    "uid": "prom",
    "name": "Prometheus",
    "type": "prometheus",
    "datasource_url": "http://127.0.0.1:9090",
    "basic_auth_user": "monitoring",
    "json_data": {"timeInterval": "15s"},
    "secure_json_data": {"basicAuthPassword": "first-secret"},
}


def test_datasource_is_written_when_it_differs(modules: Modules) -> None:
    assert modules.run(grafana_datasource, check=True, **SOURCE)["changed"]
    assert modules.grafana.writes() == []
    first = modules.run(grafana_datasource, **SOURCE)
    assert first["datasource"]["secureJsonFields"] == {"basicAuthPassword": True}
    assert not modules.run(grafana_datasource, **SOURCE)["changed"]
    other = {**SOURCE, "json_data": {"timeInterval": "30s"}}
    result = modules.run(grafana_datasource, **other)
    assert '"30s"' in result["diff"]["after"]
    assert "secrets" not in result["diff"]["after"]
    assert not modules.run(grafana_datasource, **other)["changed"]
    assert len(modules.grafana.writes()) == 2


def test_secret_is_written_when_it_changes_and_only_then(modules: Modules) -> None:
    modules.run(grafana_datasource, **SOURCE)
    other = {**SOURCE, "secure_json_data": {"basicAuthPassword": "second-secret"}}
    result = modules.run(grafana_datasource, **other)
    assert result["changed"]
    assert "secrets: basicAuthPassword (new)" in result["diff"]["after"]
    assert "second-secret" not in json.dumps(result)
    assert not modules.run(grafana_datasource, **other)["changed"]
    assert not modules.run(grafana_datasource, **{**other, "secure_json_data": None})["changed"], "not asked about"


def test_secret_that_may_have_been_changed_by_hand_is_written_again(modules: Modules) -> None:
    modules.run(grafana_datasource, **SOURCE)
    source = modules.grafana.ask("GET", "/api/datasources/uid/prom").json()
    body = {**source, "secureJsonData": {"basicAuthPassword": "by hand"}}
    assert modules.grafana.ask("PUT", "/api/datasources/uid/prom", body).status_code == 200
    assert modules.run(grafana_datasource, **SOURCE)["changed"]
    assert not modules.run(grafana_datasource, **SOURCE)["changed"]


def test_mark_does_not_tell_the_secret(modules: Modules) -> None:
    """Two data sources with one secret have different marks, and another login does not verify them."""
    marks = set()
    for uid in ("a", "b"):
        modules.run(grafana_datasource, **{**SOURCE, "uid": uid, "name": uid})
        marks.add(modules.grafana.ask("GET", f"/api/datasources/uid/{uid}").json()["jsonData"]["opswatchSecrets"])
    assert len(marks) == 2
    assert not any("first-secret" in mark for mark in marks)


def test_datasource_goes(modules: Modules) -> None:
    modules.run(grafana_datasource, **SOURCE)
    assert modules.run(grafana_datasource, uid="prom", state="absent")["changed"]
    assert not modules.run(grafana_datasource, uid="prom", state="absent")["changed"]


def test_datasource_with_a_name_that_is_taken(modules: Modules) -> None:
    modules.run(grafana_datasource, **SOURCE)
    result = modules.run(grafana_datasource, **{**SOURCE, "uid": "other"})
    assert "there is a data source Prometheus already, with the UID prom" in result["msg"]
    modules.run(grafana_datasource, **{**SOURCE, "uid": "other", "name": "Other"})
    written = len(modules.grafana.writes())
    result = modules.run(grafana_datasource, **{**SOURCE, "uid": "other"})
    assert "there is a data source Prometheus already, with the UID prom" in result["msg"]
    assert len(modules.grafana.writes()) == written


def test_datasource_that_somebody_edits_in_between_keeps_their_edit(
    modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules.run(grafana_datasource, **SOURCE)
    real = grafana_datasource.write

    def late(grafana: t.Any, body: t.Any, found: t.Any) -> t.Any:
        assert modules.grafana.ask("PUT", "/api/datasources/uid/prom", {**found, "url": "http://theirs"}).ok
        return real(grafana, body, found)

    monkeypatch.setattr(grafana_datasource, "write", late)
    result = modules.run(grafana_datasource, **{**SOURCE, "json_data": {"timeInterval": "30s"}})
    assert "409" in result["msg"]
    assert "What to do: somebody changed it at the same time" in result["msg"]
    assert modules.grafana.ask("GET", "/api/datasources/uid/prom").json()["url"] == "http://theirs"


def test_datasource_of_a_file_is_explained(
    tmp_path: Path, modules: Modules, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = modules.grafana.folder / "provisioning/datasources"
    folder.mkdir(parents=True)
    source = {"name": "Prometheus", "uid": "prom", "type": "prometheus", "access": "proxy", "url": "http://127.0.0.1:1"}
    (folder / "a.yaml").write_text(json.dumps({"apiVersion": 1, "datasources": [source]}))
    modules.grafana.stop()
    modules.grafana.start()
    for wish in (SOURCE, {"uid": "prom", "state": "absent"}):
        result = modules.run(grafana_datasource, **wish)
        assert "cannot be changed through the API: it is provisioned by a file on the server" in result["msg"]
    same = {"uid": "prom", "name": "Prometheus", "type": "prometheus", "datasource_url": "http://127.0.0.1:1"}
    assert not modules.run(grafana_datasource, **same)["changed"]


# --- what is read ---


def test_dashboards_info(modules: Modules, tree: Path) -> None:
    modules.sync(tree, owner="me")
    result = modules.run(grafana_dashboards_info)
    titles = [(one["folder_title"], one["title"]) for one in result["dashboards"]]
    assert titles == [("", "At the root"), ("Shop", "Orders"), ("Shop", "Stock")]
    assert [one["title"] for one in result["folders"]] == ["Shop"]
    (one,) = modules.run(grafana_dashboards_info, owner="me", folder="", content=True)["dashboards"]
    assert (one["uid"], one["version"], one["provisioned"]) == ("root", 1, "")
    assert one["model"]["tags"] == ["x", "managed:me"]
    assert modules.run(grafana_dashboards_info, owner="you")["dashboards"] == []


def test_health_info(modules: Modules, closed_port: int) -> None:
    result = modules.run(grafana_health_info)
    assert (result["ok"], result["version"], result["database"]) == (True, "9.3.2", "ok")
    modules.run(grafana_datasource, **{**SOURCE, "datasource_url": f"http://127.0.0.1:{closed_port}"})
    result = modules.run(grafana_health_info, datasources=True)
    (source,) = result["datasources"]
    assert (result["ok"], source["uid"], source["status"]) == (False, "prom", "error")
    assert source["message"]


def test_nobody_is_there(modules: Modules) -> None:
    modules.grafana.stop()
    result = modules.run(grafana_health_info)
    assert "no connection, or it was cut" in result["msg"]
    modules.grafana.start()


# --- what the role calls: all of it in one ---


@pytest.fixture
def admin(modules: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    layout = Layout("grafana", str(tmp_path / "host"))
    Path(layout.current).mkdir(parents=True)
    monkeypatch.setattr(grafana_admin, "Layout", lambda _name: layout)

    def run(check: bool = False, password: str = PASSWORD, **trees: Path) -> dict[str, t.Any]:
        brought = [
            {"path": str(tree), "owner": owner, "tree": packed_tree(right_tree(tree))} for owner, tree in trees.items()
        ]
        return modules.run(grafana_admin, check, user="admin", password=password, dashboards=brought)

    return run


def test_login_token_and_dashboards_at_once(
    admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other", {"costs.json": dashboard("costs", "Costs")})
    result = admin(shop=tree, money=other)
    assert result["changed"]
    assert result["actions"][0] == "noted the password that was proved"
    assert "created Shop/orders.json (Orders) in Shop" in result["actions"]
    assert "created costs.json (Costs) in the root" in result["actions"]
    assert [len(modules.export(owner=owner)) for owner in ("shop", "money")] == [3, 1]
    assert result["diff"][1]["after_header"] == "folder Shop"
    asked = len(modules.grafana.asked())
    again = admin(shop=tree, money=other)
    assert (again["changed"], again["actions"]) == (False, [])
    assert len(modules.grafana.asked()) - asked == 7, "login, token, one listing, and each dashboard once"


@pytest.fixture
def brought(admin: t.Callable[..., dict[str, t.Any]], tree: Path, tmp_path: Path) -> Host:
    """A host on which the dashboards of a shop were brought, twice, as the first time makes the token."""
    for _run in range(2):
        admin(shop=tree)
    return Host(Layout("grafana", str(tmp_path / "host")))


def test_what_was_brought_is_seen_without_being_told(brought: Host, modules: Modules, tree: Path) -> None:
    seen = look(brought)
    assert seen
    trees = [{"path": str(tree), "owner": "shop", "tree": packed_tree(right_tree(tree))}]
    told = {"url": modules.grafana.url, "timeout": 10.0, "user": "admin", "password": PASSWORD, "dashboards": trees}
    wanted = {**{name: one.get("default") for name, one in OPTIONS.items()}, **told}
    assert seen["mark"] == mark(wanted, seen["salt"])
    assert seen["token_file"] == brought.token_file
    for name, value in {"password": "another one", "user": "root", "datasources": ["mine"], "dashboards": []}.items():
        assert mark({**wanted, name: value}, seen["salt"]) != seen["mark"]


def test_what_was_brought_is_kept_for_root_alone_and_without_the_password(brought: Host) -> None:
    kept = Path(brought.brought_file)
    assert PASSWORD not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_brought_is_noted_once(
    brought: Host, admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path
) -> None:
    os.utime(brought.brought_file, (1, 1))
    admin(shop=tree)
    write(tree, {"root.json": dashboard("root", "Another title")})
    admin(True, shop=tree)
    assert os.stat(brought.brought_file).st_mtime == 1, "neither one that changes nothing, nor one in check mode"
    admin(shop=tree)
    assert os.stat(brought.brought_file).st_mtime != 1
    assert look(brought)


@pytest.mark.parametrize("harm", ["dashboard", "password", "token", "note", "dead", "no library"])
def test_where_something_may_have_to_be_done_nothing_is_said(
    harm: str, brought: Host, modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    match harm:
        case "dashboard":
            model = modules.read("orders")["dashboard"]
            model["panels"][0]["title"] = "by hand"
            modules.grafana.ask("POST", "/api/dashboards/db", {"dashboard": model, "overwrite": True})
        case "password":
            change = {"oldPassword": PASSWORD, "newPassword": "by hand", "confirmNew": "by hand"}
            assert modules.grafana.ask("PUT", "/api/user/password", change).status_code == 200
        case "token":
            os.remove(brought.token_file)
        case "note":
            os.truncate(brought.brought_file, 100)
        case "dead":
            modules.grafana.stop()
        case "no library":
            monkeypatch.setattr(_http, "REQUESTS_ERROR", "no module named requests")
    assert look(brought) is None
    if harm == "dead":
        modules.grafana.start()
        assert look(brought), "it is still what was brought"


def test_a_login_that_is_refused_is_tried_once(
    brought: Host, admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path
) -> None:
    """Until the task has proved one: five lock the account."""
    change = {"oldPassword": PASSWORD, "newPassword": "by hand", "confirmNew": "by hand"}
    assert modules.grafana.ask("PUT", "/api/user/password", change).status_code == 200
    assert look(brought) is None
    asked = len(modules.grafana.asked())
    assert look(brought) is None
    assert len(modules.grafana.asked()) == asked
    admin(password="by hand", shop=tree)
    assert look(brought)


def test_another_generation_is_not_asked(
    brought: Host, admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path
) -> None:
    """It may listen elsewhere, and somebody else where it did."""
    Path(brought.layout.current, "manifest.json").write_text(json.dumps({"version": "9.3.2", "files": []}))
    asked = len(modules.grafana.asked())
    assert look(brought) is None
    assert len(modules.grafana.asked()) == asked
    admin(shop=tree)
    assert look(brought)


def test_what_fails_is_not_what_was_brought(
    brought: Host, admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other", {"x.json": dashboard("orders", "x")})
    assert "belongs to another owner" in admin(shop=tree, money=other)["msg"]
    assert look(brought) is None
    assert not os.path.exists(brought.brought_file)
    admin(shop=tree)
    assert look(brought)


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("x.json", dashboard("orders", "x"), "x.json: orders belongs to another owner: shop"),
        ("Shop/x.json", dashboard("x", "Orders"), "another dashboard of that folder is called Orders too: orders"),
        ("At the root/x.json", dashboard("x", "x"), "root.json: a folder is called At the root too"),
    ],
    ids=["uid", "title", "folder"],
)
def test_clash_of_two_trees_is_refused_before_the_first_write(
    admin: t.Callable[..., dict[str, t.Any]],
    modules: Modules,
    tree: Path,
    tmp_path: Path,
    name: str,
    model: t.Any,
    said: str,
) -> None:
    other = write(tmp_path / "other", {name: model, "y.json": dashboard("y")})
    result = admin(shop=tree, money=other)
    assert result["failed"]
    assert said in result["msg"]
    assert not {path for _method, path in modules.grafana.writes()} & {"/api/folders", "/api/dashboards/db"}
    (other / name).unlink()
    assert len(admin(shop=tree, money=other)["diff"]) == 6, "the login, a folder, three dashboards and one"


def test_trees_share_a_folder(
    admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path, tmp_path: Path
) -> None:
    """Made once; it goes with the last dashboard in it, and not while another tree needs it."""
    other = write(tmp_path / "other", {"Shop/costs.json": dashboard("costs", "Costs"), "y.json": dashboard("y")})
    assert admin(shop=tree, money=other)["actions"].count("created folder Shop") == 1
    assert not admin(shop=tree, money=other)["changed"]
    shutil.rmtree(tree / "Shop")
    admin(shop=tree, money=other)
    assert modules.read("costs")["meta"]["folderTitle"] == "Shop"
    shutil.rmtree(other / "Shop")
    assert set(admin(shop=tree, money=other)["actions"]) == {"deleted Costs from Shop", "deleted folder Shop"}


def test_dashboard_that_moves_to_another_tree_keeps_its_history(
    admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path, tmp_path: Path
) -> None:
    """To a later one, and to an earlier one."""
    other = write(tmp_path / "other", {"y.json": dashboard("y")})
    admin(shop=tree, money=other)
    first = modules.read("orders")["dashboard"]
    for version, place, owner in ((2, other, "money"), (3, tree / "Shop", "shop")):
        (path,) = tmp_path.rglob("orders.json")
        path.rename(place / "orders.json")
        (action,) = admin(shop=tree, money=other)["actions"]
        assert action.startswith("updated ")
        moved = modules.read("orders")["dashboard"]
        assert (moved["id"], moved["version"], moved["tags"]) == (first["id"], version, ["x", f"managed:{owner}"])
        assert not admin(shop=tree, money=other)["changed"]


def test_dashboards_of_one_owner_that_are_gone_are_removed(
    admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other", {"costs.json": dashboard("costs", "Costs")})
    admin(shop=tree, money=other)
    (tree / "Shop/orders.json").unlink()
    assert admin(check=True, shop=tree, money=other)["actions"] == ["deleted Orders from Shop"]
    assert admin(shop=tree, money=other)["actions"] == ["deleted Orders from Shop"]
    assert set(modules.export(owner="money")) == {"costs"}


def test_what_is_left_alone_is_no_change(
    admin: t.Callable[..., dict[str, t.Any]], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said each time, and changed never: else no run would be without a change any more."""

    def refuse(_grafana: t.Any, _uid: str) -> None:
        raise _http.ApiError("DELETE", "folder contains alert rules", "", 400)

    admin(shop=tree)
    shutil.rmtree(tree / "Shop")
    monkeypatch.setattr(_dashboard_sync, "delete_folder", refuse)
    assert admin(shop=tree)["changed"]
    again = admin(shop=tree)
    assert again["actions"] == ["left the folder Shop: folder contains alert rules"]
    assert not again["changed"]


def test_what_was_done_before_a_refusal_is_said(
    admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path
) -> None:
    twin = dashboard("another", "At the root")
    modules.grafana.ask("POST", "/api/dashboards/db", json={"dashboard": twin, "folderUid": ""})
    written = len(modules.grafana.writes())
    result = admin(shop=tree)
    assert result["failed"]
    assert "At the root" in result["msg"]
    assert result["actions"][0] == "noted the password that was proved"
    # The service account and its token, and none of the tree.
    assert {path for _method, path in modules.grafana.writes()[written:]} <= {
        "/api/serviceaccounts",
        "/api/serviceaccounts/1/tokens",
        "/api/serviceaccounts/2/tokens",
    }


def test_in_check_mode_nobody_is_asked_without_a_token(
    admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path
) -> None:
    result = admin(check=True, shop=tree)
    assert not result["ready"]
    assert modules.grafana.writes() == []


def test_in_check_mode_an_address_that_is_about_to_change_is_no_failure(
    admin: t.Callable[..., dict[str, t.Any]], modules: Modules, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    modules.grafana.stop()
    result = admin(check=True, shop=tree)
    assert (result["changed"], result["ready"]) == (False, False)
    assert "is not known, as Grafana did not answer" in warnings[0]
    assert admin(shop=tree)["failed"]
    modules.grafana.start()


@pytest.mark.parametrize(("status", "is_known"), [(400, False), (404, False), (301, False), (401, True), (500, True)])
def test_in_check_mode_another_server_at_the_old_address(
    admin: t.Callable[..., dict[str, t.Any]], monkeypatch: pytest.MonkeyPatch, status: int, is_known: bool
) -> None:
    def answer(_self: t.Any) -> bool:
        raise _http.ApiError("GET", "no", "", status)

    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, _text: None)
    monkeypatch.setattr(Administrator, "ensure_login", answer)
    assert admin(check=True).get("failed", False) == is_known
    assert admin()["failed"]


# --- whole runs ---


class Playbook:
    """One task in an C(ansible-playbook) of its own."""

    def __init__(self, folder: Path, grafana: Grafana) -> None:
        self.folder = folder
        self.grafana = grafana

    def run(self, *arguments: str, **options: t.Any) -> tuple[int, str]:
        return self.tasks(options, arguments=arguments)

    def tasks(self, *wishes: dict[str, t.Any], arguments: t.Sequence[str] = ()) -> tuple[int, str]:
        """Several in one run, each whatever comes of those before it."""
        login = {"url": self.grafana.url, "user": "admin", "password": PASSWORD}
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "connection": "local",
            "vars": {"ansible_python_interpreter": sys.executable},
            "ignore_errors": len(wishes) > 1,
            "tasks": [{"opswatch.monitoring.grafana_dashboards": {**login, **wish}} for wish in wishes],
        }
        (self.folder / "play.yml").write_text(json.dumps([play]))
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "-i",
                "localhost,",
                self.folder / "play.yml",
                *arguments,
            ],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_REMOTE_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_NOCOLOR": "1",
            },
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def playbook(tmp_path: Path, grafana: Grafana) -> Playbook:
    return Playbook(tmp_path, grafana)


def test_whole_runs(playbook: Playbook, tree: Path) -> None:
    code, output = playbook.run("--diff", path=str(tree), owner="me", prune=True)
    assert code == 0, output
    assert "changed=1" in output
    assert "+title: Orders" in output
    written = len(playbook.grafana.writes())
    code, output = playbook.run("-vvv", path=str(tree), owner="me", prune=True)
    assert code == 0, output
    assert "changed=0" in output
    assert len(playbook.grafana.writes()) == written == 4
    assert PASSWORD not in output
    assert not [path for path in (playbook.folder / "tmp").rglob("*") if path.is_file()], "nothing is left on the disk"


def test_what_is_refused_on_the_control_node(playbook: Playbook, tree: Path) -> None:
    """All problems of the files at once, and options that do not go together; Grafana is not even asked."""
    (playbook.folder / "empty").mkdir()
    (tree / "bad.json").write_text('{"title": "Bad",\n  "panels": [}')
    (tree / "Shop/worse.json").write_text("{}")
    wishes: list[dict[str, t.Any]] = [
        {"path": str(tree)},
        {"path": str(tree), "state": "exported"},
        {"path": "nowhere"},
        {"path": "empty", "prune": True},
        {"path": "empty"},
        {"path": "empty", "token": "x"},
        {"path": "play.yml"},
    ]
    _code, output = playbook.tasks(*wishes)
    assert f"ignored={len(wishes)}" in output
    assert output.count(f"{tree}/bad.json:2:14: no JSON") >= 2
    for said in (
        f"{tree}/Shop/worse.json: the dashboard has no title",
        "Nothing was changed, as 2 files are not right",
        "nowhere",
        "prune needs an owner",
        "There is no dashboard in",
        "mutually exclusive",
        "play.yml is no folder",
    ):
        assert said in output, said
    assert playbook.grafana.asked() == []


def test_export_writes_the_files_that_differ(playbook: Playbook, modules: Modules, tree: Path) -> None:
    modules.sync(tree, owner="me")
    theirs = {"dashboard": {**modules.read("root")["dashboard"], "refresh": "5m"}}
    assert modules.grafana.ask("POST", "/api/dashboards/db", theirs).status_code == 200
    stock = (tree / "Shop/stock.json").read_text()
    code, output = playbook.run("--check", "--diff", path=str(tree), owner="me", state="exported")
    assert code == 0, output
    assert '+refresh: "5m"' in output
    assert "refresh" not in (tree / "root.json").read_text(), "check mode"
    code, output = playbook.run(path=str(tree), owner="me", state="exported")
    assert "changed=1" in output
    assert json.loads((tree / "root.json").read_text()) == dashboard("root", "At the root", refresh="5m")
    assert (tree / "Shop/stock.json").read_text() == stock, "equal in content, so untouched"
    assert not modules.sync(tree, owner="me")["changed"]


def test_two_runs_at_once_leave_one_whole_state(playbook: Playbook, modules: Modules, tree: Path) -> None:
    """The same tree from two sides: whatever the second one says, the state is right and stays so."""
    threads = [threading.Thread(target=playbook.run, kwargs={"path": str(tree)}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    modules.sync(tree)
    assert not modules.sync(tree)["changed"]
