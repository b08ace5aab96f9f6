"""What is sent for a request: one job or several, complete for a worker, refused when it would come too late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.request.test_prepare import KNOWN, SETTINGS, plan_of
from rerank_producer._dispatch.fleet_load import FleetLoad
from rerank_producer._dispatch.shards import Shard, make_shards
from rerank_producer._request.plan import RequestPlan
from rerank_shared.contract import wire
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.messages import Score
from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import Overloaded
from rerank_shared.queue.backlog import DueJobs, backlog_member
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_shared.settings import Settings, load_settings

NOW = 1_000.0
#: A millisecond a token.
COST = CostParameters(0.0, 0.001, 0.0, p99_ratio=1.5)
NOBODY = FleetLoad()


def sent(plan: RequestPlan, settings: Settings = SETTINGS, now: float = NOW, **options: Any) -> list[Shard]:
    load = options.pop("load", NOBODY)
    return make_shards(plan, settings, now, load, **({"partial": True} | options))


def one(plan: RequestPlan, settings: Settings = SETTINGS, now: float = NOW) -> Shard:
    (shard,) = sent(plan, settings, now)
    return shard


def busy(*work: DueJobs, workers: int = 2) -> FleetLoad:
    return FleetLoad(workers, max(len(work), workers), COST, work)


def entry(tokens: int, due_at: float, job_class: Any = "interactive") -> DueJobs:
    return DueJobs(job_class, Work(tokens=tokens), due_at, due_at)


class TestOneJob:
    def test_says_all_that_a_worker_needs(self) -> None:
        plan = plan_of(["a", "b"], job_class="bulk", max_length=64, tenant="acme")
        (shard,) = sent(plan, now=1_001.0, partial=False)
        job = wire.decode_job(wire.encode_job(shard.job))
        assert (job.job_class, job.model, job.query, job.max_length) == ("bulk", "a model", "a query", 64)
        assert (job.enqueued_at, job.deadline_at, job.attempt) == (1_001.0, 2_000.0, 1)
        assert (job.tenant, job.partial, job.pairs) == ("acme", False, 2)
        lengths = estimate_lengths("a query", ["a", "b"], 64)
        assert (job.tokens, job.tokens_longest) == (sum(lengths), sum(length**2 for length in lengths))

    def test_is_urgent_by_its_deadline_and_by_its_age(self) -> None:
        settings = load_settings(aging_s=10.0)
        assert one(plan_of(["a"], deadline_at=NOW + 3), settings).job.due_at == NOW + 3
        assert one(plan_of(["a"], deadline_at=NOW + 300), settings).job.due_at == NOW + 10

    def test_next_attempt_is_the_same_job(self) -> None:
        first = one(plan_of(["a"]))
        second = first.next_attempt(first.job.pool)
        assert (second.job.attempt, second.job.job_id, second.text) == (2, first.job.job_id, first.text)
        assert backlog_member(second.job) == backlog_member(first.job)

    @pytest.mark.parametrize(("text", "apart"), [("x" * 100, False), ("x" * 101, True), ("ä" * 51, True)])
    def test_text_over_the_limit_travels_apart(self, text: str, apart: bool) -> None:
        shard = one(plan_of([text]), load_settings(inline_bytes=100))
        assert (shard.job.documents is None) == apart
        assert shard.text == (wire.encode_texts([text]) if apart else None)

    @pytest.mark.parametrize(("count", "apart"), [(25, False), (26, True)])
    def test_token_ids_travel_as_text_does(self, count: int, apart: bool) -> None:
        ids, made_by = TokenIds.of([300] * count), "d" * 64
        plan = plan_of([{"token_ids": [300] * count, "id": "x"}], tokenizer_digest=made_by)
        shard = one(plan, load_settings(inline_bytes=100))
        assert shard.job.tokenizer_digest == made_by
        assert shard.job.documents == (None if apart else (ids,))
        assert shard.text == (wire.encode_texts([ids]) if apart else None)
        assert wire.decode_job(wire.encode_job(shard.job)) == shard.job

    def test_text_outlives_deadline_redelivery_and_result(self) -> None:
        settings = load_settings(redelivery_s=15.5, result_ttl_s=600)
        assert one(plan_of(["a"], deadline_at=1_030.0), settings).ttl_s == 646
        assert one(plan_of(["a"], deadline_at=900.0), settings).ttl_s == 616

    def test_is_late_after_its_p99_if_anybody_knows_it(self) -> None:
        plan = plan_of(["x" * 400])
        assert one(plan).late_after_s is None
        (idle,) = sent(plan, load=FleetLoad(1, 0, COST))
        assert idle.late_after_s == pytest.approx(0.1 + 1.5 * idle.job.tokens / 1000)
        (waits,) = sent(plan, load=busy(entry(4_000, NOW)))
        assert waits.late_after_s == pytest.approx((idle.late_after_s or 0) + 1.5 * 2.0)


class TestShards:
    @given(KNOWN, st.integers(0, 8), st.integers(0, 8))
    def test_each_miss_lies_in_one_job(self, scores: list[Score | None], workers: int, unanswered: int) -> None:
        texts = [f"text {'x' * 300} {number}" for number in range(len(scores))]
        plan = plan_of(texts, scores)
        shards = sent(plan, load=FleetLoad(workers, unanswered, COST))
        misses = [texts[index] for index in plan.stored.misses]
        found = {place: text for p in shards for place, text in zip(p.offsets, p.job.documents or (), strict=True)}
        assert found == dict(enumerate(misses))
        assert sum(len(shard.offsets) for shard in shards) == len(misses)
        assert len(shards) <= max(1, workers - unanswered)
        assert len({shard.job.job_id for shard in shards}) == len(shards)

    def test_share_the_work_and_keep_first_stage_order(self) -> None:
        texts = ["x" * (100 + 37 * (number % 11)) for number in range(60)]
        shards = sent(plan_of(texts), load=FleetLoad(3, 0, COST))
        assert len(shards) == 3
        tokens = [shard.job.tokens for shard in shards]
        assert max(tokens) - min(tokens) <= 200
        for shard in shards:
            assert list(shard.offsets) == sorted(shard.offsets)
            assert shard.offsets[0] < 3

    @pytest.mark.parametrize(
        "load",
        [FleetLoad(4, 4, COST), FleetLoad(1, 0, COST), FleetLoad(4, 0, None), FleetLoad(0, 0, COST)],
        ids=["busy", "single", "unknown", "nobody"],
    )
    def test_are_not_made_without_need(self, load: FleetLoad) -> None:
        assert len(sent(plan_of(["x" * 400] * 40), load=load)) == 1

    def test_an_interactive_request_is_spread_over_processes_that_only_bulk_keeps_busy(self) -> None:
        texts, load = ["x" * 400] * 40, FleetLoad(4, 5, COST, bulk=4)
        assert len(sent(plan_of(texts), load=load)) == 3
        assert len(sent(plan_of(texts, job_class="bulk"), load=load)) == 1

    def test_are_worth_their_overhead(self) -> None:
        assert len(sent(plan_of(["a"] * 2), load=FleetLoad(4, 0, COST))) == 1
        assert len(sent(plan_of(["x" * 300] * 2), load=FleetLoad(4, 0, COST))) == 2

    def test_can_be_switched_off(self) -> None:
        plan = plan_of(["x" * 400] * 40)
        assert len(sent(plan, load_settings(shard=False), load=FleetLoad(4, 0, COST))) == 1
        assert len(sent(plan, load=FleetLoad(4, 0, COST), count=1)) == 1


class TestDoor:
    def test_refuses_what_would_not_start_in_time(self) -> None:
        plan = plan_of(["a"], deadline_at=NOW + 1)
        with pytest.raises(Overloaded, match=r"2 worker processes .* 2\.0 s of more urgent work") as told:
            sent(plan, load=busy(entry(4_000, NOW)))
        assert told.value.predicted_wait_ms == pytest.approx(2_000)
        assert 1.0 < told.value.retry_after_s < 1.1

    def test_refuses_what_would_not_end_in_time_where_all_is_wanted(self) -> None:
        plan, load = plan_of(["x" * 4_000], deadline_at=NOW + 1.1), busy(entry(2_000, NOW))
        assert sent(plan, load=load, partial=True)
        with pytest.raises(Overloaded):
            sent(plan, load=load, partial=False)

    def test_counts_only_what_comes_before(self) -> None:
        plan = plan_of(["a"], deadline_at=NOW + 1)
        assert sent(plan, load=busy(entry(4_000, NOW + 2), entry(4_000, NOW, "bulk")))
        bulk = plan_of(["a"], deadline_at=NOW + 1, job_class="bulk")
        with pytest.raises(Overloaded):
            sent(bulk, load=busy(entry(4_000, NOW + 2)))

    @pytest.mark.parametrize(
        "load",
        [FleetLoad(0, 5, COST, (entry(9_000, NOW),)), replace(busy(entry(9_000, NOW)), cost=None)],
        ids=["nobody alive", "nothing known"],
    )
    def test_refuses_nothing_on_a_guess(self, load: FleetLoad) -> None:
        assert sent(plan_of(["a"], deadline_at=NOW + 1), load=load)

    def test_can_be_left_open(self) -> None:
        plan = plan_of(["a"], deadline_at=NOW + 1)
        assert sent(plan, load_settings(refuse=False), load=busy(entry(4_000, NOW)))


class TestLedger:
    def test_a_worker_spells_the_entry_as_its_client_did(self) -> None:
        job = replace(one(plan_of(["a"])).job, enqueued_at=1.5, due_at=2.5)
        assert backlog_member(wire.decode_job(wire.encode_job(job))) == backlog_member(job)

    def test_an_older_release_reads_the_fields_it_knows(self) -> None:
        job = replace(one(plan_of(["a"])).job, tokens=70, tokens_longest=900, pairs=3, due_at=12.5)
        assert backlog_member(job).rsplit("|", 4)[1:] == ["70", "900", "3", "12.500"]
