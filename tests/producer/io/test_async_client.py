"""The asyncio client: what differs from the sync one, above all loops, cancellation and threads."""

from __future__ import annotations

import asyncio
import gc
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.conftest import Echo
from producer.echo_worker import announce, logit, score
from producer.test_sync_client import texts
from rerank_producer import AsyncRerankClient
from rerank_producer._io.aio import AsyncPort, _AsyncLine
from rerank_producer._io.enqueue import Enqueue
from rerank_shared.contract import wire
from rerank_shared.errors import DeadlineExceeded, JobRevoked, ScoringFailed
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.threads import NewThreads
from support.waiting import wait_until

pytestmark = pytest.mark.integration


async def until(condition: object, what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what)  # type: ignore[arg-type]


def waiting(echo: Echo) -> set[bytes]:
    """The jobs that count as work: other tests leave some that are never answered."""
    return {*echo.client.zrange(echo.keys.backlog("interactive"), 0, -1)}


async def test_cold_and_warm_requests(async_client: AsyncRerankClient, echo: Echo) -> None:
    documents = texts(20)
    echo.write_cache({("q", documents[3]): score("q", documents[3])})
    response = await async_client.rerank("q", documents, top_n=20)
    expected = sorted(range(20), key=lambda i: (-logit("q", documents[i]), i))
    assert [result.index for result in response.results] == expected
    assert (response.usage.pairs_run, response.usage.pairs_cached) == (19, 1)


async def test_cached_request_starts_no_thread(settings: Settings, new_threads: NewThreads) -> None:
    echo = Echo(settings, connect(settings))
    announce(echo.client, settings)
    echo.write_cache({("q", "a"): score("q", "a")})
    async with AsyncRerankClient(settings) as client:
        assert (await client.rerank("q", ["a"])).complete
        assert new_threads() == []
    echo.client.close()


@pytest.mark.parametrize("count", [0, 2], ids=["idle", "listening"])
async def test_a_client_that_is_dropped_leaves_no_task(echo: Echo, count: int) -> None:
    before = asyncio.all_tasks()
    client = AsyncRerankClient(echo.settings)
    await client.model_info()
    for _ in range(count):
        assert (await client.rerank("q", texts(1))).complete
    (left,) = asyncio.all_tasks() - before
    del client
    await asyncio.wait_for(asyncio.wait([left]), 30)


async def test_many_requests_at_once_take_few_threads(async_client: AsyncRerankClient, new_threads: NewThreads) -> None:
    async def ask(number: int) -> bool:
        (text,) = texts(1)
        response = await async_client.rerank(f"question {number}", [text])
        return response.complete and response.results[0].logit == logit(f"question {number}", text)

    assert all(await asyncio.gather(*(ask(number) for number in range(300))))
    assert len(new_threads()) <= 4


async def test_errors_and_deadlines(async_client: AsyncRerankClient) -> None:
    with pytest.raises(ScoringFailed):
        await async_client.rerank("fail", texts(1))
    assert not (await async_client.rerank("silent", texts(1), deadline_ms=150)).complete
    with pytest.raises(DeadlineExceeded, match="one worker process is alive"):
        await async_client.rerank("silent", texts(1), deadline_ms=150, partial=False)


async def test_cancelled_request_is_dropped_by_the_workers(async_client: AsyncRerankClient, echo: Echo) -> None:
    gate, of_others = uuid.uuid4().hex, set(echo.client.hkeys(echo.keys.unacked))
    task = asyncio.create_task(async_client.rerank(f"silent gate:{gate}", texts(1)))
    await until(lambda: echo.jobs_at(gate), "the worker has the job")
    (job_id,) = echo.jobs_at(gate)
    echo.open_gate(gate)
    # A worker marks a revoked job unless it is running it, so that must be over first.
    await until(lambda: {*echo.client.hkeys(echo.keys.unacked)} <= of_others, "the worker has done with the job")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: echo.client.exists(echo.keys.result(job_id)), "the worker knows that it is revoked")
    (_, answer) = wire.decode_record(echo.client.get(echo.keys.result(job_id)))
    assert isinstance(answer, JobRevoked)


async def test_cancelling_at_any_moment_leaves_the_client_sound_and_no_work_behind(
    async_client: AsyncRerankClient, echo: Echo
) -> None:
    await async_client.submit("silent", texts(1))
    of_others = waiting(echo)
    for step in range(25):
        task = asyncio.create_task(async_client.rerank("q", texts(2)))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    documents = texts(3)
    response = await async_client.rerank("sound?", documents)
    assert {result.index: result.logit for result in response.results} == {
        index: logit("sound?", text) for index, text in enumerate(documents)
    }
    await until(lambda: waiting(echo) <= of_others, "no job counts as work any more")


async def test_submitting_that_is_cancelled_leaves_nothing_that_nobody_knows_of(
    async_client: AsyncRerankClient, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = AsyncPort.enqueue

    async def unheard(port: AsyncPort, what: Enqueue) -> None:
        await enqueue(port, what)
        await asyncio.Event().wait()

    await async_client.submit("silent", texts(1))
    monkeypatch.setattr(AsyncPort, "enqueue", unheard)
    requests_of_others, jobs_of_others = set(echo.client.keys(echo.keys.request("*"))), waiting(echo)
    task = asyncio.create_task(async_client.submit("silent", texts(2), deadline_ms=60_000))
    await until(lambda: waiting(echo) - jobs_of_others, "the job is enqueued")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: waiting(echo) <= jobs_of_others, "it counts as work no longer")
    assert set(echo.client.keys(echo.keys.request("*"))) <= requests_of_others


async def test_closing_ends_also_where_a_cancellation_is_lost(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `asyncio.wait_for` of Python 3.11 loses one that comes in the moment when what it waits for is done."""
    hear, lost = _AsyncLine.hear, 0

    async def hear_and_lose_one(line: _AsyncLine, wait_s: float) -> object:
        nonlocal lost
        try:
            return await hear(line, wait_s)
        except asyncio.CancelledError:
            lost += 1
            if lost > 1:
                raise
            return None

    monkeypatch.setattr(_AsyncLine, "hear", hear_and_lose_one)
    client = AsyncRerankClient(echo.settings)
    assert (await client.rerank("q", texts(2))).complete
    async with asyncio.timeout(60):
        await client.close()
    assert lost == 1


def test_one_client_serves_one_loop_after_another(echo: Echo) -> None:
    """Warnings are errors here: a connection that outlived its loop would fail this test."""
    client = AsyncRerankClient(echo.settings)

    async def ask() -> bool:
        return (await client.rerank("q", texts(2))).complete

    assert all(asyncio.run(ask()) for _ in range(3))
    asyncio.run(client.close())
    gc.collect()


def test_one_client_serves_loops_of_many_threads(echo: Echo) -> None:
    client = AsyncRerankClient(echo.settings)

    async def ask() -> bool:
        answers = await asyncio.gather(*(client.rerank("q", texts(2)) for _ in range(5)))
        return all(answer.complete for answer in answers)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: asyncio.run(ask()), range(8)))
    asyncio.run(client.close())
    gc.collect()


async def test_a_closed_client_opens_again(echo: Echo) -> None:
    client = AsyncRerankClient(echo.settings)
    for _ in range(2):
        assert (await client.rerank("q", texts(1))).complete
        await client.close()
