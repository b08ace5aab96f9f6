"""Waits for the answers to a request's jobs: by their announcements, by looking, by sending again what was lost or is
late, until all are there or time is over. One deadline for all of them.

An outage while waiting is waited out; it becomes an error only if the server is still away at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_producer.clock import Clock, Deadline
from rerank_producer.outlook import told_alive
from rerank_producer.patience import Act, Patience
from rerank_producer.pending import Waiter
from rerank_producer.port import Port
from rerank_shared import wire
from rerank_shared.errors import DeadlineExceeded, Overloaded, QueueUnavailable, RerankError
from rerank_shared.keys import Keys
from rerank_shared.ledger import ledger_member
from rerank_shared.messages import Job, Outcome

#: What ends a part of a request without spoiling the others.
_SHORTFALLS = (DeadlineExceeded, Overloaded)


class ServerLost(QueueUnavailable):
    """The server went away while a job that it had taken was waited for. A partial answer is still an answer then."""


@dataclass(slots=True)
class Awaited:
    """One job that is waited for. `job` and `send_again` None mean that it can only be looked for; `ours` False, that
    it is another request's, whose failure is not ours and which is given up alone."""

    waiter: Waiter
    patience: Patience
    job: Job | None = None
    send_again: Callable[[], Awaitable[None]] | None = None
    ours: bool = True
    given_up: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done for it."""
        return self.given_up or self.waiter.answer is not None

    @property
    def outcome(self) -> Outcome | None:
        """What a worker scored, if any did."""
        return self.waiter.answer if isinstance(self.waiter.answer, Outcome) else None


@dataclass(slots=True)
class Wait:
    """One wait for all jobs of a request; their waiters share one signal. `free` asks how many more processes than
    unanswered jobs there are; it may be below 0."""

    port: Port
    keys: Keys
    clock: Clock
    deadline: Deadline
    awaited: Sequence[Awaited]
    free: Callable[[], Awaitable[int]] | None = None
    _outage: QueueUnavailable | None = field(default=None)

    async def finish(self) -> RerankError | None:
        """Return when every job is answered or time is over: then why an outcome is missing, None if none is.

        That is DeadlineExceeded, Overloaded, or ServerLost if there is no server at the end. Raises any other error
        that a worker answered, at once.
        """
        while True:
            open_ = [each for each in self.awaited if not each.over]
            self._raise_errors()
            if not open_:
                return self._shortfall()
            acts = [(each, await self._act(each)) for each in open_]
            if any(each.ours and act is Act.STOP for each, act in acts):
                return await self._give_up([each for each in open_ if each.ours]) or self._shortfall()
            for each, act in acts:
                each.given_up = act is Act.STOP
            if all(act is Act.WAIT for _, act in acts):
                now = self.clock.monotonic()
                await self.port.wait(open_[0].waiter, min(each.patience.wait_s(now) for each in open_))

    def _raise_errors(self) -> None:
        for error in self._errors():
            if not isinstance(error, _SHORTFALLS):
                raise error

    def _shortfall(self) -> RerankError | None:
        return next(iter(self._errors()), None)

    def _errors(self) -> list[RerankError]:
        answers = [each.waiter.answer for each in self.awaited if each.ours]
        return [answer for answer in answers if isinstance(answer, RerankError)]

    async def _act(self, awaited: Awaited) -> Act:
        """Do what is due for one job, and return it."""
        waiter, patience = awaited.waiter, awaited.patience
        if waiter.line_restored:
            waiter.line_restored = False
            patience.line_restored(self.clock.monotonic())
        act = patience.act(self.clock.monotonic())
        match act:
            case Act.CHECK:
                await self._despite_outages(lambda: self._look(awaited))
            case Act.HEDGE:
                await self._despite_outages(lambda: self._hedge(awaited))
        return act

    async def _hedge(self, awaited: Awaited) -> None:
        """Send a late job once more if a process is idle; behind a busy fleet it would only add to the queue."""
        if awaited.send_again is None or self.free is None:
            return
        # Its own unanswered jobs occupy nobody but themselves: whoever holds this one may be frozen.
        mine = sum(each.ours and not each.over for each in self.awaited)
        if await self.free() + mine > 0:
            awaited.patience.hedged()
            await awaited.send_again()

    async def _despite_outages(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except QueueUnavailable as error:
            self._outage = error
        else:
            self._outage = None

    async def _look(self, awaited: Awaited) -> None:
        """Look for the record; a job that is neither answered nor in the ledger is lost, and is sent again."""
        waiter, job = awaited.waiter, awaited.job

        def fill(pipe: Any) -> None:
            pipe.get(self.keys.result(waiter.job_id))
            if job is not None:
                pipe.zscore(self.keys.ledger(job.job_class), ledger_member(job))

        record, *known = await self.port.pipeline(fill)
        if record is not None:
            waiter.resolve(wire.decode_record(record)[1])
        elif known == [None] and awaited.send_again is not None:
            await awaited.send_again()

    async def _give_up(self, open_: Sequence[Awaited]) -> RerankError | None:
        """Look once more for all that is open; returns why something is still missing."""
        waiters, now = [each.waiter for each in open_], self.clock.epoch()

        def fill(pipe: Any) -> None:
            pipe.zcount(self.keys.workers, now, "+inf")
            for waiter in waiters:
                pipe.get(self.keys.result(waiter.job_id))

        job_id = waiters[0].job_id
        try:
            if self._outage is not None:
                raise self._outage
            workers, *records = await self.port.pipeline(fill)
        except QueueUnavailable as error:
            lost = ServerLost(f"the answer of job {job_id} could not be received: {error.message}", error.reason)
            lost.__cause__ = error
            return lost
        for waiter, record in zip(waiters, records, strict=True):
            if record is not None:
                waiter.resolve(wire.decode_record(record)[1])
        self._raise_errors()
        if all(waiter.answer is not None for waiter in waiters):
            return None
        waited_s = self.clock.monotonic() - self.deadline.started
        return DeadlineExceeded(f"job {job_id} was not answered within {waited_s:.1f} s: {_advice(workers)}")


def _advice(workers: int) -> str:
    if workers == 0:
        return "no worker is alive. Start some with `rerank-fleet worker`."
    return f"{told_alive(workers)}, and all may be busy. Start more, send fewer documents, or allow a longer deadline."
