"""Which model's batch is next in a process that serves several: the most urgent pair's, with bulk's share kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.keys import JobClass
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.fairness import ClassShare, TenantShare
from rerank_worker.batching.batcher import Batcher, WaitUntil
from rerank_worker.batching.lane_order import LaneBatch, ahead_elsewhere_s, next_batch
from support.batching import LAYOUTS, candidate, names

Order = list[tuple[int, list[int]]]


def lanes(
    count: int = 2,
    *,
    layout: LayoutName = "unpadded",
    budget: int = 100,
    bulk_share: float = 0.0,
    max_wait_s: float = 0.0,
    weights: Sequence[float | None] = (),
) -> list[Batcher]:
    share = ClassShare(bulk_share)
    return [
        Batcher(
            budget_tokens=budget,
            max_wait_s=max_wait_s,
            layout=layout,
            predict_s=lambda _: 0.0,
            share=share,
            name=f"model-{lane}",
            weight=weights[lane] if weights else None,
        )
        for lane in range(count)
    ]


def drain(batchers: list[Batcher], now: float = 0.0) -> Iterator[LaneBatch]:
    while isinstance(decision := next_batch(batchers, now), LaneBatch):
        yield decision
    assert decision == WaitUntil(None)


def order(batchers: list[Batcher]) -> Order:
    return [(found.lane, names(found.batch)) for found in drain(batchers)]


@LAYOUTS
def test_the_lane_of_the_most_urgent_pair_is_next_and_a_batch_is_of_one_lane(layout: LayoutName) -> None:
    first, second = batchers = lanes(layout=layout)
    first.add(candidate(1, due_at=20.0))
    second.add(candidate(2, due_at=10.0))
    second.add(candidate(3, due_at=30.0))
    assert order(batchers) == [(1, [2, 3]), (0, [1])]


@LAYOUTS
def test_interactive_pairs_of_any_lane_go_before_bulk(layout: LayoutName) -> None:
    first, second, third = batchers = lanes(3, layout=layout)
    first.add(candidate(1, due_at=1.0, job_class="bulk"))
    second.add(candidate(2, due_at=90.0))
    second.add(candidate(3, due_at=2.0, job_class="bulk"))
    third.add(candidate(4, due_at=80.0))
    found = order(batchers)
    assert found[0] == (2, [4])
    assert found[1][0] == 1
    # Pair 3 may fill the batch of pair 2, since no interactive pair waits elsewhere by then.
    assert sorted(found[1:]) == sorted([(1, [2, 3]), (0, [1])])


def test_a_batch_of_bulk_ends_where_an_interactive_pair_of_another_lane_is_next() -> None:
    """Bulk is owed the tokens of two pairs by then; its batch would have room for all eight."""
    slow, fast = batchers = lanes(bulk_share=0.5, budget=20)
    for name in (101, 102, 103, 104):
        fast.add(candidate(name))
    for name in range(1, 9):
        slow.add(candidate(name, tokens=2, job_class="bulk"))
    # A batch of the fast lane ends as soon as the first pair of bulk is owed, which has two tokens.
    assert order(batchers)[:4] == [(1, [101]), (0, [1, 2, 3, 4, 5]), (1, [102]), (0, [6, 7, 8])]


@pytest.mark.parametrize("bulk_share", [0.0, 0.05, 0.3])
@LAYOUTS
def test_bulk_of_one_lane_keeps_its_share_beside_interactive_pairs_of_another(
    layout: LayoutName, bulk_share: float
) -> None:
    """Pairs have 10 tokens and a batch 40; interactive pairs never end."""
    slow, fast = batchers = lanes(layout=layout, bulk_share=bulk_share, budget=40)
    served: dict[JobClass, int] = {"interactive": 0, "bulk": 0}
    for step in range(600):
        if len(fast) < 8:
            for name in range(8):
                fast.add(candidate(10_000 + 10 * step + name))
        if len(slow) < 8:
            for name in range(8):
                slow.add(candidate(1_000_000 + 10 * step + name, job_class="bulk"))
        found = next_batch(batchers, 0.0)
        assert isinstance(found, LaneBatch)
        for pair in found.batch.candidates:
            served[pair.job_class] += pair.tokens
    assert served["bulk"] / sum(served.values()) == pytest.approx(bulk_share, abs=0.01)


def test_a_lane_that_waits_for_company_does_not_hold_the_other_back() -> None:
    waits, full = batchers = lanes(max_wait_s=1.0, budget=20)
    waits.add(candidate(1, due_at=1.0, deadline=100.0, entered=0.0))
    assert next_batch(batchers, 0.5) == WaitUntil(1.0)
    for name in (2, 3):
        full.add(candidate(name, due_at=9.0, deadline=100.0, entered=0.2))
    found = next_batch(batchers, 0.5)
    assert isinstance(found, LaneBatch)
    assert (found.lane, names(found.batch)) == (1, [2, 3])
    assert next_batch(batchers, 0.5) == WaitUntil(1.0)
    found = next_batch(batchers, 1.0)
    assert isinstance(found, LaneBatch)
    assert (found.lane, names(found.batch)) == (0, [1])


PAIRS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 60), st.floats(0.0, 50.0), st.sampled_from(["interactive", "bulk"])),
    max_size=40,
)


@given(PAIRS, st.sampled_from([0.0, 0.05, 0.5]), st.sampled_from(["unpadded", "padded", "varlen"]))
def test_every_pair_runs_once_in_its_own_lane(
    pairs: list[tuple[int, int, float, JobClass]], bulk_share: float, layout: LayoutName
) -> None:
    batchers = lanes(3, layout=layout, bulk_share=bulk_share)
    wanted: dict[int, int] = {}
    for name, (lane, tokens, due_at, job_class) in enumerate(pairs, 1):
        batchers[lane].add(candidate(name, tokens, due_at, job_class=job_class))
        wanted[name] = lane
    ran = [(name, found.lane) for found in drain(batchers) for name in names(found.batch)]
    assert len(ran) == len(wanted)
    assert dict(ran) == wanted


@given(PAIRS, st.sampled_from([0.0, 0.05, 0.5]))
def test_one_lane_runs_as_a_batcher_alone(pairs: list[tuple[int, int, float, JobClass]], bulk_share: float) -> None:
    (one,), (alone,) = lanes(1, bulk_share=bulk_share), lanes(1, bulk_share=bulk_share)
    for name, (_, tokens, due_at, job_class) in enumerate(pairs, 1):
        for batcher in (one, alone):
            batcher.add(candidate(name, tokens, due_at, job_class=job_class))
    while isinstance(found := next_batch([one], 0.0), LaneBatch):
        assert found.batch == alone.next(0.0)
    assert alone.next(0.0) == WaitUntil(None)


class Minute:
    """A simulated minute in which lanes always have pairs waiting: a token takes a millisecond of its clock."""

    def __init__(self, batchers: list[Batcher], tokens: Sequence[int]) -> None:
        """`tokens`: of each pair, by lane."""
        self.batchers, self.tokens = batchers, tokens
        self.served, self.now, self.name = TenantShare(), 0.0, 0
        self.ran: Counter[tuple[int, JobClass]] = Counter()
        self.longest_s = [0.0] * len(batchers)
        self._last = [0.0] * len(batchers)

    def run(self, waits: Sequence[tuple[int, JobClass]], seconds: float = 60.0) -> None:
        """Run so long, with pairs of these lanes and classes always waiting."""
        until = self.now + seconds
        while self.now < until:
            for lane, job_class in waits:
                self._fill(lane, job_class)
            decision = next_batch(self.batchers, self.now, self.served)
            assert isinstance(decision, LaneBatch)
            waited_s = self.now - self._last[decision.lane]
            self.longest_s[decision.lane] = max(self.longest_s[decision.lane], waited_s)
            for pair in decision.batch.candidates:
                self.ran[decision.lane, pair.job_class] += pair.tokens
                self.now += pair.tokens / 1_000
            self._last[decision.lane] = self.now

    def _fill(self, lane: int, job_class: JobClass) -> None:
        while sum(pair.job_class == job_class for pair in self.batchers[lane]._waiting.values()) < 20:
            self.name += 1
            # The second lane's pairs are always the more urgent ones: the share, not urgency, decides.
            due_at = self.now + (100.0 if lane == 0 else 1.0)
            self.batchers[lane].add(candidate(self.name, due_at=due_at, tokens=self.tokens[lane], job_class=job_class))

    def share(self, lane: int) -> float:
        """Of the interactive tokens, what this lane has had."""
        every = sum(tokens for (_, job_class), tokens in self.ran.items() if job_class == "interactive")
        return self.ran[lane, "interactive"] / every


BOTH: list[tuple[int, JobClass]] = [(0, "interactive"), (1, "interactive")]


@LAYOUTS
@pytest.mark.parametrize("weights", [(3, 1), (1, 1), (1, 9), (0.5, None)])
@pytest.mark.parametrize("tokens", [(10, 10), (90, 15), (7, 100)])
def test_models_with_weights_share_interactive_tokens_by_them(
    layout: LayoutName, weights: tuple[float, float | None], tokens: tuple[int, int]
) -> None:
    minute = Minute(lanes(layout=layout, weights=weights), tokens)
    minute.run(BOTH)
    wanted = weights[0] / (weights[0] + (weights[1] or 1.0))
    assert minute.share(0) == pytest.approx(wanted, rel=0.05)
    # Nobody starves: each has a turn at least as often as its share of batches of at most 100 tokens asks for.
    for lane, share in enumerate((wanted, 1 - wanted)):
        assert minute.longest_s[lane] <= 0.1 * (1 / share + 1)


@pytest.mark.parametrize("bulk_share", [0.05, 0.3])
def test_bulk_keeps_its_share_beside_weights(bulk_share: float) -> None:
    minute = Minute(lanes(bulk_share=bulk_share, weights=(3, 1)), (20, 20))
    minute.run([*BOTH, (1, "bulk")])
    assert minute.share(0) == pytest.approx(0.75, rel=0.05)
    assert minute.ran[1, "bulk"] / minute.ran.total() == pytest.approx(bulk_share, rel=0.05)


def test_a_model_alone_gets_all_and_who_was_away_earns_no_credit() -> None:
    minute = Minute(lanes(weights=(3, 1)), (20, 20))
    minute.run([(1, "interactive")], 30)
    assert minute.share(1) == 1.0
    minute.ran.clear()
    minute.run(BOTH, 60)
    assert minute.share(0) == pytest.approx(0.75, rel=0.05)
    minute.ran.clear()
    # Of what is left of the other lane, one last batch or two.
    minute.run([(0, "interactive")], 60)
    assert minute.share(0) > 0.99


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50), st.floats(0, 100), st.booleans()), max_size=40))
def test_without_weights_the_most_urgent_pair_decides_as_before(pairs: list[tuple[int, int, float, bool]]) -> None:
    plain, counted = lanes(3, bulk_share=0.2), lanes(3, bulk_share=0.2)
    served = TenantShare()
    for name, (lane, tokens, due_at, is_bulk) in enumerate(pairs):
        for batchers in (plain, counted):
            batchers[lane].add(
                candidate(name, due_at=due_at, tokens=tokens, job_class="bulk" if is_bulk else "interactive")
            )
    for _ in range(len(pairs) + 1):
        assert next_batch(plain, 0.0) == next_batch(counted, 0.0, served)
    assert served == TenantShare()


def test_an_estimate_counts_of_other_lanes_what_their_weight_lets_them_run_first() -> None:
    first, second = batchers = [
        Batcher(budget_tokens=100, max_wait_s=0.0, predict_s=lambda work: work.tokens, name=str(weight), weight=weight)
        for weight in (3.0, 1.0)
    ]
    second.add(candidate(1, due_at=5.0, tokens=60))
    first.add(candidate(2, due_at=5.0, tokens=60))

    def ahead_s(own: Batcher, tokens: int) -> float:
        return ahead_elsewhere_s(batchers, own, "interactive", 10.0, tokens)

    # 120 tokens of the first lane let 40 of the second run beside them; the second's let all of the first's.
    assert ahead_s(first, 60) == pytest.approx(40.0)
    assert ahead_s(second, 60) == pytest.approx(60.0)
    # Bulk waits for all that is interactive.
    assert ahead_elsewhere_s(batchers, first, "bulk", 10.0, 60) == pytest.approx(60.0)
