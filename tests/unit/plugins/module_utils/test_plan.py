# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner as a table: what is wanted and what is there, and the steps between them."""

from __future__ import annotations

import itertools
import random
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._plan import (
    EFFECTS,
    WORDS,
    Desired,
    File,
    Generation,
    Key,
    Observed,
    Plan,
    Seen,
    Service,
    Step,
    kept_generations,
    kept_releases,
    plan,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._transaction import Transaction

RELOADED = File("config", "app.yml", "config-1", on_change="reload")
RESTARTED = File("config", "boot.yml", "boot-1", on_change="restart")
LIVE = File("live", "targets.yml", "targets-1", on_change="nothing")
SECRET = File("secret", "web.yml", "secret-1", on_change="nothing")
FILES = (RELOADED, RESTARTED, LIVE, SECRET)
OLD_SECRET = ("secret", "old_token")  # nobody wants it any more

WANTED = Desired(
    name="app",
    version="3.5.3",
    files=FILES,
    unit="unit-1",
    main_program="app",
    validators=("apptool check",),
    keep=3,
)
EMPTY = Observed(wrong_links=("/etc/app", "/usr/local/bin/app"))
RUNNING = Observed(
    current=Generation(4, "3.5.3", "unit-1", {file.key: file.sha256 for file in FILES}),
    fallback=4,
    numbers=(2, 3, 4),
    committed=(2, 3, 4),
    files={file.key: Seen(file.sha256) for file in FILES},
    known=(LIVE.key, SECRET.key),
    secrets=dict.fromkeys((2, 3, 4), (SECRET.key,)),
    unit="unit-1",
    release=True,
    releases={2: "3.5.3", 3: "3.5.3", 4: "3.5.3"},
    installed=("3.5.3",),
    service=Service(active=True, enabled=True),
    account=True,
    data=True,
)


def wanting(*changed: File, without: t.Sequence[File] = (), **more: t.Any) -> Desired:
    """What is wanted, with other content in some files."""
    new = {file.key: file for file in changed}
    files = tuple(new.pop(file.key, file) for file in FILES if file not in without)
    return replace(WANTED, files=files + tuple(new.values()), **more)


def other(file: File, **more: t.Any) -> File:
    return replace(file, sha256=f"{file.sha256}-new", **more)


def holding(**files_by_path: Seen | None) -> dict[t.Any, Seen]:
    """The files of the running host, some of them seen differently (None: not there). app.yml is written app_yml."""
    seen: dict[t.Any, Seen] = dict(RUNNING.files)
    for name, value in files_by_path.items():
        key = next(file.key for file in FILES if file.path == name.replace("_", "."))
        if value is None:
            del seen[key]
        else:
            seen[key] = value
    return seen


def with_old_secret(*generations: int) -> Observed:
    """A secret that is not wanted any more is still there, and these generations refer to it."""
    secrets = {n: (SECRET.key, OLD_SECRET) if n in generations else (SECRET.key,) for n in RUNNING.committed}
    files = {**RUNNING.current.files, **({OLD_SECRET: "old"} if RUNNING.current.number in generations else {})}
    return replace(
        RUNNING,
        current=replace(RUNNING.current, files=files),
        files={**RUNNING.files, OLD_SECRET: Seen("old")},
        known=(LIVE.key, OLD_SECRET, SECRET.key),
        secrets=secrets,
    )


def with_stray(key: Key) -> Observed:
    """A killed or failed run made a file that no generation names."""
    return replace(RUNNING, files={**RUNNING.files, key: Seen("stray")}, known=(*RUNNING.known, key))


def killed_after_activation(effect: str) -> Observed:
    """Generation 5 was activated, with the content that is wanted, and never proven."""
    return replace(
        RUNNING,
        current=replace(RUNNING.current, number=5, committed=False),
        numbers=(3, 4, 5),
        committed=(3, 4),
        secrets=dict.fromkeys((3, 4), (SECRET.key,)),
        releases={3: "3.5.3", 4: "3.5.3", 5: "3.5.3"},
        pending=effect,
    )


def at_version(version: str, **more: t.Any) -> Observed:
    old = replace(RUNNING.current, version=version)
    releases = dict.fromkeys(RUNNING.numbers, version)
    settings = {"release": False, "installed": (version,), **more}
    return replace(RUNNING, current=old, releases=releases, **settings)


class Case(t.NamedTuple):
    desired: Desired
    observed: Observed
    steps: str
    effect: str = "nothing"
    number: int | None = None
    fallback: int | None = None


NEW = "stage check_flags validate activate"
CASES = {
    "empty host": Case(
        WANTED,
        EMPTY,
        "account release stage check_flags validate write activate enable start prove commit",
        "restart",
        1,
    ),
    "empty host without live and secret files": Case(
        replace(WANTED, files=(RELOADED,), validators=()),
        replace(EMPTY, account=True, release=True),
        "stage check_flags activate enable start prove commit",
        "restart",
        1,
    ),
    "nothing to change": Case(WANTED, RUNNING, ""),
    # one thing changes
    "file that needs a reload": Case(
        wanting(other(RELOADED)), RUNNING, f"{NEW} reload prove commit prune", "reload", 5, 4
    ),
    "file that needs a restart": Case(
        wanting(other(RESTARTED)), RUNNING, f"{NEW} restart prove commit prune", "restart", 5, 4
    ),
    "file that needs nothing": Case(
        wanting(other(RELOADED, on_change="nothing")), RUNNING, f"{NEW} prove commit prune", "nothing", 5, 4
    ),
    "restart is stronger than reload": Case(
        wanting(other(RELOADED), other(RESTARTED)), RUNNING, f"{NEW} restart prove commit prune", "restart", 5, 4
    ),
    "new file": Case(
        wanting(File("config", "rules/a.yml", "rules-1", on_change="reload")),
        RUNNING,
        f"{NEW} reload prove commit prune",
        "reload",
        5,
        4,
    ),
    "live file": Case(wanting(other(LIVE)), RUNNING, "stage validate write commit"),
    "live file without validator": Case(wanting(other(LIVE), validators=()), RUNNING, "stage write commit"),
    # The service is asked for nothing, but a wrong password shows at once.
    "secret that is read at every use": Case(wanting(other(SECRET)), RUNNING, "stage validate write prove commit"),
    "new secret": Case(
        wanting(File("secret", "token", "token-1", on_change="nothing")), RUNNING, "stage validate write prove commit"
    ),
    "secret and live file": Case(wanting(other(SECRET), other(LIVE)), RUNNING, "stage validate write prove commit"),
    "secret that needs a restart": Case(
        wanting(other(SECRET, on_change="restart")),
        RUNNING,
        "stage validate write restart prove commit",
        "restart",
    ),
    "secret that needs a reload": Case(
        wanting(other(SECRET, on_change="reload")), RUNNING, "stage validate write reload prove commit", "reload"
    ),
    "unit": Case(wanting(unit="unit-2"), RUNNING, f"{NEW} restart prove commit prune", "restart", 5, 4),
    "version up": Case(WANTED, at_version("3.5.2"), f"release {NEW} restart prove commit prune", "restart", 5, 4),
    "version up, release unpacked already": Case(
        WANTED,
        at_version("3.5.2", release=True, installed=("3.5.2", "3.5.3")),
        f"{NEW} restart prove commit prune",
        "restart",
        5,
        4,
    ),
    "version down, allowed": Case(
        wanting(allow_downgrade=True),
        at_version("3.10.0"),
        f"release {NEW} restart prove commit prune",
        "restart",
        5,
        4,
    ),
    # one thing is not wanted any more
    "removed file, program can reload": Case(
        wanting(without=[RELOADED]), RUNNING, f"{NEW} reload prove commit prune", "reload", 5, 4
    ),
    "removed file, program cannot reload": Case(
        wanting(without=[RELOADED], can_reload=False), RUNNING, f"{NEW} restart prove commit prune", "restart", 5, 4
    ),
    "removed live file": Case(wanting(without=[LIVE]), RUNNING, "stage validate purge commit"),
    # It goes when what no longer refers to it is proven.
    "removed live file and a file that needs a reload": Case(
        wanting(other(RELOADED), without=[LIVE]), RUNNING, f"{NEW} reload prove purge commit prune", "reload", 5, 4
    ),
    "removed secret that the generation in force refers to": Case(wanting(without=[SECRET]), RUNNING, ""),
    "removed secret that one may go back to": Case(
        wanting(other(RELOADED), without=[SECRET]), RUNNING, f"{NEW} reload prove commit prune", "reload", 5, 4
    ),
    "secret of the last but one that stays": Case(
        wanting(other(RELOADED)), with_old_secret(3), f"{NEW} reload prove commit prune", "reload", 5, 4
    ),
    "secret of the generation that goes": Case(
        wanting(other(RELOADED)), with_old_secret(2), f"{NEW} reload prove purge commit prune", "reload", 5, 4
    ),
    "secret of a generation that stays, with nothing new": Case(WANTED, with_old_secret(2), ""),
    "secret of a generation that goes as fewer are kept": Case(
        wanting(keep=2), with_old_secret(2), "stage validate purge commit prune"
    ),
    "secret that a failed run made": Case(WANTED, with_stray(("secret", "new_token")), "stage validate purge commit"),
    "live file that a failed run made": Case(WANTED, with_stray(("live", "new.yml")), "stage validate purge commit"),
    "file of a failed run that is wanted now": Case(
        wanting(File("live", "new.yml", "stray", on_change="nothing")), with_stray(("live", "new.yml")), ""
    ),
    "known file that is not there any more": Case(WANTED, replace(RUNNING, known=(*RUNNING.known, OLD_SECRET)), ""),
    "removed file that somebody removed already": Case(
        wanting(without=[LIVE]), replace(RUNNING, files=holding(targets_yml=None)), ""
    ),
    # drift
    "file edited by hand": Case(
        WANTED,
        replace(RUNNING, files=holding(app_yml=Seen("by hand"))),
        f"{NEW} reload prove commit prune",
        "reload",
        5,
        4,
    ),
    "file removed by hand": Case(
        WANTED,
        replace(RUNNING, files=holding(boot_yml=None)),
        f"{NEW} restart prove commit prune",
        "restart",
        5,
        4,
    ),
    "secret edited by hand": Case(
        WANTED, replace(RUNNING, files=holding(web_yml=Seen("by hand"))), "stage validate write prove commit"
    ),
    "secret removed by hand": Case(
        WANTED, replace(RUNNING, files=holding(web_yml=None)), "stage validate write prove commit"
    ),
    "unit edited by hand": Case(
        WANTED, replace(RUNNING, unit="by hand"), f"{NEW} restart prove commit prune", "restart", 5, 4
    ),
    "unit removed by hand": Case(
        WANTED, replace(RUNNING, unit=None), f"{NEW} restart prove commit prune", "restart", 5, 4
    ),
    "mode changed by hand": Case(
        WANTED, replace(RUNNING, files=holding(app_yml=Seen(RELOADED.sha256, access=False))), "access commit"
    ),
    "link changed by hand": Case(WANTED, replace(RUNNING, wrong_links=("/usr/local/bin/app",)), "links"),
    "service stopped": Case(
        WANTED, replace(RUNNING, service=Service(active=False, enabled=True)), "start prove commit"
    ),
    "service not enabled": Case(WANTED, replace(RUNNING, service=Service(active=True)), "enable"),
    "service stopped, file changed": Case(
        wanting(other(RELOADED)),
        replace(RUNNING, service=Service()),
        f"{NEW} enable start prove commit prune",
        "reload",
        5,
        4,
    ),
    "damaged release": Case(WANTED, replace(RUNNING, release=False), "release"),
    # Nobody can prove these any more, so they go once something else is proven, and not in a run of their own.
    "damaged generation": Case(
        WANTED,
        replace(
            RUNNING,
            current=None,
            fallback=None,
            committed=(2, 3),
            releases={2: "3.5.3", 3: "3.5.3"},
            files={},
            known=(SECRET.key,),
            secrets=dict.fromkeys((2, 3), (SECRET.key,)),
        ),
        "stage check_flags validate write activate restart prove commit prune",
        "restart",
        5,
    ),
    # an interrupted run
    "restart never proven": Case(
        WANTED, killed_after_activation("restart"), "restart prove commit", "restart", None, 4
    ),
    "reload never proven": Case(WANTED, killed_after_activation("reload"), "reload prove commit", "reload", None, 4),
    "activation without effect never proven": Case(
        WANTED, killed_after_activation("nothing"), "prove commit", "nothing", None, 4
    ),
    "restart never proven, now a file that needs a reload": Case(
        wanting(other(RELOADED)),
        killed_after_activation("restart"),
        f"{NEW} restart prove commit prune",
        "restart",
        6,
        4,
    ),
    "reload never proven, now a file that needs a restart": Case(
        wanting(other(RESTARTED)),
        killed_after_activation("reload"),
        f"{NEW} restart prove commit prune",
        "restart",
        6,
        4,
    ),
    "restart never proven, now a secret that needs nothing": Case(
        wanting(other(SECRET)),
        killed_after_activation("restart"),
        "stage validate write restart prove commit",
        "restart",
        None,
        4,
    ),
    "first installation never proven": Case(
        WANTED,
        replace(
            RUNNING,
            current=replace(RUNNING.current, number=1, committed=False),
            fallback=None,
            numbers=(1,),
            committed=(),
            known=(),
            secrets={},
            releases={1: "3.5.3"},
            pending="restart",
            service=Service(enabled=True),
        ),
        "start prove commit",
        "restart",
    ),
    "leftovers": Case(WANTED, replace(RUNNING, leftovers=True, numbers=(2, 3, 4, 5)), "tidy"),
    "leftovers and a change": Case(
        wanting(other(RELOADED)),
        replace(RUNNING, leftovers=True, numbers=(2, 3, 4, 5)),
        f"tidy {NEW} reload prove commit prune",
        "reload",
        6,
        4,
    ),
    # somebody else's things, taken over when asked
    "occupied path": Case(
        wanting(adopt=True),
        replace(EMPTY, occupied=("/etc/app",)),
        "account release stage check_flags validate adopt write activate enable start prove commit",
        "restart",
        1,
    ),
    "package": Case(
        wanting(adopt=True),
        replace(EMPTY, account=True, packaged=("app-server.service",)),
        "release stage check_flags validate adopt write activate enable start prove commit",
        "restart",
        1,
    ),
    "package brought later, nothing else to change": Case(
        wanting(adopt=True), replace(RUNNING, packaged=("app-server.service",)), "adopt"
    ),
    "data that the earlier version reads": Case(
        wanting(breaking_versions=("2.55", "3.0")),
        at_version("2.53.3"),
        "release stage check_flags validate keep_data activate restart prove commit prune",
        "restart",
        5,
        4,
    ),
    "data that the earlier version reads, kept already by a run that was killed": Case(
        wanting(breaking_versions=("2.55", "3.0")),
        replace(at_version("2.53.3"), kept=True, pending="restart"),
        "release stage check_flags validate activate restart prove commit prune",
        "restart",
        5,
        4,
    ),
    "account that was removed": Case(
        WANTED,
        replace(RUNNING, account=False),
        "account stage check_flags validate activate restart prove commit prune",
        "restart",
        5,
        4,
    ),
    # absent
    "absent": Case(Desired("app", "absent"), RUNNING, "stop remove"),
    "absent with its data": Case(Desired("app", "absent", remove_data=True), RUNNING, "stop remove remove_data"),
    "absent with its data, there is none": Case(
        Desired("app", "absent", remove_data=True), replace(RUNNING, data=False), "stop remove"
    ),
    "absent on an empty host": Case(Desired("app", "absent"), EMPTY, ""),
    "absent, only data left": Case(
        Desired("app", "absent", remove_data=True), replace(EMPTY, data=True), "remove_data"
    ),
    "absent, only data left, which stays": Case(Desired("app", "absent"), replace(EMPTY, data=True), ""),
    "absent, only what an interrupted run left": Case(
        Desired("app", "absent"), replace(EMPTY, leftovers=True), "remove"
    ),
    "absent, only a release": Case(Desired("app", "absent"), replace(EMPTY, installed=("3.5.3",)), "remove"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_table(case: Case) -> None:
    made = plan(case.desired, case.observed)
    assert " ".join(made.kinds()) == case.steps
    if case.desired.state == "present":
        assert (made.effect, made.number, made.fallback) == (case.effect, case.number, case.fallback)


# --- what is refused ---


@pytest.mark.parametrize(
    ("desired", "observed", "message"),
    [
        pytest.param(WANTED, at_version("3.10.0"), r"app 3\.10\.0 is installed .* older 3\.5\.3", id="version down"),
        pytest.param(
            WANTED, replace(EMPTY, occupied=("/etc/app",)), r"/etc/app exists and was not made by", id="occupied"
        ),
        pytest.param(
            WANTED, replace(EMPTY, packaged=("app.service",)), r"package .* already runs app here", id="packaged"
        ),
        pytest.param(
            wanting(adopt=True), at_version("3.10.0"), r"asks for the older", id="adopting is not leave to go down"
        ),
    ],
)
def test_refused(desired: Desired, observed: Observed, message: str) -> None:
    with pytest.raises(ComponentError, match=message) as caught:
        plan(desired, observed)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("observed", "remedy"),
    [
        pytest.param(at_version("3.10.0"), "monitoring_allow_downgrade: true", id="version down"),
        pytest.param(replace(EMPTY, occupied=("/etc/app",)), "app_adopt: true", id="occupied"),
        pytest.param(replace(EMPTY, packaged=("app.service",)), "app_adopt: true", id="packaged"),
    ],
)
def test_refusal_names_the_variable_that_allows_it(observed: Observed, remedy: str) -> None:
    with pytest.raises(ComponentError) as caught:
        plan(WANTED, observed)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("observed", [at_version("3.10.0"), replace(EMPTY, occupied=("/etc/app",))])
def test_absent_is_never_refused(observed: Observed) -> None:
    assert "stop" not in plan(Desired("app", "absent"), EMPTY).kinds()
    plan(Desired("app", "absent"), observed)


# --- details of a plan ---


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("2.53.3", "3.5.3", True),
        ("2.54.9", "2.55.0", True),
        ("2.55.0", "3.0.0", True),
        ("3.0.0", "3.5.3", False),
        ("2.42.0", "2.53.3", False),
        ("2.9.0", "2.10.0", False),  # compared as numbers
    ],
)
def test_data_is_kept_across_a_breaking_version_only(before: str, after: str, kept: bool) -> None:
    desired = wanting(version=after, breaking_versions=("2.55", "3.0"))
    made = plan(desired, at_version(before))
    assert ("keep_data" in made.kinds()) == kept


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(at_version("2.53.3", data=False), id="no data"),
        pytest.param(at_version("2.53.3", fallback=None), id="nothing to go back to"),
    ],
)
def test_data_is_not_kept_for_nobody(observed: Observed) -> None:
    assert "keep_data" not in plan(wanting(breaking_versions=("3.0",)), observed).kinds()


