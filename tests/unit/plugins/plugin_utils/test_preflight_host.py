# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils import _files, _generations
from ansible_collections.opswatch.monitoring.plugins.module_utils._layout import Layout
from ansible_collections.opswatch.monitoring.plugins.module_utils._observe import observe
from ansible_collections.opswatch.monitoring.plugins.module_utils._plan import Desired
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import preflight_host as host
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.addresses import Listener

WANTED = [
    host.Wanted("prometheus", "3.5.3"),
    host.Wanted("node_exporter", "1.11.1", ["prometheus-node-exporter.service"]),
]
NAMES = [one.name for one in WANTED]
SAID = """Welcome to app1
uid 0
machine x86_64
clock 1000
booted yes
systemd 252 (252.38-1~deb12u1)
space overlay 100000000 50000000 50000000 50% /
space overlay 100000000 50000000 50000000 50% /
space /dev/disk/by label 2000 1000 1000 50% /etc
space overlay 100000000 50000000 50000000 50% /
mount / rw,relatime
mount /etc ro,relatime
mount /etc rw,relatime
python /usr/bin/python3 Python 3.11.2
release prometheus
complete
"""


def good(**changes: t.Any) -> host.Look:
    look = host.read(SAID.replace("2000 1000 1000", "90000 1000 80000"))
    for name, value in changes.items():
        setattr(look, name, value)
    return look


# --- the script ---


@pytest.mark.parametrize("shell", ["sh", *filter(shutil.which, ["bash", "dash"])])
def test_script_runs_in_any_shell(shell: str) -> None:
    done = subprocess.run(
        [shell, "-c", host.script(WANTED, ["no-such-python", "python3", "/usr/bin/env python3"])],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    look = host.read(done.stdout)
    assert look.complete
    assert look.uid == os.geteuid()
    assert look.machine == os.uname().machine
    assert set(look.space) == set(host.FOLDERS)
    assert all(point.startswith("/") and free >= 0 for point, free in look.space.values())
    assert look.python[0] == "python3"
    assert look.python[1].startswith("3.")
    assert done.stdout.count("python ") == 1, "the first that is there"


def test_script_quotes_what_a_user_wrote() -> None:
    done = subprocess.run(
        ["sh", "-c", host.script([host.Wanted("app", "1; echo hacked")], ["/no/python; echo hacked"])],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "hacked" not in done.stdout.splitlines()
    assert host.read(done.stdout).complete


def test_script_starts_no_python_and_writes_nothing() -> None:
    text = host.script(WANTED, ["/usr/bin/python3"])
    assert "/usr/bin/python3 -V" in text
    assert text.count("/usr/bin/python3") == 3  # asked for, looked for, named
    assert set(re.findall(r">\s*([^\s;)]+)", text)) == {"/dev/null", "&1"}


# --- what it says ---


def test_answer_is_read() -> None:
    look = host.read(SAID)
    assert (look.uid, look.machine, look.clock, look.booted, look.systemd) == (0, "x86_64", 1000, True, 252)
    assert look.python == ("/usr/bin/python3", "3.11.2")
    assert look.releases == {"prometheus"}
    assert look.space["/opt/opswatch"] == ("/", 50000000 * 1024)
    assert look.space["/etc/systemd/system"] == ("/etc", 1000 * 1024)
    assert look.mounts == {"/": ["rw", "relatime"], "/etc": ["rw", "relatime"]}
    assert look.complete


@pytest.mark.parametrize("answer", ["", "uid 0\nmachine x86_64\n", "This account is currently not available."])
def test_answer_that_broke_off(answer: str) -> None:
    assert not host.read(answer).complete


def test_answer_of_a_host_without_df() -> None:
    look = host.read("".join(line for line in SAID.splitlines(True) if not line.startswith("space ")))
    assert look.space == {}
    assert host.host_problems(look, NAMES, WANTED) == []
    assert host.space_problems(look, {"prometheus": 1 << 40}) == []


# --- problems ---


@pytest.mark.parametrize(
    ("changes", "what", "seen"),
    [
        ({"uid": 1000}, "prometheus and node_exporter can only be changed by root", "uid 1000"),
        ({"booted": False}, "systemd does not run here", "/run/systemd/system"),
        ({"systemd": 249}, "systemd 250 or later is needed", "systemd 249"),
        ({"machine": "riscv64"}, "no release is known for the architecture riscv64", ""),
        ({"python": ("", "")}, "Python 3.9 or later is needed", "none was found"),
        ({"python": ("/usr/bin/python3", "3.8.10")}, "Python 3.9 or later is needed", "/usr/bin/python3 is 3.8.10"),
        ({"python": ("/bin/x", "")}, "Python 3.9 or later is needed", "/bin/x does not tell its version"),
        (
            {"mounts": {"/": ["ro"], "/etc": ["rw"]}},
            "/opt/opswatch, /var/lib/opswatch, /usr/local/bin cannot be written",
            "the file system / is read-only",
        ),
        (
            {"mounts": {"/etc": ["ro", "relatime"]}},
            "/etc/systemd/system cannot be written",
            "the file system /etc is read-only",
        ),
        (
            {"packages": {"node_exporter": ["prometheus-node-exporter.service"]}},
            "a package of the operating system already runs node_exporter here",
            "unit prometheus-node-exporter.service",
        ),
        (
            {"occupied": {"node_exporter": ["/etc/node_exporter", "/usr/local/bin/node_exporter"]}},
            "/etc/node_exporter, /usr/local/bin/node_exporter exists and was not made by this collection",
            "",
        ),
        (
            {"packages": {"prometheus": ["prometheus.service"]}, "occupied": {"prometheus": ["/etc/prometheus"]}},
            "a package of the operating system already runs prometheus here",  # it goes with its files
            "unit prometheus.service",
        ),
    ],
)
def test_host_that_does_not_fit(changes: dict[str, t.Any], what: str, seen: str) -> None:
    (problem,) = host.host_problems(good(**changes), NAMES, WANTED)
    assert problem.what == what
    assert seen in problem.seen
    assert problem.remedy


@pytest.mark.parametrize("changes", [{}, {"systemd": 0}, {"machine": "aarch64"}, {"python": ("python3", "3.13.5+")}])
def test_host_that_fits(changes: dict[str, t.Any]) -> None:
    assert host.host_problems(good(**changes), NAMES, WANTED) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"packages": {"node_exporter": ["prometheus-node-exporter.service"]}},
        {"occupied": {"node_exporter": ["/etc/node_exporter"]}},
    ],
)
def test_what_is_adopted(changes: dict[str, t.Any]) -> None:
    look = good(**changes)
    assert host.host_problems(look, NAMES, [WANTED[1]._replace(adopt=True)]) == []


