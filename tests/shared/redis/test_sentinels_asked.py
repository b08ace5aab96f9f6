"""How often Sentinels are asked: one connection of a process stands for all that fail in the same moment."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import redis

from rerank_shared.redis import sentinel
from rerank_shared.redis.connections import connect, connect_async
from rerank_shared.redis.outage import outage_of
from rerank_shared.settings import load_settings


@dataclass
class Hangs:
    """A Sentinel that hangs up on whoever comes, and counts them."""

    server: socket.socket
    asked: int = 0
    now: float = 1_000.0
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.server.accept()
            except OSError:
                return
            self.asked += 1
            line.close()


@pytest.fixture
def hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hangs]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Hangs(server)
        monkeypatch.setattr(sentinel, "monotonic", lambda: found.now)
        yield found
        server.shutdown(socket.SHUT_RDWR)
        found.thread.join()


def test_who_fails_in_the_same_moment_does_not_ask_again(hangs: Hangs) -> None:
    settings = load_settings(redis_url=f"redis+sentinel://127.0.0.1:{hangs.server.getsockname()[1]}/fleet")
    told = set()

    def ping() -> None:
        with connect(settings) as client, pytest.raises(redis.RedisError) as caught:
            client.ping()
        told.add(outage_of(caught.value))

    async def ping_async() -> None:
        async with connect_async(settings) as client:
            with pytest.raises(redis.RedisError) as caught:
                await client.ping()
            told.add(outage_of(caught.value))

    for _ in range(5):
        ping()
        asyncio.run(ping_async())
    assert hangs.asked == 1
    assert len(told) == 1
    assert next(iter(told)).about == "sentinels"
    hangs.now += 1.0
    ping()
    assert hangs.asked == 2


async def test_connections_that_open_together_take_turns_to_ask(hangs: Hangs) -> None:
    """Each of them asking would keep the event loop, and the Sentinels, busy for longer than any time-out."""
    url = f"redis+sentinel://127.0.0.1:{hangs.server.getsockname()[1]}/together"
    async with connect_async(load_settings(redis_url=url)) as client:
        told = await asyncio.gather(*(client.ping() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, redis.RedisError) for each in told)
    assert hangs.asked == 1


def test_threads_take_turns_to_ask(hangs: Hangs) -> None:
    settings = load_settings(redis_url=f"redis+sentinel://127.0.0.1:{hangs.server.getsockname()[1]}/threads")
    with connect(settings) as client, ThreadPoolExecutor(10) as pool:
        told = [pool.submit(client.ping) for _ in range(20)]
        assert all(isinstance(each.exception(), redis.RedisError) for each in told)
    assert hangs.asked == 1
