# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The planner: desired state x observed state -> steps. Pure, so a table tests it and check mode can trust it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.compat.version import LooseVersion

from ._errors import ComponentError

Key = tuple[str, str]  # (place, path)

# Where people find the files of a place, below /etc/<name>.
FOLDERS = {"config": "", "live": "live", "secret": "secrets"}

# What a change asks of the service, weakest first.
EFFECTS = ("nothing", "reload", "restart")

# Every step an engine can take: how it reads before and after.
WORDS = {
    "tidy": ("remove what an interrupted run left", "removed what an interrupted run left"),
    "adopt": ("take over {}", "took over {}"),
    "account": ("create the account {}", "created the account {}"),
    "release": ("install release {}", "installed release {}"),
    "stage": ("write {}", "wrote {}"),
    "check_flags": ("check the flags with {}", "checked the flags with {}"),
    "validate": ("validate with {}", "validated with {}"),
    "keep_data": ("keep a copy of the data that {} reads", "kept a copy of the data that {} reads"),
    "activate": ("activate generation {}", "activated generation {}"),
    "write": ("update {}", "updated {}"),
    "access": ("repair owner and mode of {}", "repaired owner and mode of {}"),
    "links": ("repair the links {}", "repaired the links {}"),
    "enable": ("enable {}", "enabled {}"),
    "start": ("start {}", "started {}"),
    "reload": ("reload {}", "reloaded {}"),
    "restart": ("restart {}", "restarted {}"),
    "prove": ("prove that {} is ready", "proved that {} is ready"),
    "commit": ("commit generation {}", "committed generation {}"),
    "purge": ("remove {}", "removed {}"),
    "prune": ("remove {}", "removed {}"),
    "stop": ("stop and disable {}", "stopped and disabled {}"),
    "remove": ("remove {}", "removed {}"),
    "remove_data": ("remove the data in {}", "removed the data in {}"),
}


@dataclass(frozen=True)
class Step:
    """One thing to do; C(kind) is the name of a method of the transaction."""

    kind: str
    about: str = ""

    def words(self, done: bool) -> str:
        return WORDS[self.kind][done].format(self.about)


@dataclass(frozen=True)
class File:
    """A file that the component wants: C(place) is config, live or secret; C(sha256) of its content."""

    place: str
    path: str
    sha256: str
    mode: int = 0o640
    on_change: str = "restart"

    @property
    def key(self) -> Key:
        return (self.place, self.path)


@dataclass(frozen=True)
class Desired:
    name: str
    state: str = "present"
    version: str = ""
    files: tuple[File, ...] = ()
    unit: str = ""  # SHA-256 of its text
    main_program: str = ""
    validators: tuple[str, ...] = ()
    breaking_versions: tuple[str, ...] = ()  # data written by these or later cannot be read by earlier ones
    can_reload: bool = True
    keep: int = 3
    adopt: bool = False
    allow_downgrade: bool = False
    remove_data: bool = False


@dataclass(frozen=True)
class Seen:
    """A file as it is on the host."""

    sha256: str
    access: bool = True  # owner, group and mode are as they should be


@dataclass(frozen=True)
class Generation:
    number: int
    version: str
    unit: str
    files: t.Mapping[Key, str] = field(default_factory=dict)
    committed: bool = True


@dataclass(frozen=True)
class Service:
    active: bool = False
    enabled: bool = False


@dataclass(frozen=True)
class Observed:
    current: Generation | None = None
    fallback: int | None = None  # the newest generation that is known to work
    numbers: tuple[int, ...] = ()
    committed: tuple[int, ...] = ()
    files: t.Mapping[Key, Seen] = field(default_factory=dict)
    known: tuple[Key, ...] = ()  # files of ours that the current manifest does not name
    secrets: t.Mapping[int, tuple[Key, ...]] = field(default_factory=dict)  # those that each generation refers to
    foreign: tuple[str, ...] = ()
    unit: str | None = None
    release: bool = False
    releases: t.Mapping[int, str] = field(default_factory=dict)  # version of each generation
    installed: tuple[str, ...] = ()  # release folders
    service: Service = Service()
    wrong_links: tuple[str, ...] = ()
    account: bool = False
    occupied: tuple[str, ...] = ()  # things of somebody else where our links belong
    packaged: tuple[str, ...] = ()  # units of packages of the same program
    leftovers: bool = False
    ours: bool = True  # the unit file, if there is one, was made here
    pending: str | None = None  # effect of an activation that was never proven
    data: bool = False
    kept: bool = False  # a change under way has kept a copy of it already


@dataclass(frozen=True)
class Plan:
    steps: tuple[Step, ...] = ()
    number: int | None = None  # of the new generation, if there is one
    fallback: int | None = None
    effect: str = "nothing"
    changed: tuple[Key, ...] = ()
    removed: tuple[Key, ...] = ()
    warnings: tuple[str, ...] = ()

    def kinds(self) -> list[str]:
        return [step.kind for step in self.steps]


