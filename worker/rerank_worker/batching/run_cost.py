"""Run cost: the cost model for scheduling and the token rate for heartbeats, both fed by the runs of this process.

One thread writes: the warm-up first, while it is the only thread, then the scoring thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.batching.cost_model import CostModel
from rerank_worker.batching.rate import TokenRate
from rerank_worker.scorers import RunWork

#: Typical tokens of a question and a passage together.
_USUAL_TOKENS = 128


@dataclass(slots=True)
class RunCost:
    """The cost and the rate of this process's runs; `work` says what work a run is."""

    work: RunWork = field(default_factory=RunShape)
    cost: CostModel = field(default_factory=CostModel)
    rate: TokenRate = field(init=False)

    def __post_init__(self) -> None:
        self.rate = TokenRate(self.cost.predict_s)

    @property
    def shared(self) -> CostParameters | None:
        """The cost for other processes. `run_s` is seconds a pair there: they don't know how pairs share runs."""
        known = self.cost.parameters
        return None if known is None else replace(known, run_s=known.run_s * self._runs_a_pair)

    def adopt(self, shared: CostParameters) -> None:
        """Start from the cost that another process of this layout shared. Call before the first run."""
        self.cost.adopt(replace(shared, run_s=shared.run_s / self._runs_a_pair))

    @property
    def _runs_a_pair(self) -> float:
        return self.work.pair_work(_USUAL_TOKENS).runs

    def observe(self, lengths: Sequence[int], seconds: float) -> float | None:
        """Learn from a run of pairs with these lengths in tokens, and return its error.

        The error is |predicted - actual| / actual, None if there was no prediction.
        """
        work = self.work.run_work(lengths)
        self.rate.add(sum(lengths), work, seconds)
        return self.cost.observe(work, seconds)

    def predict_s(self, lengths: Sequence[int]) -> float:
        """Return the expected seconds of a run of pairs; 0 before the first observation."""
        return self.cost.predict_s(self.work.run_work(lengths))