def test_changed_and_removed_files_are_named() -> None:
    made = plan(wanting(other(RELOADED), other(SECRET), without=[LIVE]), RUNNING)
    assert made.changed == (RELOADED.key, SECRET.key)
    assert made.removed == (LIVE.key,)
    assert Step("stage", "app.yml") in made.steps
    assert Step("write", "secrets/web.yml") in made.steps
    assert Step("purge", "live/targets.yml") in made.steps


def test_files_are_named_as_people_find_them() -> None:
    """Below /etc/app, whatever the place is called inside."""
    files = [other(RELOADED, on_change="nothing"), other(LIVE), other(SECRET)]
    observed = replace(with_old_secret(2), files={**with_old_secret(2).files, LIVE.key: Seen("by hand")})
    words = [step.words(done=False) for step in plan(wanting(*files, keep=2), observed).steps]
    assert "update live/targets.yml, secrets/web.yml" in words
    assert "remove secrets/old_token" in words
    unreadable = replace(RUNNING, files={key: replace(seen, access=False) for key, seen in RUNNING.files.items()})
    access, _commit = plan(WANTED, unreadable).steps
    assert access.about == "app.yml, boot.yml, live/targets.yml, secrets/web.yml"


def test_secret_goes_with_the_last_generation_that_names_it() -> None:
    """It is dropped with generation 5, and 4 is the last that refers to it."""
    now, log = RUNNING, []
    for round_ in range(4):
        desired = wanting(replace(RELOADED, sha256=f"round-{round_}"), without=[SECRET])
        made = plan(desired, now)
        log.append((made.number, made.removed, "purge" in made.kinds()))
        now = apply(desired, now, made)
        assert (SECRET.key in now.files) == (round_ < 2)
    assert log == [(5, (), False), (6, (), False), (7, (SECRET.key,), True), (8, (), False)]


