# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small stream of requests to the services, bounded in rate, in time, and to addresses nearby.

    python3 -m dating_app.traffic --rate 2 --duration 60 profile-service=8082 webapp=192.168.0.7:8090

With ``--wait`` it first waits until every service is healthy, with ``--duration 0`` it does only that.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from dating_app import logs
from dating_app.routes import SERVICES

#: Bounds: requests a second, seconds of one run, requests at the same time, and seconds that one may take.
MAX_RATE = 50.0
MAX_DURATION = 3600.0
MAX_WAIT = 300.0
MAX_CONCURRENT = 20
REQUEST_SECONDS = 10.0

#: Where requests may go. Host names are refused, as what they lead to can change.
NEARBY = tuple(
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)

NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Esra", "Farid", "Grace", "Hanna", "Ines", "João")


def target(text: str) -> tuple[str, str]:
    """Turn ``NAME=PORT`` or ``NAME=ADDRESS:PORT`` into a service's name and base URL."""
    name, _, place = text.partition("=")
    host, _, port = place.rpartition(":")
    if name not in SERVICES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SERVICES)}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PORT or NAME=ADDRESS:PORT")
    try:
        address = ipaddress.ip_address(host.strip("[]") or "127.0.0.1")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{host!r} is not an IP address") from None
    if not any(address in network for network in NEARBY):
        raise argparse.ArgumentTypeError(f"{host!r} is neither a loopback nor a private address")
    return name, f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def bounded(lowest: float, highest: float) -> Callable[[str], float]:
    """Make a parser for a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {lowest:g} to {highest:g}")
        return value

    return parse


def settings(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="dating_app.traffic", description="Send a bounded stream of requests.")
    parser.add_argument("targets", nargs="+", type=target, metavar="NAME=[ADDRESS:]PORT", help="a service to ask")
    parser.add_argument(
        "--rate", type=bounded(0.1, MAX_RATE), default=2.0, help=f"requests a second, at most {MAX_RATE:g}, default: 2"
    )
    parser.add_argument(
        "--duration",
        type=bounded(0, MAX_DURATION),
        default=60.0,
        help=f"seconds, at most {MAX_DURATION:g}, default: 60",
    )
    parser.add_argument(
        "--wait", type=bounded(0, MAX_WAIT), default=0.0, help="seconds to wait until all are healthy, default: do not"
    )
    parser.add_argument("--seed", type=int, help="start of the random numbers, to send the same requests again")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Step:
    """One request to a service."""

    service: str
    method: str
    path: str
    json: object = None
    data: bytes | None = None


@dataclass
class Visitors:
    """What people do: chooses the next request, and learns from the answers which profiles and matches there are."""

    services: frozenset[str]
    chance: random.Random
    profiles: deque[int] = field(default_factory=lambda: deque(maxlen=500))
    matches: deque[int] = field(default_factory=lambda: deque(maxlen=500))

    def next(self) -> Step:
        """Choose a request to one of the services."""
        steps = [(weight, step) for weight, step in self._steps() if step.service in self.services]
        return self.chance.choices([step for _, step in steps], [weight for weight, _ in steps])[0]

    def learn(self, step: Step, status: int, answer: object) -> None:
        """Remember what a request has created."""
        if status in (200, 201) and isinstance(answer, dict) and isinstance(answer.get("id"), int):
            known = {"/profiles": self.profiles, "/matches": self.matches}.get(step.path)
            if known is not None:
                known.append(answer["id"])

    def _steps(self) -> list[tuple[float, Step]]:
        one, other = self._profile(), self._profile()
        match = self.chance.choice(self.matches) if self.matches else 1
        view = {"seconds": self.chance.expovariate(1 / 15)}
        photo = self.chance.randbytes(self.chance.randrange(1_000, 60_000))
        person = {"name": self.chance.choice(NAMES), "age": self.chance.randrange(18, 80)}
        first = 1 if self.profiles else 50
        return [
            (4, Step("auth-service", "POST", "/login", {"profile_id": one})),
            (1, Step("auth-service", "POST", "/logout", {"profile_id": other})),
            (2 * first, Step("profile-service", "POST", "/profiles", person)),
            (5, Step("profile-service", "GET", f"/profiles/{one}")),
            (3, Step("profile-service", "POST", f"/profiles/{one}/views", view)),
            (0.3, Step("profile-service", "GET", "/profiles/0")),
            (4, Step("discovery-service", "GET", f"/discover?profile_id={one}")),
            (2, Step("discovery-service", "POST", "/matches", {"profile_id": one, "other_id": other})),
            (1, Step("media-service", "PUT", f"/photos/{one}", data=photo)),
            (4, Step("media-service", "GET", f"/photos/{other}")),
            (4, Step("chat-service", "POST", "/messages", {"match_id": match, "text": "Hello, how was your day?"})),
            (4, Step("chat-service", "GET", f"/matches/{match}/messages")),
            (3, Step("notification-service", "POST", "/notifications", {"profile_id": other})),
            (2, Step("admin-service", "GET", "/statistics")),
            (2, Step("data-service", "GET", "/statistics")),
            (0.1, Step("data-service", "POST", "/clean-up")),
            (3, Step("telegram-bot", "POST", "/updates", {"text": self.chance.choice(("/start", "/people"))})),
            (3, Step("webapp", "GET", "/")),
            (3, Step("webapp", "GET", f"/profiles/{one}")),
        ]

    def _profile(self) -> int:
        return self.chance.choice(self.profiles) if self.profiles else 1


async def healthy(targets: Mapping[str, str], seconds: float) -> dict[str, str]:
    """Wait until every service says that it is healthy; give those that do not, and what they say instead."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    async with _session() as session:
        while True:
            answers = await asyncio.gather(*(_health(session, url) for url in targets.values()))
            ill = {name: answer for name, answer in zip(targets, answers, strict=True) if answer}
            if not ill or clock() >= end:
                return ill
            await asyncio.sleep(0.5)


