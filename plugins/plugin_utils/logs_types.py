# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Values of an entry of C(monitoring_logs): whether they are what their key takes. Pure functions.

A text is a list of its letters to a program, so that C(metadata: user) would be four fields.
"""

from __future__ import annotations

import re
import typing as t
import warnings
import zoneinfo

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

# Where both read an expression alike, so that Python's word on it is RE2's too.
_CERTAIN = re.compile(
    r"missing \), unterminated subpattern|unbalanced parenthesis|unterminated character set"
    r"|missing >, unterminated name|bad escape \(end of pattern\)|redefinition of group name"
    r"|nothing to repeat at position 0$"
)
# What only RE2 knows, beside escapes that both do: those go first, as what stands behind a backslash begins nothing.
_RE2_ONLY = re.compile(
    r"(?P<one>\\(?:[pP](?:\{\^?\w+\}|\w)|x\{\w+\}|[zC])|\(\?[imsU]*-?[imsU]*\)|\[:\^?\w+:\])|(?P<both>\\.)"
    r"|\(\?[imsU]*-?[imsU]*(?P<group>:)|\(\?(?P<name><)(?![=!])",
    re.DOTALL,
)
# Zones by their areas, and the names without one, the older ones of which a control node may lack.
_ZONE = re.compile(
    r"""(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Etc|Europe|Indian|Pacific
    |US|Canada|Brazil|Chile|Mexico)(?:/[\w+-]+){1,2}
    |UTC|GMT|EST|MST|HST|EST5EDT|CST6CDT|MST7MDT|PST8PDT|CET|MET|EET|WET|UCT|GMT[+-]?0|Greenwich|Universal|Zulu
    |Cuba|Egypt|Eire|GB|GB-Eire|Hongkong|Iceland|Iran|Israel|Jamaica|Japan|Kwajalein|Libya|NZ|NZ-CHAT|Navajo|PRC|Poland
    |Portugal|ROC|ROK|Singapore|Turkey|W-SU""",
    re.ASCII | re.VERBOSE,
)


def typed(where: str, key: str, default: t.Any, value: t.Any) -> t.Any:
    """The value of a key, whose default tells what it takes; no default is that of a list."""
    if isinstance(default, dict):
        if not isinstance(value, t.Mapping):
            raise AnsibleError(
                f"{where}: {key} has to be a map, and is {value!r}. Write it like {key}: {{name: value}}."
            )
        return dict(value)
    if isinstance(default, list) or default is None:
        if not isinstance(value, (list, tuple)):
            raise AnsibleError(f"{where}: {key} has to be a list, and is {value!r}. Write it like {key}: [{value}].")
        return list(value) if key == "drop" else [text(where, f"an entry of {key}", one) for one in value]
    return text(where, key, value)


def text(where: str, key: str, value: t.Any) -> str:
    if value is None or isinstance(value, (bool, list, tuple, t.Mapping)):
        raise AnsibleError(
            f"{where}: {key} has to be a text, and is {value!r}. What to do: write one value, in quotes."
        )
    return str(value)


def number(where: str, key: str, value: t.Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"0*[1-9]\d*", str(value)):
        raise AnsibleError(f"{where}: {key} has to be a number above 0, and is {value!r}.")
    return int(value)


def yes_or_no(where: str, key: str, value: t.Any) -> bool:
    try:
        return bool(boolean(value))
    except TypeError as error:
        raise AnsibleError(f"{where}: {key} has to be true or false, and is {value!r}.") from error


def check_zone(where: str, name: str) -> None:
    """Only what cannot be one is refused: the agents' zones are their own, newer or older than the control node's."""
    if name in ("", "Local") or _ZONE.fullmatch(name):
        return
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise AnsibleError(f"{where}: time_zone is no zone: {name!r}. Write it like Europe/Berlin.") from error


def check_expression(where: str, key: str, expression: str) -> None:
    if fault := expression_fault(expression):
        raise AnsibleError(f"{where}: {key} is no regular expression: {expression!r}: {fault}.")


def expression_fault(expression: str) -> str:
    """What is certainly wrong with an expression in RE2. Empty if nothing is, or if that is not sure."""
    if r"\Q" in expression:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Python may read otherwise one day
            re.compile(_RE2_ONLY.sub(_as_python, expression))
    except re.error as error:
        return str(error) if _CERTAIN.search(str(error)) else ""
    except (OverflowError, RecursionError):
        pass
    return ""


def _as_python(found: re.Match[str]) -> str:
    """Something of the same shape."""
    if found["one"]:
        return "x"
    return found["both"] or ("(?:" if found["group"] else "(?P<")
