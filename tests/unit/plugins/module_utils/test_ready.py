# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a component answers."""

from __future__ import annotations

import datetime
import math
import socket
import ssl
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _ready
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._ready import (
    LASTING,
    Answer,
    Endpoint,
    ask,
    metric,
    reload,
    wait_until_ready,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.authority import certificate
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import SecretsDir
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ENDPOINT = Endpoint("http://127.0.0.1:9090", user="monitoring", password="hunter2", progress="/progress")
READY, BUSY, NOTHING = Answer(200, "ready"), Answer(503, "Service Unavailable"), Answer(0, "Connection refused")


class Program:
    """A program that starts, and a clock: each answer is given until its time is up."""

    def __init__(self, *phases: tuple[float, Answer], progress: t.Callable[[float], str] = lambda now: "") -> None:
        self.phases = phases
        self.progress = progress
        self.now = 0.0
        self.asked: list[str] = []
        self.dies_at = math.inf

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.now += seconds

    def ask(self, endpoint: Endpoint, path: str) -> Answer:
        self.asked.append(path)
        if path == endpoint.progress:
            return Answer(200, self.progress(self.now))
        return next((answer for until, answer in self.phases if self.now < until), READY)

    def alive(self) -> None:
        if self.now >= self.dies_at:
            raise ComponentError("app does not stay up", "exit code 1")

    def wait(self, patience: float = 10, endpoint: Endpoint = ENDPOINT, name: str = "") -> None:
        wait_until_ready(endpoint, self.alive, patience, clock=self.clock, sleep=self.sleep, ask=self.ask, name=name)


# --- waiting ---


def test_ready_at_once() -> None:
    program = Program()
    program.wait()
    assert program.asked == ["/-/ready"]
    assert program.now == 0


@pytest.mark.parametrize("before", [BUSY, NOTHING, Answer(404, ""), Answer(302, "")])
def test_ready_after_a_while(before: Answer) -> None:
    program = Program((5, before))
    program.wait()
    assert 5 <= program.now < 7


def test_the_answer_has_to_hold_what_is_expected() -> None:
    settling, settled = Answer(200, '{"status":"settling"}'), Answer(200, '{"status":"ready"}')
    endpoint = replace(ENDPOINT, expect='"status":"ready"', progress="")
    Program((5, settling), (99, settled)).wait(endpoint=endpoint)
    with pytest.raises(ComponentError, match='gave no 200 with \'"status":"ready"\' within 10 s'):
        Program((99, settling)).wait(endpoint=endpoint)


def test_progress_extends_patience() -> None:
    program = Program((100, BUSY), progress=lambda now: f"segment {now // 5}")
    program.wait(patience=10)
    assert program.now >= 100


def test_progress_that_stops_does_not() -> None:
    program = Program((100, BUSY), progress=lambda now: f"segment {min(int(now // 5), 4)}")
    with pytest.raises(ComponentError, match="not ready"):
        program.wait(patience=10)
    assert 30 <= program.now < 33


@pytest.mark.parametrize(("until", "ready"), [(100, True), (20, False)])
def test_of_metrics_some_lines_tell_of_progress(until: int, ready: bool) -> None:
    """Others change whatever it does."""

    def metrics(now: float) -> str:
        help_line = f"# HELP wal_recovered_total {now}"
        return f"{help_line}\nwal_recovered_total {min(now, until)}\nprocess_cpu_seconds_total {now}\n"

    program = Program((100, BUSY), progress=metrics)
    endpoint = replace(ENDPOINT, progress_lines="wal_recovered")
    if ready:
        program.wait(patience=10, endpoint=endpoint)
    else:
        with pytest.raises(ComponentError, match="not ready"):
            program.wait(patience=10, endpoint=endpoint)
        assert 30 <= program.now < 33


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (BUSY, "HTTP 503: Service Unavailable"),
        (NOTHING, "Connection refused"),
        (Answer(500, "x" * 9999), "HTTP 500: x"),
    ],
)
def test_never_ready_tells_the_last_answer(answer: Answer, seen: str) -> None:
    program = Program((999, answer))
    with pytest.raises(
        ComponentError, match=r"not ready: http://127\.0\.0\.1:9090/-/ready gave no 200 within 10 s"
    ) as e:
        program.wait(patience=10, name="prometheus")
    assert e.value.seen.startswith(seen)
    assert len(e.value.seen) < 400
    assert "`journalctl -u prometheus -n 50`" in e.value.remedy
    assert "raise prometheus_ready_timeout" in e.value.remedy
    assert 10 <= program.now < 12


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_not_tried_again(status: int) -> None:
    program = Program((999, Answer(status, "no")))
    with pytest.raises(ComponentError, match="refuses our credentials") as caught:
        program.wait()
    assert program.asked == ["/-/ready"]
    assert f"HTTP {status} for user monitoring" in caught.value.seen
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("answer", [Answer(401, ""), Answer(0, "untrusted", ComponentError("not trusted"))])
def test_refusal_by_another_program(answer: Answer) -> None:
    """It has the port for which ours dies a moment later: the death is what is said."""
    program = Program((999, answer))
    program.dies_at = 1
    with pytest.raises(ComponentError, match="app does not stay up"):
        program.wait(patience=600)


