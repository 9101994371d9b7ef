# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""One look at a host before anything is changed there: a POSIX script that only reads, and what its answer means."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import typing as t
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..module_utils._errors import ComponentError
from ..module_utils._layout import GENERATIONS_HOME, RELEASES_HOME, Layout
from ..module_utils._plan import older, refuse_others
from ..module_utils._release import MARK, architecture
from .addresses import Listener, collide
from .logs import AGENTS
from .preflight_report import Problem
from .preflight_values import is_version, shown
from .scrape import join

SYSTEMD = 250
PYTHON = (3, 9)
SKEW = 60  # seconds that a clock may be off
MIB = 1 << 20
SMALL = 16 * MIB  # units, links and a generation of configuration
UNKNOWN_ARCHIVE = 64 * MIB  # where nobody could say how large it is
UNPACKED = 4  # an archive and what is in it, side by side, measured in archives

# Everything that a component writes is below one of these.
FOLDERS = (RELEASES_HOME, GENERATIONS_HOME, "/etc/systemd/system", "/usr/local/bin")
# These folders, and those that they are in: where a file system may be mounted.
ABOVE = sorted({str(place) for path in FOLDERS for place in (PurePosixPath(path), *PurePosixPath(path).parents)})


class Wanted(t.NamedTuple):
    """A component that the host is to run."""

    name: str
    version: str
    packages: t.Sequence[str] = ()
    programs: t.Sequence[str] = ()
    listens: t.Sequence[Listener] = ()
    adopt: bool = False
    downgrade: bool = False  # an older version is meant


class Holder(t.NamedTuple):
    """Who has a port."""

    program: str
    unit: str  # or what else its cgroup is called, such as a scope


@dataclass
class Look:
    """What was seen."""

    uid: int = -1
    machine: str = ""
    clock: int = 0
    booted: bool = False  # by systemd
    systemd: int = 0
    python: tuple[str, str] = ("", "")  # (which one, what it says of its version)
    releases: set[str] = field(default_factory=set)  # components whose wanted version is unpacked
    installed: dict[str, str] = field(default_factory=dict)  # version by component, wanted or not
    proven: set[str] = field(default_factory=set)  # those of which a change is not unfinished
    certified: set[str] = field(default_factory=set)  # components that have a certificate
    notifiers: set[str] = field(default_factory=set)  # components that have a login to Alertmanager
    packages: dict[str, list[str]] = field(default_factory=dict)  # units of packages, by component
    occupied: dict[str, list[str]] = field(default_factory=dict)  # paths that others have made, by component
    rivals: dict[str, str] = field(default_factory=dict)  # by log agent of ours: the unit of another one, not ours
    listening: dict[str, list[Listener]] = field(default_factory=dict)  # on a port of a component, of new ones only
    holders: dict[int, list[Holder]] = field(default_factory=dict)  # of these ports, where the host can tell
    space: dict[str, tuple[str, int]] = field(default_factory=dict)  # (mount point, bytes that are free), by folder
    mounts: dict[str, list[str]] = field(default_factory=dict)  # options, by mount point
    complete: bool = False


_SCRIPT = r"""
echo "uid $(id -u)"
echo "machine $(uname -m)"
echo "clock $(date +%s)"
[ -d /run/systemd/system ] && echo "booted yes"
systemctl --version 2>/dev/null | sed -n '1s/^systemd /systemd /p'
set --
for folder in @FOLDERS@; do
    while [ ! -e "$folder" ]; do folder=${folder%/*}; folder=${folder:-/}; done
    set -- "$@" "$folder"
done
df -Pk "$@" 2>/dev/null | sed -n '2,$s/^/space /p'
while read -r device point type options rest; do
    case $point in @ABOVE@) echo "mount $point $options" ;; esac
done < /proc/mounts
runs() { [ "$(systemctl is-enabled "$1" 2>/dev/null)" = enabled ] || systemctl is-active -q "$1" 2>/dev/null; }
packaged() { [ -e "/usr/lib/systemd/system/$1" ] || [ -e "/lib/systemd/system/$1" ]; }
there() { [ -e "$1" ] || [ -L "$1" ]; }
foreign() { there "$2" && [ "$(readlink "$2")" != "$3" ] && echo "occupied $1 $2"; }
ours() {
    [ -e "$1/current/manifest.json" ] || [ -e "$1/journal.json" ] || [ -e "$1/adoption.json" ] ||
        grep -qs '^  "committed": true' "$1"/generations/*/manifest.json
}
unset sockets
held() {
    sockets=${sockets-$(sed -n 's/^ *[0-9]*: \([0-9A-F:]*\) [0-9A-F:]* 0A .*/\1/p' /proc/net/tcp /proc/net/tcp6)}
    case "$sockets " in *":$3"[!0-9A-F]*) ;; *) return ;; esac
    for socket in $sockets; do
        case $socket in *":$3") echo "listens $1 $socket" ;; esac
    done
    ss -Hltnp "sport = :$2" | tr , '\n' | sed -n 's/^pid=//p' | sort -u | while read -r pid; do
        unit=$(sed -n '$s/.*\///p' "/proc/$pid/cgroup")
        echo "holder $2 ${unit:-/} $(cat "/proc/$pid/comm")"
    done
} 2>/dev/null
python=
"""