def plan(desired: Desired, observed: Observed) -> Plan:
    """What has to be done so that the host becomes as desired. Raises ComponentError where it must not be done."""
    return _absent(desired, observed) if desired.state == "absent" else _present(desired, observed)


def _present(desired: Desired, observed: Observed) -> Plan:
    current = observed.current
    refuse(desired, observed)
    unit_name = f"{desired.name}.service"

    wanted = {file.key: file for file in desired.files}
    changed = tuple(key for key, file in wanted.items() if _sha(observed, key) != file.sha256)
    known = {*(current.files if current else ()), *observed.known}
    access = tuple(key for key in wanted if key not in changed and not observed.files[key].access)

    new_version = current is None or current.version != desired.version
    new_unit = current is None or observed.unit != desired.unit or current.unit != desired.unit
    gone = {key for key in known if key not in wanted and key in observed.files}
    new_config = any(place == "config" for place, path in {*changed, *gone})
    # An account that is made anew may get other numbers, and what runs has the old ones.
    new_generation = new_version or new_unit or new_config or not observed.account
    number = max(observed.numbers, default=0) + 1 if new_generation else None
    # A generation that one may go back to needs its secrets, if only by their names.
    kept = kept_generations(desired, observed, number)
    if not number:  # the manifest of the current one is about to be written anew, without them
        kept -= {current.number} if current else set()
    needed = {key for n, keys in observed.secrets.items() if n in kept for key in keys}
    removed = tuple(sorted(gone - needed))

    effect = _effect(desired, observed, changed, removed, new_version or new_unit or not observed.account)
    outside = tuple(key for key in changed if key[0] != "config")
    purged = tuple(key for key in removed if key[0] != "config")
    fallback = observed.fallback if number or observed.pending else None

    steps: list[Step] = []

    def step(kind: str, about: object = "", when: object = True) -> None:
        if when:
            steps.append(Step(kind, str(about)))

    step("tidy", when=observed.leftovers)
    step("account", desired.name, not observed.account)
    step("release", desired.version, not observed.release)
    step("stage", _listing(changed, new_unit, unit_name), new_generation or changed or removed)
    step("check_flags", desired.main_program, new_generation)
    for validator in desired.validators:
        step("validate", validator, new_generation or changed or removed)
    step("adopt", ", ".join(observed.occupied + observed.packaged), observed.occupied or observed.packaged)
    step("keep_data", observed.releases.get(observed.fallback or 0, ""), _breaks(desired, observed))
    step("write", _paths(outside), outside)
    step("access", _paths(access), access)
    step("activate", number, number)
    step("links", ", ".join(observed.wrong_links), observed.wrong_links and not new_generation)
    step("enable", unit_name, not observed.service.enabled)
    if not observed.service.active:
        step("start", unit_name)
    else:
        step(effect, unit_name, effect != "nothing")
    new_secret = any(place == "secret" for place, path in outside)
    proven = not observed.service.active or effect != "nothing" or number or observed.pending or new_secret
    step("prove", desired.name, proven)
    step("purge", _paths(purged), purged)  # now that nothing refers to them any more
    step("commit", number or (current.number if current else ""), proven or outside or purged or access)
    step("prune", _paths_or_numbers(desired, observed, number), _paths_or_numbers(desired, observed, number))
    return Plan(
        steps=tuple(steps),
        number=number,
        fallback=fallback,
        effect=effect,
        changed=changed,
        removed=removed,
        warnings=_warnings(desired, observed),
    )


def refuse(desired: Desired, observed: Observed) -> None:
    """The reasons not to touch the host at all."""
    name = desired.name
    current = observed.current
    if not desired.adopt:
        refuse_others(name, observed.packaged, observed.occupied)
    if current and current.committed and not desired.allow_downgrade and older(desired.version, current.version):
        raise ComponentError(
            f"{name} {current.version} is installed and the inventory asks for the older {desired.version}",
            "",
            f"set {name}_version: {current.version}, or monitoring_allow_downgrade: true if you mean it",
        )


def refuse_others(name: str, packaged: t.Sequence[str], occupied: t.Sequence[str]) -> None:
    """What somebody else has where the component belongs. The preflight asks too."""
    if packaged:
        raise ComponentError(
            f"a package of the operating system already runs {name} here",
            f"unit {', '.join(packaged)}",
            f"remove that package, or set {name}_adopt: true to stop its unit and take over (its data is not touched)",
        )
    if occupied:
        raise ComponentError(
            f"{', '.join(occupied)} exists and was not made by this collection",
            "",
            f"move it away, or set {name}_adopt: true to have it moved to /var/lib/opswatch/{name}/adopted",
        )


