"""The in-memory server: its keys, its listeners, and whether it can be reached."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rerank_producer._io.pending import Pending
from rerank_producer.testing._store import Store
from rerank_producer.testing._timeline import Timeline
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job, RouteRecord
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import JOB_CLASSES, Keys
from rerank_shared.route_store.table import read_table
from rerank_shared.routing.route import Route
from rerank_shared.routing.spec import to_text


class Server:
    """The stand-in for Redis. All code that touches it, its clock included, holds its lock."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.lock = threading.RLock()
        self.timeline = Timeline()
        self.store = Store(self.timeline.epoch)
        self.listeners: list[Pending] = []
        #: The reason why it can't be reached; None: it can be.
        self.away: str | None = None
        #: Called before a client's commands run.
        self.before: Callable[[], None] = lambda: None

    def refuse_if_away(self, doing: str) -> None:
        """Raise QueueUnavailable if a client can't reach it."""
        if self.away is not None:
            raise QueueUnavailable(
                f"Redis of the in-memory fleet can't be used ({self.away}), while {doing}: the test called go_away()",
                self.away,
            )

    def ask(self, fill: Callable[[Any], None], doing: str) -> list[Any]:
        """Run a client's commands and return the answers. Raises QueueUnavailable."""
        self.refuse_if_away(doing)
        self.before()
        return self.run(fill)

    def run(self, fill: Callable[[Any], None]) -> list[Any]:
        """Run commands, after the keys whose time is over have ended."""
        self._sweep()
        fill(pipe := self.store.pipeline())
        return pipe.execute()

    def lookup(self, digests: list[bytes]) -> list[Any]:
        """Return the cached score of each digest, None for a miss."""
        values = [self.store.read(self.keys.score(digest)) for digest in digests]
        return [None if value is None else wire.decode_score(value) for value in values]

    def publish(self, record: bytes) -> None:
        """Announce a job's record to all waiters."""
        for pending in list(self.listeners):
            pending.deliver(record)

    def come_back(self) -> None:
        """Be reachable again, and inform all waiters that they may have missed answers."""
        self.away = None
        for pending in list(self.listeners):
            pending.reconnected()

    def set_route(self, route: Route) -> None:
        """Make a route its next version."""
        self._write_route(route.name, to_text(route))

    def delete_route(self, name: str) -> None:
        """Make a version that deletes a route."""
        self._write_route(name, "")

    def _write_route(self, name: str, spec: str) -> None:
        routes = self.store.table(self.keys.routes)
        version = read_table(routes).version(name) + 1
        record = RouteRecord(name, version, spec, "operator", "in-memory", self.timeline.epoch())
        routes[name.encode()] = wire.encode_route(record)

    def forget_jobs(self) -> None:
        """Delete all keys of jobs, as a server does that restarts without its data."""
        names: list[str | bytes] = []
        backlogs = [self.keys.of("").backlog(job_class) for job_class in JOB_CLASSES]
        for prefix in (*backlogs, self.keys.text(""), self.keys.request(""), self.keys.result("")):
            names += self.store.names(prefix)
        self.store.end(*names)

    def clear_cache(self) -> None:
        """Delete all scores."""
        self.store.end(*self.store.names(self.keys.score_prefix))

    def text(self, job: Job) -> Any:
        """Return the text beside a job, None if there is none."""
        return self.store.read(self.keys.text(job.job_id))

    def _sweep(self) -> None:
        now, lifetimes = self.timeline.epoch(), self.keys.lifetimes
        over = [name for name, until in (self.store.read(lifetimes) or {}).items() if until <= now]
        for name in over:
            self.store.end(name)
            del self.store.table(lifetimes)[name]
