"""What becomes of the old model's workers, as the command tells it: by what they serve, not by one name of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rerank_ops.rollout.draining import draining
from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.rollout_plan import Plan
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings
from support.pools import IDENTITY

pytestmark = pytest.mark.integration
OLD = replace(IDENTITY, model="org/old", model_digest="aa" * 32)
NEW = replace(IDENTITY, model="org/new", model_digest="bb" * 32)
RECORD = Record("search", "old", "new", Plan(steps=(100.0,)), (1, 2), state="done", step=0)


@pytest.fixture
def store(settings: Settings) -> Iterator[RouteStore]:
    with connect(settings) as client:
        store = RouteStore(client, Keys(settings.namespace))
        store.set(read_route("search", {"shares": {"new": 1}}))
        yield store


def serve(store: RouteStore, worker: str, *served: tuple[ScoringIdentity, str]) -> None:
    """Announce a live process with the models that it serves, each by its own name and one more."""
    soon, pipe = time.time() + 60.0, store.client.pipeline()
    for identity, alias in served:
        fleet.announce(pipe, store.keys, identity, soon, {identity.model, alias})
    pools = tuple(pool_id(identity) for identity, _ in served)
    beat = Heartbeat(worker, served[0][0].model, f"host-{worker}", 7, None, soon, 1.0, 0, 0, pools=pools)
    fleet.beat(pipe, store.keys, beat, soon)
    pipe.execute()


def test_a_process_of_the_old_model_alone_is_to_stop(store: RouteStore) -> None:
    serve(store, "a", (OLD, "old"))
    serve(store, "b", (NEW, "new"))
    (line,) = draining(store, RECORD)
    assert line.startswith("no route leads to old. Processes that serve it: host-a process 7. Stop their")


def test_a_process_of_both_is_to_unload_it(store: RouteStore) -> None:
    serve(store, "a", (OLD, "old"), (NEW, "new"))
    (line,) = draining(store, RECORD)
    assert line.startswith("processes that serve old beside new: host-a process 7.")
    assert line.endswith("`rerank-fleet models unload old`")


def test_a_route_to_the_old_model_by_another_name_needs_its_workers(store: RouteStore) -> None:
    serve(store, "a", (OLD, "old"))
    store.set(read_route("papers", {"shares": {"org/old": 1}}))
    assert draining(store, RECORD) == ["old is still used by papers: its workers must stay"]


def test_a_route_to_a_model_without_workers_is_told_by_its_name(store: RouteStore) -> None:
    store.set(read_route("papers", {"shares": {"old": 1}}))
    assert draining(store, RECORD) == ["old is still used by papers: its workers must stay"]
