# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Where everything of one component lives on a host. Every other file asks here instead of joining paths itself."""

from __future__ import annotations

import os
from dataclasses import dataclass

GENERATIONS_HOME = "/var/lib/opswatch"
RELEASES_HOME = "/opt/opswatch"


@dataclass(frozen=True)
class Layout:
    """The paths of the component C(name); C(root) is C("") on a host and a scratch folder in tests."""

    name: str
    root: str = ""

    @property
    def home(self) -> str:
        return f"{self.root}{GENERATIONS_HOME}/{self.name}"

    def others(self) -> list[str]:
        """The other components of this collection that are on the host."""
        try:
            names = sorted(os.listdir(os.path.dirname(self.home)))
        except FileNotFoundError:
            return []
        return [name for name in names if name != self.name and os.path.islink(Layout(name, self.root).current)]

    @property
    def generations(self) -> str:
        return f"{self.home}/generations"

    def generation(self, number: int) -> str:
        return f"{self.generations}/{number}"

    @property
    def current(self) -> str:
        """The link that names the generation in force; switching it by rename(2) is the activation."""
        return f"{self.home}/current"

    @property
    def staging(self) -> str:
        return f"{self.home}/staging"

    @property
    def failed(self) -> str:
        """The last generation that did not come up, kept so that people can look at it."""
        return f"{self.home}/failed"

    @property
    def live(self) -> str:
        """Files that the program itself re-reads at any time (file_sd): a real folder that never moves."""
        return f"{self.home}/live"

    @property
    def secrets(self) -> str:
        """Outside the generations, so that going back never brings an old password back."""
        return f"{self.home}/secrets"

    @property
    def undo(self) -> str:
        """What a running transaction overwrote in C(live) and C(secrets)."""
        return f"{self.home}/undo"

    @property
    def adopted(self) -> str:
        return f"{self.home}/adopted"

    @property
    def adoption(self) -> str:
        """What is being moved to C(adopted), until the change that needs it is committed."""
        return f"{self.home}/adoption.json"

    @property
    def journal(self) -> str:
        return f"{self.home}/journal.json"

    @property
    def unsettled(self) -> str:
        """Present from a commit until the second look at the end of the play."""
        return f"{self.home}/unsettled.json"

    @property
    def lock(self) -> str:
        return f"{self.root}/run/opswatch/{self.name}.lock"

    @property
    def releases(self) -> str:
        return f"{self.root}{RELEASES_HOME}/{self.name}/releases"

    def release(self, version: str) -> str:
        return f"{self.releases}/{version}"

    @property
    def unit_name(self) -> str:
        return f"{self.name}.service"

    @property
    def unit(self) -> str:
        return f"{self.root}/etc/systemd/system/{self.unit_name}"

    @property
    def sysusers(self) -> str:
        return f"{self.root}/etc/sysusers.d/opswatch-{self.name}.conf"

    @property
    def etc(self) -> str:
        return f"{self.root}/etc/{self.name}"

    @property
    def data(self) -> str:
        return f"{self.root}/var/lib/{self.name}"

    def program(self, program: str) -> str:
        return f"{self.root}/usr/local/bin/{program}"

    def links(self, programs: tuple[str, ...]) -> dict[str, str]:
        """What people and units use, and where it leads: both follow C(current), so one rename switches them all."""
        links = {self.etc: f"{self.current}/config"}
        links.update({self.program(program): f"{self.current}/release/{program}" for program in programs})
        return links

    def place(self, place: str) -> str:
        """The folder of a file's place: C(config) (of the current generation), C(live) or C(secret)."""
        return {"config": f"{self.current}/config", "live": self.live, "secret": self.secrets}[place]


def installed_components(root: str = "") -> list[str]:
    """Names of the components that have generations on this host."""
    home = f"{root}{GENERATIONS_HOME}"
    try:
        return sorted(name for name in os.listdir(home) if os.path.isdir(os.path.join(home, name, "generations")))
    except FileNotFoundError:
        return []