def test_all_problems_of_a_host_at_once() -> None:
    look = good(uid=5, booted=False, systemd=240, machine="s390x", python=("", ""))
    assert len(host.host_problems(look, NAMES, WANTED)) == 5


MIB = 1 << 20


def full(opt: int, root: int = 10_000) -> host.Look:
    """C(/opt) is a file system of its own. Free space in MiB."""
    points = dict.fromkeys(host.FOLDERS, ("/", root * MIB))
    return good(space={**points, "/opt/opswatch": ("/opt", opt * MIB)})


@pytest.mark.parametrize(
    ("look", "archives", "said"),
    [
        (full(16), {}, []),
        (full(15), {}, ["no space on /opt for units and configuration: 16 MiB needed, 15 MiB free"]),
        (full(416), {"prometheus": 100 * MIB}, []),
        (full(415), {"prometheus": 100 * MIB}, ["no space on /opt for prometheus: 416 MiB needed, 415 MiB free"]),
        (full(271), {"prometheus": 0}, ["no space on /opt for prometheus: 272 MiB needed, 271 MiB free"]),
        (
            full(600),
            {"prometheus": 100 * MIB, "node_exporter": 50 * MIB},
            ["no space on /opt for prometheus, node_exporter: 616 MiB needed, 600 MiB free"],
        ),
        (
            full(0, 0),
            {},
            [
                "no space on /opt for units and configuration: 16 MiB needed, 0 MiB free",
                "no space on / for units and configuration: 16 MiB needed, 0 MiB free",
            ],
        ),
    ],
)
def test_space(look: host.Look, archives: dict[str, int], said: list[str]) -> None:
    assert [f"{problem.what}: {problem.seen}" for problem in host.space_problems(look, archives)] == said


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        (1000, ""),
        (1060, ""),
        (940, ""),
        (1062, "61 s ahead of"),
        (939, ""),
        (938, "61 s behind"),
        (90000, "88999 s ahead of"),
        (0, ""),  # it did not say
    ],
)
def test_clock(clock: int, said: str) -> None:
    warning = host.skew_warning(good(clock=clock), 1000.0, 1001.2)
    assert (said in warning) if said else warning == ""


# --- the other log agent ---