def test_secret_that_is_wanted_again_is_never_removed() -> None:
    now = RUNNING
    for round_ in range(6):
        without = [SECRET] if round_ in (1, 2) else []
        desired = wanting(replace(RELOADED, sha256=f"round-{round_}"), without=without)
        made = plan(desired, now)
        assert made.removed == ()
        now = apply(desired, now, made)
        assert SECRET.key in now.files


def test_removed_is_what_is_really_removed() -> None:
    """So that a diff and check mode tell of no removal that does not come."""
    made = plan(wanting(without=[RELOADED, LIVE, SECRET]), RUNNING)
    assert made.removed == (RELOADED.key, LIVE.key)


def test_foreign_files_are_only_reported() -> None:
    made = plan(WANTED, replace(RUNNING, foreign=("notes.txt", "old/rules.yml")))
    assert made.steps == ()
    assert made.warnings == ("/etc/app holds files of somebody else, which stay as they are: notes.txt, old/rules.yml",)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_no_warning_without_foreign_files(state: str) -> None:
    assert plan(replace(WANTED, state=state), RUNNING).warnings == ()


@pytest.mark.parametrize(
    ("keep", "committed", "current", "number", "kept"),
    [
        pytest.param(3, (2, 3, 4), 4, 5, {3, 4, 5}, id="three with the new one"),
        pytest.param(3, (2, 3, 4), 4, None, {2, 3, 4}, id="nothing new"),
        pytest.param(1, (2, 3, 4), 4, 5, {4, 5}, id="one to go back to always stays"),
        pytest.param(0, (4,), 4, 5, {4, 5}, id="zero is one to go back to"),
        pytest.param(5, (2, 3, 4), 4, 5, {2, 3, 4, 5}, id="fewer than allowed"),
        pytest.param(3, (9, 10, 11), 11, 12, {10, 11, 12}, id="sorted as numbers"),
        pytest.param(2, (3, 4), 5, 6, {4, 6}, id="an unproven one does not count"),
    ],
)
def test_retention(keep: int, committed: tuple[int, ...], current: int, number: int | None, kept: set[int]) -> None:
    observed = replace(RUNNING, current=replace(RUNNING.current, number=current), committed=committed)
    assert kept_generations(replace(WANTED, keep=keep), observed, number) == kept


