"""The fleet's load as a client sees it before it sends: idle processes, the backlog, and what running costs.

Every request asks how many processes live and how many jobs are unanswered, in the round trip of its look-up. The
backlog itself is read only where no process is idle, and is remembered for a moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from rerank_producer._io.clock import Clock
from rerank_producer._io.port import Port
from rerank_shared.fleet import read_costs
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.queue.backlog import DueJobs, ask_backlog, read_backlog
from rerank_shared.scheduling.admission import LOAD_REMEMBERED_S, queue_wait_s
from rerank_shared.scheduling.cost import CostParameters, Work, typical
from rerank_shared.scheduling.sharding import idle_processes, open_processes

_MODELS = 64
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FleetLoad:
    """The load that a request meets in a pool, '' being the common queue.

    Each of the `unanswered` jobs keeps one process busy, while there are processes.

    `bulk` of them are of that class. `cost` is None while no worker has measured it; `due` is the backlog, empty where
    it was not read.
    """

    workers: int = 0
    unanswered: int = 0
    cost: CostParameters | None = None
    due: tuple[DueJobs, ...] = ()
    bulk: int = 0
    pool: str = ""

    def open_to(self, job_class: JobClass) -> int:
        """Return the processes that a request of a class may be spread over."""
        return open_processes(job_class, workers=self.workers, unanswered=self.unanswered, bulk=self.bulk)

    @property
    def idle(self) -> int:
        """Processes that have nothing to do."""
        return idle_processes(workers=self.workers, unanswered=self.unanswered)

    def run_s(self, work: Work) -> float:
        """Return the seconds for which one process runs `work`; 0 while the cost is unknown."""
        return 0.0 if self.cost is None else self.cost.predict_s(work)

    def wait_s(self, job_class: JobClass, due_at: float) -> float:
        """Return the seconds for which a job waits for its first run; `due_at` (epoch seconds) is its urgency.

        Returns 0 while the cost is unknown, and while no process is alive: one may be about to start.
        """

        def ahead_s() -> float:
            return self.run_s(sum((each.ahead_of(job_class, due_at) for each in self.due), Work()))

        return queue_wait_s(ahead_s, workers=self.workers, idle=self.idle)


@dataclass(slots=True)
class FleetLoadCache:
    """Reads the load, and remembers the parts that are long to read. Threads may share it."""

    keys: Keys
    clock: Clock
    _costs: dict[str, tuple[CostParameters | None, float]] = field(default_factory=dict)
    _due: dict[str, tuple[tuple[DueJobs, ...], float]] = field(default_factory=dict)

    async def get(self, port: Port, model: str, pool: str = "") -> FleetLoad:
        """Return the load that a request for `model` meets in a pool. Raises QueueUnavailable."""
        return await self.with_backlog(port, await self.without_backlog(port, model, pool))

    async def without_backlog(self, port: Port, model: str, pool: str = "") -> FleetLoad:
        """Return the load without its backlog, however busy the pool is. Raises QueueUnavailable."""
        query = self.query(model, pool)
        return query.read(iter(await port.pipeline(query.ask)))

    def query(self, model: str, pool: str = "") -> FleetLoadQuery:
        """Return the query for a request for `model` that goes to a pool; '' is the common queue."""
        cost, until = self._costs.get(pool or model, (None, -math.inf))
        return FleetLoadQuery(self, pool, pool or model, cost, self.clock.monotonic() < until)

    async def with_backlog(self, port: Port, seen: FleetLoad) -> FleetLoad:
        """Return `seen` with the backlog, which is read only where no process is idle. Raises QueueUnavailable."""
        if seen.idle > 0 or seen.unanswered == 0:
            return seen
        due, until = self._due.get(seen.pool, ((), -math.inf))
        # The backlog of a pool that was idle says nothing once it is busy.
        if self.clock.monotonic() >= until or seen.unanswered > 2 * sum(each.jobs for each in due):
            now, keys = self.clock.epoch(), self.keys.of(seen.pool)
            due = tuple(read_backlog(await port.pipeline(lambda pipe: ask_backlog(pipe, keys, now))))
            _remember(self._due, seen.pool, (due, self.clock.monotonic() + LOAD_REMEMBERED_S))
        return replace(seen, due=due)

    def learn(self, name: str, costs: Any) -> CostParameters | None:
        """Remember the cost of running a pool or a model as the server answered it, and return it."""
        cost = typical(read_costs(costs).values(), self.clock.epoch())
        _remember(self._costs, name, (cost, self.clock.monotonic() + LOAD_REMEMBERED_S))
        return cost

    async def counts(self, port: Port, pool: str = "") -> tuple[int, int]:
        """Return a pool's processes alive, and its unanswered jobs. Raises QueueUnavailable."""
        keys = self.keys.of(pool)
        workers, *unanswered = await port.pipeline(lambda pipe: ask_load(pipe, keys, self.clock.epoch()))
        return workers, sum(unanswered)


@dataclass(frozen=True, slots=True)
class FleetLoadQuery:
    """The commands that read a pool's load in a shared round trip, and the cost under `name` unless that is `fresh`."""

    cache: FleetLoadCache
    pool: str
    name: str
    cost: CostParameters | None
    fresh: bool

    def ask(self, pipe: Any) -> None:
        """Queue the commands on a pipeline."""
        ask_load(pipe, self.cache.keys.of(self.pool), self.cache.clock.epoch())
        if not self.fresh:
            pipe.hgetall(self.cache.keys.cost(self.name))

    def read(self, answers: Iterator[Any]) -> FleetLoad:
        """Return the load from the answers, without the backlog; see FleetLoadCache.with_backlog."""
        workers, unanswered = next(answers), {job_class: next(answers) for job_class in JOB_CLASSES}
        cost = self.cost if self.fresh else self.cache.learn(self.name, next(answers))
        return FleetLoad(workers, sum(unanswered.values()), cost, bulk=unanswered["bulk"], pool=self.pool)


def _remember(known: dict[str, T], name: str, found: T) -> None:
    if len(known) >= _MODELS:
        # Callers choose these names until workers have announced theirs.
        known.clear()
    known[name] = found


def describe_workers(workers: int) -> str:
    """Return a clause that says how many worker processes are alive, for messages to users."""
    return "one worker process is alive" if workers == 1 else f"{workers} worker processes are alive"


def ask_load(pipe: Any, keys: Keys, now: float) -> None:
    """Queue on a pipeline: the count of a pool's processes alive, and of its unanswered jobs by class."""
    pipe.zcount(keys.workers, now, "+inf")
    for job_class in JOB_CLASSES:
        pipe.zcount(keys.backlog(job_class), now, "+inf")
