# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the host before a log agent starts: it takes over how far the other one has read."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

import jinja2
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from plugins.plugin_utils.logs_stages import BATCH

ROOT = Path(__file__).resolve().parents[3]
CURSOR = "s=0e004956406b4145999052c5cbc7c776;i=ee;b=c8773e4e;m=47361383e;t=6610f80883288;x=d805360a03ba88fc"
PROMTAIL = 'positions:\n  /var/log/app/a.log: "100"\n  /var/log/app/b c.log: "200"\n  cursor-journal: ' + CURSOR + "\n"


# Who becomes whom, and then what is asked for.
SETPRIV = """#!/bin/sh
echo "$@" >>"${0%/*}/calls"
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"""


# Who runs the script where root runs the tests: a script that went astray must not reach what is root's.
NOBODY = 65534


class Host:
    """The part of a host that the scripts look at; what is written later is newer."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock = root, 1_000_000_000
        (root / "var/lib/promtail").mkdir(parents=True)
        (root / "var/lib/alloy").mkdir(parents=True)
        (root / "bin").mkdir()
        (root / "bin/setpriv").write_text(SETPRIV)
        (root / "bin/setpriv").chmod(0o755)
        shutil.copy(ROOT / "roles/monitoring/files/log_positions", root / "bin")

    @property
    def promtail(self) -> Path:
        return self.root / "var/lib/promtail/positions.yaml"

    @property
    def legacy(self) -> Path:
        return self.root / "var/lib/alloy/promtail_positions.yaml"

    def alloy(self, component: str) -> Path:
        return self.root / f"var/lib/alloy/data/{component}/positions.yml"

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.clock += 10
        os.utime(path, (self.clock, self.clock))

    def start(self, agent: str) -> None:
        for moment in ("take", "start", "begin"):
            self._run(agent, moment)

    def end(self, agent: str, result: str = "success") -> None:
        self._run(agent, "end", SERVICE_RESULT=result)

    def _run(self, agent: str, moment: str, **variables: str) -> None:
        words = ["sh", f"{self.root}/bin/log_positions", agent, moment, f"{self.root}"]
        environ = {**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}", **variables}
        account: dict[str, t.Any] = {}
        if os.geteuid() == 0:
            account = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            for path in (self.root, *self.root.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=environ, cwd=self.root, **account)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    def log(self, name: str, count: int) -> int:
        """A log with so many lines of 100 bytes; its size."""
        path = self.root / name
        path.write_text("".join(f"{number:099}\n" for number in range(count)))
        return path.stat().st_size


@pytest.fixture
def host() -> t.Iterator[Host]:
    """Not below tmp_path, which is closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        yield Host(Path(folder))


def positions(**places: str) -> str:
    """As Alloy writes them: the key of the map is a map."""
    entries = "".join(f"    ? path: {path}\n      labels: '{{}}'\n    : {place}\n" for path, place in places.items())
    return "positions:\n" + entries


def read(path: Path) -> dict[str, t.Any]:
    return dict(yaml.safe_load(path.read_text())["positions"])


def test_the_script_is_never_run_as_root(host: Host) -> None:
    (host.root / "bin/log_positions").write_text('[ "$(id -u)" != 0 ]\n')
    host.start("alloy")


def test_the_first_start_takes_nothing(host: Host) -> None:
    host.start("alloy")
    host.start("promtail")
    assert not host.legacy.exists()
    assert not host.promtail.exists()