@pytest.mark.parametrize("folder", ["etc", "usr/lib"])
@pytest.mark.parametrize(
    ("state", "ours", "told"), [("enabled", False, True), ("disabled", False, False), ("enabled", True, False)]
)
def test_a_log_agent_of_somebody_else(folder: str, state: str, ours: bool, told: bool, tmp_path: Path) -> None:
    for path in (
        f"{folder}/systemd/system/promtail.service",
        "bin/systemctl",
        "var/lib/opswatch/promtail/journal.json",
    ):
        if "journal" not in path or ours:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(f'#!/bin/sh\n[ "$1" != is-enabled ] || echo {state}\n[ "$1" = is-enabled ]\n')
            (tmp_path / path).chmod(0o755)
    text = host.script([host.Wanted("alloy", "1.12.2"), host.Wanted("loki", "3.6.15")], [])
    for path in ("/usr/lib/systemd/system/", "/etc/systemd/system/promtail", "/var/lib/opswatch/promtail"):
        text = text.replace(path, f"{tmp_path}{path}")
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=30, check=True, env=environment)
    assert host.read(done.stdout).rivals == ({"alloy": "promtail.service"} if told else {})


def test_what_to_do_about_another_log_agent() -> None:
    wanted = [host.Wanted("alloy", "1.12.2", adopt=True)]
    (problem,) = host.host_problems(good(rivals={"alloy": "promtail.service"}), ["alloy"], wanted)
    assert problem.what.startswith("promtail.service is another log agent")
    assert problem.remedy.startswith("systemctl disable --now promtail.service; how alloy goes on where it was: docs/")


# --- what others have where a component belongs ---

UNIT, PROGRAM, FOLDER = "etc/systemd/system/app.service", "usr/local/bin/app", "etc/app"


