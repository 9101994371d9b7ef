# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Installing: a release is fetched or was pushed, verified, and unpacked once."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile

from . import _files
from ._errors import ComponentError, from_system
from ._fetch import download, find_checksum
from ._release import MARK, PARTIAL, Source, shown
from ._service import command

_OTHER = "look whether it is the archive that the publisher has; a mirror may keep a page of an error under its name"


def install(source: Source, folder: str) -> str:
    """Fetch, verify and unpack a release into C(folder); returns where the checksum came from."""
    partial = f"{os.path.dirname(folder)}/{PARTIAL}{os.path.basename(folder)}"
    _files.remove(partial)
    for level in (3, 2, 1):  # /opt/opswatch, /opt/opswatch/<name>, releases: whatever root's umask is
        _files.make_folder(os.path.normpath(os.path.join(folder, *[".."] * level)))
    _files.make_folder(partial, 0o700)
    try:
        checksum, origin = find_checksum(source)
        archive = source.pushed or os.path.join(partial, os.path.basename(source.path))
        seen = _digest(archive) if source.pushed else download(source.url, archive)
        if seen != (checksum or seen):
            raise ComponentError(
                f"{shown(source.url)} has the wrong checksum, so it was not unpacked",
                f"SHA-256 {seen}, but {origin} says {checksum}{_beginning(archive)}",
                "fetch it again; if it stays so, the file or the checksum was changed: find out which before you go on",
            )
        _unpack(archive, os.path.join(partial, "tree"), source)
        tree = os.path.join(partial, "tree")
        sizes = {name: os.stat(os.path.join(tree, name)).st_size for name in source.programs}
        os.sync()  # the mark must not outlive the programs in a power failure
        _files.write_json(os.path.join(tree, MARK), {"sha256": seen, "url": shown(source.url), "sizes": sizes})
        if os.path.lexists(folder):
            os.rename(folder, os.path.join(partial, "damaged"))
        os.rename(tree, folder)
        _files.flush_folder(os.path.dirname(folder))
    except OSError as error:
        error.filename = error.filename or folder  # a full disk names no file
        raise from_system(f"{shown(source.url)} could not be unpacked into {folder}", error) from error
    finally:
        _files.remove(partial)
    if shutil.which("restorecon"):
        command("restorecon", "-R", folder, check=False)
    return origin


def _digest(path: str) -> str:
    seen = _files.file_sha256(path)
    if seen is None:
        raise ComponentError(f"{path} is not there", "", "run again")
    return seen


def _beginning(path: str) -> str:
    """How a file begins that should be an archive and is a web page, as many a proxy or login page answers with."""
    with open(path, "rb") as handle:
        text = handle.read(60).decode(errors="replace").strip()
    return f"; it begins with {text[:40]!r}, so it is a web page" if text.startswith("<") else ""


def _spread(archive: str, folder: str) -> None:
    """Unpack an archive, by its name; what has the name of none is a program itself."""
    known = [ending for _name, endings, _what in shutil.get_unpack_formats() for ending in endings]
    if not archive.endswith(tuple(known)):
        os.mkdir(folder)
        shutil.copyfile(archive, os.path.join(folder, os.path.basename(archive)))
        return
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") and ".tar" in archive else {}
    shutil.unpack_archive(archive, folder, **options)


def _unpack(archive: str, tree: str, source: Source) -> None:
    """Unpack into C(tree), without the archive's own top folder, readable by all and writable by nobody."""
    spread = f"{tree}.spread"
    try:
        _spread(archive, spread)
    except (shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        seen = f"{error}{_beginning(archive)}"
        raise ComponentError(f"{shown(source.url)} is not an archive that can be unpacked", seen, _OTHER) from error
    entries = os.listdir(spread)
    top = os.path.join(spread, entries[0]) if len(entries) == 1 else spread
    os.rename(top if os.path.isdir(top) else spread, tree)
    held = ", ".join(sorted(os.listdir(tree)))
    for name, theirs in source.names.items():
        if not os.path.isfile(os.path.join(tree, theirs)):
            continue
        if os.path.dirname(theirs):  # other programs of the archive may look for it there
            os.symlink(theirs, os.path.join(tree, name))
        else:
            os.rename(os.path.join(tree, theirs), os.path.join(tree, name))
    missing = [name for name in source.programs if not os.path.isfile(os.path.join(tree, name))]
    if missing:
        wanted = ", ".join(source.names.get(name, name) for name in missing)
        raise ComponentError(f"{shown(source.url)} lacks {wanted}", held, _OTHER)
    for base, _folders, files in os.walk(tree):
        _files.set_access(base, 0o755, 0, 0)
        for name in files:
            path = os.path.join(base, name)
            _files.set_access(path, 0o555 if os.access(path, os.X_OK) or name in source.programs else 0o444, 0, 0)
