"""Cancel a request's work when its client hangs up, so that the fleet scores no pairs for a client that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from rerank_producer._io.cancelling import end_tasks
from rerank_producer.apis.common.problems import ClientGone

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
        await end_tasks([task])


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
