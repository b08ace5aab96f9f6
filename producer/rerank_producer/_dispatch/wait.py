"""Waits for the answers to a request's jobs under one deadline.

Announcements bring the answers. Checks find answers that were announced unheard; a lost or late job is sent again. An
outage while waiting is waited out: it becomes an error only if the server is still away at the end.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from rerank_producer._dispatch.fleet_load import describe_workers
from rerank_producer._dispatch.hedging import Act, HedgePolicy
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.pending import Waiter
from rerank_producer._io.port import Port
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job, Outcome
from rerank_shared.errors import DeadlineExceeded, JobLost, NoWorkers, Overloaded, QueueUnavailable, RerankError
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import backlog_key, backlog_member

#: Why a job is sent again. Late: it is hedged, to an idle process. Lost: the server forgot it, or its text.
SendReason = Literal["late", "lost", "text_lost"]
#: How often a job whose text was lost is sent again. Once is enough with the text inside the job, unless a copy that
#: was sent before answers late.
_TEXTS_MOST = 3
#: Clients drop entries of the backlog at their end, and their clocks differ a little from the server's.
_EDGE_S = 0.25
#: Errors of one shard that do not fail the others.
_SHORTFALLS = (DeadlineExceeded, Overloaded)


@dataclass(frozen=True, slots=True)
class BacklogMember:
    """An unanswered job's member in the backlog's sorted set, which ends at `until` (epoch seconds)."""

    key: str
    name: str
    until: float

    @classmethod
    def of(cls, keys: Keys, job: Job) -> BacklogMember:
        """Return the member of a job."""
        return cls(backlog_key(keys, job), backlog_member(job), job.deadline_at)

    def missed(self, now: float) -> bool:
        """Whether its absence from the backlog at `now` (epoch seconds) means that the server lost the job."""
        return now < self.until - _EDGE_S


@dataclass(slots=True)
class InflightShard:
    """One job that is waited for.

    `send_again(inflight, reason)` sends its job once more; None where its text is not at hand. `member` is None where
    the backlog can't tell whether the server lost the job. `own` is False for another request's job, whose failure does
    not fail this request, and which is given up alone.
    """

    waiter: Waiter
    policy: HedgePolicy
    member: BacklogMember | None = None
    send_again: Callable[[InflightShard, SendReason], Awaitable[None]] | None = None
    own: bool = True
    given_up: bool = False
    texts_sent: int = 0

    @property
    def text_lost(self) -> bool:
        """Whether a worker found no text for the job, and the text is still at hand."""
        lost = isinstance(self.waiter.answer, JobLost)
        return lost and self.send_again is not None and self.texts_sent < _TEXTS_MOST

    @property
    def over(self) -> bool:
        """Whether the job is answered or given up."""
        return self.given_up or self.waiter.answer is not None

    @property
    def outcome(self) -> Outcome | None:
        """The scores of the job, None where it has no answer or failed."""
        return self.waiter.answer if isinstance(self.waiter.answer, Outcome) else None


@dataclass(slots=True)
class Wait:
    """The wait for all jobs of one request; their waiters share one signal.

    `keys` are those of the request's pool. `alive` returns the live processes of all pools of `model`. `free` returns
    those of its own pool less its unanswered jobs; it may be below 0.
    """

    port: Port
    keys: Keys
    clock: Clock
    deadline: Deadline
    inflight: Sequence[InflightShard]
    model: str
    alive: Callable[[], Awaitable[int]]
    free: Callable[[], Awaitable[int]] | None = None
    _outage: QueueUnavailable | None = field(default=None)

    async def finish(self) -> RerankError | None:
        """Wait until every job is answered or the deadline passes; return why an outcome is missing, None if none is.

        That is DeadlineExceeded (NoWorkers), Overloaded, or QueueUnavailable if the server is away at the end: a caller
        that takes a partial answer still gets one then. Any other error that a worker answered is raised at once.
        """
        while True:
            for each in self.inflight:
                if each.text_lost:
                    await self._despite_outages(partial(self._send_text, each))
            open_ = [each for each in self.inflight if not each.over]
            self._raise_errors()
            if not open_:
                return self._shortfall()
            acts = [(each, await self._act(each)) for each in open_]
            if any(each.own and act is Act.STOP for each, act in acts):
                return await self._give_up([each for each in open_ if each.own]) or self._shortfall()
            for each, act in acts:
                each.given_up = act is Act.STOP
            if all(act is Act.WAIT for _, act in acts):
                now = self.clock.monotonic()
                await self.port.wait(open_[0].waiter, min(each.policy.wait_s(now) for each in open_))

    def _raise_errors(self) -> None:
        for error in self._errors():
            if not isinstance(error, _SHORTFALLS):
                raise error

    def _shortfall(self) -> RerankError | None:
        return next(iter(self._errors()), None)

    def _errors(self) -> list[RerankError]:
        answers = [each.waiter.answer for each in self.inflight if each.own]
        return [answer for answer in answers if isinstance(answer, RerankError)]

    async def _act(self, inflight: InflightShard) -> Act:
        """Do what is due for one job; return what that was."""
        waiter, policy = inflight.waiter, inflight.policy
        if waiter.reconnected:
            waiter.reconnected = False
            policy.reconnected(self.clock.monotonic())
        act = policy.act(self.clock.monotonic())
        match act:
            case Act.CHECK:
                await self._despite_outages(partial(self._check, inflight))
            case Act.HEDGE:
                await self._despite_outages(partial(self._hedge, inflight))
        return act

    async def _hedge(self, inflight: InflightShard) -> None:
        """Send a late job once more if a process is idle. Behind a busy fleet a copy would only lengthen the queue."""
        if inflight.send_again is None or self.free is None:
            return
        # This request's own open jobs count as idle processes: the process that holds this job may be frozen.
        own = sum(each.own and not each.over for each in self.inflight)
        if await self.free() + own > 0:
            inflight.policy.hedged()
            await inflight.send_again(inflight, "late")

    async def _send_text(self, inflight: InflightShard) -> None:
        assert inflight.send_again is not None
        # Cleared first: an answer may arrive during the send.
        inflight.waiter.answer = None
        inflight.texts_sent += 1
        await inflight.send_again(inflight, "text_lost")

    async def _despite_outages(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except QueueUnavailable as error:
            self._outage = error
        else:
            self._outage = None

    async def _check(self, inflight: InflightShard) -> None:
        """Check the record of a job. A job with no record and no backlog entry is lost: it is sent again, or given up
        where its text is not at hand."""
        waiter, member = inflight.waiter, inflight.member
        lost, record = await locate(self.port, self.keys, waiter.job_id, member)
        if record is not None:
            waiter.resolve(wire.decode_record(record)[1])
        elif lost and inflight.send_again is not None:
            await inflight.send_again(inflight, "lost")
        elif lost and member is not None and member.missed(self.clock.epoch()):
            waiter.resolve(lost_job(waiter.job_id))

    async def _give_up(self, open_: Sequence[InflightShard]) -> RerankError | None:
        """Check all open jobs once more; return why an outcome is still missing."""
        waiters = [each.waiter for each in open_]

        def fill(pipe: Any) -> None:
            for waiter in waiters:
                pipe.get(self.keys.result(waiter.job_id))

        job_id = waiters[0].job_id
        try:
            if self._outage is not None:
                raise self._outage
            records, workers = await self.port.pipeline(fill), await self.alive()
        except QueueUnavailable as error:
            lost = QueueUnavailable(f"the answer of job {job_id} could not be received: {error.message}", error.reason)
            lost.__cause__ = error
            return lost
        for waiter, record in zip(waiters, records, strict=True):
            if record is not None:
                waiter.resolve(wire.decode_record(record)[1])
        self._raise_errors()
        return None if all(waiter.answer is not None for waiter in waiters) else self._late(job_id, workers)

    def _late(self, job_id: str, workers: int) -> DeadlineExceeded:
        waited_s = self.clock.monotonic() - self.deadline.started
        late = f"job {job_id} was not answered within {waited_s:.1f} s: "
        if workers == 0:
            model = shlex.quote(self.model)
            start = f"Start some with `rerank-fleet worker --model {model}`, or load it in live ones with "
            told = f"no worker that serves {self.model} is alive. {start}`rerank-fleet models load {model}`."
            return NoWorkers(late + told)
        advice = "Start more, send fewer documents, or allow a longer deadline."
        return DeadlineExceeded(f"{late}{describe_workers(workers)}, and all may be busy. {advice}")


async def locate(port: Port, keys: Keys, job_id: str, member: BacklogMember | None) -> tuple[bool, bytes | None]:
    """Return whether a job is lost (it has no backlog entry and no record), and its record if it is answered."""

    def fill(pipe: Any) -> None:
        # In this order: a job has a record before it leaves the backlog.
        if member is not None:
            pipe.zscore(member.key, member.name)
        pipe.get(keys.result(job_id))

    *known, record = await port.pipeline(fill)
    return known == [None] and record is None, record


def lost_job(job_id: str) -> JobLost:
    """Return the error for a submitted job that has no backlog entry and no record."""
    return JobLost(
        f"job {job_id} is gone: the server was emptied, lost it in a restart or evicted it, or its answer was kept "
        "RERANK_RESULT_TTL_S and has expired; submit the request again"
    )
