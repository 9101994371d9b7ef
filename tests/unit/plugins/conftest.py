# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests need: a scratch host with a systemd of its own, and a real HTTP server on the loopback."""

from __future__ import annotations

import base64
import os
import pwd
import ssl
import tempfile
import threading
import typing as t
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.authority import certificate
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import SecretsDir

# A component needs an account of its own name. Root can give files to any; others have only their own.
ACCOUNT = "daemon" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

# Keeps what it was told in files. As the real one, it reads a unit file once and again at daemon-reload (.loaded), and
# runs what it has read (.ran). A unit whose text (or whose app.conf) says "dies at start" fails to start.
SYSTEMCTL = r"""#!/bin/sh
cd "@STATE@" || exit 9
echo "$*" >> calls
verb=$1
shift
if [ -e "fail-$verb" ]; then cat "fail-$verb" >&2; rm "fail-$verb"; exit 1; fi
now= units=
for word; do
    case $word in
        --now) now=yes ;;
        --*) ;;
        *) units="$units $word" ;;
    esac
done
[ "$verb" = --version ] && echo "systemd 257 (257.8-1)"
known() { value=$2; [ ! -e "$1" ] || read -r value < "$1"; }
start() {
    if [ ! -e "@ROOT@/etc/systemd/system/$1" ]; then echo "Unit $1 not found." >&2; exit 5; fi
    [ -e "$1.loaded" ] || cp "@ROOT@/etc/systemd/system/$1" "$1.loaded"
    cp "$1.loaded" "$1.ran"
    if grep -qs "dies at start" "$1.ran" "@ROOT@/etc/${1%.service}/app.conf"; then
        echo failed > "$1.state"
        echo "Job for $1 failed." >&2
        exit 1
    fi
    known "$1.pid" 100
    echo $((value + 1)) > "$1.pid"
    echo active > "$1.state"
}
stop() { echo inactive > "$1.state"; }
[ "$verb" = daemon-reload ] && rm -f ./*.loaded
for unit in $units; do
    known "$unit.state" inactive
    state=$value
    case $verb in
        show)
            echo "ActiveState=$state"
            echo "SubState=$state"
            [ -e "$unit.enabled" ] && echo UnitFileState=enabled || echo UnitFileState=
            known "$unit.pid" 0
            [ "$state" = active ] && echo "MainPID=$value" || echo MainPID=0
            echo NRestarts=0
            echo Result=success
            ;;
        enable) : > "$unit.enabled"; [ "$now" ] && start "$unit" ;;
        disable) rm -f "$unit.enabled"; [ "$now" ] && stop "$unit" ;;
        start) [ "$state" = active ] || start "$unit" ;;
        restart) start "$unit" ;;
        stop) stop "$unit" ;;
        reload) [ "$state" = active ] || exit 1 ;;
    esac
done
exit 0
"""


class Systemd:
    """A stand-in for systemctl that keeps its state in a folder."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True)
        script = SYSTEMCTL.replace("@STATE@", str(folder)).replace("@ROOT@", str(root))
        self.add_program("systemctl", script)
        self.add_program("journalctl", "#!/bin/sh\necho 'its last words'\n")

    def add_program(self, name: str, script: str) -> None:
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def set(self, unit: str, *, state: str = "active", enabled: bool = True, pid: int = 7) -> None:
        (self.folder / f"{unit}.state").write_text(f"{state}\n")
        (self.folder / f"{unit}.pid").write_text(f"{pid}\n")
        if enabled:
            (self.folder / f"{unit}.enabled").touch()
        else:
            (self.folder / f"{unit}.enabled").unlink(missing_ok=True)

    def state(self, unit: str) -> str:
        path = self.folder / f"{unit}.state"
        return path.read_text().strip() if path.exists() else "inactive"

    def ran(self, unit: str) -> str:
        """The unit's text when the service was last started."""
        return (self.folder / f"{unit}.ran").read_text()

    def fail(self, verb: str, words: str) -> None:
        """Let the next use of one verb fail with these words."""
        (self.folder / f"fail-{verb}").write_text(words)

    def calls(self) -> list[str]:
        """What was asked since the last look, without questions."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith(("show ", "--version"))]


@pytest.fixture
def root() -> t.Iterator[Path]:
    """The scratch host's root folder, which every account may enter, as validators do not run as root."""
    with tempfile.TemporaryDirectory(prefix="opswatch-") as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "root")
        (path / "etc/systemd/system").mkdir(parents=True)
        yield path


@pytest.fixture
def layout(root: Path) -> Layout:
    return Layout(ACCOUNT, str(root))


@pytest.fixture
def systemd(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    stand_in = Systemd(tmp_path / "systemd", root)
    monkeypatch.setenv("PATH", f"{stand_in.programs}:{os.environ['PATH']}")
    return stand_in


class Site:
    """A real HTTP server. C(pages) maps a path to bytes, or to (status, bytes), or to a list of these, in turn.

    A function is asked for its answer, which may take its time.
    """

    def __init__(self) -> None:
        self.pages: dict[str, t.Any] = {}
        self.asked: Counter[str] = Counter()
        self.headers: list[t.Mapping[str, str]] = []
        self.login = ""
        self.extra_headers: dict[str, str] = {}
        self.declare_more = 0  # bytes that Content-Length promises and that never come
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked[self.path] += 1
                site.headers.append(dict(self.headers))
                status, body = site.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + site.declare_more))
                for header in site.extra_headers.items():
                    self.send_header(*header)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: t.Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        if self.login and authorization != f"Basic {base64.b64encode(self.login.encode()).decode()}":
            return 401, b"Unauthorized"
        page = self.pages.get(path, (404, b"not found"))
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        if callable(page):
            page = page()
        return page if isinstance(page, tuple) else (200, page)

    def __enter__(self) -> Site:
        self.thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site() -> t.Iterator[Site]:
    with Site() as running:
        yield running


class Tls(t.NamedTuple):
    site: t.Any
    ca: str
    other_ca: str


@pytest.fixture
def tls(site: t.Any, tmp_path: Path) -> Tls:
    """The server behind a certificate of our own authority, which does not name its address; and another authority."""
    files = certificate(SecretsDir(str(tmp_path / "one")), "web1", ["web1"])
    others = certificate(SecretsDir(str(tmp_path / "two")), "web1", ["web1"])
    for name, text in {**files, "other.crt": others["ca.crt"]}.items():
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    site.server.handle_error = lambda request, address: None  # clients that turn away
    site.pages = {"/-/ready": b"ready"}
    return Tls(site, str(tmp_path / "ca.crt"), str(tmp_path / "other.crt"))


@pytest.fixture
def closed_port() -> int:
    """A port of the loopback where nobody listens."""
    with Site() as gone:
        return gone.port
