"""Jobs whose answer nobody takes any more, and a scoring thread that stops: what still runs, and what a job is told."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.cost import CostParameters
from rerank_worker.batching.batcher import Waiting
from support.scoring import FAR_S, PATIENCE_S, SmallEngine, bench, digest, expected, pair
from support.waiting import wait_until

LAYOUTS = pytest.mark.parametrize("padded", [False, True], ids=["unpadded", "padded"])


class TestDropping:
    def test_expired_before_its_run(self) -> None:
        work = bench()
        pending = work.finish(work.submit("job", [1, 2], left_s=-1.0))
        assert (pending.dropped, pending.scores) == ("expired", [None, None])
        assert work.engine.ran == []
        work.assert_empty()

    def test_expired_between_two_runs_of_one_batch(self) -> None:
        """What was scored in time stays; what would be too late does not run."""
        now = [100.0]
        engine = SmallEngine(during_run=lambda: now.__setitem__(0, now[0] + 5.0))
        work = bench(engine=engine, clock=lambda: now[0])
        early, late = work.submit("early", [1, 2, 3], left_s=7.0), work.submit("late", [4], left_s=FAR_S)
        assert work.finish(early).dropped == "expired"
        assert early.scores == [expected(1), expected(2), None]
        assert work.finish(late).scores == [expected(4)]
        assert engine.ran == [[1], [2], [4]]
        work.assert_empty()

    def test_revoked(self) -> None:
        work = bench(gate=False)
        blocker = work.submit("blocker", [1_000])
        work.engine.wait_until_running()
        pending, other = work.submit("unwanted", [1]), work.submit("wanted", [2])
        work.revoked.add("unwanted")
        work.engine.gate.set()
        assert work.finish(pending).dropped == "revoked"
        assert work.finish(other).scores == [expected(2)]
        work.finish(blocker)
        assert work.engine.ran == [[1_000], [2]]
        work.assert_empty()

    def test_abandoned(self) -> None:
        work = bench(gate=False)
        blocker = work.submit("blocker", [1_000], reply_to="reply:c")
        work.engine.wait_until_running()
        gone, here, nobody = (
            work.submit(f"job-{n}", [n], reply_to=to) for n, to in enumerate(["reply:a", "reply:b", None])
        )
        assert work.scoring.reply_channels() == {"reply:a", "reply:b", "reply:c"}
        work.scoring.abandon({"reply:a", "reply:other"})
        assert gone.wait(0)
        work.engine.gate.set()
        assert work.finish(gone).dropped == "abandoned"
        assert work.finish(here).scores == [expected(1)]
        assert work.finish(nobody).scores == [expected(2)]
        work.finish(blocker)
        assert work.engine.ran == [[1_000], [1], [2]]
        assert work.scoring.reply_channels() == set()
        work.assert_empty()

    def test_released_by_a_caller_who_waits_no_longer(self) -> None:
        work = bench(gate=False)
        blocker = work.submit("blocker", [1_000])
        work.engine.wait_until_running()
        pending = work.submit("job", [1])
        assert work.scoring.held() == (2, 20)
        work.scoring.release(pending)
        assert work.scoring.held() == (1, 10)
        assert (pending.dropped, pending.open) == ("expired", False)
        work.engine.gate.set()
        work.finish(blocker)
        work.assert_empty()
        assert [1] not in work.engine.ran

    @LAYOUTS
    def test_a_pair_that_an_open_job_wants_too_is_scored(self, padded: bool) -> None:
        work = bench(padded=padded, gate=False)
        blocker = work.submit("blocker", [1_000])
        work.engine.wait_until_running()
        dropped = [work.submit("unwanted", [1, 2]), work.submit("abandoned", [1], reply_to="reply:a")]
        wanted = work.submit("wanted", [3, 1])
        work.revoked.add("unwanted")
        work.scoring.abandon({"reply:a"})
        work.engine.gate.set()
        assert work.finish(wanted).scores == [expected(3), expected(1)]
        assert [work.finish(pending).dropped for pending in dropped] == ["revoked", "abandoned"]
        work.finish(blocker)
        assert 2 not in [name for run in work.engine.ran for name in run]
        work.assert_empty()


@pytest.mark.parametrize("ends", ["dropped", "sooner than predicted", "broken"])
def test_a_batch_that_ended_early_is_not_waited_for(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands, so a wait that was foretold when the batch began would still be foretold at its end."""
    work, told = bench(gate=False, clock=lambda: 100.0), list[AdmissionEstimate]()
    work.run_cost.adopt(CostParameters(0.0, 1.0, 0.0))
    first = work.submit("first", [1, 2, 3])
    work.engine.wait_until_running()
    if ends == "dropped":
        work.revoked.add("first")
    if ends == "broken":
        monkeypatch.setattr(work.scoring, "_deliver", lambda *_: 1 / 0)
    work.engine.gate.set()
    work.finish(first)
    monkeypatch.undo()
    # An idle scoring thread has ended its batch.
    scoring: Any = work.scoring
    wait_until(lambda: scoring.waiting == Waiting() and scoring._added._waiters, "an idle scoring thread")
    work.scoring.submit("next", [digest(9)], [pair(9)], 10_000.0, None, admit=told.append)
    assert told[0].wait_s == 0.0


class TestDraining:
    def test_the_running_batch_ends_and_the_rest_goes_back(self) -> None:
        work = bench(gate=False, budget=20)
        running = work.submit("running", [1, 2])
        work.engine.wait_until_running()
        waiting = work.submit("waiting", [3, 4])
        half = work.submit("half", [2, 5])
        work.scoring.drain()
        late = work.submit("late", [6])
        assert late.wait(0)
        work.engine.gate.set()
        assert work.finish(running).scores == [expected(1), expected(2)]
        for pending in (waiting, half, late):
            assert work.finish(pending).dropped == "drained"
        assert work.engine.ran == [[1], [2]]
        assert work.scoring.held() == (0, 0)
        assert (work.lane._wanting, work.lane._pairs) == ({}, {})

    def test_an_idle_scoring_thread_drains_and_takes_nothing_more(self) -> None:
        work = bench()
        work.finish(work.submit("job", [1]))
        work.scoring.drain()
        assert work.finish(work.submit("late", [2])).dropped == "drained"
        assert work.engine.ran == [[1]]

    def test_a_job_that_waits_for_company_is_given_back_at_once(self) -> None:
        work = bench(max_wait_s=FAR_S)
        pending = work.submit("job", [1])
        assert work.weighed.wait(PATIENCE_S)
        work.scoring.drain()
        assert work.finish(pending).dropped == "drained"