def older(one: str, other: str) -> bool:
    """Whether a version comes before another one; 3.0.0-rc.1 comes before 3.0.0."""
    (base, _dash, early), (other_base, _dash, other_early) = one.partition("-"), other.partition("-")
    if base != other_base:
        return LooseVersion(base) < LooseVersion(other_base)
    if not early or not other_early:
        return bool(early) and not other_early
    return LooseVersion(early) < LooseVersion(other_early)


def kept_generations(desired: Desired, observed: Observed, number: int | None) -> set[int]:
    """The generations that stay: the current one and the newest proven ones, C(keep) in all."""
    current = number or (observed.current.number if observed.current else None)
    proven = sorted({n for n in observed.committed if n != current}, reverse=True)
    return {*proven[: max(desired.keep - 1, 1)], *([current] if current else [])}


def kept_releases(desired: Desired, observed: Observed, number: int | None) -> set[str]:
    kept = kept_generations(desired, observed, number)
    return {version for n, version in observed.releases.items() if n in kept} | {desired.version}


def stale_generations(desired: Desired, observed: Observed, number: int | None) -> list[int]:
    """The generations that go, among them an unproven one that was in force when another takes its place."""
    # One whose manifest cannot be read may be the one in force; it goes with the others.
    unproven = [observed.current.number] if observed.current else observed.numbers
    return sorted({*observed.committed, *unproven} - kept_generations(desired, observed, number))


def stale_releases(desired: Desired, observed: Observed, number: int | None) -> list[str]:
    return sorted(set(observed.installed) - kept_releases(desired, observed, number))


def _absent(desired: Desired, observed: Observed) -> Plan:
    name = desired.name
    there = bool(observed.current or observed.numbers or observed.installed or observed.leftovers)
    steps: list[Step] = []
    if there:
        if observed.unit is not None and observed.ours:
            steps.append(Step("stop", f"{name}.service"))
        steps.append(Step("remove", f"{name}: unit, links, generations and releases"))
    if desired.remove_data and observed.packaged:
        raise ComponentError(
            f"the data in /var/lib/{name} belongs to a package of the operating system",
            f"unit {', '.join(observed.packaged)}",
            f"remove that package first, or leave {name}_remove_data out",
        )
    if desired.remove_data and observed.data:
        steps.append(Step("remove_data", f"/var/lib/{name}"))
    removed = tuple(sorted(observed.current.files)) if observed.current and there else ()
    return Plan(steps=tuple(steps), removed=removed, warnings=_warnings(desired, observed))


def _sha(observed: Observed, key: Key) -> str | None:
    seen = observed.files.get(key)
    return seen.sha256 if seen else None


def _effect(
    desired: Desired, observed: Observed, changed: tuple[Key, ...], removed: tuple[Key, ...], must_restart: bool
) -> str:
    """The strongest of what the changes ask for, and of what an interrupted run still owes."""
    asked = {file.on_change for file in desired.files if file.key in changed}
    # A file that is gone from the configuration was named by another file that changed too; live files act at once.
    asked |= {"reload" if desired.can_reload else "restart" for place, path in removed if place == "config"}
    if must_restart:
        asked.add("restart")
    if observed.pending:
        asked.add(observed.pending)
    return max(asked, key=EFFECTS.index, default="nothing")


def _breaks(desired: Desired, observed: Observed) -> bool:
    """True where a copy of the data has to be kept: the step crosses a version that the proven one cannot read."""
    proven = observed.releases.get(observed.fallback or 0)
    if proven is None or observed.kept or not observed.data:
        return False
    return any(older(proven, border) and not older(desired.version, border) for border in desired.breaking_versions)


def _paths(keys: t.Iterable[Key]) -> str:
    return ", ".join(path if place == "config" else f"{FOLDERS[place]}/{path}" for place, path in keys)


def _listing(changed: tuple[Key, ...], unit: bool, unit_name: str) -> str:
    names = [path for place, path in changed if place == "config"] + ([unit_name] if unit else [])
    return ", ".join(names) or "the files to validate"


def _paths_or_numbers(desired: Desired, observed: Observed, number: int | None) -> str:
    """Old generations and releases that nothing refers to any more, in words; empty if there are none."""
    generations = stale_generations(desired, observed, number)
    releases = stale_releases(desired, observed, number)
    words = []
    if generations:
        words.append("old generations " + ", ".join(map(str, generations)))
    if releases:
        words.append("unused releases " + ", ".join(releases))
    return " and ".join(words)


def _warnings(desired: Desired, observed: Observed) -> tuple[str, ...]:
    if not observed.foreign:
        return ()
    names = ", ".join(observed.foreign)
    return (f"/etc/{desired.name} holds files of somebody else, which stay as they are: {names}",)
