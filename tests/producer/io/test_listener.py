"""How a listener notices a dead line and mends it, over lines in memory and a clock that only listening moves."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from producer.io.test_pending import record
from rerank_producer._io.listener import WAKE, Listener
from rerank_producer._io.pending import Pending, Waiter
from rerank_producer._io.port import drive

REPLY = "reply"


class World:
    """A clock, and the lines that a listener opens one after the other; each follows a script.

    A script yields what the line hears: a message, None for silence, an exception, or a function to call meanwhile.
    """

    def __init__(self, *scripts: list[Any]) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.pauses: list[float] = []
        self.scripts = list(scripts)
        self.pending = Pending()
        self.settled = threading.Event()
        self.listener = Listener(REPLY, self.pending, self.open_line, self.pause, self.settled, lambda: self.now)

    def open_line(self) -> MemoryLine:
        return MemoryLine(self, self.scripts.pop(0))

    async def pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)

    def run(self) -> None:
        drive(self.listener.run())

    def close(self) -> None:
        self.listener.closing = True


class MemoryLine:
    def __init__(self, world: World, script: list[Any]) -> None:
        self._world, self._script = world, script

    async def subscribe(self, *channels: str) -> None:
        self._world.log += [f"+{channel}" for channel in channels]

    async def unsubscribe(self, *channels: str) -> None:
        self._world.log += [f"-{channel}" for channel in channels]

    async def ping(self) -> None:
        self._world.log.append(f"ping at {self._world.now:g}")

    async def hear(self, wait_s: float) -> dict[str, Any] | None:
        event = self._script.pop(0)
        if callable(event):
            event()
            return None
        if event is None:
            self._world.now += wait_s
        elif isinstance(event, BaseException):
            raise event
        return event  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        self._world.log.append("closed")


def message(data: bytes) -> dict[str, Any]:
    return {"type": "message", "channel": REPLY.encode(), "data": data}


def subscribed(channel: str = REPLY) -> dict[str, Any]:
    return {"type": "subscribe", "channel": channel.encode(), "data": 1}


PONG = {"type": "pong", "channel": None, "data": b""}
LOST = redis.ConnectionError("lost")


def waiting(world: World, job_id: str, channel: str | None = None) -> Waiter:
    waiter = Waiter(job_id, threading.Event(), channel)
    world.pending.add(waiter)
    return waiter


def test_answers_are_delivered_and_wake_ups_are_not() -> None:
    world = World([subscribed(), message(WAKE), message(record("a"))])
    waiter = waiting(world, "a")
    world.scripts[0].append(world.close)
    world.run()
    assert waiter.answer is not None
    assert (world.log, world.settled.is_set()) == (["+reply", "closed"], True)


def test_channels_of_single_jobs_come_and_go_with_their_waiters() -> None:
    world = World([subscribed()])
    waiters: list[Waiter] = []
    world.scripts[0] += [
        lambda: waiters.append(waiting(world, "a", "channel")),
        subscribed("channel"),
        lambda: world.pending.remove(waiters[0]),
        world.close,
    ]
    world.run()
    assert waiters[0].subscribed
    assert world.log == ["+reply", "+channel", "-channel", "closed"]


def test_silent_line_is_asked_and_kept_if_it_answers() -> None:
    world = World([subscribed(), *[None] * 5, PONG, *[None] * 5, PONG])
    world.scripts[0].append(world.close)
    world.run()
    assert world.log == ["+reply", "ping at 5", "ping at 10", "closed"]


def test_line_that_shows_no_sign_of_life_is_replaced() -> None:
    world = World([subscribed(), *[None] * 10], [subscribed()])
    world.scripts[1].append(world.close)
    waiter = waiting(world, "a")
    world.run()
    assert world.log == ["+reply", "ping at 5", "closed", "+reply", "closed"]
    assert waiter.reconnected


@pytest.mark.parametrize("loss", [LOST, redis.TimeoutError("slow"), redis.ResponseError("no"), OSError("gone")])
def test_lost_line_is_mended_with_longer_and_longer_pauses(loss: Exception) -> None:
    world = World([subscribed(), loss], *[[loss] for _ in range(7)], [subscribed()])
    waiter = waiting(world, "a")
    world.scripts[-1] += [lambda: None, world.close]
    world.run()
    assert world.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert waiter.reconnected


def test_first_line_restores_nothing() -> None:
    world = World([subscribed()])
    waiter = waiting(world, "a")
    world.scripts[0].append(world.close)
    world.run()
    assert not waiter.reconnected


def test_requests_wait_while_a_line_is_mended_but_not_while_the_server_is_away() -> None:
    """`settled` right after each step, as a request that starts then would find it."""
    world = World([subscribed(), LOST], [LOST], [subscribed()])
    seen: list[bool] = []

    async def pause(_: float) -> None:
        seen.append(world.settled.is_set())

    world.listener.pause = pause
    world.scripts[2].append(world.close)
    world.run()
    assert seen == [False, True]

    away = World([LOST], [subscribed()])
    away.listener.pause = pause
    away.scripts[1].append(away.close)
    away.run()
    assert seen == [False, True, True]


def test_subscription_that_is_never_confirmed_is_given_up() -> None:
    world = World([None], [subscribed()])
    world.scripts[1].append(world.close)
    world.run()
    assert world.log == ["+reply", "closed", "+reply", "closed"]
    assert world.now == 2.0
