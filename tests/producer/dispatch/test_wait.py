"""What a waiting caller does and ends with, over a port in memory and a clock that only waiting moves."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from producer.io.test_pending import failed, record
from rerank_producer._dispatch.hedging import HedgePolicy
from rerank_producer._dispatch.wait import BacklogMember, InflightShard, SendReason, Wait
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.pending import Pending, Waiter
from rerank_producer._io.port import drive
from rerank_shared.contract.messages import Outcome
from rerank_shared.errors import (
    DeadlineExceeded,
    InternalError,
    JobLost,
    NoWorkers,
    Overloaded,
    QueueUnavailable,
    RerankError,
    ScoringFailed,
)
from rerank_shared.keys import Keys

JOB = "a"
ENTRY = BacklogMember("backlog", "member", 1_003.0)
#: README's promise of how soon a caller hears that the server has forgotten its job.
FORGOTTEN_WITHIN_S = 2.0


class Memory:
    """A server that holds one record or none, answers pipelines, and can be away; waiting moves its clock."""

    def __init__(self, workers: int = 0) -> None:
        self.now = 0.0
        self.record: bytes | None = None
        self.away = False
        self.workers = workers
        self.free = -9
        self.remembers = True
        self.looks: list[float] = []
        self.sent: list[float] = []
        self.texts = 0
        self.events: list[tuple[float, Callable[[], None]]] = []

    async def pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        if self.away:
            raise QueueUnavailable("away")
        self.looks.append(round(self.now, 6))
        commands: list[Any] = []
        fill(_Commands(commands))
        answers = {"get": self.record, "zcount": self.workers, "zscore": 1.0 if self.remembers else None}
        return [answers[name] for name in commands]

    async def count_alive(self) -> int:
        return self.workers

    async def count_free(self) -> int:
        return self.free

    async def send_again(self, _: InflightShard, reason: SendReason) -> None:
        if self.away:
            raise QueueUnavailable("away")
        self.sent.append(self.now)
        self.texts += reason == "text_lost"

    async def wait(self, waiter: Waiter, wait_s: float) -> None:
        end = self.now + wait_s
        due = [event for event in self.events if event[0] <= end]
        if due:
            event = min(due, key=lambda event: event[0])
            self.events.remove(event)
            self.now = max(self.now, event[0])
            event[1]()
        else:
            self.now = end


class _Commands:
    def __init__(self, log: list[Any]) -> None:
        self._log = log

    def get(self, _: str) -> None:
        self._log.append("get")

    def zcount(self, *_: Any) -> None:
        self._log.append("zcount")

    def zscore(self, *_: Any) -> None:
        self._log.append("zscore")


def wait_for(memory: Memory, waiter: Waiter, deadline_s: float = 5.0, *, has_text: bool = True) -> Outcome:
    clock = Clock(monotonic=lambda: memory.now, epoch=lambda: 1_000.0 + memory.now)
    deadline = Deadline.after(deadline_s, clock)
    policy = HedgePolicy(0.0, deadline.at)
    port: Any = memory
    entry = replace(ENTRY, until=998.0 + deadline_s)
    inflight = InflightShard(waiter, policy, entry, memory.send_again if has_text else None)
    wait = Wait(port, Keys("test"), clock, deadline, [inflight], "big one", memory.count_alive)
    shortfall = drive(wait.finish())
    if shortfall is not None:
        raise shortfall
    assert inflight.outcome is not None
    return inflight.outcome


@pytest.fixture
def waiter() -> Waiter:
    return Waiter(JOB, threading.Event())


@pytest.fixture
def pending(waiter: Waiter) -> Pending:
    pending = Pending()
    pending.add(waiter)
    return pending


def test_announced_answer_needs_no_look(waiter: Waiter, pending: Pending) -> None:
    memory = Memory()
    memory.events.append((0.1, lambda: pending.deliver(record(JOB))))
    assert wait_for(memory, waiter).job_id == JOB
    assert (memory.now, memory.looks) == (0.1, [])


def test_missed_announcement_is_found_by_looking(waiter: Waiter) -> None:
    memory = Memory()
    memory.events.append((0.7, lambda: setattr(memory, "record", record(JOB))))
    assert wait_for(memory, waiter).job_id == JOB
    assert memory.looks == [0.5, 1.5]


def test_silence_alone_does_not_fill_the_queue_with_copies(waiter: Waiter) -> None:
    memory = Memory(workers=1)
    with pytest.raises(DeadlineExceeded):
        wait_for(memory, waiter)
    assert memory.sent == []


def test_a_job_that_the_server_has_forgotten_is_sent_again(waiter: Waiter) -> None:
    memory = Memory(workers=1)
    memory.events = [
        (1.0, lambda: setattr(memory, "remembers", False)),
        (1.6, lambda: setattr(memory, "remembers", True)),
    ]
    with pytest.raises(DeadlineExceeded):
        wait_for(memory, waiter)
    assert memory.sent == [1.5]


@pytest.mark.parametrize("at_s", [0.01, 0.9, 60.2])
def test_a_forgotten_job_that_can_not_be_sent_again_is_told_as_lost(waiter: Waiter, at_s: float) -> None:
    memory = Memory(workers=1)
    memory.events = [(at_s, lambda: setattr(memory, "remembers", False))]
    with pytest.raises(JobLost):
        wait_for(memory, waiter, deadline_s=3_600.0, has_text=False)
    assert memory.now <= at_s + FORGOTTEN_WITHIN_S


def test_restored_line_looks_first_and_sends_only_if_nothing_is_there(waiter: Waiter, pending: Pending) -> None:
    memory = Memory()
    memory.record = record(JOB)
    memory.events.append((0.1, pending.reconnected))
    assert wait_for(memory, waiter).job_id == JOB
    assert (memory.looks, memory.sent) == ([0.1], [])

    lost, other = Memory(), Waiter("b", threading.Event())
    lost.remembers = False
    pending.add(other)
    lost.events += [(0.1, pending.reconnected), (0.3, lambda: pending.deliver(record("b")))]
    assert wait_for(lost, other).job_id == "b"
    assert (lost.looks, lost.sent) == ([0.1], [0.1])


def test_answer_that_comes_with_the_deadline_still_counts(waiter: Waiter) -> None:
    memory = Memory()
    memory.events.append((4.9, lambda: setattr(memory, "record", record(JOB))))
    assert wait_for(memory, waiter).job_id == JOB
    assert memory.now == 5.0


def test_outage_is_waited_out(waiter: Waiter, pending: Pending) -> None:
    memory = Memory()
    memory.away = True
    memory.events += [
        (3.2, lambda: setattr(memory, "away", False)),
        (3.3, pending.reconnected),
        (4.0, lambda: pending.deliver(record(JOB))),
    ]
    memory.remembers = False
    assert wait_for(memory, waiter).job_id == JOB
    assert memory.sent == [3.3]


def test_server_that_stays_away_is_told_at_the_deadline(waiter: Waiter) -> None:
    memory = Memory()
    memory.away = True
    with pytest.raises(QueueUnavailable, match="job a could not be received: away") as told:
        wait_for(memory, waiter)
    assert (memory.now, told.value.code) == (5.0, "queue_unavailable")


@pytest.mark.parametrize(("workers", "advice"), [(1, "one worker"), (3, "3 worker")])
def test_time_out_says_what_to_do(waiter: Waiter, workers: int, advice: str) -> None:
    with pytest.raises(DeadlineExceeded, match=rf"job a was not answered within 5\.0 s: {advice}") as told:
        wait_for(Memory(workers), waiter)
    assert told.value.code == "deadline_exceeded"


def test_a_model_without_workers_is_told_at_the_deadline(waiter: Waiter) -> None:
    memory = Memory(workers=0)
    with pytest.raises(NoWorkers, match=r"within 5\.0 s: no worker that serves big one is alive.*--model 'big one'`"):
        wait_for(memory, waiter)
    assert memory.now == 5.0


class TestSeveralJobs:
    """One request in parts: `finish` ends when all are answered or time is over, whatever became of each."""

    def finish(
        self, memory: Memory, pending: Pending, count: int = 2, *, deadline_s: float = 5.0, late_s: float = math.inf
    ) -> tuple[list[InflightShard], RerankError | None]:
        clock = Clock(monotonic=lambda: memory.now, epoch=lambda: 1_000.0 + memory.now)
        deadline, signal = Deadline.after(deadline_s, clock), threading.Event()
        inflight = []
        for number in range(count):
            waiter = Waiter(f"job-{number}", signal)
            pending.add(waiter)
            inflight.append(InflightShard(waiter, HedgePolicy(0.0, deadline.at, late_s), ENTRY, memory.send_again))
        port: Any = memory
        wait = Wait(port, Keys("test"), clock, deadline, inflight, "m", memory.count_alive, memory.count_free)
        return inflight, drive(wait.finish())

    def test_all_answers_are_waited_for(self) -> None:
        memory, pending = Memory(), Pending()
        memory.events = [
            (0.1, lambda: pending.deliver(record("job-1"))),
            (0.3, lambda: pending.deliver(record("job-0"))),
        ]
        inflight, shortfall = self.finish(memory, pending)
        assert shortfall is None
        assert [each.outcome and each.outcome.job_id for each in inflight] == ["job-0", "job-1"]
        assert memory.now == 0.3

    def test_what_came_in_time_is_kept(self) -> None:
        memory, pending = Memory(workers=1), Pending()
        memory.events = [(0.1, lambda: pending.deliver(record("job-1")))]
        inflight, shortfall = self.finish(memory, pending)
        assert isinstance(shortfall, DeadlineExceeded)
        assert [each.outcome is None for each in inflight] == [True, False]
        assert memory.now == 5.0

    def test_a_part_that_is_refused_does_not_end_the_others(self) -> None:
        memory, pending = Memory(), Pending()
        memory.events = [
            (0.1, lambda: pending.deliver(failed("job-0", Overloaded("busy", 70.0, 2.0)))),
            (0.2, lambda: pending.deliver(record("job-1"))),
        ]
        inflight, shortfall = self.finish(memory, pending)
        assert isinstance(shortfall, Overloaded)
        assert (shortfall.predicted_wait_ms, shortfall.retry_after_s) == (70.0, 2.0)
        assert [each.outcome is None for each in inflight] == [True, False]

    def test_a_part_that_failed_ends_the_request_at_once(self) -> None:
        memory, pending = Memory(), Pending()
        memory.events = [(0.1, lambda: pending.deliver(failed("job-1", ScoringFailed("no"))))]
        with pytest.raises(ScoringFailed, match="no"):
            self.finish(memory, pending)
        assert memory.now == 0.1

    # Two jobs of its own are unanswered, so -1 is one process that has neither.
    @pytest.mark.parametrize(("free", "sent"), [(-1, [0.7, 0.7]), (-2, [])])
    def test_late_parts_are_sent_again_only_where_somebody_is_idle(self, free: int, sent: list[float]) -> None:
        memory, pending = Memory(workers=2), Pending()
        memory.free = free
        self.finish(memory, pending, late_s=0.7)
        assert memory.sent == sent

    def test_a_late_part_is_hedged_as_soon_as_somebody_is_idle(self) -> None:
        memory, pending = Memory(workers=2), Pending()
        memory.events = [(2.0, lambda: setattr(memory, "free", 0))]
        self.finish(memory, pending, 1, late_s=0.7)
        assert len(memory.sent) == 1
        assert 2.0 <= memory.sent[0] < 3.0

    def test_an_answer_that_is_there_is_not_asked_for_again(self) -> None:
        memory, pending = Memory(workers=2), Pending()
        memory.record, memory.free = record("job-0"), 1
        inflight, shortfall = self.finish(memory, pending, 1, late_s=0.3)
        assert (shortfall, memory.sent, memory.now) == (None, [], 0.3)
        assert inflight[0].outcome is not None


class TestLostTexts:
    """A worker did not find the text of a job that this client still has."""

    def answers(self, pending: Pending, memory: Memory, count: int) -> None:
        for number in range(count):
            at = 0.1 * (number + 1)
            memory.events.append((at, lambda: pending.deliver(failed(JOB, JobLost("its text is gone")))))

    def test_are_sent_again_at_once(self, waiter: Waiter, pending: Pending) -> None:
        memory = Memory()
        self.answers(pending, memory, 1)
        memory.events.append((0.3, lambda: pending.deliver(record(JOB))))
        assert wait_for(memory, waiter).job_id == JOB
        assert (memory.sent, memory.texts) == ([0.1], 1)

    def test_are_given_up_after_some_times(self, waiter: Waiter, pending: Pending) -> None:
        memory = Memory()
        self.answers(pending, memory, 4)
        with pytest.raises(JobLost, match="its text is gone"):
            wait_for(memory, waiter)
        assert memory.texts == 3

    def test_are_sent_when_the_server_is_back(self, waiter: Waiter, pending: Pending) -> None:
        memory = Memory()
        self.answers(pending, memory, 1)
        memory.events += [
            (0.05, lambda: setattr(memory, "away", True)),
            (0.4, lambda: setattr(memory, "away", False)),
            (0.4, lambda: setattr(memory, "record", failed(JOB, JobLost("its text is gone")))),
            (0.9, lambda: pending.deliver(record(JOB))),
        ]
        assert wait_for(memory, waiter).job_id == JOB
        assert memory.sent == [0.5]


class TestForgottenJobs:
    """A job whose text is not at hand."""

    def collect(self, memory: Memory, waiter: Waiter, until: float) -> RerankError | None:
        clock = Clock(monotonic=lambda: memory.now, epoch=lambda: 1_000.0 + memory.now)
        deadline = Deadline.after(3_600.0, clock)
        inflight = InflightShard(waiter, HedgePolicy(0.0, deadline.at), BacklogMember("backlog", "member", until))
        port: Any = memory
        return drive(Wait(port, Keys("test"), clock, deadline, [inflight], "m", memory.count_alive).finish())

    def test_are_told_at_the_next_look(self, waiter: Waiter) -> None:
        memory = Memory(workers=1)
        memory.events.append((700.2, lambda: setattr(memory, "remembers", False)))
        with pytest.raises(JobLost, match="job a is gone"):
            self.collect(memory, waiter, 4_600.0)
        assert memory.now < 702.2

    def test_are_not_told_from_those_whose_deadline_passes(self, waiter: Waiter) -> None:
        """Others take an entry out of the backlog when they think that its deadline has passed."""
        memory = Memory(workers=1)
        memory.remembers = False
        assert isinstance(self.collect(memory, waiter, 1_000.1), DeadlineExceeded)


def test_flow_that_suspends_without_a_loop_is_a_bug_that_is_told() -> None:
    class Suspends:
        def __await__(self) -> Any:
            yield

    async def flow() -> None:
        await Suspends()

    with pytest.raises(InternalError, match="suspended"):
        drive(flow())
