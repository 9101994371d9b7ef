# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The next generation while it is being built: every file of it, where only validators look."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from dataclasses import asdict, replace

from . import _files, _generations
from ._account import account_ids
from ._layout import Layout
from ._spec import Spec

# While it is staged, a configuration has its secrets and targets inside, so that relative names lead to the new ones.
FOLDERS = {"config": "config", "live": "config/live", "secret": "config/secrets"}


def stage(layout: Layout, spec: Spec, foreign: t.Iterable[str], gid: int) -> None:
    """Write the whole configuration, together with what others put into the present one."""
    _files.remove(layout.staging)
    for folder in (os.path.dirname(layout.home), layout.home, layout.generations, layout.staging):
        _files.make_folder(folder)
    for folder in FOLDERS.values():
        _files.make_folder(f"{layout.staging}/{folder}", 0o750, gid=gid)
    for file in spec.desired.files:
        put(f"{layout.staging}/{FOLDERS[file.place]}", file.path, spec.contents[file.key], file.mode, gid)
    for path in foreign:
        target = f"{layout.staging}/config/{path}"
        make_folders(f"{layout.staging}/config", os.path.dirname(path), gid)
        _files.copy_access(f"{layout.place('config')}/{path}", target)


def put(top: str, path: str, content: bytes, mode: int, gid: int) -> None:
    """Write one file below C(top), with the folders that it needs."""
    make_folders(top, os.path.dirname(path), gid)
    _files.write_file(os.path.join(top, path), content, mode, gid=gid)


def make_folders(top: str, path: str, gid: int) -> None:
    folder = top
    for name in [part for part in path.split("/") if part]:
        folder = os.path.join(folder, name)
        _files.make_folder(folder, 0o750, gid=gid)


def attempt(layout: Layout, words: t.Sequence[str]) -> tuple[str, bool]:
    """Run a check in the staged configuration, as the account of the service: (its words, it failed)."""
    ids = account_ids(layout.name)
    account: dict[str, t.Any] = {"user": ids[0], "group": ids[1], "extra_groups": []} if ids else {}
    folder = f"{layout.staging}/config"
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
            **(account if os.geteuid() == 0 else {}),
        )
    except OSError as error:
        return f"{words[0]}: {error}", True
    except subprocess.TimeoutExpired:
        return "no answer within 120 s", True
    output = (done.stdout + done.stderr).replace(folder, layout.etc).strip()
    return output or f"exit code {done.returncode}", done.returncode != 0


def refusal(output: str) -> str:
    """What a validator says, without the files that promtool found right: each has a paragraph that begins so."""
    paragraphs = re.split(r"^(?=Checking )", output, flags=re.MULTILINE)
    wrong = [one for one in paragraphs if "SUCCESS" not in one or "FAILED" in one]
    return "".join(wrong).strip() or output


def finish(layout: Layout, spec: Spec, number: int) -> None:
    """Turn what was staged into a generation: its secrets and targets become links to the ones that stay."""
    staged = f"{layout.staging}/generation"
    _files.make_folder(staged)
    os.rename(f"{layout.staging}/config", f"{staged}/config")
    for name, target in (("live", layout.live), ("secrets", layout.secrets)):
        _files.remove(f"{staged}/config/{name}")
        os.symlink(target, f"{staged}/config/{name}")
    os.symlink(layout.release(spec.desired.version), f"{staged}/release")
    _files.write_file(f"{staged}/{layout.unit_name}", spec.unit.encode())
    _files.write_json(f"{staged}/manifest.json", manifest(spec, committed=False))
    os.rename(staged, layout.generation(number))
    _files.flush_folder(layout.generations)


def manifest(spec: Spec, committed: bool) -> dict[str, t.Any]:
    desired = spec.desired
    live = {path: text.decode(errors="replace") for (place, path), text in spec.contents.items() if place == "live"}
    ready = asdict(replace(spec.endpoint, password="")) if spec.endpoint else {}
    return _generations.state(desired.version, desired.unit, desired.files, live, ready, spec.programs, committed)