def script(wanted: t.Iterable[Wanted], pythons: t.Iterable[str], known: t.Iterable[str] = ()) -> str:
    """Starts no Python and writes nothing, so that it costs one cheap call wherever a shell is.

    C(known): all components that may be there, wanted or not.
    """
    parts = [_SCRIPT.replace("@FOLDERS@", " ".join(FOLDERS)).replace("@ABOVE@", "|".join(ABOVE)).strip()]
    for python in pythons:
        words = shlex.split(python)
        command, first = shlex.join(words), shlex.quote(words[0])
        parts.append(
            f'[ "$python" ] || {{ command -v {first} >/dev/null 2>&1 && python=yes '
            f'&& echo {shlex.quote("python " + command)} "$({command} -V 2>&1)"; }}'
        )
    for one in wanted:
        layout = Layout(one.name)
        mark = shlex.quote(os.path.join(layout.release(one.version), MARK))
        parts.append(f"[ -e {mark} ] && echo release {one.name}")
        parts.append(f"ours {layout.home} || {{\n{_newcomer(one, layout)}\n}}")
        parts += [f"packaged {unit} && runs {unit} && echo package {one.name} {unit}" for unit in one.packages]
        parts += [_rival(one.name, Layout(other)) for other in _rivals(one.name)]
    for name in known:
        layout = Layout(name)
        manifest = f"{layout.current}/manifest.json"
        version = rf's/^  "version": "\(.*\)".*/installed {name} \1/p'
        parts.append(
            f"""[ -e {manifest} ] && sed -n '{version}; s/^  "committed": true.*/proven {name}/p' {manifest}"""
        )
        parts.append(f"[ -e {layout.secrets}/tls.crt ] && echo certified {name}")
    # Without an Alertmanager Loki has none.
    parts.append(f"[ -e {Layout('loki').secrets}/alertmanager_credentials ] && echo notifies loki")
    return "\n".join([*parts, "echo complete"])


def _rivals(name: str) -> list[str]:
    """The log agents that may not run beside this one."""
    return [other for other in AGENTS if name in AGENTS and other != name]


def _rival(name: str, layout: Layout) -> str:
    """One of ours is stopped, its place is taken over, and it is removed; nobody does that with another's."""
    unit = layout.unit_name
    there = f"{{ packaged {unit} || there {layout.unit}; }}"
    return f"ours {layout.home} || {{ {there} && runs {unit} && echo rival {name} {unit}; }}"


def _newcomer(one: Wanted, layout: Layout) -> str:
    """What others have where a component belongs that was never in force here; so it costs nothing later on.

    It is what the worker calls packaged and occupied. One that an interrupted run was about to take over, or whose link
    is gone, is left to the worker: it puts that right first.
    """
    links = layout.links(tuple(one.programs)).items()
    return "\n".join(
        [
            f"packaged {layout.unit_name} && echo package {one.name} {layout.unit_name}",
            *(f"foreign {one.name} {path} {target}" for path, target in links),
            f"there {layout.unit} && echo occupied {one.name} {layout.unit}",
            *(f"held {one.name} {wish.port} {wish.port:04X}" for wish in one.listens),
        ]
    )


def read(answer: str) -> Look:
    """What the script said. Lines of others, such as a login's greeting, are left out."""
    look = Look()
    space = []
    for line in answer.splitlines():
        key, _blank, rest = line.strip().partition(" ")
        words = rest.split()
        if key in ("uid", "clock") and rest.isdecimal():
            setattr(look, key, int(rest))
        elif key == "machine":
            look.machine = rest
        elif key == "booted":
            look.booted = True
        elif key == "systemd" and words and words[0].isdecimal():
            look.systemd = int(words[0])
        elif key == "python" and words:
            look.python = _python(rest)
        elif key == "release":
            look.releases.add(rest)
        elif key == "proven":
            look.proven.add(rest)
        elif key == "certified":
            look.certified.add(rest)
        elif key == "notifies":
            look.notifiers.add(rest)
        elif key == "installed" and len(words) == 2:
            look.installed[words[0]] = words[1]
        elif key == "package" and len(words) == 2:
            look.packages.setdefault(words[0], []).append(words[1])
        elif key == "rival" and len(words) == 2:
            look.rivals[words[0]] = words[1]
        elif key == "occupied" and len(words) == 2:
            look.occupied.setdefault(words[0], []).append(words[1])
        elif key == "listens" and len(words) == 2 and (listener := _listener(words[1])):
            look.listening.setdefault(words[0], []).append(listener)
        elif key == "holder" and len(words) >= 3 and words[0].isdecimal():
            look.holders.setdefault(int(words[0]), []).append(Holder(" ".join(words[2:]), words[1]))
        elif key == "mount" and len(words) == 2:
            look.mounts[words[0]] = words[1].split(",")  # the last one lies over the others
        elif key == "space":
            space.append(_space(rest))
        elif key == "complete":
            look.complete = True
    if len(space) == len(FOLDERS):
        look.space = {folder: seen for folder, seen in zip(FOLDERS, space, strict=True) if seen}
    return look


