"""The task's own decisions: what goes back to the queue, and what is answered at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job
from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, UnknownModel
from rerank_shared.keys import Keys
from rerank_shared.models.catalogue import load_files
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.celery_app import TASK_NAME, make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.handler import JobHandler
from rerank_worker.consume.leases import Leases
from rerank_worker.consume.served import ServedModel, ServedModels
from rerank_worker.consume.strays import Strays
from rerank_worker.consume.task import register
from rerank_worker.scorers.pair_classifier import open_pair_classifier
from support.jobs import make_job

AWAY = load_settings(redis_url="unix:///nowhere/redis.sock", namespace="away")


@contextmanager
def worker_of(settings: Settings) -> Iterator[tuple[Celery, ScoringThread]]:
    """The parts of a worker that a task meets, with the real model and no consumer."""
    files, run_cost = load_files(settings.model), RunCost()
    batcher = Batcher(budget_tokens=2048, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
    lane = Lane(open_pair_classifier(files, settings), batcher, run_cost)
    scoring = ScoringThread([lane], revoked=lambda _: False)
    with connect(settings) as client, make_celery(settings) as app:
        keys = Keys(settings.namespace)
        served = ServedModels([ServedModel(lane, "file:/alias")])
        handler = JobHandler(served, scoring, client, keys, "test")
        strays = Strays(client, keys, served, time.time)
        register(app, handler, Leases(), lambda _: nullcontext(lambda: None), settings, strays)
        yield app, scoring


def run(app: Celery, job: Job, **context: object) -> object:
    task = app.tasks[TASK_NAME]
    task.push_request(id=job.job_id, properties={}, delivery_info={}, reply_to=None, **context)
    try:
        return task.run(wire.encode_job(job))
    finally:
        task.pop_request()


def test_job_whose_text_can_not_be_read_now_goes_back() -> None:
    """A short outage must not turn into a final error; a fetch that fails says nothing about the job."""
    with worker_of(AWAY) as (app, _), pytest.raises(Reject) as rejected:
        run(app, replace(make_job(AWAY, "q", []), documents=None))
    assert rejected.value.requeue is True


def test_second_delivery_goes_back_while_nobody_can_say_whether_it_was_answered() -> None:
    with worker_of(AWAY) as (app, _), pytest.raises(Reject) as rejected:
        run(app, make_job(AWAY, "q", ["d"], attempt=2))
    assert rejected.value.requeue is True


@pytest.mark.integration
def test_job_goes_back_while_the_server_refuses_to_be_connected_to(server: EmbeddedServer) -> None:
    lacking = load_settings(redis_url=f"{server.url}?db=99", namespace="away")
    with worker_of(lacking) as (app, _), pytest.raises(Reject, match="has no such database") as rejected:
        run(app, make_job(lacking, "q", ["d"], attempt=2))
    assert rejected.value.requeue is True


def test_draining_worker_gives_jobs_back() -> None:
    with worker_of(AWAY) as (app, scoring):
        scoring.drain()
        with pytest.raises(Reject, match="this worker is stopping"):
            run(app, make_job(AWAY, "q", ["d"]))


def test_what_no_worker_can_do_is_an_answer() -> None:
    with worker_of(AWAY) as (app, _):
        with pytest.raises(UnknownModel):
            run(app, make_job(AWAY, "q", ["d"], model="no/such-model"))
        with pytest.raises(DeadlineExceeded):
            run(app, make_job(AWAY, "q", ["d"], deadline_at=1.0))


@pytest.mark.parametrize(
    ("digest", "ids", "message"),
    [
        ("0" * 64, [2054, 2003], "tokenizer_digest: 0{64} is not that of"),
        (None, [2054, 2003], "tokenizer_digest: missing"),
        ("own", [2054, 30_522], "the token id 30522 is not in the model's vocabulary"),
    ],
)
def test_ids_that_may_be_of_another_tokenizer_are_never_scored(
    digest: str | None, ids: list[int], message: str
) -> None:
    """The client refuses most of these, but jobs come from plain Celery callers too, and models change."""
    own = load_files(AWAY.model).tokenizer_digest
    job = make_job(AWAY, "q", ["text", TokenIds.of(ids)], tokenizer_digest=own if digest == "own" else digest)
    with worker_of(AWAY) as (app, _), pytest.raises(InvalidRequest, match=message):
        run(app, job)


def test_only_a_length_that_was_planned_for_another_pool_may_be_beyond_the_model() -> None:
    """In a rolling upgrade to a model that reads less, a request that names no length has the old model's."""
    with worker_of(AWAY) as (app, scoring):
        scoring.start()
        answer: Any = run(app, make_job(AWAY, "q", ["d " * 700], max_length=600, pool="0123456789ab"))
        assert answer["tokens"] == [512]
        with pytest.raises(InvalidRequest, match="600 is beyond the 512 tokens"):
            run(app, make_job(AWAY, "q", ["d"], max_length=600))
        scoring.drain()


def test_whoever_watches_is_told_that_a_message_is_through_even_if_it_fails() -> None:
    files, told = load_files(AWAY.model), list[str]()
    run_cost = RunCost()
    batcher = Batcher(budget_tokens=2048, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
    lane = Lane(open_pair_classifier(files, AWAY), batcher, run_cost)
    scoring = ScoringThread([lane], revoked=lambda _: False)

    @contextmanager
    def inside(_: str | None) -> Iterator[Callable[[], None]]:
        told.append("begins")
        try:
            yield lambda: told.append("waits")
        finally:
            told.append("ends")

    with connect(AWAY) as client, make_celery(AWAY) as app:
        served = ServedModels([ServedModel(lane, AWAY.model)])
        keys = Keys(AWAY.namespace)
        handler = JobHandler(served, scoring, client, keys, "test")
        register(app, handler, Leases(), inside, AWAY, Strays(client, keys, served, time.time))
        with pytest.raises(UnknownModel):
            run(app, make_job(AWAY, "q", ["d"], model="no/such-model"))
        assert told == ["begins", "ends"]
        scoring.start()
        run(app, make_job(AWAY, "q", ["d"]))
    assert told[2:] == ["begins", "waits", "ends"]


@pytest.mark.integration
def test_second_delivery_of_an_answered_job_leaves_nothing_behind(settings: Settings) -> None:
    keys, job = Keys(settings.namespace), replace(make_job(settings, "q", []), documents=None, attempt=2, tokens=7)
    with worker_of(settings) as (app, _), connect(settings) as client:
        client.set(keys.result(job.job_id), b"a record", ex=60)
        client.set(keys.text(job.job_id), wire.encode_texts(["d"]), ex=60)
        client.zadd(keys.backlog("interactive"), {backlog_member(job): job.deadline_at})
        with pytest.raises(Ignore):
            run(app, job)
        assert client.exists(keys.text(job.job_id)) == 0
        assert client.zcard(keys.backlog("interactive")) == 0
        assert client.get(keys.result(job.job_id)) == b"a record"