def test_alloy_goes_on_where_promtail_was(host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.end("promtail")
    host.start("alloy")
    assert read(host.legacy) == yaml.safe_load(PROMTAIL)["positions"]


def test_alloy_that_is_started_again_keeps_its_own(host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.start("alloy")
    ours = host.alloy("loki.source.file.app")
    host.write(ours, positions(**{"/var/log/app/a.log": '"150"'}))
    host.end("alloy")
    host.start("alloy")
    assert '"150"' in ours.read_text()


def test_alloy_after_promtail_ran_again(host: Host) -> None:
    """What Alloy knew is older than what Promtail knows: to keep it would send lines twice."""
    ours = host.alloy("loki.source.file.app")
    host.write(ours, positions(**{"/var/log/app/a.log": '"50"'}))
    host.write(host.promtail, PROMTAIL)
    host.end("promtail")
    host.start("alloy")
    assert not ours.exists()
    assert read(host.legacy) == yaml.safe_load(PROMTAIL)["positions"]


def test_promtail_goes_on_where_alloy_was(host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.write(
        host.alloy("loki.source.file.app"), positions(**{"/var/log/app/a.log": '"150"', "'/var/x: y.log'": '"1"'})
    )
    cursor = {"cursor-loki.source.journal.journal": CURSOR}
    host.write(host.alloy("loki.source.journal.journal"), positions(**cursor))
    host.end("alloy")
    host.start("promtail")
    assert read(host.promtail)["/var/log/app/a.log"] == "150"
    assert read(host.promtail)["/var/x: y.log"] == "1"
    assert read(host.promtail)["cursor-journal"] == CURSOR
    assert host.promtail.stat().st_mode & 0o777 == 0o600


def test_promtail_that_is_started_again_keeps_its_own(host: Host) -> None:
    host.write(host.alloy("loki.source.file.app"), positions(**{"/var/log/app/a.log": '"150"'}))
    host.write(host.promtail, PROMTAIL)
    host.end("promtail")
    host.start("promtail")
    assert host.promtail.read_text() == PROMTAIL


@pytest.mark.parametrize("fresh", ["app", "shop"])
def test_what_alloy_took_over_and_did_not_read_is_old(fresh: str, host: Host) -> None:
    """Alloy has all of Promtail's positions in the file of each entry, and moves on those that are the entry's."""
    host.write(host.legacy, PROMTAIL)
    for name in ("app", "shop"):
        place = '"150"' if name == fresh else '"100"'
        host.write(host.alloy(f"loki.source.file.{name}"), positions(**{"/var/log/app/a.log": place}))
    host.end("alloy")
    host.start("promtail")
    assert read(host.promtail) == {"/var/log/app/a.log": "150"}


@pytest.mark.parametrize("agent", ["promtail", "alloy"])
def test_positions_that_somebody_puts_there_are_taken_as_they_are(agent: str, host: Host) -> None:
    """As docs/adopt.md has it, for a Promtail that was not ours."""
    place = host.promtail if agent == "promtail" else host.legacy
    host.write(place, PROMTAIL)
    (host.root / f"var/lib/{agent}/ended").touch()
    host.start(agent)
    assert place.read_text() == PROMTAIL


# --- what was noted as read and not sent ---

AGAIN = 1310720


def of(path: str, place: int) -> str:
    return f'positions:\n  {path}: "{place}"\n'


@pytest.mark.parametrize("result", ["timeout", "signal", ""])
def test_an_agent_that_did_not_end_by_itself_reads_its_last_lines_again(result: str, host: Host) -> None:
    size = host.log("a.log", 20000)
    path = f"{host.root}/a.log"
    host.write(host.promtail, of(path, size))
    if result:  # else the host went down
        host.end("promtail", result)
    host.start("promtail")
    place = int(read(host.promtail)[path])
    assert place % 100 == 0, "in the middle of a line"
    assert size - AGAIN <= place <= size - AGAIN + 100


def test_what_cannot_be_read_again(host: Host) -> None:
    """A short file is read from its beginning; one that is shorter than its place, or gone, is the agent's matter."""
    short, cut = host.log("short.log", 10), host.log("cut.log", 10)
    (host.root / "long.log").write_text("x" * (2 * AGAIN) + "\n")
    places = {"short.log": short, "cut.log": cut + 2 * AGAIN, "gone.log": 2 * AGAIN, "long.log": 2 * AGAIN + 1}
    host.write(host.promtail, "".join(["positions:\n", *(f'  /{name}: "{place}"\n' for name, place in places.items())]))
    host.promtail.write_text(host.promtail.read_text().replace("  /", f"  {host.root}/"))
    host.start("promtail")
    found = {Path(path).name: int(place) for path, place in read(host.promtail).items()}
    assert found == {**places, "short.log": 0}


def test_one_that_dies_at_each_start_goes_back_once(host: Host) -> None:
    size, path = host.log("a.log", 50000), f"{host.root}/a.log"
    host.clock = int(os.stat(host.root).st_mtime)
    host.write(host.promtail, of(path, size))
    for _start in range(3):
        host.end("promtail", "exit-code")
        host.start("promtail")
    assert int(read(host.promtail)[path]) >= size - AGAIN


def test_alloy_too(host: Host) -> None:
    size, path = host.log("a.log", 20000), f"{host.root}/a.log"
    host.write(host.alloy("loki.source.file.app"), positions(**{path: f'"{size}"'}))
    host.end("alloy", "timeout")
    host.start("alloy")
    assert not host.alloy("loki.source.file.app").exists()
    assert size - AGAIN <= int(read(host.legacy)[path]) <= size - AGAIN + 100


def test_what_alloy_took_over_and_never_used_is_what_promtail_goes_on_from(host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.write(host.legacy, PROMTAIL.replace("100", "150"))
    host.end("alloy")
    host.start("promtail")
    assert read(host.promtail)["/var/log/app/a.log"] == "150"


# --- files that are made anew while nobody reads ---


@pytest.fixture
def rotated(host: Host) -> Path:
    """One that Promtail has read, and was renamed after its end; the new one is longer."""
    path = host.root / "a.log"
    host.log("b.log", 10)
    host.write(host.promtail, "".join(["positions:\n", f'  {host.root}/b.log: "500"\n', f'  {path}: "400"\n']))
    host.log("a.log", 10)
    host.end("promtail")
    path.rename(f"{path}.1")
    host.log("a.log", 20)
    return path


def test_a_new_file_of_the_same_name_is_read_from_its_beginning(host: Host, rotated: Path) -> None:
    host.start("promtail")
    assert read(host.promtail) == {f"{host.root}/b.log": "500"}


def test_by_alloy_too(host: Host) -> None:
    path = host.root / "a: b.log"
    host.log(path.name, 10)
    places = {str(path): '"400"', "cursor-loki.source.journal.journal": CURSOR}
    host.write(host.alloy("loki.source.file.app"), positions(**places))
    host.end("alloy")
    path.rename(f"{path}.1")
    host.log(path.name, 20)
    host.start("alloy")
    assert read(host.legacy) == {"cursor-journal": CURSOR}


def test_what_was_rotated_while_an_agent_ran_is_its_own_matter(host: Host, rotated: Path) -> None:
    """The numbers of files are of the last end. There was a start since, and then the host lost its power."""
    host.start("promtail")
    rotated.rename(f"{rotated}.2")
    host.log("a.log", 30)
    host.clock = int(os.stat(host.root).st_mtime) + 100
    host.write(host.promtail, of(f"{rotated}", 400))
    host.start("promtail")
    assert read(host.promtail) == {f"{rotated}": "0"}, "as after any kill: so far back"


def test_promtails_file_that_was_renamed_before_alloy_began(host: Host, rotated: Path) -> None:
    host.start("alloy")
    assert read(host.legacy) == {f"{host.root}/b.log": "500"}


def test_a_link_that_leads_to_a_new_file(host: Host) -> None:
    link, file = host.root / "current.log", host.root / "a.log"
    link.symlink_to(file)
    host.log("a.log", 10)
    host.write(host.promtail, of(f"{link}", 400))
    host.end("promtail")
    file.rename(f"{file}.1")
    host.log("a.log", 20)
    host.start("promtail")
    assert read(host.promtail) == {}


# --- names as Go's YAML writes them ---

CONTAINER = f"/var/lib/docker/containers/{'0a' * 32}/{'0a' * 32}-json.log"


def key(path: str) -> str:
    """Quoted where a plain text would mean something else, and folded where it is long."""
    text = f"'{path}'" if ": " in path or " #" in path or "'" in path else path
    return text.replace(" folded", "\n      folded")


def promtails(**places: str) -> str:
    """Promtail's own file: a name of more than 128 bytes has a line of its own."""
    lines = [f"  ? {key(p)}\n  : {n}\n" if len(p) > 128 else f"  {key(p)}: {n}\n" for p, n in places.items()]
    return "".join(["positions:\n", *lines])


@pytest.fixture(params=["a:1.log", "a: b.log", "a #b.log", f"{'x' * 140}-json.log", "a tab\\t.log"])
def named(request: pytest.FixtureRequest, host: Host) -> Path:
    """A file of two megabytes with such a name."""
    host.log(str(request.param), 20000)
    return host.root / str(request.param)


@pytest.mark.parametrize("agent", ["promtail", "alloy"])
def test_any_name_is_read_again_after_a_kill(agent: str, named: Path, host: Host) -> None:
    size = named.stat().st_size
    if agent == "promtail":
        host.write(host.promtail, promtails(**{str(named): f'"{size}"'}))
    else:
        host.write(host.alloy("loki.source.file.app"), positions(**{key(str(named)): f'"{size}"'}))
    host.end(agent, "signal")
    host.start(agent)
    found = read(host.promtail if agent == "promtail" else host.legacy)
    assert list(found) == [str(named)]
    assert size - AGAIN <= int(found[str(named)]) <= size - AGAIN + 100


def test_any_name_is_known_when_it_was_rotated(named: Path, host: Host) -> None:
    host.write(host.promtail, promtails(**{str(named): '"400"'}))
    host.end("promtail")
    named.rename(host.root / "old")
    host.log(named.name, 30)
    host.start("promtail")
    assert read(host.promtail) == {}


def test_alloy_takes_over_a_container(host: Host) -> None:
    host.write(host.promtail, promtails(**{CONTAINER: '"14"', "/var/log/app/a.log": '"100"'}))
    host.end("promtail")
    host.start("alloy")
    assert read(host.legacy) == {CONTAINER: "14", "/var/log/app/a.log": "100"}


def test_a_name_that_was_folded(host: Host) -> None:
    path = f"/var/log/app/{'x' * 80} folded.log"
    host.write(host.alloy("loki.source.file.app"), positions(**{key(path): '"7"'}))
    host.end("alloy")
    host.start("promtail")
    assert read(host.promtail) == {path: "7"}


def test_what_a_renamed_entry_of_alloy_left_is_old(host: Host) -> None:
    for name, place in {"zold": '"2500"', "anew": '"300"'}.items():
        host.write(host.alloy(f"loki.source.file.{name}"), positions(**{"/var/log/app/a.log": place}))
    host.end("alloy")
    host.start("promtail")
    assert read(host.promtail) == {"/var/log/app/a.log": "300"}


def test_it_goes_back_by_ten_times_what_is_sent_at_once() -> None:
    assert AGAIN == 10 * BATCH
    assert f"\nagain={AGAIN} " in (ROOT / "roles/monitoring/files/log_positions").read_text()


# --- where the journal is begun ---


JOURNALCTL = """#!/bin/sh
echo "$@" >>"${0%/*}/asked"
case $*:$EMPTY in *--since*:yes) exit 0 ;; esac
printf '__CURSOR=%s\\n__REALTIME_TIMESTAMP=1\\n\\n__CURSOR=later\\n\\n' "$CURSOR"
"""


@pytest.fixture
def journal(host: Host, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[], str]:
    """What journalctl was asked for."""
    script = host.root / "bin/journalctl"
    script.write_text(JOURNALCTL)
    script.chmod(0o755)
    monkeypatch.setenv("CURSOR", CURSOR)
    for agent in ("promtail", "alloy"):
        (host.root / "etc" / agent).mkdir(parents=True)
        (host.root / "etc" / agent / "journal_begin").write_text("journal 12h\n")
    asked = host.root / "bin/asked"
    return lambda: asked.read_text() if asked.exists() else ""


def native(cursor: str) -> str:
    """A place in the journal in Alloy's own form, with the labels by which it looks for it."""
    return f'positions:\n  ? path: cursor-loki.source.journal.journal\n    labels: ""\n  : {cursor}\n'


def test_alloy_takes_over_the_place_in_the_journal(host: Host, journal: t.Any) -> None:
    """What it converts itself it does not find again (1.12.2)."""
    host.write(host.promtail, PROMTAIL)
    host.end("promtail")
    host.start("alloy")
    ours = host.alloy("loki.source.journal.journal")
    assert ours.read_text() == native(CURSOR)
    assert read(host.legacy)["/var/log/app/a.log"] == "100"
    # It ends before it has noted anything: what it took over counts, as a whole.
    host.end("alloy")
    host.start("promtail")
    assert read(host.promtail) == yaml.safe_load(PROMTAIL)["positions"]
    assert journal() == "", "it goes on, and does not begin"


@pytest.mark.parametrize("agent", ["promtail", "alloy"])
@pytest.mark.parametrize("empty", ["no", "yes"])
def test_the_first_start_begins_so_far_back(
    agent: str, empty: str, host: Host, journal: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is as new, with the last entry there is."""
    monkeypatch.setenv("EMPTY", empty)
    host.start(agent)
    assert "--since=-12h" in journal()
    if agent == "promtail":
        assert read(host.promtail) == {"cursor-journal": CURSOR}
    else:
        assert host.alloy("loki.source.journal.journal").read_text() == native(CURSOR)
    before = journal()
    host.start(agent)
    assert journal() == before, "there is a place now"


def test_other_places_stay(host: Host, journal: t.Any) -> None:
    """And are as old as they were."""
    host.write(host.promtail, of("/var/log/app/a.log", 100))
    before = host.promtail.stat().st_mtime
    host.end("promtail")
    host.start("promtail")
    assert read(host.promtail) == {"/var/log/app/a.log": "100", "cursor-journal": CURSOR}
    assert host.promtail.stat().st_mtime == before


def test_alloy_reads_files_already_when_the_journal_is_added(host: Host, journal: t.Any) -> None:
    """What it is given for the journal must not pass for what it knows of files."""
    ours = host.alloy("loki.source.file.app")
    host.write(ours, positions(**{"/var/log/app/a.log": '"150"'}))
    host._run("alloy", "begin")  # at a reload
    assert host.alloy("loki.source.journal.journal").read_text() == native(CURSOR)
    assert '"150"' in ours.read_text()
    host.end("alloy", "signal")
    host.start("alloy")
    assert read(host.legacy)["/var/log/app/a.log"] == "0"


@pytest.mark.parametrize("agent", ["promtail", "alloy"])
def test_an_entry_that_is_renamed_goes_on(agent: str, host: Host, journal: t.Any) -> None:
    if agent == "promtail":
        host.write(host.promtail, PROMTAIL)
    else:
        places = positions(**{"cursor-loki.source.journal.journal": CURSOR})
        host.write(host.alloy("loki.source.journal.journal"), places)
    (host.root / "etc" / agent / "journal_begin").write_text("system 12h\n")
    host.end(agent)
    host.start(agent)
    if agent == "promtail":
        assert read(host.promtail)["cursor-system"] == CURSOR
    else:
        assert CURSOR in host.alloy("loki.source.journal.system").read_text()
    assert journal() == ""


def test_an_entry_that_is_renamed_with_the_move_goes_on(host: Host, journal: t.Any) -> None:
    host.write(host.promtail, PROMTAIL)
    (host.root / "etc/alloy/journal_begin").write_text("system 12h\n")
    host.end("promtail")
    host.start("alloy")
    assert CURSOR in host.alloy("loki.source.journal.system").read_text()
    assert journal() == ""


def test_alloy_that_could_not_read_the_journal_begins(host: Host, journal: t.Any) -> None:
    host.write(host.alloy("loki.source.journal.journal"), "positions: {}\n")
    host.end("alloy")
    host.start("alloy")
    assert host.alloy("loki.source.journal.journal").read_text() == native(CURSOR)


def test_a_place_that_alloy_has_is_left(host: Host, journal: t.Any) -> None:
    places = positions(**{"cursor-loki.source.journal.journal": CURSOR})
    host.write(host.alloy("loki.source.journal.journal"), places)
    host.end("alloy")
    host.start("alloy")
    assert not host.legacy.exists()
    assert journal() == ""


# --- what one who runs code as an agent can make of it ---


@pytest.mark.parametrize("agent", ["promtail", "alloy"])
def test_root_does_nothing_but_become_the_accounts(agent: str, host: Host) -> None:
    """What root opened in a folder of an agent could be a link to anywhere."""
    service = yaml.safe_load((ROOT / f"roles/{agent}/vars/main.yml").read_text())[f"__{agent}_unit"]["Service"]
    commands = [*service["ExecStartPre"], service["ExecStopPost"]]
    assert [command.split()[-1] for command in commands if command.startswith("+")] == ["take"]
    other = "alloy" if agent == "promtail" else "promtail"
    (host.root / "bin/setpriv").write_text('#!/bin/sh\ncat >/dev/null\necho "$@" >>"${0%/*}/calls"\n')
    host.write(host.promtail, PROMTAIL)
    host.write(host.alloy("loki.source.file.app"), positions(**{"/var/log/app/a.log": '"150"'}))
    before = sorted(host.root.rglob("var/**/*"))
    host._run(agent, "take")
    assert sorted(host.root.rglob("var/**/*")) == before
    calls = sorted((host.root / "bin/calls").read_text().splitlines())
    expected = sorted([(other, "tell"), (agent, "keep")])
    assert len(calls) == 2
    for call, (account, moment) in zip(calls, expected, strict=True):
        assert call.startswith(f"--reuid={account} --regid={account} --clear-groups --no-new-privs sh ")
        assert f" {account} {moment} " in call


@pytest.mark.parametrize("agent", ["promtail", "alloy"])
@pytest.mark.parametrize("last", ["promtail", "alloy"])
def test_links_in_the_folders_are_replaced_and_not_followed(agent: str, last: str, host: Host) -> None:
    victim = host.root / "victim"
    victim.write_text("root's\n")
    victim.chmod(0o640)
    os.utime(victim, (1, 1))
    seen = victim.stat()
    if last == "promtail":
        host.write(host.promtail, PROMTAIL)
    else:
        host.write(host.alloy("loki.source.file.app"), positions(**{"/var/log/app/a.log": '"150"'}))
    written = ("ended", "prepared", "other", "positions.new", "positions.new.whole")
    names = [*written, "positions.yaml", "promtail_positions.yaml"]
    for name in names:
        planted = host.root / "var/lib" / agent / name
        if not planted.exists():
            planted.symlink_to(victim)
            os.utime(planted, (1, 1), follow_symlinks=False)
    host.start(agent)
    host.end(agent)
    assert victim.read_text() == "root's\n"
    assert (victim.stat().st_mode, victim.stat().st_mtime) == (seen.st_mode, seen.st_mtime)
    for name in ("ended", "other"):
        assert not (host.root / "var/lib" / agent / name).is_symlink()


def test_what_is_no_file_is_not_opened(host: Host) -> None:
    """A position in a pipe: to read it would wait for ever."""
    os.mkfifo(host.root / "pipe")
    host.write(host.promtail, of(f"{host.root}/pipe", 2 * AGAIN))
    host.start("alloy")
    assert read(host.legacy) == {f"{host.root}/pipe": str(2 * AGAIN)}


@pytest.mark.parametrize("told", ["", "x yes\n", "-1 no\n", "99999999999999999999999 no\n"])
def test_what_the_other_tells_may_be_nonsense(told: str, host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.end("promtail")
    (host.root / "var/lib/promtail/other").write_text(told)
    host._run("promtail", "start")
    assert host.promtail.read_text() == PROMTAIL


# --- the roles ---


@pytest.mark.parametrize("agent", ["promtail", "alloy"])
def test_an_agent_that_goes_needs_no_loki(agent: str) -> None:
    """Its configuration names the Lokis, and is refused where there is none."""
    block = yaml.safe_load((ROOT / f"roles/{agent}/tasks/main.yml").read_text())[0]["block"]
    files = block[0]["opswatch.monitoring.component"]["files"]
    template = NativeEnvironment(undefined=jinja2.StrictUndefined).from_string(files)
    assert template.render({f"{agent}_state": "absent"}) == []
    assert template.render({f"{agent}_state": "present", f"__{agent}_files": ["it"]}) == ["it"]
