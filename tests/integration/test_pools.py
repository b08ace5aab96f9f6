"""Two models, or two artefacts of one, on one namespace: each request is scored by the workers of its own model."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.contract.messages import name_of
from rerank_shared.keys import Keys
from rerank_shared.pools import read_pools
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.server_clock import server_epoch
from support.fleet import TestFleet
from support.jobs import make_job, passages, send
from support.model.exports import write_export
from support.waiting import wait_until

pytestmark = pytest.mark.integration
QUERY = "which rooms has the old house by the river?"
SMALL = "tests/random-0"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"file:{write_export(tmp_path_factory.mktemp('exports') / 'small', layouts=('unpadded',))}"


@pytest.fixture
def fleets(start_fleet: StartFleet, small: str) -> tuple[TestFleet, TestFleet]:
    """One process of the default model and one of a small one."""
    return start_fleet(), start_fleet(model=small)


def digest_of(client: RerankClient, documents: list[str], model: str) -> str | None:
    response = client.rerank(QUERY, documents, model=model, partial=False, deadline_ms=60_000)
    return response.model.digest


def test_each_request_is_scored_by_the_workers_of_its_model(fleets: tuple[TestFleet, TestFleet]) -> None:
    large, other = fleets
    with RerankClient(large.settings) as client:
        for number in range(5):
            documents = passages(2, number + 3)
            assert client.rerank(QUERY, documents).model.name == name_of(large.settings.model)
            assert client.rerank(QUERY, documents, model=SMALL).model.name == SMALL
    assert {beat.model for beat in large.state().workers} == {name_of(large.settings.model), SMALL}
    assert [len(pool.workers) for pool in other.state().pools] == [1, 1]


def test_an_idle_model_beside_a_busy_one_is_not_waited_for(fleets: tuple[TestFleet, TestFleet]) -> None:
    """A fleet that counted both as one refused the small model's requests, since the large one was behind."""
    large, _ = fleets
    with RerankClient(large.settings) as client:
        handles = [client.submit(QUERY, passages(400, number), job_class="bulk") for number in range(4)]
        wait_until(lambda: large.state().backlog["bulk"].jobs > 0, "the large model is busy")
        for number in range(5):
            assert client.rerank(QUERY, passages(3, number), model=SMALL, deadline_ms=20_000).complete
        assert "done" not in {client.status(handle).state for handle in handles}
        for handle in handles:
            client.cancel(handle)


def test_jobs_of_plain_celery_senders_are_filed_where_their_model_is_served(
    fleets: tuple[TestFleet, TestFleet],
) -> None:
    large, _ = fleets
    settings = large.settings
    models = [SMALL, name_of(settings.model)] * 6
    with make_celery(settings) as app:
        sent = [send(app, settings, make_job(settings, QUERY, passages(2), model=model)) for model in models]
        answers = [result.get(timeout=60) for result in sent]
    assert [answer["artefact"][0] for answer in answers] == models
    wait_until(lambda: large.client.hlen(large.keys.unacked) == 0, "no job is left on the books")


def test_jobs_of_a_pool_that_is_over_are_taken_over_by_its_successor(
    start_fleet: StartFleet, small: str, tmp_path: Path
) -> None:
    """The only process is killed with jobs in its queue; workers of another artefact under its name go on."""
    old = start_fleet(model=small)
    (pool,) = read_pools(old.client, old.keys, SMALL, server_epoch(old.client))
    with RerankClient(old.settings) as client:
        client.rerank(QUERY, passages(3), model=SMALL)
        old.kill()
        waiting = [client.submit(QUERY, passages(3, 50 + n), model=SMALL, deadline_ms=90_000) for n in range(3)]
        assert old.client.hlen(old.keys.of(pool.id).waiting("interactive")) == 3
        new = write_export(tmp_path / "new", layouts=("unpadded",), seed=7, model=SMALL)
        heir = start_fleet(model=f"file:{new}")
        answers = [client.collect(handle, timeout_ms=60_000) for handle in waiting]
        assert all(answer.complete for answer in answers)
        assert {answer.model.digest for answer in answers} == {digest_of(client, passages(3), SMALL)}
        assert all(pool.id not in beat.pools for beat in heir.state().workers if beat.worker_id == "test-10")


def test_what_the_last_process_leaves_is_everybody_s(start_fleet: StartFleet, small: str) -> None:
    fleet = start_fleet(model=small)
    (pool,) = read_pools(fleet.client, fleet.keys, SMALL, server_epoch(fleet.client))
    keys = Keys(fleet.settings.namespace).of(pool.id)
    with RerankClient(fleet.settings) as client:
        long = [client.submit(QUERY, passages(500, n), model=SMALL, deadline_ms=120_000) for n in range(12)]
        fleet.processes[0].terminate()
        fleet.processes[0].wait()
        waits = fleet.client.hlen(keys.waiting("interactive"))
        assert (waits, fleet.client.zcount(keys.workers, 0, "+inf")) == (0, 0)
        start_fleet(model=small)
        assert all(client.collect(handle, timeout_ms=120_000).complete for handle in long)