def test_death_is_noticed_while_waiting() -> None:
    program = Program((999, NOTHING))
    program.dies_at = 3
    with pytest.raises(ComponentError, match="app does not stay up"):
        program.wait(patience=600)
    assert program.now < 5


def test_answer_of_a_dead_service_is_none() -> None:
    """Another program may have the port."""
    program = Program()
    program.dies_at = 0
    with pytest.raises(ComponentError, match="app does not stay up"):
        program.wait()


# --- asking ---


def test_ask(site: t.Any) -> None:
    site.pages = {"/prefix/-/ready": b"ready", "/prefix/busy": (503, "später".encode())}
    endpoint = Endpoint(f"{site.url}/prefix")
    assert ask(endpoint, "/-/ready") == Answer(200, "ready")
    assert ask(endpoint, "/busy") == Answer(503, "später")
    assert ask(endpoint, "/none").status == 404
    assert not any("Authorization" in headers for headers in site.headers)


def test_ask_with_credentials(site: t.Any) -> None:
    site.pages = {"/-/ready": b"ready"}
    site.login = "monitoring:pässword:1"
    assert ask(Endpoint(site.url), "/-/ready").status == 401
    assert ask(Endpoint(site.url, user="monitoring", password="wrong"), "/-/ready").status == 401
    assert ask(Endpoint(site.url, user="monitoring", password="pässword:1"), "/-/ready").status == 200


def test_ask_goes_through_no_proxy(site: t.Any, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    site.pages = {"/-/ready": b"ready"}
    assert ask(Endpoint(site.url), "/-/ready").status == 200


def test_ask_nobody(closed_port: int) -> None:
    answer = ask(Endpoint(f"http://127.0.0.1:{closed_port}"), "/-/ready")
    assert answer.status == 0
    assert "refused" in answer.text


def test_ask_somebody_who_is_slow(site: t.Any) -> None:
    site.declare_more = 10
    site.pages = {"/-/ready": b"rea"}
    assert ask(Endpoint(site.url), "/-/ready").status == 0  # cut off


# --- TLS ---


def endpoint_of(tls: t.Any, **settings: str) -> Endpoint:
    return Endpoint(f"https://127.0.0.1:{tls.site.port}", **settings)


def over_tls(tls: t.Any, **settings: str) -> Answer:
    return ask(endpoint_of(tls, **settings), "/-/ready")


def test_certificate_of_the_authority_and_name(tls: t.Any) -> None:
    assert over_tls(tls, ca=tls.ca, server_name="web1") == Answer(200, "ready")


UNTRUSTED = [
    pytest.param("other", "web1", "unable to get local issuer certificate", id="another authority"),
    pytest.param("", "web1", "unable to get local issuer certificate", id="no authority"),
    pytest.param("own", "web2", "Hostname mismatch", id="another name"),
    pytest.param("own", "", "IP address mismatch", id="the address, which it does not name"),
]


@pytest.mark.parametrize(("ca", "server_name", "seen"), UNTRUSTED)
def test_untrusted_certificate(ca: str, server_name: str, seen: str, tls: t.Any) -> None:
    """It has no answer, and says what it has to name and who has to sign it."""
    ca = {"own": tls.ca, "other": tls.other_ca}.get(ca, ca)
    endpoint = endpoint_of(tls, ca=ca, server_name=server_name, user="monitoring", password="hunter2")
    answer = ask(endpoint, "/-/ready")
    assert answer.status == 0
    assert answer.refusal.what == f"{endpoint.base} shows a certificate that is not trusted"
    assert seen in answer.refusal.seen
    assert f"it has to name {server_name or '127.0.0.1'} " in answer.refusal.remedy
    assert answer.refusal.remedy.endswith(f"be signed by {ca or 'an authority of the system'}")
    assert "hunter2" not in str(answer.refusal)
    assert not tls.site.asked  # nor did it get the password


@pytest.mark.parametrize(("ca", "server_name", "seen"), UNTRUSTED)
def test_untrusted_certificate_is_not_waited_for(ca: str, server_name: str, seen: str, tls: t.Any) -> None:
    program = Program()
    endpoint = endpoint_of(tls, ca={"own": tls.ca, "other": tls.other_ca}.get(ca, ca), server_name=server_name)
    with pytest.raises(ComponentError, match="is not trusted") as caught:
        wait_until_ready(endpoint, alive, 600, clock=program.clock, sleep=program.sleep)
    assert seen in caught.value.seen
    assert LASTING <= program.now < LASTING + 1


def test_component_that_asks_for_a_certificate(site: t.Any, tmp_path: Path) -> None:
    """As Loki does, which knows no passwords."""
    files = {name: tmp_path / name for name in ("tls.crt", "tls.key", "ca.crt")}
    for name, text in certificate(SecretsDir(str(tmp_path)), "web1", ["web1"]).items():
        files[name].write_text(text)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["ca.crt"])
    context.load_cert_chain(files["tls.crt"], files["tls.key"])
    context.verify_mode = ssl.CERT_REQUIRED
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    site.server.handle_error = lambda request, address: None
    site.pages = {"/ready": b"ready"}
    endpoint = Endpoint(f"https://127.0.0.1:{site.port}", ca=str(files["ca.crt"]), server_name="web1")
    assert ask(endpoint, "/ready").status == 0
    ours = replace(endpoint, cert=str(files["tls.crt"]), key=str(files["tls.key"]))
    assert ask(ours, "/ready") == Answer(200, "ready")


