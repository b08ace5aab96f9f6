"""What the fleet says of itself in Redis: artefacts served, workers alive, work waiting, seconds until it is done.

Workers write (announce, beat, share_cost), anyone reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Artefact, Heartbeat
from rerank_shared.errors import UnknownModel
from rerank_shared.keys import (
    ARTEFACT_TTL_S,
    COST_TTL_S,
    HEARTBEAT_TTL_S,
    JOB_CLASSES,
    JobClass,
    Keys,
)
from rerank_shared.queue.backlog import ask_entries, read_entries, total
from rerank_shared.queue.lifetimes import end, keep
from rerank_shared.scheduling.cost import CostParameters, Work


def announce(pipe: Any, keys: Keys, artefact: Artefact, now: float, alias: str | None = None) -> None:
    """Queue the announcement of a served artefact on a pipeline; `now` is epoch seconds.

    `alias` is a second name that requests may ask for it by: what the operator's settings call it.
    """
    for name in {artefact.model, alias or artefact.model}:
        pipe.set(keys.artefact(name), wire.encode_artefact(artefact), ex=ARTEFACT_TTL_S)
        pipe.zadd(keys.models, {name: now + ARTEFACT_TTL_S})


def beat(pipe: Any, keys: Keys, heartbeat: Heartbeat, now: float) -> None:
    """Queue a worker's heartbeat on a pipeline."""
    until = now + HEARTBEAT_TTL_S
    keep(pipe, keys, keys.worker(heartbeat.worker_id), wire.encode_heartbeat(heartbeat), until)
    pipe.zadd(keys.workers, {heartbeat.worker_id: until})
    pipe.zremrangebyscore(keys.workers, "-inf", now)


def share_cost(pipe: Any, keys: Keys, names: Iterable[str], field: str, parameters: CostParameters) -> None:
    """Queue on a pipeline what running costs, under each name of the model; `field` is `cost_field` of who measured."""
    for name in names:
        pipe.hset(keys.cost(name), field, wire.encode_cost(parameters))
        pipe.expire(keys.cost(name), COST_TTL_S)


def cost_field(precision: str, host: str) -> str:
    """Return whose measurement of a model's cost it is: processes of one host and precision share one."""
    return f"{precision}|{host}"


def read_costs(record: Mapping[bytes, bytes]) -> dict[str, CostParameters]:
    """Return the parameters by `cost_field`, as `HGETALL` of `keys.cost(model)` answered."""
    return {field.decode(): wire.decode_cost(value) for field, value in record.items()}


