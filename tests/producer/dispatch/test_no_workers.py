"""A model that the fleet knows and that no live process serves: what its callers see, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from rerank_producer import DeadlineExceeded, NoWorkers, RerankClient, UnknownModel
from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.pools import IDENTITY, announce

pytestmark = pytest.mark.integration
GONE = replace(IDENTITY, model="org/gone", model_digest="dd")
#: Of the same name: an artefact that the fleet goes over to.
NEXT = replace(GONE, model_digest="cc")


def soon() -> float:
    """Return a time whose heartbeats outlast a test."""
    return time.time() + 60.0


@pytest.fixture
def keys(namespace: str) -> Keys:
    return Keys(namespace)


@pytest.fixture
def announced(settings: Settings, keys: Keys) -> Iterator[redis.Redis]:
    """A fleet whose workers serve `org/name`, and some time ago served `org/gone`."""
    with connect(settings) as connected:
        announce(connected, keys, IDENTITY, "w1", "w2", now=soon())
        announce(connected, keys, GONE, now=soon())
        yield connected


@pytest.fixture
def client(settings: Settings, announced: redis.Redis) -> Iterator[RerankClient]:
    with RerankClient(settings) as connected:
        yield connected


def ask(client: RerankClient, model: str, partial: bool) -> None:
    client.rerank("q", ["a", "b"], model=model, deadline_ms=150, partial=partial)


def test_workers_of_other_models_do_not_count(client: RerankClient) -> None:
    with pytest.raises(NoWorkers, match=r"serves org/gone is alive.*`rerank-fleet worker --model org/gone`"):
        ask(client, "org/gone", partial=False)
    with pytest.raises(DeadlineExceeded, match="2 worker processes are alive") as told:
        ask(client, "org/name", partial=False)
    assert not isinstance(told.value, NoWorkers)
    with pytest.raises(UnknownModel):
        ask(client, "org/never", partial=False)


def test_any_pool_of_the_name_counts(client: RerankClient, announced: redis.Redis, keys: Keys) -> None:
    """The jobs of a pool that is over are taken over by workers of the same name."""
    with pytest.raises(NoWorkers):
        ask(client, "org/gone", partial=False)
    handle = client.submit("q", ["a"], model="org/gone", deadline_ms=60_000)
    with pytest.raises(NoWorkers):
        client.collect(handle, timeout_ms=50)
    announce(announced, keys, NEXT, "w3", now=soon())
    with pytest.raises(DeadlineExceeded, match="one worker process is alive"):
        client.collect(handle, timeout_ms=50)


def test_a_worker_of_an_earlier_release_counts(client: RerankClient, announced: redis.Redis, keys: Keys) -> None:
    old = Heartbeat("old", "org/gone", "host", 1, None, 0.0, 0.0, 0, 0)
    fleet.beat(pipe := announced.pipeline(), keys, old, soon())
    pipe.execute()
    with pytest.raises(DeadlineExceeded, match="one worker process is alive"):
        ask(client, "org/gone", partial=False)


def test_who_takes_a_partial_answer_gets_the_first_stage_order(client: RerankClient) -> None:
    answer = client.rerank("q", ["a", "b"], model="org/gone", deadline_ms=150)
    assert [(result.index, result.scored) for result in answer.results] == [(0, False), (1, False)]
    assert not answer.complete
    with pytest.raises(NoWorkers):
        client.rerank("q", ["a", "b"], model="org/gone", deadline_ms=150, partial="scored")


def test_it_counts_for_autoscalers_until_its_deadline(
    client: RerankClient, announced: redis.Redis, keys: Keys, settings: Settings
) -> None:
    client.submit("q", ["a"], model="org/gone", deadline_ms=60_000)
    pools = {pool.id: pool for pool in read_state(announced, keys, settings.model).pools}
    assert pools[pool_id(GONE)].backlog["interactive"].jobs == 1
    assert pools[pool_id(IDENTITY)].backlog["interactive"].jobs == 0
