#!/usr/bin/python
# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: alertmanager_silence
short_description: Creates, extends and expires silences
version_added: 0.1.0
description:
  - Sees to it that alerts with certain labels are not told for a while. The alerts themselves go on.
  - A silence is known by its owner (O(created_by)) and its O(matchers). Where there is one, it is extended and keeps its id; silences of
    others are left alone.
  - Any member of a cluster does. After a change the module waits until every member that answers knows it.
author: opswatch.monitoring contributors (@opswatch)
extends_documentation_fragment:
  - opswatch.monitoring.alertmanager
  - action_common_attributes
attributes:
  check_mode:
    description: Asks what is there, changes nothing, and says what it would do.
    support: full
  diff_mode:
    description: Shows the silence before and after.
    support: full
  platform:
    platforms: posix
options:
  matchers:
    description:
      - Which alerts, by their labels, as Alertmanager writes them. An alert has to meet all of them.
      - For example C(instance="app1"), C(severity!="critical"), C(job=~"shop|cart"). Quotes may be left out.
    type: list
    elements: str
    required: true
  created_by:
    description: The owner. It is shown beside the silence.
    type: str
    default: opswatch.monitoring
  comment:
    description: Why. Required with O(state=present).
    type: str
  duration:
    description:
      - How long it has to last, from O(starts_at) on, such as V(90m), V(2h) or V(1d12h).
      - A silence that lasts longer is not shortened. One whose end is less than a minute (or a tenth of the duration) earlier lasts long
        enough.
    type: str
    default: 1h
  starts_at:
    description: When it begins, as RFC 3339, such as V(2026-11-25T18:00:00Z). Now, if it is left out.
    type: str
  ends_at:
    description: When it ends, as RFC 3339, in place of O(duration).
    type: str
  state:
    description:
      - V(present) creates or extends it.
      - V(absent) expires all that the owner has with these matchers, those that have not begun too.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - name: Silences
    description: A playbook for this, and how to see who is silenced.
    link: https://github.com/opswatch/monitoring/blob/main/docs/silences.md
"""

EXAMPLES = r"""
- name: Tell nobody about a host while it gets a new kernel
  opswatch.monitoring.alertmanager_silence:
    user: monitoring
    password: "{{ vault_monitoring_password }}"
    matchers: [instance="app1"]
    comment: kernel update
    duration: 2h

- name: It is done
  opswatch.monitoring.alertmanager_silence:
    user: monitoring
    password: "{{ vault_monitoring_password }}"
    matchers: [instance="app1"]
    state: absent

