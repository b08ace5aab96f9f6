"""How much a fleet can do: what a request takes of one process on average, and the rate that is a share of capacity."""

from __future__ import annotations

from itertools import repeat

from rerank_ops.simulate.spec import FleetSpec
from rerank_ops.simulate.workload import Mix, draw
from rerank_shared.scheduling.cost import CostParameters, Work

#: Requests that are drawn to tell their mean; their seed is fixed, so that a rate does not depend on the run's.
_SAMPLE, _SEED = 1_000, 0


def request_s(mix: Mix, cost: CostParameters) -> float:
    """Return the mean seconds that one process runs for a request of which nothing is cached."""
    times = (cost.predict_s(Work.of(request.tokens)) for request in draw(mix, repeat(0.0, _SAMPLE), _SEED))
    return sum(times) / _SAMPLE


def rate_at(load: float, mix: Mix, spec: FleetSpec) -> float:
    """Return the requests a second that keep `load` of the processes busy, cache and refusals left out."""
    return load * spec.processes / request_s(mix, spec.cost)
