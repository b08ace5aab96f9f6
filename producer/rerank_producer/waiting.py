"""Waits for one job's answer: by its announcement, by looking, by sending again, until it is there or time is over.

An outage while waiting is waited out; it becomes an error only if the server is still away at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rerank_producer.clock import Clock, Deadline
from rerank_producer.patience import Act, Patience
from rerank_producer.pending import Waiter
from rerank_producer.port import Port
from rerank_shared import wire
from rerank_shared.errors import DeadlineExceeded, QueueUnavailable, RerankError
from rerank_shared.keys import Keys
from rerank_shared.messages import Outcome


class ServerLost(QueueUnavailable):
    """The server went away while a job that it had taken was waited for. A partial answer is still an answer then."""


@dataclass(slots=True)
class Wait:
    """One wait for one job. `send_again` None means that it can only be looked for."""

    port: Port
    keys: Keys
    clock: Clock
    waiter: Waiter
    deadline: Deadline
    patience: Patience
    send_again: Callable[[], Awaitable[None]] | None = None
    _outage: QueueUnavailable | None = None

    async def outcome(self) -> Outcome:
        """Return what the worker answered, complete or not.

        Raises the worker's error, DeadlineExceeded if there is no answer in time, or ServerLost if there is no server
        at the end of it.
        """
        while True:
            if (answer := self.waiter.answer) is not None:
                if isinstance(answer, RerankError):
                    raise answer
                return answer
            if self.waiter.line_restored:
                self.waiter.line_restored = False
                self.patience.line_restored(self.clock.monotonic())
            match self.patience.act(self.clock.monotonic()):
                case Act.WAIT:
                    await self.port.wait(self.waiter, self.patience.wait_s(self.clock.monotonic()))
                case Act.CHECK:
                    await self._despite_outages(self._look)
                case Act.SEND:
                    if self.send_again is not None:
                        await self._despite_outages(self.send_again)
                case Act.STOP:
                    await self._give_up()

    async def _despite_outages(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except QueueUnavailable as error:
            self._outage = error
        else:
            self._outage = None

    async def _look(self) -> None:
        key = self.keys.result(self.waiter.job_id)
        (record,) = await self.port.pipeline(lambda pipe: pipe.get(key))
        if record is not None:
            self.waiter.resolve(wire.decode_record(record)[1])

    async def _give_up(self) -> None:
        """Look once more; raises if there is still nothing."""
        job_id, now = self.waiter.job_id, self.clock.epoch()

        def fill(pipe: Any) -> None:
            pipe.get(self.keys.result(job_id))
            pipe.zcount(self.keys.workers, now, "+inf")

        try:
            if self._outage is not None:
                raise self._outage
            record, workers = await self.port.pipeline(fill)
        except QueueUnavailable as error:
            raise ServerLost(f"the answer of job {job_id} could not be received: {error.message}") from error
        if record is not None:
            self.waiter.resolve(wire.decode_record(record)[1])
        if self.waiter.answer is None:
            waited_s = self.clock.monotonic() - self.deadline.started
            raise DeadlineExceeded(f"job {job_id} was not answered within {waited_s:.1f} s: {_advice(workers)}")


def _advice(workers: int) -> str:
    if workers == 0:
        return "no worker is alive. Start some with `rerank-fleet worker`."
    alive = "one worker process is alive" if workers == 1 else f"{workers} worker processes are alive"
    return f"{alive}, and all may be busy. Start more, send fewer documents, or allow a longer deadline."
