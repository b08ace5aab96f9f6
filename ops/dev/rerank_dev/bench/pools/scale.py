"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """`rounds` of two variants in turn, each for `seconds`. `steady_s` is the load before an upgrade. `processes`: of
    fleets that are measured as a whole.

    `sequences`: requests of a round that measures one at a time; `saturated`: those of a round that measures
    throughput. `queries`: of each collection. `hold_s`: of a canary's step.
    """

    processes: int = 2
    rounds: int = 4
    seconds: float = 10.0
    release_rounds: int = 9
    sequences: int = 150
    saturated: int = 40
    queries: int = 24
    upgrades: int = 4
    steady_s: float = 20.0
    hold_s: float = 10.0


#: Tells that a part works, and nothing else.
QUICK = Scale(
    processes=1,
    rounds=1,
    seconds=2.0,
    release_rounds=2,
    sequences=5,
    saturated=6,
    queries=4,
    upgrades=1,
    steady_s=3.0,
    hold_s=3.0,
)