class Host:
    """A scratch root, on which the script and the worker look for the component C(app)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = Layout("app", str(root))

    def file(self, path: str) -> None:
        self._place(path).write_text("theirs")

    def link(self, path: str, target: str) -> None:
        self._place(path).symlink_to(target)

    def _place(self, path: str) -> Path:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        return self.root / path

    def generation(self, committed: bool = True, linked: bool = True) -> None:
        """Ours, with all that belongs to it."""
        _files.make_folder(self.layout.home)
        folder = Path(self.layout.generation(1))
        folder.mkdir(parents=True)
        stated = _generations.state("1.2.3", "", [], {}, {}, ["app"], committed)
        _files.write_json(str(folder / "manifest.json"), stated)
        _generations.set_links(self.layout, ("app",))
        self.file(UNIT)
        if linked:
            _files.switch_link(self.layout.current, "generations/1")

    def note(self, name: str) -> None:
        """What an interrupted run has left."""
        self.file(f"var/lib/opswatch/app/{name}.json")
        (self.root / f"var/lib/opswatch/app/{name}.json").write_text('{"effect": "restart", "from": null, "to": 1}')

    def look(self, *ports: int) -> host.Look:
        plain = Layout("app")
        listens = [Listener("app_listen_address", "", port) for port in ports]
        text = host.script([host.Wanted("app", "1.2.3", programs=["app"], listens=listens)], [])
        for path in (plain.home, plain.etc, plain.unit, plain.program("app")):
            text = re.sub(rf"(?<=\s){path}(?=[\s/])", f"{self.root}{path}", text)
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=120, check=True)
        return host.read(done.stdout)

    def seen(self) -> list[str]:
        return [path.removeprefix(f"{self.root}/") for path in self.look().occupied.get("app", [])]

    def seen_by_the_worker(self) -> list[str]:
        observed = observe(self.layout, Desired("app", version="1.2.3"), ("app",), ())
        return [path.removeprefix(f"{self.root}/") for path in observed.occupied]


@pytest.fixture
def app(root: Path, systemd: t.Any) -> Host:
    return Host(root)


@pytest.mark.parametrize(
    ("arrange", "paths"),
    [
        (lambda _app: None, []),
        (lambda app: app.file(UNIT), [UNIT]),
        (lambda app: app.link(UNIT, "/dev/null"), [UNIT]),
        (lambda app: app.file(PROGRAM), [PROGRAM]),
        (lambda app: app.link(PROGRAM, "/opt/theirs/app"), [PROGRAM]),
        (lambda app: app.file(f"{FOLDER}/app.yml"), [FOLDER]),
        (lambda app: [app.file(path) for path in (UNIT, PROGRAM, FOLDER)], [FOLDER, PROGRAM, UNIT]),
        (lambda app: _generations.set_links(app.layout, ("app",)), []),
        (lambda app: app.generation(), []),
        (lambda app: app.generation(committed=False), []),
        (lambda app: app.generation(committed=False, linked=False), [UNIT]),
        (lambda app: [app.file(UNIT), app.note("journal")], []),
        (lambda app: [app.file(UNIT), app.link("var/lib/opswatch/app/current", "generations/1")], [UNIT]),
    ],
    ids=[
        "nothing",
        "a unit",
        "a unit that is masked",
        "a program",
        "a link to a program",
        "a folder",
        "all of them",
        "links of ours to nothing",
        "in force",
        "in force and unproven",
        "never in force",
        "an interrupted run",
        "a link to no generation",
    ],
)
def test_what_others_have_made_is_what_the_worker_says(
    app: Host, arrange: t.Callable[[Host], object], paths: list[str]
) -> None:
    arrange(app)
    assert app.seen() == paths
    assert app.seen_by_the_worker() == paths


@pytest.mark.parametrize(
    "arrange",
    [lambda app: app.generation(linked=False), lambda app: [app.file(UNIT), app.note("adoption")]],
    ids=["a link that is gone", "an adoption that was killed"],
)
def test_what_the_worker_puts_right_first_is_left_to_it(app: Host, arrange: t.Callable[[Host], object]) -> None:
    arrange(app)
    assert app.seen() == []


def test_a_host_in_order_is_not_looked_at_for_others(app: Host) -> None:
    app.generation()
    app.file(f"{UNIT}.d/mine.conf")
    (app.root / PROGRAM).unlink()
    app.file(PROGRAM)
    assert app.seen() == []


# --- who listens where ---


def listening(family: socket.AddressFamily, address: str) -> socket.socket:
    sock = socket.socket(family)
    sock.bind((address, 0))
    sock.listen()
    return sock


@pytest.mark.parametrize("shell", ["sh", *filter(shutil.which, ["bash", "dash"])])
@pytest.mark.parametrize(
    ("family", "address", "said"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0"),
        (socket.AF_INET6, "::", "::"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_who_listens(family: socket.AddressFamily, address: str, said: str, shell: str) -> None:
    with listening(family, address) as sock, socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        wishes = [Listener("app_listen_address", "", one) for one in (port, idle.getsockname()[1])]
        wanted = host.Wanted("app", "1.2.3", listens=wishes)
        done = subprocess.run(
            [shell, "-c", host.script([wanted], [])], capture_output=True, text=True, timeout=120, check=True
        )
    look = host.read(done.stdout)
    assert look.listening == {"app": [Listener("", said, port)]}
    assert done.stderr == ""
    if shutil.which("ss"):
        assert [one.program for one in look.holders[port]] == [Path("/proc/self/comm").read_text().strip()]


def test_ports_of_what_is_in_force_are_not_looked_at(app: Host) -> None:
    app.generation()
    with listening(socket.AF_INET, "127.0.0.1") as sock:
        assert app.look(sock.getsockname()[1]).listening == {}


@pytest.mark.parametrize("line", ["listens to you", "listens app 12:34", "holder of all keys"])
def test_greeting_that_reads_like_an_answer(line: str) -> None:
    look = host.read(f"{line}\ncomplete\n")
    assert (look.listening, look.holders, look.complete) == ({}, {}, True)


NODE = host.Wanted("node_exporter", "1.11.1", listens=[Listener("node_exporter_listen_address", "0.0.0.0", 9100)])
DOCKER = host.Holder("docker-proxy", "docker.service")
OURS = host.Holder("grafana", "grafana.service")
THEIRS = host.Holder("prometheus-node", "prometheus-node-exporter.service")


@pytest.mark.parametrize(
    ("address", "holders", "changes", "refused"),
    [
        ("0.0.0.0", [], {}, True),
        ("127.0.0.1", [DOCKER], {}, True),
        ("::", [DOCKER], {}, True),
        ("::1", [DOCKER], {}, False),
        ("0.0.0.0", [THEIRS], {"packages": {"node_exporter": [THEIRS.unit]}}, False),
        ("0.0.0.0", [], {"packages": {"node_exporter": [THEIRS.unit]}}, False),
        ("0.0.0.0", [THEIRS, DOCKER], {"packages": {"node_exporter": [THEIRS.unit]}}, True),
        (
            "0.0.0.0",
            [host.Holder("node_exporter", "node_exporter.service")],
            {"occupied": {"node_exporter": ["/etc/systemd/system/node_exporter.service"]}},
            False,
        ),
        ("0.0.0.0", [], {"occupied": {"node_exporter": ["/etc/node_exporter"]}}, True),
        ("0.0.0.0", [OURS], {"installed": {"grafana": "13.0.0"}}, False),
        ("0.0.0.0", [OURS], {}, True),
    ],
    ids=[
        "nobody knows who",
        "on the loopback",
        "on all of IPv6, and so of IPv4",
        "on the loopback of IPv6",
        "a package that is to go",
        "a package that is to go, and no ss",
        "docker beside the package",
        "a unit that is to go",
        "a folder that is to go",
        "one of ours that moves",
        "a unit that is called like one of ours",
    ],
)
def test_port_that_somebody_has(
    address: str, holders: list[host.Holder], changes: dict[str, t.Any], refused: bool
) -> None:
    look = good(
        listening={"node_exporter": [Listener("", address, 9100)]},
        holders={9100: holders} if holders else {},
        **changes,
    )
    assert bool(host.listening_problems(look, [NODE], ["node_exporter", "grafana"])) == refused


def test_port_of_one_that_was_forgotten_is_not_free() -> None:
    """It keeps running, and a program of ours that is left behind is as good as another's."""
    look = good(
        listening={"node_exporter": [Listener("", "0.0.0.0", 9100)]},
        holders={9100: [OURS]},
        installed={"grafana": "13.0.0"},
    )
    assert len(host.listening_problems(look, [NODE], ["node_exporter"])) == 1


