# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in against every exchange that was recorded with the real Grafana 9.3.2, in their order."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import sqlite3
import subprocess
import sys
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.standins.server import PASSWORD, STANDIN, Grafana

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures/http/grafana-9.3.2.jsonl"
EXCHANGES = [json.loads(line) for line in FIXTURE.read_text().splitlines()]
# The recording was made in three sittings, each with a Grafana of its own.
PROVISIONED = [one for one in EXCHANGES if "a provisioned da" in one["note"]]
PASSWORDS = EXCHANGES[EXCHANGES.index(PROVISIONED[-1]) + 1 :]
PLAIN = EXCHANGES[: EXCHANGES.index(PROVISIONED[0])]

# What another run has otherwise: only its type is compared.
VOLATILE = {
    "avatarUrl",
    "commit",
    "created",
    "dashboardId",
    "folderId",
    "id",
    "key",
    "lastSeenAt",
    "lastSeenAtAge",
    "typeLogoUrl",
    "updated",
    "userId",
}


class Prometheus(http.server.BaseHTTPRequestHandler):
    """What a query through a data source reaches."""

    def do_GET(self) -> None:
        broken = self.path.endswith("up%7B")
        text = 'invalid parameter "query": 1:4: parse error: unexpected end of input inside braces'
        body = {"status": "error", "errorType": "bad_data", "error": text} if broken else {"status": "success"}
        self.send_response(400 if broken else 200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: t.Any) -> None:
        pass


@pytest.fixture(scope="module")
def prometheus() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_nothing_recorded_is_left_out() -> None:
    assert [*PLAIN, *PROVISIONED, *PASSWORDS] == EXCHANGES


def differences(recorded: t.Any, seen: t.Any, way: str = "") -> Iterator[str]:
    """Where an answer is not like the recorded one; what is volatile is compared by its type."""
    if isinstance(recorded, dict) and isinstance(seen, dict):
        if recorded.keys() != seen.keys():
            yield f"{way}: keys {sorted(recorded.keys() ^ seen.keys())}"
        for key in recorded.keys() & seen.keys():
            if key not in VOLATILE:
                yield from differences(recorded[key], seen[key], f"{way}.{key}")
            elif type(recorded[key]) is not type(seen[key]):
                yield f"{way}.{key}: {recorded[key]!r} is {seen[key]!r}"
    elif isinstance(recorded, list) and isinstance(seen, list) and len(recorded) == len(seen):
        for number, pair in enumerate(zip(recorded, seen, strict=True)):
            yield from differences(*pair, f"{way}[{number}]")
    elif recorded != seen:
        yield f"{way}: {recorded!r} is {seen!r}"


def replay(grafana: Grafana, exchange: dict[str, t.Any], prometheus: str = "", **more: t.Any) -> None:
    """Asks the recorded question; its Prometheus is at another address today, and so are its numbers."""

    def moved(data: t.Any) -> t.Any:
        return json.loads(json.dumps(data).replace("http://127.0.0.1:21009", prometheus))

    path = exchange["path"]
    if path == "/api/serviceaccounts/2/tokens":
        (account,) = grafana.ask("GET", "/api/serviceaccounts/search").json()["serviceAccounts"]
        path = f"/api/serviceaccounts/{account['id']}/tokens"
    asked = exchange["request"] if isinstance(exchange["request"], str) else moved(exchange["request"])
    answer = grafana.ask(exchange["method"], path, asked, params=exchange["params"], **more)
    assert answer.status_code == exchange["status"], answer.text
    if exchange["response"] != "(large)":
        assert list(differences(moved(exchange["response"]), answer.json())) == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    with Grafana(tmp_path_factory.mktemp("plain")) as grafana:
        yield grafana


@pytest.mark.parametrize("exchange", PLAIN, ids=lambda one: one["note"])
def test_plain(plain: Grafana, prometheus: str, exchange: dict[str, t.Any]) -> None:
    """One after the other, as they were recorded: each builds on those before it."""
    wrong = {"auth": ("admin", "wrong")} if exchange["note"] == "wrong password" else {}
    if exchange["note"] == "change the admin password as admin":
        exchange = {**exchange, "request": {"password": PASSWORD}}
    replay(plain, exchange, prometheus, **wrong)


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    folder = tmp_path_factory.mktemp("provisioned")
    files = {
        "files/a.json": {"uid": "prov1", "title": "Prov 1", "schemaVersion": 37, "panels": []},
        "provisioning/dashboards/a.yaml": {
            "apiVersion": 1,
            "providers": [
                {
                    "name": "a",
                    "folder": "Provisioned",
                    "folderUid": "wHirf4ROz",
                    "type": "file",
                    "options": {"path": str(folder / "files")},
                }
            ],
        },
        "provisioning/datasources/a.yaml": {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "ProvProm",
                    "uid": "provprom",
                    "type": "prometheus",
                    "access": "proxy",
                    "url": "http://127.0.0.1:1",
                }
            ],
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    with Grafana(folder) as grafana:
        yield grafana


@pytest.mark.parametrize("exchange", PROVISIONED, ids=lambda one: one["note"])
def test_provisioned(provisioned: Grafana, exchange: dict[str, t.Any]) -> None:
    replay(provisioned, exchange)


# --- passwords ---


