"""The micro-batching policy: no pair lost or doubled, no batch over budget, the most urgent first, no needless wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling import urgency
from rerank_shared.scheduling.cost import Work
from rerank_worker.batching.batcher import Batch, Batcher, WaitingPair, WaitUntil

BUDGET = 100
LAYOUTS = pytest.mark.parametrize("layout", ["unpadded", "padded"])


def candidate(
    name: int,
    tokens: int = 10,
    due_at: float = 10.0,
    entered: float = 0.0,
    sequence: int = 0,
    *,
    deadline: float | None = None,
    job_class: JobClass = "interactive",
) -> WaitingPair:
    digest = name.to_bytes(4, "big")
    return WaitingPair(
        digest, tokens, due_at, due_at if deadline is None else deadline, entered, sequence or name, job_class
    )


def batcher(
    *,
    layout: LayoutName = "unpadded",
    budget: int = BUDGET,
    max_wait_s: float = 0.0,
    s_per_token: float = 0.0,
    bulk_share: float = 0.05,
) -> Batcher:
    return Batcher(
        budget_tokens=budget,
        max_wait_s=max_wait_s,
        layout=layout,
        predict_s=lambda work: work.tokens * s_per_token,
        bulk_share=bulk_share,
    )


def names(batch: Batch | WaitUntil) -> list[int]:
    assert isinstance(batch, Batch)
    return [int.from_bytes(c.digest, "big") for c in batch.candidates]


def drain(waiting: Batcher, now: float = 0.0) -> Iterator[Batch]:
    while isinstance(decision := waiting.next(now), Batch):
        yield decision
    assert decision == WaitUntil(None)


def padded_tokens(batch: Batch) -> int:
    return max(c.tokens for c in batch.candidates) * len(batch.candidates)


digests = st.integers(0, 30)
classes = st.sampled_from(JOB_CLASSES)
adds = st.tuples(st.just("add"), digests, st.integers(1, BUDGET), st.floats(0, 50), classes)
steps = adds | st.tuples(st.just("discard"), digests) | st.tuples(st.just("next"))


@LAYOUTS
@given(steps=st.lists(steps, max_size=60))
def test_no_pair_is_lost_or_doubled(layout: LayoutName, steps: list[tuple[Any, ...]]) -> None:
    """Any sequence of calls against a plain dictionary of what must be waiting."""
    waiting = batcher(layout=layout, bulk_share=0.3)
    model: dict[int, WaitingPair] = {}
    for sequence, (kind, *rest) in enumerate(steps, start=1):
        if kind == "add":
            name, tokens, due_at, job_class = rest
            # An equal pair has equally many tokens.
            tokens = model[name].tokens if name in model else tokens
            new = candidate(name, tokens, due_at, sequence=sequence, job_class=job_class)
            waiting.add(new)
            if (known := model.get(name)) is not None:
                both: set[JobClass] = {known.job_class, job_class}
                new = replace(min(new, known, key=lambda c: c.due_at), job_class=min(both, key=JOB_CLASSES.index))
            model[name] = new
        elif kind == "discard":
            waiting.discard(int(rest[0]).to_bytes(4, "big"))
            model.pop(int(rest[0]), None)
        elif model:
            batch = waiting.next(0.0)
            taken = names(batch)
            assert isinstance(batch, Batch)
            _assert_is_fair(batch, model, layout)
            assert len(set(taken)) == len(taken)
            for name in taken:
                model.pop(name)
        else:
            assert waiting.next(0.0) == WaitUntil(None)
        assert len(waiting) == len(model)
        assert waiting.tokens == sum(c.tokens for c in model.values())
        assert waiting.work == Work.of([c.tokens for c in model.values()])
    rest_of_it = [name for batch in drain(waiting) for name in names(batch)]
    assert sorted(rest_of_it) == sorted(model)
    assert (len(waiting), waiting.tokens, waiting.work) == (0, 0, Work())


def _assert_is_fair(batch: Batch, model: dict[int, WaitingPair], layout: LayoutName) -> None:
    """Within budget and in order, the most urgent pair of a class in it, and no other times than the model's."""
    assert (padded_tokens(batch) if layout == "padded" else batch.tokens) <= BUDGET
    assert {c.digest: c.due_at for c in batch.candidates}.items() <= {
        c.digest: c.due_at for c in model.values()
    }.items()
    by_class = {job_class: [c for c in model.values() if c.job_class == job_class] for job_class in JOB_CLASSES}
    firsts = [min(c.due_at for c in found) for found in by_class.values() if found]
    assert any(c.due_at in firsts for c in batch.candidates)
    if layout == "padded":
        assert [c.tokens for c in batch.candidates] == sorted(c.tokens for c in batch.candidates)
        return
    for job_class, found in by_class.items():
        chosen = [c.due_at for c in batch.candidates if c.job_class == job_class]
        assert chosen == sorted(chosen)
        assert chosen == sorted(c.due_at for c in found)[: len(chosen)]


