"""A stream of requests through the fleet: sent ahead within a window, answered in order, with back-pressure.

Whoever takes the answers sets the pace: what is answered and not yet taken counts in the window, so that memory does
not grow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rerank_producer._io.cancelling import end_tasks
from rerank_producer.bulk.asking.fleet import PatientFleet
from rerank_producer.bulk.asking.window import FleetSpeed, Window
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.errors import RerankError

T = TypeVar("T")
Answer = RerankResponse | RerankError


@dataclass(frozen=True, slots=True)
class _Asked(Generic[T]):
    number: int
    item: T
    answer: asyncio.Future[Answer]


@dataclass(slots=True)
class Stream(Generic[T]):
    """Items that go through the fleet. `request_of` makes an item's request, or the error that is its answer."""

    fleet: PatientFleet
    request_of: Callable[[T], RerankRequest | RerankError]
    window: Window = field(default_factory=Window)
    _waiting: deque[_Asked[T]] = field(default_factory=deque)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def answers(self, items: AsyncIterable[T]) -> AsyncGenerator[tuple[T, Answer], None]:
        """Yield each item with its answer, in order. Close it where it is not taken to its end.

        Raises what `items` raises, behind the answers before it; FleetGone.
        """
        watch = asyncio.create_task(self.fleet.watch_speed(self._see))
        feeder = asyncio.create_task(self._feed(items))
        for task in (watch, feeder):
            task.add_done_callback(lambda _: self._changed.set())
        try:
            while self._waiting or not feeder.done():
                if not self._waiting:
                    await self._change()
                else:
                    either: set[asyncio.Future[Any]] = {self._waiting[0].answer, watch}
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    watch.result()
                if self._waiting and self._waiting[0].answer.done():
                    asked = self._waiting.popleft()
                    answer = asked.answer.result()
                    self.window.taken(asked.number)
                    self._changed.set()
                    yield asked.item, answer
            feeder.result()
        finally:
            await end_tasks([watch, feeder, *(asked.answer for asked in self._waiting)])

    async def _feed(self, items: AsyncIterable[T]) -> None:
        number = 0
        async for item in items:
            request = self.request_of(item)
            answer: asyncio.Future[Answer]
            if isinstance(request, RerankError):
                while len(self._waiting) >= self.window.most_requests:
                    await self._change()
                answer = asyncio.get_running_loop().create_future()
                answer.set_result(request)
            else:
                while not self.window.admits(len(request.documents)):
                    await self._change()
                self.window.sent(number, request)
                answer = asyncio.create_task(self._ask(number, request))
            self._waiting.append(_Asked(number, item, answer))
            self._changed.set()
            number += 1

    async def _ask(self, number: int, request: RerankRequest) -> Answer:
        try:
            return await self.fleet.ask(request)
        finally:
            self.window.answered(number)
            self._changed.set()

    def _see(self, speed: FleetSpeed) -> None:
        self.window.speed = speed
        self._changed.set()

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
