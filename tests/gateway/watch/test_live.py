"""The live view: what it says of a fleet, that many listeners cost one look, and that an outage is news too."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from conftest import StartFleet, StartGateway
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.watch import live as live_module
from rerank_producer.gateway.watch.fleet_view import CacheView, FleetView, view_of
from rerank_producer.gateway.watch.latency import Latencies, Latency, Quantiles
from rerank_producer.gateway.watch.live import Live
from rerank_producer.routed.figures import RoutedCounts
from rerank_shared import fleet
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.errors import QueueUnavailable
from rerank_shared.fleet_state import Backlog, FleetState, PoolState
from rerank_shared.keys import JOB_CLASSES, LATENCY_SLOT_S, JobClass, Keys
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_shared.settings import Settings
from support.jobs import make_job, passages
from support.pools import IDENTITY
from support.waiting import wait_until

BEAT = Heartbeat("w-1", "org/name", "host-a", 7, 3, 90.0, 1_500.0, 2, 640, pairs_per_batch=7.5)
PATIENCE_S = 20.0
#: Of tests; a page's is a second.
INTERVAL_S = 0.05


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_INTERVAL_S", INTERVAL_S)


def live_of(settings: Settings, latencies: Latencies, **options: Any) -> Live:
    return Live(settings, latencies, RoutedCounts(Keys(settings.namespace)), **options)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as opened:
        yield opened


@pytest.fixture
async def open_live(settings: Settings) -> AsyncIterator[Callable[..., Live]]:
    opened: list[Live] = []

    def open_one(fleet_settings: Settings = settings, **options: Any) -> Live:
        opened.append(live_of(fleet_settings, Latencies(Keys(fleet_settings.namespace)), **options))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.aclose()


class Listener:
    """A client that reads frames, and may leave."""

    def __init__(self, live: Live) -> None:
        self.left = False
        self.chunks: list[bytes] = []
        self._stream = live.stream(self._watches)

    async def _watches(self) -> bool:
        return not self.left

    async def next(self) -> dict[str, Any]:
        """The next frame's data."""
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in self._stream:
                self.chunks.append(chunk)
                if chunk.startswith(b"data: "):
                    data: dict[str, Any] = json.loads(chunk[6:])
                    return data
        raise EOFError

    async def until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first frame of which this holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(frame := await self.next()):
                pass
        return frame

    async def ended(self) -> bool:
        """Whether the stream ends by itself."""
        try:
            while True:
                await self.next()
        except EOFError:
            return True


def reads(client: redis.Redis) -> int:
    """How often any live view has been read on this server: nothing else asks for several fields of a hash."""
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_hmget", {"calls": 0})["calls"])


