"""The micro-batching policy: no pair lost or doubled, no batch over budget, the most urgent first, no needless wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_worker.batcher import Batch, Batcher, Candidate, Wait

BUDGET = 100
PLANS = pytest.mark.parametrize("padded", [False, True], ids=["single", "padded"])


def candidate(
    name: int, tokens: int = 10, deadline: float = 10.0, entered: float = 0.0, sequence: int = 0
) -> Candidate:
    return Candidate(name.to_bytes(4, "big"), tokens, deadline, entered, sequence or name)


def batcher(
    *, padded: bool = False, budget: int = BUDGET, max_wait_s: float = 0.0, s_per_token: float = 0.0
) -> Batcher:
    return Batcher(
        budget_tokens=budget, max_wait_s=max_wait_s, padded=padded, predict_s=lambda tokens: tokens * s_per_token
    )


def names(batch: Batch | Wait) -> list[int]:
    assert isinstance(batch, Batch)
    return [int.from_bytes(c.digest, "big") for c in batch.candidates]


def drain(waiting: Batcher, now: float = 0.0) -> Iterator[Batch]:
    while isinstance(decision := waiting.next(now), Batch):
        yield decision
    assert decision == Wait(None)


def padded_tokens(batch: Batch) -> int:
    return max(c.tokens for c in batch.candidates) * len(batch.candidates)


digests = st.integers(0, 30)
adds = st.tuples(st.just("add"), digests, st.integers(1, BUDGET), st.floats(0, 50))
steps = adds | st.tuples(st.just("discard"), digests) | st.tuples(st.just("next"))


@PLANS
@given(steps=st.lists(steps, max_size=60), data=st.data())
def test_no_pair_is_lost_or_doubled(
    padded: bool, steps: list[tuple[str, int, int, float]], data: st.DataObject
) -> None:
    """Any sequence of calls against a plain dictionary of what must be waiting."""
    waiting = batcher(padded=padded)
    model: dict[int, Candidate] = {}
    for sequence, (kind, *rest) in enumerate(steps, start=1):
        if kind == "add":
            name, tokens, deadline = int(rest[0]), int(rest[1]), rest[2]
            # An equal pair has equally many tokens.
            tokens = model[name].tokens if name in model else tokens
            waiting.add(candidate(name, tokens, deadline, sequence=sequence))
            known = model.get(name)
            if known is None or deadline < known.deadline:
                model[name] = candidate(name, tokens, deadline, sequence=sequence)
        elif kind == "discard":
            waiting.discard(int(rest[0]).to_bytes(4, "big"))
            model.pop(int(rest[0]), None)
        elif model:
            batch = waiting.next(0.0)
            taken = names(batch)
            assert isinstance(batch, Batch)
            _assert_is_fair(batch, model, padded=padded)
            assert len(set(taken)) == len(taken)
            for name in taken:
                model.pop(name)
        else:
            assert waiting.next(0.0) == Wait(None)
        assert len(waiting) == len(model)
        assert waiting.tokens == sum(c.tokens for c in model.values())
    rest_of_it = [name for batch in drain(waiting) for name in names(batch)]
    assert sorted(rest_of_it) == sorted(model)
    assert (len(waiting), waiting.tokens) == (0, 0)


def _assert_is_fair(batch: Batch, model: dict[int, Candidate], *, padded: bool) -> None:
    """Within budget, shortest first, the most urgent pair in it, and no other deadline than the model's."""
    assert (padded_tokens(batch) if padded else batch.tokens) <= BUDGET
    assert [c.tokens for c in batch.candidates] == sorted(c.tokens for c in batch.candidates)
    assert {c.digest: c.deadline for c in batch.candidates}.items() <= {
        c.digest: c.deadline for c in model.values()
    }.items()
    assert min(c.deadline for c in batch.candidates) == min(c.deadline for c in model.values())
    if not padded:
        chosen = {c.digest for c in batch.candidates}
        left = [c.deadline for c in model.values() if c.digest not in chosen]
        assert max(c.deadline for c in batch.candidates) <= min(left, default=float("inf"))