def test_port_problem_says_who_has_it() -> None:
    look = host.read(
        "listens node_exporter 00000000:238C\nlistens node_exporter 00000000000000000000000000000000:238C\n"
        "holder 9100 docker.service docker-proxy\nholder 9100 docker.service docker-proxy\n"
        "holder 9100 / a b\ncomplete\n"
    )
    (problem,) = host.listening_problems(look, [NODE], ["node_exporter"])
    assert problem == (
        "another program listens on port 9100, which node_exporter is to have",
        "0.0.0.0:9100, [::]:9100, docker-proxy (docker.service), a b (/); "
        "wanted: node_exporter_listen_address 0.0.0.0:9100",
        "stop it, or set node_exporter_listen_address to another port; ss -ltnp 'sport = :9100' shows who it is",
    )


# --- what was forgotten ---


def test_what_a_host_still_runs(tmp_path: t.Any) -> None:
    text = host.script([], [], ["prometheus", "grafana"])
    for name in ("prometheus", "grafana"):
        assert f"[ -e {host.Layout(name).current}/manifest.json ]" in text
    (tmp_path / "current").mkdir()
    stated = {"version": "9.3.2", "committed": True, "files": [{"version": "no", "committed": True}]}
    _files.write_json(str(tmp_path / "current/manifest.json"), stated)
    text = text.replace(host.Layout("grafana").home, str(tmp_path))

    def look() -> host.Look:
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=120, check=True)
        return host.read(done.stdout)

    assert look().installed == {"grafana": "9.3.2"}
    assert look().proven == {"grafana"}
    assert look().certified == set()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/tls.crt").touch()
    assert look().certified == {"grafana"}


@pytest.mark.parametrize(
    ("installed", "mine", "named"),
    [
        ({"prometheus"}, ["prometheus"], []),
        ({"prometheus", "node_exporter"}, ["prometheus"], ["node_exporter"]),
        ({"promtail", "grafana"}, ["node_exporter"], ["grafana", "promtail"]),
        ({"promtail", "alloy"}, ["alloy"], []),
        (set(), ["alloy"], []),
    ],
)
def test_components_that_were_taken_out_of_the_inventory(
    installed: set[str], mine: list[str], named: list[str]
) -> None:
    warnings = host.forgotten_warnings(good(installed=dict.fromkeys(installed, "1.0")), "app1", mine)
    assert [line.split()[3] for line in warnings] == [f"{name}," for name in named]
    assert all(f"{name}_state: absent" in line for name, line in zip(named, warnings, strict=True))


@pytest.mark.parametrize(
    ("before", "wanted", "allowed", "refused"),
    [
        ("3.5.3", "2.53.3", False, True),
        ("3.5.3", "2.53.3", True, False),
        ("2.53.3", "3.5.3", False, False),
        ("3.5.3", "3.5.3", False, False),
        ("3.5.3", "", False, False),
        ("3.5.3", "latest", False, False),
        ("", "2.53.3", False, False),
    ],
)
def test_older_version_than_what_is_installed(before: str, wanted: str, allowed: bool, refused: bool) -> None:
    look = good(installed={"prometheus": before} if before else {}, proven={"prometheus"})
    problems = host.host_problems(look, NAMES, [host.Wanted("prometheus", wanted, downgrade=allowed)])
    found = [one for one in problems if "asks for the older" in one.what]
    assert bool(found) == refused
    if refused:
        assert "monitoring_allow_downgrade: true" in found[0].remedy
        look.proven.clear()  # an upgrade that was killed, from which one may go back
        assert host.host_problems(look, NAMES, [host.Wanted("prometheus", wanted)]) == []