class TestView:
    def view(self, *pools: PoolState, alive: int = 2, cost: CostParameters | None = None) -> dict[str, Any]:
        backlog: dict[JobClass, Backlog] = {
            "interactive": Backlog(3, Work(30, 900, 30_000), 1, oldest_at=98.5),
            "bulk": Backlog(0, Work(), 0),
        }
        workers = (BEAT, replace(BEAT, worker_id="w-0", core=None, pairs_per_batch=0.0))[:alive]
        state = FleetState(workers, (PoolState("", workers, backlog, cost), *pools))
        latency = Latency({"1-10": Quantiles(4, 10.0, 20.0, 30.0)}, 0.25)
        cache = CacheView(lookups=0, hit_rate=None)
        return view_of(state, "alias", cache, latency, now=100.0).model_dump(by_alias=True)

    def test_says_all_of_a_fleet(self) -> None:
        found = self.view(cost=CostParameters(0.0, 0.001, 0.0))
        assert found["queues"][0] == {
            "class": "interactive", "queued_jobs": 1, "held_jobs": 2, "tokens": 900, "oldest_age_s": 1.5,
        }  # fmt: skip
        assert found["queues"][1]["oldest_age_s"] is None
        assert found["workers"][1] == {
            "id": "w-1", "model": "org/name", "host": "host-a", "core": 3, "pairs_per_batch": 7.5,
            "tokens_per_s": 1_500.0, "held_jobs": 2, "held_tokens": 640, "uptime_s": 10.0,
        }  # fmt: skip
        assert (found["model"], found["tokens_per_s"], found["requests_per_s"]) == ("org/name", 3_000.0, 0.25)
        assert found["predicted_drain_s"] == pytest.approx(0.45)
        assert found["latency"] == [{"k": "1-10", "count": 4, "p50_ms": 10.0, "p95_ms": 20.0, "p99_ms": 30.0}]

    def test_pools_by_name_the_largest_first(self) -> None:
        none: dict[JobClass, Backlog] = {each: Backlog(0, Work(), 0) for each in JOB_CLASSES}
        waits = none | {"interactive": Backlog(3, Work(30, 900, 30_000), 1)}
        small, named = replace(IDENTITY, model="org/a"), replace(IDENTITY, model="org/b", precision="fp32")
        found = self.view(
            PoolState("01", (BEAT,), none, None, named),
            PoolState("02", (), waits, None, small),
            PoolState("03", (BEAT, BEAT), waits, CostParameters(0.0, 0.002, 0.0), small),
            PoolState("04", (), none, None, small),
            PoolState("05", (BEAT,), none, None),
        )["pools"]
        assert [(each["model"], each["pool"], each["processes"], each["drain_s"]) for each in found] == [
            (None, "05", 1, 0.0),
            ("org/a", "03", 2, pytest.approx(0.9)),
            ("org/a", "02", 0, None),
            ("org/b", "01", 1, 0.0),
        ]
        assert [each["precision"] for each in found] == [None, "int8", "int8", "fp32"]
        assert found[1]["queues"] == {
            "interactive": {"queued_jobs": 1, "held_jobs": 2, "tokens": 900},
            "bulk": {"queued_jobs": 0, "held_jobs": 0, "tokens": 0},
        }

    def test_what_nobody_knows_is_null(self) -> None:
        found = self.view(alive=0)
        assert (found["predicted_drain_s"], found["cache"]["hit_rate"], found["model"]) == (None, None, "alias")
        assert self.view()["workers"][0]["pairs_per_batch"] is None
        json.dumps(found, allow_nan=False)

    def test_has_a_schema_of_the_names_it_is_written_in(self) -> None:
        schema = FleetView.model_json_schema(by_alias=True, mode="serialization")
        assert set(schema["properties"]) == set(self.view())
        assert set(schema["$defs"]["QueueView"]["properties"]) == set(self.view()["queues"][0])


async def test_a_frame_tells_of_queues_workers_and_the_oldest_job(
    client: redis.Redis, settings: Settings, open_live: Callable[..., Live]
) -> None:
    keys, now = Keys(settings.namespace), time.time()
    pipe = client.pipeline()
    fleet.beat(pipe, keys, BEAT, now + 60)
    client.expire(keys.worker(BEAT.worker_id), 60)
    for job_id, age_s in (("a", 7.0), ("b", 42.0)):
        job = make_job(settings, "q", ["d"], job_id=job_id, enqueued_at=now - age_s, tokens=50, pairs=1)
        pipe.zadd(keys.backlog("bulk"), {backlog_member(job): now + 60})
    pipe.execute()
    frame = await Listener(open_live()).next()
    assert frame["status"] == "ok"
    assert [worker["id"] for worker in frame["workers"]] == ["w-1"]
    assert frame["workers"][0]["pairs_per_batch"] == 7.5
    bulk = next(queue for queue in frame["queues"] if queue["class"] == "bulk")
    assert (bulk["held_jobs"], bulk["tokens"]) == (2, 100)
    # Another host's clock, and the time until it was asked.
    assert 40 < bulk["oldest_age_s"] < 42 + PATIENCE_S


