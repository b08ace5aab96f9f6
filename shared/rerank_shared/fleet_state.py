"""The state of a fleet: workers alive, the backlog, and the seconds until it is done, as a whole and by pool."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.contract.unreadable import name_of_bytes, read_or_none
from rerank_shared.fleet import read_costs
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.queue.backlog import DueJobs, ask_backlog, read_backlog, total
from rerank_shared.redis.server_clock import epoch_of, server_epoch
from rerank_shared.scheduling.cost import CostParameters, Work, typical


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog of one class. `queued_jobs` of its `jobs` wait on the queue; workers have the others.

    `oldest_at` is when the oldest job was enqueued, in epoch seconds; None where no job says so.
    """

    jobs: int
    work: Work
    queued_jobs: int
    oldest_at: float | None = None

    def oldest_age_s(self, now: float) -> float | None:
        """Return the age of the oldest job in seconds, None without any."""
        return None if self.oldest_at is None else max(0.0, now - self.oldest_at)

    @property
    def tokens(self) -> int:
        """Estimated tokens of all its jobs."""
        return round(self.work.tokens)

    @property
    def held_jobs(self) -> int:
        """Jobs that workers have taken and not answered."""
        return max(0, self.jobs - self.queued_jobs)


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool at one moment. `id` is '' for the common queue, whose jobs any process takes.

    `cost` is that of one process, None while no worker has measured it. `identity` is what its workers announced, None
    of the common queue and where nobody can say. `alias` is what requests call its model, where its own name means
    another pool: two exports of one model.
    """

    id: str
    workers: tuple[Heartbeat, ...]
    backlog: Mapping[JobClass, Backlog]
    cost: CostParameters | None
    identity: ScoringIdentity | None = None
    alias: str | None = None

    @property
    def model(self) -> str | None:
        """The name that requests call its model by, None where nobody can say."""
        return self.alias or (None if self.identity is None else self.identity.model)

    def drain_s(self, *job_classes: JobClass) -> float:
        """Return the seconds until the backlog of these classes is done; with no process alive, by one process.

        inf while the cost is unknown.
        """
        return self.work_s(*job_classes) / max(1, len(self.workers))

    def work_s(self, *job_classes: JobClass) -> float:
        """Return the seconds that one process would need for the backlog of these classes; inf as above."""
        work = sum((self.backlog[job_class].work for job_class in job_classes), Work())
        if work == Work():
            return 0.0
        return math.inf if self.cost is None else self.cost.predict_s(work)


@dataclass(frozen=True, slots=True)
class FleetState:
    """A fleet at one moment: its live workers, its pools, and the common queue, which is the first of `queues`."""

    workers: tuple[Heartbeat, ...]
    queues: tuple[PoolState, ...]

    @property
    def pools(self) -> tuple[PoolState, ...]:
        """The pools that have live processes or a backlog."""
        return tuple(pool for pool in self.queues[1:] if pool.workers or any(b.jobs for b in pool.backlog.values()))

    @property
    def backlog(self) -> dict[JobClass, Backlog]:
        """The backlog of all pools and of the common queue."""
        return {each: _together([queue.backlog[each] for queue in self.queues]) for each in JOB_CLASSES}

    @property
    def cost(self) -> CostParameters | None:
        """What running costs one process of the first pool that has measured it."""
        return next((queue.cost for queue in self.queues if queue.cost is not None), None)

    @property
    def tokens_per_s(self) -> float:
        """Measured tokens a second of all live processes together."""
        return sum(worker.tokens_per_s for worker in self.workers)

    @property
    def predicted_drain_s(self) -> float:
        """Seconds until the backlog is done; with no process alive, by one process. inf while the cost is unknown."""
        return self.drain_s(*JOB_CLASSES)

    def drain_s(self, *job_classes: JobClass) -> float:
        """Return the same for these classes alone. Pools work side by side, and all share the common queue."""
        common, *pools = self.queues
        return common.drain_s(*job_classes) + max((pool.drain_s(*job_classes) for pool in pools), default=0.0)

    def work_s(self, *job_classes: JobClass) -> float:
        """Return the seconds that one process would need for the backlog of these classes; inf as above."""
        return sum(queue.work_s(*job_classes) for queue in self.queues)


@dataclass(frozen=True, slots=True)
class StateQuestions:
    """The commands that read a state, for a pipeline of either kind.

    They are in two parts: what the second asks depends on the answers to the first.

    `model` is the name whose measured cost stands in where no pool has one; `now` is epoch seconds of the server.
    """

    keys: Keys
    model: str
    now: float

    def ask_first(self, pipe: Any) -> None:
        """Queue the first part."""
        pipe.zrangebyscore(self.keys.workers, self.now, "+inf")
        pipe.zrangebyscore(self.keys.pools, self.now, "+inf")
        pipe.zrangebyscore(self.keys.models, self.now, "+inf")

    def ask(self, pipe: Any, first: Sequence[Any]) -> None:
        """Queue the second part."""
        workers, pools, models = first
        for worker in workers:
            pipe.get(self.keys.worker(name_of_bytes(worker)))
        for model in models:
            pipe.hgetall(self.keys.pools_of(name_of_bytes(model)))
        for pool in ["", *map(name_of_bytes, pools)]:
            self._ask_queues(pipe, self.keys.of(pool))

    def _ask_queues(self, pipe: Any, keys: Keys) -> None:
        pipe.hgetall(keys.cost(keys.pool or self.model))
        for job_class in JOB_CLASSES:
            pipe.llen(keys.queue_list(job_class))
        ask_backlog(pipe, keys, self.now)

    def read(self, first: Sequence[Any], answers: Sequence[Any]) -> FleetState:
        """Return the state from the answers to both parts."""
        workers, pools, models = first
        rest = iter(answers)
        records = [next(rest) for _ in workers]
        beats = (read_or_none("heartbeat", wire.decode_heartbeat, record) for record in records if record is not None)
        alive = tuple(beat for beat in beats if beat is not None)
        announced = {name_of_bytes(model): next(rest) for model in models}
        common = self._queue("", alive, rest)
        found = [_named(self._queue(name_of_bytes(pool), alive, rest, common.cost), pool, announced) for pool in pools]
        return FleetState(alive, (common, *found))

    def _queue(
        self, pool: str, alive: tuple[Heartbeat, ...], rest: Iterator[Any], default: CostParameters | None = None
    ) -> PoolState:
        workers = tuple(beat for beat in alive if not pool or pool in beat.pools)
        cost = typical(read_costs(next(rest)).values(), self.now) or default
        queued = {job_class: next(rest) for job_class in JOB_CLASSES}
        due = read_backlog([next(rest) for _ in JOB_CLASSES])
        backlog = {job_class: _backlog(job_class, queued[job_class], due) for job_class in JOB_CLASSES}
        return PoolState(pool, workers, backlog, cost)


def read_state(client: Any, keys: Keys, model: str) -> FleetState:
    """Read the state of the fleet in three round trips."""
    questions = StateQuestions(keys, model, server_epoch(client))
    questions.ask_first(pipe := client.pipeline(transaction=False))
    first = pipe.execute()
    questions.ask(pipe := client.pipeline(transaction=False), first)
    return questions.read(first, pipe.execute())


async def aread_state(client: Any, keys: Keys, model: str) -> FleetState:
    """Read the state of the fleet as `read_state` does, on an asyncio client."""
    questions = StateQuestions(keys, model, epoch_of(await client.time()))
    questions.ask_first(pipe := client.pipeline(transaction=False))
    first = await pipe.execute()
    questions.ask(pipe := client.pipeline(transaction=False), first)
    return questions.read(first, await pipe.execute())


def _named(state: PoolState, pool: bytes, announced: Mapping[str, Mapping[bytes, bytes]]) -> PoolState:
    """Return the state with what is announced of its pool; `announced` are identities by name and pool."""
    names = [name for name, records in announced.items() if pool in records]
    if not names:
        return state
    identity = read_or_none("scoring identity", wire.decode_identity, announced[names[0]][pool])
    alias = None if identity is None or identity.model in names else min(names)
    return replace(state, identity=identity, alias=alias)


def _backlog(job_class: JobClass, queued: int, due: Sequence[DueJobs]) -> Backlog:
    mine = [each for each in due if each.job_class == job_class]
    oldest_at = min((each.oldest_at for each in mine if each.oldest_at), default=None)
    return Backlog(sum(each.jobs for each in mine), total(mine), queued, oldest_at)


def _together(parts: Sequence[Backlog]) -> Backlog:
    oldest_at = min((part.oldest_at for part in parts if part.oldest_at is not None), default=None)
    work = sum((part.work for part in parts), Work())
    return Backlog(sum(part.jobs for part in parts), work, sum(part.queued_jobs for part in parts), oldest_at)
