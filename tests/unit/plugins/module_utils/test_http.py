# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of all API modules, against a real HTTP server: what it asks again, and what its errors say."""

from __future__ import annotations

import json
import time
import typing as t
from types import SimpleNamespace

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _grafana_api, _http
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError


def api(url: str, **more: t.Any) -> _http.Api:
    return _http.Api("Grafana", url, timeout=20, **more)


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


def refused(client: _http.Api, path: str = "/api/x") -> _http.ApiError:
    with pytest.raises(_http.ApiError) as error:
        client.get(path)
    return error.value


def test_answer_is_parsed(site: t.Any) -> None:
    site.pages = {"/api/x?a=1": b'{"a": [1, 2]}', "/api/empty": b""}
    assert api(site.url).get("/api/x", {"a": 1}) == {"a": [1, 2]}
    assert api(f"{site.url}/").get("/api/empty") is None


def test_login_is_sent(site: t.Any) -> None:
    site.login = "admin:gänse"
    site.pages = {"/api/x": b"{}"}
    assert api(site.url, user="admin", password="gänse").get("/api/x") == {}
    site.login = ""
    api(site.url, token="glsa_1").get("/api/x")
    assert site.headers[-1]["Authorization"] == "Bearer glsa_1"


def test_environment_decides_nothing(site: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    site.pages = {"/api/x": b"{}"}
    assert api(site.url).get("/api/x") == {}


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize("status", [429, 502, 503])
def test_what_passes_is_asked_again(site: t.Any, status: int) -> None:
    site.pages = {"/api/x": [(status, b"busy"), (status, b"busy"), (200, b"{}")]}
    assert api(site.url).get("/api/x") == {}
    assert site.asked["/api/x"] == 3


def test_server_says_how_long_to_wait(site: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    site.pages = {"/api/x": [(429, b""), (200, b"{}")]}
    site.extra_headers = {"Retry-After": "7"}
    api(site.url).get("/api/x")
    assert waited == [7]
    site.pages["/api/x"] = [(429, b""), (200, b"{}")]
    site.extra_headers = {"Retry-After": "86400"}
    api(site.url).get("/api/x")
    assert waited == [7, _http.LONGEST_WAIT], "not a day"


@pytest.mark.usefixtures("_no_waiting")
def test_patience_ends(site: t.Any) -> None:
    site.pages = {"/api/x": (503, b'{"message": "starting"}')}
    error = refused(api(site.url))
    assert site.asked["/api/x"] == _http.ATTEMPTS
    assert (error.status, error.seen) == (503, "starting")
    assert "503" in error.what
    assert "5 times" in error.what


@pytest.mark.usefixtures("_no_waiting")
def test_a_grafana_without_its_database_tells_it(site: t.Any) -> None:
    site.pages = {"/api/health": (503, b'{"database": "failing", "version": "12.4.2"}')}
    grafana = _grafana_api.Grafana("Grafana", site.url, timeout=20)
    assert grafana.health(even_unwell=True)["database"] == "failing"
    with pytest.raises(_http.ApiError):
        grafana.health()  # whoever wants to change something
    site.pages = {"/api/health": (503, b'{"message": "starting"}')}
    with pytest.raises(_http.ApiError):
        grafana.health(even_unwell=True)


def test_wrong_login_is_tried_once(site: t.Any) -> None:
    site.pages = {"/api/x": (401, b'{"message": "invalid username or password"}')}
    error = refused(api(site.url, user="a", password="b"))
    assert site.asked["/api/x"] == 1
    assert f"GET {site.url}/api/x was answered with 401 Unauthorized: invalid username or password" in str(error)
    assert "What to do: correct user and password" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            404,
            b'{"message": "folder not found"}',
            "404 Not Found: folder not found. What to do: it may have been removed",
        ),
        (400, b'{"message": "uid too long"}', "correct what the answer names"),
        (400, b'{"message": "Folder not found", "traceID": ""}', "somebody removed the folder at the same time"),
        (400, b'{"message": "x", "status": "name-match"}', "give one of the two another title"),
        (500, b'{"message": "database is locked"}', "look into the log"),
        (403, b'{"message": "Permission denied"}', "the role Admin"),
        (412, b'{"message": "changed", "status": "version-mismatch"}', "somebody changed it at the same time"),
        (412, b'{"message": "taken", "status": "name-exists"}', "give one of the two another title"),
        (422, b'{"error": "many samples"}', "correct what the answer names"),
        (500, b'{"message": "invalid API key"}', "or the token"),
        (500, b'{"message": "x", "status": {"code": 500}}', "look into the log"),
        (200, b"<html>\n<title>Log in</title></html>", "and not with JSON: <html> <title>Log in</title></html>"),
        (200, b"<html>", "a proxy, a login page"),
        (404, b"<html>", "a proxy, a login page"),
        (502, b"<html>Bad Gateway</html>", "the service behind the proxy"),
        (302, b"", "set the address to that of Grafana itself"),
        (409, b'{"results": 1}', '{"results": 1}. What to do: another one has its name'),
    ],
)
@pytest.mark.usefixtures("_no_waiting")
def test_refusals(site: t.Any, status: int, body: bytes, said: str) -> None:
    site.pages = {"/api/x": (status, body)}
    error = refused(connect(site.url))
    assert error.status == status
    assert f"GET {site.url}/api/x was answered with {status}" in str(error)
    assert said in str(error)
    assert "What to do: " in str(error)


