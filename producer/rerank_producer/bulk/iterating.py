"""`rerank_iter` and `arerank_iter`: any number of requests from a cursor or a generator, answered in order."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from typing import Any, Literal, TypeVar, Unpack

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.bulk.asking.fleet import PatientFleet
from rerank_producer.bulk.asking.stream import Answer, Stream
from rerank_producer.bulk.formats.request_line import request_of
from rerank_producer.request_options import RequestOptions
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.errors import InvalidRequest, RerankError
from rerank_shared.settings import Settings, load_settings

T = TypeVar("T")
Request = RerankRequest | Mapping[str, Any]
_END: Any = object()
_STEP_S = 0.01
log = logging.getLogger(__name__)


async def arerank_iter(
    requests: AsyncIterable[Request] | Iterable[Request],
    *,
    settings: Settings | None = None,
    on_error: Literal["raise", "yield"] = "raise",
    patience_s: float | None = None,
    tell: Callable[[str], object] = log.warning,
    **defaults: Unpack[RequestOptions],
) -> AsyncGenerator[Answer, None]:
    """Yield the answer to each request, in order, while later ones are on their way.

    A request is a RerankRequest, or a mapping of its fields; `defaults` are options of those that do not say theirs.
    All are of class bulk and have no deadline: a fleet that is away or full is waited for, and `tell` gets a sentence
    about it (default: the log). `patience_s` bounds the time without any answer. Requests are read ahead of the answers
    by some seconds of the fleet's work; an iterable that is not asynchronous is read in a thread.

    A request that fails alone raises its error, or with `on_error="yield"` has it as its answer. Raises FleetGone, and
    what `requests` raises.
    """

    def parsed(given: Request) -> RerankRequest | RerankError:
        if isinstance(given, RerankRequest):
            return given
        try:
            return request_of(given, defaults)
        except InvalidRequest as error:
            return error

    async with AsyncRerankClient(settings or load_settings()) as client:
        stream = Stream[Request](PatientFleet(client, tell, patience_s), parsed)
        async with aclosing(stream.answers(_asynchronous(requests))) as answers:
            async for _, answer in answers:
                if on_error == "raise" and isinstance(answer, RerankError):
                    raise answer
                yield answer


def rerank_iter(
    requests: Iterable[Request],
    *,
    settings: Settings | None = None,
    on_error: Literal["raise", "yield"] = "raise",
    patience_s: float | None = None,
    tell: Callable[[str], object] = log.warning,
    **defaults: Unpack[RequestOptions],
) -> Generator[Answer, None, None]:
    """Yield the answer to each request, in order, while later ones are on their way; see `arerank_iter`.

    Requests are sent and answers received in a thread of its own, so it works inside of a running event loop as well.
    """
    with _loop_in_thread() as call:
        answers = arerank_iter(
            requests, settings=settings, on_error=on_error, patience_s=patience_s, tell=tell, **defaults
        )
        try:
            while (answer := call(_next_of(answers))) is not _END:
                yield answer
        finally:
            call(_closed(answers))


async def _next_of(answers: AsyncGenerator[Answer, None]) -> Answer:
    return await anext(answers, _END)


async def _closed(answers: AsyncGenerator[Answer, None]) -> None:
    while True:
        try:
            return await answers.aclose()
        except RuntimeError:
            # A step that Ctrl-C interrupted here is still being cancelled there.
            await asyncio.sleep(_STEP_S)


async def _asynchronous(items: AsyncIterable[T] | Iterable[T]) -> AsyncGenerator[T, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    async with aclosing(read_in_thread(items)) as read:
        async for item in read:
            yield item


async def read_in_thread(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """Yield items that are read one by one in one thread, so that a slow source holds up nothing else."""
    loop, iterator = asyncio.get_running_loop(), iter(items)
    with ThreadPoolExecutor(1, "rerank-read") as thread:
        while (item := await loop.run_in_executor(thread, next, iterator, _END)) is not _END:
            yield item


@contextmanager
def _loop_in_thread() -> Iterator[Callable[[Any], Any]]:
    """Yield a function that runs a coroutine in an event loop of another thread and returns its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="rerank-iter", daemon=True)
    thread.start()

    def call(coroutine: Any) -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    try:
        yield call
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