def test_release_goes_with_the_last_generation_that_uses_it() -> None:
    observed = replace(
        RUNNING,
        releases={2: "3.5.1", 3: "3.5.2", 4: "3.5.2"},
        current=replace(RUNNING.current, version="3.5.2"),
        installed=("3.5.0", "3.5.1", "3.5.2"),
        release=False,
    )
    made = plan(WANTED, observed)
    assert kept_releases(WANTED, observed, made.number) == {"3.5.2", "3.5.3"}
    (prune,) = [step for step in made.steps if step.kind == "prune"]
    assert prune.about == "old generations 2 and unused releases 3.5.0, 3.5.1"


# --- words ---

IRREGULAR = {"take": "took", "write": "wrote", "keep": "kept", "stop": "stopped", "commit": "committed"}


def past(verb: str) -> str:
    return IRREGULAR.get(verb) or (f"{verb}d" if verb.endswith("e") else f"{verb}ed")


@pytest.mark.parametrize("kind", WORDS)
def test_words_tell_what_to_do_and_what_was_done(kind: str) -> None:
    before, after = (Step(kind, "something").words(done) for done in (False, True))
    pairs = list(zip(before.split(), after.split(), strict=True))
    assert pairs[0][1] == past(pairs[0][0])
    assert all(then in (now, past(now)) for now, then in pairs)
    assert "{}" not in before