@pytest.mark.parametrize("exchange", PASSWORDS, ids=lambda one: one["note"])
def test_passwords(tmp_path: Path, exchange: dict[str, t.Any]) -> None:
    """Each in a Grafana whose configuration or command line was just used to change the password."""
    grafana = Grafana(tmp_path)
    with grafana:
        note = exchange["note"]
        if note.startswith("grafana-cli"):
            tool = tmp_path / "grafana-cli"
            tool.symlink_to(STANDIN)
            command = [sys.executable, str(tool), "--homepath", str(tmp_path), "admin", "reset-admin-password", "new"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert "changed successfully" in done.stdout
        elif note.startswith("security.admin_password"):
            grafana.stop()
            grafana.settings["security"] = {"admin_password": "new"}
            grafana.start()
        else:
            for _ in range(7):
                assert grafana.ask("GET", "/api/org", auth=("admin", "wrong")).status_code == 401
        is_new = note.endswith("the new one") or "the new one," in note
        replay(grafana, exchange, auth=("admin", "new" if is_new else PASSWORD))


def test_five_wrong_logins_lock_the_account_through_a_restart(tmp_path: Path) -> None:
    with Grafana(tmp_path) as grafana:
        for _ in range(4):
            assert grafana.ask("GET", "/api/org", auth=("admin", "wrong")).status_code == 401
        assert grafana.ask("GET", "/api/org").status_code == 200, "four are forgiven"
        assert grafana.ask("GET", "/api/org", auth=("admin", "wrong")).status_code == 401
        assert grafana.ask("GET", "/api/org").status_code == 401
        grafana.stop()
        grafana.start()
        assert grafana.ask("GET", "/api/org").status_code == 401, "it is in the database"
        assert grafana.ask("GET", "/api/health", auth=None).status_code == 200


def test_password_can_be_reset_on_disk(tmp_path: Path) -> None:
    with Grafana(tmp_path) as grafana:
        grafana.stop()
        hashed = hashlib.pbkdf2_hmac("sha256", b"other", b"salz", 10000, 50).hex()
        database = sqlite3.connect(tmp_path / "data/grafana.db")
        database.execute("UPDATE user SET password = ?, salt = 'salz' WHERE login = 'admin'", (hashed,))
        database.commit()
        database.close()
        grafana.start()
        assert grafana.ask("GET", "/api/org", auth=("admin", "other")).status_code == 200


def test_token_opens_as_long_as_it_exists(tmp_path: Path) -> None:
    with Grafana(tmp_path) as grafana:
        account = grafana.ask("POST", "/api/serviceaccounts", {"name": "ansible", "role": "Admin"}).json()["id"]
        token = grafana.ask("POST", f"/api/serviceaccounts/{account}/tokens", {"name": "t"}).json()
        asked = {"auth": None, "timeout": 10}
        headers = {"Authorization": f"Bearer {token['key']}"}
        assert requests.get(f"{grafana.url}/api/org", headers=headers, timeout=30).status_code == 200
        grafana.ask("DELETE", f"/api/serviceaccounts/{account}/tokens/{token['id']}")
        # Measured, 9.3.2: 500, as of every token of the right form that is not in its database.
        assert requests.get(f"{grafana.url}/api/org", headers=headers, timeout=30).status_code == 500
        headers["Authorization"] = "Bearer nonsense"
        assert requests.get(f"{grafana.url}/api/org", headers=headers, timeout=30).status_code == 401
        assert grafana.ask("GET", "/api/org", **asked).status_code == 401, "no login at all"


# --- what comes before the API ---


def test_metrics_want_their_own_password(tmp_path: Path) -> None:
    settings = {"metrics": {"basic_auth_username": "prometheus", "basic_auth_password": "m"}}
    with Grafana(tmp_path, settings=settings) as grafana:
        assert grafana.ask("GET", "/metrics", auth=None).status_code == 401
        assert grafana.ask("GET", "/metrics").status_code == 401, "the administrator's does not open them"
        answer = grafana.ask("GET", "/metrics", auth=("prometheus", "m"))
        assert "grafana_build_info" in answer.text


def test_it_is_served_below_a_path(tmp_path: Path) -> None:
    settings = {"server": {"root_url": "http://example.com/grafana/", "serve_from_sub_path": "true"}}
    with Grafana(tmp_path, settings=settings) as grafana:
        assert grafana.ask("GET", "/grafana/api/org").status_code == 200
        answer = grafana.ask("GET", "/grafana/", auth=None, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/grafana/login")


def test_secret_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    settings = {"security": {"admin_password": f"$__file{{{tmp_path}/password}}"}}
    with Grafana(tmp_path, settings=settings) as grafana:
        assert grafana.ask("GET", "/api/org", auth=("admin", "from a file")).status_code == 200


def test_it_says_that_it_is_a_stand_in() -> None:
    done = subprocess.run([sys.executable, str(STANDIN), "-v"], capture_output=True, text=True, check=True)
    assert re.match(r"Version 9\.3\.2 \(.*stand-in", done.stdout)


def test_unknown_flag_ends_it() -> None:
    done = subprocess.run([sys.executable, str(STANDIN), "-nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "-nonsense" in done.stderr


def test_provisioning_replaces_files_then_variables(tmp_path: Path) -> None:
    """As the real one: a dollar sign in a secret would be a variable, so it is written as one that holds it."""
    (tmp_path / "secret").write_text("pa${DOLLAR}word $gone\n")
    source = {
        "name": "P$$1",
        "uid": "p",
        "type": "prometheus",
        "secureJsonData": {"x": f"$__file{{{tmp_path}/secret}}"},
    }
    folder = tmp_path / "grafana/provisioning/datasources"
    folder.mkdir(parents=True)
    (folder / "x.yml").write_text(json.dumps({"datasources": [source]}))
    with Grafana(tmp_path / "grafana", environment={"DOLLAR": "$"}) as grafana:
        assert [one["name"] for one in grafana.ask("GET", "/api/datasources").json()] == ["P$1"]
        with sqlite3.connect(grafana.folder / "data/grafana.db") as database:
            (held,) = database.execute("SELECT secure FROM data_source").fetchone()
    assert json.loads(held) == {"x": "pa$word "}
