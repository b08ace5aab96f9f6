"""What a fleet serves, as the gateway reads it from a real server: live workers first, then what was announced."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import redis

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer._dispatch.routes.known import KnownRoutes
from rerank_producer._io.clock import Clock
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.models.directory import REMEMBERED_S, ModelDirectory
from rerank_producer.gateway.models.resolver import ModelResolver, ResolvedModel
from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.errors import QueueUnavailable, UnknownModel
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, connect_async
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.route import Route, Share
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration
A, B = "org/a", "org/b"
IDENTITY = ScoringIdentity("org/any", "1" * 64, "2" * 64, "int8", "pair", 512, "only_second", "sigmoid")


@dataclass
class Fleet:
    """A fleet as it stands in Redis, without one; `now` is the reader's clock."""

    settings: Settings
    served: ModelDirectory
    keys: Keys
    now: list[float]
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = connect(self.settings)

    def announce(self, model: str, *, alias: str | None = None, alive: bool = True) -> None:
        artefact = replace(IDENTITY, model=model)
        pipe = self.client.pipeline()
        fleet.announce(pipe, self.keys, artefact, time.time(), {artefact.model, alias or artefact.model})
        if alive:
            beat = Heartbeat(model, model, "host", 1, None, time.time(), 0.0, 0, 0)
            fleet.beat(pipe, self.keys, beat, time.time())
        pipe.execute()

    def retire(self, model: str) -> None:
        fleet.deregister(self.client, self.keys, model)

    def later(self) -> None:
        self.now[0] += REMEMBERED_S


@pytest.fixture
async def read(server: EmbeddedServer) -> AsyncIterator[Fleet]:
    settings = load_settings(redis_url=server.url, namespace=f"served-{uuid.uuid4().hex[:12]}", model=A)
    connection, keys, now = connect_async(settings, timeout_s=10.0), Keys(settings.namespace), [0.0]
    served = ModelDirectory(
        connection, keys, settings, ModelResolver(A, ("*",)), KnownRoutes(keys, Clock()), clock=lambda: now[0]
    )
    read = Fleet(settings, served, keys, now)
    yield read
    read.client.close()
    await connection.aclose()


async def test_a_model_is_served_under_each_of_its_names(read: Fleet) -> None:
    read.announce(A, alias="file:/srv/a")
    assert await read.served.names() == {A: A, "file:/srv/a": A}


async def test_a_fleet_that_went_over_to_another_model_has_one(read: Fleet) -> None:
    read.announce(A)
    assert (await read.served.resolve("default")).model == A
    read.announce(B)
    read.retire(A)
    read.later()
    assert await read.served.names() == {B: B}
    assert (await read.served.resolve("default")).model == B
    # A name that a fleet of one model does not know is answered; one that it knows waits for its workers.
    assert await read.served.resolve(A) == ResolvedModel(A)


async def test_each_model_of_a_process_is_served(read: Fleet) -> None:
    read.announce(A, alive=False)
    read.announce(B, alive=False)
    pools = (pool_id(replace(IDENTITY, model=B)),)
    beat = Heartbeat("several", A, "host", 1, None, time.time(), 0.0, 0, 0, pools=pools)
    fleet.beat(pipe := read.client.pipeline(), read.keys, beat, time.time())
    pipe.execute()
    assert await read.served.names() == {A: A, B: B}


async def test_what_was_announced_counts_while_no_worker_is_alive(read: Fleet) -> None:
    read.announce(A, alive=False)
    read.announce(B)
    read.retire(B)
    assert await read.served.names() == {A: A, B: B}


async def test_a_request_that_names_no_model_is_told_which_setting_did(read: Fleet) -> None:
    for model in (B, "org/c"):
        read.announce(model)
    told = rf"the request names no model, and '{A}' is the model that the client was given"
    with pytest.raises(UnknownModel, match=told):
        await read.served.resolve(None)
    with pytest.raises(UnknownModel) as named:
        await read.served.resolve("org/d")
    assert "names no model" not in named.value.message


async def test_a_name_is_available_while_a_live_worker_serves_it(read: Fleet) -> None:
    for model in (A, B):
        read.announce(model)
    store = RouteStore(read.client, read.keys)
    store.set(Route("both", (Share(A, 1.0), Share(B, 1.0)), shadow=(Share("org/c", 1.0),)))
    await read.served.names()
    assert [read.served.is_available(name) for name in (A, B, "both", "org/c")] == [True, True, True, False]
    read.retire(B)
    read.later()
    await read.served.names()
    assert [read.served.is_available(name) for name in (A, B, "both")] == [True, False, False]
    read.retire(A)
    read.later()
    assert await read.served.names() == {A: A, B: B}
    assert not any(read.served.is_available(name) for name in (A, B, "both"))


async def test_that_nothing_is_served_is_not_remembered_for_long(read: Fleet) -> None:
    assert await read.served.names() == {}
    read.announce(A)
    read.now[0] += 0.25
    assert await read.served.names() == {A: A}


async def test_what_another_release_wrote_does_not_hide_the_rest(read: Fleet) -> None:
    read.announce(A)
    read.client.set(read.keys.identity(B), b"\xff")
    read.client.zadd(read.keys.models, {B: time.time() + 60})
    read.client.set(read.keys.worker("w"), b"\xff")
    read.client.zadd(read.keys.workers, {"w": time.time() + 60})
    assert A in await read.served.names()


async def test_requests_go_by_what_was_known_where_redis_can_t_be_asked(read: Fleet) -> None:
    read.announce(B)
    assert (await read.served.resolve("default")).model == B
    read.later()

    class Away:
        asked = 0

        def pipeline(self, **_: Any) -> Any:
            self.asked += 1
            raise redis.ConnectionError("away")

    away = Away()
    read.served.redis = away
    named = await asyncio.gather(*(read.served.resolve("default") for _ in range(20)))
    assert {each.model for each in named} == {B}
    assert away.asked == 1
    with pytest.raises(QueueUnavailable):
        await read.served.names()


async def test_a_key_for_one_export_may_not_use_a_name_that_two_are_served_under(read: Fleet) -> None:
    int8, fp32 = (ApiKey("abcdefgh", name, name, models=(f"file:/{name}",)) for name in ("int8", "fp32"))

    def announce(precision: Literal["int8", "fp32"]) -> None:
        artefact = replace(IDENTITY, model=A, precision=precision)
        fleet.announce(pipe := read.client.pipeline(), read.keys, artefact, time.time(), {A, f"file:/{precision}"})
        pools = (pool_id(artefact),)
        beat = Heartbeat(precision, A, "host", 1, None, time.time(), 0.0, 0, 0, pools=pools)
        fleet.beat(pipe, read.keys, beat, time.time())
        pipe.execute()

    announce("int8")
    assert await read.served.resolve(A, int8) == ResolvedModel(A)
    announce("fp32")
    read.later()
    for key in (int8, fp32):
        assert await read.served.resolve(f"file:/{key.name}", key)
        with pytest.raises(Refused):
            await read.served.resolve(A, key)
    # A process that has gone is met by no request.
    read.retire("int8")
    read.later()
    assert await read.served.resolve(A, fp32) == ResolvedModel(A)
