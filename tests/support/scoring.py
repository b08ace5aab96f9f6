"""A small engine under a test's control, and a scoring thread at work with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rerank_shared.contract.messages import Score, ScoringIdentity
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.pending_job import PendingJob
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.engine import Engine
from rerank_worker.scorers.pair_classifier import PairClassifier
from rerank_worker.tokenizing import EncodedPair
from support.model.exports import tokenizer

PATIENCE_S = 10.0
FAR_S = 1_000.0
IDENTITY = ScoringIdentity("org/name", "0" * 64, "1" * 64, "fp32", "bert", 512, "v1", "sigmoid")


def pair(name: int, tokens: int = 10) -> EncodedPair:
    ids = np.full(tokens, name, dtype=np.int64)
    return EncodedPair(ids, np.zeros_like(ids), truncated=name % 2 == 1)


def digest(name: int) -> bytes:
    return name.to_bytes(16, "big")


def expected(name: int, tokens: int = 10) -> Score:
    return Score(float(name), tokens, name % 2 == 1)


def scorer_of(engine: Engine, work: RunShape | None = None, identity: ScoringIdentity = IDENTITY) -> PairClassifier:
    """Return a scorer with an engine under a test's control."""
    return PairClassifier(tokenizer(), engine, work or RunShape(), identity)


@dataclass
class SmallEngine:
    """Scores a pair by its first id; `logits` overrides, and an exception there is raised by any run that holds it."""

    padded: bool = False
    joins_runs: bool = False
    logits: dict[int, float | Exception] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    during_run: Callable[[], None] = lambda: None
    ran: list[list[int]] = field(default_factory=list)

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        return [range(len(pairs))] if self.padded else [range(i, i + 1) for i in range(len(pairs))]

    def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        names = [int(p.ids[0]) for p in pairs]
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        self.ran.append(names)
        self.during_run()
        logits = [self.logits.get(name, float(name)) for name in names]
        for logit in logits:
            if isinstance(logit, Exception):
                raise logit
        return np.array(logits, dtype=np.float32)

    def wait_until_running(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE_S)


@dataclass
class Bench:
    """A running scoring thread, and short words for what tests do with it."""

    engine: SmallEngine
    scoring: ScoringThread
    run_cost: RunCost
    clock: Callable[[], float]
    revoked: set[str]
    #: Set when the policy weighs a wait for company; it does so under the lock that the wait then gives up.
    weighed: threading.Event

    def submit(
        self, job_id: str, names: Sequence[int], *, left_s: float = FAR_S, reply_to: str | None = None, tokens: int = 10
    ) -> PendingJob:
        pairs = [pair(name, tokens) for name in names]
        return self.scoring.submit(job_id, [digest(n) for n in names], pairs, self.clock() + left_s, reply_to)

    def finish(self, pending: PendingJob) -> PendingJob:
        assert pending.wait(PATIENCE_S)
        self.scoring.release(pending)
        return pending

    @property
    def lane(self) -> Lane:
        """The only lane."""
        (lane,) = self.scoring._lanes
        return lane

    def assert_empty(self) -> None:
        """Hold that nothing is left of any job; a last, least urgent job tells that all before it are through."""
        self.engine.gate.set()
        self.finish(self.submit("last", [999_999], left_s=FAR_S * 1_000))
        with self.scoring._lock:
            left = (self.lane._wanting, self.lane._pairs, self.scoring._open, self.lane.batcher._waiting)
            assert left == ({}, {}, {}, {})
        assert self.scoring.held() == (0, 0)


def bench(
    *,
    padded: bool = False,
    budget: int = 100,
    max_wait_s: float = 0.0,
    gate: bool = True,
    clock: Callable[[], float] = time.monotonic,
    engine: SmallEngine | None = None,
) -> Bench:
    """Return a scoring thread that has started; with `gate` its engine runs at once."""
    engine = engine or SmallEngine(padded=padded)
    if gate:
        engine.gate.set()
    layout: LayoutName = "padded" if padded else "unpadded"
    shape, revoked, weighed = RunShape(layout), set[str](), threading.Event()
    run_cost = RunCost(shape)

    def predict_s(work: Work) -> float:
        weighed.set()
        return run_cost.cost.predict_s(work)

    batcher = Batcher(
        budget_tokens=budget,
        max_wait_s=max_wait_s,
        layout=layout,
        predict_s=predict_s,
        work_of=shape.pair_work,
    )
    lane = Lane(scorer_of(engine, shape), batcher, run_cost)
    scoring = ScoringThread([lane], revoked=revoked.__contains__, aging_s=FAR_S * 1e6, clock=clock)
    scoring.start()
    return Bench(engine, scoring, run_cost, clock, revoked, weighed)
