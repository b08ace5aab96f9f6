"""The fleet's Celery result backend: a job's scores, its record and its announcement in one round trip.

It differs from Celery's Redis backend in three things, and for the fleet's jobs alone. It does not read a record before
it writes one (scores are pure, so the last writer is as right as the first). It also publishes the record on the
channel that the message's `reply_to` names, so that a client awaits all its jobs on one connection. And it carries out
what a task left on its request as a Completion: cache writes, and the keys that the job no longer needs.
`AsyncResult(id).get()` works as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery import states
from celery.backends.redis import RedisBackend

from rerank_shared.cache import ScoreWrites
from rerank_shared.keys import Keys


@dataclass(frozen=True, slots=True)
class Completion:
    """What else is to be done in Redis when a job ends, whatever its end. A task sets it as `request.completion`."""

    keys: Keys
    ledger: str | None = None
    ledger_member: str | None = None
    text_key: str | None = None
    writes: ScoreWrites | None = None

    def add_to(self, pipe: Any) -> None:
        """Queue it on a Redis pipeline."""
        if self.writes is not None and self.writes.scores:
            self.writes.add_to(pipe, self.keys)
        if self.ledger is not None:
            pipe.zrem(self.ledger, self.ledger_member)
        if self.text_key is not None:
            pipe.unlink(self.text_key)


class FleetBackend(RedisBackend):
    """Stores and announces outcomes; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        prefix: str = self.app.conf.get("result_backend_transport_options", {}).get("global_keyprefix", "")
        self._keys = Keys(prefix.removesuffix(":"))

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
        record = self.encode(meta | {"task_id": task_id})
        key = self.get_key_for_task(task_id)
        pipe = self.client.pipeline(transaction=False)
        # Before it leaves the ledger: what is in neither counts as lost, and is sent again.
        expires_s = self.failure_expires if state == states.FAILURE else self.expires
        pipe.set(key, record, ex=expires_s or None)
        if completion is not None and state in states.READY_STATES:
            completion.add_to(pipe)
        pipe.publish(key, record)
        if reply_to:
            pipe.publish(reply_to, record)
        pipe.execute()
        return result
