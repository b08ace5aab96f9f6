"""The queue of a fleet: each verb is one atomic step, by a script in `lua/`, or commands of the caller's pipeline.

Workers and clients reach it through Celery, with the transport and the result backend of this room. It has no
connection: each call is given one, which must not prefix keys by itself. Times are the server's, so no worker's clock
can keep or end a lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rerank_shared.contract.messages import Job
from rerank_shared.keys import DEAD_MAX, DEAD_TTL_S, DEATHS_TTL_S, ENDED_PER_SWEEP, FAIR_TTL_S, QUEUES, JobClass, Keys
from rerank_shared.queue.backlog import backlog_keys, backlog_member
from rerank_shared.queue.urgency_headers import Urgency, urgency_of
from rerank_shared.redis.scripts import Script

PUT, FILE, REFILE, TAKE, GIVE_BACK, SWEEP, PURGE = (
    Script("queue.lua", f"{name}.lua") for name in ("put", "file", "refile", "take", "give_back", "sweep", "purge")
)
ENQUEUE, FINISH = (Script("queue.lua", "backlog.lua", f"{name}.lua") for name in ("enqueue", "finish"))
RENEW, EXPIRE = Script("renew.lua"), Script("expire.lua")


@dataclass(frozen=True, slots=True)
class Taken:
    """A job as it was taken: its queue, its message as JSON, how often it was taken before, and how many of those
    leases ran out.
    """

    queue: str
    message: bytes
    deliveries: int
    deaths: int


@dataclass(frozen=True, slots=True)
class SealedJob:
    """A job as it is sent: its delivery tag, and its message as JSON."""

    job: Job
    tag: str
    message: str


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A string that is stored beside a job for `life_ms`.

    The sweep of `lifetimes` ends it, so that a full server can't evict it. A `claim` is ended or evicted by Redis, and
    does not replace a claim that exists.
    """

    key: str | bytes
    value: bytes
    life_ms: int
    claim: bool = False