def typical(costs: Mapping[str, CostParameters]) -> CostParameters | None:
    """Return the parameters of the middle one by seconds a token, None without any: a fleet's hosts may differ."""
    ordered = sorted(costs.values(), key=lambda cost: cost.token_s)
    return ordered[len(ordered) // 2] if ordered else None


def retire(pipe: Any, keys: Keys, worker_id: str) -> None:
    """Queue a worker's farewell on a pipeline, so that nobody waits for its heartbeat to run out."""
    end(pipe, keys, keys.worker(worker_id))
    pipe.zrem(keys.workers, worker_id)


def read_artefact(values: list[Any], model: str) -> Artefact | None:
    """Return the artefact served under `model` from the answers to `ask_artefact`, None if nothing is announced, or if
    a full server has evicted the announcement, which its workers soon repeat.

    Raises UnknownModel when the fleet serves other models and not this one.
    """
    record, served = values
    if record is not None:
        return wire.decode_artefact(record)
    if served and model.encode() not in served:
        names = ", ".join(sorted(name.decode() for name in served))
        raise UnknownModel(f"model: {model!r} is not served by this fleet, which serves {names}; ask for one of these")
    return None


def ask_artefact(pipe: Any, keys: Keys, model: str, now: float) -> None:
    """Queue on a pipeline the two questions that `read_artefact` reads the answers of."""
    pipe.get(keys.artefact(model))
    pipe.zrangebyscore(keys.models, now, "+inf")


#: What `ask_state` queues: workers, cost, the length of each queue, and two questions to each class's ledger.
STATE_ANSWERS = 2 + 3 * len(JOB_CLASSES)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work of one class that is not answered yet. `queued_jobs` lie on the queue; the rest of `jobs` is held.

    `oldest_at` is when the job that has waited longest was enqueued, in epoch seconds; None without one that says so.
    """

    jobs: int
    work: Work
    queued_jobs: int
    oldest_at: float | None = None

    def oldest_age_s(self, now: float) -> float | None:
        """Return how long the oldest job has waited, None without any."""
        return None if self.oldest_at is None else max(0.0, now - self.oldest_at)

    @property
    def tokens(self) -> int:
        """Estimated tokens of all its jobs."""
        return round(self.work.tokens)

    @property
    def held_jobs(self) -> int:
        """Jobs that worker processes have taken and not answered."""
        return max(0, self.jobs - self.queued_jobs)


@dataclass(frozen=True, slots=True)
class FleetState:
    """The fleet at one moment. `cost` is what running costs one process, None while none has measured it."""

    workers: tuple[Heartbeat, ...]
    backlog: dict[JobClass, Backlog]
    cost: CostParameters | None

    @property
    def tokens_per_s(self) -> float:
        """Measured rate of all live processes together."""
        return sum(worker.tokens_per_s for worker in self.workers)

    @property
    def predicted_drain_s(self) -> float:
        """Seconds until everything that waits is done. With no process alive: what one would need; inf if unknown."""
        return self.drain_s(*JOB_CLASSES)

    def drain_s(self, *job_classes: JobClass) -> float:
        """Return the same for the work of these classes alone."""
        work = sum((self.backlog[job_class].work for job_class in job_classes), Work())
        if work == Work():
            return 0.0
        return math.inf if self.cost is None else self.cost.predict_s(work) / max(1, len(self.workers))


def ask_state(pipe: Any, keys: Keys, model: str, now: float) -> None:
    """Queue on a pipeline, sync or asyncio, the first of two round trips of `read_state`: `STATE_ANSWERS` answers."""
    pipe.zrangebyscore(keys.workers, now, "+inf")
    pipe.hgetall(keys.cost(model))
    for job_class in JOB_CLASSES:
        pipe.llen(keys.queue_list(job_class))
    ask_entries(pipe, keys, now)


def heartbeat_keys(keys: Keys, answers: Sequence[Any]) -> list[str]:
    """Return what the second round trip reads, by MGET, from the answers to `ask_state`; nothing if nobody lives."""
    return [keys.worker(name.decode()) for name in answers[0]]


def state_of(answers: Sequence[Any], records: Iterable[bytes | None]) -> FleetState:
    """Return the state from the answers to `ask_state` and the records under `heartbeat_keys`."""
    _, costs, *rest = answers
    entries = read_entries(list(rest[len(JOB_CLASSES) :]))
    backlog: dict[JobClass, Backlog] = {}
    for job_class, queued in zip(JOB_CLASSES, rest, strict=False):
        mine = [entry for entry in entries if entry.job_class == job_class]
        oldest_at = min((entry.enqueued_at for entry in mine if entry.enqueued_at), default=None)
        backlog[job_class] = Backlog(len(mine), total(mine), queued, oldest_at)
    workers = tuple(wire.decode_heartbeat(record) for record in records if record is not None)
    return FleetState(workers, backlog, typical(read_costs(costs)))


def read_state(client: Any, keys: Keys, model: str, now: float) -> FleetState:
    """Ask Redis for the state of the fleet; two round trips, linear in the jobs that wait."""
    pipe = client.pipeline(transaction=False)
    ask_state(pipe, keys, model, now)
    answers = pipe.execute()
    names = heartbeat_keys(keys, answers)
    return state_of(answers, client.mget(names) if names else [])
