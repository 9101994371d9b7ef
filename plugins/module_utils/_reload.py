# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Whether a running program has read the configuration that is on disk, and how it is told to read it."""

from __future__ import annotations

import fnmatch
import json
import os
import time
import typing as t
from dataclasses import dataclass
from functools import partial

from . import _ask, _files, _generations, _ready, _service
from ._errors import ComponentError
from ._layout import Layout

SWITCH = "(the switch to {})"  # an entry of the changes that is no file


@dataclass(frozen=True)
class Program:
    """How a program reads its configuration: data, one for each component."""

    layout: Layout
    config: str  # the folder
    how: str  # signal, http, or restart where it reads nothing while it runs
    endpoint: _ready.Endpoint | None
    metrics: str = ""  # prefix of those that prove a reload; empty: it tells none
    http_paths: tuple[str, ...] = ()
    restart_files: tuple[str, ...] = ()  # patterns of what is read at the start alone
    ignored_files: tuple[str, ...] = ()  # patterns of what needs neither
    patience: float = 60

    @property
    def unit(self) -> str:
        return self.layout.unit_name

    @property
    def mark(self) -> str:
        """Its time is that of our last reload of a program which tells none; a reboot starts the program anew."""
        return f"{os.path.dirname(self.layout.lock)}/{self.layout.name}.reloaded"


@dataclass(frozen=True)
class State:
    """What was seen. Times are seconds since 1970."""

    started: float
    loaded: float  # when it last read its configuration with success
    refused: bool  # whether it has refused one since
    changes: t.Mapping[str, float]  # files of the configuration and its folders: when they last changed
    edited: tuple[str, ...] = ()  # files that are not as the generation's manifest says

    def newer(self, program: Program) -> list[str]:
        """What a reload would read for the first time."""
        if program.how == "restart":
            return []
        left_out = (*program.restart_files, *program.ignored_files)
        newer = [path for path, when in self.changes.items() if when > self.loaded and not _is_one_of(path, left_out)]
        # A folder changes with each file that is made anew in it; alone it tells of one that is gone.
        return sorted(set(newer) - self._folders_of(newer)) or sorted(newer)

    def _folders_of(self, paths: t.Iterable[str]) -> set[str]:
        return {os.path.dirname(path) or "." for path in paths if path != "."}

    def unread(self, program: Program) -> list[str]:
        """What only a restart would read."""
        patterns = program.restart_files
        return sorted(path for path, when in self.changes.items() if when > self.started and _is_one_of(path, patterns))


def _is_one_of(path: str, patterns: t.Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def look(program: Program) -> State:
    """The unit, the metrics and the files."""
    status = _service.status(program.unit)
    if not status.running:
        words, remedy = _service.why_it_died(program.unit, status)
        raise ComponentError(f"{program.layout.name} does not run, so there is nothing to reload", words, remedy)
    if os.path.lexists(program.layout.journal):
        raise ComponentError(
            f"a change of {program.layout.name} was killed on this host, and nobody has proved what is in force",
            program.layout.journal,
            "run site.yml: it finishes the change, or takes it back",
        )
    started = time.time() - (time.monotonic() - status.started / 1e6)
    loaded, refused = loading(program)
    return State(
        started=started,
        loaded=loaded or max(started, _time_of(program.mark)),
        refused=refused,
        changes=changes(program),
        edited=edited(program.layout),
    )


def loading(program: Program) -> tuple[float, bool]:
    """(when the configuration was last read, whether one was refused since) as the metrics have it; 0 where none do."""
    if not program.metrics or program.endpoint is None:
        return 0, False
    answer = _ready.ask(program.endpoint, "/metrics")
    if answer.refusal:
        raise answer.refusal
    if answer.status != 200:
        raise refusal(program.endpoint, "GET", "/metrics", answer)
    success, stamp = _ready.reload_metrics(program.metrics, answer.text)
    loaded = _ready.metric(answer.text, stamp)
    if loaded is None:
        raise ComponentError(
            f"{program.endpoint.base}/metrics does not have {stamp}", "", "see whether it is this program that answers"
        )
    return loaded, _ready.metric(answer.text, success) == 0


def changes(program: Program) -> dict[str, float]:
    """When each file changed, as the kernel noted it: an earlier mtime that somebody gave back does not hide it."""
    found = {}
    folder = os.path.realpath(program.config)
    if not os.path.isdir(folder):
        raise ComponentError(f"there is no configuration in {program.config}", "", "state where it is: config")
    for base, folders, files in os.walk(folder):
        for name in [".", *files] if base == folder else [*files, ""]:
            path = os.path.join(base, name)
            seen = os.stat(path) if os.path.exists(path) else os.lstat(path)  # a link to a file tells of the file
            found[os.path.relpath(path, folder)] = seen.st_ctime
        folders.sort()
    for link in (program.layout.current, program.config):
        if os.path.islink(link):
            # To an earlier generation, whose files are older than it.
            found[SWITCH.format(os.path.relpath(os.path.realpath(link), program.layout.home))] = _time_of(link)
            break
    return found


def _time_of(path: str) -> float:
    try:
        return os.lstat(path).st_ctime
    except OSError:
        return 0


def edited(layout: Layout) -> tuple[str, ...]:
    """Files of the generation in force that are not as the run that wrote them left them."""
    generation = _generations.read(layout, _generations.current_number(layout))
    if generation is None:
        return ()
    folder = layout.place("config")
    return tuple(
        path
        for (place, path), checksum in sorted(generation.files.items())
        if place == "config" and _files.file_sha256(f"{folder}/{path}") != checksum
    )


def reload(program: Program) -> None:
    """Tell the program, wait, and see that it did. Raises with the program's own words if it refuses."""
    begun = _service.status(program.unit)

    def alive() -> None:
        seen = _service.status(program.unit)
        if seen.died or seen.pid != begun.pid:
            words, remedy = _service.why_it_died(program.unit, seen)
            raise ComponentError(f"{program.layout.name} died of the reload", words, remedy)

    def ask_over_http(endpoint: _ready.Endpoint) -> None:
        for path in program.http_paths:
            answer = _ask.get(endpoint, path, program.patience, "POST")
            if answer.refusal:
                raise answer.refusal
            if not 200 <= answer.status < 300:
                raise refusal(endpoint, "POST", path, answer)

    trigger = None
    if program.how == "http" and program.endpoint is not None:
        trigger = partial(ask_over_http, program.endpoint)
    _ready.reload(program.unit, program.endpoint, program.metrics, alive, program.patience, trigger)
    alive()
    if not program.metrics:
        _files.make_folder(os.path.dirname(program.mark), 0o700)
        _files.write_file(program.mark, b"")


def refusal(endpoint: _ready.Endpoint, method: str, path: str, answer: _ready.Answer) -> ComponentError:
    """What was asked, what came back, what to do."""
    asked = f"{method} {endpoint.base}{path}"
    if not answer.status:
        return ComponentError(f"{asked} was not answered", answer.text, "see whether it listens there")
    remedies = {
        401: "correct user and password",
        403: "give this account the right to do it; Prometheus wants --web.enable-lifecycle, or reload it by signal",
        404: "correct url: this address has no such path",
        405: "see whether this is the program that is meant; Promtail wants -server.enable-runtime-reload",
    }
    remedy = remedies.get(answer.status, "correct the configuration and run again")
    return ComponentError(f"{asked} was answered with {answer.status}", _message(answer.text), remedy)


def _message(text: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    return str(said["message"]) if isinstance(said, dict) and said.get("message") else text.strip()[:500]
