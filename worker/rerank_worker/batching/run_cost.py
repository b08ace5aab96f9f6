"""How fast this process runs: what its runs cost, for whoever decides, and its tokens a second, for whoever watches.

Written by one thread: by warm-up, before there is another, then by the scoring thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.batching.cost_model import CostModel
from rerank_worker.batching.rate import TokenRate

#: Of a question and a passage.
_USUAL_TOKENS = 128


@dataclass(slots=True)
class RunCost:
    """What was learned from all runs so far. `shape` is that of its runs."""

    shape: RunShape = field(default_factory=RunShape)
    cost: CostModel = field(default_factory=CostModel)
    rate: TokenRate = field(init=False)

    def __post_init__(self) -> None:
        self.rate = TokenRate(self.cost.predict_s)

    @property
    def shared(self) -> CostParameters | None:
        """The cost as others use it, in which `run_s` is that of a pair: they don't know how pairs share runs."""
        known = self.cost.parameters
        return None if known is None else replace(known, run_s=known.run_s * self._runs_a_pair)

    def adopt(self, shared: CostParameters) -> None:
        """Begin with what another process of this layout has shared; before anything has run."""
        self.cost.adopt(replace(shared, run_s=shared.run_s / self._runs_a_pair))

    @property
    def _runs_a_pair(self) -> float:
        return self.shape.pair_work(_USUAL_TOKENS).runs

    def observe(self, lengths: Sequence[int], seconds: float) -> float | None:
        """Learn from a run of pairs; return by what share of its time it had been mispredicted, None if it had not
        been predicted at all."""
        work = self.shape.run_work(lengths)
        self.rate.add(sum(lengths), work, seconds)
        return self.cost.observe(work, seconds)

    def predict_s(self, lengths: Sequence[int]) -> float:
        """Return the expected seconds of a run of pairs; 0 while nothing is known."""
        return self.cost.predict_s(self.shape.run_work(lengths))
