"""The server goes while somebody collects: the caller gets the answer, or a typed error in time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from conftest import StartFleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient, RerankHandle, RerankResponse
from rerank_shared.errors import JobLost, QueueUnavailable
from rerank_shared.settings import Settings
from support.jobs import passages
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture(params=[True, False], ids=["persistent", "empty-after-restart"])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(persistent=request.param) as running:
        yield running


@contextmanager
def collecting(
    start_fleet: StartFleet, settings: Settings, deadline_ms: float
) -> Iterator[tuple[RerankClient, RerankHandle, Future[RerankResponse]]]:
    """Yield a client whose job a worker holds, its handle, and the answer that a thread waits for."""
    fleet = start_fleet(refuse=False)
    with RerankClient(settings.model_copy(update={"refuse": False})) as client, ThreadPoolExecutor(1) as pool:
        handle = client.submit("which rooms?", passages(400), deadline_ms=deadline_ms)
        answer = pool.submit(client.collect, handle)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        yield client, handle, answer


def test_a_server_that_comes_back_gives_the_answer_or_has_lost_the_job(
    request: pytest.FixtureRequest, start_fleet: StartFleet, settings: Settings, server: EmbeddedServer
) -> None:
    with collecting(start_fleet, settings, 90_000) as (client, handle, answer):
        server.kill()
        # Who begins to collect now is told at once.
        with pytest.raises(QueueUnavailable):
            client.collect(handle)
        server.restart()
        if "persistent" in request.node.callspec.id:
            assert answer.result(timeout=100).complete
            assert client.collect(handle).complete
        else:
            with pytest.raises(JobLost, match="submit the request again"):
                answer.result(timeout=100)


@pytest.mark.parametrize("server", [True], indirect=True)
def test_a_server_that_stays_away_is_told_at_the_deadline(
    start_fleet: StartFleet, settings: Settings, server: EmbeddedServer
) -> None:
    with collecting(start_fleet, settings, 10_000) as (_, _, answer):
        server.kill()
        with pytest.raises(QueueUnavailable, match="could not be received"):
            answer.result(timeout=60)
