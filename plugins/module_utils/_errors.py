# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The one exception of the engine; it becomes C(fail_json) at one place."""

from __future__ import annotations


class ComponentError(Exception):
    """What failed, what was seen, and what to do about it."""

    def __init__(self, what: str, seen: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.seen = seen.strip()
        self.remedy = remedy

    def __str__(self) -> str:
        return sentence(self.what, self.seen, self.remedy)


def sentence(what: str, seen: str, remedy: str) -> str:
    """One readable text of the three parts; a multi-line C(seen) stands on lines of its own."""
    text = what
    if seen:
        text += f": {seen}" if "\n" not in seen else ":\n" + "\n".join(f"    {line}" for line in seen.splitlines())
    if remedy:
        text += ("\n" if "\n" in text else ". ") + f"What to do: {remedy}"
    return text
