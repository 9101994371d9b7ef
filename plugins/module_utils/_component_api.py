# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Several questions to a component of this host, without any library: where it answers its generation in force says.

_prometheus_api asks through requests, and stays beside it: it takes any address, asks again what passes by itself, and
may be told to check no certificate. With that there would be more code here than is twice now, the order of questions.
"""

from __future__ import annotations

import json
import typing as t
from concurrent.futures import ThreadPoolExecutor

from . import _ask
from ._errors import ComponentError
from ._ready import Answer, Endpoint

# As those who ask Prometheus through requests: room is left for dashboards and for people.
AT_ONCE = 4
EXCERPT = 300
SAME_PASSWORD = "run site.yml without --limit, so that both sides get the same password"


def answers(
    name: str, endpoint: Endpoint, paths: t.Mapping[str, str], timeout: float = 30.0
) -> dict[str, dict[str, t.Any]]:
    """C({"data": ...}) or C({"error": ...}) for each. Raises where the component itself cannot be asked.

    The first is asked alone: a wrong password is then sent once, and a component that is gone is waited for once.
    """
    if not paths:
        return {}
    first, *rest = paths.items()
    got = _ask.get(endpoint, first[1], timeout)
    refuse(name, endpoint, got)
    found = {first[0]: read(got)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        others = pool.map(lambda one: read(_ask.get(endpoint, one[1], timeout)), rest)
        found.update(zip((one[0] for one in rest), others))
    return found


def refuse(name: str, endpoint: Endpoint, got: Answer) -> None:
    """Raise where no question of this kind would be answered."""
    if got.refusal:
        raise got.refusal
    if got.status == 0:
        raise ComponentError(
            f"{name} does not answer at {endpoint.base}",
            got.text,
            f"see with systemctl status {name} whether it runs; site.yml --tags {name} starts it",
        )
    if got.status in (401, 403):
        raise ComponentError(
            f"{name} at {endpoint.base} refuses the password of the inventory",
            f"HTTP {got.status}: {' '.join(got.text.split())[:EXCERPT]}",
            SAME_PASSWORD,
        )


def read(got: Answer) -> dict[str, t.Any]:
    """What an answer says. What Prometheus and Loki wrap is unwrapped, and what is no JSON stays a text."""
    if got.refusal:
        return {"error": str(got.refusal)}
    try:
        stated = json.loads(got.text)
    except ValueError:
        stated = got.text.strip()
    if not 200 <= got.status < 300:
        said = stated.get("error") or stated.get("message") if isinstance(stated, dict) else stated
        words = " ".join(str(said or "").split())[:EXCERPT]
        return {"error": f"HTTP {got.status}: {words}" if got.status else words}
    if isinstance(stated, dict) and stated.get("status") == "success":
        return {"data": stated.get("data")}
    return {"data": stated}
