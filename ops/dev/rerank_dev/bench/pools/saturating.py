"""A model kept busy: requests in a closed loop from a thread of its own, and what the fleet ran of them meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rerank_dev.bench.scheduling.load import Query
from rerank_producer import AsyncRerankClient
from rerank_shared.errors import InternalError
from rerank_shared.keys import JobClass
from rerank_shared.settings import Settings

_DEADLINE_MS = 600_000.0
_FIRST_ANSWER_S = 120.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What was answered by the second `at` of this process's clock."""

    at: float
    pairs: int
    tokens: int

    def pairs_per_s(self, later: Ran) -> float:
        """Return the pairs a second until `later`."""
        return (later.pairs - self.pairs) / (later.at - self.at)


class Saturating:
    """Keeps so many requests of a model in flight until the block ends, and waits for those that are open then.

    The block begins with the first answer. The queries are sent again and again, each time new to the cache.
    """

    def __init__(
        self, settings: Settings, model: str, queries: Sequence[Query], in_flight: int, job_class: JobClass
    ) -> None:
        self._settings, self._model, self._in_flight, self._job_class = settings, model, in_flight, job_class
        self._queries = queries
        self._pairs = self._tokens = 0
        self._answered, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"saturating {model}")
        self._error: BaseException | None = None

    def ran(self) -> Ran:
        """Return what was answered so far. Raises InternalError where a request failed."""
        if self._error is not None:
            raise InternalError(f"the load on {self._model} ended: {self._error!r}")
        return Ran(time.perf_counter(), self._pairs, self._tokens)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._answered.wait(_FIRST_ANSWER_S) or self._error is not None:
            self._end()
            self.ran()
            raise InternalError(f"no answer of {self._model} within {_FIRST_ANSWER_S:g} s")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._saturate())
        except Exception as error:  # Told by ran(), in the thread that measures.
            self._error = error
            self._answered.set()

    async def _saturate(self) -> None:
        async with AsyncRerankClient(self._settings) as client, asyncio.TaskGroup() as group:
            marked = self._marked()
            for _ in range(self._in_flight):
                group.create_task(self._send(client, marked))

    def _marked(self) -> Iterator[Query]:
        for lap in itertools.count():
            for query in self._queries:
                yield Query(f"lap {lap} {query.text}", query.documents)

    async def _send(self, client: AsyncRerankClient, marked: Iterator[Query]) -> None:
        while not self._stop.is_set():
            query = next(marked)
            response = await client.rerank(
                query.text,
                query.documents,
                model=self._model,
                job_class=self._job_class,
                deadline_ms=_DEADLINE_MS,
                partial=False,
            )
            self._pairs += response.usage.pairs_run
            self._tokens += response.usage.tokens
            self._answered.set()
