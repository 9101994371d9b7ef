# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Carries out a plan: stage, validate, activate, reload or restart, prove, commit; on any failure the way back."""

from __future__ import annotations

import fcntl
import os
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field

from . import _adoption, _data, _files, _generations, _ready, _removal, _service, _staging, _undo
from ._account import account_ids
from ._errors import ComponentError, from_system
from ._layout import Layout
from ._plan import Key, Observed, Plan, Step, stale_generations, stale_releases
from ._spec import Spec
from ._way_back import back_to_nothing, boot_id, go_back, settle


@contextmanager
def lock(layout: Layout) -> t.Iterator[None]:
    """One run at a time for each component of a host; the kernel frees it when its holder dies."""
    _files.make_folder(os.path.dirname(layout.lock), 0o700)  # nobody else may hold it
    with open(layout.lock, "a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise ComponentError(
                f"another run is changing {layout.name} on this host",
                holder,
                "wait until it has ended, then run again; nothing was changed by this run",
            ) from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S %Z')}\n")
        handle.flush()
        yield


@dataclass
class Transaction:
    """One plan on one host. C(actions) tells in words what was done, also when it fails."""

    layout: Layout
    spec: Spec
    observed: Observed
    plan: Plan
    actions: list[str] = field(default_factory=list)
    touched: bool = False  # something that serves was changed, so a failure needs the way back
    disturbed: bool = False  # the service itself was stopped, restarted or reloaded
    committed: bool = False
    started: _service.Status | None = None

    def run(self) -> None:
        try:
            for step in self.plan.steps:
                method: t.Callable[[Step], None] = getattr(self, f"_{step.kind}")
                method(step)
                self.actions.append(step.words(done=True))
        except ComponentError as error:
            self._give_up(error)
        except OSError as error:
            self._give_up(from_system(f"{step.words(done=False)} failed", error))
        _files.remove(self.layout.staging)
        if self.spec.desired.state == "present":
            _undo.forget(self.layout)
            if "commit" not in self.plan.kinds():
                settle(self.layout)

    # Steps that change nothing that serves.

    def _tidy(self, step: Step) -> None:
        if self.observed.pending is None:
            _undo.forget(self.layout)  # of a commit that was killed at its very end
        in_force = _generations.current_number(self.layout)
        for path in _generations.leftovers(self.layout, self.observed.committed, in_force):
            _files.remove(path)

    def _account(self, step: Step) -> None:
        name = self.layout.name
        # The path instead of a number: an account that was removed gets its number back from the data it owned.
        text = f'u {name} {self.layout.data} "{name} (opswatch.monitoring)" {self.layout.data}\n'
        os.makedirs(os.path.dirname(self.layout.sysusers), exist_ok=True)
        _files.write_file(self.layout.sysusers, text.encode())
        _service.command("systemd-sysusers", self.layout.sysusers)

    def _release(self, step: Step) -> None:
        from ._install import install  # most runs install nothing, and reading this takes a tenth of such a run

        origin = install(self.spec.source, self.layout.release(step.about))
        self.actions.append(f"verified {os.path.basename(self.spec.source.path)} against {origin}")

    def _check_flags(self, step: Step) -> None:
        words = (f"{self.layout.release(self.spec.desired.version)}/{step.about}", *self.spec.flag_check)
        output, failed = _staging.attempt(self.layout, words)
        if failed and "flag" in output.lower():
            raise ComponentError(
                f"{step.about} {self.spec.desired.version} does not accept its flags",
                output.partition("\nUsage of ")[0],  # Go's own package lists every flag below it
                f"correct {self.layout.name}_flags",
            )
        if failed:
            raise ComponentError(
                f"{step.about} {self.spec.desired.version} does not run on this host",
                output,
                "choose a release for this system and architecture",
            )

    def _validate(self, step: Step) -> None:
        words = self.spec.validators[self.spec.desired.validators.index(step.about)]
        release = self.layout.release(self.spec.desired.version)
        output, failed = _staging.attempt(self.layout, [word.replace("{release}", release) for word in words])
        if failed:
            said = _staging.refusal(output)
            raise ComponentError(f"`{step.about}` refuses the new configuration", said, "correct it and run again")

    def _stage(self, step: Step) -> None:
        _staging.stage(self.layout, self.spec, self.observed.foreign, self._gid)

    # Steps that change what serves.

    def _adopt(self, step: Step) -> None:
        self.touched = True
        mine = [self.layout.unit_name] if self.layout.unit in self.observed.occupied else []
        units = [*self.observed.packaged, *mine]
        _adoption.take(self.layout, units, self.observed.occupied, self.plan.number)

    def _keep_data(self, step: Step) -> None:
        data = self._data
        data.check_space()
        self.touched = self.disturbed = True
        self._write_journal()
        _service.command("systemctl", "stop", self.layout.unit_name)
        data.keep()

    def _write(self, step: Step) -> None:
        self.touched = True
        outside = [key for key in self.plan.changed if key[0] != "config"]
        _undo.save(self.layout, outside)
        self._write_journal()
        for key in outside:
            self._put(key)

    def _access(self, step: Step) -> None:
        for file in self.spec.desired.files:
            if file.key in self.observed.files and not self.observed.files[file.key].access:
                _files.set_access(os.path.join(self.layout.place(file.place), file.path), file.mode, 0, self._gid)

    def _activate(self, step: Step) -> None:
        layout, number = self.layout, int(step.about)
        for stable in (layout.live, layout.secrets):
            _files.make_folder(stable, 0o750, gid=self._gid)
        _staging.finish(self.layout, self.spec, number)
        self._keep_edited_unit()
        self.touched = True
        self._write_journal()
        _generations.switch(layout, number)
        _generations.set_links(layout, self.spec.programs)
        _service.command("systemctl", "daemon-reload")

    def _links(self, step: Step) -> None:
        _generations.set_links(self.layout, self.spec.programs)

    def _enable(self, step: Step) -> None:
        _service.command("systemctl", "enable", "--quiet", self.layout.unit_name)

    def _start(self, step: Step) -> None:
        self._bring_up("start")

    def _restart(self, step: Step) -> None:
        self._bring_up("restart")

    def _reload(self, step: Step) -> None:
        self._disturb()
        self.started = _service.status(self.layout.unit_name)
        _ready.reload(self.layout.unit_name, self.spec.endpoint, self.spec.reload_metrics, self._alive)

    def _prove(self, step: Step) -> None:
        if self.started is None:
            self.started = _service.status(self.layout.unit_name)
        if self.spec.endpoint:
            _ready.wait_until_ready(self.spec.endpoint, self._alive, self.spec.ready_timeout, name=self.layout.name)
        else:
            self._alive()

    def _purge(self, step: Step) -> None:
        for place, path in self.plan.removed:
            if place != "config":
                _files.remove(os.path.join(self.layout.place(place), path))

    def _commit(self, step: Step) -> None:
        number = self.plan.number or self.observed.current.number
        _files.write_json(
            f"{self.layout.generation(number)}/manifest.json", _staging.manifest(self.spec, committed=True)
        )
        if self.plan.number or self.plan.effect == "restart" or "start" in self.plan.kinds():
            self._remember_for_second_look(number)
        _undo.forget(self.layout)
        _files.remove(self.layout.failed)
        self.committed = True  # from here on nothing is a reason to go back

    def _prune(self, step: Step) -> None:
        for number in stale_generations(self.spec.desired, self.observed, self.plan.number):
            _files.remove(self.layout.generation(number))
        for version in stale_releases(self.spec.desired, self.observed, self.plan.number):
            _files.remove(self.layout.release(version))

    # state: absent

    def _stop(self, step: Step) -> None:
        _service.command("systemctl", "disable", "--now", self.layout.unit_name)

    def _remove(self, step: Step) -> None:
        _removal.remove(self.layout, self.spec.programs, self.observed.foreign, self.observed.ours)

    def _remove_data(self, step: Step) -> None:
        folder = self.layout.data
        if os.path.ismount(folder):  # a file system of its own is emptied; the mount is not ours
            for name in os.listdir(folder):
                _files.remove(os.path.join(folder, name))
        else:
            _files.remove(folder)

    # Parts of steps.

    @property
    def _current(self) -> int | None:
        return self.observed.current.number if self.observed.current else None

    @property
    def _gid(self) -> int:
        ids = account_ids(self.layout.name)
        if ids is None:
            raise ComponentError(f"the account {self.layout.name} is missing", "", "run again")
        return ids[1]

    @property
    def _data(self) -> _data.Kept:
        return _data.Kept(self.spec.data or _data.Data(), self.layout.data, str(self.plan.fallback))

    def _put(self, key: Key) -> None:
        mode = next(file.mode for file in self.spec.desired.files if file.key == key)
        top = self.layout.place(key[0])
        _files.make_folder(top, 0o750, gid=self._gid)
        _staging.put(top, key[1], self.spec.contents[key], mode, self._gid)

    def _keep_edited_unit(self) -> None:
        """A unit that was edited by hand is not lost: it stays beside the generation that it belonged to."""
        current = self.observed.current
        if current and self.observed.unit not in (None, current.unit):
            target = f"{self.layout.generation(current.number)}/{self.layout.unit_name}.edited"
            _files.copy_access(self.layout.unit, target)

    def _write_journal(self) -> None:
        _files.write_json(
            self.layout.journal,
            {
                "from": self.plan.fallback,
                "to": self.plan.number or self._current,
                "effect": self.plan.effect,
                "new": bool(self.plan.number),
            },
        )

    def _disturb(self) -> None:
        """From here on a failure asks for the way back, if there is an unproven generation to come back from."""
        self.disturbed = True
        self.touched = self.touched or bool(self.plan.number or self.observed.pending)
        if self.observed.pending:
            _service.command("systemctl", "daemon-reload")  # the killed run may not have come that far

    def _bring_up(self, verb: str) -> None:
        self._disturb()
        unit = self.layout.unit_name
        _service.command("systemctl", "reset-failed", unit, check=False)
        try:
            _service.command("systemctl", verb, unit)
        except ComponentError:
            self.started = _service.status(unit)
            self._alive()
            raise
        self.started = _service.status(unit)

    def _alive(self) -> None:
        """Raise, with the program's own last words, when the service died since this transaction started it."""
        unit = self.layout.unit_name
        seen = _service.status(unit)
        begun = self.started or seen
        if seen.died or seen.restarts != begun.restarts or seen.pid != begun.pid:
            words, remedy = _service.why_it_died(unit, seen)
            raise ComponentError(f"{self.layout.name} does not stay up", words, remedy)

    def _remember_for_second_look(self, number: int) -> None:
        seen = self.started or _service.status(self.layout.unit_name)
        noted = {"generation": number, "from": self.plan.fallback if self.plan.fallback != number else None}
        noted.update({"boot": boot_id(), "restarts": seen.restarts, "started": seen.started})
        _files.write_json(self.layout.unsettled, noted)

    # The way back.

    def _give_up(self, error: ComponentError) -> t.NoReturn:
        """Undo what was done and raise the error, completed by what holds now."""
        if self.committed:
            raise ComponentError(
                f"{error.what} (the change itself is committed and serves)", error.seen, error.remedy
            ) from error
        unproven = self.observed.current and not self.observed.current.committed
        if not self.touched and not (unproven and self.plan.fallback):
            _files.remove(self.layout.staging)
            now = f"generation {self._current} is untouched" if self._current else "nothing was changed"
            self.actions.append(f"stopped before activation: {now}")
            raise ComponentError(f"{error.what} ({now})", error.seen, error.remedy) from error
        self.actions.append(f"failed: {error.what}")
        try:
            now = self._way_back()
        except (ComponentError, OSError) as second:
            raise ComponentError(
                f"{error.what}; and the way back failed too: {second}", error.seen, error.remedy
            ) from error
        self.actions.append(now)
        if self.plan.number and os.path.isdir(self.layout.failed):
            now += f"; what failed is kept in {self.layout.failed}"
        raise ComponentError(f"{error.what} ({now})", error.seen, error.remedy) from error

    def _way_back(self) -> str:
        _undo.restore(self.layout)
        present = _generations.current_number(self.layout)
        back = self.plan.fallback if self.plan.number or self.observed.pending else present
        if back is None:
            ours = self.observed.ours or _files.file_sha256(self.layout.unit) == self.spec.desired.unit
            words = back_to_nothing(self.layout, self.spec.programs, ours)
        elif present != back or self.disturbed:
            password = self.spec.endpoint.password if self.spec.endpoint else ""
            go_back(self.layout, back, self.plan.effect == "reload", password, self.spec.ready_timeout)
            words = f"rolled back to generation {back}, which answers"
        else:
            words = f"generation {back} was not disturbed"
        _adoption.undo(self.layout)
        _undo.forget(self.layout)
        _files.remove(self.layout.staging)
        return words
