"""What each policy is for, on a simulated fleet: deadlines, shards, bulk's floor, fair tenants, refusals, intake."""

from __future__ import annotations

from statistics import mean

import pytest

from rerank_ops.simulate.arrivals import poisson
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import Result, Simulation, simulate
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix, Request, draw
from rerank_ops.simulate.report import Latencies, summarise
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JobClass
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape

COST = CostParameters(0.0005, 140e-6, 100e-9)
ALONE = Policy(shard=False, refuse=False)
Line = tuple[JobClass, str]


def on_mix(words: str, load: float, tight_deadline_s: float) -> Result:
    mix = Mix(k=((10, 3.0), (40, 1.0)), tight_share=0.3, tight_deadline_s=tight_deadline_s, deadline_s=5.0)
    rate = load * 4 / 0.27
    return simulate(FleetSpec(4, COST), Policy().varied(words), draw(mix, poisson(rate, 1_000 / rate, 1), 1), 5.0)


def overall(words: str, requests: list[Request]) -> Latencies:
    return summarise(words, simulate(FleetSpec(5, COST), Policy().varied(words), requests, 5.0)).overall


def met(result: Result) -> float:
    return summarise("", result).overall.shares["met"]


@pytest.mark.parametrize("tight_deadline_s", [0.5, 1.2])
def test_most_urgent_first_keeps_as_many_deadlines_as_first_come_first_served(tight_deadline_s: float) -> None:
    fifo, edf = (met(on_mix(order, 0.7, tight_deadline_s)) for order in ("fifo", "edf"))
    assert edf >= fifo
    assert edf > 0.9


def test_under_pressure_it_keeps_more() -> None:
    assert met(on_mix("edf", 0.9, 1.2)) > met(on_mix("fifo", 0.9, 1.2)) + 0.005


def test_by_deadline_keeps_more_than_by_slack() -> None:
    """Slack runs the longest first of those that are due alike, and all others wait for it."""
    mix = Mix(k=((10, 5.0), (100, 1.0)), deadline_s=3.0)
    requests = draw(mix, poisson(9.0, 60.0, 1), 1)
    edf, slack = (overall(words, requests) for words in ("edf", "slack"))
    assert edf.shares["met"] > slack.shares["met"] + 0.01
    assert edf.p50_ms < slack.p50_ms


def test_a_gate_keeps_work_for_the_idle() -> None:
    mix = Mix(k=((10, 5.0), (100, 1.0)), deadline_s=3.0)
    requests = draw(mix, poisson(10.0, 60.0, 1), 1)
    few, hoard = (overall(words, requests) for words in ("edf", "edf+no-gate"))
    assert few.p95_ms < hoard.p95_ms
    assert few.shares["met"] > hoard.shares["met"]


def test_two_idle_processes_halve_the_latency_of_a_request() -> None:
    request = Request(0.001, (100,) * 100)
    together, alone = (
        simulate(FleetSpec(2, COST), policy, [request]).calls[0] for policy in (Policy(), Policy(shard=False))
    )
    assert (together.parts, alone.parts) == (2, 1)
    assert together.latency_s / alone.latency_s == pytest.approx(0.5, abs=0.01)


def test_only_idle_processes_get_a_part() -> None:
    # Three processes, two of them busy with a request each when the third request comes.
    requests = [Request(0.001 * (1 + number), (100,) * 40) for number in range(3)]
    spec = FleetSpec(3, COST)
    calls = simulate(spec, Policy(), requests).calls
    assert [call.parts for call in calls] == [3, 1, 1]


def taken_until(at_s: float, words: str, requests: list[Request], bulk_share: float = 0.05) -> dict[Line, int]:
    """Tokens that one process has taken of each class and tenant after a while."""
    spec = FleetSpec(1, COST, bulk_share=bulk_share, aging_s=1e6)
    simulation = Simulation(spec, ALONE.varied(words), requests)
    taken: dict[Line, int] = {}

    def look(_: None) -> None:
        taken.update(simulation.fleet.queue.taken_tokens)

    simulation.loop.at(at_s, look, None)
    simulation.run()
    return taken


