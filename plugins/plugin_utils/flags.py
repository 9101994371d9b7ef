# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""One renderer of command-line flags for every component."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail


def render_flags(flags: t.Mapping[str, t.Any], style: str = "kingpin") -> list[str]:
    """Arguments from a map of flags.

    V(true) and V(false) switch a flag on and off, a null leaves it out (also a default of ours), a list repeats it,
    everything else becomes C(--name=value). Off is C(--no-name) in style V(kingpin), C(-name=false) in style V(go).
    """
    arguments = []
    # However often a flag is named, with dashes or without: the last one counts, as for any other setting.
    for bare, (name, value) in {str(name).lstrip("-"): (name, value) for name, value in flags.items()}.items():
        if not bare or any(character.isspace() or character == "=" for character in bare):
            raise AnsibleActionFail(f"{name!r} is not the name of a flag. Write it without dashes, = and value.")
        for item in value if isinstance(value, (list, tuple)) else [value]:
            argument = _argument(bare, item, style)
            if argument is not None:
                arguments.append(argument)
    return arguments


def _argument(name: str, value: t.Any, style: str) -> str | None:
    dashes = "--" if style == "kingpin" else "-"
    if value is None:
        return None
    if isinstance(value, bool):
        if style == "kingpin":
            return f"--{name}" if value else f"--no-{name}"
        return f"-{name}={str(value).lower()}"
    if isinstance(value, (dict, bytes)):
        raise AnsibleActionFail(
            f"The flag {name} has a value of type {type(value).__name__}. Use a string, number, boolean or list."
        )
    text = str(value)
    if "\n" in text or "\0" in text:
        raise AnsibleActionFail(f"The flag {name} has a value with a line break, which no unit can hold.")
    return f"{dashes}{name}={text}"
