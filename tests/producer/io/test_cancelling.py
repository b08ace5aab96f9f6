"""Cancelling tasks of which one loses a cancellation, as `asyncio.wait_for` of Python 3.11 does now and then."""

from __future__ import annotations

import asyncio

import pytest

from rerank_producer._io.cancelling import cancellable, end_tasks


async def deaf(losing: int) -> str:
    """Lose some cancellations and go on."""
    for _ in range(losing):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(60)
    return "by itself"


async def test_a_lost_cancellation_is_sent_again() -> None:
    tasks = [asyncio.create_task(deaf(losing)) for losing in (0, 1, 2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await end_tasks(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_what_a_task_does_at_its_end_is_not_cut_short() -> None:
    ended = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            ended.set()

    task = asyncio.create_task(slow_to_end())
    await asyncio.sleep(0)
    await end_tasks([task])
    assert ended.is_set()


async def test_errors_of_ended_tasks_are_not_raised() -> None:
    async def fails() -> None:
        raise ValueError("so it is")

    done, failing = asyncio.create_task(asyncio.sleep(0, "a result")), asyncio.create_task(fails())
    await asyncio.wait([done, failing])
    await end_tasks([done, failing])
    assert done.result() == "a result"
    with pytest.raises(ValueError, match="so it is"):
        await cancellable(fails())


async def test_a_caller_that_is_cancelled_waits_for_the_end_of_its_work() -> None:
    caller = asyncio.create_task(cancellable(deaf(1)))
    await asyncio.sleep(0.01)
    caller.cancel()
    async with asyncio.timeout(30):
        with pytest.raises(asyncio.CancelledError):
            await caller


async def test_work_that_is_done_in_spite_of_all_returns_its_result() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "a result"
        return "by itself"

    caller = asyncio.create_task(cancellable(stubborn()))
    await asyncio.sleep(0.01)
    caller.cancel()
    assert await caller == "a result"
