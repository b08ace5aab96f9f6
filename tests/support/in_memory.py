"""The parts of the request pipeline over an in-memory fleet, each to be tested by itself, and their round trips."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._io.clock import Deadline
from rerank_producer._io.enqueue import Enqueue
from rerank_producer._request.plan import RequestPlan, parse, prepare
from rerank_producer.testing import InMemoryFleet
from rerank_producer.testing._ports import AsyncInMemoryPort, InMemoryPort
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Score, name_of
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.pools import Pool
from rerank_shared.routing.route import Target

OPTIONS: dict[str, Any] = {"job_class": "interactive"}


class CountingPort(InMemoryPort):
    """A port that notes its round trips to the server by the names of its methods."""

    def __init__(self, fleet: InMemoryFleet) -> None:
        super().__init__(fleet._server, fleet._workers, fleet._jobs.append)
        self.trips: list[str] = []
        #: The pool of each call that enqueued jobs.
        self.pools: list[str] = []

    async def lookup(
        self, digests: Sequence[bytes], fill: Callable[[Any], None]
    ) -> tuple[list[Score | None], list[Any]]:
        self.trips.append("lookup")
        return await super().lookup(digests, fill)

    async def pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        self.trips.append("pipeline")
        return await super().pipeline(fill)

    async def enqueue(self, enqueue: Enqueue) -> None:
        self.trips.append("enqueue")
        self.pools.append(enqueue.jobs[0].pool)
        await super().enqueue(enqueue)


class Parts:
    """A fleet, and one client of it taken apart: its pipeline and its port."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.fleet = InMemoryFleet(*args, **options)
        self.pipeline: RequestPipeline = self.fleet._pipeline()
        self.port = CountingPort(self.fleet)
        #: Suspends where the other port goes on.
        self.async_port = AsyncInMemoryPort(self.fleet._server, self.fleet._workers, self.fleet._jobs.append)

    @property
    def model(self) -> str:
        """The served model's name."""
        return name_of(self.fleet.settings.model)

    @property
    def pool(self) -> Pool:
        """The pool of its workers."""
        return self.pool_of(self.model)

    def pool_of(self, model: str) -> Pool:
        """Return the pool of a model's workers."""
        identity = self.fleet._workers.models[model].identity
        return Pool(pool_id(identity), identity, self.fleet.workers)

    def request(self, query: str, documents: Sequence[Any], **options: Any) -> RerankRequest:
        """Return a valid request."""
        return parse(self.fleet.settings, query, documents, OPTIONS | options)

    def plan(self, documents: Sequence[str], deadline_s: float, query: str = "q", **options: Any) -> RequestPlan:
        """Return a request of which nothing is cached."""
        now = self.fleet.now
        return prepare(
            self.request(query, documents, **options),
            target=Target(self.model),
            pool=self.pool,
            max_length=None,
            scores=None,
            submitted_at=now,
            deadline_at=now + deadline_s,
        )

    def deadline(self, deadline_s: float) -> Deadline:
        """Return a deadline that lies so far ahead."""
        return Deadline.after(deadline_s, self.pipeline.clock)


async def until_sent(fleet: InMemoryFleet, count: int = 1) -> None:
    """Let other tasks run until so many jobs were sent."""
    for _ in range(1_000):
        if len(fleet.jobs) >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{len(fleet.jobs)} jobs were sent, not {count}")
