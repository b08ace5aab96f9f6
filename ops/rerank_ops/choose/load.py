"""Load: times of a fleet of another size, or under a rate of requests, from what was timed on this one. Pure.

The planner simulates the fleet's own decision code. Its requests are the set's own queries with the tokens of their
pairs. Each is slower or faster than the cost model predicts, as a timed one was, so that an idle fleet of the size
that was timed comes out as it was measured.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rerank_ops.choose.latency import Cell, Latency, Times
from rerank_ops.simulate.arrivals import poisson
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Request
from rerank_ops.simulate.planning import Planner, Target, alone_s
from rerank_shared.scheduling.cost import Work

#: Time of a request besides waiting and running, in the client, the queue and the tokenizer, as `plan` has it.
HAND_OFF_S = 0.005
#: Requests of each simulation.
REQUESTS = 1_000
#: No fleet of more processes is looked for while idle.
_MOST = 256
#: Tokens of a query's pairs, by the query's id.
Tokens = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet that is asked about: processes, requests a second (None: one at a time), and the settings in force.

    `requests` is how many each simulation has.
    """

    processes: int
    rate: float | None
    spec: FleetSpec
    deadline_s: float
    seed: int = 0
    requests: int = REQUESTS


@dataclass(frozen=True, slots=True)
class Cut:
    """Requests of one length and k: what was timed of the model, and the tokens of each query's pairs.

    `work_ms` is the mean time of one process for such a request.
    """

    times: Times
    max_length: int
    k: int
    tokens: Tokens

    @property
    def work_ms(self) -> float:
        """Mean milliseconds of one process for a request, as processes have learned it; more for more tokens."""
        works = [Work.of(lengths[: self.k]) for lengths in self.tokens.values()]
        return 1000 * sum(map(self.times.cost.predict_s, works)) / max(1, len(works))

    def latency(self, fleet: Fleet) -> Latency:
        """Return the latency on a fleet."""
        if fleet.rate is not None:
            return self._under_load(fleet)
        if fleet.processes == self.times.processes:
            return self.times.latency(self.max_length, self.k)
        times_ms = self._alone_ms(fleet.processes)
        p50, p95, p99 = (float(each) for each in np.percentile(times_ms, (50, 95, 99)))
        return Latency(p50, p95, p99, "planned")

    def processes_for(self, p95_ms: float, fleet: Fleet) -> int | None:
        """Return the least number of processes that keeps a latency, under the fleet's rate; None: no number does."""
        if fleet.rate is not None:
            return self._planner(p95_ms, fleet.rate, fleet).least()
        numbers = range(1, min(self.k, _MOST) + 1)
        return next((n for n in numbers if np.percentile(self._alone_ms(n), 95) <= p95_ms), None)

    def _alone_ms(self, processes: int) -> list[float]:
        cell = self.times.nearest(self.max_length, self.k)
        run_s = [alone_s(self.tokens[query][: self.k], self.times.cost, processes) for query in self.times.cells[cell]]
        slowness = self._slowness(cell)
        return [1000 * (HAND_OFF_S + slow * alone) for slow, alone in zip(slowness, run_s, strict=True)]

    def _under_load(self, fleet: Fleet) -> Latency:
        assert fleet.rate is not None
        beyond = 1.0 - fleet.processes / (fleet.rate * self._busy_s)
        if beyond >= 0:
            # The backlog grows for ever, so that in the end all wait for their deadline; no simulation is that long.
            late_ms = 1000 * fleet.deadline_s
            return Latency(late_ms, late_ms, late_ms, "planned", beyond or 1.0)
        row = self._planner(1.0, fleet.rate, fleet).report(fleet.processes).overall
        return Latency(row.p50_ms, row.p95_ms, row.p99_ms, "planned", row.shares["refused"] + row.shares["late"])

    @property
    def _busy_s(self) -> float:
        """Mean seconds of one process for a request, as slow as the timed ones."""
        return self.work_ms / 1000 * float(np.mean(self._slowness(self.times.nearest(self.max_length, self.k))))

    def _planner(self, p95_ms: float, rate: float, fleet: Fleet) -> Planner:
        draws = random.Random(f"{fleet.seed}:requests")
        queries = [tuple(lengths[: self.k]) for lengths in self.tokens.values() if lengths]
        slowness = self._slowness(self.times.nearest(self.max_length, self.k))
        requests = [
            Request(at_s, draws.choice(queries), fleet.deadline_s, slowness=draws.choice(slowness))
            for at_s in poisson(rate, fleet.requests / rate, fleet.seed)
        ]
        spec = replace(fleet.spec, cost=self.times.cost, hand_off_s=HAND_OFF_S)
        return Planner(Target(p95_ms / 1000, rate), spec, Policy(), requests, work_s=self._busy_s)

    def _slowness(self, cell: Cell) -> list[float]:
        """Return what each timed request took, as a multiple of what the cost model predicts."""
        times, cost = self.times, self.times.cost
        found = []
        for query, took_ms in times.cells[cell].items():
            predicted_s = alone_s(self.tokens[query][: cell[1]], cost, times.processes)
            found.append(max(took_ms / 1000 - HAND_OFF_S, 0.0) / predicted_s)
        return found
