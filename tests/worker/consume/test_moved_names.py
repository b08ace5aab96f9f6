"""A name that goes over from one model to another means the new one, while processes serve the former one."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import redis

from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.keys import Keys
from rerank_shared.pools import read_pools
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.consume.served import ServedModel, ServedModels
from rerank_worker.consume.strays import Strays
from support.pools import IDENTITY
from support.scoring import SmallEngine, scorer_of

pytestmark = pytest.mark.integration
OLD = replace(IDENTITY, model="org/old", model_digest="aa" * 32)
NEW = replace(IDENTITY, model="org/new", model_digest="bb" * 32)


def look(client: redis.Redis, keys: Keys, now: float, identity: ScoringIdentity, alias: str) -> None:
    """Announce a model under an alias, and look as its live process does."""
    run_cost = RunCost()
    batcher = Batcher(budget_tokens=100, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
    models = ServedModels([ServedModel(Lane(scorer_of(SmallEngine(), identity=identity), batcher, run_cost), alias)])
    fleet.announce(pipe := client.pipeline(), keys, identity, now, models.names)
    pipe.zadd(keys.of(pool_id(identity)).workers, {"w": now + 5.0})
    pipe.execute()
    Strays(client, keys, models, lambda: now).adopt(client)


def meant(client: redis.Redis, keys: Keys, now: float, name: str = "fast") -> set[str]:
    return {pool.identity.model for pool in read_pools(client, keys, name, now)}


def test_processes_that_were_started_anew_with_the_name_at_another_model(client: redis.Redis, keys: Keys) -> None:
    now = time.time()
    look(client, keys, now, OLD, "fast")
    now += 60.0
    look(client, keys, now, OLD, "former")
    look(client, keys, now, NEW, "fast")
    assert meant(client, keys, now) == {"org/new"}
    assert meant(client, keys, now, "former") == {"org/old"}


def test_hosts_that_differ_keep_their_names(client: redis.Redis, keys: Keys) -> None:
    now = time.time()
    for _ in range(3):
        look(client, keys, now, OLD, "fast")
        look(client, keys, now, NEW, "fast")
        now += 10.0
    assert meant(client, keys, now) == {"org/old", "org/new"}


def test_a_pool_without_live_processes_keeps_the_name_that_jobs_wait_by(client: redis.Redis, keys: Keys) -> None:
    now = time.time()
    look(client, keys, now, OLD, "fast")
    now += 60.0
    look(client, keys, now, NEW, "fast")
    assert meant(client, keys, now) == {"org/old", "org/new"}


def test_a_name_that_no_other_model_has_stays(client: redis.Redis, keys: Keys) -> None:
    """Another process of the pool answers for the host that gave it and is away."""
    now = time.time()
    look(client, keys, now, OLD, "fast")
    now += 60.0
    look(client, keys, now, OLD, "former")
    look(client, keys, now, NEW, "other")
    assert meant(client, keys, now) == {"org/old"}
