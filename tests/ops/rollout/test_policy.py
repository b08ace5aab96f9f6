"""Verdicts on a step: chance takes nothing back, what is bad goes back, and nothing goes on unseen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.rollout.policy import GONE_S, judge, tail
from rerank_producer.gateway.watch.latency import bucket_of
from rerank_producer.routed.figures import P95_REQUESTS, Figures, baseline
from rerank_shared.routing.rollout_plan import Bounds, Names, Plan

NAMES = Names("v1", "v2")
PLAN = Plan(hold_s=60, max_hold_s=600, min_requests=50)
K = "11-25"


def figures(complete: int = 0, seconds: float | None = None, **failed: int) -> Figures:
    """Return figures of so many complete requests, each of so many seconds, beside failed ones."""
    timed = {} if seconds is None else {K: {bucket_of(seconds): complete}}
    return Figures({"complete": complete, **failed}, timed)


STEADY = figures(1_000, 0.1)


def verdict(new: Figures, held_s: float = 60, old: Figures = STEADY, gone_s: float = 0, plan: Plan = PLAN) -> str:
    return judge(plan, NAMES, held_s, old, new, gone_s).kind


class TestHold:
    def test_a_sound_model_goes_on_after_its_hold(self) -> None:
        assert verdict(figures(50, 0.1), held_s=59) == "hold"
        assert verdict(figures(50, 0.1), held_s=60) == "on"

    def test_too_few_requests_hold_a_step_longer_and_at_last_take_it_back(self) -> None:
        held = judge(PLAN, NAMES, 61, STEADY, figures(49, 0.1), 0)
        assert (held.kind, "49 of the 50 requests" in held.says) == ("hold", True)
        assert verdict(figures(49, 0.1), held_s=600) == "back"

    def test_a_model_without_a_live_process_goes_back_before_any_request_fails(self) -> None:
        assert verdict(Figures(), held_s=1, gone_s=GONE_S) == "back"
        assert verdict(Figures(), held_s=1, gone_s=GONE_S - 1) == "hold"


class TestErrors:
    def test_a_bad_model_goes_back_at_once_with_its_figures(self) -> None:
        found = judge(PLAN, NAMES, 2, STEADY, figures(0, deadline=3, partial=2), 0)
        assert found.kind == "back"
        assert "5 of 5 requests to v2 failed (100.0%: 3 deadline, 2 partial), 0 of 1000 to v1" in found.says

    def test_one_failed_request_is_chance_and_is_watched_longer(self) -> None:
        assert verdict(figures(49, 0.1, deadline=1), held_s=59) == "hold"
        assert verdict(figures(49, 0.1, deadline=1), held_s=61) == "hold"
        assert verdict(figures(149, 0.1, deadline=1), held_s=61) == "on"
        assert verdict(figures(49, 0.1, deadline=1), held_s=600) == "back"

    def test_what_fails_of_the_old_model_too_is_no_fault_of_the_new_one(self) -> None:
        assert verdict(figures(800, 0.1, refused=200)) == "back"
        assert verdict(figures(800, 0.1, refused=200), old=figures(800, 0.1, refused=200)) == "on"

    def test_any_failure_counts_where_the_bound_is_0(self) -> None:
        plan = Plan(bounds=Bounds(error_share=0), min_requests=1)
        assert verdict(figures(100_000, 0.1, lost=1), plan=plan) == "back"


class TestP95:
    def test_a_slow_model_goes_back_with_both_figures(self) -> None:
        found = judge(PLAN, NAMES, 2, STEADY, figures(50, 0.2), 0)
        assert found.kind == "back"
        assert f"P95 of requests with {K} scored documents: v2" in found.says

    def test_within_the_ratio_it_goes_on(self) -> None:
        assert verdict(figures(50, 0.13)) == "on"

    def test_too_few_durations_say_nothing(self) -> None:
        assert verdict(figures(P95_REQUESTS - 1, 9.0), held_s=59) == "hold"
        assert verdict(figures(50, 9.0), old=figures(P95_REQUESTS - 1, 0.1)) == "on"

    def test_requests_of_other_sizes_are_not_compared(self) -> None:
        assert verdict(Figures({"complete": 50}, {"251+": {bucket_of(5.0): 50}})) == "on"


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0, 700), st.floats(0, 20))
def test_nothing_goes_on_before_its_hold_or_with_too_few_requests(
    complete: int, failed: int, held_s: float, gone_s: float
) -> None:
    new = figures(complete, 0.1, deadline=failed)
    kind = verdict(new, held_s, gone_s=gone_s)
    if kind == "on":
        assert held_s >= PLAN.hold_s
        assert new.requests >= PLAN.min_requests
        assert new.error_share <= PLAN.bounds.error_share
    if held_s >= PLAN.max_hold_s:
        assert kind != "hold"


@given(st.integers(50, 400), st.integers(0, 50), st.integers(1, 50))
def test_more_failures_are_never_judged_better(complete: int, failed: int, more: int) -> None:
    order = ["on", "hold", "back"]
    less = verdict(figures(complete, 0.1, deadline=failed))
    assert order.index(verdict(figures(complete, 0.1, deadline=failed + more))) >= order.index(less)


class TestTail:
    @pytest.mark.parametrize(
        ("least", "trials", "probability", "exact"),
        # Sums of binomial coefficients by hand.
        [(2, 2, 0.5, 0.25), (3, 4, 0.5, 5 / 16), (1, 10, 0.01, 1 - 0.99**10), (20, 20, 0.01, 1e-40)],
    )
    def test_is_the_binomial_one(self, least: int, trials: int, probability: float, exact: float) -> None:
        assert tail(least, trials, probability) == pytest.approx(exact)

    def test_of_what_can_not_happen_is_0(self) -> None:
        assert tail(1, 10, 0.0) == 0.0
        assert tail(0, 10, 0.0) == 1.0

    @given(st.integers(0, 2_000), st.integers(0, 2_000), st.floats(0.001, 1))
    def test_is_a_probability(self, one: int, other: int, probability: float) -> None:
        assert 0.0 <= tail(min(one, other), max(one, other), probability) <= 1.0


class TestBaseline:
    def test_is_the_newest_step_with_enough_requests(self) -> None:
        assert baseline([Figures(), figures(3), figures(60), figures(70)], 50) == figures(60)

    def test_is_the_newest_of_all_where_none_has_enough(self) -> None:
        assert baseline([figures(2), figures(3)], 50) == figures(2)
        assert baseline([], 50) == Figures()
