"""The simulated fleet against what queueing theory knows of it."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_ops.simulate.arrivals import bursts, poisson
from rerank_ops.simulate.model.call import ENDS
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import Simulation, simulate
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix, Request, draw
from rerank_ops.simulate.report import summarise
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape

COST = CostParameters(0.0005, 140e-6, 100e-9)
PLAIN = Policy(order="fifo", shard=False, refuse=False, gate=False)
POLICIES = ["edf", "fifo", "edf+no-shard", "edf+no-refuse", "edf+no-gate", "edf+no-floor", "fifo+no-gate+no-refuse"]


def exact(processes: int, service_s: float) -> FleetSpec:
    """A fleet without any time beside waiting and running, where a pair of 100 tokens takes `service_s`."""
    return FleetSpec(
        processes,
        CostParameters(0.0, service_s / 100, 0.0),
        shape=RunShape(pairs=1),
        hand_off_s=0.0,
        reply_margin_s=0.0,
        reply_margin_per_pair_s=0.0,
    )


def one_pair(rate: float, seconds: float, seed: int = 1) -> list[Request]:
    return [Request(at_s, (100,), deadline_s=1e6) for at_s in poisson(rate, seconds, seed)]


def mixed(load: float, processes: int, count: int, seed: int = 1, **changes: object) -> tuple[FleetSpec, list[Request]]:
    """A fleet and a load on it of all classes, tenants and deadlines."""
    spec = FleetSpec(processes, COST)
    mix = Mix(
        k=((10, 3.0), (40, 1.0)),
        tight_share=0.3,
        tight_deadline_s=0.5,
        deadline_s=5.0,
        bulk_share=0.1,
        bulk_deadline_s=60.0,
        tenants=(("a", 3.0), ("b", 1.0)),
    )
    mix = replace(mix, **changes)  # type: ignore[arg-type]
    rate = load * processes / 0.27
    return spec, draw(mix, poisson(rate, count / rate, seed), seed)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_process_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    # Longer than BRIEF_S: shorter pairs would share a run, of which the theory knows nothing.
    service_s = 0.05
    expected_s = load * service_s / (2 * (1 - load))
    waits = []
    for seed in range(5):
        requests = one_pair(load / service_s, 300.0, seed)
        calls = simulate(exact(1, service_s), PLAIN, requests, 15.0).calls
        waits.append(mean(call.latency_s for call in calls) - service_s)
    error_s = (max(waits) - min(waits)) / 2
    assert mean(waits) == pytest.approx(expected_s, abs=error_s)
    assert mean(waits) == pytest.approx(expected_s, rel=0.1)


def test_more_processes_are_never_worse() -> None:
    requests = one_pair(95.0, 60.0)
    means = [mean(c.latency_s for c in simulate(exact(n, 0.01), PLAIN, requests).calls) for n in (1, 2, 3, 8)]
    assert means == sorted(means, reverse=True)
    assert means[-1] == pytest.approx(0.01, rel=0.01)


def test_utilisation_is_work_over_capacity() -> None:
    requests = one_pair(120.0, 60.0)
    result = simulate(exact(2, 0.01), PLAIN, requests)
    assert result.utilisation == pytest.approx(0.01 * len(requests) / 2 / requests[-1].at_s, rel=0.01)
    assert result.meter.tokens == 100 * result.meter.pairs


def test_littles_law_holds() -> None:
    spec, requests = mixed(0.8, 4, 1_500)
    simulation = Simulation(spec, Policy(), requests)
    inside: list[int] = []
    step_s, last_s = 0.05, requests[-1].at_s
    for number in range(int(last_s / step_s)):
        simulation.loop.at(number * step_s, lambda _: inside.append(simulation.client.open_calls), None)
    result = simulation.run()
    stay_s = sum(min(call.request.at_s + call.latency_s, last_s) - call.request.at_s for call in result.calls)
    assert mean(inside) == pytest.approx(stay_s / last_s, rel=0.03)


@given(
    words=st.sampled_from(POLICIES),
    seed=st.integers(0, 1_000),
    load=st.sampled_from([0.5, 1.0, 3.0]),
    partial=st.booleans(),
    queries=st.sampled_from([0, 5]),
)
@settings(max_examples=25)
def test_every_request_ends_once_whatever_the_policy(
    words: str, seed: int, load: float, partial: bool, queries: int
) -> None:
    spec, requests = mixed(load, 2, 60, seed, partial=partial, queries=queries)
    simulation = Simulation(spec, Policy().varied(words), requests)
    result = simulation.run()
    calls = result.calls
    assert [call.request for call in calls] == requests
    assert simulation.client.open_calls == 0
    assert simulation.fleet.queue.waiting == 0
    for call in calls:
        pairs = len(call.request.tokens)
        assert call.end in ENDS
        assert 0 <= call.scored <= pairs
        assert (call.end == "met") == (call.cached or call.scored == pairs)
        assert (call.end == "partial") <= (partial and 0 < call.scored < pairs)
        assert call.latency_s <= call.request.deadline_s + 1e-9
        assert call.end != "refused" or "no-refuse" not in words
    report = summarise(words, result)
    assert all(sum(row.shares.values()) == pytest.approx(1.0) for row in report.latencies)


def test_the_same_seed_gives_the_same_result() -> None:
    def reported(seed: int) -> dict[str, object]:
        spec, requests = mixed(0.9, 4, 300, seed)
        return summarise("edf", simulate(spec, Policy(), requests, 1.0)).as_plain()

    assert reported(1) == reported(1)
    assert reported(1) != reported(2)


def test_ten_thousand_processes_cost_an_event_no_more_than_ten() -> None:
    spec, requests = mixed(0.5, 10, 200)
    few, many = (simulate(replace(spec, processes=n), PLAIN, requests) for n in (10, 10_000))
    assert many.events == pytest.approx(few.events, rel=0.05)
    assert {call.end for call in many.calls if call.request.deadline_s > 1} == {"met"}


def test_bursts_have_the_rate_and_more_variance() -> None:
    def counts(times: list[float]) -> list[int]:
        found = [0] * 500
        for at_s in times:
            found[int(at_s)] += 1
        return found

    even, dense = counts(list(poisson(20.0, 500.0, 1))), counts(list(bursts(20.0, 500.0, 1)))
    for found in (even, dense):
        assert mean(found) == pytest.approx(20.0, rel=0.1)
    spread = [mean((count - mean(found)) ** 2 for count in found) / mean(found) for found in (even, dense)]
    assert spread[0] == pytest.approx(1.0, abs=0.2)
    assert spread[1] > 3


@pytest.mark.parametrize(("pair_s", "deadline_s", "scored"), [(0.006, 0.030, 0), (0.006, 0.037, 6), (0.025, 0.060, 2)])
def test_what_ends_soon_is_one_run_as_in_a_worker(pair_s: float, deadline_s: float, scored: int) -> None:
    """Six pairs in runs of two: within 40 ms they share one run and end together, else a run's pairs end with it."""
    # Without a margin the caller would leave at the moment of its answer.
    spec = replace(exact(1, pair_s), shape=RunShape(pairs=2), reply_margin_s=0.001)
    (call,) = simulate(spec, PLAIN, [Request(1.0, (100,) * 6, deadline_s)]).calls
    assert call.scored == scored
