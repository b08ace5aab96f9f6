"""`up --min 1 --max 2` under a burst: the time until latency is back, against the simulator's for the same arrivals."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from rerank_dev.bench.ops.processes import wait_for_processes
from rerank_dev.bench.ops.scale import Scale
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Arrival, Questions, play
from rerank_dev.bench.scheduling.simulated import cost_of, requests_of
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_ops.simulate.model.autoscaler import Autoscaling
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import simulate
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_shared.models.catalogue import load_files
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_shared.settings import Settings
from rerank_shared.watch.autoscale import bounds_of
from rerank_worker.supervisor.scaler import Scaler
from rerank_worker.tokenizing import PairTokenizer

_K, _BASE_LOAD, _DEADLINE_MS = 20, 0.3, 120_000.0
_LEAD_S = 3.0
#: Latency is back when the last request that took longer is answered.
_TARGET_S = 2.0


def recovery(settings: Settings, questions: Questions, scale: Scale) -> list[Figure]:
    """Return the seconds from the burst until latency was back, measured and simulated."""
    tokenizer = PairTokenizer.of(load_files(settings.model))
    bounds = settings.model_copy(update={"min_processes": 1, "max_processes": 2})
    measured, simulated, starts = [], [], []
    with local_fleet(bounds, 1, most=2) as fleet:
        play(
            fleet.settings, [Arrival(0.0, questions.pick(random.Random(n), _K, f"teach {n}"), 6e4, 0) for n in range(8)]
        )
        for number in range(scale.recoveries):
            starts.append(_start_s(fleet))
            cost = cost_of(fleet)
            arrivals = _arrivals(questions, tokenizer, cost, scale, number)
            with Scaler(fleet.settings, fleet.supervisor).following():
                ended, _ = play(fleet.settings, arrivals)
            measured.append(_back_s([(each.arrival.at_s, each.latency_s) for each in ended]))
            scaling = Autoscaling(bounds_of(fleet.settings), starts[-1])
            spec, requests = FleetSpec.of(fleet.settings, 1, cost), requests_of(arrivals, tokenizer)
            calls = simulate(spec, Policy(), requests, autoscaling=scaling).calls
            simulated.append(_back_s([(call.request.at_s, call.latency_s) for call in calls]))
    errors = [abs(told / took - 1) for told, took in zip(simulated, measured, strict=True)]
    return [
        Figure.of(
            "a burst, 1 to 2 processes: until latency is back, error of the simulator", errors, "share", "at most", 0.3
        ),
        Figure.of("a burst, 1 to 2 processes: until latency is back", measured, "s"),
        Figure.of("a burst, 1 to 2 processes: until latency is back, simulated", simulated, "s"),
        Figure.of("a process more on one host: until its heartbeat", starts, "s"),
    ]


def _arrivals(
    questions: Questions, tokenizer: PairTokenizer, cost: CostParameters, scale: Scale, number: int
) -> list[Arrival]:
    """Return a calm stream of requests with a burst at once in it."""
    chance = random.Random(number)
    sample = [questions.pick(chance, _K) for _ in range(20)]
    request_s = sum(
        cost.predict_s(Work.of(p.tokens for p in tokenizer.encode(q.text, q.documents, 512))) for q in sample
    )
    request_s /= len(sample)
    times, at_s = [_LEAD_S] * round(scale.burst_s / request_s), 0.0
    while (at_s := at_s + chance.expovariate(_BASE_LOAD / request_s)) < scale.watched_s:
        times.append(at_s)
    return [
        Arrival(at, questions.pick(chance, _K, f"recovery {number} {n}"), _DEADLINE_MS, 0)
        for n, at in enumerate(sorted(times))
    ]


def _back_s(taken: Sequence[tuple[float, float]]) -> float:
    """Return the seconds from the burst until latency was back."""
    return max((at_s + took_s - _LEAD_S for at_s, took_s in taken if took_s > _TARGET_S), default=0.0)


def _start_s(fleet: LocalFleet) -> float:
    """Return the seconds that a second process takes to be ready; leaves the fleet with one."""
    # The burst before has left two.
    fleet.supervisor.resize(1, {})
    wait_for_processes(fleet.settings, 1)
    begun = time.monotonic()
    fleet.supervisor.resize(2, {})
    wait_for_processes(fleet.settings, 2)
    took_s = time.monotonic() - begun
    fleet.supervisor.resize(1, {})
    wait_for_processes(fleet.settings, 1)
    return took_s
