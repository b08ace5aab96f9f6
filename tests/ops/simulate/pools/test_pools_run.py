"""Several simulated models: each has its queue and its processes, and a cascade is one request after another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_ops.simulate.arrivals import poisson
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import simulate
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix, Request, draw
from rerank_ops.simulate.pools.mix import Arrival, Group, Pools, Traffic, draw_traffic, rate_at, work_s
from rerank_ops.simulate.pools.report import summarise_pools
from rerank_ops.simulate.pools.run import PoolsResult, PoolsSimulation
from rerank_ops.simulate.report import summarise
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JobClass
from rerank_shared.routing.route import Stage
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape

#: A pair of 100 tokens takes 10 ms with the small model and 100 ms with the big one; nothing else takes time.
SMALL = FleetSpec(
    1, CostParameters(0.0, 0.0001, 0.0), shape=RunShape(pairs=1), hand_off_s=0.0, reply_margin_s=0.0,
    reply_margin_per_pair_s=0.0,
)  # fmt: skip
BIG = replace(SMALL, cost=CostParameters(0.0, 0.001, 0.0))
SPECS = {"small": SMALL, "big": BIG}
APART = Pools(SPECS, (Group(("small",), 1), Group(("big",), 1)))
TOGETHER = Pools(SPECS, (Group(("small", "big"), 1),))
ONLY_SMALL, ONLY_BIG = Traffic((Stage("small"),)), Traffic((Stage("big"),))


def request(at_s: float, pairs: int, *, deadline_s: float = 100.0, **changes: object) -> Request:
    return replace(Request(at_s, (100,) * pairs, deadline_s), **changes)  # type: ignore[arg-type]


def run(pools: Pools, *arrivals: tuple[Request, Traffic], policy: Policy | None = None) -> PoolsResult:
    return PoolsSimulation(pools, policy or Policy(shard=False), [Arrival(*each) for each in arrivals]).run()


def latencies(result: PoolsResult) -> list[float]:
    return [call.latency_s for _, call in result.calls]


def ends(result: PoolsResult) -> list[str | None]:
    return [call.end for _, call in result.calls]


@pytest.mark.parametrize("bulk", [0.0, 0.2])
def test_one_model_does_as_it_does_without_pools(bulk: float) -> None:
    """The same code decides, so the same requests end at the same moments."""
    cost = CostParameters(0.0005, 140e-6, 100e-9)
    mix = Mix(k=((10, 1.0), (50, 1.0)), bulk_share=bulk, tight_share=0.2, queries=30, deadline_s=3.0)
    requests = draw(mix, poisson(4.0, 40.0, 1), 1)
    spec = FleetSpec(3, cost)
    alone = simulate(spec, Policy(), requests, 5.0)
    traffic = [ONLY_SMALL]
    pools = Pools({"small": spec}, (Group(("small",), 3),))
    found = PoolsSimulation(pools, Policy(), draw_traffic(traffic, mix, poisson(4.0, 40.0, 1), 1), 5.0).run()
    assert latencies(found) == pytest.approx([call.latency_s for call in alone.calls])
    assert ends(found) == [call.end for call in alone.calls]
    assert summarise_pools(found).groups[0].utilisation == pytest.approx(summarise("", alone).utilisation)


def test_a_busy_model_does_not_hold_up_another_with_processes_of_its_own() -> None:
    traffic = [(request(0.0, 50), ONLY_BIG), (request(0.1, 1), ONLY_SMALL)]
    assert latencies(run(APART, *traffic)) == pytest.approx([5.0, 0.01])


def test_in_one_process_the_most_urgent_pair_is_next() -> None:
    """A more urgent request for the small model waits for a pair or two of the big one, and not for its 5 s."""
    urgent = request(0.15, 1, deadline_s=1.0)
    big, small = latencies(run(TOGETHER, (request(0.0, 50), ONLY_BIG), (urgent, ONLY_SMALL)))
    assert 0.05 < small < 0.4
    assert big == pytest.approx(5.01)


def test_bulk_of_one_model_gives_way_to_interactive_requests_of_another() -> None:
    bulk: JobClass = "bulk"
    traffic = [(request(0.0, 50, job_class=bulk), ONLY_BIG), *((request(0.05, 5), ONLY_SMALL) for _ in range(3))]
    _, *small = latencies(run(TOGETHER, *traffic))
    # Between two of them a pair of bulk's runs, or a few while the process may not ask again yet.
    assert max(small) < 1.0


def test_models_of_a_process_share_its_tokens_by_their_weights() -> None:
    """The one with the larger weight is done sooner, though both came at once."""
    weighted = replace(TOGETHER, specs={"small": replace(BIG, weight=4.0), "big": replace(BIG, weight=1.0)})
    last = (request(30.0, 1), ONLY_SMALL)
    heavy, light, _ = latencies(run(weighted, (request(0.0, 20), ONLY_SMALL), (request(0.0, 20), ONLY_BIG), last))
    assert heavy < 3.0 < light
    assert light == pytest.approx(4.0)


def test_processes_that_serve_both_models_share_the_work_of_each() -> None:
    two = replace(TOGETHER, groups=(Group(("small", "big"), 2),))
    result = run(two, *[(request(0.0, 10), ONLY_BIG)] * 2, (request(2.0, 1), ONLY_SMALL))
    assert latencies(result) == pytest.approx([1.0, 1.0, 0.01])
    (load,) = result.loads
    assert load.utilisation == pytest.approx(0.5)


def test_a_cascade_is_one_request_after_another() -> None:
    cascade = Traffic((Stage("small"), Stage("big", 5)))
    result = run(APART, (request(0.0, 50), cascade), (request(9.0, 50), ONLY_SMALL))
    assert latencies(result) == pytest.approx([0.5 + 0.5, 0.5])
    small, big = result.loads
    assert (small.meter.pairs, big.meter.pairs) == (50, 5)


def test_a_stage_that_keeps_all_scores_all() -> None:
    for keep in (None, 50, 80):
        assert latencies(run(APART, (request(0.0, 50), Traffic((Stage("small"), Stage("big", keep)))),
                             (request(9.0, 1), ONLY_SMALL)))[0] == pytest.approx(5.5)  # fmt: skip


def test_what_a_later_stage_can_not_do_leaves_the_order_before() -> None:
    cascade = Traffic((Stage("small"), Stage("big", 20)))
    # The big model has 5 s of more urgent work, and the deadline is in 2 s: the stage is refused when it is asked.
    result = run(APART, (request(0.0, 50, deadline_s=2.0), ONLY_BIG), (request(0.1, 50, deadline_s=2.0), cascade),
                 (request(9.0, 1), ONLY_SMALL))  # fmt: skip
    assert ends(result)[1] == "partial"
    assert latencies(result)[1] == pytest.approx(0.5)


def test_auto_keeps_what_there_is_time_for() -> None:
    cascade = Traffic((Stage("small"), Stage("big", "auto")))
    result = run(APART, (request(0.0, 50, deadline_s=1.55), cascade), (request(9.0, 1), ONLY_SMALL))
    assert ends(result)[0] == "met"
    assert result.loads[1].meter.pairs == 10
    # What is cached takes no time.
    cached = request(10.0, 50, deadline_s=0.02, query=1)
    result = run(
        APART, (request(0.0, 50, query=1), ONLY_BIG), (request(6.0, 50, query=1), ONLY_SMALL), (cached, cascade)
    )
    assert ends(result)[2] == "met"
    # Nothing fits: the order before is the answer, at once.
    result = run(APART, (request(0.0, 50, deadline_s=0.55), cascade), (request(9.0, 1), ONLY_SMALL))
    assert ends(result)[0] == "partial"
    assert latencies(result)[0] == pytest.approx(0.5)


def test_a_first_stage_that_is_late_ends_the_request() -> None:
    cascade = Traffic((Stage("big"), Stage("small", 5)))
    result = run(APART, (request(0.0, 50, deadline_s=2.0), cascade), (request(9.0, 1), ONLY_SMALL))
    assert ends(result)[0] == "late"
    assert latencies(result)[0] == pytest.approx(2.0)
    assert result.loads[0].meter.pairs == 0


def test_the_cache_is_each_models_own_and_holds_what_was_scored() -> None:
    cascade = Traffic((Stage("small"), Stage("big", 5)))
    kinds = (cascade, cascade, ONLY_SMALL, ONLY_BIG, ONLY_BIG, ONLY_SMALL)
    found = latencies(run(APART, *((request(10.0 * number, 50, query=1), each) for number, each in enumerate(kinds))))
    # The cascade left 5 of the big model's 50 scores, so those 50 are scored.
    assert found == pytest.approx([1.0, 0.0, 0.0, 5.0, 0.0, 0.0])


def test_traffic_comes_by_its_shares_and_equal_queries_ask_alike() -> None:
    traffic = [Traffic((Stage("small"),), 3.0), Traffic((Stage("small"), Stage("big", 5)), 1.0)]
    drawn = draw_traffic(traffic, Mix(), poisson(100.0, 20.0, 1), 1)
    share = sum(each.traffic is traffic[1] for each in drawn) / len(drawn)
    assert share == pytest.approx(0.25, abs=0.03)
    again = draw_traffic(traffic, Mix(queries=10), poisson(100.0, 20.0, 1), 1)
    kinds: dict[int | None, set[str]] = {}
    for each in again:
        kinds.setdefault(each.request.query, set()).add(each.traffic.name)
    assert {len(names) for names in kinds.values()} == {1}
    assert len({name for names in kinds.values() for name in names}) == 2


def test_rate_is_that_of_the_busiest_processes() -> None:
    mix = Mix(k=((50, 1.0),), mean_tokens=100.0, spread=0.0)
    traffic = [Traffic((Stage("small"),), 3.0), Traffic((Stage("small"), Stage("big", 5)), 1.0)]
    assert work_s(traffic, mix, APART) == pytest.approx({"small": 0.5, "big": 0.125})
    assert work_s(traffic, mix, TOGETHER) == pytest.approx({"small+big": 0.625})
    assert rate_at(0.8, traffic, mix, APART) == pytest.approx(1.6)
    # Groups that serve the same model share its work.
    both = replace(APART, groups=(Group(("small",), 1), Group(("small", "big"), 3)))
    assert work_s(traffic, mix, both) == pytest.approx({"small": 0.125, "small+big": 0.5})


def test_rows_are_by_kind_and_class() -> None:
    mix = Mix(bulk_share=0.3, bulk_deadline_s=30.0, k=((5, 1.0),))
    traffic = [ONLY_SMALL, ONLY_BIG]
    report = summarise_pools(
        PoolsSimulation(APART, Policy(), draw_traffic(traffic, mix, poisson(1.0, 60.0, 1), 1)).run()
    )
    assert [(row.traffic, row.job_class) for row in report.rows] == [
        ("all", None), ("big", None), ("big", "interactive"), ("big", "bulk"),
        ("small", None), ("small", "interactive"), ("small", "bulk"),
    ]  # fmt: skip
    plain = report.as_plain()
    assert plain["traffic"][0]["requests"] == report.requests
    assert [each["pool"] for each in plain["pools"]] == ["small", "big"]


def test_nothing_to_simulate_is_told() -> None:
    with pytest.raises(InvalidRequest, match="no request comes after the warm-up"):
        run(APART)