@given(st.lists(st.tuples(st.integers(1, BUDGET), st.floats(0, 50)), max_size=40))
def test_a_padded_batch_takes_its_neighbours_in_length(rows: list[tuple[int, float]]) -> None:
    waiting = batcher(layout="padded")
    for name, (tokens, due_at) in enumerate(rows, start=1):
        waiting.add(candidate(name, tokens, due_at))
    for batch in drain(waiting):
        assert padded_tokens(batch) <= BUDGET


def test_lengths_that_differ_do_not_share_a_padded_batch() -> None:
    waiting = batcher(layout="padded")
    for name, tokens in enumerate([10, 90, 11, 90, 12], start=1):
        waiting.add(candidate(name, tokens))
    assert [names(batch) for batch in drain(waiting)] == [[1, 3, 5], [2], [4]]


@LAYOUTS
def test_the_most_urgent_goes_first_and_ties_keep_first_stage_order(layout: LayoutName) -> None:
    waiting = batcher(layout=layout, budget=20)
    for name, due_at in [(1, 5.0), (2, 1.0), (3, 5.0), (4, 1.0), (5, 3.0)]:
        waiting.add(candidate(name, 10, due_at))
    # Where pairs share a run, those of one batch are in order of their length.
    second = [5, 1] if layout == "unpadded" else [1, 5]
    assert [names(batch) for batch in drain(waiting)] == [[2, 4], second, [3]]


@LAYOUTS
@pytest.mark.parametrize("tokens", [99, 100, 101, 5_000])
def test_a_pair_of_any_size_runs_by_itself_if_it_must(layout: LayoutName, tokens: int) -> None:
    waiting = batcher(layout=layout)
    waiting.add(candidate(1, tokens))
    waiting.add(candidate(2, 2, due_at=11.0))
    assert [names(batch) for batch in drain(waiting)] == [[1], [2]]


@LAYOUTS
@pytest.mark.parametrize("budget", [1, 64])
def test_pairs_as_long_as_the_budget_run_one_by_one(layout: LayoutName, budget: int) -> None:
    waiting = batcher(layout=layout, budget=budget)
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
        assert (only.due_at, only.entered) == (5.0, 1.0)
        assert waiting.next(0.0) == WaitUntil(None)

    def test_may_come_again_after_they_ran(self) -> None:
        waiting = batcher()
        for _ in range(3):
            waiting.add(candidate(1, due_at=5.0, sequence=1))
            assert names(waiting.next(0.0)) == [1]

    def test_may_come_again_later_and_less_urgent_after_a_discard(self) -> None:
        waiting = batcher(budget=10)
        waiting.add(candidate(1, due_at=1.0))
        waiting.discard(candidate(1).digest)
        waiting.add(candidate(2, due_at=2.0))
        waiting.add(candidate(1, due_at=3.0, sequence=3))
        assert [names(batch) for batch in drain(waiting)] == [[2], [1]]

    def test_move_ahead_in_the_order(self) -> None:
        waiting = batcher(budget=10)
        for name, due_at in [(1, 1.0), (2, 2.0), (3, 3.0)]:
            waiting.add(candidate(name, due_at=due_at))
        waiting.add(candidate(3, due_at=0.5, sequence=4))
        assert [names(batch) for batch in drain(waiting)] == [[3], [1], [2]]


