# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Small file operations that survive a crash: written beside the target, flushed, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import typing as t

TEMPORARY = ".new-"  # what the name of a file begins with until it is whole
MOVING = ".opswatch-moving"  # what the name of a tree ends with while it is moved to another file system


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: str) -> str | None:
    """SHA-256 of a file, or None where there is no regular file."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as handle:
            for chunk in iter(lambda: handle.read(1 << 20), b""):
                digest.update(chunk)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return digest.hexdigest()


def read_bytes(path: str) -> bytes:
    """Content of a file; empty where there is none."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""


def read_json(path: str) -> dict[str, t.Any] | None:
    """The JSON object in a file, or None where it is missing or torn."""
    try:
        value = json.loads(read_bytes(path) or b"null")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def make_folder(path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
    """A folder of ours with this mode and owner. For one that others own too, os.makedirs leaves both alone."""
    os.makedirs(path, exist_ok=True)
    set_access(path, mode, uid, gid)


def set_access(path: str, mode: int, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, uid, gid)
    os.chmod(path, mode)


def flush_folder(path: str) -> None:
    """Make renames inside a folder last through a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: str, content: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    """Replace a file as a whole: a reader sees the old content or the new one, also after a crash."""
    folder = os.path.dirname(path)
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            set_access(temporary, mode, uid, gid)
            os.fsync(handle.fileno())
        os.rename(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = error.filename or path  # a full disk names no file
        remove(temporary)
        raise
    flush_folder(folder)


def write_json(path: str, value: t.Mapping[str, t.Any]) -> None:
    write_file(path, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n", mode=0o600)


def switch_link(path: str, target: str) -> None:
    """Point a link somewhere else by rename(2), so that it exists at every moment."""
    temporary = prepare_link(path, target)
    os.rename(temporary, path)
    flush_folder(os.path.dirname(path))


def prepare_link(path: str, target: str) -> str:
    """A new link beside C(path), ready to be renamed over it; returns its name."""
    temporary = f"{path}.new"
    remove(temporary)
    os.symlink(target, temporary)
    return temporary


def remove(path: str) -> None:
    """Remove a file, link or tree; nothing happens where there is none."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def remove_empty(folder: str) -> None:
    """Remove a folder if there is nothing but folders in it."""
    if not relative_files(folder):
        remove(folder)


def relative_files(folder: str) -> list[str]:
    """Every file and link below a folder, relative to it, in order. Links are not followed."""
    found = []
    for base, folders, files in os.walk(folder):
        names = files + [name for name in folders if os.path.islink(os.path.join(base, name))]
        found += [os.path.relpath(os.path.join(base, name), folder) for name in names]
    return sorted(found)


def copy_access(source: str, target: str) -> None:
    """Copy a file with its mode, times and owner."""
    shutil.copy2(source, target, follow_symlinks=False)
    if os.geteuid() == 0:
        status = os.lstat(source)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)


def copy_tree(source: str, target: str, copy: t.Callable[[str, str], t.Any] = copy_access) -> None:
    """Copy a folder with everything in it, owners included."""
    shutil.copytree(source, target, symlinks=True, copy_function=copy)
    if os.geteuid() == 0:
        for base, _folders, _names in os.walk(source):  # the copy function is not asked for folders
            status = os.lstat(base)
            os.chown(os.path.join(target, os.path.relpath(base, source)), status.st_uid, status.st_gid)


def move(source: str, target: str) -> None:
    """Move a file or folder, also to another file system.

    At every moment, one of the two names has all of it; what has its own name is whole.
    """
    try:
        os.rename(source, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    whole, gone = target + MOVING, source + MOVING
    remove(whole)
    if os.path.isdir(source) and not os.path.islink(source):
        copy_tree(source, whole)
    else:
        copy_access(source, whole)
    os.sync()
    os.rename(whole, target)
    os.rename(source, gone)
    remove(gone)