async def send(targets: Mapping[str, str], rate: float, duration: float, visitors: Visitors) -> Counter[str]:
    """Send requests evenly for ``duration`` seconds; count the answers by service and status."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    answers: Counter[str] = Counter()
    running: set[asyncio.Task[None]] = set()
    async with _session() as session:
        for number in range(int(rate * duration)):
            await asyncio.sleep(begin + number / rate - clock())
            if clock() - begin > duration:
                break
            if len(running) >= MAX_CONCURRENT:
                answers["skipped, as too many are unanswered"] += 1
                continue
            task = asyncio.create_task(_send(session, targets, visitors, answers))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    return answers


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))


async def _health(session: aiohttp.ClientSession, url: str) -> str:
    """Give what is wrong with a service, or nothing."""
    try:
        async with session.get(f"{url}/health", allow_redirects=False) as response:
            return "" if response.status == 200 else f"{response.status} {(await response.text())[:500]}"
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"


async def _send(
    session: aiohttp.ClientSession, targets: Mapping[str, str], visitors: Visitors, answers: Counter[str]
) -> None:
    step = visitors.next()
    url = targets[step.service] + step.path
    try:
        async with session.request(step.method, url, json=step.json, data=step.data, allow_redirects=False) as response:
            body = await response.read()
            answers[f"{step.service} {response.status}"] += 1
            if response.content_type == "application/json":
                visitors.learn(step, response.status, await response.json())
            logging.getLogger("traffic").debug("Answered", extra={"url": url, "bytes": len(body)})
    except (OSError, ValueError, aiohttp.ClientError, TimeoutError) as error:
        answers[f"{step.service} {type(error).__name__}"] += 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Wait for the services if asked to, send requests, and log how they were answered. Exits with 1 if one is ill."""
    chosen = settings(sys.argv[1:] if arguments is None else arguments)
    targets = dict(chosen.targets)
    log = logs.configure("traffic")
    if chosen.wait or not chosen.duration:
        ill = asyncio.run(healthy(targets, chosen.wait))
        if ill:
            log.error("Services are not healthy", extra={"services": ill})
            raise SystemExit(1)
        log.info("Services are healthy", extra={"services": sorted(targets)})
    if chosen.duration:
        visitors = Visitors(frozenset(targets), random.Random(chosen.seed))
        answers = asyncio.run(send(targets, chosen.rate, chosen.duration, visitors))
        log.info("Traffic sent", extra={"answers": dict(sorted(answers.items())), "requests": sum(answers.values())})


if __name__ == "__main__":
    main()
