# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Whether a backup serves: tried with programs of its own on the loopback, in a folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import typing as t

from . import _files, _grafana_database, _ready, _restore, _snapshot
from ._account import account_ids
from ._errors import ComponentError
from ._layout import Layout

PATIENCE = 600.0


def tried(name: str, folder: str, part: t.Mapping[str, t.Any]) -> str:
    """What was seen, in words. Raises if it is not what the manifest says."""
    if name == "prometheus":
        return _prometheus(folder, part["counts"])
    if name == "grafana":
        _grafana_database.check(folder)
        return f"grafana: its database is whole, {part['counts']['dashboards']} dashboards"
    if name == "loki":  # which went on while it was backed up
        return f"loki: {len(_files.relative_files(folder))} files, read back whole"
    return f"{name}: {part['files']} files, as in the manifest"


def compare(found: int, counted: t.Mapping[str, int]) -> None:
    """The series at the moment for which they were counted when the backup was made."""
    if found != counted["series_then"]:
        raise ComponentError(
            "Prometheus does not have what it had when the backup was made",
            f"{found} series, and {counted['series_then']} are in the manifest",
            "choose another restore_snapshot",
        )


def _prometheus(folder: str, counted: t.Mapping[str, int]) -> str:
    layout = Layout("prometheus")
    ids = account_ids(layout.name)
    if ids is None:
        raise ComponentError("the account prometheus is missing", "", "run site.yml first")
    _restore.own(layout, folder)
    os.chown(folder, *ids)
    with tempfile.TemporaryDirectory(prefix="drill-", dir=os.path.dirname(folder)) as scratch:
        os.chmod(scratch, 0o755)
        config, log = f"{scratch}/prometheus.yml", f"{scratch}/log"
        _files.write_file(config, b"{}\n", 0o644)
        port = _free_port()
        words = [
            layout.program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with open(log, "wb") as output:
            process = subprocess.Popen(_bound(ids, words), stdout=output, stderr=output, cwd="/")
        try:

            def alive() -> None:
                if process.poll() is not None:
                    words = _files.read_bytes(log).decode(errors="replace").splitlines()[-5:]
                    raise ComponentError(
                        "Prometheus does not start on the data of the backup", "\n".join(words), "see above"
                    )

            endpoint = _ready.Endpoint(base=f"http://127.0.0.1:{port}")
            _ready.wait_until_ready(endpoint, alive, PATIENCE)
            found = _snapshot.number_of_series(endpoint, counted["asked_at"])
            compare(found, counted)
        finally:
            process.terminate()
            process.wait(60)
    return f"prometheus: starts on it, {found} series and {counted['samples']} samples, as in the manifest"


def _bound(ids: tuple[int, int], words: t.Sequence[str]) -> list[str]:
    """The command, of an account, that ends with this process: nobody else would end what anybody here may ask."""
    account = [f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups"]
    return ["setpriv", *account, "--pdeathsig=KILL", "nice", *words]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