@given(st.lists(st.tuples(st.integers(1, BUDGET), st.floats(0, 50)), max_size=40))
def test_a_padded_batch_takes_its_neighbours_in_length(rows: list[tuple[int, float]]) -> None:
    waiting = batcher(padded=True)
    for name, (tokens, deadline) in enumerate(rows, start=1):
        waiting.add(candidate(name, tokens, deadline))
    for batch in drain(waiting):
        assert padded_tokens(batch) <= BUDGET


def test_lengths_that_differ_do_not_share_a_padded_batch() -> None:
    waiting = batcher(padded=True)
    for name, tokens in enumerate([10, 90, 11, 90, 12], start=1):
        waiting.add(candidate(name, tokens))
    assert [names(batch) for batch in drain(waiting)] == [[1, 3, 5], [2], [4]]


@PLANS
def test_the_most_urgent_goes_first_and_ties_keep_first_stage_order(padded: bool) -> None:
    waiting = batcher(padded=padded, budget=20)
    for name, deadline in [(1, 5.0), (2, 1.0), (3, 5.0), (4, 1.0), (5, 3.0)]:
        waiting.add(candidate(name, 10, deadline))
    assert [names(batch) for batch in drain(waiting)] == [[2, 4], [1, 5], [3]]


@PLANS
@pytest.mark.parametrize("tokens", [99, 100, 101, 5_000])
def test_a_pair_of_any_size_runs_by_itself_if_it_must(padded: bool, tokens: int) -> None:
    waiting = batcher(padded=padded)
    waiting.add(candidate(1, tokens))
    waiting.add(candidate(2, 2, deadline=11.0))
    assert [names(batch) for batch in drain(waiting)] == [[1], [2]]


@PLANS
@pytest.mark.parametrize("budget", [1, 64])
def test_pairs_as_long_as_the_budget_run_one_by_one(padded: bool, budget: int) -> None:
    waiting = batcher(padded=padded, budget=budget)
    for name in (1, 2, 3):
        waiting.add(candidate(name, budget))
    assert [names(batch) for batch in drain(waiting)] == [[1], [2], [3]]


class TestEqualPairs:
    def test_are_one_entry_with_the_earlier_deadline(self) -> None:
        waiting = batcher()
        waiting.add(candidate(1, 10, 9.0, entered=1.0, sequence=1))
        waiting.add(candidate(1, 10, 5.0, entered=2.0, sequence=2))
        waiting.add(candidate(1, 10, 7.0, entered=3.0, sequence=3))
        assert (len(waiting), waiting.tokens) == (1, 10)
        batch = waiting.next(0.0)
        assert isinstance(batch, Batch)
        (only,) = batch.candidates
        # It has waited since the first one came.
        assert (only.deadline, only.entered) == (5.0, 1.0)
        assert waiting.next(0.0) == Wait(None)

    def test_may_come_again_after_they_ran(self) -> None:
        waiting = batcher()
        for _ in range(3):
            waiting.add(candidate(1, deadline=5.0, sequence=1))
            assert names(waiting.next(0.0)) == [1]

    def test_may_come_again_later_and_less_urgent_after_a_discard(self) -> None:
        waiting = batcher(budget=10)
        waiting.add(candidate(1, deadline=1.0))
        waiting.discard(candidate(1).digest)
        waiting.add(candidate(2, deadline=2.0))
        waiting.add(candidate(1, deadline=3.0, sequence=3))
        assert [names(batch) for batch in drain(waiting)] == [[2], [1]]

    def test_move_ahead_in_the_order(self) -> None:
        waiting = batcher(budget=10)
        for name, deadline in [(1, 1.0), (2, 2.0), (3, 3.0)]:
            waiting.add(candidate(name, deadline=deadline))
        waiting.add(candidate(3, deadline=0.5, sequence=4))
        assert [names(batch) for batch in drain(waiting)] == [[3], [1], [2]]


