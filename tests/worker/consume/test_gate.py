"""The gate between queue and scoring thread: it closes and opens with what waits, wakes whoever it turned away, and
asks only for what is more urgent than all it has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from rerank_shared.keys import JobClass, Keys
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.backpressure import Backpressure
from rerank_worker.consume.gate import Gate
from support.scoring import FAR_S, PATIENCE_S, SmallEngine, digest, pair, scorer_of
from support.waiting import wait_until

KEYS = Keys("gate")
BUDGET = 100
EPOCH = 5_000.0


@dataclass
class Message:
    """What the gate looks at in a message of kombu's."""

    delivery_tag: str
    tokens: int
    due_at: float = EPOCH + 50.0
    job_class: JobClass = "interactive"
    acknowledged: bool = False
    headers: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"id": f"job {self.delivery_tag}", "tokens": self.tokens, "due_at": self.due_at}

    @property
    def delivery_info(self) -> dict[str, Any]:
        return {"routing_key": KEYS.queue(self.job_class)}


class Hall:
    """A gate before a scoring thread whose engine stands still until it is told to run; a pair has ten tokens."""

    def __init__(self) -> None:
        self.engine, self.now = SmallEngine(), [100.0]
        run_cost = RunCost()
        batcher = Batcher(budget_tokens=BUDGET, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
        lane = Lane(scorer_of(self.engine), batcher, run_cost)
        self.scoring = ScoringThread([lane], revoked=lambda _: False, aging_s=1e9, clock=lambda: self.now[0])
        backpressure = Backpressure(FAR_S, BUDGET, run_cost.cost.predict_s)
        self.gate = Gate(backpressure, self.scoring, wall_clock=lambda: EPOCH)
        self.woken = threading.Semaphore(0)
        self.gate.attach(self.woken.release)
        self.scoring.start()
        self._names = iter(range(1, 1_000))

    def submit(
        self, pairs: int, *, left_s: float = 50.0, job_class: JobClass = "interactive", job_id: str = "job"
    ) -> Any:
        names = [next(self._names) for _ in range(pairs)]
        return self.scoring.submit(
            job_id,
            [digest(name) for name in names],
            [pair(name) for name in names],
            self.now[0] + left_s,
            None,
            job_class=job_class,
        )

    def hold(self, tag: str, *, due_at: float, job_class: JobClass = "interactive") -> Message:
        """Let a message be delivered."""
        message = Message(tag, 5, due_at, job_class)
        self.gate.took(message)
        return message

    def ask(self) -> dict[JobClass, float] | None:
        """Ask at a moment at which a batch ends."""
        self.now[0] += 1.0
        self.gate.ending()
        return self.gate.ask()

    def run(self, pairs: int = 1) -> None:
        """Let the engine begin a batch that then stands still, so that what comes next waits."""
        self.submit(pairs)
        self.engine.wait_until_running()
        while self.woken.acquire(blocking=False):
            pass


@pytest.fixture
def hall() -> Iterator[Hall]:
    hall = Hall()
    yield hall
    hall.engine.gate.set()


def test_what_runs_does_not_close_it(hall: Hall) -> None:
    assert hall.gate.is_open()
    hall.run(pairs=10)
    assert hall.gate.is_open()
    hall.submit(9)
    assert hall.gate.is_open()
    hall.submit(1)
    assert not hall.gate.is_open()


def test_whoever_was_turned_away_is_woken_when_a_batch_has_left(hall: Hall) -> None:
    hall.run()
    hall.submit(10)
    assert not hall.gate.is_open()
    hall.engine.gate.set()
    assert hall.woken.acquire(timeout=PATIENCE_S)
    wait_until(hall.gate.is_open, "the gate to open")


def test_nobody_is_woken_who_was_not_turned_away(hall: Hall) -> None:
    hall.engine.gate.set()
    assert hall.gate.is_open()
    assert hall.submit(5).wait(PATIENCE_S)
    assert not hall.woken.acquire(blocking=False)


class TestOnTheirWay:
    def test_jobs_count_until_their_pairs_wait(self, hall: Hall) -> None:
        hall.gate.took(Message("a", 60))
        assert hall.gate.is_open()
        hall.gate.took(Message("b", 60))
        with hall.gate.inside("b") as waits:
            assert not hall.gate.is_open()
            waits()
            assert hall.woken.acquire(timeout=PATIENCE_S)
            assert hall.gate.is_open()

    def test_one_that_ends_without_ever_waiting_counts_no_longer(self, hall: Hall) -> None:
        hall.gate.took(Message("a", 200))
        with hall.gate.inside("a"):
            assert not hall.gate.is_open()
        assert hall.woken.acquire(timeout=PATIENCE_S)
        assert hall.gate.is_open()

    def test_one_that_was_refused_counts_no_longer(self, hall: Hall) -> None:
        message = Message("a", 200)
        hall.gate.took(message)
        assert not hall.gate.is_open()
        message.acknowledged = True
        assert hall.gate.is_open()

    def test_one_that_nobody_knows_changes_nothing(self, hall: Hall) -> None:
        hall.gate.took(Message("a", 200))
        assert not hall.gate.is_open()
        for tag in ("other", None):
            with hall.gate.inside(tag) as waits:
                waits()
        assert not hall.woken.acquire(blocking=False)

    def test_a_plain_sender_s_message_is_a_small_job(self, hall: Hall) -> None:
        message = Message("a", 200)
        message.headers = {}
        hall.gate.took(message)
        assert hall.gate.is_open()


class TestAsking:
    def test_the_first_of_each_class_that_is_held_is_told(self, hall: Hall) -> None:
        hall.hold("a", due_at=EPOCH + 30.0)
        hall.hold("b", due_at=EPOCH + 20.0)
        hall.hold("c", due_at=EPOCH + 40.0, job_class="bulk")
        assert hall.ask() == {"interactive": EPOCH + 20.0, "bulk": EPOCH + 40.0}

    def test_a_class_of_which_nothing_is_held_is_left_out(self, hall: Hall) -> None:
        hall.hold("a", due_at=EPOCH + 20.0, job_class="bulk")
        assert hall.ask() == {"bulk": EPOCH + 20.0}

    def test_a_job_that_was_dealt_with_is_held_no_longer(self, hall: Hall) -> None:
        hall.hold("a", due_at=EPOCH + 30.0)
        hall.hold("b", due_at=EPOCH + 20.0)
        with hall.gate.inside("b"):
            assert hall.ask() == {"interactive": EPOCH + 20.0}
        assert hall.ask() == {"interactive": EPOCH + 30.0}

    def test_a_job_counts_until_its_last_pairs_run(self, hall: Hall) -> None:
        hall.run()
        hall.hold("a", due_at=EPOCH + 20.0)
        with hall.gate.inside("a") as waits:
            hall.submit(5, job_id="job a")
            waits()
            assert hall.ask() == {"interactive": EPOCH + 20.0}
            hall.engine.gate.set()
            wait_until(lambda: not hall.scoring.waiting_jobs(), "all pairs to begin")
            assert hall.ask() == {}

    def test_a_message_that_was_refused_is_held_no_longer(self, hall: Hall) -> None:
        hall.hold("a", due_at=EPOCH + 20.0).acknowledged = True
        hall.hold("b", due_at=EPOCH + 30.0)
        assert hall.ask() == {"interactive": EPOCH + 30.0}

    def test_a_job_that_waits_here_is_as_old_as_in_the_queue(self, hall: Hall) -> None:
        """Or all that was sent before now would seem more urgent, and a process would empty the queue into itself."""
        hall.run()
        hall.hold("a", due_at=EPOCH - 3.0)
        with hall.gate.inside("a") as waits:
            hall.submit(10, job_id="job a")
            waits()
            assert hall.ask() == {"interactive": EPOCH - 3.0}

    def test_only_before_a_batch_ends_and_not_more_often_than_needed(self, hall: Hall) -> None:
        assert hall.gate.ask() is None
        hall.gate.ending()
        assert hall.gate.ask() is not None
        hall.gate.ending()
        assert hall.gate.ask() is None
        hall.now[0] += 1.0
        assert hall.gate.ask() is not None
        hall.now[0] += 1.0
        assert hall.gate.ask() is None

    def test_a_batch_of_many_runs_asks_before_its_last(self, hall: Hall) -> None:
        hall.run(pairs=5)
        assert hall.gate.ask() is None
        hall.submit(10)
        assert not hall.gate.is_open()
        hall.engine.gate.set()
        assert hall.woken.acquire(timeout=PATIENCE_S)


def test_a_draining_process_takes_nothing(hall: Hall) -> None:
    assert hall.gate.is_open()
    hall.scoring.drain()
    assert not hall.gate.is_open()
    assert hall.gate.ask() is None


def test_a_consumer_that_is_not_connected_is_not_woken(hall: Hall) -> None:
    hall.gate.took(Message("a", 200))
    assert not hall.gate.is_open()
    hall.gate.attach(None)
    with hall.gate.inside("a") as waits:
        waits()
    assert not hall.woken.acquire(blocking=False)
