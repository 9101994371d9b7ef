# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The account that a component runs as."""

from __future__ import annotations

import grp
import pwd


def account_ids(name: str) -> tuple[int, int] | None:
    """(uid, gid) of an account, or None where there is none."""
    try:
        return pwd.getpwnam(name).pw_uid, grp.getgrnam(name).gr_gid
    except KeyError:
        return None
