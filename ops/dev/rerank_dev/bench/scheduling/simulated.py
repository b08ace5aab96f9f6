"""The simulator held against the real fleet: the same arrivals of the same pairs, at half and at four fifths of what
the fleet can do, with the cost that the fleet itself has learned."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import PROCESSES, Arrival, Questions, latency_ms, play, poisson
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import simulate
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Request
from rerank_ops.simulate.report import percentile
from rerank_shared.contract.messages import name_of
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.models.catalogue import load_files
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.settings import Settings
from rerank_worker.tokenizing import PairTokenizer

ROUNDS = 5
SECONDS = 40.0
LOADS = (0.5, 0.8)


def simulated(settings: Settings, questions: Questions, pairs_per_s: float) -> list[Figure]:
    """Return by how much the simulated median and 95th percentile are off, and what both are."""
    tokenizer = PairTokenizer.of(load_files(settings.model))
    figures = []
    with local_fleet(settings, PROCESSES) as fleet:
        for load in LOADS:
            real: dict[float, list[float]] = {0.5: [], 0.95: []}
            guess: dict[float, list[float]] = {0.5: [], 0.95: []}
            for number in range(ROUNDS):
                arrivals = poisson(
                    questions,
                    seed=1_000 + number,
                    seconds=SECONDS,
                    load=load,
                    pairs_per_s=pairs_per_s,
                    mark=f"sim {load} {number}",
                )
                ended, _ = play(fleet.settings, arrivals)
                calls = simulate(
                    FleetSpec.of(settings, PROCESSES, cost_of(fleet)), Policy(), requests_of(arrivals, tokenizer)
                ).calls
                simulated_s = sorted(call.latency_s for call in calls)
                for share in real:
                    real[share].append(latency_ms(ended, share))
                    guess[share].append(1000 * percentile(simulated_s, share))
            for share in real:
                name = f"p{share * 100:.0f} at {load:.0%} load"
                errors = [abs(g / r - 1) for g, r in zip(guess[share], real[share], strict=True)]
                figures += [
                    Figure.of(f"simulated {name}, error", errors, "share", "at most", 0.2),
                    Figure.of(f"simulated {name}", guess[share], "ms"),
                    Figure.of(f"measured {name}", real[share], "ms"),
                ]
    return figures


def cost_of(fleet: LocalFleet) -> CostParameters:
    """Return the cost that the fleet has learned."""
    with connect(fleet.settings) as client:
        keys, model = Keys(fleet.settings.namespace), name_of(fleet.settings.model)
        cost = read_state(client, keys, model).cost
    assert cost is not None
    return cost


def requests_of(arrivals: Sequence[Arrival], tokenizer: PairTokenizer) -> list[Request]:
    """Return the same requests for the simulator."""
    return [
        Request(
            at_s=arrival.at_s,
            tokens=tuple(pair.tokens for pair in tokenizer.encode(arrival.query.text, arrival.query.documents, 512)),
            deadline_s=arrival.deadline_ms / 1000,
        )
        for arrival in arrivals
    ]
