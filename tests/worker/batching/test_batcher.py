"""The micro-batching policy: no pair lost or doubled, no batch over budget, the most urgent first, no needless wait."""

from __future__ import annotations

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
from support.batching import BUDGET, LAYOUTS, batcher, candidate, drain, names


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
