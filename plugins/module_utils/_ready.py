# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""The proof that a component answers: its own readiness address, over this host's own addresses."""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass

from ._errors import ComponentError
from ._service import command, last_words, words_since


@dataclass(frozen=True)
class Endpoint:
    """Where a component answers. C(ca): file with the authority to trust; C(server_name): what its certificate says;
    C(cert), C(key): files with ours, where it asks for one."""

    base: str  # http://127.0.0.1:9090, with the route prefix if there is one
    path: str = "/-/ready"
    user: str = ""
    password: str = ""
    ca: str = ""
    server_name: str = ""
    cert: str = ""
    key: str = ""
    expect: str = ""  # what the answer has to hold beside its 200
    progress: str = ""  # an address whose answer changes while a long start moves on
    progress_lines: str = ""  # which of its lines tell that, where others change all the time: how they begin

    @property
    def url(self) -> str:
        return self.base + self.path


@dataclass(frozen=True)
class Answer:
    status: int  # 0: no answer at all
    text: str
    refusal: ComponentError | None = None  # why it is no answer of a program that we may believe


LASTING = 2.0  # seconds that a refusal is given
REFUSAL = "rror reloading config"  # what Prometheus writes into its journal, in any version


def ask(endpoint: Endpoint, path: str) -> Answer:
    """GET one path."""
    from ._ask import get  # with http.client and ssl, for which most runs have no use

    return get(endpoint, path)


def metric(text: str, name: str) -> float | None:
    """The value of a metric without labels in an exposition."""
    for line in text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def is_ready(endpoint: Endpoint, answer: Answer) -> bool:
    return answer.status == 200 and re.search(endpoint.expect, answer.text) is not None


def wait_until_ready(
    endpoint: Endpoint,
    alive: t.Callable[[], None],
    patience: float,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
    ask: t.Callable[..., Answer] = ask,
    ready: t.Callable[[Endpoint, Answer], bool] = is_ready,
    name: str = "",
) -> None:
    """Wait for a 200. C(alive) raises when the service died; C(patience) is seconds without any progress.

    C(name): of the component, if it is one whose patience is a variable.
    """
    progress = ""
    deadline = clock() + patience
    pause = 0.05
    while True:
        answer = ask(endpoint, endpoint.path)
        alive()
        if ready(endpoint, answer):
            return
        if refusal := answer.refusal or _refused_credentials(endpoint, answer):
            # Perhaps by another program, which has the port that ours dies for. To ask again is one more wrong login.
            until = clock() + LASTING
            while clock() < until:
                sleep(0.1)
                alive()
            raise refusal
        if endpoint.progress and answer.status:
            seen = _telling(endpoint, ask(endpoint, endpoint.progress).text)
            if seen != progress:
                progress = seen
                deadline = clock() + patience
        if clock() >= deadline:
            seen = f"HTTP {answer.status}: {answer.text[:300]}" if answer.status else answer.text
            wanted = f"200 with {endpoint.expect!r}" if endpoint.expect else "200"
            raise ComponentError(
                f"not ready: {endpoint.url} gave no {wanted} within {patience:g} s",
                seen,
                f"`journalctl -u {name} -n 50` says why; if it only needs longer, raise {name}_ready_timeout"
                if name
                else "look at its journal",
            )
        sleep(pause)
        pause = min(pause * 1.5, 1.0)


def _telling(endpoint: Endpoint, text: str) -> str:
    """What of an answer tells of progress: all of it, or lines that begin as stated."""
    if not endpoint.progress_lines:
        return text
    return "\n".join(line for line in text.splitlines() if re.match(endpoint.progress_lines, line))


def _refused_credentials(endpoint: Endpoint, answer: Answer) -> ComponentError | None:
    if answer.status not in (401, 403):
        return None
    return ComponentError(
        f"{endpoint.url} refuses our credentials",
        f"HTTP {answer.status} for user {endpoint.user or '(none)'}",
        "compare the password in monitoring_secrets_dir with the web configuration on the host",
    )


def reload_metrics(prefix: str, text: str) -> tuple[str, str]:
    """The metrics that tell whether the last reload succeeded, and when. Alloy does not call it a reload."""
    load = f"{prefix}_config_last_load"
    stem = load if metric(text, f"{load}_successful") is not None else f"{prefix}_config_last_reload"
    return f"{stem}_successful", f"{stem}_success_timestamp_seconds"


def reload(
    unit: str,
    endpoint: Endpoint | None,
    metrics: str,
    alive: t.Callable[[], None],
    patience: float = 60,
    trigger: t.Callable[[], object] | None = None,
) -> None:
    """Reload a unit and, where its metrics tell, see that the program took the new configuration.

    C(metrics) is the prefix of C(_config_last_reload_successful) and C(_config_last_reload_success_timestamp_seconds),
    or of the same with C(_load_), as Alloy calls them. C(trigger) asks for the reload, if not systemd is to do it.
    """
    trigger = trigger or (lambda: command("systemctl", "reload", unit))
    if not metrics or not endpoint:
        trigger()
        return
    earlier = ask(endpoint, "/metrics")
    success, stamp = reload_metrics(metrics, earlier.text)
    for _attempt in range(10):  # without the earlier time stamp nothing would be proven
        # Unless it shows the old certificate, until the reload: then it is the new one that proves it.
        if earlier.refusal or metric(earlier.text, stamp) is not None:
            break
        time.sleep(0.2)
        earlier = ask(endpoint, "/metrics")
        success, stamp = reload_metrics(metrics, earlier.text)
    before, failed_before = metric(earlier.text, stamp), metric(earlier.text, success) == 0
    begun = time.time()
    trigger()
    deadline, trusted_by = time.monotonic() + patience, time.monotonic() + LASTING
    answer = Answer(0, "")
    while time.monotonic() < deadline:
        answer = ask(endpoint, "/metrics")
        # Where the last one had failed too, the metrics do not tell whether it has come to this one.
        if metric(answer.text, success) == 0 and (not failed_before or REFUSAL in words_since(unit, begun)):
            raise ComponentError(
                f"{unit} refuses the new configuration",
                last_words(unit),
                "correct what it names in the inventory, and run again",
            )
        if metric(answer.text, stamp) not in (None, before):
            return
        alive()
        if answer.refusal and time.monotonic() >= trusted_by:
            raise answer.refusal
        time.sleep(0.05)
    seen = last_words(unit)
    if answer.status != 200:
        seen = f"{endpoint.base}/metrics: {f'HTTP {answer.status}' if answer.status else answer.text}"
    raise ComponentError(
        f"{unit} did not take the new configuration within {patience:g} s",
        seen,
        f"`journalctl -u {unit} -n 50` may say why",
    )
