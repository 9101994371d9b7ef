# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics with the guide's names. Every label takes its values from a finite set, whatever clients send."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

#: Label values of requests whose path no route matches, and of methods outside METHODS.
UNMATCHED_ROUTE = "unmatched"
OTHER_METHOD = "OTHER"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: Bounds of the histograms. 2 s is the guide's alert threshold, so it is a bound and not inside a bucket.
HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
QUERY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
VIEW_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300)
SIZE_BYTES = (64, 256, 1024, 4096, 16384, 65536, 262144)

HTTP_LABELS = ("service", "method", "route", "status")

#: The exposition format of ``render``: every Prometheus reads it, and both old and new client libraries write it.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: The guide's business metrics, in the service that does the work.
BUSINESS = {
    "profiles_created_total": "profile-service",
    "profile_view_duration_seconds": "profile-service",
    "matches_created_total": "discovery-service",
    "active_users_current": "auth-service",
}


class ActiveUsers:
    """Users seen within the last ``window`` seconds, at most ``limit`` of them (the longest unseen go first)."""

    def __init__(self, window: float = 300.0, limit: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self.window = window
        self.limit = limit
        self._clock = clock
        self._seen: OrderedDict[int, float] = OrderedDict()

    def add(self, user: int) -> None:
        """Note that the user was seen now."""
        self._seen[user] = self._clock()
        self._seen.move_to_end(user)
        if len(self._seen) > self.limit:
            self._seen.popitem(last=False)

    def remove(self, user: int) -> None:
        """Forget the user."""
        self._seen.pop(user, None)

    def count(self) -> int:
        """Forget who was not seen for too long, and count the others."""
        oldest = self._clock() - self.window
        while self._seen and next(iter(self._seen.values())) < oldest:
            self._seen.popitem(last=False)
        return len(self._seen)


class Metrics:
    """All metrics of one service, in a registry of their own."""

    def __init__(self, service: str, *, process: bool = True) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        if process:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)

        self._requests = self._counter("http_requests_total", "HTTP requests answered", HTTP_LABELS)
        self._seconds = self._histogram(
            "http_request_duration_seconds", "Time from a request's head to its answer", HTTP_SECONDS, HTTP_LABELS
        )
        self._received = self._histogram(
            "http_request_size_bytes", "Bytes of a request's body that were received", SIZE_BYTES, HTTP_LABELS
        )
        self._sent = self._histogram("http_response_size_bytes", "Bytes of an answer's body", SIZE_BYTES, HTTP_LABELS)
        self.db_queries = self._counter("db_queries_total", "Database queries", ("operation",))
        self.db_query_duration = self._histogram(
            "db_query_duration_seconds", "Time of a database query", QUERY_SECONDS, ("operation",)
        )

        self.active_users = ActiveUsers()
        mine = {name for name, owner in BUSINESS.items() if owner == service}
        if "profiles_created_total" in mine:
            self.profiles_created = self._counter("profiles_created_total", "Profiles created")
        if "profile_view_duration_seconds" in mine:
            self.profile_view_duration = self._histogram(
                "profile_view_duration_seconds", "How long a profile was looked at, as the client says", VIEW_SECONDS
            )
        if "matches_created_total" in mine:
            self.matches_created = self._counter("matches_created_total", "Matches created")
        if "active_users_current" in mine:
            gauge = Gauge("active_users_current", "Users seen within five minutes", registry=self.registry)
            gauge.set_function(self.active_users.count)

    def observe_request(
        self, *, method: str, route: str, status: int, seconds: float, received_bytes: int, sent_bytes: int
    ) -> None:
        """Count one answered request. ``route`` is a route's template, never a raw path."""
        labels = (self.service, method if method in METHODS else OTHER_METHOD, route, str(status))
        self._requests.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)
        self._received.labels(*labels).observe(received_bytes)
        self._sent.labels(*labels).observe(sent_bytes)

    def render(self) -> bytes:
        """Give all metrics in the text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(name, text, tuple(labels), registry=self.registry)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], labels: Iterable[str] = ()) -> Histogram:
        return Histogram(name, text, tuple(labels), registry=self.registry, buckets=bounds)