def taken_while_both_wait(words: str, bulk_share: float) -> dict[Line, int]:
    classes: tuple[JobClass, ...] = ("interactive", "bulk")
    requests = [Request(0.001 + 1e-6 * n, (100,) * 5, 1e5, classes[n % 2]) for n in range(200)]
    return taken_until(6.0, words, requests, bulk_share)


def test_bulk_gets_its_floor_while_interactive_work_waits() -> None:
    taken = taken_while_both_wait("edf", 0.25)
    assert taken["bulk", ""] / sum(taken.values()) == pytest.approx(0.25, abs=0.03)


def test_without_a_floor_bulk_waits_for_all_others() -> None:
    # One job came while there was no other.
    assert taken_while_both_wait("no-floor", 0.25)["bulk", ""] <= 500


def test_tenants_share_by_tokens_whatever_their_requests_are_like() -> None:
    small = [Request(0.001 + 1e-6 * n, (100,) * 5, 1e5, tenant="small") for n in range(200)]
    large = [Request(0.001 + 1e-6 * (n + 0.5), (100,) * 20, 1e5, tenant="large") for n in range(50)]
    requests = sorted(small + large, key=lambda request: request.at_s)
    by_tokens, by_none = (taken_until(4.0, words, requests) for words in ("edf", "fifo"))
    assert by_tokens["interactive", "small"] == pytest.approx(by_tokens["interactive", "large"], abs=2_000)
    # Told apart by nobody, all are one tenant.
    assert set(by_none) == {("interactive", "")}


def overloaded(words: str) -> Result:
    mix = Mix(k=((30, 1.0),), deadline_s=1.5, partial=False, noise=0.05)
    return simulate(FleetSpec(2, COST), Policy().varied(words), draw(mix, poisson(8.0, 60.0, 1), 1), 5.0)


def test_what_is_refused_at_the_door_leaves_time_to_those_inside() -> None:
    refusing, waiting = (summarise(words, overloaded(words)) for words in ("fifo", "fifo+no-refuse"))
    assert refusing.overall.shares["refused"] > 0.2
    assert waiting.overall.shares["refused"] == 0
    assert refusing.overall.shares["met"] > 2 * waiting.overall.shares["met"]


def test_a_query_that_was_answered_is_cached_for_those_who_ask_again() -> None:
    requests = [Request(at_s, (100,) * 10, query=7) for at_s in (0.01, 0.02, 5.0)]
    calls = simulate(FleetSpec(1, COST), Policy(), requests).calls
    assert [call.cached for call in calls] == [False, False, True]
    assert calls[2].latency_s < 0.01


def test_popular_queries_are_cached_more() -> None:
    def cached(zipf: float) -> float:
        mix = Mix(k=((5, 1.0),), queries=1_000, zipf=zipf)
        requests = draw(mix, poisson(5.0, 100.0, 1), 1)
        return mean(call.cached for call in simulate(FleetSpec(2, COST), Policy(), requests).calls)

    assert cached(0.0) < cached(1.0) < cached(2.0)


@pytest.mark.parametrize("layout", ["unpadded", "padded", "varlen", "packed"])
def test_every_layout_runs(layout: str) -> None:
    spec = FleetSpec(2, COST, shape=RunShape(layout), max_wait_s=0.002)  # type: ignore[arg-type]
    requests = draw(Mix(k=((20, 1.0),)), poisson(2.0, 30.0, 1), 1)
    assert {call.end for call in simulate(spec, Policy(), requests).calls} == {"met"}


def test_a_policy_is_spelled_in_words() -> None:
    assert Policy().varied("fifo+no-shard+no-floor") == Policy("fifo", shard=False, floor=False)
    assert Policy(shard=False).varied("shard") == Policy()
    with pytest.raises(InvalidRequest, match="'no-edf' is none of edf, slack, fifo, shard, refuse, gate, floor"):
        Policy().varied("no-edf")


def test_a_full_process_still_asks_for_what_is_more_urgent() -> None:
    requests = [Request(0.001, (100,) * 100, 30.0), Request(0.1, (100,) * 5, 0.85)]
    urgent_last, urgent_first = (
        simulate(FleetSpec(1, COST), ALONE.varied(order), requests).calls[1] for order in ("fifo", "edf")
    )
    assert urgent_last.end == "late"
    assert urgent_first.end == "met"