def test_redirect_is_not_followed(site: t.Any) -> None:
    site.pages = {"/api/x": (301, b"")}
    site.extra_headers = {"Location": "https://elsewhere.example.com/api/x"}
    error = refused(api(site.url, user="admin", password="secret"))
    assert "Location: https://elsewhere.example.com/api/x" in str(error)


def test_nobody_listens(closed_port: int) -> None:
    error = refused(api(f"http://127.0.0.1:{closed_port}"))
    assert error.status == 0
    assert "Connection refused" in str(error)
    assert "see whether Grafana runs and listens there" in str(error)


def test_too_slow(site: t.Any) -> None:
    site.pages = {"/api/x": lambda: time.sleep(1.5) or b"{}"}
    error = refused(_http.Api("Grafana", site.url, timeout=0.2))
    assert "was not answered within 0.2 s" in str(error)
    assert "raise timeout" in str(error)


def test_certificate_that_names_the_host_and_not_the_address(tls: t.Any) -> None:
    url = f"https://127.0.0.1:{tls.site.port}"
    tls.site.pages = {"/api/x": b"{}"}
    assert api(url, ca_path=tls.ca, server_name="web1").get("/api/x") == {}
    for options in (
        {"ca_path": tls.ca},
        {"ca_path": tls.ca, "server_name": "web2"},
        {"ca_path": tls.other_ca, "server_name": "web1"},
    ):
        assert "the certificate was not accepted" in str(refused(api(url, **options)))


def test_no_tls_there(site: t.Any) -> None:
    error = refused(api(site.url.replace("http:", "https:")))
    assert "the certificate was not accepted, or this is no TLS" in str(error)
    assert "ca_path" in str(error)


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://127.0.0.1", ""])
def test_address_that_is_none(url: str) -> None:
    assert "correct the address" in str(refused(api(url)))


def test_certificates_that_are_not_there(closed_port: int) -> None:
    error = refused(api(f"https://127.0.0.1:{closed_port}", ca_path="/nonexistent/ca.pem"))
    assert "/nonexistent/ca.pem" in str(error)


# --- what is Grafana's own ---


def connect(url: str, **more: t.Any) -> _grafana_api.Grafana:
    return _grafana_api.connect({"url": url, "validate_certs": True, "timeout": 20, **more})


def health(version: str) -> bytes:
    return json.dumps({"database": "ok", "version": version}).encode()


@pytest.mark.parametrize(
    ("text", "version", "nested"),
    [
        ("9.3.2", (9, 3, 2), False),
        ("10.4.1", (10, 4, 1), False),
        ("11.0.0-preview", (11, 0, 0), True),
        ("13.1.0", (13, 1, 0), True),
    ],
)
def test_version(site: t.Any, text: str, version: tuple[int, ...], nested: bool) -> None:
    site.pages = {"/api/health": health(text)}
    grafana = connect(site.url)
    assert (grafana.version, grafana.has_nested_folders) == (version, nested)
    assert site.asked["/api/health"] == 1


def test_version_that_is_hidden(site: t.Any) -> None:
    settings = json.dumps({"buildInfo": {"version": "12.0.1"}}).encode()
    site.pages = {"/api/health": b'{"database": "ok"}', "/api/frontend/settings": settings}
    assert connect(site.url).version == (12, 0, 1)


def test_version_that_is_too_old(site: t.Any) -> None:
    site.pages = {"/api/health": health("8.5.0")}
    with pytest.raises(ComponentError, match=r"is Grafana 8\.5\.0\. What to do: upgrade it"):
        connect(site.url).version  # noqa: B018  # asking is what fails


def test_something_else_is_there(site: t.Any) -> None:
    site.pages = {"/api/health": b'{"status": "UP"}'}
    with pytest.raises(ComponentError, match="is not answered as Grafana does"):
        connect(site.url).health()


def test_token_is_read_from_a_file(site: t.Any, tmp_path: t.Any) -> None:
    (tmp_path / "token").write_text("glsa_2\n")
    site.pages = {"/api/x": b"{}"}
    connect(site.url, token_file=str(tmp_path / "token")).get("/api/x")
    assert site.headers[-1]["Authorization"] == "Bearer glsa_2"


@pytest.mark.parametrize(("text", "said"), [(None, "No such file"), ("\n", "holds no token")])
def test_token_that_is_not_there(tmp_path: t.Any, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "token").write_text(text)
    with pytest.raises(ComponentError, match=said):
        connect("http://127.0.0.1:1", token_file=str(tmp_path / "token"))


def test_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles go by its name, people by that of its package."""
    said: dict[str, t.Any] = {}
    monkeypatch.setattr(_http, "REQUESTS_ERROR", "ImportError")
    _http.require_requests(t.cast(t.Any, SimpleNamespace(fail_json=said.update)))
    assert said["missing_library"] == "requests"
    assert said["msg"].endswith("What to do: install its package python3-requests on that host")
