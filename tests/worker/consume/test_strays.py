"""Strays: which jobs a process does not answer itself, and where they go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.settings import Settings
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.consume.served import ServedModel, ServedModels
from rerank_worker.consume.strays import LOOK_S, Strays
from support.jobs import make_job
from support.queue.queueing import Queueing, queueing
from support.scoring import SmallEngine, scorer_of

pytestmark = pytest.mark.integration
OWN = ScoringIdentity("org/own", "1" * 64, "2" * 64, "int8", "pair", 512, "only_second", "sigmoid")
OTHER = replace(OWN, model="org/other", model_digest="3" * 64)


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


@pytest.fixture
def now() -> list[float]:
    return [time.time()]


@pytest.fixture
def strays(queue: Queueing, now: list[float]) -> Strays:
    """Those of a process that serves one model; nothing of it runs."""
    run_cost = RunCost()
    batcher = Batcher(budget_tokens=100, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
    lane = Lane(scorer_of(SmallEngine(), identity=OWN), batcher, run_cost)
    models = ServedModels([ServedModel(lane, "file:/own")])
    announce(queue, OWN, {"org/own", "file:/own"})
    return Strays(queue.client, queue.keys, models, lambda: now[0])


def announce(queue: Queueing, identity: ScoringIdentity, names: set[str]) -> None:
    fleet.announce(pipe := queue.client.pipeline(), queue.keys, identity, time.time(), names)
    pipe.execute()


def filed(queue: Queueing, strays: Strays, model: str) -> bool:
    """Take the one job on the common queue, which asks for a model; return whether it is filed elsewhere."""
    queue.send("job")
    receiver = queue.receiver(owner="worker")
    receiver.take()
    (message,) = receiver.messages
    job = make_job(queue.settings, "q", ["d"], model=model)
    return strays.filed(job, message.delivery_info["routing_key"], message.delivery_tag)


def waiting(queue: Queueing, identity: ScoringIdentity) -> int:
    return int(queue.client.hlen(queue.keys.of(pool_id(identity)).waiting("interactive")))


@pytest.mark.parametrize("model", ["org/own", "file:/own"])
def test_a_job_for_an_own_model_is_none(queue: Queueing, strays: Strays, model: str) -> None:
    assert not filed(queue, strays, model)


def test_a_job_for_another_model_goes_to_its_pool_alive_or_not(queue: Queueing, strays: Strays) -> None:
    announce(queue, OTHER, {"org/other"})
    assert filed(queue, strays, "org/other")
    assert (waiting(queue, OTHER), queue.client.hlen(queue.keys.unacked)) == (1, 0)


def test_a_name_that_another_host_gave_the_model_leads_to_the_own_pool(queue: Queueing, strays: Strays) -> None:
    announce(queue, OWN, {"file:/elsewhere"})
    assert filed(queue, strays, "file:/elsewhere")
    assert waiting(queue, OWN) == 1


def test_a_job_for_a_model_that_nobody_serves_is_answered_here(queue: Queueing, strays: Strays) -> None:
    assert not filed(queue, strays, "no/such-model")


def test_a_job_whose_lease_ran_out_is_neither_moved_nor_answered(queue: Queueing, strays: Strays) -> None:
    announce(queue, OTHER, {"org/other"})
    queue.send("job")
    receiver = queue.receiver(owner="slow")
    receiver.take()
    (message,) = receiver.messages
    JobQueue(queue.keys).expire(queue.client, "slow")
    receiver.channel.qos.restore_visible()
    job = make_job(queue.settings, "q", ["d"], model="org/other")
    assert strays.filed(job, message.delivery_info["routing_key"], message.delivery_tag)
    assert (waiting(queue, OTHER), queue.client.hlen(queue.keys.waiting("interactive"))) == (0, 1)


def test_jobs_of_a_pool_that_is_over_are_taken_over_once_in_a_while(
    queue: Queueing, strays: Strays, now: list[float]
) -> None:
    old = replace(OWN, model_digest="4" * 64)
    announce(queue, old, {"org/own"})
    for number in range(2):
        queue.send_to(pool_id(old), f"job-{number}")
        strays.adopt(queue.client)
        # The second one comes before the next look.
        assert waiting(queue, OWN) == 1
    now[0] += LOOK_S
    strays.adopt(queue.client)
    assert (waiting(queue, OWN), waiting(queue, old)) == (2, 0)


def test_of_another_model_under_the_same_name_only_jobs_that_ask_for_this_name_are_taken_over(
    queue: Queueing, strays: Strays
) -> None:
    """As where two hosts give one name to different models: a job for the other one by its own name waits for it."""
    announce(queue, OTHER, {"org/other", "file:/own"})
    announce(queue, OWN, {"org/own", "file:/own"})
    for model in ("org/other", "file:/own"):
        job = make_job(queue.settings, "q", ["d"], model=model)
        target = queue.keys.of(pool_id(OTHER)).queue("interactive")
        queue.app.send_task("rerank.score", (wire.encode_job(job),), task_id=model, queue=target)
    queue.send_to(pool_id(OTHER), "nobody can read it")
    strays.adopt(queue.client)
    assert (waiting(queue, OWN), waiting(queue, OTHER)) == (1, 2)
    receiver = queue.receiver(pools=(pool_id(OWN),))
    assert receiver.take() == ["file:/own"]


def test_what_a_newer_release_announced_ends_no_heartbeat(queue: Queueing, strays: Strays) -> None:
    """Raised, the refusal of its version would end the thread that takes over."""
    queue.client.set(queue.keys.identity("org/own"), b"\x93\x63\xa8artefact\x90")
    queue.client.zadd(queue.keys.workers, {"of another release": time.time() + 60})
    strays.adopt(queue.client)


def test_a_pool_with_a_live_process_keeps_its_jobs(queue: Queueing, strays: Strays) -> None:
    old = replace(OWN, model_digest="4" * 64)
    announce(queue, old, {"org/own"})
    queue.client.zadd(queue.keys.of(pool_id(old)).workers, {"alive": time.time() + 60})
    queue.send_to(pool_id(old), "job")
    strays.adopt(queue.client)
    strays.leave(queue.client)
    assert (waiting(queue, OWN), waiting(queue, old)) == (0, 1)


def test_the_last_process_leaves_its_jobs_to_all_and_any_other_leaves_none(queue: Queueing, strays: Strays) -> None:
    queue.send_to(pool_id(OWN), "job")
    queue.client.zadd(queue.keys.of(pool_id(OWN)).workers, {"another": time.time() + 60})
    strays.leave(queue.client)
    assert waiting(queue, OWN) == 1
    queue.client.delete(queue.keys.of(pool_id(OWN)).workers)
    strays.leave(queue.client)
    assert (waiting(queue, OWN), queue.client.hlen(queue.keys.waiting("interactive"))) == (0, 1)