async def test_however_many_listen_redis_is_asked_once_a_frame(
    client: redis.Redis, open_live: Callable[..., Live]
) -> None:
    live = open_live()
    listeners = [Listener(live) for _ in range(30)]
    before = reads(client)
    frames = [await asyncio.gather(*(listener.next() for listener in listeners)) for _ in range(3)]
    seen = {frame["at"] for row in frames for frame in row}
    # One that nobody has yet may have been read meanwhile.
    assert reads(client) - before <= len(seen) + 2


async def test_nobody_listening_costs_nothing(client: redis.Redis, open_live: Callable[..., Live]) -> None:
    live = open_live()
    listener = Listener(live)
    await listener.next()
    listener.left = True
    assert await listener.ended()
    assert live.listeners == 0
    before = reads(client)
    # Several intervals: that nothing happens can't be waited for.
    await asyncio.sleep(10 * INTERVAL_S)
    assert reads(client) == before


async def test_durations_are_handed_over_though_nobody_listens(
    client: redis.Redis, settings: Settings, open_live: Callable[..., Live]
) -> None:
    latencies = Latencies(Keys(settings.namespace))
    live = live_of(settings, latencies)
    try:
        latencies.observe(5, 0.1)
        await asyncio.to_thread(wait_until, lambda: not latencies.pending, "the count is taken")
        # Taken is not yet written.
        name, slot = Keys(settings.namespace).latency, int(latencies.clock.epoch() // LATENCY_SLOT_S)
        names = [name(slot), name(slot - 1)]
        await asyncio.to_thread(wait_until, lambda: client.exists(*names), "the count is written")
        state = await live.state()
        assert [(each.k, each.count) for each in state.latency] == [("1-10", 1)]
    finally:
        await live.aclose()


async def test_who_is_slow_gets_the_latest_frame_and_not_a_queue_of_old_ones(open_live: Callable[..., Live]) -> None:
    live = open_live()
    slow, quick = Listener(live), Listener(live)
    first = await slow.next()
    await quick.until(lambda frame: frame["at"] > first["at"] + 5 * INTERVAL_S)
    newest = await quick.next()
    assert (await slow.next())["at"] >= newest["at"]


async def test_who_comes_later_is_told_at_once(open_live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_INTERVAL_S", 3_600.0)
    live = open_live()
    assert (await Listener(live).next())["at"] == (await Listener(live).next())["at"]


async def test_only_so_many_may_listen(open_live: Callable[..., Live]) -> None:
    live = open_live(max_listeners=2)
    first, second = Listener(live), Listener(live)
    await first.next()
    await second.next()
    with pytest.raises(Refused) as refused:
        Listener(live)
    assert (refused.value.problem.status, refused.value.problem.retryable) == (503, True)
    second.left = True
    assert await second.ended()
    assert (await Listener(live).next())["status"] == "ok"


async def test_the_stream_says_when_to_come_back_and_that_it_lives(
    open_live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = open_live()
    listener = Listener(live)
    await listener.next()
    assert listener.chunks[0] == b"retry: 2000\n\n"
    monkeypatch.setattr(live_module, "_KEEP_ALIVE_S", INTERVAL_S / 10)
    await listener.until(lambda _: b": alive\n\n" in listener.chunks)


async def test_the_cache_s_share_is_that_of_the_last_minute(
    client: redis.Redis, settings: Settings, open_live: Callable[..., Live]
) -> None:
    counters = Keys(settings.namespace).cache_counters
    client.hset(counters, mapping={"hits": 1_000, "misses": 9_000})
    listener = Listener(open_live())
    assert (await listener.next())["cache"]["hit_rate"] is None
    client.hincrby(counters, "hits", 3)
    client.hincrby(counters, "misses", 1)
    assert (await listener.until(lambda frame: frame["cache"]["lookups"] == 4))["cache"]["hit_rate"] == 0.75
    # As `cache clear` leaves it.
    client.delete(counters)
    assert (await listener.until(lambda frame: frame["cache"]["lookups"] == 0))["cache"]["hit_rate"] is None
    client.hincrby(counters, "misses", 2)
    assert (await listener.until(lambda frame: frame["cache"]["lookups"] == 2))["cache"]["hit_rate"] == 0.0


async def test_close_ends_all_streams_and_takes_no_more(open_live: Callable[..., Live]) -> None:
    live = open_live()
    listeners = [Listener(live) for _ in range(3)]
    await asyncio.gather(*(listener.next() for listener in listeners))
    live.close()
    assert await asyncio.gather(*(listener.ended() for listener in listeners)) == [True] * 3
    assert live.listeners == 0
    with pytest.raises(Refused, match="ending"):
        Listener(live)
    with pytest.raises(QueueUnavailable, match="ending"):
        await live.state()


async def test_one_that_was_never_used_closes_too(settings: Settings) -> None:
    live = live_of(settings, Latencies(Keys(settings.namespace)))
    live.close()
    await live.aclose()


@pytest.mark.faults
async def test_an_outage_is_told_and_ends_by_itself(settings: Settings, open_live: Callable[..., Live]) -> None:
    with EmbeddedServer.start() as own:
        live = open_live(settings.model_copy(update={"redis_url": type(settings.redis_url)(own.url)}))
        listener = Listener(live)
        assert (await listener.next())["status"] == "ok"
        own.kill()
        told = await listener.until(lambda frame: frame["status"] == "error")
        assert told["error"]["code"] == "queue_unavailable"
        # Where Redis is, is nobody's business.
        assert own.url not in json.dumps(told)
        with pytest.raises(QueueUnavailable):
            await live.state()
        own.restart()
        assert (await listener.until(lambda frame: frame["status"] == "ok"))["workers"] == []


async def test_what_cannot_be_read_hides_nothing_else(
    client: redis.Redis, settings: Settings, open_live: Callable[..., Live]
) -> None:
    """A worker of a later release, and whatever else stands in the keys."""
    keys, now = Keys(settings.namespace), time.time()
    fleet.beat(client, keys, BEAT, now + 60)
    client.zadd(keys.workers, {"newer": now + 60})
    client.set(keys.worker("newer"), b"\x93\xccc\xa9heartbeat\x90")
    client.hset(keys.cache_counters, mapping={"hits": "x", "misses": "-1"})
    slot = keys.latency(int(now // LATENCY_SLOT_S))
    garbled: Any = {
        "11-25|100": "many",
        "1-2|3": 1,
        "1-10|9999": 1,
        "1-10|x": 1,
        "nothing": 1,
        b"\xff": 1,
        "51-100|-1": 1,
    }
    client.hset(slot, mapping=garbled | {"1-10|100": 2})
    frame = await Listener(open_live()).next()
    assert frame["status"] == "ok"
    assert [worker["id"] for worker in frame["workers"]] == ["w-1"]
    assert [(each["k"], each["count"]) for each in frame["latency"]] == [("1-10", 2)]
    assert frame["cache"]["lookups"] == 0


@pytest.mark.integration
def test_a_request_shows_in_what_every_gateway_tells(start_fleet: StartFleet, start_gateway: StartGateway) -> None:
    start_fleet()
    one, other = start_gateway().wait_ready(), start_gateway()
    with one.client() as http, other.client() as watching:
        answer = http.post("/v1/fleet/rerank", json={"query": "which rooms?", "documents": passages(12)})
        assert answer.status_code == 200
        with watching.stream("GET", "/v1/fleet/live") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["cache-control"] == "no-store"
            for line in stream.iter_lines():
                frame = json.loads(line[6:]) if line.startswith("data: ") else {}
                if frame.get("latency") and frame["workers"][0]["pairs_per_batch"]:
                    break
    assert [(each["k"], each["count"]) for each in frame["latency"]] == [("11-25", 1)]
    assert frame["workers"][0]["pairs_per_batch"] >= 1
