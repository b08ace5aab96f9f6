"""How long a batch waits for company, and how bulk and interactive pairs share the process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.cost import Work
from rerank_worker.batching.batcher import Batch, Batcher, WaitUntil
from support.batching import BUDGET, LAYOUTS, batcher, candidate, drain, names


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
        """Whether it still runs is for the scoring thread to say."""
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