class TestWaiting:
    def test_nothing_is_waited_for_without_a_wait(self) -> None:
        waiting = batcher(max_wait_s=0.0)
        waiting.add(candidate(1, due_at=100.0))
        assert names(waiting.next(0.0)) == [1]

    def test_an_empty_batcher_waits_for_ever(self) -> None:
        assert batcher(max_wait_s=1.0).next(0.0) == WaitUntil(None)

    def test_a_batch_below_budget_waits_for_company(self) -> None:
        waiting = batcher(max_wait_s=2.0)
        waiting.add(candidate(1, due_at=100.0, entered=10.0))
        waiting.add(candidate(2, due_at=100.0, entered=11.0))
        # The oldest pair sets the end.
        assert waiting.next(11.0) == WaitUntil(12.0)
        assert waiting.next(11.999) == WaitUntil(12.0)
        assert names(waiting.next(12.0)) == [1, 2]

    def test_a_full_batch_does_not_wait(self) -> None:
        waiting = batcher(max_wait_s=2.0)
        for name in range(1, 10):
            waiting.add(candidate(name, 10, due_at=100.0))
        assert waiting.next(0.0) == WaitUntil(2.0)
        waiting.add(candidate(10, 10, due_at=100.0))
        assert len(names(waiting.next(0.0))) == 10

    def test_the_tightest_slack_ends_the_wait(self) -> None:
        waiting = batcher(max_wait_s=2.0, s_per_token=0.01)
        waiting.add(candidate(1, 50, due_at=1.5))
        waiting.add(candidate(2, 20, due_at=9.0))
        # 70 tokens take 0.7 s, so a batch that starts after 0.8 would end after 1.5.
        decision = waiting.next(0.0)
        assert isinstance(decision, WaitUntil)
        assert decision.until == pytest.approx(0.8)
        assert names(waiting.next(0.81)) == [1, 2]

    @pytest.mark.parametrize("now", [1.5, 100.0])
    def test_a_deadline_that_is_over_is_not_waited_for(self, now: float) -> None:
        """Whether it still runs is for the scorer to say."""
        waiting = batcher(max_wait_s=1_000.0)
        waiting.add(candidate(1, due_at=1.5, entered=now))
        assert names(waiting.next(now)) == [1]

    def test_what_is_left_of_a_closed_batch_waits_by_its_own_age(self) -> None:
        waiting = batcher(max_wait_s=2.0)
        waiting.add(candidate(1, 90, due_at=50.0, entered=0.0))
        waiting.add(candidate(2, 90, due_at=60.0, entered=1.5))
        assert names(waiting.next(1.6)) == [1]
        assert waiting.next(2.1) == WaitUntil(3.5)

    @LAYOUTS
    @given(rows=st.lists(st.tuples(st.integers(1, BUDGET), st.floats(0, 9), st.floats(0, 5)), min_size=1, max_size=20))
    def test_waiting_until_then_always_gives_a_batch(
        self, layout: LayoutName, rows: list[tuple[int, float, float]]
    ) -> None:
        """Else the scoring thread would spin or sleep on."""
        waiting = batcher(layout=layout, max_wait_s=1.0, s_per_token=0.001)
        for name, (tokens, slack, entered) in enumerate(rows, start=1):
            waiting.add(candidate(name, tokens, entered + slack, entered))
        seen, now = 0, 0.0
        while seen < len(rows):
            decision = waiting.next(now)
            if isinstance(decision, WaitUntil):
                assert decision.until is not None
                assert decision.until > now
                now = decision.until
                decision = waiting.next(now)
            seen += len(names(decision))


