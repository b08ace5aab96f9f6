"""Pool turns: whose queue a process with several models asks first. Pure.

Where models have weights, the pool that gave the fewest interactive tokens for its weight is asked first: fairness.py
has the same rule for tenants. Otherwise the lanes could share only what the queues happen to give. Without weights the
pool whose job woke the process is first, so that pools take turns as their jobs come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rerank_shared.keys import JobClass

#: Weights by pool, None for a pool without one; they may change while the process runs.
Weights = Callable[[], Mapping[str, float | None]]


def _unweighted() -> Mapping[str, float | None]:
    return {}


@dataclass(slots=True)
class PoolTurns:
    """The turns of one process; '' is the common queue, which has the weight of all pools together.

    `had` has the interactive tokens that each pool gave, by its weight. A pool that was asked and had none waiting
    starts level with the one that gave, so that absence earns no credit.
    """

    weights: Weights = _unweighted
    had: dict[str, float] = field(default_factory=dict)

    def order(self, pools: Collection[str], woken: str) -> list[str]:
        """Return the pools in the order in which they are asked; `woken` is the one whose job woke the process."""
        if not self.weighted:
            return sorted(pools, key=lambda pool: (pool != woken, pool))
        return sorted(pools, key=lambda pool: (self.had.get(pool, 0.0), pool != woken, pool))

    def took(self, asked: Sequence[str], pool: str, job_class: JobClass, tokens: float) -> None:
        """Count a job that `pool` gave, when the pools were asked in this order, and at least one has a weight."""
        if job_class != "interactive":
            return
        line = self.had.get(pool, 0.0)
        for absent in asked[: asked.index(pool)]:
            self.had[absent] = max(self.had.get(absent, 0.0), line)
        self.had[pool] = line + tokens / self._weight(pool)
        # Only differences count: a pool that comes later has had as little as the least of the others.
        least = min(self.had.get(each, 0.0) for each in asked)
        self.had = {each: self.had.get(each, 0.0) - least for each in asked}

    @property
    def weighted(self) -> bool:
        """Whether any model of the process has a weight."""
        return any(weight is not None for weight in self.weights().values())

    def _weight(self, pool: str) -> float:
        weights = {name: 1.0 if weight is None else weight for name, weight in self.weights().items()}
        return weights.get(pool, sum(weights.values()))
