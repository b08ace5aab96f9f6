"""Real workers that are forked from one that loaded the model: equal bits under load, shared memory, quick returns."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_producer import RerankClient
from rerank_shared.settings import Settings, load_settings
from rerank_worker.loading import load
from rerank_worker.supervisor.forkserver_client import can_fork
from support.jobs import celery_of, make_job, passages, send
from support.model.exports import write_export
from support.waiting import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not can_fork(load_settings()), reason="processes are forked on Linux only"),
]
PROCESSES = 8
REQUESTS = 300
QUERY = "which rooms has the old house by the river?"
SENTENCE = "the old house by the river has many rooms and in each of them somebody reads about far places"
SEED = 7


@pytest.fixture(params=["plain", "int8"])
def served(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a fleet that scores every pair, with the plain file of the default model or an export of ours."""
    changes: dict[str, object] = {"cache": False, "pin": False}
    if request.param == "int8":
        changes["model"] = f"file:{write_export(tmp_path / 'export', 'int8', layouts=('unpadded',))}"
    return load_settings(**(settings.model_dump(exclude_none=True) | changes))


@pytest.fixture
def fleet(settings: Settings) -> Iterator[LocalFleet]:
    with local_fleet(settings.model_copy(update={"cache": False, "pin": False, "redelivery_s": 1.0}), 3) as fleet:
        yield fleet


def forkserver_of(fleet: LocalFleet) -> psutil.Process:
    (parent,) = {psutil.Process(pid).ppid() for pid in fleet.supervisor.pids()}
    return psutil.Process(parent)


def texts(requests: int) -> list[list[str]]:
    chance = random.Random(SEED)
    return [
        [" ".join(chance.choices(SENTENCE.split(), k=chance.choice([3, 8, 20, 45]))) for _ in range(3)]
        for _ in range(requests)
    ]


def direct(settings: Settings, requests: Sequence[Sequence[str]]) -> list[list[float]]:
    """The logits that an engine of this process gives, each pair in a run of its own."""
    model = load(settings)
    encoded = [model.scorer.encode(QUERY, documents, model.identity.max_length) for documents in requests]
    return [[float(model.scorer.score([pair])[0]) for pair in pairs] for pairs in encoded]


def test_scores_of_all_processes_under_load_are_a_fresh_engine_s_to_the_bit(served: Settings) -> None:
    requests = texts(REQUESTS)
    with local_fleet(served, PROCESSES) as fleet, celery_of(served) as app:
        assert forkserver_of(fleet).num_threads() == 1
        jobs = [make_job(served, QUERY, documents) for documents in requests]
        answers = [result.get(timeout=90) for result in [send(app, served, job) for job in jobs]]
    assert len({answer["worker"] for answer in answers}) == PROCESSES
    assert [answer["logits"] for answer in answers] == direct(served, requests)


def test_the_model_is_loaded_once_and_its_memory_shared(fleet: LocalFleet) -> None:
    with RerankClient(fleet.settings) as client:
        for _ in range(10):
            client.rerank(QUERY, passages(4))
    for pid in fleet.supervisor.pids():
        maps = psutil.Process(pid).memory_maps()
        # Of processes that were started apart nothing that was written is shared.
        assert sum(part.shared_dirty for part in maps) > sum(part.private_dirty for part in maps)


def test_processes_go_on_when_the_forkserver_is_killed_and_one_that_dies_then_is_replaced(fleet: LocalFleet) -> None:
    supervisor = fleet.supervisor
    with RerankClient(fleet.settings) as client:
        handles = [client.submit(QUERY, passages(40), deadline_ms=90_000) for _ in range(12)]
        forkserver, before = forkserver_of(fleet), supervisor.pids()
        forkserver.send_signal(signal.SIGKILL)
        wait_until(lambda: not forkserver.is_running(), "the fork server is reaped")
        assert supervisor.pids() == before
        psutil.Process(before[0]).send_signal(signal.SIGKILL)
        assert all(client.collect(handle).complete for handle in handles)
        wait_until(lambda: len(supervisor.pids()) == 3 and before[0] not in supervisor.pids(), "a replacement")
        assert set(before[1:]) < set(supervisor.pids())
        assert supervisor.restarts == 1
