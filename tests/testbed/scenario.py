# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the Molecule scenarios share: playbook runs, hosts, questions to Prometheus."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import docker
import requests
import testinfra

from examples.notifications.sink import Sink

from .paths import MIRROR as BUILT_MIRROR
from .paths import ROOT

USER = "monitoring"
# Of most changes nothing is expected to die some seconds after its start.
QUICKLY = {"__monitoring_settle": 2}


def inventory() -> Path:
    """The folder of the inventory that Molecule made; generated secrets are beside it."""
    return Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent


def mirror() -> Path:
    return Path(os.environ.get("MONITORING_MIRROR") or BUILT_MIRROR)


def lacks(path: str) -> bool:
    """Whether somebody's folder has no such release. Ours has all: what is missing there is a fault."""
    return mirror() != BUILT_MIRROR and not (mirror() / path).exists()


def secret(name: str) -> str:
    return (inventory() / "secrets" / f"{name}.txt").read_text().strip()


class Run(NamedTuple):
    rc: int
    output: str

    @property
    def said(self) -> str:
        """The output without its line breaks, for sentences that were wrapped."""
        return " ".join(self.output.split())


def start_playbook(
    playbook: str, *arguments: str, variables: dict[str, Any] | None = None, inventories: Sequence[Path] = ()
) -> subprocess.Popen[str]:
    where = [word for path in inventories or [inventory()] for word in ("-i", str(path))]
    told = {**QUICKLY, **(variables or {})}
    words = ["ansible-playbook", *where, playbook, "-e", json.dumps(told), *arguments]
    plain = os.environ | {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}  # Molecule may have asked for colours
    return subprocess.Popen(words, cwd=ROOT, env=plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> Run:
    output, _ = process.communicate(timeout=1200)  # for what hangs: a run takes a minute, on a busy machine some
    print(output)
    return Run(process.returncode, output)


def playbook(
    name: str, *arguments: str, variables: dict[str, Any] | None = None, inventories: Sequence[Path] = ()
) -> Run:
    return finish(start_playbook(name, *arguments, variables=variables, inventories=inventories))


def container(name: str) -> Any:
    return docker.from_env().containers.get(name)


def host(name: str) -> Any:
    """testinfra's host, over docker itself: a command costs a tenth of a second."""
    return testinfra.get_host(f"docker://{name}")


def _network(name: str) -> dict[str, Any]:
    networks = container(name).attrs["NetworkSettings"]["Networks"].values()
    return next(network for network in networks if network["IPAddress"])


def address(name: str) -> str:
    return str(_network(name)["IPAddress"])


def gateway(name: str) -> str:
    return str(_network(name)["Gateway"])


# The hosts of the scenario logs, by the agent that each has.
LOG_AGENTS = {"promtail": "opswatch-promtail", "alloy": "opswatch-alloy"}


def append(name: str, path: str, *lines: str | bytes) -> None:
    """Lines to a file of a host."""
    text = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    command = ["docker", "exec", "-i", name, "sh", "-c", f"mkdir -p $(dirname {path}); cat >>{path}"]
    subprocess.run(command, input=text, check=True)


def tls_answer(name: str, path: str) -> Any:
    """What Prometheus or Alertmanager of a host says under monitoring_tls: selfsigned; port and path."""
    login = f"user = {USER}:{secret('monitoring_auth_password')}"
    curl = f"curl -sS --cacert /etc/prometheus/secrets/ca.crt 'https://{name}:{path}' -K /dev/stdin"
    return json.loads(host(name).check_output(f"echo '{login}' | {curl}"))


class Server:
    """A server of the stack under test, asked as a user would."""

    PORT = 0
    TIMEOUT = 30.0  # seconds: a busy machine may need some for an answer

    def __init__(self, name: str, port: int = 0, scheme: str = "http", verify: str | bool = True) -> None:
        self.name, self.port, self.scheme, self.verify = name, port or self.PORT, scheme, verify
        self.prefix = ""  # of all its paths

    @property
    def url(self) -> str:
        """Asked for anew each time: a host that was restarted may have another address."""
        return f"{self.scheme}://{address(self.name)}:{self.port}{self.prefix}"

    def get(self, path: str, **parameters: Any) -> requests.Response:
        return self._ask("GET", path, params=parameters)

    def post(self, path: str, body: Any) -> requests.Response:
        return self._ask("POST", path, json=body)

    def delete(self, path: str) -> requests.Response:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, **what: Any) -> requests.Response:
        auth = (USER, secret("monitoring_auth_password"))
        return requests.request(method, self.url + path, auth=auth, timeout=self.TIMEOUT, verify=self.verify, **what)


class Alertmanager(Server):
    PORT = 9093


