"""The plan of a rollout, and what is measured before its first step. Plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much worse the new model may be.

    - `error_share`: of its requests that may fail, 0 to 1, on top of the old model's share.
    - `p95_ratio`: its 95th percentile over the old model's, for requests of as many scored documents.
    - `drift`: the mean difference of scores; None: any.
    """

    error_share: float = 0.01
    p95_ratio: float = 1.5
    drift: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The course of a rollout: percentages of the route, ascending to 100, and how each is held.

    A step is held for `hold_s`, and on until the new model has ended `min_requests`, at most for `max_hold_s`.
    """

    steps: tuple[float, ...] = (1.0, 5.0, 25.0, 100.0)
    hold_s: float = 60.0
    max_hold_s: float = 1_200.0
    min_requests: int = 50
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Names:
    """The two models as the route names them."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Drift:
    """Differences between the activated scores of two models: mean and 99th percentile of their absolute values.

    `spearman` is the mean rank correlation of a query's documents.
    """

    queries: int
    pairs: int
    mean: float
    p99: float
    spearman: float

    def __str__(self) -> str:
        return (
            f"scores differ by {self.mean:.4f} in the mean and {self.p99:.4f} at the 99th percentile, Spearman "
            f"{self.spearman:.4f} ({self.queries} queries, {self.pairs} pairs)"
        )
