"""Cost model: predicts the seconds of work as a·runs + b·tokens + c·tokens·longest.

Workers learn a, b and c from their runs (batching/cost_model.py) and share them; all scheduling predicts with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from rerank_shared.errors import MalformedMessage
from rerank_shared.keys import COST_FRESH_S

_FIELDS = 6


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one or several runs; `tokens_longest` sums each token times the length it attends over."""

    runs: float = 0.0
    tokens: float = 0.0
    tokens_longest: float = 0.0

    def __add__(self, other: Work) -> Work:
        """Return the sum."""
        return Work(self.runs + other.runs, self.tokens + other.tokens, self.tokens_longest + other.tokens_longest)

    def __sub__(self, other: Work) -> Work:
        """Return the work that is left without `other`, which was part of it."""
        return Work(self.runs - other.runs, self.tokens - other.tokens, self.tokens_longest - other.tokens_longest)

    def part(self, share: float) -> Work:
        """Return a share of the work."""
        return Work(self.runs * share, self.tokens * share, self.tokens_longest * share)

    @classmethod
    def pair(cls, tokens: float) -> Self:
        """Return the work of one unpadded pair."""
        return cls(1.0, tokens, tokens * tokens)

    @classmethod
    def padded(cls, pairs: float, longest: float) -> Self:
        """Return the work of one run of pairs that are padded to the longest."""
        return cls(1.0, pairs * longest, pairs * longest * longest)

    @classmethod
    def of(cls, lengths: Iterable[float]) -> Self:
        """Return the work of unpadded pairs that run one after another."""
        counts = list(lengths)
        return cls(float(len(counts)), sum(counts), sum(count * count for count in counts))


@dataclass(frozen=True, slots=True)
class CostParameters:
    """Cost parameters as workers share them: seconds a run, a token, and a token times length.

    `error_ratio` is the median of |predicted - actual| / actual, `p99_ratio` the 99th percentile of actual / predicted
    and at least 1, both over recent runs.
    """

    run_s: float
    token_s: float
    token_longest_s: float
    error_ratio: float = 0.0
    p99_ratio: float = 1.0
    observations: int = 0

    def predict_s(self, work: Work) -> float:
        """Return the expected seconds."""
        return self.run_s * work.runs + self.token_s * work.tokens + self.token_longest_s * work.tokens_longest

    def predict_p99_s(self, work: Work) -> float:
        """Return the seconds that 99 of 100 such runs stay within."""
        return self.predict_s(work) * self.p99_ratio

    def cost_fields(self) -> list[float]:
        """Return the fields as plain numbers, for the wire."""
        return [
            self.run_s,
            self.token_s,
            self.token_longest_s,
            self.error_ratio,
            self.p99_ratio,
            float(self.observations),
        ]

    @classmethod
    def from_fields(cls, fields: Sequence[object]) -> Self:
        """Rebuild from `cost_fields()`; further fields are ignored. Raises MalformedMessage."""
        numbers = [value for value in fields[:_FIELDS] if isinstance(value, int | float) and math.isfinite(value)]
        if len(numbers) < _FIELDS or min(numbers) < 0:
            raise MalformedMessage("cost: not the parameters of a cost model")
        run_s, token_s, token_longest_s, error_ratio, p99_ratio, observations = numbers
        return cls(run_s, token_s, token_longest_s, error_ratio, max(1.0, p99_ratio), int(observations))


@dataclass(frozen=True, slots=True)
class SharedCost:
    """Cost parameters of one host. `shared_at`: epoch seconds of the server, 0 where an earlier release shared them."""

    parameters: CostParameters
    shared_at: float = 0.0

    def cost_fields(self) -> list[float]:
        """Return the fields as plain numbers, for the wire; earlier releases ignore the last one."""
        return [*self.parameters.cost_fields(), self.shared_at]

    @classmethod
    def from_fields(cls, fields: Sequence[object]) -> Self:
        """Rebuild from `cost_fields()`; further fields are ignored. Raises MalformedMessage."""
        parameters, (at, *_) = CostParameters.from_fields(fields), (*fields[_FIELDS:], 0.0)
        if not isinstance(at, int | float) or not math.isfinite(at):
            raise MalformedMessage("cost: not a time of sharing")
        return cls(parameters, float(at))


def typical(costs: Iterable[SharedCost], now: float) -> CostParameters | None:
    """Return the cost of the median host by seconds a token, None without any: a fleet's hosts may differ.

    Hosts that have shared none for `COST_FRESH_S` before `now` (epoch seconds) count only where all have not.
    """
    known = list(costs)
    fresh = [cost for cost in known if abs(now - cost.shared_at) <= COST_FRESH_S]
    ordered = sorted((cost.parameters for cost in fresh or known), key=lambda cost: cost.token_s)
    return ordered[len(ordered) // 2] if ordered else None
