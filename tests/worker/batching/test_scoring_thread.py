"""The scoring thread: every job ends, for the right reason, with the right scores, and nothing stays behind.

The threads are real; the engine is a small one that scores a pair by its ids and stops where a test tells it to.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from rerank_shared.errors import InternalError, ScoringFailed
from rerank_shared.scheduling.cost import CostParameters
from rerank_worker import metrics
from rerank_worker.tokenizing import EncodedPair
from support.scoring import FAR_S, PATIENCE_S, SmallEngine, bench, digest, expected, pair

LAYOUTS = pytest.mark.parametrize("padded", [False, True], ids=["unpadded", "padded"])


@LAYOUTS
def test_scores_come_back_in_the_order_of_their_documents(padded: bool) -> None:
    work = bench(padded=padded)
    names = [7, 3, 9, 3, 1, 12, 11, 2, 40, 41, 42, 43, 44]
    pending = work.finish(work.submit("job", names))
    assert pending.scores == [expected(name) for name in names]
    assert (pending.dropped, pending.error) == (None, None)
    assert pending.first_run_at is not None
    # Equal documents of one job run once; a batch holds ten pairs.
    assert sorted(name for run in work.engine.ran for name in run) == sorted(set(names))
    assert pending.batch_pairs == [10, 2]
    assert work.scoring.batch_size.pairs_per_batch == pytest.approx(6, rel=0.05)
    assert work.run_cost.rate.tokens_per_s > 0
    work.assert_empty()


@LAYOUTS
def test_padding_is_counted_where_it_is_run(padded: bool) -> None:
    padding, tokens = metrics.PADDING_RUN.value, metrics.TOKENS_RUN.value
    work = bench(padded=padded, gate=False)
    blocker = work.submit("blocker", [1_000])
    work.engine.wait_until_running()
    waiting = [work.submit("long", [1, 2], tokens=12), work.submit("short", [3], tokens=10)]
    work.engine.gate.set()
    for pending in (blocker, *waiting):
        work.finish(pending)
    assert metrics.TOKENS_RUN.value - tokens == 10 + 2 * 12 + 10
    # The short pair runs beside the long ones, and is as long as they are then.
    assert metrics.PADDING_RUN.value - padding == (2 if padded else 0)
    assert sorted(map(len, work.engine.ran)) == ([1, 3] if padded else [1, 1, 1, 1])


@pytest.mark.parametrize(("joins", "tokens_s", "runs"), [(True, 1e-4, 1), (True, 1e-3, 5), (False, 1e-4, 5)])
def test_pairs_that_end_soon_share_a_run_where_it_changes_no_score(joins: bool, tokens_s: float, runs: int) -> None:
    """The engine takes one pair a run by itself; a pair has ten tokens. While the clock stands nothing is learned."""
    engine = SmallEngine(joins_runs=joins)
    work = bench(engine=engine, gate=False, clock=lambda: 100.0)
    work.run_cost.adopt(CostParameters(0.0, tokens_s, 0.0))
    first = work.submit("first", [9])
    engine.wait_until_running()
    pending = work.submit("job", [1, 2, 3, 4, 5])
    engine.gate.set()
    for each in (first, pending):
        work.finish(each)
    assert pending.scores == [expected(name) for name in range(1, 6)]
    assert len(engine.ran) == 1 + runs


def test_a_job_without_documents_ends_at_once() -> None:
    work = bench()
    pending = work.finish(work.submit("job", []))
    assert (pending.scores, pending.dropped, pending.error) == ([], None, None)
    work.assert_empty()


@LAYOUTS
def test_equal_pairs_run_once_and_answer_every_job(padded: bool) -> None:
    work = bench(padded=padded, gate=False)
    blocker = work.submit("blocker", [1_000])
    work.engine.wait_until_running()
    pending_jobs = [work.submit("a", [1, 2]), work.submit("b", [2, 3]), work.submit("c", [3, 1])]
    work.engine.gate.set()
    for pending, names in zip(pending_jobs, ([1, 2], [2, 3], [3, 1]), strict=True):
        assert work.finish(pending).scores == [expected(name) for name in names]
    work.finish(blocker)
    assert sorted(name for run in work.engine.ran for name in run) == [1, 2, 3, 1_000]
    work.assert_empty()


@LAYOUTS
def test_a_pair_that_comes_while_its_equal_runs_is_answered_with_it(padded: bool) -> None:
    work = bench(padded=padded, gate=False)
    first = work.submit("first", [5])
    work.engine.wait_until_running()
    second = work.submit("second", [5, 6], left_s=FAR_S / 2)
    work.engine.gate.set()
    assert work.finish(first).scores == [expected(5)]
    assert work.finish(second).scores == [expected(5), expected(6)]
    assert work.engine.ran == [[5], [6]]
    work.assert_empty()


def test_an_answered_pair_leaves_the_queue_too() -> None:
    """It came while its equal ran; left in the queue, it would count as work that waits."""
    work = bench(gate=False, budget=20, max_wait_s=FAR_S)
    first = work.submit("first", [5, 8])
    work.engine.wait_until_running()
    second = work.submit("second", [5])
    work.engine.gate.set()
    assert work.finish(second).scores == [expected(5)]
    work.finish(first)
    with work.scoring._lock:
        assert len(work.lane.batcher) == 0


def test_a_job_knows_when_its_first_batch_began() -> None:
    now = [100.0]
    engine = SmallEngine(during_run=lambda: now.__setitem__(0, now[0] + 5.0))
    work = bench(engine=engine, budget=10, clock=lambda: now[0])
    pending = work.finish(work.submit("job", [1, 2, 3]))
    assert (pending.entered, pending.first_run_at) == (100.0, 100.0)
    assert pending.batch_pairs == [1, 1, 1]
    assert work.run_cost.rate.tokens_per_s == pytest.approx(10 / 5.0)


def test_a_pair_may_run_again_after_it_was_answered() -> None:
    work = bench()
    for _ in range(3):
        assert work.finish(work.submit("job", [5])).scores == [expected(5)]
    assert work.engine.ran == [[5]] * 3


class TestFailing:
    @LAYOUTS
    def test_only_the_job_with_the_guilty_pair_fails(self, padded: bool) -> None:
        work = bench(padded=padded, gate=False)
        work.engine.logits[66] = ValueError("indices element out of data bounds")
        blocker = work.submit("blocker", [1_000])
        work.engine.wait_until_running()
        names = {"a": [1, 2, 3], "b": [4, 66], "c": [5], "d": [66, 6], "e": [7]}
        pending_jobs = {job_id: work.submit(job_id, wanted) for job_id, wanted in names.items()}
        work.engine.gate.set()
        for job_id in "ace":
            assert work.finish(pending_jobs[job_id]).scores == [expected(name) for name in names[job_id]]
        for job_id, index in (("b", 1), ("d", 0)):
            error = work.finish(pending_jobs[job_id]).error
            assert type(error) is ScoringFailed
            assert f"document {index} " in error.message
            assert "out of data bounds" in error.message
        work.finish(blocker)
        if padded:
            assert len(work.engine.ran[1]) > 4, "the pairs did not share a batch, so nothing was isolated"
        work.assert_empty()

    @pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
    def test_a_logit_that_is_no_number_is_a_failure(self, logit: float) -> None:
        work = bench(padded=True, gate=False)
        work.engine.logits[2] = logit
        blocker = work.submit("blocker", [1_000])
        work.engine.wait_until_running()
        bad, good = work.submit("bad", [1, 2]), work.submit("good", [1, 3])
        work.engine.gate.set()
        error = work.finish(bad).error
        assert isinstance(error, ScoringFailed)
        assert f"gave {logit} for document 1 " in error.message
        assert work.finish(good).scores == [expected(1), expected(3)]
        work.finish(blocker)
        work.assert_empty()

    def test_a_failed_pair_is_tried_again_for_the_next_job(self) -> None:
        work = bench()
        work.engine.logits[2] = OSError("device lost")
        assert work.finish(work.submit("job", [2])).error is not None
        del work.engine.logits[2]
        assert work.finish(work.submit("job", [2])).scores == [expected(2)]

    def test_the_thread_survives_a_bug_and_answers_for_it(self) -> None:
        """A broken engine must not let jobs hang until their deadlines, which may be an hour away."""

        class Broken(SmallEngine):
            def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
                if len(pairs) > 1:
                    raise IndexError("no such run")
                return super().runs(pairs)

        work = bench(engine=Broken())
        error = work.finish(work.submit("job", [1, 2])).error
        assert type(error) is InternalError
        assert "no such run" in error.message
        assert work.finish(work.submit("next", [3])).scores == [expected(3)]
        work.assert_empty()

    def test_an_engine_that_loses_a_logit_is_a_bug_too(self) -> None:
        class Forgetful(SmallEngine):
            def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
                return super().score(pairs)[: max(1, len(pairs) - 1)]

        work = bench(padded=True, engine=Forgetful(padded=True))
        pending = work.finish(work.submit("job", [1, 2, 3]))
        assert type(pending.error) is InternalError
        work.assert_empty()


def test_a_deadline_as_far_as_a_float_goes_is_a_deadline() -> None:
    work = bench(max_wait_s=1e300, budget=20, gate=True)
    pending = work.submit("job", [1], left_s=1e301)
    full = work.submit("company", [2], left_s=1e301)
    assert work.finish(pending).scores == [expected(1)]
    assert work.finish(full).scores == [expected(2)]


@LAYOUTS
def test_many_threads_with_overlapping_jobs_leave_nothing_behind(padded: bool) -> None:
    """Every job that was not dropped has all its scores, each the right one, and no pair stays in any table."""
    work = bench(padded=padded, budget=64)
    work.engine.logits[13] = ValueError("poison")

    def caller(seed: int) -> int:
        chance = random.Random(seed)
        ended = 0
        for number in range(40):
            names = [chance.randrange(40) for _ in range(chance.randrange(0, 8))]
            left_s = chance.choice([FAR_S, FAR_S, 0.002, -1.0])
            job_id = f"{seed}-{number}"
            if chance.random() < 0.1:
                work.revoked.add(job_id)
            tokens = {name: 5 + name % 20 for name in names}
            pairs = [pair(name, tokens[name]) for name in names]
            reply_to = f"reply:{seed}"
            pending = work.scoring.submit(job_id, list(map(digest, names)), pairs, work.clock() + left_s, reply_to)
            if chance.random() < 0.05:
                work.scoring.abandon({reply_to})
            pending.wait(PATIENCE_S if left_s == FAR_S else 0.0)
            work.scoring.release(pending)
            assert not pending.open
            found = list(pending.scores)
            assert all(s in (None, expected(n, tokens[n])) for n, s in zip(names, found, strict=True))
            if pending.dropped is None and pending.error is None:
                assert None not in found
            assert (pending.error is None) or 13 in names
            ended += 1
        return ended

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(caller, range(4))) == 160
    work.assert_empty()
