"""Waits for the answers to a request's jobs: by their announcements, by looking, by sending again what was lost or is
late, until all are there or time is over. One deadline for all of them.

An outage while waiting is waited out; it becomes an error only if the server is still away at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rerank_producer._dispatch.fleet_load import told_alive
from rerank_producer._dispatch.hedging import Act, Patience
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.pending import Waiter
from rerank_producer._io.port import Port
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job, Outcome
from rerank_shared.errors import DeadlineExceeded, JobLost, Overloaded, QueueUnavailable, RerankError
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import ledger_member

#: How often a job is sent again whose text was lost; with its text in its envelope once is enough, unless a copy that
#: was sent before answers late.
_TEXTS_MOST = 3
#: Clients take entries out of the ledger at their end, each by what it knows of the server's clock.
_EDGE_S = 0.25
#: What ends a part of a request without spoiling the others.
_SHORTFALLS = (DeadlineExceeded, Overloaded)


class ServerLost(QueueUnavailable):
    """The server went away while a job that it had taken was waited for. A partial answer is still an answer then."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Where an unanswered job stands in the ledger, and until when (epoch seconds)."""

    key: str
    member: str
    until: float

    @classmethod
    def of(cls, keys: Keys, job: Job) -> LedgerEntry:
        """Return a job's."""
        return cls(keys.ledger(job.job_class), ledger_member(job), job.deadline_at)

    def missed(self, now: float) -> bool:
        """Whether it means something that the ledger lacks it, at `now` (epoch seconds)."""
        return now < self.until - _EDGE_S


@dataclass(slots=True)
class Awaited:
    """One job that is waited for.

    `send_again` sends it once more, with its text in its envelope if that was lost elsewhere; None means that its text
    is not at hand. `entry` None means that nobody can tell whether the server still knows of it. `ours` False means
    that it is another request's, whose failure is not ours and which is given up alone.
    """

    waiter: Waiter
    patience: Patience
    entry: LedgerEntry | None = None
    send_again: Callable[[bool], Awaitable[None]] | None = None
    ours: bool = True
    given_up: bool = False
    texts_sent: int = 0

    @property
    def text_lost(self) -> bool:
        """Whether a worker did not find its text, which is still at hand."""
        lost = isinstance(self.waiter.answer, JobLost)
        return lost and self.send_again is not None and self.texts_sent < _TEXTS_MOST

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
            for each in self.awaited:
                if each.text_lost:
                    await self._despite_outages(partial(self._send_text, each))
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
                await self._despite_outages(partial(self._look, awaited))
            case Act.HEDGE:
                await self._despite_outages(partial(self._hedge, awaited))
        return act

    async def _hedge(self, awaited: Awaited) -> None:
        """Send a late job once more if a process is idle; behind a busy fleet it would only add to the queue."""
        if awaited.send_again is None or self.free is None:
            return
        # Its own unanswered jobs occupy nobody but themselves: whoever holds this one may be frozen.
        mine = sum(each.ours and not each.over for each in self.awaited)
        if await self.free() + mine > 0:
            awaited.patience.hedged()
            await awaited.send_again(False)

    async def _send_text(self, awaited: Awaited) -> None:
        assert awaited.send_again is not None
        # Before it is sent, or the answer to that might be taken for a second one.
        awaited.waiter.answer = None
        awaited.texts_sent += 1
        await awaited.send_again(True)

    async def _despite_outages(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except QueueUnavailable as error:
            self._outage = error
        else:
            self._outage = None

    async def _look(self, awaited: Awaited) -> None:
        """Look for the record; a job that is neither answered nor in the ledger is lost: it is sent again, or given up
        where its text is not at hand."""
        waiter, entry = awaited.waiter, awaited.entry
        lost, record = await whereabouts(self.port, self.keys, waiter.job_id, entry)
        if record is not None:
            waiter.resolve(wire.decode_record(record)[1])
        elif lost and awaited.send_again is not None:
            await awaited.send_again(False)
        elif lost and entry is not None and entry.missed(self.clock.epoch()):
            waiter.resolve(forgotten(waiter.job_id))

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


async def whereabouts(port: Port, keys: Keys, job_id: str, entry: LedgerEntry | None) -> tuple[bool, bytes | None]:
    """Return whether a job is neither unanswered nor answered, and its record if it is answered."""

    def fill(pipe: Any) -> None:
        # In this order: a job is on record before it leaves the ledger.
        if entry is not None:
            pipe.zscore(entry.key, entry.member)
        pipe.get(keys.result(job_id))

    *known, record = await port.pipeline(fill)
    return known == [None] and record is None, record


def forgotten(job_id: str) -> JobLost:
    """Return the error of a submitted job that is neither unanswered nor answered."""
    return JobLost(
        f"job {job_id} is gone: the server was emptied, lost it in a restart or evicted it, or its answer was kept "
        "RERANK_RESULT_TTL_S and has expired; submit the request again"
    )


def _advice(workers: int) -> str:
    if workers == 0:
        return "no worker is alive. Start some with `rerank-fleet worker`."
    return f"{told_alive(workers)}, and all may be busy. Start more, send fewer documents, or allow a longer deadline."