def test_missing_authority_is_no_answer(tls: t.Any) -> None:
    """Its file may still come."""
    answer = over_tls(tls, ca="/nonexistent.crt", server_name="web1")
    assert answer.status == 0
    assert "No such file" in answer.text


def test_no_tls_at_all_is_no_answer(site: t.Any) -> None:
    """A program that has not read its web configuration yet, or another one that has the port."""
    assert ask(Endpoint(f"https://127.0.0.1:{site.port}"), "/-/ready").status == 0


def plain_certificate(folder: Path) -> None:
    """An authority as openssl makes them by the ten lines of many guides: without key usage and key identifiers."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def built(name: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plain authority")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    authority = built("plain authority", ca_key.public_key()).add_extension(x509.BasicConstraints(True, None), False)
    named = built("web1", key.public_key()).add_extension(x509.SubjectAlternativeName([x509.DNSName("web1")]), False)
    for name, one in (("plain-ca.crt", authority), ("plain.crt", named)):
        pem = one.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / name).write_bytes(pem)
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "plain.key").write_bytes(key.private_bytes(*formats))


def strict_contexts(**options: t.Any) -> ssl.SSLContext:
    """As from Python 3.13 on."""
    context = REAL_CONTEXT(**options)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


REAL_CONTEXT = ssl.create_default_context


def test_certificate_without_key_usage(site: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs themselves trust it, and so do we, also where Python would not. Names are checked all the same."""
    plain_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "plain.crt", tmp_path / "plain.key")
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    site.server.handle_error = lambda request, address: None
    site.pages = {"/-/ready": b"ready"}
    ca = str(tmp_path / "plain-ca.crt")
    strict = strict_contexts(cafile=ca)
    with socket.create_connection(("127.0.0.1", site.port)) as raw, pytest.raises(ssl.SSLCertVerificationError):
        strict.wrap_socket(raw, server_hostname="web1")
    monkeypatch.setattr(ssl, "create_default_context", strict_contexts)
    endpoint = Endpoint(f"https://127.0.0.1:{site.port}", ca=ca, server_name="web1")
    assert ask(endpoint, "/-/ready") == Answer(200, "ready")
    assert ask(replace(endpoint, server_name="web2"), "/-/ready").refusal is not None


# --- metrics ---

