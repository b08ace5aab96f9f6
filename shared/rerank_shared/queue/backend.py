"""The fleet's Celery result backend: does all that ends a job in one step and one round trip.

It differs from Celery's Redis backend in three points, for the fleet's jobs alone:

- It does not read a record before it writes one (scores are pure, so the last writer is as right as the first).
- It also publishes the record on the channel that the message's `reply_to` names, so that a client awaits all its jobs
  on one connection.
- It runs the Completion that a task left on its request: cache writes, the acknowledgement, the removal of the job's
  keys.

A worker that is killed has done all of it or nothing. `AsyncResult(id).get()` works as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery import states
from celery.backends.redis import RedisBackend
from redis import BlockingConnectionPool, ResponseError

from rerank_shared.cache import WRITES_PER_CALL, ScoreWrites
from rerank_shared.contract.messages import Job
from rerank_shared.keys import JobClass, Keys
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.job_queue import queue_of
from rerank_shared.redis.connections import CONNECTIONS, SILENT
from rerank_shared.settings.redis.url import RedisUrl


@dataclass(frozen=True, slots=True)
class Record:
    """A job's record as it is stored and announced.

    `life_s` None keeps it for ever; `lasting`: no full server may evict it before; `reply_to` is a channel beside the
    job's own.
    """

    data: bytes | str
    life_s: int | None
    lasting: bool = False
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The changes in Redis that end a job, with any result. A task sets it as `request.completion`.

    With the delivery `tag` the message is acknowledged too, and `on_settled` is called with the tag, before Celery
    acknowledges it a second time. `entry` is the job's entry in the backlog of its class and pool.
    """

    keys: Keys
    job_id: str
    job_class: JobClass = "interactive"
    entry: str = ""
    has_text: bool = False
    writes: ScoreWrites | None = None
    tag: str | None = None
    on_settled: Callable[[str], None] | None = None

    @classmethod
    def of(cls, keys: Keys, job: Job, **fields: Any) -> Completion:
        """Return the completion of a job, which removes its backlog entry and its text."""
        keys = keys.of(job.pool)
        return cls(keys, job.job_id, job.job_class, backlog_member(job), job.documents is None, **fields)

    def run(self, client: Any, record: Record | None = None) -> None:
        """Run it in one step, and store the record with it. At the memory limit only the cache writes are left out."""
        names, values = self._scores(client)
        kept = record or Record(b"", None)
        args = (
            self.tag or "",
            self.entry,
            "text" if self.has_text else "",
            kept.data,
            "" if kept.life_s is None else kept.life_s,
            "lasting" if kept.lasting else "",
            kept.reply_to or "",
            1 if self.writes is None else self.writes.ttl_s,
        )
        queue_of(self.keys).finish(client, self.keys.pool, self.job_id, self.job_class, names, *args, *values)
        if self.tag is not None and self.on_settled is not None:
            self.on_settled(self.tag)

    def _scores(self, client: Any) -> tuple[list[bytes], list[bytes]]:
        if self.writes is None:
            return [], []
        if len(self.writes.scores) <= WRITES_PER_CALL:
            return self.writes.encoded(self.keys)
        # So many scores are written first, in several calls between which the server serves others.
        pipe = client.pipeline(transaction=False)
        self.writes.add_to(pipe, self.keys)
        pipe.execute()
        return [], []


class FleetBackend(RedisBackend):
    """Stores and announces outcomes; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        prefix: str = self.app.conf.get("result_backend_transport_options", {}).get("global_keyprefix", "")
        self._keys = Keys(prefix.removesuffix(":"))
        # Celery would have each connection announce its version, which an old server or a user with few rights refuses.
        self.connparams |= SILENT

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        parsed = RedisUrl.parse(url)
        if parsed.max_connections is not None:
            self._ConnectionPool = partial(BlockingConnectionPool, max_connections=parsed.max_connections)
        # Celery's other defaults name the server, which the URL already does.
        kept = {name: defaults[name] for name in ("socket_timeout", "socket_connect_timeout")}
        return kept | parsed.connection_kwargs() | {"connection_class": CONNECTIONS[parsed.scheme]}

    def as_uri(self, include_password: bool = False) -> str:
        """Return the URL for people; Celery's own reading of it knows one host only."""
        return RedisUrl.parse(self.url).masked

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Return whether to try again: after a refusal too, as of a server that became a replica."""
        return isinstance(exc, ResponseError) or super().exception_safe_to_retry(exc)

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **options: Any,
    ) -> Any:
        completion: Completion | None = getattr(request, "completion", None)
        reply_to: str | None = getattr(request, "reply_to", None)
        if completion is None and not self._keys.is_reply(reply_to):
            return super()._store_result(task_id, result, state, traceback=traceback, request=request, **options)
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        ours = completion is not None and state in states.READY_STATES
        expires_s = self.failure_expires if state == states.FAILURE else self.expires
        record = Record(
            data=self.encode(meta | {"task_id": task_id}),
            life_s=expires_s or None,
            lasting=ours,
            # A plain Celery sender names its own id there, on which nobody listens.
            reply_to=reply_to if self._keys.is_reply(reply_to) else None,
        )
        if completion is None or not ours:
            completion = Completion(self._keys, task_id)
        completion.run(self.client, record)
        return result
