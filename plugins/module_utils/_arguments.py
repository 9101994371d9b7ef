# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The options of the worker, and the typed description that the engine makes of them."""

from __future__ import annotations

import base64
import os
import re
import typing as t

from . import _files
from ._data import Data
from ._errors import ComponentError
from ._plan import Desired, File, Key
from ._ready import Endpoint
from ._release import Source, architecture
from ._spec import Spec

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "version": {"type": "str", "default": ""},
    "release": {
        "type": "dict",
        "default": {},
        "options": {
            "base": {"type": "str", "default": ""},
            "paths": {"type": "dict", "default": {}},
            "checksum_paths": {"type": "dict", "default": {}},
            "checksums": {"type": "dict", "default": {}},
            "mirror_lock": {"type": "str", "default": ""},
            "archive": {"type": "path"},
            "programs": {"type": "list", "elements": "str", "default": []},
            "names": {"type": "dict", "default": {}},
            "unpublished": {"type": "bool", "default": False},
        },
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "place": {"type": "str", "choices": ["config", "live", "secret"], "default": "config"},
            "content": {"type": "str", "required": True, "no_log": True},
            "mode": {"type": "str", "default": "0640"},
            "on_change": {"type": "str", "choices": ["nothing", "reload", "restart"], "default": "restart"},
        },
    },
    "unit": {"type": "str", "default": ""},
    "flag_check": {"type": "list", "elements": "str", "default": []},
    "validate": {"type": "list", "elements": "list", "default": []},
    "can_reload": {"type": "bool", "default": False},
    "reload_metrics": {"type": "str", "default": ""},
    "ready": {
        "type": "dict",
        "options": {
            "base": {"type": "str", "required": True},
            "path": {"type": "str", "default": "/-/ready"},
            "expect": {"type": "str", "default": ""},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "ca": {"type": "str", "default": ""},
            "server_name": {"type": "str", "default": ""},
            "cert": {"type": "str", "default": ""},
            "key": {"type": "str", "default": "", "no_log": False},
            "progress": {"type": "str", "default": ""},
            "progress_lines": {"type": "str", "default": ""},
        },
    },
    "ready_timeout": {"type": "int", "default": 600},
    "data": {
        "type": "dict",
        "options": {
            "immutable": {"type": "list", "elements": "str", "default": []},
            "breaking_versions": {"type": "list", "elements": "str", "default": []},
        },
    },
    "packages": {"type": "list", "elements": "str", "default": []},
    "generations": {"type": "int", "default": 3},
    "adopt": {"type": "bool", "default": False},
    "allow_downgrade": {"type": "bool", "default": False},
    "remove_data": {"type": "bool", "default": False},
}


def wanted(params: t.Mapping[str, t.Any]) -> tuple[Desired, dict[Key, bytes]]:
    """The desired state, and the content of its files. The same on the control node and on the host."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", params["name"]):
        raise ComponentError(f"{params['name']!r} cannot name a component", "", "use a-z, 0-9 and _")
    for file in params["files"]:
        if os.path.isabs(file["path"]) or ".." in file["path"].split("/"):
            raise ComponentError(
                f"the file {file['path']} is not inside its place", "", "use a relative path without .."
            )
    contents = {(f["place"], f["path"]): base64.b64decode(f["content"]) for f in params["files"]}
    files = tuple(
        File(f["place"], f["path"], _files.sha256(contents[f["place"], f["path"]]), int(f["mode"], 8), f["on_change"])
        for f in params["files"]
    )
    release, data = params["release"], params["data"]
    desired = Desired(
        name=params["name"],
        state=params["state"],
        version=params["version"],
        files=files,
        unit=_files.sha256(base64.b64decode(params["unit"])),
        main_program=(release["programs"] or [params["name"]])[0],
        validators=tuple(" ".join(map(str, words)).replace("{release}/", "") for words in params["validate"]),
        breaking_versions=tuple(data["breaking_versions"]) if data else (),
        can_reload=params["can_reload"],
        keep=params["generations"],
        adopt=params["adopt"],
        allow_downgrade=params["allow_downgrade"],
        remove_data=params["remove_data"],
    )
    return desired, contents


def build(params: t.Mapping[str, t.Any]) -> tuple[Spec, tuple[str, ...]]:
    """The typed description that the engine works with, and the units of packages."""
    desired, contents = wanted(params)
    release, data = params["release"], params["data"]
    arch = architecture()
    source = Source(
        base=release["base"],
        path=release["paths"].get(arch, ""),
        checksum=release["checksums"].get(arch, ""),
        mirror_lock=release["mirror_lock"],
        checksums_path=release["checksum_paths"].get(arch, ""),
        pushed=release["archive"] or "",
        programs=tuple(release["programs"]),
        names=release["names"].get(arch, {}),
        unpublished=release["unpublished"],
    )
    spec = Spec(
        desired=desired,
        contents=contents,
        unit=base64.b64decode(params["unit"]).decode(),
        source=source,
        flag_check=tuple(params["flag_check"]),
        validators=tuple(tuple(str(word) for word in words) for words in params["validate"]),
        endpoint=Endpoint(**params["ready"]) if params["ready"] else None,
        reload_metrics=params["reload_metrics"],
        ready_timeout=params["ready_timeout"],
        data=Data(tuple(data["immutable"])) if data else None,
    )
    return spec, tuple(params["packages"])
