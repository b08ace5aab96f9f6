"""The fleet's small decisions: how urgent, in how many parts, whether at all, and who is next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.keys import JobClass
from rerank_shared.scheduling.admission import AdmissionEstimate, queue_wait_s
from rerank_shared.scheduling.fairness import ClassShare, FairShare, TenantShare
from rerank_shared.scheduling.sharding import (
    SHARD_OVERHEAD_S,
    idle_processes,
    open_processes,
    shard_count,
    shard_request,
    split,
)
from rerank_shared.scheduling.urgency import answer_by, due_at

seconds = st.floats(0, 1e6)


class TestUrgency:
    def test_the_earlier_deadline_comes_first_whoever_came_first(self) -> None:
        first = due_at(deadline_at=10.0, entered_at=0.0, aging_s=100.0)
        assert due_at(deadline_at=9.0, entered_at=5.0, aging_s=100.0) < first == 10.0

    def test_age_comes_before_a_far_deadline(self) -> None:
        assert due_at(deadline_at=3_600.0, entered_at=5.0, aging_s=10.0) == 15.0

    @given(seconds, seconds, seconds)
    def test_who_came_aging_later_never_passes(self, deadline_at: float, left_s: float, entered_at: float) -> None:
        old = due_at(deadline_at=deadline_at, entered_at=entered_at, aging_s=10.0)
        late = entered_at + 10.0
        assert old <= due_at(deadline_at=late + left_s, entered_at=late, aging_s=10.0)

    def test_a_worker_answers_before_the_deadline_and_more_so_with_many_pairs(self) -> None:
        assert answer_by(10.0, 100) < answer_by(10.0, 1) < 10.0
        assert answer_by(10.0, 3, margin_s=1.0, per_pair_s=0.5) == 7.5


class TestSharding:
    @pytest.mark.parametrize(
        ("run_s", "pairs", "idle", "shards"),
        [(3.0, 100, 4, 4), (3.0, 3, 4, 3), (3.0, 100, 0, 1), (0.0, 100, 4, 1), (0.1, 10, 4, 1), (0.19, 10, 4, 3)],
    )
    def test_as_many_parts_as_are_idle_and_pay(self, run_s: float, pairs: int, idle: int, shards: int) -> None:
        assert shard_count(run_s=run_s, pairs=pairs, processes=idle) == shards

    @given(seconds, st.integers(1, 10_000), st.integers(0, 10_000))
    def test_each_part_is_worth_twenty_times_its_overhead(self, run_s: float, pairs: int, idle: int) -> None:
        shards = shard_count(run_s=run_s, pairs=pairs, processes=idle)
        assert 1 <= shards <= max(1, idle)
        assert shards == 1 or run_s / shards >= 20 * SHARD_OVERHEAD_S * (1 - 1e-9)

    @given(st.lists(st.integers(1, 512), min_size=1, max_size=200), st.integers(1, 20))
    def test_a_split_is_balanced_and_in_order(self, tokens: list[int], shards: int) -> None:
        parts = split(tokens, shards)
        assert sorted(index for part in parts for index in part) == list(range(len(tokens)))
        assert all(part == sorted(part) for part in parts)
        assert len(parts) == min(shards, len(tokens))
        loads = [sum(tokens[index] for index in part) for part in parts]
        assert max(loads) - min(loads) <= max(tokens)

    def test_bulk_work_gives_way_to_interactive_requests_alone(self) -> None:
        busy = {"workers": 4, "unanswered": 5, "bulk": 3}
        assert open_processes("interactive", **busy) == 2
        assert open_processes("bulk", **busy) == 0
        assert open_processes("bulk", workers=4, unanswered=1, bulk=1) == 3
        assert open_processes("interactive", workers=4, unanswered=9, bulk=0) == 0

    def test_the_best_candidates_are_spread_over_all_parts(self) -> None:
        assert {part[0] for part in split([10] * 12, 4)} == {0, 1, 2, 3}

    @pytest.mark.parametrize(("shards", "parts"), [(None, 3), (1, 1)])
    def test_a_request_is_judged_by_one_part_of_it(self, shards: int | None, parts: int) -> None:
        found = shard_request(
            [100] * 9,
            run_s=6.0,
            processes=3,
            left_s=20.0,
            due_at=lambda shard_s: 50.0 - shard_s,
            wait_s=lambda due: due / 10,
            count=shards,
        )
        shard_s = 6.0 / parts
        assert len(found.shards) == parts
        assert sorted(index for part in found.shards for index in part) == list(range(9))
        assert found.due_at == 50.0 - shard_s
        assert found.estimate == AdmissionEstimate(found.due_at / 10, shard_s, 20.0)

    def test_an_unanswered_job_keeps_a_process_busy(self) -> None:
        assert [idle_processes(workers=3, unanswered=n) for n in (0, 2, 3, 9)] == [3, 1, 0, 0]


class TestAdmission:
    def test_all_workers_share_what_comes_before_a_job(self) -> None:
        assert queue_wait_s(lambda: 6.0, workers=3, idle=0) == 2.0

    @pytest.mark.parametrize(("workers", "idle"), [(3, 1), (0, 0)])
    def test_where_one_is_idle_or_nobody_known_nothing_is_waited_for(self, workers: int, idle: int) -> None:
        def fail() -> float:
            raise AssertionError("asked")

        assert queue_wait_s(fail, workers=workers, idle=idle) == 0.0

    @pytest.mark.parametrize(
        ("estimate", "partial", "whole"),
        [
            (AdmissionEstimate(0.0, 0.0, 1.0), False, False),
            (AdmissionEstimate(0.5, 0.4, 1.0), False, False),
            (AdmissionEstimate(0.5, 0.6, 1.0), False, False),
            (AdmissionEstimate(0.0, 1.3, 1.0), False, True),
            (AdmissionEstimate(0.5, 0.8, 1.0), False, True),
            (AdmissionEstimate(1.3, 0.1, 1.0), True, True),
        ],
        ids=["nothing known", "fits", "might just fit", "too much even alone", "fits in part", "would not start"],
    )
    def test_refuses_what_would_come_to_nothing(self, estimate: AdmissionEstimate, partial: bool, whole: bool) -> None:
        assert (estimate.hopeless(partial=True), estimate.hopeless(partial=False)) == (partial, whole)

    @given(seconds, seconds, seconds)
    def test_after_the_advised_time_it_would_fit(self, wait_s: float, run_s: float, left_s: float) -> None:
        estimate = AdmissionEstimate(wait_s, run_s, left_s)
        later = AdmissionEstimate(max(0.0, wait_s - estimate.retry_after_s), run_s, left_s)
        assert estimate.retry_after_s > 0
        assert later.wait_s == 0 or later.wait_s + later.run_s <= left_s + 1e-6


class TestClasses:
    @pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
    def test_bulk_has_its_floor_and_no_more_while_interactive_waits(self, share: float) -> None:
        classes, had = ClassShare(share), Counter[str]()
        for _ in range(10_000):
            chosen = classes.choose(True, 30.0)
            tokens = 30.0 if chosen == "bulk" else 100.0
            classes.served(chosen, tokens, other_waits=True)
            had[chosen] += round(tokens)
        assert had["bulk"] / had.total() == pytest.approx(share, abs=0.001)

    def test_bulk_fills_gaps_without_paying_for_them(self) -> None:
        classes = ClassShare(0.1)
        assert classes.choose(False, 1e9) == "bulk"
        classes.served("bulk", 1e9, other_waits=False)
        assert classes.credit == 0.0

    def test_what_was_owed_is_forgotten_when_bulk_is_gone(self) -> None:
        classes = ClassShare(0.5)
        classes.served("interactive", 100.0, other_waits=True)
        assert classes.choose(True, None) == "interactive"
        assert classes.choose(True, 1.0) == "interactive"


class TestTenants:
    def serve(self, tokens: dict[str, float], rounds: int) -> Counter[str]:
        tenants, had = TenantShare(), Counter[str]()
        for name in tokens:
            tenants.arrive(name)
        for _ in range(rounds):
            chosen = tenants.choose(set(tokens))
            tenants.served(chosen, tokens[chosen])
            had[chosen] += round(tokens[chosen])
        return had

    def test_each_has_as_many_tokens_whatever_its_jobs_cost(self) -> None:
        had = self.serve({"small": 10.0, "large": 1_000.0, "middle": 70.0}, 5_000)
        assert max(had.values()) - min(had.values()) <= 1_000

    def test_who_was_away_starts_level(self) -> None:
        tenants = TenantShare()
        tenants.arrive("here")
        for _ in range(100):
            assert tenants.choose({"here"}) == "here"
            tenants.served("here", 10.0)
        tenants.arrive("back")
        chosen = []
        for _ in range(20):
            chosen.append(tenants.choose({"here", "back"}))
            tenants.served(chosen[-1], 10.0)
        # Level with who was served last, so it is ahead by one job at most.
        assert Counter(chosen) == {"here": 9, "back": 11}

    def test_leaving_at_once_does_not_wipe_what_was_had(self) -> None:
        tenants = TenantShare()
        tenants.arrive("a")
        tenants.arrive("b")
        assert tenants.choose({"a", "b"}) == "a"
        tenants.served("a", 1_000.0)
        # a has nothing waiting for a moment, and is back before b has had as much.
        assert tenants.choose({"b"}) == "b"
        tenants.served("b", 10.0)
        tenants.arrive("a")
        assert tenants.choose({"a", "b"}) == "b"

    def test_those_who_are_gone_are_forgotten(self) -> None:
        tenants = TenantShare()
        for number in range(100):
            tenants.arrive(f"{number}")
        tenants.arrive("last")
        tenants.had["last"] = 5.0
        assert tenants.choose({"last"}) == "last"
        assert set(tenants.had) == {"last"}


def test_classes_and_tenants_together() -> None:
    share, had = FairShare(0.2), Counter[tuple[str, str]]()
    waiting: dict[JobClass, set[str]] = {"interactive": {"a", "b"}, "bulk": {"a", "c"}}
    for job_class, tenants in waiting.items():
        for tenant in tenants:
            share.arrive(job_class, tenant)
    for _ in range(10_000):
        chosen = share.choose(waiting, lambda job_class, tenant: 7.0 if tenant == "a" else 3.0)
        assert chosen is not None
        had[chosen] += 1
    tokens = {key: count * (7 if key[1] == "a" else 3) for key, count in had.items()}
    total = sum(tokens.values())
    assert tokens["bulk", "a"] + tokens["bulk", "c"] == pytest.approx(0.2 * total, rel=0.01)
    assert tokens["interactive", "a"] == pytest.approx(tokens["interactive", "b"], abs=10)
    assert tokens["bulk", "a"] == pytest.approx(tokens["bulk", "c"], abs=10)


def test_who_may_not_be_served_stays_next_and_is_not_counted() -> None:
    share, plain = FairShare(0.2), FairShare(0.2)
    waiting: dict[JobClass, set[str]] = {"interactive": {"a", "b"}, "bulk": {"a"}}
    for fair in (share, plain):
        for job_class, tenants in waiting.items():
            for tenant in tenants:
                fair.arrive(job_class, tenant)
    for number in range(50):
        assert share.choose(waiting, lambda *_: 3.0, lambda *_: False) is None
        assert share.choose(waiting, lambda *_: 3.0, lambda *_: True) == plain.choose(waiting, lambda *_: 3.0), number
