"""Work that ends when its client hangs up, so that nobody's pairs are scored for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from rerank_producer.gateway.http.refused import ClientGone

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; cancels it and raises ClientGone if the client hangs up first.

    `receive` is the request's ASGI channel, from which the body has been read.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_hung_up(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        # Also when this request's own task is cancelled, at the end of the grace period.
        gone.cancel()
        await _end(task)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        # Retrieved, so that asyncio does not complain of what nobody will read.
        task.exception()
