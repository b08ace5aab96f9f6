"""A server at its memory limit: what is on the queue is answered, by workers that were up and by those that start then;
what comes is refused and told why. And a server that evicts instead takes scores, never a job."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient, RerankHandle
from rerank_shared.errors import QueueUnavailable
from rerank_shared.settings import Settings
from support.fleet import TestFleet
from support.jobs import passages
from support.queue.full_server import BINARIES, LIMIT_BYTES, fill_up, small_server
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]

#: What a worker may log in all, from its start to its end.
MOST_LINES = 20


@pytest.fixture(params=BINARIES)
def binary(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def policy() -> str:
    return "noeviction"


@pytest.fixture
def server(binary: str, policy: str) -> Iterator[EmbeddedServer]:
    with small_server(binary, policy) as running:
        yield running


def submit_until_refused(client: RerankClient, words: int) -> tuple[list[RerankHandle], QueueUnavailable]:
    """Submit jobs until the server refuses one; their texts lie inline or apart, by how long they are."""
    handles: list[RerankHandle] = []
    while len(handles) < 1_000:
        try:
            # Distinct, so that none is found in the cache.
            handles.append(client.submit("which rooms?", passages(1, words), job_class="bulk"))
        except QueueUnavailable as error:
            return handles, error
    raise AssertionError("the server took everything")


def well(fleet: TestFleet, index: int = 0) -> bool:
    log = fleet.log(index)
    assert "Traceback" not in log, log
    assert len(log.splitlines()) <= MOST_LINES, log
    return fleet.processes[index].poll() is None


@pytest.mark.parametrize("words", [1_000, 3_000], ids=["inline", "apart"])
def test_a_full_queue_drains_by_a_worker_that_starts_then(
    start_fleet: StartFleet, settings: Settings, words: int
) -> None:
    with TestFleet(settings, Path()) as watcher, RerankClient(settings) as client:
        fill_up(watcher.client, watcher.keys, but_bytes=900_000)
        handles, refusal = submit_until_refused(client, words)
        assert "maxmemory" in refusal.message
        fill_up(watcher.client, watcher.keys)
        fleet = start_fleet(wait=False)
        answers = [client.collect(handle, timeout_ms=60_000, partial=False) for handle in handles]
        assert len(answers) >= 5
        assert all(answer.complete for answer in answers)
        assert well(fleet)
        assert not watcher.client.exists(watcher.keys.unacked, watcher.keys.waiting("bulk"))
        assert not watcher.client.exists(*(watcher.keys.text(handle.job_id) for handle in handles))


def test_callers_are_answered_by_workers_that_were_up_when_it_filled(
    start_fleet: StartFleet, settings: Settings
) -> None:
    fleet = start_fleet()
    with RerankClient(settings) as client, ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(client.rerank, "which rooms?", passages(60), deadline_ms=60_000, partial=False)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        handle = client.submit("which books?", passages(3), deadline_ms=60_000)
        fill_up(fleet.client, fleet.keys)
        assert waiting.result(timeout=90).complete
        assert client.collect(handle, timeout_ms=60_000).complete
        with pytest.raises(QueueUnavailable, match="maxmemory"):
            client.rerank("one more?", passages(1), deadline_ms=20_000)
        # It still says that it lives, and says farewell.
        beat = fleet.client.zscore(fleet.keys.workers, "test-0")
        wait_until(lambda: fleet.client.zscore(fleet.keys.workers, "test-0") != beat, "another heartbeat")
        assert well(fleet)
        fleet.processes[0].terminate()
        assert fleet.processes[0].wait(timeout=60) == 0
        assert not fleet.state().workers


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl"])
def test_a_server_that_evicts_what_has_a_life_time_loses_no_job(
    start_fleet: StartFleet, settings: Settings, policy: str
) -> None:
    with TestFleet(settings, Path()) as watcher, RerankClient(settings) as client:
        handles = [client.submit("which rooms?", passages(1, words), job_class="bulk") for words in (60, 3_000) * 4]
        # As a cache does: many small keys, each with a life-time far longer than a job's.
        pipe = watcher.client.pipeline(transaction=False)
        for number in range(2 * LIMIT_BYTES // 1_000):
            pipe.set(f"others:{number}", b"x" * 1_000, ex=86_400)
        pipe.execute()
        assert watcher.client.info("stats")["evicted_keys"] > 0
        fleet = start_fleet(wait=False)
        answers = [client.collect(handle, timeout_ms=60_000, partial=False) for handle in handles]
        assert all(answer.complete for answer in answers)
        assert well(fleet)