EXPOSITION = """\
# HELP app_config_last_reload_successful Whether it was.
# TYPE app_config_last_reload_successful gauge
app_config_last_reload_successful 1
app_config_last_reload_success_timestamp_seconds 1.7e+09
app_config_last_reload_successful_ever 7
app_with_labels{a="b"} 3
app_nan NaN
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app_config_last_reload_successful", 1),
        ("app_config_last_reload_success_timestamp_seconds", 1.7e9),
        ("app_config_last_reload", None),
        ("app_with_labels", None),
        ("missing", None),
    ],
)
def test_metric(name: str, value: float | None) -> None:
    assert metric(EXPOSITION, name) == value


def reload_metrics(success: int, stamp: float) -> bytes:
    return (
        f"app_config_last_reload_successful {success}\napp_config_last_reload_success_timestamp_seconds {stamp}\n"
    ).encode()


def alive() -> None:
    pass


def test_reload_is_seen_in_the_metrics(site: t.Any, systemd: t.Any) -> None:
    systemd.set("app.service")
    site.pages["/metrics"] = [reload_metrics(1, 10), reload_metrics(1, 10), reload_metrics(1, 11)]
    reload("app.service", Endpoint(site.url), "app", alive, patience=10)
    assert systemd.calls() == ["reload app.service"]
    assert site.asked["/metrics"] == 3


def test_reload_of_a_program_that_calls_it_a_load(site: t.Any, systemd: t.Any) -> None:
    systemd.set("app.service")
    pages = [reload_metrics(1, 10), reload_metrics(1, 10), reload_metrics(1, 11)]
    site.pages["/metrics"] = [page.replace(b"_last_reload_", b"_last_load_") for page in pages]
    reload("app.service", Endpoint(site.url), "app", alive, patience=10)
    assert site.asked["/metrics"] == 3


def test_reload_that_the_program_refuses(site: t.Any, systemd: t.Any) -> None:
    systemd.set("app.service")
    site.pages["/metrics"] = [reload_metrics(1, 10), reload_metrics(0, 10)]
    with pytest.raises(ComponentError, match=r"app\.service refuses the new configuration") as caught:
        reload("app.service", Endpoint(site.url), "app", alive, patience=10)
    assert "its last words" in caught.value.seen


def test_reload_after_one_that_failed(site: t.Any, systemd: t.Any) -> None:
    """Until it has read the configuration, the program tells of the earlier try."""
    systemd.set("app.service")
    site.pages["/metrics"] = [reload_metrics(0, 10), reload_metrics(0, 10), reload_metrics(1, 11)]
    reload("app.service", Endpoint(site.url), "app", alive, patience=10)


def test_reload_that_is_not_seen(site: t.Any, systemd: t.Any) -> None:
    systemd.set("app.service")
    site.pages["/metrics"] = reload_metrics(1, 10)
    with pytest.raises(ComponentError, match=r"did not take the new configuration within 0\.2 s"):
        reload("app.service", Endpoint(site.url), "app", alive, patience=0.2)


def untrusted(endpoint: Endpoint, path: str) -> Answer:
    return Answer(0, "certificate has expired", ComponentError("a certificate that is not trusted"))


@pytest.mark.parametrize("renewed", [True, False])
def test_reload_by_which_a_program_takes_its_new_certificate(
    renewed: bool, systemd: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it, the old one is shown, which the new authority did not sign."""
    asked: list[str] = []

    def answer(endpoint: Endpoint, path: str) -> Answer:
        asked.append(path)
        trusted = renewed and len(asked) > 3
        return Answer(200, reload_metrics(1, 10).decode()) if trusted else untrusted(endpoint, path)

    systemd.set("app.service")
    monkeypatch.setattr(_ready, "ask", answer)
    monkeypatch.setattr(_ready, "LASTING", 0.3)
    if renewed:
        reload("app.service", ENDPOINT, "app", alive, patience=10)
        assert len(asked) == 4
    else:
        with pytest.raises(ComponentError, match="not trusted"):
            reload("app.service", ENDPOINT, "app", alive, patience=10)
    assert systemd.calls() == ["reload app.service"]


def test_reload_without_metrics_takes_the_word_of_systemd(systemd: t.Any) -> None:
    systemd.set("app.service")
    reload("app.service", None, "", alive)
    assert systemd.calls() == ["reload app.service"]
    systemd.fail("reload", "Job type reload is not applicable")
    with pytest.raises(ComponentError, match="Job type reload is not applicable"):
        reload("app.service", None, "", alive)
