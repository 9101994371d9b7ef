# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the host before a log agent starts: it takes over how far the other one has read."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CURSOR = "s=0e004956406b4145999052c5cbc7c776;i=ee;b=c8773e4e;m=47361383e;t=6610f80883288;x=d805360a03ba88fc"
PROMTAIL = 'positions:\n  /var/log/app/a.log: "100"\n  /var/log/app/b c.log: "200"\n  cursor-journal: ' + CURSOR + "\n"


class Host:
    """The part of a host that the scripts look at; what is written later is newer."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock = root, 1_000_000_000
        (root / "var/lib/promtail").mkdir(parents=True)
        (root / "var/lib/alloy").mkdir(parents=True)

    @property
    def promtail(self) -> Path:
        return self.root / "var/lib/promtail/positions.yaml"

    @property
    def legacy(self) -> Path:
        return self.root / "var/lib/alloy/promtail_positions.yaml"

    def alloy(self, component: str) -> Path:
        return self.root / f"var/lib/alloy/data/{component}/positions.yml"

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.clock += 10
        os.utime(path, (self.clock, self.clock))

    def start(self, agent: str) -> None:
        script = ROOT / "roles" / agent / "files/take_over"
        subprocess.run(["sh", script, self.root], check=True, capture_output=True, text=True)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def positions(**places: str) -> str:
    """As Alloy writes them: the key of the map is a map."""
    entries = "".join(f"    ? path: {path}\n      labels: '{{}}'\n    : {place}\n" for path, place in places.items())
    return "positions:\n" + entries


def read(path: Path) -> dict[str, t.Any]:
    return dict(yaml.safe_load(path.read_text())["positions"])


def test_the_first_start_takes_nothing(host: Host) -> None:
    host.start("alloy")
    host.start("promtail")
    assert not host.legacy.exists()
    assert not host.promtail.exists()


def test_alloy_goes_on_where_promtail_was(host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.start("alloy")
    assert host.legacy.read_text() == PROMTAIL


def test_alloy_that_is_started_again_keeps_its_own(host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.start("alloy")
    ours = host.alloy("loki.source.file.app")
    host.write(ours, positions(**{"/var/log/app/a.log": '"150"'}))
    host.start("alloy")
    assert '"150"' in ours.read_text()


def test_alloy_after_promtail_ran_again(host: Host) -> None:
    """What Alloy knew is older than what Promtail knows: to keep it would send lines twice."""
    ours = host.alloy("loki.source.file.app")
    host.write(ours, positions(**{"/var/log/app/a.log": '"50"'}))
    host.write(host.promtail, PROMTAIL)
    host.start("alloy")
    assert not ours.exists()
    assert host.legacy.read_text() == PROMTAIL


def test_promtail_goes_on_where_alloy_was(host: Host) -> None:
    host.write(host.promtail, PROMTAIL)
    host.write(
        host.alloy("loki.source.file.app"), positions(**{"/var/log/app/a.log": '"150"', "'/var/x: y.log'": '"1"'})
    )
    cursor = {"cursor-loki.source.journal.journal": CURSOR}
    host.write(host.alloy("loki.source.journal.journal"), positions(**cursor))
    host.start("promtail")
    assert read(host.promtail)["/var/log/app/a.log"] == "150"
    assert read(host.promtail)["/var/x: y.log"] == "1"
    assert read(host.promtail)["cursor-journal"] == CURSOR
    assert host.promtail.stat().st_mode & 0o777 == 0o600


def test_promtail_that_is_started_again_keeps_its_own(host: Host) -> None:
    host.write(host.alloy("loki.source.file.app"), positions(**{"/var/log/app/a.log": '"150"'}))
    host.write(host.promtail, PROMTAIL)
    host.start("promtail")
    assert host.promtail.read_text() == PROMTAIL


@pytest.mark.parametrize("fresh", ["app", "shop"])
def test_what_alloy_took_over_and_did_not_read_is_old(fresh: str, host: Host) -> None:
    """Alloy has all of Promtail's positions in the file of each entry, and moves on those that are the entry's."""
    host.write(host.legacy, PROMTAIL)
    for name in ("app", "shop"):
        place = '"150"' if name == fresh else '"100"'
        host.write(host.alloy(f"loki.source.file.{name}"), positions(**{"/var/log/app/a.log": place}))
    host.start("promtail")
    assert read(host.promtail) == {"/var/log/app/a.log": "150"}