class Named(requests.adapters.HTTPAdapter):
    """For a server by its address, whose certificate has its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, assert_hostname=self.name)


class Loki(Server):
    """Under monitoring_tls: selfsigned, where it asks for a certificate: C(files) are those of its own host."""

    PORT = 3100

    def __init__(self, name: str, folder: Path) -> None:
        self.files = {}
        for file, kept in {"tls.pem": f"tls_{name}", "ca.crt": "tls_authority"}.items():
            self.files[file] = folder / file
            self.files[file].write_text(secret(kept))
        super().__init__(name, scheme="https", verify=str(self.files["ca.crt"]))
        self.session = requests.Session()
        self.session.mount("https://", Named(name))
        self.session.cert = str(self.files["tls.pem"])

    @property
    def is_stand_in(self) -> bool:
        return bool(self.get("/loki/api/v1/status/buildinfo").json()["revision"] == "stand-in")

    def push(self, labels: dict[str, str], *values: Any) -> requests.Response:
        """Each value is a time in nanoseconds, a line and, if it has any, its structured metadata."""
        stream = {"stream": labels, "values": [[str(stamp), *rest] for stamp, *rest in values]}
        return self.post("/loki/api/v1/push", {"streams": [stream]})

    def lines(self, query: str, **parameters: Any) -> list[tuple[int, str, dict[str, str]]]:
        """(time, line, labels and structured metadata), in the order of time."""
        answer = self.get("/loki/api/v1/query_range", query=query, **{"limit": 5000, **parameters})
        answer.raise_for_status()
        streams = answer.json()["data"]["result"]
        found = [(int(value[0]), value[1], one["stream"]) for one in streams for value in one["values"]]
        return sorted(found, key=lambda entry: entry[0])

    def expect(self, query: str, count: int, seconds: float = 180, **parameters: Any) -> list[Any]:
        """What it has of the last hour, as soon as it is so many lines: time, line, labels and metadata."""
        found: list[Any] = []

        def complete() -> bool:
            found[:] = self.lines(query, **parameters)
            return len(found) >= count

        wait_for(f"{count} lines of {query}", complete, seconds)
        return found

    def _ask(self, method: str, path: str, **what: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=self.TIMEOUT, verify=self.verify, **what)


class Prometheus(Server):
    PORT = 9090

    def targets(self) -> dict[tuple[str, str], str]:
        """Health of each target, by job and instance."""
        active = self.get("/api/v1/targets", state="active").json()["data"]["activeTargets"]
        return {(one["labels"]["job"], one["labels"]["instance"]): one["health"] for one in active}

    def flags(self) -> dict[str, str]:
        return dict(self.get("/api/v1/status/flags").json()["data"])

    def query(self, expression: str) -> list[dict[str, Any]]:
        return list(self.get("/api/v1/query", query=expression).json()["data"]["result"])


def wait_for(what: str, condition: Any, seconds: float = 180) -> float:
    """Seconds until a condition holds; fails with its name when it does not.

    A server that does not answer may do so at the next attempt. The limit is generous, as a machine may be slow, and
    busy with other tests: what holds is waited for no longer by it.
    """
    begun = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - begun
            error = ""
        except requests.RequestException as refusal:
            error = f" ({refusal})"
        assert time.monotonic() - begun < seconds, f"{what}: not within {seconds} s{error}"
        time.sleep(0.25)


def after(seconds: float) -> Callable[[], bool]:
    """A condition for wait_for that holds once some time has passed: for what must not happen."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def quietly(condition: Callable[..., bool], *arguments: Any) -> bool:
    """A condition that asks a server which may not answer yet."""
    try:
        return condition(*arguments)
    except requests.RequestException:
        return False


@contextmanager
def sink(bind: str) -> Iterator[Sink]:
    """A place for notifications on one of this machine's addresses; C(url) and C(smarthost) lead there."""
    with socket.create_server((bind, 0)) as free:
        port = free.getsockname()[1]
    found = Sink(bind, port, 0)
    found.start()
    try:
        yield found
    finally:
        found.stop()


class Watch:
    """Asks Prometheus' readiness several times a second, as a scrape would, and remembers every miss."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.prometheus = prometheus
        self.prometheus.TIMEOUT = 10  # as of a scrape
        self.asked = 0
        self.missed: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def answers(self) -> bool:
        try:
            return self.prometheus.get("/-/ready").status_code == 200
        except requests.RequestException:
            return False

    def wait(self) -> None:
        wait_for("Prometheus answers", self.answers)

    def _loop(self) -> None:
        while not self._stop.wait(0.1):
            self.asked += 1
            if not self.answers():
                self.missed.append(time.strftime("%H:%M:%S"))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.asked > 5


class InForce(NamedTuple):
    """What a component has in force on a host."""

    generation: int
    unit_belongs: bool  # the unit file is the generation's own
    whole: bool  # every file is as the manifest says
    pid: int
    journal: bool  # an unproven change is noted


_READ = """
import hashlib, json, os, subprocess, sys
name = sys.argv[1]
home = f"/var/lib/opswatch/{name}"
current = f"{home}/current"
def sha(path):
    try:
        return hashlib.sha256(open(path, "rb").read()).hexdigest()
    except OSError:
        return None
manifest = json.load(open(f"{current}/manifest.json"))
whole = all(sha(f"{current}/config/{f['path']}") == f["sha256"] for f in manifest["files"] if f["place"] == "config")
whole = whole and os.path.exists(f"{current}/release/{name}")
show = subprocess.run(["systemctl", "show", "-PMainPID", name], capture_output=True, text=True).stdout
unit = sha(f"/etc/systemd/system/{name}.service") == manifest["unit"]
number = int(os.path.basename(os.readlink(current)))
print(json.dumps([number, unit, whole, int(show), os.path.exists(f"{home}/journal.json")]))
"""


def in_force(name: str, component: str = "prometheus") -> InForce:
    return InForce(*json.loads(host(name).check_output("python3 -c %s %s", _READ, component)))


def tree(name: str) -> str:
    """A digest of everything that a run may write, to see that nothing was touched. Data changes by itself, and is left
    out but for the folders themselves."""
    listing = host(name).check_output(
        "find /etc /opt /var/lib/opswatch /usr/local /var/lib/node_exporter -xdev "
        "-printf '%p %m %u %g %s %T@ %l\\n' 2>/dev/null | sort; "
        "stat -c '%n %a %U %G' /var/lib/prometheus /var/lib/alertmanager 2>&1; true"
    )
    return hashlib.sha256(listing.encode()).hexdigest()
