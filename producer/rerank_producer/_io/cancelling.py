"""Cancels tasks so that they end, also on Python 3.11.

That one loses a cancellation that comes just when `asyncio.wait_for`, with which redis-py sends, is done: the task goes
on as if nobody had cancelled it. So a cancellation is sent again until the task has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
#: Long enough for what a task does at its end: a second cancellation would cut that short.
_AGAIN_S = 0.5


async def end_tasks(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait for their ends. What they raise is not raised here."""
    while open_ones := [task for task in tasks if not task.done()]:
        for task in open_ones:
            task.cancel()
        await asyncio.wait(open_ones, timeout=_AGAIN_S)
    for task in tasks:
        # Retrieved, else asyncio would log it as never retrieved.
        if not task.cancelled():
            task.exception()


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, or raise its error. Whoever cancels this ends `work`, and waits for its end."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await end_tasks([task])
        # Where it was done in spite of all, its result counts, as it does for any task that ends before it hears of it.
        if task.cancelled():
            raise
    return task.result()