class TestWaiting:
    def test_nothing_is_waited_for_without_a_wait(self) -> None:
        waiting = batcher(max_wait_s=0.0)
        waiting.add(candidate(1, deadline=100.0))
        assert names(waiting.next(0.0)) == [1]

    def test_an_empty_batcher_waits_for_ever(self) -> None:
        assert batcher(max_wait_s=1.0).next(0.0) == Wait(None)

    def test_a_batch_below_budget_waits_for_company(self) -> None:
        waiting = batcher(max_wait_s=2.0)
        waiting.add(candidate(1, deadline=100.0, entered=10.0))
        waiting.add(candidate(2, deadline=100.0, entered=11.0))
        # The oldest pair sets the end.
        assert waiting.next(11.0) == Wait(12.0)
        assert waiting.next(11.999) == Wait(12.0)
        assert names(waiting.next(12.0)) == [1, 2]

    def test_a_full_batch_does_not_wait(self) -> None:
        waiting = batcher(max_wait_s=2.0)
        for name in range(1, 10):
            waiting.add(candidate(name, 10, deadline=100.0))
        assert waiting.next(0.0) == Wait(2.0)
        waiting.add(candidate(10, 10, deadline=100.0))
        assert len(names(waiting.next(0.0))) == 10

    def test_the_tightest_slack_ends_the_wait(self) -> None:
        waiting = batcher(max_wait_s=2.0, s_per_token=0.01)
        waiting.add(candidate(1, 50, deadline=1.5))
        waiting.add(candidate(2, 20, deadline=9.0))
        # 70 tokens take 0.7 s, so a batch that starts after 0.8 would end after 1.5.
        decision = waiting.next(0.0)
        assert isinstance(decision, Wait)
        assert decision.until == pytest.approx(0.8)
        assert names(waiting.next(0.81)) == [2, 1]

    @pytest.mark.parametrize("now", [1.5, 100.0])
    def test_a_deadline_that_is_over_is_not_waited_for(self, now: float) -> None:
        """Whether it still runs is for the scorer to say."""
        waiting = batcher(max_wait_s=1_000.0)
        waiting.add(candidate(1, deadline=1.5, entered=now))
        assert names(waiting.next(now)) == [1]

    def test_what_is_left_of_a_closed_batch_waits_by_its_own_age(self) -> None:
        waiting = batcher(max_wait_s=2.0)
        waiting.add(candidate(1, 90, deadline=50.0, entered=0.0))
        waiting.add(candidate(2, 90, deadline=60.0, entered=1.5))
        assert names(waiting.next(1.6)) == [1]
        assert waiting.next(2.1) == Wait(3.5)

    @PLANS
    @given(rows=st.lists(st.tuples(st.integers(1, BUDGET), st.floats(0, 9), st.floats(0, 5)), min_size=1, max_size=20))
    def test_waiting_until_then_always_gives_a_batch(self, padded: bool, rows: list[tuple[int, float, float]]) -> None:
        """Else the scoring thread would spin or sleep on."""
        waiting = batcher(padded=padded, max_wait_s=1.0, s_per_token=0.001)
        for name, (tokens, slack, entered) in enumerate(rows, start=1):
            waiting.add(candidate(name, tokens, entered + slack, entered))
        seen, now = 0, 0.0
        while seen < len(rows):
            decision = waiting.next(now)
            if isinstance(decision, Wait):
                assert decision.until is not None
                assert decision.until > now
                now = decision.until
                decision = waiting.next(now)
            seen += len(names(decision))


class CountedTokens(int):
    """A token count that counts how often it is looked at."""

    looks = 0

    def __add__(self, other: int) -> int:
        CountedTokens.looks += 1
        return int(self) + other

    __radd__ = __add__

    def __sub__(self, other: int) -> int:
        CountedTokens.looks += 1
        return int(self) - other


@PLANS
@pytest.mark.parametrize("max_wait_s", [0.0, 0.005])
def test_work_grows_with_the_pairs_and_not_with_their_square(padded: bool, max_wait_s: float) -> None:
    count = 20_000
    waiting = batcher(padded=padded, max_wait_s=max_wait_s)
    CountedTokens.looks = 0
    for name in range(count):
        waiting.add(candidate(name, CountedTokens(5 + name % 40), deadline=1.0 + name % 7, sequence=name))
    assert sum(len(batch.candidates) for batch in drain(waiting, now=10.0)) == count
    assert CountedTokens.looks < 60 * count


def test_places_that_went_stale_are_forgotten() -> None:
    """A process that is never idle must not grow: equal pairs come and go, behind one far deadline or before it."""
    waiting = batcher(budget=10)
    waiting.add(candidate(0, deadline=1e9))
    for round_ in range(1, 5_000):
        waiting.add(candidate(1, deadline=2e9 - round_, sequence=round_))
        waiting.discard(candidate(1).digest)
    assert len(waiting) == 1
    assert len(waiting._heap) < 100