def _python(text: str) -> tuple[str, str]:
    name, _word, said = text.partition(" Python ")
    return (name, said.strip()) if said else (text, "")


def _listener(text: str) -> Listener | None:
    """A socket of /proc/net/tcp: words of 32 bits, the lowest byte first on amd64 and arm64, and the port."""
    found = re.fullmatch(r"([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})", text)
    if not found:
        return None
    raw = bytes.fromhex(found[1])
    address = ipaddress.ip_address(b"".join(raw[place : place + 4][::-1] for place in range(0, len(raw), 4)))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Listener("", str(mapped or address), int(found[2], 16))


def _space(text: str) -> tuple[str, int] | None:
    """A line of POSIX df: device, size, used, free, percent, mount point."""
    found = re.fullmatch(r".*?\s\d+\s+-?\d+\s+(-?\d+)\s+\S+\s+(/.*)", text)
    return (found[2], int(found[1]) * 1024) if found else None


def host_problems(look: Look, components: t.Sequence[str], wanted: t.Sequence[Wanted]) -> list[Problem]:
    """What is wrong with the host itself. C(components): all that are changed there, the absent ones too."""
    problems = []
    if look.uid != 0:
        remedy = "let the play become root (become: true), or connect as root"
        problems.append(Problem(listed(components) + " can only be changed by root", f"uid {look.uid}", remedy))
    problems += _system_problems(look)
    problems += _refused(architecture, look.machine)
    for point in sorted({point for point, _free in look.space.values() if "ro" in look.mounts.get(point, [])}):
        folders = ", ".join(folder for folder, (mounted, _free) in look.space.items() if mounted == point)
        remedy = f"see why it is (dmesg, /etc/fstab), then: mount -o remount,rw {point}"
        problems.append(Problem(f"{folders} cannot be written", f"the file system {point} is read-only", remedy))
    for one in wanted:
        before = look.installed.get(one.name, "") if one.name in look.proven else ""
        comparable = is_version(before) and is_version(one.version)  # what is no version is another problem
        if comparable and not one.downgrade and older(one.version, before):
            what = f"{one.name} {before} is installed, and the inventory asks for the older {one.version}"
            remedy = f"set {one.name}_version: {before}, or monitoring_allow_downgrade: true if you mean it"
            problems.append(Problem(what, "", remedy))
        if rival := look.rivals.get(one.name):
            what = f"{rival} is another log agent and not ours, so {one.name} does not take over how far it has read"
            after = "; how alloy goes on where it was: docs/adopt.md (Log agents)" if one.name == "alloy" else ""
            remedy = f"systemctl disable --now {rival}{after}"
            seen = f"it is enabled, or runs; {one.name} would stop it, and at a boot either could start"
            problems.append(Problem(what, seen, remedy))
        if not one.adopt:
            others = look.packages.get(one.name, []), look.occupied.get(one.name, [])
            problems += _refused(refuse_others, one.name, *others)
    return problems


def _refused(check: t.Callable[..., object], *arguments: t.Any) -> list[Problem]:
    """The problem for which the worker would refuse these arguments, if it would."""
    try:
        check(*arguments)
    except ComponentError as error:
        return [Problem(error.what, error.seen, error.remedy)]
    return []


def _system_problems(look: Look) -> list[Problem]:
    problems = []
    if not look.booted:
        remedy = "use a host, a virtual machine or a container that was booted by systemd"
        problems.append(Problem("systemd does not run here", "no folder /run/systemd/system", remedy))
    if 0 < look.systemd < SYSTEMD:
        remedy = "use a newer release of the operating system, such as Debian 12, Ubuntu 24.04 or RHEL 9"
        problems.append(Problem(f"systemd {SYSTEMD} or later is needed", f"systemd {look.systemd}", remedy))
    name, version = look.python
    needed = "Python " + ".".join(map(str, PYTHON)) + " or later is needed"
    remedy = "install python3, or set ansible_python_interpreter to a newer one"
    if not name:
        problems.append(Problem(needed, "none was found", remedy))
    elif not version:
        problems.append(Problem(needed, f"{name} does not tell its version", remedy))
    elif tuple(map(int, re.findall(r"\d+", version)[:2])) < PYTHON:
        problems.append(Problem(needed, f"{name} is {version}", remedy))
    return problems


