"""What callers see of the scheduling, with real workers: parts, partial answers, refusals, and who is served first."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.errors import DeadlineExceeded, Overloaded
from rerank_shared.scheduling.cost import Work
from rerank_shared.settings import Settings
from support.jobs import passages, rerank_in_part
from support.waiting import wait_until


def test_a_large_request_is_spread_over_idle_processes(start_fleet: StartFleet, settings: Settings) -> None:
    start_fleet(2)
    documents = passages(40)
    with RerankClient(settings) as client, RerankClient(settings.model_copy(update={"shard": False})) as whole:
        spread = client.rerank("which rooms?", documents, deadline_ms=60_000, partial=False)
        again = whole.rerank("which rooms?", documents, deadline_ms=60_000)
        one = whole.rerank("which books?", documents, deadline_ms=60_000, partial=False)
        two = client.rerank("which books?", documents, deadline_ms=60_000)
    assert len(spread.workers) == len(set(spread.workers)) == 2
    assert len(one.workers) == 1
    assert spread.usage.pairs_run == one.usage.pairs_run == 40
    # All that is one request is in the cache, whoever scored it, and has the score that any other process gives it.
    for first, second in ((spread, again), (one, two)):
        assert second.usage.pairs_cached == 40
        assert [(r.index, r.logit) for r in first.results] == [(r.index, r.logit) for r in second.results]


def test_at_the_deadline_the_first_stage_s_best_are_scored(start_fleet: StartFleet, settings: Settings) -> None:
    start_fleet(1)
    with RerankClient(settings) as client:
        client.rerank("which rooms?", passages(8), partial=False)
        response = rerank_in_part(client, 2_000, deadline_ms=1_500)
    scored = sorted(result.index for result in response.results if result.scored)
    assert not response.complete
    assert 0 < len(scored) < 2_000
    # In first-stage order, but for the pairs of the run that the deadline met.
    assert scored[-1] < len(scored) + 8
    unscored = [result.index for result in response.results if not result.scored]
    assert unscored == sorted(unscored)


def test_what_would_be_late_is_refused_at_once(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(1)
    # Another client than the one whose work it is: a client remembers for a moment that the fleet was idle.
    with RerankClient(settings) as busy_one, RerankClient(settings) as client, ThreadPoolExecutor(1) as pool:
        busy_one.rerank("which rooms?", passages(8), partial=False)
        cost = wait_until(lambda: fleet.state().cost, "a worker has shared what running costs")
        assert cost is not None
        count = round(40 / cost.predict_s(Work.pair(75)))
        busy = pool.submit(busy_one.rerank, "which rooms?", passages(min(count, 9_000)), deadline_ms=20_000)
        # By the backlog: the last heartbeat may still tell of the request before.
        wait_until(lambda: fleet.client.zcard(fleet.keys.backlog("interactive")) == 1, "the fleet is busy")
        with pytest.raises(Overloaded) as told:
            # Due after what runs, by its age, and before that has ended.
            client.rerank("which rooms?", passages(10), deadline_ms=25_000)
        assert told.value.retryable
        assert told.value.predicted_wait_ms > 20_000
        assert told.value.retry_after_s > 0
        with pytest.raises(DeadlineExceeded, match="would run"):
            client.rerank("which rooms?", passages(count), deadline_ms=3_000, partial=False)
        # Little work with little time is more urgent than what runs, and is served in between.
        assert client.rerank("which rooms?", passages(2), deadline_ms=4_000).complete
        busy.result()


def test_a_frozen_worker_s_part_is_scored_by_another(start_fleet: StartFleet, settings: Settings) -> None:
    # Neither redelivery nor sending again would be in time.
    fleet = start_fleet(2, redelivery_s=300)
    with RerankClient(settings.model_copy(update={"redelivery_s": 300.0})) as client, ThreadPoolExecutor(1) as pool:
        client.rerank("which rooms?", passages(40), partial=False)
        request = pool.submit(client.rerank, "which rooms?", passages(300), deadline_ms=60_000, partial=False)
        wait_until(lambda: fleet.held_jobs() == 2, "both have a part")
        fleet.processes[1].send_signal(signal.SIGSTOP)
        response = request.result(timeout=90)
    assert response.complete
    assert set(response.workers) == {"test-0"}


def test_bulk_work_does_not_keep_interactive_work_waiting(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(1)
    with RerankClient(settings) as client:
        client.rerank("which rooms?", passages(8), partial=False)
        handles = [client.submit("which rooms?", passages(100), job_class="bulk") for _ in range(4)]
        wait_until(lambda: fleet.held_jobs() > 0, "the worker has some of it")
        assert client.rerank("which rooms?", passages(5), deadline_ms=10_000).complete
        assert client.collect(handles[-1], timeout_ms=1, partial=True).complete is False
        assert all(client.collect(handle, timeout_ms=60_000).complete for handle in handles)


def test_tenants_share_by_tokens(start_fleet: StartFleet, settings: Settings) -> None:
    start_fleet(1)
    with RerankClient(settings) as client:
        client.rerank("which rooms?", passages(8), partial=False)
        many = [client.submit("which rooms?", passages(20), tenant="many", deadline_ms=120_000) for _ in range(20)]
        few = client.submit("which rooms?", passages(20), tenant="few", deadline_ms=120_000)
        assert client.collect(few, timeout_ms=60_000).complete
        unanswered = [h for h in many if not client.collect(h, timeout_ms=1, partial=True).complete]
        # It came last of twenty-one, and did not wait for those before it.
        assert len(unanswered) >= 8
        assert all(client.collect(handle, timeout_ms=60_000).complete for handle in many)
