"""File of requests: answers each line, a JSON object, with a JSON object on the same line of the output.

The number of requests in flight is bounded. Answers that arrive out of order wait in a bounded window, so memory does
not grow with the file. A line that fails gets an error as its answer and does not stop the others.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rerank_producer import AsyncRerankClient
from rerank_producer.bulk.formats.request_line import parse_line
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import RerankError

#: Requests read ahead of the oldest unanswered one, as a multiple of those in flight.
_WINDOW = 4


@dataclass(slots=True)
class Tally:
    """Counts of the lines so far. `partial` counts answered requests that their deadline cut off."""

    answered: int = 0
    partial: int = 0
    failed: int = 0
    pairs_run: int = 0
    pairs_cached: int = 0


async def rerank_lines(
    lines: Iterable[bytes],
    client: AsyncRerankClient,
    *,
    defaults: Mapping[str, Any],
    concurrency: int,
    write: Callable[[str], object],
) -> Tally:
    """Answer every line that is not blank and return the counts.

    `defaults` holds options for lines without them; `write` gets each answer, with its line break.
    """
    tally, free = Tally(), asyncio.Semaphore(concurrency)
    window: deque[asyncio.Task[RerankResponse | RerankError]] = deque()
    numbers: deque[int] = deque()

    async def write_first() -> None:
        # The task stays in the window while it is awaited, so that it is cancelled with the others.
        answer = await window[0]
        window.popleft()
        write(_record(answer, numbers.popleft(), tally) + "\n")

    try:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                await free.acquire()
                window.append(asyncio.create_task(_answer(line, client, defaults, free)))
                numbers.append(number)
            while window and (window[0].done() or len(window) >= concurrency * _WINDOW):
                await write_first()
        while window:
            await write_first()
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)
    return tally


async def _answer(
    line: bytes, client: AsyncRerankClient, defaults: Mapping[str, Any], free: asyncio.Semaphore
) -> RerankResponse | RerankError:
    try:
        # Every option that a request has, whatever options there will be.
        options = dict(parse_line(line, defaults))
        return await client.rerank(options.pop("query"), options.pop("documents"), **options)
    except RerankError as error:
        return error
    finally:
        free.release()


def _record(answer: RerankResponse | RerankError, number: int, tally: Tally) -> str:
    if isinstance(answer, RerankError):
        tally.failed += 1
        return json.dumps({"error": {"code": answer.code, "message": answer.message}, "line": number})
    tally.answered += 1
    tally.partial += not answer.complete
    tally.pairs_run += answer.usage.pairs_run
    tally.pairs_cached += answer.usage.pairs_cached
    return answer.model_dump_json()