def listening_problems(look: Look, wanted: t.Sequence[Wanted], mine: t.Collection[str]) -> list[Problem]:
    """Ports on which somebody else listens, of components that are new here: they would not start.

    What is to be adopted goes. So may components of ours: whether two of them want the same port, their variables say.
    """
    ours = {f"{name}.service" for name in set(look.installed) & _looked_after(mine)}
    return [
        problem
        for one in wanted
        for goes in [_taken_over(look, one.name)]
        for wish in one.listens
        for problem in _holder_problems(look, one.name, wish, goes, ours)
    ]


def _taken_over(look: Look, name: str) -> set[str]:
    """Units that are stopped when a component is adopted; where it is not, they are a problem of their own."""
    layout = Layout(name)
    return {*look.packages.get(name, []), *([layout.unit_name] if layout.unit in look.occupied.get(name, []) else [])}


def _holder_problems(look: Look, name: str, wish: Listener, goes: set[str], ours: set[str]) -> list[Problem]:
    seen = [listener for listener in look.listening.get(name, []) if collide(listener, wish)]
    holders = look.holders.get(wish.port, [])
    others = [holder for holder in holders if holder.unit not in goes | ours]
    # Where the host cannot tell who it is, it may be what is to go.
    if not seen or not (others if holders else not goes):
        return []
    who = [f"{holder.program} ({holder.unit})" for holder in dict.fromkeys(others)]
    sockets = [join(listener.address, listener.port) for listener in dict.fromkeys(seen)]
    return [
        Problem(
            f"another program listens on port {wish.port}, which {name} is to have",
            f"{', '.join(sockets + who)}; wanted: {shown(wish)}",
            f"stop it, or set {wish.owner} to another port; ss -ltnp 'sport = :{wish.port}' shows who it is",
        )
    ]


def space_problems(look: Look, archives: t.Mapping[str, int]) -> list[Problem]:
    """File systems that are too full. C(archives): bytes of each release that has to be unpacked; 0 where unknown."""
    needed: dict[str, int] = dict.fromkeys((point for point, _free in look.space.values()), SMALL)
    why = "units and configuration"
    if archives and RELEASES_HOME in look.space:
        needed[look.space[RELEASES_HOME][0]] += sum(UNPACKED * (size or UNKNOWN_ARCHIVE) for size in archives.values())
    problems = []
    for point, need in needed.items():
        free = next(free for mounted, free in look.space.values() if mounted == point)
        if free < need:
            what = f"no space on {point} for {', '.join(archives) if need > SMALL else why}"
            seen = f"{_mib(need)} needed, {free // MIB} MiB free"
            problems.append(Problem(what, seen, "free some space, or add some"))
    return problems


def forgotten_warnings(look: Look, host: str, mine: t.Collection[str]) -> list[str]:
    """Components of ours on a host which has left their group: nobody changes or scrapes them any more."""
    return [
        f"{host} still runs {name}, but is not in the group {name}. It keeps running as it is, and nobody looks at it. "
        f"What to do: to remove it, put the host back into the group with {name}_state: absent and run site.yml; "
        "after that take it out for good."
        for name in sorted(set(look.installed) - _looked_after(mine))
    ]


def _looked_after(mine: t.Collection[str]) -> set[str]:
    """The agent that a host has changed for the other is removed by the other's role."""
    return {*mine, *(AGENTS if set(AGENTS) & set(mine) else ())}


def skew_warning(look: Look, before: float, after: float) -> str:
    """C(before), C(after): the control node's clock around the look."""
    if not look.clock:
        return ""
    off = clock_off(look.clock, before, after)
    if abs(off) <= SKEW:
        return ""
    way = "ahead of" if off > 0 else "behind"
    return (
        f"Its clock is {abs(off):.0f} s {way} that of the control node. Samples get wrong times, and certificates may "
        "not be valid yet. What to do: let it keep time by NTP (timedatectl set-ntp true)."
    )


def clock_off(clock: float, before: float, after: float) -> float:
    """Seconds by which a host's clock is ahead, at least; 0 where it may be right.

    It says whole seconds, or more than these, and said them at some moment between the two.
    """
    return max(clock - after, 0) or min(clock + 1 - before, 0)


def listed(names: t.Sequence[str]) -> str:
    """As in a sentence."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _mib(size: int) -> str:
    return f"{-(-size // MIB)} MiB"