class JobQueue:
    """The queue of one namespace."""

    def __init__(self, keys: Keys) -> None:
        self._names = keys
        # In the order that `lua/queue.lua` reads; some are prefixes to which a name is appended.
        self._keys = [keys.unacked, keys.leases, keys.lease_owners, keys.lifetimes, keys.dead, keys.dead_index]
        self._keys += [keys.deaths(""), keys.text(""), *keys.queue_prefixes]

    def enqueue_call(
        self, sealed: Sequence[SealedJob], values: Sequence[StoredValue] = (), forgotten: Sequence[str] = ()
    ) -> tuple[list[Any], list[Any]]:
        """Return the keys and the arguments of ENQUEUE, for a client of any kind.

        It puts jobs of one request, at least one, on the queue of their pool with their backlog entries and the
        `values`, all or nothing. `forgotten` are keys that are deleted first.
        """
        first = sealed[0].job
        queue = self._names.of(first.pool).queue(first.job_class)
        args: list[Any] = [QUEUES, queue, first.tenant, repr(first.due_at), repr(first.deadline_at)]
        args += [len(sealed), len(values)]
        for each in sealed:
            args += [each.tag, each.message, urgency_of(each.job).tokens, backlog_member(each.job)]
        for value in values:
            args += [value.value, value.life_ms, "claim" if value.claim else ""]
        keys = [*self._keys, *self._backlog(first.pool, first.job_class), *(each.key for each in values), *forgotten]
        return keys, args

    def put_command(self, queue: str, tag: str, message: str, urgency: Urgency) -> tuple[Any, ...]:
        """Return the arguments of EVAL that put a message on a queue, for a pipeline."""
        return (PUT.text, len(self._keys), *self._keys, QUEUES, queue, tag, message, *_place(urgency))

    def put(self, client: Any, queue: str, tag: str, message: str, urgency: Urgency) -> None:
        """Put a message on a queue. A second call with the same tag adds no second job while the first one waits."""
        self._run(PUT, client, queue, tag, message, *_place(urgency))

    def file(self, client: Any, queue: str, tag: str, message: str, urgency: Urgency) -> None:
        """Put a plain Celery sender's message, which the server has already, on a queue, even if the server is full."""
        self._run(FILE, client, queue, tag, message, *_place(urgency))

    def refile(self, client: Any, source: str, target: str, tag: str, message: str, urgency: Urgency) -> bool:
        """Move a job that waits on the queue `source`, or was taken from it, to the queue `target`, which the message
        names; return whether it was found."""
        return bool(self._run(REFILE, client, source, target, tag, message, *_place(urgency)))

    def take(
        self,
        client: Any,
        queues: Iterable[str],
        *,
        owner: str,
        before: float | None,
        bulk_share: float,
    ) -> Taken | None:
        """Take the next job of these queues for `owner`; None without one due before `before` (epoch seconds).

        The queues of a pool stand together; of several pools, the first with an interactive job gives it.
        """
        limit = "" if before is None else repr(before)
        found = self._run(TAKE, client, owner, limit, repr(bulk_share), FAIR_TTL_S, *queues)
        return None if found is None else Taken(found[0].decode(), found[1], int(found[2]), int(found[3]))

    def give_back(self, client: Any, tags: Iterable[str]) -> None:
        """Let taken jobs wait again."""
        self._run(GIVE_BACK, client, *tags)

    def renew(self, pipe: Any, tags: Iterable[str]) -> Any:
        """Renew the leases of these delivery tags, at least one, on a client or a pipeline.

        A lease that no longer exists is not made again: its job was finished, or given to another worker. The answer is
        the number of such leases.
        """
        return RENEW.queue_on(pipe, [self._names.leases], *tags)

    def expire(self, client: Any, owner: str) -> int:
        """End the leases of all jobs that a dead worker held, which is a death of each; return the number of jobs.

        The next sweep of any other worker, within a second, lets them wait again.
        """
        return int(EXPIRE(client, [self._names.leases, self._names.lease_owners], owner))

    def settle(self, pipe: Any, tag: str, job_id: str | None = None) -> None:
        """Queue the acknowledgement of a job on a pipeline; with `job_id`, its deaths are deleted too."""
        pipe.hdel(self._names.unacked, tag)
        pipe.zrem(self._names.leases, tag)
        pipe.hdel(self._names.lease_owners, tag)
        if job_id is not None:
            pipe.delete(self._names.deaths(job_id))

    def finish(
        self, client: Any, pool: str, job_id: str, job_class: JobClass, scores: Sequence[bytes], *args: Any
    ) -> bool:
        """End a job; `scores` are keys, and `args` come after the job id in lua/finish.lua.

        Returns whether its lease was still held.
        """
        keys: list[str | bytes] = [*self._keys, self._names.result(job_id), *self._backlog(pool, job_class), *scores]
        return bool(FINISH(client, keys, QUEUES, job_id, *args))

    def sweep(self, client: Any, *, lease_s: float, limit: int, max_deaths: int) -> list[bytes]:
        """End the leases that have run out, and the keys whose time in `Keys.lifetimes` is over.

        Returns the records of the jobs that were set aside.
        """
        life = DEATHS_TTL_S, DEAD_TTL_S, DEAD_MAX, ENDED_PER_SWEEP
        dead: list[bytes] = self._run(SWEEP, client, lease_s, limit, max_deaths, *life)
        return dead

    def purge(self, client: Any, queue: str) -> int:
        """Drop all waiting jobs of a queue; return their number."""
        return int(self._run(PURGE, client, queue))

    def _backlog(self, pool: str, job_class: JobClass) -> list[str]:
        return backlog_keys(self._names.of(pool), job_class)

    def _run(self, script: Script, client: Any, *args: Any) -> Any:
        return script(client, self._keys, QUEUES, *args)


def _place(urgency: Urgency) -> tuple[str, int, str]:
    return repr(urgency.due_at), urgency.tokens, urgency.tenant


@lru_cache(maxsize=64)
def queue_of(keys: Keys) -> JobQueue:
    """Return the queue of a namespace, for callers that need it for each job: spelling all keys takes long."""
    return JobQueue(keys)
