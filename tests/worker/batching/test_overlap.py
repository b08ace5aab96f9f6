"""The scoring thread with an engine that takes a run while another is under way: two at once, in order, in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.tokenizing import EncodedPair
from support.scoring import FAR_S, PATIENCE_S, digest, pair, scorer_of


class Ahead:
    """An engine that overlaps: scores a pair by its first id, and fails with the guilty one."""

    def __init__(self, guilty: int = -1) -> None:
        self.events: list[str] = []
        self._guilty = guilty

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        return [range(i, min(i + 2, len(pairs))) for i in range(0, len(pairs), 2)]

    def start(self, pairs: Sequence[EncodedPair]) -> Callable[[], Any]:
        names = [int(p.ids[0]) for p in pairs]
        self.events.append(f"start {names}")

        def result() -> Any:
            self.events.append(f"finish {names}")
            if self._guilty in names:
                raise ValueError("guilty")
            return np.array(names, dtype=np.float32)

        return result

    def score(self, pairs: Sequence[EncodedPair]) -> Any:
        return self.start(pairs)()


class TestScoringThread:
    @pytest.fixture
    def now(self) -> list[float]:
        return [100.0]

    def score(self, engine: Ahead, names: Sequence[int], now: list[float], left_s: float = FAR_S) -> Any:
        run_cost = RunCost()
        batcher = Batcher(budget_tokens=1_000, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
        lane = Lane(scorer_of(engine), batcher, run_cost)
        scoring = ScoringThread([lane], revoked=lambda _: False, clock=lambda: now[0])
        pending = scoring.submit("job", [digest(n) for n in names], [pair(n) for n in names], now[0] + left_s, None)
        scoring.start()
        assert pending.wait(PATIENCE_S)
        scoring.release(pending)
        return pending

    def test_keeps_two_runs_under_way(self, now: list[float]) -> None:
        engine = Ahead()
        pending = self.score(engine, [1, 2, 3, 4, 5], now)
        assert [score.logit for score in pending.scores] == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert engine.events == [
            "start [1, 2]", "start [3, 4]", "finish [1, 2]", "start [5]", "finish [3, 4]", "finish [5]",
        ]  # fmt: skip

    def test_looks_at_deadlines_before_each_start(self, now: list[float]) -> None:
        engine = Ahead()
        begun = engine.start

        def slow(pairs: Sequence[EncodedPair]) -> Callable[[], Any]:
            now[0] += 5.0
            return begun(pairs)

        engine.start = slow  # type: ignore[method-assign]
        pending = self.score(engine, [1, 2, 3, 4, 5], now, left_s=7.0)
        assert pending.dropped == "expired"
        assert [event for event in engine.events if event.startswith("start")] == ["start [1, 2]", "start [3, 4]"]

    def test_finds_the_guilty_pair_of_a_run(self, now: list[float]) -> None:
        engine = Ahead(guilty=3)
        pending = self.score(engine, [1, 2, 3, 4], now)
        assert "document 2" in str(pending.error)
        # The run that was begun is not run again as a whole, but its halves are.
        assert Counter(engine.events)["finish [3, 4]"] == 1
        assert "finish [3]" in engine.events
