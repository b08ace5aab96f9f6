"""What the fleet says of itself in Redis: artefacts served, workers alive, work waiting, seconds until it is done.

Workers write (announce, beat), anyone reads. The ledger counts jobs from the moment a client sends them until a worker
has answered, so work that workers hold is counted too; an entry stops counting at its job's deadline by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rerank_shared import wire
from rerank_shared.errors import UnknownModel
from rerank_shared.keys import (
    ARTEFACT_TTL_S,
    HEARTBEAT_TTL_S,
    JOB_CLASSES,
    RATE_TTL_S,
    JobClass,
    Keys,
)
from rerank_shared.messages import Artefact, Heartbeat


def ledger_member(job_id: str, tokens: int) -> str:
    """Return a job's entry in the ledger."""
    return f"{job_id}|{tokens}"


def announce(pipe: Any, keys: Keys, artefact: Artefact, now: float, alias: str | None = None) -> None:
    """Queue the announcement of a served artefact on a pipeline; `now` is epoch seconds.

    `alias` is a second name that requests may ask for it by: what the operator's settings call it.
    """
    for name in {artefact.model, alias or artefact.model}:
        pipe.set(keys.artefact(name), wire.encode_artefact(artefact), ex=ARTEFACT_TTL_S)
        pipe.zadd(keys.models, {name: now + ARTEFACT_TTL_S})


def beat(pipe: Any, keys: Keys, heartbeat: Heartbeat, now: float, alias: str | None = None) -> None:
    """Queue a worker's heartbeat on a pipeline; `alias` as in `announce`."""
    pipe.set(keys.worker(heartbeat.worker_id), wire.encode_heartbeat(heartbeat), ex=HEARTBEAT_TTL_S)
    pipe.zadd(keys.workers, {heartbeat.worker_id: now + HEARTBEAT_TTL_S})
    pipe.zremrangebyscore(keys.workers, "-inf", now)
    if heartbeat.tokens_per_s > 0:
        for name in {heartbeat.model, alias or heartbeat.model}:
            pipe.set(keys.rate(name), heartbeat.tokens_per_s, ex=RATE_TTL_S)


def retire(pipe: Any, keys: Keys, worker_id: str) -> None:
    """Queue a worker's farewell on a pipeline, so that nobody waits for its heartbeat to run out."""
    pipe.delete(keys.worker(worker_id))
    pipe.zrem(keys.workers, worker_id)


def read_artefact(values: list[Any], model: str) -> Artefact | None:
    """Return the artefact served under `model` from the answers to `ask_artefact`, None if nothing is announced.

    Raises UnknownModel when the fleet serves other models and not this one.
    """
    record, served = values
    if record is not None:
        return wire.decode_artefact(record)
    if served:
        names = ", ".join(sorted(name.decode() for name in served))
        raise UnknownModel(f"model: {model!r} is not served by this fleet, which serves {names}")
    return None


def ask_artefact(pipe: Any, keys: Keys, model: str, now: float) -> None:
    """Queue on a pipeline the two questions that `read_artefact` reads the answers of."""
    pipe.get(keys.artefact(model))
    pipe.zrangebyscore(keys.models, now, "+inf")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work of one class that is not answered yet. `queued_jobs` lie on the queue; the rest of `jobs` is held."""

    jobs: int
    tokens: int
    queued_jobs: int

    @property
    def held_jobs(self) -> int:
        """Jobs that worker processes have taken and not answered."""
        return max(0, self.jobs - self.queued_jobs)


@dataclass(frozen=True, slots=True)
class FleetState:
    """The fleet at one moment."""

    workers: tuple[Heartbeat, ...]
    backlog: dict[JobClass, Backlog]
    single_rate: float

    @property
    def tokens_per_s(self) -> float:
        """Measured rate of all live processes together."""
        return sum(worker.tokens_per_s for worker in self.workers)

    @property
    def predicted_drain_s(self) -> float:
        """Seconds until everything that waits is done. With no process alive: what one would need; inf if unknown."""
        tokens = sum(backlog.tokens for backlog in self.backlog.values())
        if tokens == 0:
            return 0.0
        rate = self.tokens_per_s or self.single_rate
        return tokens / rate if rate > 0 else math.inf


def read_state(client: Any, keys: Keys, model: str, now: float) -> FleetState:
    """Ask Redis for the state of the fleet; two round trips, linear in the jobs that wait."""
    pipe = client.pipeline(transaction=False)
    pipe.zrangebyscore(keys.workers, now, "+inf")
    pipe.get(keys.rate(model))
    for job_class in JOB_CLASSES:
        pipe.zremrangebyscore(keys.ledger(job_class), "-inf", now)
        pipe.zrange(keys.ledger(job_class), 0, -1)
        pipe.llen(keys.queue_list(job_class))
    worker_ids, rate, *answers = pipe.execute()
    records = client.mget([keys.worker(name.decode()) for name in worker_ids]) if worker_ids else []
    backlog: dict[JobClass, Backlog] = {}
    for job_class, (_, members, queued) in zip(JOB_CLASSES, _triples(answers), strict=True):
        tokens = sum(int(member.rpartition(b"|")[2]) for member in members)
        backlog[job_class] = Backlog(jobs=len(members), tokens=tokens, queued_jobs=queued)
    workers = tuple(wire.decode_heartbeat(record) for record in records if record is not None)
    return FleetState(workers, backlog, float(rate or 0.0))


def _triples(values: list[Any]) -> list[tuple[Any, Any, Any]]:
    return [(values[i], values[i + 1], values[i + 2]) for i in range(0, len(values), 3)]