@pytest.mark.parametrize("kind", WORDS)
def test_every_step_can_be_taken(kind: str) -> None:
    assert callable(getattr(Transaction, f"_{kind}", None))


# --- properties ---


def apply(desired: Desired, observed: Observed, made: Plan) -> Observed:
    """The host after a plan was carried out to its end. Each step does what its words say and nothing more."""
    now = observed
    for step in made.steps:
        now = replace(now, **AFTER[step.kind](now, desired, made))
    active = now.current.number if now.current else None
    unproven = [number for number in now.numbers if number not in now.committed and number != active]
    if "commit" in made.kinds():  # what killed and failed runs left is forgotten
        stated = {key for keys in (now.current.files, *now.secrets.values()) for key in keys if key[0] != "config"}
        now = replace(now, pending=None, known=tuple(sorted(stated)))
    return replace(now, leftovers=bool(unproven))


def after_tidy(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    current = now.current.number if now.current else None
    return {"numbers": tuple(n for n in now.numbers if n in now.committed or n == current)}


def after_adopt(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    return {"wrong_links": now.wrong_links + now.occupied, "occupied": (), "packaged": ()}


def after_release(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    return {"release": True, "installed": tuple(sorted({*now.installed, desired.version}))}


def after_activate(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    files = {file.key: file.sha256 for file in desired.files}
    outside = {key: seen for key, seen in now.files.items() if key[0] != "config"}
    config = {file.key: Seen(file.sha256) for file in desired.files if file.place == "config"}
    return {
        "current": Generation(made.number, desired.version, desired.unit, files, committed=False),
        "numbers": (*now.numbers, made.number),
        "releases": {**now.releases, made.number: desired.version},
        "files": {**outside, **config},
        "unit": desired.unit,
        "wrong_links": (),
    }


def after_write(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    new = {file.key: Seen(file.sha256) for file in desired.files if file.place != "config" and file.key in made.changed}
    return {"files": {**now.files, **new}}


def after_purge(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    gone = [key for key in made.removed if key[0] != "config"]
    return {"files": {key: seen for key, seen in now.files.items() if key not in gone}}


def after_access(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    return {"files": {key: replace(seen, access=True) for key, seen in now.files.items()}}


def after_commit(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    number = now.current.number
    files = {file.key: file.sha256 for file in desired.files}
    committed = tuple(sorted({*now.committed, number}))
    return {
        "current": replace(now.current, committed=True, files=files),
        "committed": committed,
        "secrets": {**now.secrets, number: tuple(key for key in files if key[0] == "secret")},
        "fallback": number,
    }


def after_prune(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    kept = kept_generations(desired, now, None)
    gone = set(now.numbers) - kept
    releases = {n: version for n, version in now.releases.items() if n not in gone}
    return {
        "numbers": tuple(n for n in now.numbers if n not in gone),
        "committed": tuple(n for n in now.committed if n not in gone),
        "secrets": {n: keys for n, keys in now.secrets.items() if n not in gone},
        "releases": releases,
        "installed": tuple(v for v in now.installed if v in kept_releases(desired, now, None)),
    }


def after_remove(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    return {**vars(EMPTY), "account": True, "data": now.data}


def running(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    return {"service": replace(now.service, active=True)}


def nothing(now: Observed, desired: Desired, made: Plan) -> dict[str, t.Any]:
    return {}


AFTER: dict[str, t.Callable[[Observed, Desired, Plan], dict[str, t.Any]]] = {
    **dict.fromkeys(["stage", "check_flags", "validate", "keep_data", "reload", "prove"], nothing),
    **dict.fromkeys(["start", "restart"], running),
    "tidy": after_tidy,
    "adopt": after_adopt,
    "account": lambda now, desired, made: {"account": True},
    "release": after_release,
    "activate": after_activate,
    "write": after_write,
    "purge": after_purge,
    "access": after_access,
    "links": lambda now, desired, made: {"wrong_links": ()},
    "enable": lambda now, desired, made: {"service": replace(now.service, enabled=True)},
    "commit": after_commit,
    "prune": after_prune,
    "stop": lambda now, desired, made: {"service": Service()},
    "remove": after_remove,
    "remove_data": lambda now, desired, made: {"data": False},
}


def test_simulation_knows_every_step() -> None:
    assert set(AFTER) == set(WORDS)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_second_run_has_nothing_to_do(case: Case) -> None:
    after = apply(case.desired, case.observed, plan(case.desired, case.observed))
    assert plan(case.desired, after).kinds() == []


def some_host(chance: random.Random) -> Observed:
    """Any state that a host may be in."""
    numbers = tuple(range(1, chance.randint(1, 6)))
    if not numbers:
        return replace(EMPTY, account=chance.random() < 0.5, data=chance.random() < 0.5)
    current = numbers[-1]
    proven = chance.random() < 0.7
    committed = tuple(n for n in numbers[:-1] if chance.random() < 0.8) + ((current,) if proven else ())
    versions = {n: chance.choice(["2.53.3", "3.5.2", "3.5.3"]) for n in numbers}
    known = {file.key: chance.choice([file.sha256, "old"]) for file in FILES if chance.random() < 0.9}
    known.update({("config", "gone.yml"): "gone"} if chance.random() < 0.3 else {})
    known.update({OLD_SECRET: "gone"} if chance.random() < 0.3 else {})
    secrets = {n: tuple(key for key in (SECRET.key, OLD_SECRET) if chance.random() < 0.5) for n in committed}
    secrets.update({current: tuple(key for key in known if key[0] == "secret")} if proven else {})
    strays = {key for keys in secrets.values() for key in keys}
    strays |= {key for key in known if key[0] != "config"} if proven else set()
    strays |= {key for key in [("live", "gone.yml"), ("secret", "gone")] if chance.random() < 0.2}
    files = {
        key: Seen(sha256 if chance.random() < 0.9 else "by hand", chance.random() < 0.9)
        for key, sha256 in {**dict.fromkeys(sorted(strays), "gone"), **known}.items()
        if chance.random() < 0.9
    }
    unwanted = [key for key in files if key not in {file.key for file in FILES}]
    files.update({key: replace(files[key], access=True) for key in unwanted})
    unit = chance.choice(["unit-0", "unit-1"])
    return Observed(
        current=Generation(current, versions[current], unit, known, committed=proven),
        fallback=current if proven else max(committed, default=None),
        numbers=numbers,
        committed=committed,
        files=files,
        known=tuple(sorted(strays)),
        secrets=secrets,
        unit=unit if chance.random() < 0.9 else chance.choice([None, "by hand"]),
        release=chance.random() < 0.8,
        releases=versions,
        installed=tuple(sorted(set(versions.values()))),
        service=Service(active=chance.random() < 0.8, enabled=chance.random() < 0.8),
        wrong_links=("/etc/app",) if chance.random() < 0.2 else (),
        account=True,
        occupied=("/usr/local/bin/app",) if chance.random() < 0.1 else (),
        packaged=("app-server.service",) if chance.random() < 0.1 else (),
        leftovers=any(n not in committed for n in numbers[:-1]),
        pending=None if proven else chance.choice(EFFECTS),
        data=chance.random() < 0.7,
    )


def some_wish(chance: random.Random) -> Desired:
    return replace(
        WANTED,
        files=tuple(file for file in FILES if chance.random() < 0.9),
        validators=WANTED.validators[: chance.randint(0, 1)],
        breaking_versions=("3.0",),
        can_reload=chance.random() < 0.5,
        keep=chance.randint(1, 4),
        adopt=True,
    )


SITUATIONS = [(seed, some_wish(random.Random(seed)), some_host(random.Random(seed + 1_000_000))) for seed in range(400)]


def test_any_host_is_right_after_one_run() -> None:
    for seed, desired, observed in SITUATIONS:
        after = apply(desired, observed, plan(desired, observed))
        assert plan(desired, after).kinds() == [], f"situation {seed}: {observed}"


def test_any_host_is_empty_after_absent() -> None:
    for seed, desired, observed in SITUATIONS:
        gone = replace(desired, state="absent", remove_data=True)
        if observed.packaged:
            with pytest.raises(ComponentError, match="belongs to a package"):
                plan(gone, observed)
            continue
        after = apply(gone, observed, plan(gone, observed))
        assert plan(gone, after).kinds() == [], f"situation {seed}: {observed}"


def test_plan_is_deterministic() -> None:
    for _seed, desired, observed in SITUATIONS:
        turned = replace(observed, files=dict(reversed(list(observed.files.items()))))
        assert plan(desired, observed) == plan(desired, observed) == plan(desired, turned)


CHECKS = ["tidy", "account", "release", "stage", "check_flags", "validate"]
CHANGES = ["adopt", "keep_data", "write", "access", "activate", "links", "enable", "start", "reload", "restart"]
ORDER = [*CHECKS, *CHANGES, "prove", "purge", "commit", "prune"]


def test_nothing_that_serves_is_touched_before_the_checks() -> None:
    for seed, desired, observed in SITUATIONS:
        kinds = plan(desired, observed).kinds()
        assert [kind for kind, _same in itertools.groupby(kinds)] == sorted(set(kinds), key=ORDER.index), seed


def test_nothing_owed_is_forgotten() -> None:
    for seed, desired, observed in SITUATIONS:
        if observed.pending:
            made = plan(desired, observed)
            assert EFFECTS.index(made.effect) >= EFFECTS.index(observed.pending), seed
            assert {"prove", "commit"} <= set(made.kinds()), seed


def test_what_is_activated_or_disturbed_is_proven() -> None:
    for seed, desired, observed in SITUATIONS:
        kinds = set(plan(desired, observed).kinds())
        if kinds & {"activate", "start", "reload", "restart"}:
            assert {"prove", "commit"} <= kinds, seed


def test_new_secret_is_always_proven() -> None:
    for seed, desired, observed in SITUATIONS:
        made = plan(desired, observed)
        if any(place == "secret" for place, path in made.changed):
            assert {"write", "prove", "commit"} <= set(made.kinds()), seed


def test_kept_generation_keeps_its_secrets() -> None:
    """And nothing that is wanted is ever removed."""
    purged = 0
    for seed, desired, observed in SITUATIONS:
        made = plan(desired, observed)
        after = apply(desired, observed, made)
        assert not {file.key for file in desired.files} & set(made.removed), seed
        for number in kept_generations(desired, observed, made.number) & set(observed.secrets):
            there = [key for key in observed.secrets[number] if key in observed.files]
            assert set(there) <= set(after.files), f"situation {seed}, generation {number}"
        purged += "purge" in made.kinds()
    assert purged > 20


def test_stray_files_go() -> None:
    """What no generation names and nobody wants is removed, if it is known to be ours."""
    for seed, desired, observed in SITUATIONS:
        after = apply(desired, observed, plan(desired, observed))
        assert not {("live", "gone.yml"), ("secret", "gone")} & set(after.files), seed


def test_the_generation_to_go_back_to_is_never_pruned() -> None:
    for seed, desired, observed in SITUATIONS:
        made = plan(desired, observed)
        if made.fallback:
            assert made.fallback in kept_generations(desired, observed, made.number), seed