class TestClasses:
    def fill(self, waiting: Batcher, *, interactive: int, bulk: int) -> None:
        for name in range(interactive):
            waiting.add(candidate(1 + name, due_at=50.0))
        for name in range(bulk):
            waiting.add(candidate(1_001 + name, due_at=1.0, job_class="bulk"))

    @LAYOUTS
    def test_interactive_pairs_go_before_bulk_however_soon_that_is_due(self, layout: LayoutName) -> None:
        waiting = batcher(layout=layout, bulk_share=0.0)
        self.fill(waiting, interactive=25, bulk=5)
        assert [sorted(names(batch)) for batch in drain(waiting)] == [
            list(range(1, 11)),
            list(range(11, 21)),
            [*range(21, 26), *range(1_001, 1_006)],
        ]

    @LAYOUTS
    @pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
    def test_bulk_has_its_share_of_the_tokens_while_both_wait(self, layout: LayoutName, share: float) -> None:
        waiting = batcher(layout=layout, bulk_share=share)
        self.fill(waiting, interactive=500, bulk=500)
        ran = [name for _ in range(40) for name in names(waiting.next(0.0))]
        assert len(ran) == 400
        # Where pairs share a run it is of one class, so the share is kept over several.
        assert sum(name > 1_000 for name in ran) / 400 == pytest.approx(
            share, abs=0.02 if layout == "unpadded" else 0.03
        )

    def test_bulk_has_it_all_while_it_is_alone(self) -> None:
        waiting = batcher(bulk_share=0.0)
        self.fill(waiting, interactive=0, bulk=15)
        assert [len(names(batch)) for batch in drain(waiting)] == [10, 5]

    def test_what_waited_in_vain_for_its_neighbours_was_not_served(self) -> None:
        """Pairs of the window that go back keep their class's claim."""
        waiting = batcher(layout="padded", bulk_share=0.5)
        for name in range(200):
            waiting.add(candidate(1 + name, 10, due_at=5.0))
            waiting.add(candidate(1_001 + name, 80, due_at=5.0, job_class="bulk"))
        served = {True: 0, False: 0}
        for _ in range(20):
            batch = waiting.next(0.0)
            assert isinstance(batch, Batch)
            for one in batch.candidates:
                served[one.job_class == "bulk"] += one.tokens
        assert served[True] / sum(served.values()) == pytest.approx(0.5, abs=0.1)

    def test_an_equal_pair_of_an_interactive_job_lifts_a_bulk_one(self) -> None:
        waiting = batcher(budget=10)
        waiting.add(candidate(1, due_at=3.0, job_class="bulk"))
        waiting.add(candidate(2, due_at=1.0, job_class="bulk"))
        waiting.add(candidate(1, due_at=9.0, sequence=3))
        assert [[(c.job_class, c.due_at) for c in batch.candidates] for batch in drain(waiting)] == [
            [("interactive", 3.0)],
            [("bulk", 1.0)],
        ]

    def test_an_equal_pair_of_a_bulk_job_does_not_lower_an_interactive_one(self) -> None:
        waiting = batcher(budget=10)
        waiting.add(candidate(1, due_at=3.0))
        waiting.add(candidate(1, due_at=2.0, sequence=2, job_class="bulk"))
        assert [[(c.job_class, c.due_at) for c in batch.candidates] for batch in drain(waiting)] == [
            [("interactive", 2.0)]
        ]

    def test_no_neighbour_in_length_of_class_bulk_goes_before_an_interactive_pair(self) -> None:
        waiting = batcher(layout="padded", bulk_share=0.0)
        for name, tokens in ((1, 10), (2, 20), (3, 25)):
            waiting.add(candidate(name, tokens))
        for name in range(1_001, 1_020):
            waiting.add(candidate(name, 10, due_at=1.0, job_class="bulk"))
        assert names(waiting.next(0.0)) == [1, 1_001, 2, 3]


