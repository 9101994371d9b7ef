# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-node side of M(opswatch.monitoring.component): validates, renders, and calls the worker once."""

from __future__ import annotations

import base64
import os
import typing as t
import zlib
from collections import Counter
from dataclasses import dataclass

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.opswatch.monitoring.plugins.module_utils._arguments import wanted
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import sentence
from ansible_collections.opswatch.monitoring.plugins.module_utils._fingerprint import fingerprint
from ansible_collections.opswatch.monitoring.plugins.plugin_utils import in_order, role_facts
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.addresses import own_address
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.component_spec import ARGUMENT_SPEC
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.flags import render_flags
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_values import spec_problems
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.release import (
    local_archive,
    mirror_folder,
    record_in_lock,
    worker_release,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.render import (
    encoded,
    file_diff,
    merged,
    to_yaml,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.unit import render_unit

WORKER = "opswatch.monitoring.component_apply"
PASSED_ON = (
    "name",
    "state",
    "version",
    "ready_timeout",
    "data",
    "packages",
    "generations",
    "adopt",
    "allow_downgrade",
    "remove_data",
)


@dataclass(frozen=True)
class RenderedFile:
    """A file as the host will have it."""

    place: str
    path: str
    text: str
    mode: str
    on_change: str

    @property
    def key(self) -> tuple[str, str]:
        return (self.place, self.path)

    def for_worker(self) -> dict[str, str]:
        return {
            "place": self.place,
            "path": self.path,
            "content": encoded(self.text),
            "mode": self.mode,
            "on_change": self.on_change,
        }


class ActionModule(ActionBase):
    """One remote round trip for a component; two and a transfer where an archive has to be pushed.

    None where the preflight of this run has seen that nothing is to be done.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _result, args = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        host = str(self._task.delegate_to or task_vars.get("inventory_hostname", ""))
        seen = in_order.seen(host, args["name"])
        if seen is None:
            self._check_shared(task_vars)
        files = self._render_files(args["files"], task_vars) if args["state"] == "present" else []
        arguments = [*args["arguments"], *render_flags(args["flags"], args["flag_style"])]
        unit = render_unit(args["name"], arguments, *args["unit"], program=args["release"]["programs"][0])
        payload = self._payload(args, files, arguments, unit)

        if seen is not None:  # by the preflight of this run, which has held what all share against its types
            if _is_wanted(seen, payload):
                return in_order.result(seen)
            self._check_shared(task_vars)
        in_order.forget(host, args["name"])  # before, as a task that fails may be rescued
        result = self._execute_module(WORKER, payload, task_vars=task_vars)
        if result.get("archive_wanted"):
            first, result = result, self._push_and_repeat(args, payload, result["archive_wanted"], task_vars)
            result["actions"] = [*first["actions"], *result.get("actions", [])]
        learned = result.pop("learned_checksum", None)
        if learned and record_in_lock(args["lock"], learned["path"], learned["sha256"]):
            result.setdefault("actions", []).append(f"recorded the checksum of {learned['path']} in {args['lock']}")
        if (result.get("changed") or result.get("failed")) and not self._task.check_mode:
            in_order.forget(host)
        return self._present(args, files, unit, result)

    def _check_shared(self, task_vars: dict[str, t.Any]) -> None:
        """What all roles share, for plays without the preflight. Ansible's own check starts a process each time."""
        stated = role_facts.stated(role_facts.SHARED, task_vars)
        values = {name: self._templar.template(value) for name, value in stated.items()}
        for problem in spec_problems(role_facts.SHARED, role_facts.typed(role_facts.SHARED, values), values):
            raise AnsibleActionFail(sentence(*problem))

    def _payload(
        self, args: dict[str, t.Any], files: list[RenderedFile], arguments: list[str], unit: str
    ) -> dict[str, t.Any]:
        """The arguments of the worker."""
        payload = {option: args[option] for option in PASSED_ON}
        payload["release"] = worker_release(args["release"], args["version"], args["mirror"], args["lock"])
        payload["files"] = [file.for_worker() for file in files]
        payload["unit"] = encoded(unit)
        payload["flag_check"] = [*arguments, args["version_flag"]]
        payload["validate"] = args["validate"]
        payload["can_reload"] = "\nExecReload=" in unit
        payload["reload_metrics"] = args["reload_metrics"] or ""
        payload["ready"] = _endpoint(args["name"], args["ready"]) if args["ready"] else None
        return payload

    def _render_files(self, files: list[dict[str, t.Any]], task_vars: dict[str, t.Any]) -> list[RenderedFile]:
        """Every file with its content. Files to copy are taken as they are, never as templates."""
        rendered: list[RenderedFile] = []
        templar = None
        for file in files:
            if file["template"]:
                source = self._find_needle("templates", file["template"])
                if templar is None:
                    templar = self._templar.copy_with_new_env(
                        searchpath=[os.path.dirname(source)], available_variables=dict(task_vars)
                    )
                texts = [("", self._template(templar, source))]
            elif file["copy"] is not None:
                sources = [self._find_needle("files", name) for name in file["copy"]]
                texts = [(os.path.basename(name), self._loader.get_text_file_contents(name)) for name in sources]
            elif file["contents"] is not None:
                texts = [(str(name), _text(content)) for name, content in file["contents"].items()]
            else:
                texts = [("", _text(file["content"]))]
            for name, text in texts:
                path = file["path"] + name
                text = merged(text, file["merge"], path)
                rendered.append(RenderedFile(file["place"], path, text, file["mode"], file["on_change"]))
        twice = [key for key, count in Counter(file.key for file in rendered).items() if count > 1]
        if twice:
            raise AnsibleActionFail(f"Two files have the same name: {', '.join('/'.join(key) for key in twice)}.")
        return rendered

    def _template(self, templar: t.Any, source: str) -> str:
        text = templar.template(
            trust_as_template(self._loader.get_text_file_contents(source)),
            escape_backslashes=False,
            overrides={"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True},
        )
        if not isinstance(text, str):
            raise AnsibleActionFail(
                f"The template {source} gave a {type(text).__name__} and not a text. "
                "What to do: let it hold more than one expression, such as a comment line."
            )
        return str(text)

    def _push_and_repeat(
        self, args: dict[str, t.Any], payload: dict[str, t.Any], wanted: dict[str, str], task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Transfer the archive from the mirror's folder, then call the worker again."""
        folder = mirror_folder(args["mirror"])
        if folder is None:
            raise AnsibleActionFail(
                f"The worker asked for an archive, but monitoring_mirror ({args['mirror']}) is no folder."
            )
        archive, checksum = local_archive(folder, wanted["path"], wanted["checksums"])
        for arch, path in payload["release"]["paths"].items():
            if path == wanted["path"] and checksum:
                payload["release"]["checksums"].setdefault(arch, checksum)
        # Without pipelining the first call has left one. Ansible removes it at the end of the task.
        temporary = self._connection._shell.tmpdir or self._make_tmp_path()
        remote = self._connection._shell.join_path(temporary, os.path.basename(archive))
        self._transfer_file(archive, remote)
        payload["release"] = {**payload["release"], "archive": remote}
        return self._execute_module(WORKER, payload, task_vars=task_vars)

    def _present(
        self, args: dict[str, t.Any], files: list[RenderedFile], unit: str, result: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """The worker's result as people read it: a diff of every file, and no content that they did not ask for."""
        texts = {file.key: file.text for file in files}
        before = {(entry["place"], entry["path"]): _decoded(entry["content"]) for entry in result.pop("before", [])}
        changed = [(key[0], key[1], existed) for *key, existed in result.pop("changed_files", [])]
        removed = [tuple(key) for key in result.pop("removed_files", [])]
        earlier_version = result.pop("version_before", "")
        result.pop("invocation", None)
        if result.get("changed") and result.get("effect") in ("start", "restart") and not self._task.check_mode:
            # site.yml looks a second time where something was started, and asks no other host.
            result["ansible_facts"] = {**result.get("ansible_facts", {}), "opswatch_started": True}
        if not self._task.diff or not result.get("changed"):
            return result
        name = args["name"]
        diffs = []
        if args["state"] == "present" and earlier_version != args["version"]:
            release = f"{name} release"
            diffs.append(file_diff(release, f"{earlier_version or 'none'}\n", f"{args['version']}\n"))
        for place, path, existed in changed:
            shown = f"/etc/{name}/{_shown((place, path))}"
            if place == "secret":
                diffs.append(file_diff(shown, "(secret)\n" if existed else None, "(secret, new)\n"))
            else:
                earlier = before.get((place, path), "(not shown)\n" if existed else None)
                diffs.append(file_diff(shown, earlier, texts.get((place, path), "(not shown)\n")))
        for key in removed:
            diffs.append(file_diff(f"/etc/{name}/{_shown(key)}", before.get(key, "(not shown)\n"), None))
        unit_key = ("unit", f"{name}.service")
        new_unit = unit if args["state"] == "present" else None
        if before.get(unit_key) != new_unit:
            diffs.append(file_diff(f"/etc/systemd/system/{name}.service", before.get(unit_key), new_unit))
        result["diff"] = diffs
        return result


def _is_wanted(seen: in_order.Seen, payload: dict[str, t.Any]) -> bool:
    """Whether what the preflight saw of the component is what is wanted."""
    release = payload["release"]
    if release["unpublished"] and not release["checksums"].get(seen["architecture"]):
        return False  # the checksum is still to be learned
    desired, _contents = wanted(payload)
    return bool(seen["fingerprint"] == fingerprint(desired, release["programs"], payload["packages"]))


def _text(content: t.Any) -> str:
    """A text as it is, everything else as YAML."""
    return str(content) if isinstance(content, str) else to_yaml(content)


def _shown(key: tuple[str, ...]) -> str:
    folder = {"config": "", "live": "live/", "secret": "secrets/"}[key[0]]
    return folder + key[1]


def _decoded(content: str) -> str:
    try:
        return zlib.decompress(base64.b64decode(content)).decode(errors="replace")
    except (zlib.error, ValueError):  # a part of it looked like a secret and was censored
        return "(not shown)\n"


def _endpoint(name: str, ready: dict[str, t.Any]) -> dict[str, t.Any]:
    """Where the host itself reaches a component that listens on this address."""
    plain = ("path", "expect", "progress", "progress_lines", "user", "password", "server_name")
    endpoint = {key: ready[key] for key in plain}
    for file in ("ca", "cert", "key"):
        endpoint[file] = ready[file] and os.path.join(f"/etc/{name}", ready[file])
    endpoint["base"] = f"{ready['scheme']}://{own_address(ready['address'])}{ready['prefix'].rstrip('/')}"
    return endpoint