- name: A window at night, asked of whichever member answers
  opswatch.monitoring.alertmanager_silence:
    urls: [https://mon1.example.com:9093, https://mon2.example.com:9093]
    ca_path: /etc/alertmanager/secrets/ca.crt
    user: monitoring
    password: "{{ vault_monitoring_password }}"
    matchers: ['job=~"shop|cart"', 'severity!="critical"']
    created_by: release
    comment: shop 2.0
    starts_at: "2026-11-26T01:00:00Z"
    ends_at: "2026-11-26T03:00:00Z"
"""

RETURN = r"""
id:
  description: Id of the silence; empty where there is none, or none yet.
  type: str
  returned: success
silence:
  description: The silence as Alertmanager has it; in check mode as it would be. Empty where there is none.
  type: dict
  returned: success
expired:
  description: Ids of the silences that were expired.
  type: list
  elements: str
  returned: success
url:
  description: The member that was asked.
  type: str
  returned: success
actions:
  description: What was done, in words; in check mode what would be.
  type: list
  elements: str
  returned: success
"""

import time
import typing as t
from datetime import datetime, timezone

from ansible_collections.opswatch.monitoring.plugins.module_utils import _silence
from ansible_collections.opswatch.monitoring.plugins.module_utils._alertmanager_api import (
    Alertmanager,
    alertmanager_module,
    connect,
    first_that_answers,
)
from ansible_collections.opswatch.monitoring.plugins.module_utils._errors import ComponentError
from ansible_collections.opswatch.monitoring.plugins.module_utils._http import ApiError

OPTIONS: dict[str, t.Any] = {
    "matchers": {"type": "list", "elements": "str", "required": True},
    "created_by": {"type": "str", "default": "opswatch.monitoring"},
    "comment": {"type": "str"},
    "duration": {"type": "str", "default": "1h"},
    "starts_at": {"type": "str"},
    "ends_at": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
GOSSIP = 10.0  # seconds within which the members of a cluster tell each other


def wish_of(params: t.Mapping[str, t.Any], now: datetime) -> _silence.Wish:
    """The options, read. What cannot be a silence is refused before anybody is asked."""
    if not params["matchers"]:
        raise ComponentError(
            "matchers is empty: it would silence nothing", "", 'state at least one, such as instance="app1"'
        )
    if params["state"] == "present" and not params["comment"]:
        raise ComponentError("a silence needs a comment", "", "state why: comment: kernel update")
    starts = _silence.parse_time(params["starts_at"]) if params["starts_at"] else now
    ends = _silence.parse_time(params["ends_at"]) if params["ends_at"] else None
    ends = ends or starts + _silence.parse_duration(params["duration"])
    if params["state"] == "present" and ends <= max(starts, now):
        raise ComponentError(
            "the silence would be over already",
            f"it ends at {_silence.shown_time(ends)}, and now it is {_silence.shown_time(now)}",
            "state a later ends_at, or a duration",
        )
    return _silence.Wish(
        frozenset(_silence.Matcher.parse(text) for text in params["matchers"]),
        params["created_by"],
        params["comment"] or "",
        starts,
        ends,
    )


def matchers_shown(wish: _silence.Wish) -> str:
    return ", ".join(str(matcher) for matcher in sorted(wish.matchers))


def wait_for_all(members: t.Sequence[Alertmanager], silence_id: str, state: str) -> list[str]:
    """Warnings about members that do not know of a silence what this one knows."""
    warnings = []
    deadline = time.monotonic() + GOSSIP
    for member in members:
        try:
            while (seen := state_at(member, silence_id)) != state and time.monotonic() < deadline:
                time.sleep(0.1)
        except ApiError as error:
            warnings.append(f"A member does not answer, and learns of the silence once it does: {error.what}")
            continue
        if seen != state:
            warnings.append(
                f"{member.url} says of the silence {silence_id} that it is {seen}, and not {state}. What to do: see "
                "whether the members reach each other (alertmanager_cluster_members), and make it there too."
            )
    return warnings


def state_at(member: Alertmanager, silence_id: str) -> str:
    found = member.find(f"/api/v2/silence/{silence_id}")
    return found["status"]["state"] if found else "unknown"


def present(member: Alertmanager, wish: _silence.Wish, known: list[t.Any], check: bool) -> dict[str, t.Any]:
    change = _silence.change_for(wish, known)
    if change is None:
        held = max(
            (one for one in _silence.same_matchers(known, wish.matchers) if one["createdBy"] == wish.created_by),
            key=lambda one: _silence.parse_time(one["endsAt"]),
        )
        return {"changed": False, "silence": held, "actions": []}
    before, body = change.before, change.body
    verb = "create" if before is None else "change" if before["endsAt"] == body["endsAt"] else "extend"
    told = f"{matchers_shown(wish)} until {body['endsAt']}"
    diff = {"before": _silence.shown(before), "after": _silence.shown(body)}
    header = {"before_header": "silence", "after_header": "silence"}
    result = {"changed": True, "diff": {**diff, **header}}
    if check:
        return {**result, "silence": body, "actions": [f"would {verb} the silence of {told}"]}
    identity = member.post("/api/v2/silences", body)["silenceID"]
    made = member.get(f"/api/v2/silence/{identity}")
    if _silence.matchers_of(made) != wish.matchers or made["status"]["state"] == "expired":
        raise ComponentError(
            f"{member.url} took the silence {identity}, but it does not hold",
            _silence.shown(made),
            "compare the clocks of this host and of Alertmanager's",
        )
    done = {"create": "created", "change": "changed", "extend": "extended"}[verb]
    return {**result, "silence": made, "actions": [f"{done} the silence {identity} of {told}"]}


def absent(member: Alertmanager, wish: _silence.Wish, known: list[t.Any], check: bool) -> dict[str, t.Any]:
    there = _silence.same_matchers(known, wish.matchers)
    own = [one for one in there if one["createdBy"] == wish.created_by]
    for one in [] if check else own:
        member.delete(f"/api/v2/silence/{one['id']}")
    result: dict[str, t.Any] = {
        "changed": bool(own),
        "silence": {},
        "expired": [] if check else [one["id"] for one in own],
        "actions": [f"{'would expire' if check else 'expired'} the silence {one['id']}" for one in own],
        "warnings": [
            f"{one['createdBy']} has a silence with the same matchers, until {one['endsAt']}. It was left alone."
            for one in there
            if one not in own
        ],
    }
    if own:
        result["diff"] = {"before": "".join(_silence.shown(one) for one in own), "after": ""}
    return result


def main() -> None:
    module = alertmanager_module(OPTIONS)
    params = module.params
    try:
        wish = wish_of(params, datetime.now(timezone.utc))
        members = connect(params)
        member = first_that_answers(members)
        known = member.get("/api/v2/silences")
        work = present if params["state"] == "present" else absent
        result = work(member, wish, known, module.check_mode)
        warnings = result.pop("warnings", [])
        if result["changed"] and not module.check_mode:
            others = [one for one in members if one is not member]
            for identity in result.get("expired") or [result["silence"]["id"]]:
                state = result["silence"].get("status", {}).get("state", "expired")
                warnings += wait_for_all(others, identity, state)
    except ComponentError as error:
        module.fail_json(msg=str(error))
    for warning in dict.fromkeys(warnings):
        module.warn(warning)
    module.exit_json(**{"id": result["silence"].get("id", ""), "expired": [], "url": member.url, **result})


if __name__ == "__main__":
    main()