class TestAhead:
    def test_is_what_would_run_before(self) -> None:
        waiting = batcher()
        waiting.add(candidate(1, 10, 1.0))
        waiting.add(candidate(2, 20, 5.0))
        waiting.add(candidate(3, 30, 1.0, job_class="bulk"))
        assert waiting.ahead("interactive", 0.5) == Work()
        assert waiting.ahead("interactive", 1.0) == Work.pair(10)
        assert waiting.ahead("interactive", 9.0) == Work.of([10, 20])
        assert waiting.ahead("bulk", 0.5) == Work.of([10, 20])
        assert waiting.ahead("bulk", 1.0) == Work.of([10, 20, 30])


def test_a_batch_of_few_pairs_lets_the_urgent_in_sooner() -> None:
    waiting = Batcher(budget_tokens=BUDGET, max_wait_s=0.0, predict_s=lambda _: 0.0, most_pairs=2)
    for name in range(1, 6):
        waiting.add(candidate(name, due_at=50.0))
    assert names(waiting.next(0.0)) == [1, 2]
    waiting.add(candidate(9, due_at=5.0))
    assert names(waiting.next(0.0)) == [9, 3]


@pytest.mark.parametrize(("pair_s", "pairs"), [(0.0, 2), (0.03, 2), (0.0199, 2), (0.0099, 4), (0.001, 5)])
def test_a_batch_has_more_pairs_only_where_it_is_known_to_end_soon(pair_s: float, pairs: int) -> None:
    waiting = Batcher(budget_tokens=BUDGET, max_wait_s=0.0, predict_s=lambda work: work.runs * pair_s, most_pairs=2)
    for name in range(1, 6):
        waiting.add(candidate(name, due_at=50.0))
    assert names(waiting.next(0.0)) == list(range(1, pairs + 1))


@LAYOUTS
@pytest.mark.parametrize("tokens", [1, BUDGET])
def test_no_pair_starves_behind_a_stream_of_others(layout: LayoutName, tokens: int) -> None:
    """Long or short, patient or not: by its age it is due at last before all that come."""
    waiting, aging_s = batcher(layout=layout), 10.0

    def add(name: int, count: int, deadline: float, now: float) -> None:
        due = urgency.due_at(deadline_at=deadline, entered_at=now, aging_s=aging_s)
        waiting.add(candidate(name, count, due, now))

    add(1, tokens, 1e6, now=0.0)
    for round_ in range(1, 60):
        now = round_ * 0.5
        for name in range(3):
            add(round_ * 10 + name, 30, now + 1.0, now)
        if 1 in names(waiting.next(now)):
            assert now <= 2 * aging_s
            return
    raise AssertionError("it starved")


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


@LAYOUTS
@pytest.mark.parametrize("max_wait_s", [0.0, 0.005])
def test_work_grows_with_the_pairs_and_not_with_their_square(layout: LayoutName, max_wait_s: float) -> None:
    count = 20_000
    waiting = batcher(layout=layout, max_wait_s=max_wait_s)
    CountedTokens.looks = 0
    for name in range(count):
        waiting.add(candidate(name, CountedTokens(5 + name % 40), due_at=1.0 + name % 7, sequence=name))
    assert sum(len(batch.candidates) for batch in drain(waiting, now=10.0)) == count
    assert CountedTokens.looks < 60 * count


def test_places_that_went_stale_are_forgotten() -> None:
    """A process that is never idle must not grow: equal pairs come and go, behind one far deadline or before it."""
    waiting = batcher(budget=10)
    waiting.add(candidate(0, due_at=1e9))
    for round_ in range(1, 5_000):
        waiting.add(candidate(1, due_at=2e9 - round_, sequence=round_))
        waiting.discard(candidate(1).digest)
    assert len(waiting) == 1
    assert sum(map(len, waiting._places.values())) < 100
